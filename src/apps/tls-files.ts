/**
 * The PEM files of TLS: read, and held against each other before OpenSSL has them, because OpenSSL names neither the file nor the remedy.
 * Two kinds of wrong: what no connection could be made with, and what could, and would refuse everybody at this instant.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { readCertificate } from '../core/certificate-reader.ts';
import { crlFromFile, readCrl } from '../core/crl/crl-reader.ts';
import { Problem } from '../core/problem.ts';
import { rfc3339, type EpochMs } from '../core/time.ts';
import { fileProblem } from './errors.ts';
import type { RedisConfig } from './store-config.ts';

type RedisTlsFiles = NonNullable<RedisConfig['tls']>;

/** PEM, as node:tls takes it. */
export interface TlsMaterial {
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly ca: Buffer;
  /** One each: of several in one buffer node:tls reads the first alone. Undefined: certificates are taken until they end. */
  readonly crl: readonly Buffer[] | undefined;
}

/** A file, and the key of certstatus.yaml that names it. */
interface NamedFile {
  readonly field: string;
  readonly file: string;
}

export interface TlsFileNames {
  readonly certificate: NamedFile | undefined;
  readonly key: NamedFile | undefined;
  readonly ca: NamedFile;
  readonly crl: NamedFile | undefined;
}

export interface TlsReview {
  /** Undefined when anything is unusable. */
  readonly material: TlsMaterial | undefined;
  /** No connection could be made with it. */
  readonly unusable: readonly Problem[];
  /** One could, but clients would refuse, or be refused: `of` is the part that has ended, has not begun, or lacks a CRL. */
  readonly refusing: readonly { readonly of: keyof TlsMaterial; readonly problem: Problem }[];
}

/** The files of a private port, as a section of certstatus.yaml names them. @param section e.g. `listen.admin.tls`. */
export function portFiles(
  section: string,
  files: {
    readonly certificate: string;
    readonly key: string;
    readonly clientCa: string;
    readonly clientCrl?: string | undefined;
  },
): TlsFileNames {
  const named = (key: string, file: string): NamedFile => ({ field: `${section}.${key}`, file });
  return {
    certificate: named('certificate', files.certificate),
    key: named('key', files.key),
    ca: named('clientCa', files.clientCa),
    crl: files.clientCrl === undefined ? undefined : named('clientCrl', files.clientCrl),
  };
}

/** The files of `store.redis.tls`. */
export function redisFiles({ ca, certificate, key }: RedisTlsFiles): TlsFileNames {
  const named = (of: string, file: string): NamedFile => ({ field: `store.redis.tls.${of}`, file });
  return {
    certificate: certificate === undefined ? undefined : named('certificate', certificate),
    key: key === undefined ? undefined : named('key', key),
    ca: named('ca', ca),
    crl: undefined,
  };
}

/** Never throws. */
export function reviewTls(names: TlsFileNames, now: EpochMs): TlsReview {
  const unusable: Problem[] = [];
  const refusing: { of: keyof TlsMaterial; problem: Problem }[] = [];
  const late = (of: keyof TlsMaterial) => (problem: Problem | undefined) =>
    problem === undefined ? undefined : refusing.push({ of, problem });
  /** Undefined, and a problem noted, for what cannot be read. */
  const attempt = <T>(named: NamedFile | undefined, read: (octets: Buffer, named: NamedFile) => T): T | undefined => {
    if (named === undefined) return undefined;
    try {
      return read(octetsOf(named), named);
    } catch (error) {
      unusable.push(error instanceof Problem ? error : problemAt(named, (error as Error).message));
      return undefined;
    }
  };

  const cert = attempt(names.certificate, (octets, named) => {
    const chain = certificatesIn(octets, named);
    late('cert')(lifetime(chain[0] as X509Certificate, named, now));
    return { octets, chain };
  });
  const key = attempt(names.key, (octets, named) => ({ octets, key: privateKeyIn(octets, named) }));
  if (cert !== undefined && key !== undefined && names.certificate !== undefined)
    unusable.push(...misfit(cert.chain, key.key, names.certificate, names.key as NamedFile));
  const ca = attempt(names.ca, (octets, named) => {
    const list = certificatesIn(octets, named);
    // One of several may have ended: whoever it certified is refused, the others are not.
    const [first] = list.map((one) => lifetime(one, named, now));
    if (list.every((one) => lifetime(one, named, now) !== undefined)) late('ca')(first);
    return { octets, list };
  });
  const crl = attempt(names.crl, (octets, named) => {
    const crls = crlsIn(octets, named, now);
    for (const { problem } of crls) late('crl')(problem);
    for (const problem of uncovered(ca?.list ?? [], crls, named)) late('crl')(problem);
    return crls.map(({ pem }) => pem);
  });
  if (ca === undefined || unusable.length > 0) return { material: undefined, unusable, refusing };
  const material = { cert: cert?.octets, key: key?.octets, ca: ca.octets, crl };
  unusable.push(...refusedByOpenSsl(material, names.certificate ?? names.ca));
  return { material: unusable.length > 0 ? undefined : material, unusable, refusing };
}

export function sameMaterial(a: TlsMaterial, b: TlsMaterial): boolean {
  return (['cert', 'key', 'ca', 'crl'] as const).every((of) => sameOctets(a[of], b[of]));
}

type Octets = Buffer | readonly Buffer[] | undefined;

export function sameOctets(a: Octets, b: Octets): boolean {
  const list = (of: Octets): readonly Buffer[] => (of === undefined ? [] : Buffer.isBuffer(of) ? [of] : of);
  const [left, right] = [list(a), list(b)];
  return left.length === right.length && left.every((one, i) => one.equals(right[i] as Buffer));
}

/** When the certificate that is shown ends; undefined without one. */
export function endOf(material: TlsMaterial | undefined): EpochMs | undefined {
  return material?.cert === undefined ? undefined : Date.parse(new X509Certificate(material.cert).validTo);
}

/** @throws Problem `config` for a file that cannot be read, or is empty. */
export function octetsOf(named: NamedFile): Buffer {
  let octets: Buffer;
  try {
    octets = readFileSync(named.file);
  } catch (error) {
    throw problemAt(named, `cannot be read: ${fileProblem(error)}`);
  }
  if (octets.length === 0) throw problemAt(named, 'is empty');
  return octets;
}

function certificatesIn(octets: Buffer, named: NamedFile): readonly X509Certificate[] {
  const blocks = blocksIn(octets, '(?:X509 )?CERTIFICATE');
  if (blocks.length === 0) throw problemAt(named, 'has no certificate in PEM (-----BEGIN CERTIFICATE-----)');
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw problemAt(named, `certificate ${i + 1} of ${blocks.length} in it is damaged`);
    }
  });
}

function privateKeyIn(octets: Buffer, named: NamedFile): KeyObject {
  if (/ENCRYPTED/.test(octets.toString('latin1')))
    throw problemAt(named, 'is encrypted with a passphrase: give a key without one, readable by the service alone');
  try {
    return createPrivateKey(octets);
  } catch {
    throw problemAt(named, 'has no private key in PEM (-----BEGIN PRIVATE KEY-----)');
  }
}

function misfit(
  chain: readonly X509Certificate[],
  key: KeyObject,
  certificate: NamedFile,
  named: NamedFile,
): readonly Problem[] {
  const at = chain.findIndex((one) => one.checkPrivateKey(key));
  if (at === 0) return [];
  return [
    at > 0
      ? problemAt(
          certificate,
          `certificate ${at + 1} in it is the one of the key: it must stand first, its CA after it`,
        )
      : problemAt(named, `is not the key of ${certificate.file}: put certificate and key of one pair there`),
  ];
}

/** CRLs with what is wrong with the time of each. @throws Problem for what is no CRL in PEM. */
function crlsIn(
  octets: Buffer,
  named: NamedFile,
  now: EpochMs,
): readonly { readonly pem: Buffer; readonly issuer: Uint8Array; readonly problem: Problem | undefined }[] {
  const blocks = blocksIn(octets, 'X509 CRL');
  if (blocks.length === 0) throw problemAt(named, 'has no CRL in PEM (-----BEGIN X509 CRL-----)');
  return blocks.map((pem, i) => {
    try {
      const { issuer, thisUpdate, nextUpdate } = readCrl(crlFromFile(pem));
      const which = blocks.length === 1 ? '' : `CRL ${i + 1} of ${blocks.length} in it `;
      // OpenSSL refuses every certificate whose CRL is not of this moment.
      const problem =
        nextUpdate !== undefined && nextUpdate < now
          ? problemAt(named, `${which}ended ${rfc3339(nextUpdate)}: with it every client is refused`)
          : thisUpdate > now
            ? problemAt(named, `${which}begins ${rfc3339(thisUpdate)}: until then every client is refused`)
            : undefined;
      return { pem, issuer, problem };
    } catch {
      throw problemAt(named, `CRL ${i + 1} of ${blocks.length} in it is damaged`);
    }
  });
}

/** OpenSSL wants a CRL of every CA of a chain. */
function uncovered(
  authorities: readonly X509Certificate[],
  crls: readonly { readonly issuer: Uint8Array }[],
  named: NamedFile,
): readonly Problem[] {
  return authorities.flatMap(({ raw, subject }) => {
    let name: Buffer;
    try {
      name = readCertificate(raw).subjectDer;
    } catch {
      // Our reader is stricter than OpenSSL, which takes it: then it cannot be told.
      return [];
    }
    if (crls.some(({ issuer }) => name.equals(issuer))) return [];
    return problemAt(named, `has no CRL of ${subject.replace(/\n/g, ', ')}: every client that it certified is refused`);
  });
}

function lifetime(certificate: X509Certificate, named: NamedFile, now: EpochMs): Problem | undefined {
  const notBefore = Date.parse(certificate.validFrom);
  const notAfter = Date.parse(certificate.validTo);
  if (notAfter < now) return problemAt(named, `ended ${rfc3339(notAfter)}: put a valid one there`);
  if (notBefore > now) return problemAt(named, `is not valid before ${rfc3339(notBefore)}: is the clock right?`);
  return undefined;
}

/** What only OpenSSL knows of: its security level, for one. */
function refusedByOpenSsl(material: TlsMaterial, named: NamedFile): readonly Problem[] {
  const { crl, ...rest } = material;
  try {
    createSecureContext({ ...rest, crl: crl?.slice() });
    return [];
  } catch (error) {
    return [problemAt(named, `TLS cannot use it: ${(error as Error).message}`)];
  }
}

function blocksIn(octets: Buffer, label: string): readonly Buffer[] {
  const block = new RegExp(`-----BEGIN (${label})-----[^-]*-----END \\1-----`, 'g');
  return [...octets.toString('latin1').matchAll(block)].map(([text]) => Buffer.from(`${text}\n`, 'latin1'));
}

function problemAt({ field, file }: NamedFile, message: string): Problem {
  return new Problem('config', message, { field, value: file });
}
