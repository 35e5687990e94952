/**
 * Builds certificates: the demo PKI, its TLS material, and every certificate that the tests need. No CA software: the caller decides
 * what goes in, this file only encodes it as DER and signs. Names come as bytes, so that an issuer's is copied, never re-encoded (T-15).
 */
import { type KeyObject, sign } from 'node:crypto';
import type { Extension } from './certificate-reader.ts';
import { KEY_USAGE_NAMES, type KeyUsageName, OID } from './certificate-extensions.ts';
import { type Serial, serialBytes, serialFromInteger } from './serial.ts';
import { algorithmFor, type SignatureAlgorithm } from './signature-algorithm.ts';
import { type EpochMs, wholeSecond } from './time.ts';

export interface CertificateDraft {
  readonly serial: Serial;
  readonly issuerDer: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  /** Written in this order. */
  readonly extensions: readonly Extension[];
}

/** The DER of a version 3 certificate, signed with the key (SHA-256 for RSA, the curve's hash for ECDSA). */
export function writeCertificate(draft: CertificateDraft, issuerKey: KeyObject): Buffer {
  const algorithm = algorithmFor(issuerKey, 'issuer key');
  const tbs = certificateToBeSigned(draft, algorithm);
  const signature = sign(algorithm.hash, tbs, { key: issuerKey, dsaEncoding: 'der' });
  return assembleCertificate(tbs, algorithm, signature);
}

/** TBSCertificate, DER: what the CA signs. */
export function certificateToBeSigned(draft: CertificateDraft, algorithm: SignatureAlgorithm): Buffer {
  return sequence(
    tlv(0xa0, integer(Buffer.of(2))), // RFC 5280 §4.1.2.1: v3, because there are extensions
    integer(serialBytes(draft.serial)),
    algorithm.identifier,
    draft.issuerDer,
    sequence(time(draft.notBefore), time(draft.notAfter)),
    draft.subjectDer,
    draft.spkiDer,
    tlv(0xa3, sequence(...draft.extensions.map(writeExtension))),
  );
}

/** @param signature of `tbs`, as the algorithm writes it into a BIT STRING. */
export function assembleCertificate(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Buffer {
  return sequence(tbs, algorithm.identifier, bitString(signature));
}

/** A positive serial number with the top bit of these random octets cleared and the next one set: always the same length. */
export function serialFromRandom(random: Uint8Array): Serial {
  const octets = Buffer.from(random);
  octets[0] = ((octets[0] as number) & 0x7f) | 0x40;
  return serialFromInteger(octets) as Serial;
}

/** A Name of one attribute per RDN, in this order: PrintableString where the characters permit it, else UTF8String (BR 7.1.4.2). */
export function writeName(attributes: readonly (readonly [keyof typeof ATTRIBUTE_OIDS, string])[]): Buffer {
  return sequence(
    ...attributes.map(([type, value]) => {
      const tag = /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value) ? 0x13 : 0x0c;
      return tlv(0x31, sequence(oid(ATTRIBUTE_OIDS[type]), tlv(tag, Buffer.from(value, 'utf8'))));
    }),
  );
}

const ATTRIBUTE_OIDS = { CN: '550403', C: '550406', L: '550407', ST: '550408', O: '55040a', OU: '55040b' } as const;

/** Critical. RFC 5280 §4.2.1.9; cA FALSE is a DEFAULT, so its content is `3000`. */
export function basicConstraints(cA: boolean, pathLen?: number): Extension {
  const members = cA
    ? [tlv(0x01, Buffer.of(0xff)), ...(pathLen === undefined ? [] : [integer(Buffer.of(pathLen))])]
    : [];
  return { oid: OID.basicConstraints, critical: true, value: sequence(...members) };
}

/** Critical. X.690 §11.2.2: trailing zero bits of a named bit list are not encoded. */
export function keyUsageExtension(...uses: readonly KeyUsageName[]): Extension {
  const bits = uses.map((use) => KEY_USAGE_NAMES.indexOf(use));
  const last = Math.max(...bits);
  const octets = Buffer.alloc((last >> 3) + 1);
  for (const bit of bits) octets[bit >> 3] = (octets[bit >> 3] as number) | (0x80 >> (bit & 7));
  return { oid: OID.keyUsage, critical: true, value: tlv(0x03, Buffer.of(7 - (last & 7)), octets) };
}

export function extKeyUsage(...purposes: readonly (keyof typeof PURPOSES)[]): Extension {
  const value = sequence(...purposes.map((purpose) => oid(PURPOSES[purpose])));
  return { oid: OID.extKeyUsage, critical: false, value };
}

const PURPOSES = {
  serverAuth: '2b06010505070301',
  clientAuth: '2b06010505070302',
  OCSPSigning: OID.ocspSigning,
} as const;

export function ocspNoCheck(): Extension {
  return { oid: OID.ocspNoCheck, critical: false, value: Buffer.of(0x05, 0x00) };
}

/** RFC 6962 §3.1. */
export function poison(): Extension {
  return { oid: OID.poison, critical: true, value: Buffer.of(0x05, 0x00) };
}

export function subjectKeyIdentifierExtension(keyIdentifier: Uint8Array): Extension {
  return { oid: OID.subjectKeyIdentifier, critical: false, value: tlv(0x04, keyIdentifier) };
}

export function authorityKeyIdentifierExtension(keyIdentifier: Uint8Array): Extension {
  return { oid: OID.authorityKeyIdentifier, critical: false, value: sequence(tlv(0x80, keyIdentifier)) };
}

export function authorityInfoAccess(urls: { readonly ocsp?: string; readonly caIssuers?: string }): Extension {
  const descriptions: Buffer[] = [];
  if (urls.ocsp !== undefined) descriptions.push(sequence(oid(OID.adOcsp), uri(urls.ocsp)));
  if (urls.caIssuers !== undefined) descriptions.push(sequence(oid(OID.adCaIssuers), uri(urls.caIssuers)));
  return { oid: OID.authorityInfoAccess, critical: false, value: sequence(...descriptions) };
}

/** One distribution point with one fullName URI. */
export function crlDistributionPoint(url: string): Extension {
  return { oid: OID.crlDistributionPoints, critical: false, value: sequence(sequence(tlv(0xa0, tlv(0xa0, uri(url))))) };
}

/** DNS names, and IP addresses as their 4 or 16 octets. */
export function subjectAltName(dnsNames: readonly string[], ipAddresses: readonly Uint8Array[] = []): Extension {
  const names = [
    ...dnsNames.map((name) => tlv(0x82, Buffer.from(name, 'latin1'))),
    ...ipAddresses.map((address) => tlv(0x87, address)),
  ];
  return { oid: OID.subjectAltName, critical: false, value: sequence(...names) };
}

/** `-----BEGIN <label>-----`, lines of 64 characters (RFC 7468 §2). */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The Extension of RFC 5280 §4.1. */
export function writeExtension({ oid: id, critical, value }: Extension): Buffer {
  return sequence(oid(id), ...(critical ? [tlv(0x01, Buffer.of(0xff))] : []), tlv(0x04, value));
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
function time(ms: EpochMs): Buffer {
  const digits = `${new Date(wholeSecond(ms)).toISOString().slice(0, 19).replace(/\D/g, '')}Z`;
  return digits < '2050' ? tlv(0x17, Buffer.from(digits.slice(2))) : tlv(0x18, Buffer.from(digits));
}

/* The DER that this file and csr.ts are written in. */

export const sequence = (...members: readonly Uint8Array[]): Buffer => tlv(0x30, ...members);
const integer = (content: Uint8Array): Buffer => tlv(0x02, content);
export const bitString = (octets: Uint8Array): Buffer => tlv(0x03, Buffer.of(0), octets);
export const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const uri = (text: string): Buffer => tlv(0x86, Buffer.from(text, 'latin1'));

export function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) octets.unshift(rest & 0xff);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | octets.length, ...octets];
  return Buffer.concat([Buffer.from(head), ...content]);
}
