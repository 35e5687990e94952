/** `serve --demo`: the demo CA of an empty data directory, its three certificates in the ledger, and commands to paste. */
import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { completeCrl, type IssuerTag } from '../core/certificate.ts';
import { Problem } from '../core/problem.ts';
import { signInLink } from './admin/local-secret.ts';
import { chosenDataDir, type LoadOptions } from './config.ts';
import { chosenPorts } from './listen-config.ts';
import { createDemo } from './demo.ts';
import type { Service } from './serve.ts';

/** Creates what is missing of the demo, unless a configuration was named or the directory holds something of the user's own. */
export async function createDemoIfNew(options: LoadOptions): Promise<void> {
  if (options.configFile !== undefined || options.env?.['CERTSTATUS_CONFIG'] !== undefined) return;
  const dataDir = chosenDataDir(options);
  if (existsSync(join(dataDir, 'certstatus.yaml')) && !existsSync(join(dataDir, 'issuers', 'demo'))) return;
  await createDemo(dataDir, chosenPorts(options.env ?? {}, options.overrides ?? {}), options.nowMs);
}

/** Records the samples (again without effect) and prints what to try. Nothing when there is no demo issuer. */
export async function announceDemo(service: Service): Promise<void> {
  const { core, addresses } = service;
  const { dataDir, listen } = core.config;
  const { recorder } = core;
  const issuer = core.issuers.get('demo');
  if (
    issuer === undefined ||
    recorder === undefined ||
    !existsSync(join(dataDir, 'issuers', 'demo', 'samples', 'valid.pem'))
  )
    return;
  const ports = {
    public: listen.public.port,
    origin: listen.origin?.port ?? ('off' as const),
    intake: listen.intake.port,
    admin: listen.admin.port,
  };
  const { samples, caCertificate } = await createDemo(dataDir, ports, core.clock.now());
  const { valid, revoked, expired } = samples;
  await recorder.issue(
    issuer,
    [valid, revoked, expired].map(({ serial, notBefore, notAfter }) => ({
      serial,
      notBefore,
      notAfter,
      precertificate: false,
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
    })),
    'demo',
  );
  await recorder.revoke(
    issuer,
    [{ serial: revoked.serial, reason: revoked.revocation.reason, revokedAt: revoked.revocation.revokedAt }],
    'demo',
  );
  if (core.config.roles.has('signer')) await firstCrl(core, issuer.tag);

  const file = (path: string): string => relative(process.cwd(), resolve(path)) || path;
  const [ocspPath, crlPath] = [
    core.setups.find(({ id }) => id === 'demo')?.urls.ocsp[0]?.path ?? '/',
    core.setups.find(({ id }) => id === 'demo')?.urls.crl[0]?.path ?? '/',
  ];
  const base = `http://${addresses.public}`;
  const ca = file(caCertificate);
  const ask = (sample: { certificate: string }): string =>
    `openssl ocsp -issuer ${ca} -CAfile ${ca} -cert ${file(sample.certificate)} -url ${base}${ocspPath}`;
  const data = dataDir === resolve('data') ? '' : ` --data ${file(dataDir)}`;
  process.stdout.write(`
certstatus is serving a demo CA. Paste into another shell:

  # a good certificate, and a revoked one (an expired one gets "unauthorized": nobody asks about it any more)
  ${ask(valid)}
  ${ask(revoked)}

  # the CRL
  curl -s ${base}${crlPath} | openssl crl -inform DER -noout -text

  # revoke the good one; OCSP and CRL say so when the command returns
  npx certstatus revoke${data} --issuer demo --serial ${valid.serial} --reason keyCompromise --wait

  # status page: this link signs you in, within 5 minutes and for one time; the next line prints another
  ${pageLink(service)}
  npx certstatus sign-in${data}

  # metrics
  http://${addresses.admin}/metrics

Ctrl-C stops it; what was recorded stays in ${file(dataDir) || dataDir}.
`);
}

/** Until the CRL lists the revoked sample, so that every command that is printed works when it is; not for ever, where it cannot be made. */
async function firstCrl({ store }: Service['core'], issuer: IssuerTag): Promise<void> {
  for (let waited = 0; waited < FIRST_CRL_MS; waited += 50) {
    if (((await store.current(completeCrl(issuer)))?.entries ?? 0) > 0) return;
    await setTimeout(50);
  }
}

const FIRST_CRL_MS = 10_000;

/** Without one, where the secret cannot be kept, the page itself says how to sign in. */
function pageLink({ core: { config }, addresses }: Service): string {
  const base = `${config.admin.tls === undefined ? 'http' : 'https'}://${addresses.admin}`;
  try {
    return signInLink(config.dataDir, base).url;
  } catch (error) {
    if (error instanceof Problem) return `${base}/`;
    throw error;
  }
}
