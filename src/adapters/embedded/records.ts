/**
 * Values of the embedded store. Fixed offsets; an instant is 48-bit milliseconds since 1900, good for every instant that
 * core/status.ts lets in (1950 to 9999); 0 for an absent one.
 */
import type {
  Certificate,
  CrlRecord,
  IssuerTag,
  PublishedResponse,
  RevokedEntry,
  Revocation,
} from '../../core/certificate.ts';
import { REASON_CODES, reasonName, type Reason } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';

const NO_REASON = 0xff;
const PRECERTIFICATE = 1;
const REVOKED = 2;
const HAS_NOT_BEFORE = 4;
const HAS_NOT_AFTER = 8;
const HAS_CRL_SHARD = 16;
const HAS_SPKI_HASH = 32;
const WITHOUT_OCSP = 64;
const SPKI_HASH_OCTETS = 16;

/** flags 1 | revision 4 | recordedAt 6 | recordedSeq 6 | notBefore 6 | notAfter 6 | revokedAt 6 | reason 1 | spkiHash 16? | crlShard … */
export function encodeCertificate(certificate: Certificate): Buffer {
  const { crlShard: shard = '', spkiHash = '' } = certificate;
  const shardAt = 36 + spkiHash.length / 2;
  const bytes = Buffer.allocUnsafe(shardAt + Buffer.byteLength(shard));
  bytes[0] =
    (certificate.precertificate ? PRECERTIFICATE : 0) |
    (certificate.revocation === undefined ? 0 : REVOKED) |
    (certificate.notBefore === undefined ? 0 : HAS_NOT_BEFORE) |
    (certificate.notAfter === undefined ? 0 : HAS_NOT_AFTER) |
    (certificate.crlShard === undefined ? 0 : HAS_CRL_SHARD) |
    (certificate.spkiHash === undefined ? 0 : HAS_SPKI_HASH) |
    (certificate.withoutOcsp ? WITHOUT_OCSP : 0);
  bytes.writeUInt32BE(certificate.revision, 1);
  writeInstant(bytes, certificate.recordedAt, 5);
  bytes.writeUIntBE(certificate.recordedSeq, 11, 6);
  writeInstant(bytes, certificate.notBefore, 17);
  writeInstant(bytes, certificate.notAfter, 23);
  writeRevocation(bytes, 29, certificate.revocation);
  bytes.write(spkiHash, 36, 'hex');
  bytes.write(shard, shardAt);
  return bytes;
}

export function decodeCertificate(issuer: IssuerTag, serial: Serial, bytes: Buffer): Certificate {
  const flags = bytes[0] as number;
  const shardAt = flags & HAS_SPKI_HASH ? 36 + SPKI_HASH_OCTETS : 36;
  return {
    issuer,
    serial,
    revision: bytes.readUInt32BE(1),
    recordedAt: readInstant(bytes, 5),
    recordedSeq: bytes.readUIntBE(11, 6),
    notBefore: flags & HAS_NOT_BEFORE ? readInstant(bytes, 17) : undefined,
    notAfter: flags & HAS_NOT_AFTER ? readInstant(bytes, 23) : undefined,
    precertificate: (flags & PRECERTIFICATE) !== 0,
    revocation: flags & REVOKED ? readRevocation(bytes, 29) : undefined,
    crlShard: flags & HAS_CRL_SHARD ? bytes.toString('utf8', shardAt) : undefined,
    spkiHash: flags & HAS_SPKI_HASH ? bytes.toString('hex', 36, shardAt) : undefined,
    withoutOcsp: (flags & WITHOUT_OCSP) !== 0,
  };
}

/** flags 1 | revision 4 | thisUpdate 6 | nextUpdate 6 | refreshAt 6 | publishedAt 6 | responder 4 | revokedAt 6 | reason 1 | length 2 | signatures */
export function encodeResponse(response: PublishedResponse): Buffer {
  const { sha1, sha256 } = response.signatures;
  const bytes = Buffer.allocUnsafe(42 + sha1.length + sha256.length);
  bytes[0] = response.revocation === undefined ? 0 : REVOKED;
  bytes.writeUInt32BE(response.revision, 1);
  writeInstant(bytes, response.thisUpdate, 5);
  writeInstant(bytes, response.nextUpdate, 11);
  writeInstant(bytes, response.refreshAt, 17);
  writeInstant(bytes, response.publishedAt, 23);
  bytes.write(response.responder, 29, 4, 'hex');
  writeRevocation(bytes, 33, response.revocation);
  bytes.writeUInt16BE(sha1.length, 40);
  bytes.set(sha1, 42);
  bytes.set(sha256, 42 + sha1.length);
  return bytes;
}

export function decodeResponse(issuer: IssuerTag, serial: Serial, bytes: Buffer): PublishedResponse {
  const split = 42 + bytes.readUInt16BE(40);
  return {
    issuer,
    serial,
    revision: bytes.readUInt32BE(1),
    thisUpdate: readInstant(bytes, 5),
    nextUpdate: readInstant(bytes, 11),
    refreshAt: readInstant(bytes, 17),
    publishedAt: readInstant(bytes, 23),
    responder: bytes.toString('hex', 29, 33),
    revocation: (bytes[0] as number) & REVOKED ? readRevocation(bytes, 33) : undefined,
    signatures: { sha1: bytes.subarray(42, split), sha256: bytes.subarray(split) },
  };
}

/** The same, of ten million answers at each start: only what is asked for. */
export function decodeTimes(bytes: Buffer): Pick<PublishedResponse, 'thisUpdate' | 'nextUpdate'> {
  return { thisUpdate: readInstant(bytes, 5), nextUpdate: readInstant(bytes, 11) };
}

/** flags 1 | revokedAt 6 | reason 1 | notAfter 6 | recordedAt 6 | recordedSeq 6 */
export function encodeEntry(certificate: Certificate, revocation: Revocation): Buffer {
  const bytes = Buffer.allocUnsafe(26);
  bytes[0] = certificate.notAfter === undefined ? 0 : HAS_NOT_AFTER;
  writeRevocation(bytes, 1, revocation);
  writeInstant(bytes, certificate.notAfter, 8);
  writeInstant(bytes, certificate.recordedAt, 14);
  bytes.writeUIntBE(certificate.recordedSeq, 20, 6);
  return bytes;
}

export function decodeEntry(serial: Serial, bytes: Buffer): RevokedEntry {
  return {
    serial,
    ...readRevocation(bytes, 1),
    notAfter: (bytes[0] as number) & HAS_NOT_AFTER ? readInstant(bytes, 8) : undefined,
    recordedAt: readInstant(bytes, 14),
    recordedSeq: bytes.readUIntBE(20, 6),
  };
}

export function encodeCrlRecord(record: CrlRecord): Buffer {
  return Buffer.from(JSON.stringify({ ...record, number: record.number.toString() }));
}

export function decodeCrlRecord(bytes: Buffer): CrlRecord {
  const record = JSON.parse(bytes.toString()) as Omit<CrlRecord, 'number'> & { number: string };
  return { ...record, number: BigInt(record.number) };
}

function writeRevocation(bytes: Buffer, at: number, revocation: Revocation | undefined): void {
  writeInstant(bytes, revocation?.revokedAt, at);
  bytes[at + 6] = revocation?.reason === undefined ? NO_REASON : REASON_CODES[revocation.reason];
}

function readRevocation(bytes: Buffer, at: number): Revocation {
  const code = bytes[at + 6] as number;
  return { revokedAt: readInstant(bytes, at), reason: code === NO_REASON ? undefined : (reasonName(code) as Reason) };
}

const YEAR_1900 = Date.UTC(1900, 0, 1);

function writeInstant(bytes: Buffer, instant: EpochMs | undefined, at: number): void {
  bytes.writeUIntBE(instant === undefined ? 0 : instant - YEAR_1900, at, 6);
}

function readInstant(bytes: Buffer, at: number): EpochMs {
  return bytes.readUIntBE(at, 6) + YEAR_1900;
}
