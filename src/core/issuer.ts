/**
 * An issuer: one CA name with one CA key, however many CA certificates they have (design decision 2, T-11). The 2019 and the
 * 2023 certificate of one CA are one issuer, one CertID, one CRL; one name with two keys is two issuers (C-32, T-19).
 */
import { createHash, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import type { IssuerTag } from './certificate.ts';
import { type CertificateFields, readCertificate } from './certificate-reader.ts';
import { nameText } from './name.ts';
import { isCertificateAuthority, keyUsage, subjectKeyIdentifier } from './certificate-extensions.ts';
import { Problem } from './problem.ts';
import type { Serial } from './serial.ts';
import type { EpochMs } from './time.ts';

export interface Issuer {
  readonly tag: IssuerTag;
  /** The subject of the CA certificates, byte for byte: what a CRL's issuer field and byName repeat (B-25, T-15). */
  readonly nameDer: Buffer;
  /** For people. */
  readonly name: string;
  /** What a CertID holds: issuerNameHash over nameDer, issuerKeyHash over keyBits (RFC 6960 §4.1.1). */
  readonly hashes: { readonly sha1: IssuerHashes; readonly sha256: IssuerHashes };
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Buffer;
  /** What an AuthorityKeyIdentifier names: the newest certificate's SKI extension, else SHA-1 of the key bits. */
  readonly subjectKeyIdentifier: Buffer;
  /** In the order given; the first is the one published at the CA certificate URL. */
  readonly certificates: readonly IssuerCertificate[];
  /** The latest of the certificates. */
  readonly notAfter: EpochMs;
  /** What every one of the certificates permits; all when the extension is absent (RFC 5280 §4.2.1.3). */
  readonly keyUsage: { readonly crlSign: boolean; readonly digitalSignature: boolean };
}

export interface IssuerHashes {
  readonly name: Buffer;
  readonly key: Buffer;
}

export interface IssuerCertificate {
  readonly der: Buffer;
  readonly serial: Serial;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** SHA-256 of the DER in upper case without colons (SR-8.6-a). */
  readonly fingerprint: string;
}

/**
 * The issuer that these CA certificates (DER) stand for.
 * @throws Problem `invalid` when one is no certificate; `config` when there is none, one is not a CA certificate, or two differ
 *   in name or key (both are named).
 */
export function loadIssuer(certificates: readonly Uint8Array[], field: string): Issuer {
  const read = certificates.map((der) => readCertificate(Buffer.from(der), field));
  const first = read[0];
  if (first === undefined)
    throw new Problem('config', 'an issuer needs at least one CA certificate', { field, rule: 'CT-2.2-3' });
  for (const certificate of read) {
    // RFC 5280 §4.2.1.9: without cA TRUE the key must not verify certificate signatures.
    if (!isCertificateAuthority(certificate)) {
      throw new Problem('config', 'not a CA certificate', {
        field,
        value: describe(certificate),
        rule: 'RFC 5280 §4.2.1.9',
      });
    }
    // RFC 5280 §4.1.2.6. Refused here, because no CRL of it could ever be published (C-06).
    if (certificate.subjectDer.length <= 2)
      throw new Problem('config', 'a CA certificate without a subject', { field, rule: 'RFC 5280 §4.1.2.6' });
    refuseOther(first, certificate, field);
  }
  const newest = read.reduce((latest, certificate) =>
    certificate.notBefore > latest.notBefore ? certificate : latest,
  );
  const hashes = { sha1: hashesOf(first, 'sha1'), sha256: hashesOf(first, 'sha256') };
  return {
    tag: createHash('sha256')
      .update(hashes.sha256.name)
      .update(hashes.sha256.key)
      .digest('hex')
      .slice(0, 8) as IssuerTag,
    nameDer: first.subjectDer,
    name: nameText(first.subjectDer),
    hashes,
    publicKey: publicKeyOf(first, field),
    spkiDer: first.spkiDer,
    subjectKeyIdentifier: subjectKeyIdentifier(newest) ?? hashes.sha1.key,
    certificates: read.map((certificate) => ({
      der: certificate.der,
      serial: certificate.serial,
      notBefore: certificate.notBefore,
      notAfter: certificate.notAfter,
      fingerprint: createHash('sha256').update(certificate.der).digest('hex').toUpperCase(),
    })),
    notAfter: Math.max(...read.map((certificate) => certificate.notAfter)),
    keyUsage: {
      crlSign: read.every((certificate) => keyUsage(certificate)?.has('cRLSign') ?? true),
      digitalSignature: read.every((certificate) => keyUsage(certificate)?.has('digitalSignature') ?? true),
    },
  };
}

/**
 * Did the issuer's key sign this certificate? One name can have two keys (T-19): the signature says which it was. What
 * OpenSSL does not take for a certificate at all was signed by nobody.
 */
export function isSignedBy(issuer: Issuer, der: Buffer): boolean {
  try {
    return new X509Certificate(der).verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** @throws Problem `config` for a key that this Node cannot read, a point off its curve included (SR-6.1.6-b). */
export function publicKeyOf(certificate: CertificateFields, field: string): KeyObject {
  try {
    return createPublicKey({ key: certificate.spkiDer, format: 'der', type: 'spki' });
  } catch (error) {
    throw new Problem('config', `the public key cannot be read: ${(error as Error).message}`, {
      field,
      rule: 'SR-6.1.6-b',
    });
  }
}

function refuseOther(first: CertificateFields, other: CertificateFields, field: string): void {
  const differs = !first.subjectDer.equals(other.subjectDer)
    ? 'names'
    : !first.keyBits.equals(other.keyBits)
      ? 'keys'
      : undefined;
  if (differs === undefined) return;
  throw new Problem(
    'config',
    `two issuers, not one: the ${differs} differ; register ${describe(other)} as an issuer of its own`,
    {
      field,
      value: describe(first),
      rule: 'RFC 6960 §4.1.1',
    },
  );
}

function describe(certificate: CertificateFields): string {
  const key = createHash('sha1').update(certificate.keyBits).digest('hex');
  return `${nameText(certificate.subjectDer)} (key ${key}, serial ${certificate.serial})`;
}

function hashesOf(certificate: CertificateFields, algorithm: 'sha1' | 'sha256'): IssuerHashes {
  return {
    name: createHash(algorithm).update(certificate.subjectDer).digest(),
    key: createHash(algorithm).update(certificate.keyBits).digest(),
  };
}
