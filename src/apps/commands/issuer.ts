/** `issuer add|list|show`. */
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { formatDuration, rfc3339 } from '../../core/time.ts';
import { loadConfig } from '../config.ts';
import { withoutOcspUntil } from '../crl-facts.ts';
import { checkKeys } from '../issuer-keys.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import { writeIssuer, type NewIssuer } from '../add-issuer.ts';
import { presetIds } from '../presets.ts';
import { loadOptions, print, setupOf, table } from './context.ts';
import { collect, countTo } from './options.ts';

interface AddOptions {
  readonly ca: string[];
  readonly preset: string;
  readonly responderCert?: string[];
  readonly responderKey?: string[];
  readonly crlKey?: string;
  readonly ocspPath?: string[];
  readonly crlPath?: string[];
  readonly caPath?: string[];
  readonly ocspSignedBy?: 'responder' | 'ca';
  readonly ocspValidity?: string;
  readonly ocspRefreshAfter?: string;
  readonly ocspMaxAge?: string;
  readonly crlPeriod?: string;
  readonly crlValidity?: string;
  readonly crlShards?: number;
  readonly crlShardUrl?: string;
  readonly crlAuthoritiesUrl?: string;
  readonly completeCrl: boolean;
  readonly allowHold?: boolean;
  readonly everyCertificateNamesOcsp?: boolean;
}

export function issuerCommands(program: Command): void {
  const issuer = program.command('issuer').description('the CAs that are served');
  issuer
    .command('add')
    .description('registers a CA; everything is checked first, and nothing is written when something is wrong')
    .argument('<id>', 'short name: a-z, 0-9 and -')
    .requiredOption(
      '--ca <file>',
      'CA certificate, PEM or DER; again for further certificates of the same name and key',
      collect,
    )
    .option('--preset <name>', `profile of the CA: ${presetIds().join(', ')}`, 'baseline')
    .option('--responder-cert <file>', 'responder certificate; again for a second one', collect)
    .option(
      '--responder-key <file>',
      'its private key, PEM file or pkcs11:token=…;object=…; in the same order',
      collect,
    )
    .option('--crl-key <file>', 'private key of the CA, PEM file or pkcs11: URI; without it CRLs are not signed here')
    .option(
      '--ocsp-path <[host]/path>',
      'path of the AIA OCSP URL, e.g. /OcspServer or ocsp.example/; again for more',
      collect,
    )
    .option('--crl-path <[host]/path>', 'path of the CRL URL, e.g. /SureServer/evcag3/cdp.crl', collect)
    .option('--ca-path <[host]/path>', 'path of the CA certificate URL', collect)
    .option(
      '--ocsp-signed-by <who>',
      'responder, or ca: a CA that signs its answers offline and has no responder certificates',
    )
    .option('--ocsp-validity <duration>', "life of an answer; overrides the preset's")
    .option('--ocsp-refresh-after <duration>', 'age at which it is signed again')
    .option('--ocsp-max-age <duration>', 'longest HTTP max-age')
    .option('--crl-period <duration>', 'between scheduled CRLs')
    .option('--crl-validity <duration>', 'life of a CRL')
    .option(
      '--crl-shards <count>',
      'shards over which new certificates are spread; with --crl-shard-url',
      countTo(99_999),
    )
    .option(
      '--crl-shard-url <url>',
      'http URL of a shard as certificates have it, with {shard} where its number stands',
    )
    .option('--crl-authorities-url <url>', 'http URL of a CRL of CA certificates alone')
    .option('--no-complete-crl', 'no CRL of all certificates beside the shards')
    .option(
      '--every-certificate-names-ocsp',
      'all certificates carry an OCSP URL: permits a CRL every 7 days instead of 4 (BR 4.9.7)',
    )
    .option('--allow-hold', 'certificates may be suspended and released; S/MIME only (S/MIME BR 4.9.13)')
    .action((id: string, options: AddOptions, command: Command) => {
      const { config } = loadConfig(loadOptions(command));
      const { setup, warnings } = writeIssuer(config.dataDir, newIssuer(id, options), Date.now(), checkKeys);
      print(command, { ...view(setup), warnings }, () =>
        [
          `added: ${id}`,
          text(setup),
          ...warnings.map(({ rule, message }) => `warning: ${message} (${rule})`),
          'A running service takes it in at its next start.',
        ].join('\n'),
      );
    });
  issuer
    .command('list')
    .description('the configured issuers')
    .action((_options: object, command: Command) => {
      const { issuers } = loadConfig(loadOptions(command));
      print(command, issuers.map(view), () =>
        table([
          ['ID', 'TAG', 'PRESET', 'CA'],
          ...issuers.map(({ id, issuer: ca, profile }) => [id, ca.tag, profile.preset, ca.name]),
        ]),
      );
    });
  issuer
    .command('show')
    .description('one issuer: names, hashes, certificates, URLs, timing')
    .argument('<id>', 'issuer')
    .action((id: string, _options: object, command: Command) => {
      const options = loadOptions(command);
      const loaded = loadConfig(options);
      const setup = setupOf(loaded, id);
      const until = withoutOcspUntil(loaded.config.dataDir, id, options.nowMs);
      print(command, { ...view(setup), ...(until !== undefined && { withoutOcspUntil: until }) }, () =>
        [
          text(setup),
          ...(until === undefined
            ? []
            : [`Certificates until ${until} name no OCSP responder: CRLs are due every 4 days at most (BR 4.9.7).`]),
        ].join('\n'),
      );
    });
}

function newIssuer(id: string, options: AddOptions): NewIssuer {
  const { responderCert = [], responderKey = [] } = options;
  if (responderCert.length !== responderKey.length) {
    throw new Problem(
      'config',
      `${responderCert.length} certificates and ${responderKey.length} keys: each --responder-cert needs its --responder-key`,
      { field: '--responder-key' },
    );
  }
  return {
    id,
    preset: options.preset,
    caCertificates: options.ca,
    responders: responderCert.map((certificate, i) => ({ certificate, key: responderKey[i] as string })),
    ...(options.crlKey !== undefined && { crlKey: options.crlKey }),
    ocsp: {
      ...(options.ocspSignedBy !== undefined && { signedBy: options.ocspSignedBy }),
      ...given({ validity: options.ocspValidity, refreshAfter: options.ocspRefreshAfter, maxAge: options.ocspMaxAge }),
    },
    crl: given({
      period: options.crlPeriod,
      validity: options.crlValidity,
      complete: options.completeCrl ? undefined : false,
      shards: shardsOf(options),
      authorities: options.crlAuthoritiesUrl,
    }),
    ...(options.allowHold && { reasons: { hold: 'allow' } }),
    urls: given({ ocsp: urls(options.ocspPath), crl: urls(options.crlPath), caCertificate: urls(options.caPath) }),
    ...(options.everyCertificateNamesOcsp && { everyCertificateNamesOcsp: true }),
  };
}

function shardsOf({ crlShards: count, crlShardUrl: url }: AddOptions): { count: number; url: string } | undefined {
  if (count === undefined && url === undefined) return undefined;
  if (count !== undefined && url !== undefined) return { count, url };
  throw new Problem('config', 'goes with --crl-shards and --crl-shard-url together, or with neither', {
    field: count === undefined ? '--crl-shards' : '--crl-shard-url',
  });
}

/** Without the members that were not given. */
function given<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

/** `/path` or `host/path`. */
function urls(texts: readonly string[] | undefined): { host?: string; path: string }[] | undefined {
  return texts?.map((text) => {
    if (/^[a-z]+:\/\//i.test(text))
      throw new Problem('config', 'give the host and path alone, without scheme', { field: 'URL', value: text });
    const slash = text.indexOf('/');
    if (slash === -1)
      throw new Problem('config', 'has no path: write /path or host/path', { field: 'URL', value: text });
    return { ...(slash > 0 && { host: text.slice(0, slash) }), path: text.slice(slash) };
  });
}

function view({ id, issuer, profile, responders, crlKeys, crls, urls: served }: IssuerSetup): object {
  const { sha1, sha256 } = issuer.hashes;
  return {
    id,
    tag: issuer.tag,
    name: issuer.name,
    preset: profile.preset,
    certId: {
      sha1: { issuerNameHash: sha1.name.toString('hex'), issuerKeyHash: sha1.key.toString('hex') },
      sha256: { issuerNameHash: sha256.name.toString('hex'), issuerKeyHash: sha256.key.toString('hex') },
    },
    caCertificates: issuer.certificates.map(({ fingerprint, notAfter }) => ({
      sha256: fingerprint,
      notAfter: rfc3339(notAfter),
    })),
    responders: responders.map(({ certificate }) => ({
      id: certificate.id,
      keyType: certificate.keyType,
      notAfter: rfc3339(certificate.notAfter),
    })),
    signsCrls: crlKeys !== undefined,
    crls,
    urls: served,
    profile,
  };
}

function text(setup: IssuerSetup): string {
  const { issuer, profile, responders, crlKeys, crls, urls: served } = setup;
  const { sha1, sha256 } = issuer.hashes;
  const url = ({ host, path }: { host?: string | undefined; path: string }): string => `${host ?? ''}${path}`;
  return table([
    ['CA', issuer.name],
    [
      'preset',
      `${profile.preset}: OCSP valid ${formatDuration(profile.ocsp.validityMs)}, signed again after ${formatDuration(profile.ocsp.refreshAfterMs)}; CRL every ${formatDuration(profile.crl.periodMs)}, valid ${formatDuration(profile.crl.validityMs)}`,
    ],
    ...issuer.certificates.map(({ fingerprint, notAfter }) => [
      'CA certificate',
      `SHA-256 ${fingerprint}, until ${rfc3339(notAfter)}`,
    ]),
    ['CertID SHA-1', `${sha1.name.toString('hex')} ${sha1.key.toString('hex')}`],
    ['CertID SHA-256', `${sha256.name.toString('hex')} ${sha256.key.toString('hex')}`],
    ...responders.map(({ certificate }) => [
      'responder',
      `${certificate.id}, ${certificate.keyType}, until ${rfc3339(certificate.notAfter)}`,
    ]),
    ['CRL', crlKeys === undefined ? 'not signed here' : 'signed here'],
    ['OCSP at', served.ocsp.map(url).join(' ')],
    ...(crls.complete ? [['CRL at', served.crl.map(url).join(' ')]] : []),
    ...(crls.shards === undefined
      ? []
      : [
          [
            'CRL shards',
            `1 to ${crls.shards.highest}, new certificates on 1 to ${crls.shards.count}: ${crls.shards.url}`,
          ],
        ]),
    ...(crls.caUrl === undefined ? [] : [['CRL of CAs at', crls.caUrl]]),
    ['CA certificate at', served.caCertificate.map(url).join(' ')],
  ]);
}
