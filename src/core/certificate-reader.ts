/**
 * X.509 certificates, read for what a status service needs: identity, dates, keys, extensions (RFC 5280 §4).
 *
 * A hand-written walk over the DER, because bulk imports read millions of certificates. Strict about structure: definite
 * minimal lengths, nothing left over, no repeated extension. Tolerant of one thing that issued certificates do contain,
 * an explicit `critical FALSE`. Every slice is a view of the input, never re-encoded (T-15); keep the input alive and unchanged.
 */
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
  /** Content octets of the OID, hex: a key of OID. */
  readonly oid: string;
  readonly critical: boolean;
  /** Content of extnValue. */
  readonly value: Buffer;
}

/** OIDs as the hex of their content octets. */
export const OID = {
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  crlDistributionPoints: '551d1f',
  certificatePolicies: '551d20',
  authorityKeyIdentifier: '551d23',
  extKeyUsage: '551d25',
  authorityInfoAccess: '2b06010505070101',
  ocspNoCheck: '2b0601050507300105',
  poison: '2b06010401d679020403',
  sctList: '2b06010401d679020402',
  ocspSigning: '2b06010505070309',
  adOcsp: '2b06010505073001',
  adCaIssuers: '2b06010505073002',
} as const;

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

/** The content of one extension; undefined when the certificate has none with this OID. */
export function extensionOf(certificate: CertificateFields, oid: string): Extension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid);
}

/** RFC 6962 §3.1: a critical extension with this OID makes it a precertificate. */
export function isPrecertificate(certificate: CertificateFields): boolean {
  return extensionOf(certificate, OID.poison) !== undefined;
}

/** The AuthorityKeyIdentifier: its keyIdentifier, and whether it carries anything else. */
export function authorityKeyIdentifier(
  certificate: CertificateFields,
): { keyIdentifier: Buffer | undefined; more: boolean } | undefined {
  const extension = extensionOf(certificate, OID.authorityKeyIdentifier);
  if (extension === undefined) return undefined;
  const walk: Walk = new Walk(extension.value, 'authorityKeyIdentifier');
  const members = walk.members(walk.only(0, extension.value.length, SEQUENCE));
  const id = members.find((member) => member.tag === 0x80);
  return {
    keyIdentifier: id === undefined ? undefined : extension.value.subarray(id.start, id.end),
    more: members.some((member) => member.tag !== 0x80),
  };
}

export function subjectKeyIdentifier(certificate: CertificateFields): Buffer | undefined {
  const extension = extensionOf(certificate, OID.subjectKeyIdentifier);
  if (extension === undefined) return undefined;
  const octets = new Walk(extension.value, 'subjectKeyIdentifier').only(0, extension.value.length, OCTET_STRING);
  return extension.value.subarray(octets.start, octets.end);
}

/** RFC 5280 §4.2.1.9: cA is FALSE when the extension is absent. */
export function isCertificateAuthority(certificate: CertificateFields): boolean {
  const extension = extensionOf(certificate, OID.basicConstraints);
  if (extension === undefined) return false;
  const walk: Walk = new Walk(extension.value, 'basicConstraints');
  const [first] = walk.members(walk.only(0, extension.value.length, SEQUENCE));
  return first?.tag === BOOLEAN && extension.value[first.start] !== 0;
}

/** KeyUsage bits by name; undefined when the extension is absent, which RFC 5280 §4.2.1.3 reads as no restriction. */
export function keyUsage(certificate: CertificateFields): ReadonlySet<KeyUsageName> | undefined {
  const extension = extensionOf(certificate, OID.keyUsage);
  if (extension === undefined) return undefined;
  const bits = new Walk(extension.value, 'keyUsage').only(0, extension.value.length, BIT_STRING);
  const octets = extension.value.subarray(bits.start + 1, bits.end);
  return new Set(KEY_USAGE_NAMES.filter((_, bit) => ((octets[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1));
}

/** In the order of RFC 5280 §4.2.1.3, bit 0 first. */
export const KEY_USAGE_NAMES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsageName = (typeof KEY_USAGE_NAMES)[number];

/** The purposes of ExtKeyUsage as OID hex; undefined when the extension is absent. */
export function extendedKeyUsage(certificate: CertificateFields): readonly string[] | undefined {
  const extension = extensionOf(certificate, OID.extKeyUsage);
  if (extension === undefined) return undefined;
  const walk: Walk = new Walk(extension.value, 'extKeyUsage');
  return walk
    .members(walk.only(0, extension.value.length, SEQUENCE))
    .map((member) => extension.value.toString('hex', member.start, member.end));
}

/** URIs of AuthorityInfoAccess: where the certificate itself says OCSP and its issuer's certificate are. */
export function accessUrls(certificate: CertificateFields): {
  readonly ocsp: readonly string[];
  readonly caIssuers: readonly string[];
} {
  const ocsp: string[] = [];
  const caIssuers: string[] = [];
  const extension = extensionOf(certificate, OID.authorityInfoAccess);
  if (extension !== undefined) {
    const walk: Walk = new Walk(extension.value, 'authorityInfoAccess');
    for (const description of walk.members(walk.only(0, extension.value.length, SEQUENCE))) {
      const [method, location] = walk.members(description);
      if (method?.tag !== OBJECT_IDENTIFIER || location?.tag !== URI) continue;
      const oid = extension.value.toString('hex', method.start, method.end);
      const uri = extension.value.toString('latin1', location.start, location.end);
      if (oid === OID.adOcsp) ocsp.push(uri);
      if (oid === OID.adCaIssuers) caIssuers.push(uri);
    }
  }
  return { ocsp, caIssuers };
}

/**
 * Whether nobody can learn of its revocation but from a CRL: what makes the issuer's CRLs be due every 4 days (B-13, T-42). A responder
 * certificate with ocsp-nocheck is not counted: it names no responder by its nature (BR 7.1.2.8.3), and an issuer that has one would
 * never be under the 7-day rule that BR 4.9.7 gives it.
 */
export function namesNoOcsp(certificate: CertificateFields): boolean {
  return accessUrls(certificate).ocsp.length === 0 && extensionOf(certificate, OID.ocspNoCheck) === undefined;
}

/** fullName URIs of CRLDistributionPoints: the shard of a certificate has one of these, byte for byte (B-32, P-11). */
export function crlDistributionPoints(certificate: CertificateFields): readonly string[] {
  const extension = extensionOf(certificate, OID.crlDistributionPoints);
  if (extension === undefined) return [];
  const walk: Walk = new Walk(extension.value, 'crlDistributionPoints');
  const uris: string[] = [];
  for (const point of walk.members(walk.only(0, extension.value.length, SEQUENCE))) {
    const name = walk.members(point).find((member) => member.tag === 0xa0);
    const fullName = name && walk.members(name).find((member) => member.tag === 0xa0);
    for (const general of fullName ? walk.members(fullName) : []) {
      if (general.tag === URI) uris.push(extension.value.toString('latin1', general.start, general.end));
    }
  }
  return uris;
}

/** One attribute of a Name: `CN` and the like, or the OID's hex for a type without a short name. */
export interface NameAttribute {
  readonly type: string;
  readonly value: string;
}

/** The attributes of a Name in their order. For people and for comparing with a preset; bytes are what counts elsewhere. */
export function readName(der: Uint8Array): readonly NameAttribute[] {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.length);
  const walk: Walk = new Walk(bytes, 'name');
  return walk.members(walk.only(0, bytes.length, SEQUENCE)).flatMap((set) =>
    walk.members(set).map((attribute) => {
      const [type, value] = walk.members(attribute);
      if (type === undefined || value === undefined)
        walk.refuse(attribute.start, 'not an attribute of a name', 'RFC 5280 §4.1.2.4');
      const oid = bytes.toString('hex', type.start, type.end);
      return {
        type: ATTRIBUTE_NAMES[oid] ?? oid,
        value: decodeString(value.tag, bytes.subarray(value.start, value.end)),
      };
    }),
  );
}

/** `C=JP, O=Example, CN=Example CA`: not for comparing. */
export function nameText(der: Uint8Array): string {
  return readName(der)
    .map(({ type, value }) => `${type}=${value}`)
    .join(', ');
}

const ATTRIBUTE_NAMES: Record<string, string> = {
  '550403': 'CN',
  '550405': 'serialNumber',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '55040a': 'O',
  '55040b': 'OU',
  '550461': 'organizationIdentifier',
  '0992268993f22c640101': 'UID',
  '0992268993f22c640119': 'DC',
  '2a864886f70d010901': 'emailAddress',
};

/** X.690 §8.23: two octets a character, or four, are big-endian. What is no string at all is shown as RFC 4514 §2.4 has it. */
function decodeString(tag: number, octets: Buffer): string {
  const width = tag === BMP_STRING ? 2 : tag === UNIVERSAL_STRING ? 4 : 1;
  if (octets.length % width !== 0) return `#${octets.toString('hex')}`;
  if (width === 1) return octets.toString(tag === UTF8_STRING ? 'utf8' : 'latin1');
  let text = '';
  for (let at = 0; at < octets.length; at += width) {
    const code = octets.readUIntBE(at, width);
    text += width === 2 ? String.fromCharCode(code) : code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return text;
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

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UNIVERSAL_STRING = 0x1c;
const BMP_STRING = 0x1e;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
/** GeneralName uniformResourceIdentifier [6] IMPLICIT IA5String. */
const URI = 0x86;

interface Element {
  readonly tag: number;
  /** Offset of the tag, of the content, and of what follows. */
  readonly from: number;
  readonly start: number;
  readonly end: number;
}

/** DER elements of one buffer: definite, minimal lengths, single-octet tags. */
class Walk {
  readonly bytes: Buffer;
  readonly #field: string;

  constructor(bytes: Buffer, field: string) {
    this.bytes = bytes;
    this.#field = field;
  }

  refuse(offset: number, message: string, rule = 'X.690 §10'): never {
    throw new Problem('invalid', `${message}, at octet ${offset}`, { field: this.#field, rule });
  }

  any(from: number, limit: number): Element {
    const tag = this.bytes[from];
    let length = this.bytes[from + 1];
    if (tag === undefined || length === undefined) this.refuse(from, 'ends too early');
    let start = from + 2;
    if (length >= 0x80) {
      const octets = length & 0x7f;
      // 80 is the indefinite form; four octets would be a certificate of more than 16 MB.
      if (octets === 0 || octets > 3 || start + octets > limit) this.refuse(from, 'length is indefinite or too large');
      length = this.bytes.readUIntBE(start, octets);
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) this.refuse(from, 'length is not minimal');
      start += octets;
    }
    if (start + length > limit) this.refuse(from, 'is longer than what contains it');
    return { tag, from, start, end: start + length };
  }

  next(from: number, limit: number, tag: number): Element {
    const element = this.any(from, limit);
    if (element.tag !== tag) this.refuse(from, `expected tag ${tag.toString(16)}, found ${element.tag.toString(16)}`);
    return element;
  }

  only(from: number, limit: number, tag: number): Element {
    const element = this.next(from, limit, tag);
    if (element.end !== limit) this.refuse(element.end, 'unexpected octets after it');
    return element;
  }

  members(parent: Element): readonly Element[] {
    const members: Element[] = [];
    for (let at = parent.start; at < parent.end; at = (members.at(-1) as Element).end)
      members.push(this.any(at, parent.end));
    return members;
  }

  /** The octets of a BIT STRING that uses all its bits, as keys and signatures do. */
  bits(element: Element): Buffer {
    if (this.bytes[element.start] !== 0) this.refuse(element.start, 'a BIT STRING with unused bits, or empty');
    return this.bytes.subarray(element.start + 1, element.end);
  }
}
