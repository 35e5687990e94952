/**
 * X.509 certificates, read for what a status service needs: identity, dates, keys, extensions (RFC 5280 §4).
 *
 * A hand-written walk over the DER, because bulk imports read millions of certificates. Strict about structure: definite
 * minimal lengths, nothing left over, no repeated extension. Tolerant of one thing that issued certificates do contain,
 * an explicit `critical FALSE`. Every slice is a view of the input, never re-encoded (T-15); keep the input alive and unchanged.
 */
import {
  BIT_STRING,
  BOOLEAN,
  GENERALIZED_TIME,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  SEQUENCE,
  UTC_TIME,
  Walk,
  type Element,
} from './der/walk.ts';
import { Problem } from './problem.ts';
import { serialFromInteger, type Serial } from './serial.ts';
import type { EpochMs } from './time.ts';

export interface CertificateFields {
  /** The whole certificate. */
  readonly der: Buffer;
  /** What the signature covers. */
  readonly tbsDer: Buffer;
  readonly version: 1 | 2 | 3;
  readonly serial: Serial;
  /** AlgorithmIdentifiers, DER: inside the TBSCertificate and outside. RFC 5280 §4.1.1.2 wants them equal. */
  readonly innerAlgorithm: Buffer;
  readonly signatureAlgorithm: Buffer;
  readonly signature: Buffer;
  /** Name, DER. */
  readonly issuerDer: Buffer;
  readonly subjectDer: Buffer;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** Both dates are UTCTime, not GeneralizedTime. */
  readonly utcTime: boolean;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Buffer;
  /** Value of the subjectPublicKey BIT STRING without its unused-bits octet: what issuerKeyHash and byKey hash. */
  readonly keyBits: Buffer;
  readonly uniqueIdentifiers: boolean;
  readonly extensions: readonly Extension[];
}

export interface Extension {
  /** Content octets of the OID, hex: as in certificate-extensions.ts. */
  readonly oid: string;
  readonly critical: boolean;
  /** Content of extnValue. */
  readonly value: Buffer;
}

/**
 * Reads one certificate.
 * @throws Problem `invalid` naming `field` and the offset: not DER, not a certificate, or a serial number over 20 octets.
 */
export function readCertificate(der: Uint8Array, field = 'certificate'): CertificateFields {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.length);
  const walk: Walk = new Walk(bytes, field);
  const certificate = walk.only(0, bytes.length, SEQUENCE);
  const tbs = walk.next(certificate.start, certificate.end, SEQUENCE);
  const signatureAlgorithm = walk.next(tbs.end, certificate.end, SEQUENCE);
  const signature = walk.only(signatureAlgorithm.end, certificate.end, BIT_STRING);

  const end = tbs.end;
  let at = tbs.start;
  let version: 1 | 2 | 3 = 1;
  if (bytes[at] === 0xa0) {
    const explicit = walk.next(at, end, 0xa0);
    const number = walk.only(explicit.start, explicit.end, INTEGER);
    const value = number.end - number.start === 1 ? (bytes[number.start] as number) : -1;
    // RFC 5280 §4.1.2.1: v2(1) or v3(2); v1 is the DEFAULT and never encoded.
    if (value !== 1 && value !== 2) walk.refuse(number.start, 'not a version 2 or 3 certificate', 'RFC 5280 §4.1.2.1');
    version = value === 1 ? 2 : 3;
    at = explicit.end;
  }
  const serialNumber = walk.next(at, end, INTEGER);
  const serial = serialFromInteger(bytes.subarray(serialNumber.start, serialNumber.end));
  if (serial === undefined) {
    walk.refuse(
      serialNumber.start,
      'serial number is negative, not minimal or longer than 20 octets',
      'RFC 5280 §4.1.2.2',
    );
  }
  const innerAlgorithm = walk.next(serialNumber.end, end, SEQUENCE);
  const issuer = walk.next(innerAlgorithm.end, end, SEQUENCE);
  const validity = walk.next(issuer.end, end, SEQUENCE);
  const notBefore = walk.any(validity.start, validity.end);
  const notAfter = walk.any(notBefore.end, validity.end);
  if (notAfter.end !== validity.end)
    walk.refuse(notAfter.end, 'more than two dates in the validity', 'RFC 5280 §4.1.2.5');
  const subject = walk.next(validity.end, end, SEQUENCE);
  const spki = walk.next(subject.end, end, SEQUENCE);
  const keyAlgorithm = walk.next(spki.start, spki.end, SEQUENCE);
  const key = walk.only(keyAlgorithm.end, spki.end, BIT_STRING);

  at = spki.end;
  let uniqueIdentifiers = false;
  for (const tag of [0x81, 0x82]) {
    if (at < end && bytes[at] === tag) {
      at = walk.next(at, end, tag).end;
      uniqueIdentifiers = true;
    }
  }
  let extensions: readonly Extension[] = [];
  if (at < end) {
    const wrapper = walk.only(at, end, 0xa3);
    const list = walk.only(wrapper.start, wrapper.end, SEQUENCE);
    extensions = readExtensions(walk, list);
  }
  return {
    der: bytes,
    tbsDer: bytes.subarray(tbs.from, tbs.end),
    version,
    serial,
    innerAlgorithm: bytes.subarray(innerAlgorithm.from, innerAlgorithm.end),
    signatureAlgorithm: bytes.subarray(signatureAlgorithm.from, signatureAlgorithm.end),
    signature: walk.bits(signature),
    issuerDer: bytes.subarray(issuer.from, issuer.end),
    subjectDer: bytes.subarray(subject.from, subject.end),
    notBefore: readTime(walk, notBefore),
    notAfter: readTime(walk, notAfter),
    utcTime: notBefore.tag === UTC_TIME && notAfter.tag === UTC_TIME,
    spkiDer: bytes.subarray(spki.from, spki.end),
    keyBits: walk.bits(key),
    uniqueIdentifiers,
    extensions,
  };
}

/**
 * The certificates of a file: any number of PEM blocks (text around them and other blocks are skipped), or DER, one after the other.
 * @throws Problem `invalid` when there is none, or a block is not base64.
 */
export function certificatesFromFile(bytes: Uint8Array, field = 'certificate'): readonly Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer[0] === SEQUENCE) {
    const walk: Walk = new Walk(buffer, field);
    return walk
      .members({ tag: 0, from: 0, start: 0, end: buffer.length })
      .map((element) => buffer.subarray(element.from, element.end));
  }
  const certificates: Buffer[] = [];
  for (const [, body] of buffer.toString('latin1').matchAll(PEM_CERTIFICATE)) {
    const base64 = (body as string).replace(/\s+/g, '');
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
      throw new Problem('invalid', `PEM block ${certificates.length + 1} is not base64`, {
        field,
        rule: 'RFC 7468 §2',
      });
    }
    certificates.push(Buffer.from(base64, 'base64'));
  }
  if (certificates.length === 0)
    throw new Problem('invalid', 'no certificate in it, neither PEM nor DER', { field, rule: 'RFC 7468 §5' });
  return certificates;
}

const PEM_CERTIFICATE = /-----BEGIN (?:X509 )?CERTIFICATE-----([^-]*)-----END (?:X509 )?CERTIFICATE-----/g;

function readExtensions(walk: Walk, list: Element): readonly Extension[] {
  const extensions: Extension[] = [];
  for (const extension of walk.members(list)) {
    const oid = walk.next(extension.start, extension.end, OBJECT_IDENTIFIER);
    let at = oid.end;
    let critical = false;
    if (walk.bytes[at] === BOOLEAN) {
      const flag = walk.next(at, extension.end, BOOLEAN);
      critical = walk.bytes[flag.start] !== 0;
      at = flag.end;
    }
    const value = walk.only(at, extension.end, OCTET_STRING);
    const name = walk.bytes.toString('hex', oid.start, oid.end);
    // RFC 5280 §4.2: not more than one instance of an extension. Two would let two readers see two certificates.
    if (extensions.some((earlier) => earlier.oid === name))
      walk.refuse(extension.from, 'an extension appears twice', 'RFC 5280 §4.2');
    extensions.push({ oid: name, critical, value: walk.bytes.subarray(value.start, value.end) });
  }
  return extensions;
}

/** RFC 5280 §4.1.2.5: UTCTime YYMMDDHHMMSSZ, 1950–2049; GeneralizedTime YYYYMMDDHHMMSSZ; always Z, never a fraction. */
function readTime(walk: Walk, element: Element): EpochMs {
  const text = walk.bytes.toString('latin1', element.start, element.end);
  const digits =
    element.tag === UTC_TIME ? `${text < '5' ? '20' : '19'}${text}` : element.tag === GENERALIZED_TIME ? text : '';
  if (!/^\d{14}Z$/.test(digits)) walk.refuse(element.from, 'not a date in the form of RFC 5280', 'RFC 5280 §4.1.2.5');
  const part = (from: number, to: number): number => Number(digits.slice(from, to));
  const [day, hour, minute, second] = [part(6, 8), part(8, 10), part(10, 12), part(12, 14)];
  const ms = Date.UTC(part(0, 4), part(4, 6) - 1, day, hour, minute, second);
  // Date.UTC rolls 31 February and 24:00 over to another day.
  if (new Date(ms).getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
    walk.refuse(element.from, 'no such instant', 'RFC 5280 §4.1.2.5');
  }
  return ms;
}
