/**
 * OCSPRequest (RFC 6960 §4.1.1) to what the responder needs of it. Strict DER, one pass, never throws: a public port is
 * sent anything. What a client may leave out or add is listed here; everything else is `malformed` with a reason from a
 * closed list (metric label, and what `explain` prints).
 *
 * Not looked into, only over: requestorName and the signature, because they may be ignored (L-04, O-21), and the values
 * of extensions other than the nonce.
 */
import type { CertIdHash } from '../certificate.ts';
import { DerCursor, equalAt, isObjectIdentifier } from '../der/reader.ts';
import { OID } from '../der/oid.ts';
import { serialFromInteger, type Serial } from '../serial.ts';

/** One CertID as asked. */
export interface AskedCertificate {
  /** Undefined: a hash algorithm that is not served; the answer is `unauthorized`, never another hash (T-09). */
  readonly hash: CertIdHash | undefined;
  /** issuerNameHash followed by issuerKeyHash, one character per octet: a key for a Map. */
  readonly issuerKey: string;
  readonly serial: Serial;
}

export interface ParsedRequest {
  readonly kind: 'request';
  /** 1 to MAX_CERT_IDS. */
  readonly certIds: readonly AskedCertificate[];
  /** The nonce's octets, 1 to 128, as a view of the request; undefined when none was sent. */
  readonly nonce: Uint8Array | undefined;
  readonly nonceLength: number | undefined;
  readonly signed: boolean;
  /** A critical extension that is not understood: no successful response may follow (O-19). */
  readonly criticalUnknown: boolean;
}

export interface Malformed {
  readonly kind: 'malformed';
  readonly reason: MalformedReason;
}

/** Valid, but for more certificates than one request may name: `unauthorized`, not malformedRequest (T-56). */
export interface TooMany {
  readonly kind: 'too-many';
}

export const MALFORMED_REASONS = [
  'empty', // no octets at all
  'too-large', // over MAX_REQUEST_OCTETS
  'encoding', // not strict DER, or not the fields of an OCSPRequest in their order
  'trailing-octets', // T-56: something after the request, or after the last field of a structure
  'version', // another version than v1
  'no-certificate', // an empty requestList
  'hash-parameters', // T-10: SHA-1 and SHA-256 take NULL or nothing
  'hash-length', // hashes that are not of the algorithm's length
  'serial', // T-12: empty, negative, not minimal, or over 20 octets
  'extension', // an Extension that is not one, the same extension twice, or over MAX_EXTENSIONS
  'nonce', // N-05: not an OCTET STRING of 1 to 128 octets
] as const;
export type MalformedReason = (typeof MALFORMED_REASONS)[number];

/** T-56: real clients ask for one certificate; a few is politeness, many is work for nothing. */
export const MAX_CERT_IDS = 8;
/** T-56: larger than any signed request with its certificates that was ever worth reading. */
const MAX_REQUEST_OCTETS = 8192;
/** Per list. Clients send up to three; each is compared with those before it, so a thousand would cost milliseconds. */
export const MAX_EXTENSIONS = 16;
/** RFC 9654 §2.1. */
export const MAX_NONCE_OCTETS = 128;

/** Reads one OCSPRequest; `der` is viewed by the result, not copied. Never throws. */
export function parseRequest(der: Uint8Array): ParsedRequest | Malformed | TooMany {
  if (der.length === 0) return MALFORMED.empty;
  if (der.length > MAX_REQUEST_OCTETS) return MALFORMED['too-large'];
  const cursor = new DerCursor(der);
  const whole = cursor.enter(SEQUENCE);
  if (whole < 0) return MALFORMED.encoding;
  if (cursor.end !== der.length) return MALFORMED['trailing-octets'];

  const tbsEnd = cursor.enter(SEQUENCE);
  if (tbsEnd < 0) return MALFORMED.encoding;
  if (cursor.tag === EXPLICIT_0) {
    // X.690 §11.5 leaves a DEFAULT out. A request that spells v1 out is unambiguous, and nothing of it is signed by us.
    if (!cursor.next(EXPLICIT_0)) return MALFORMED.encoding;
    if (!cursor.contentIs(INTEGER_V1)) return MALFORMED.version;
  }
  // L-04: requestorName is treated as absent, signed request or not.
  if (cursor.tag === EXPLICIT_1 && !cursor.any()) return MALFORMED.encoding;

  const listEnd = cursor.enter(SEQUENCE);
  if (listEnd < 0) return MALFORMED.encoding;
  if (cursor.atEnd) return MALFORMED['no-certificate'];
  const certIds: AskedCertificate[] = [];
  let found: Extensions | undefined;
  let tooMany = false;
  do {
    const requestEnd = cursor.enter(SEQUENCE);
    if (requestEnd < 0) return MALFORMED.encoding;
    const certId = readCertId(cursor);
    if (typeof certId === 'string') return MALFORMED[certId];
    if (cursor.tag === EXPLICIT_0) {
      found ??= { nonce: undefined, criticalUnknown: false };
      const problem = readExtensions(cursor, EXPLICIT_0, found, false);
      if (problem !== undefined) return MALFORMED[problem];
    }
    if (!cursor.leave(requestEnd)) return MALFORMED['trailing-octets'];
    if (certIds.length < MAX_CERT_IDS) certIds.push(certId);
    else tooMany = true;
  } while (!cursor.atEnd);
  cursor.leave(listEnd);

  if (cursor.tag === EXPLICIT_2) {
    found ??= { nonce: undefined, criticalUnknown: false };
    const problem = readExtensions(cursor, EXPLICIT_2, found, true);
    if (problem !== undefined) return MALFORMED[problem];
  }
  if (!cursor.leave(tbsEnd)) return MALFORMED['trailing-octets'];

  const signed = cursor.tag === EXPLICIT_0;
  if (signed && !cursor.any()) return MALFORMED.encoding;
  if (!cursor.leave(whole)) return MALFORMED['trailing-octets'];
  if (tooMany) return TOO_MANY;
  const nonce = found?.nonce;
  return {
    kind: 'request',
    certIds,
    nonce,
    nonceLength: nonce?.length,
    signed,
    criticalUnknown: found?.criticalUnknown ?? false,
  };
}

/** The Map key of an issuer: what AskedCertificate.issuerKey will be for its CertIDs. */
export function issuerKey(nameHash: Uint8Array, keyHash: Uint8Array): string {
  return Buffer.concat([nameHash, keyHash]).toString('latin1');
}

/** CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber } (RFC 6960 §4.1.1). */
function readCertId(cursor: DerCursor): AskedCertificate | MalformedReason {
  const certIdEnd = cursor.enter(SEQUENCE);
  if (certIdEnd < 0) return 'encoding';
  const algorithmEnd = cursor.enter(SEQUENCE);
  if (algorithmEnd < 0 || !cursor.next(OBJECT_IDENTIFIER)) return 'encoding';
  const hash = cursor.contentIs(OID.sha1) ? 'sha1' : cursor.contentIs(OID.sha256) ? 'sha256' : undefined;
  if (hash === undefined) {
    if (!isObjectIdentifier(cursor.content())) return 'encoding';
    if (!cursor.atEnd && !cursor.any()) return 'encoding';
  } else if (cursor.tag === NULL) {
    if (!cursor.any()) return 'encoding';
    if (cursor.length !== 0) return 'hash-parameters';
  } else if (!cursor.atEnd) {
    return 'hash-parameters';
  }
  if (!cursor.leave(algorithmEnd)) return 'trailing-octets';

  const { bytes } = cursor;
  if (!cursor.next(OCTET_STRING)) return 'encoding';
  const nameStart = cursor.start;
  const nameStop = cursor.stop;
  if (!cursor.next(OCTET_STRING)) return 'encoding';
  const keyStart = cursor.start;
  const keyStop = cursor.stop;
  const expected = hash === 'sha1' ? 20 : hash === 'sha256' ? 32 : nameStop - nameStart;
  if (nameStop - nameStart !== expected || keyStop - keyStart !== expected || expected === 0) return 'hash-length';

  if (!cursor.next(INTEGER)) return 'encoding';
  const serial = serialFromInteger(bytes.subarray(cursor.start, cursor.stop));
  if (serial === undefined) return 'serial';
  if (!cursor.leave(certIdEnd)) return 'trailing-octets';
  return {
    hash,
    issuerKey: latin1(bytes, nameStart, nameStop) + latin1(bytes, keyStart, keyStop),
    serial,
  };
}

interface Extensions {
  nonce: Uint8Array | undefined;
  criticalUnknown: boolean;
}

/**
 * Reads [n] EXPLICIT Extensions into `found`. Unknown extensions are ignored unless critical (O-19); a nonce counts in
 * requestExtensions only, since in a singleRequestExtension it has no meaning (RFC 9654 §2.1).
 */
function readExtensions(
  cursor: DerCursor,
  tag: number,
  found: Extensions,
  ofRequest: boolean,
): MalformedReason | undefined {
  const explicitEnd = cursor.enter(tag);
  if (explicitEnd < 0) return 'encoding';
  const listEnd = cursor.enter(SEQUENCE);
  if (listEnd < 0) return 'encoding';
  if (cursor.atEnd) return 'extension'; // RFC 5280 §4.1: Extensions is SIZE (1..MAX)
  const { bytes } = cursor;
  const first = cursor.position;
  let count = 0;
  do {
    if (++count > MAX_EXTENSIONS) return 'extension';
    const at = cursor.position;
    const extensionEnd = cursor.enter(SEQUENCE);
    if (extensionEnd < 0 || !cursor.next(OBJECT_IDENTIFIER)) return 'extension';
    const oid = cursor.content();
    if (!isObjectIdentifier(oid)) return 'extension';
    if (extensionBefore(bytes, first, at, oid)) return 'extension'; // RFC 5280 §4.2: at most once
    let critical = false;
    if (cursor.tag === BOOLEAN) {
      if (!cursor.any() || cursor.length !== 1) return 'extension';
      // X.690 §11.1 wants FF for TRUE and §11.5 no FALSE; both meanings are clear, and nothing of it is echoed.
      critical = bytes[cursor.start] !== 0;
    }
    if (!cursor.next(OCTET_STRING)) return 'extension';
    const start = cursor.start;
    const stop = cursor.stop;
    if (!cursor.leave(extensionEnd)) return 'extension';
    if (ofRequest && equalAt(oid, 0, oid.length, OID.nonce)) {
      const value = new DerCursor(bytes, start, stop);
      // RFC 9654 §2.1: Nonce ::= OCTET STRING (SIZE(1..128)); other sizes are rejected (N-01, N-05).
      if (!value.next(OCTET_STRING) || !value.atEnd || value.length === 0 || value.length > MAX_NONCE_OCTETS) {
        return 'nonce';
      }
      found.nonce = value.content();
    } else if (critical && !isUnderstood(oid)) {
      found.criticalUnknown = true;
    }
  } while (!cursor.atEnd);
  cursor.leave(listEnd);
  return cursor.leave(explicitEnd) ? undefined : 'trailing-octets';
}

/** Whether an extension with this OID stands in `bytes[first..at)`, which has been read without fault. */
function extensionBefore(bytes: Uint8Array, first: number, at: number, oid: Uint8Array): boolean {
  const earlier = new DerCursor(bytes, first, at);
  while (!earlier.atEnd) {
    const outer = earlier.enter(SEQUENCE);
    earlier.next(OBJECT_IDENTIFIER);
    if (earlier.contentIs(oid)) return true;
    earlier.position = earlier.end;
    earlier.leave(outer);
  }
  return false;
}

/**
 * Extensions whose wish this responder meets without reading it: only basic responses are ever sent (RFC 6960 §4.4.3),
 * there is one signature algorithm to choose from (§4.4.7), and what is served is served here (§4.4.6).
 */
function isUnderstood(oid: Uint8Array): boolean {
  return (
    equalAt(oid, 0, oid.length, OID.acceptableResponses) ||
    equalAt(oid, 0, oid.length, OID.preferredSignatureAlgorithms) ||
    equalAt(oid, 0, oid.length, OID.serviceLocator) ||
    equalAt(oid, 0, oid.length, OID.nonce)
  );
}

function latin1(bytes: Uint8Array, start: number, stop: number): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', start, stop);
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_IDENTIFIER = 0x06;
const SEQUENCE = 0x30;
const EXPLICIT_0 = 0xa0;
const EXPLICIT_1 = 0xa1;
const EXPLICIT_2 = 0xa2;
const INTEGER_V1 = Buffer.from([0x02, 0x01, 0x00]);

const TOO_MANY: TooMany = { kind: 'too-many' };
/** Made once: a flood of malformed requests allocates nothing. */
const MALFORMED = Object.fromEntries(
  MALFORMED_REASONS.map((reason) => [reason, { kind: 'malformed', reason }]),
) as Readonly<Record<MalformedReason, Malformed>>;
