/** `probe URL`: a running service as outside clients see it, proxies in front included. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { tcpWire } from '../../adapters/probe-client/wire.ts';
import { systemClock } from '../../adapters/system/clock.ts';
import { certificatesFromFile, readCertificate } from '../../core/certificate-reader.ts';
import { accessUrls, crlDistributionPoints } from '../../core/certificate-extensions.ts';
import { COMPLETE, type CertIdHash } from '../../core/certificate.ts';
import { scopesOf, shardUrl } from '../../core/crl/shards.ts';
import { isSignedBy, loadIssuer, type Issuer } from '../../core/issuer.ts';
import { NOBODY, type ProbeSubject } from '../../core/probe/question.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex, type Serial } from '../../core/serial.ts';
import { fileProblem } from '../errors.ts';
import { probe, type ProbeReport } from '../../flows/monitor/probe.ts';
import { isCrlUrl, probeCrl, type CrlProbeTarget } from '../../flows/monitor/probe-crl.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import { loadConfig } from '../config.ts';
import { loadOptions, print, setupOf } from './context.ts';

interface ProbeOptions {
  readonly issuer?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly serial?: string;
  readonly hash: CertIdHash;
  readonly ours?: boolean;
  readonly crl?: boolean;
}

export function probeCommand(program: Command): void {
  program
    .command('probe')
    .description(
      'asks a running service as every kind of client does, and says what a proxy in front breaks; exit 1 when a client is refused or misled',
    )
    .argument('[url]', 'as in the AIA extension; default: that of --cert, or probe.urls of the configuration')
    .option('--ca <file>', 'CA certificate, PEM or DER: answers are verified with it')
    .addOption(new Option('--issuer <id>', 'or: an issuer of the configuration here').conflicts('ca'))
    .option('--cert <file>', 'certificate of that CA to ask about, PEM or DER')
    .option('--serial <hex>', 'its serial number instead; without either, one that was never issued')
    .addOption(new Option('--hash <name>', 'of the CertID').choices(['sha1', 'sha256']).default('sha1'))
    .option('--ours', 'the responder is certstatus: tries also what it repairs')
    .option(
      '--crl',
      'CRLs: the URL is that of one (one that ends in .crl is anyhow); with --cert those of its crlDistributionPoints, else every CRL of --issuer',
    )
    .action(async (url: string | undefined, options: ProbeOptions, command: Command) => {
      const setup =
        options.issuer === undefined ? undefined : setupOf(loadConfig(loadOptions(command)), options.issuer);
      const issuer = options.ca === undefined ? setup?.issuer : loadIssuer(read('--ca', options.ca), '--ca');
      const { subject, aia } = subjectOf(options, issuer);
      const crls = crlTargets(url, options, issuer, setup);
      const urls = crls.length > 0 ? [] : url !== undefined ? [url] : aia.length > 0 ? aia : configured(command);
      // Between questions nothing but a timer of the clock is left, and that does not keep a process alive.
      const alive = setInterval(() => undefined, 60_000);
      const reports: ProbeReport[] = [];
      try {
        for (const one of crls) reports.push(await probeCrl(one, tcpWire, systemClock));
        for (const one of urls) {
          reports.push(await probe({ url: one, subject, issuer, ours: options.ours === true }, tcpWire, systemClock));
        }
      } finally {
        clearInterval(alive);
      }
      print(command, reports, () => reports.map(text).join('\n'));
      if (reports.some(({ findings }) => findings.some(({ severity }) => severity === 'error'))) process.exitCode = 1;
    });
}

/** CRLs that are to be looked at instead of OCSP; none. */
function crlTargets(
  url: string | undefined,
  { crl, cert }: ProbeOptions,
  issuer: Issuer | undefined,
  setup: IssuerSetup | undefined,
): readonly CrlProbeTarget[] {
  const issuers = issuer === undefined ? [] : [issuer];
  if (url !== undefined) return crl || isCrlUrl(url) ? [{ url, issuers, known: [] }] : [];
  if (!crl) return [];
  if (cert !== undefined) {
    const known = crlDistributionPoints(readCertificate(read('--cert', cert)[0] as Buffer, '--cert'));
    return known.map((one) => ({ url: one, issuers, known: [] }));
  }
  if (setup === undefined)
    throw new Problem('invalid', 'which CRL? Give its URL, --cert of a certificate that names one, or --issuer of the configuration', { field: '--crl' }); // prettier-ignore
  const known = crlUrlsOf(setup);
  if (known.length === 0)
    throw new Problem('config', 'its CRLs have URLs without a host: give one as URL', { field: `issuers/${setup.id}/urls.crl` }); // prettier-ignore
  return known.map((one) => ({ url: one, issuers, known }));
}

function crlUrlsOf({ crls, issuer, urls }: IssuerSetup): readonly string[] {
  return scopesOf(crls, issuer.tag).flatMap(({ shard }) =>
    shard === COMPLETE
      ? urls.crl.flatMap(({ host, path }) => (host === undefined ? [] : `http://${host}${path}`))
      : (shardUrl(crls, shard) ?? []),
  );
}

function text({ url, answer, asked, findings }: ProbeReport): string {
  const found =
    findings.length === 0 ? 'nothing wrong' : `${findings.length} finding${findings.length === 1 ? '' : 's'}`;
  return [
    `${url}: ${answer ?? 'no answer'}; asked ${asked} times, ${found}`,
    ...findings.map(
      ({ severity, asked: how, message, cause, rule }) =>
        `${severity.padEnd(7)}  ${how}: ${message}. Usual cause: ${cause} (${rule})`,
    ),
  ].join('\n');
}

/** Whom to ask about, and where its certificate says to ask. */
function subjectOf(
  { cert, serial, hash, ca, issuer: id }: ProbeOptions,
  issuer: Issuer | undefined,
): { readonly subject: ProbeSubject; readonly aia: readonly string[] } {
  if (issuer === undefined) {
    if (cert !== undefined || serial !== undefined) {
      const why = 'the CA certificate is needed to ask about one of its certificates: give --ca, or --issuer';
      throw new Problem('invalid', why, { field: '--ca', rule: 'RFC 6960 §4.1.1' });
    }
    return { subject: { ...NOBODY, ...(hash === 'sha256' && nobodyBySha256) }, aia: [] };
  }
  const about = (of: Serial): ProbeSubject => ({ hash, issuer: issuer.hashes[hash], serial: of });
  if (cert !== undefined) {
    const [der] = read('--cert', cert);
    const certificate = readCertificate(der as Buffer, '--cert');
    if (!isSignedBy(issuer, certificate.der))
      throw new Problem('invalid', `not signed by the CA of ${ca ?? id}`, { field: '--cert', value: cert });
    return { subject: about(certificate.serial), aia: accessUrls(certificate).ocsp };
  }
  return { subject: about(serialFromHex(serial ?? `5f${randomBytes(15).toString('hex')}`)), aia: [] };
}

/** Hashes of SHA-256's length, of nobody. */
const nobodyBySha256 = {
  hash: 'sha256' as const,
  issuer: { name: Buffer.alloc(32, 0x2a), key: Buffer.alloc(32, 0x2b) },
};

function configured(command: Command): readonly string[] {
  const { urls } = loadConfig(loadOptions(command)).config.probe;
  if (urls.length > 0) return urls;
  throw new Problem('invalid', 'which URL? Give one, or --cert of a certificate that names one, or list them in the configuration', { field: 'probe.urls' }); // prettier-ignore
}

function read(field: string, file: string): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field, value: file });
  }
  return certificatesFromFile(bytes, field);
}
