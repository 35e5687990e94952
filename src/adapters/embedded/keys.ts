/**
 * Every key of the embedded store, layout version 2. The first octet says what it is; integers are big-endian, so that a
 * range scan is in order; a serial is its INTEGER content and always comes last.
 *
 *     c tag serial                → certificate (records.ts)
 *     o tag serial                → published answers of both CertID hashes
 *     r tag shard serial          → revoked entry: what the CRL of a scope is built from, in one range; each is under COMPLETE too
 *     q lane dueAt(8) tag serial  → work: empty value
 *     l tag shard number(20)      → CRL record
 *     m name                      → layout, appliedSeq
 *     n tag shard                 → highest CRL number reserved
 *
 * A shard is its length in one octet and its name.
 */
import { COMPLETE, LANES, type CrlScope, type IssuerTag, type Lane } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import type { QueueItem } from '../../ports/store.ts';

export const LAYOUT_VERSION = '2';
export const LAYOUT_KEY = Buffer.from('mlayout');
export const APPLIED_SEQ_KEY = Buffer.from('mappliedSeq');

const letter = (text: string): number => text.charCodeAt(0);

function key(kind: string, issuer: IssuerTag, rest: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(5 + rest.length);
  bytes[0] = letter(kind);
  bytes.write(issuer, 1, 4, 'hex');
  rest.copy(bytes, 5);
  return bytes;
}

export function serialKey(kind: 'c' | 'o', issuer: IssuerTag, serial: Serial): Buffer {
  const bytes = Buffer.allocUnsafe(5 + serial.length / 2);
  bytes[0] = letter(kind);
  bytes.write(issuer, 1, 4, 'hex');
  bytes.write(serial, 5, 'hex');
  return bytes;
}

export function entryKey(scope: CrlScope, serial: Serial): Buffer {
  return scopeKey('r', scope, Buffer.from(serial, 'hex'));
}

/** The serial of an entryKey. */
export function entrySerial(bytes: Buffer): Serial {
  return bytes.toString('hex', 6 + (bytes[5] as number)) as Serial;
}

export function issuerOf(bytes: Buffer): IssuerTag {
  return bytes.toString('hex', 1, 5) as IssuerTag;
}

export function serialOf(bytes: Buffer): { issuer: IssuerTag; serial: Serial } {
  return { issuer: issuerOf(bytes), serial: bytes.toString('hex', 5) as Serial };
}

export function queueKey(item: Pick<QueueItem, 'lane' | 'dueAt' | 'issuer' | 'serial'>): Buffer {
  const bytes = Buffer.allocUnsafe(14 + item.serial.length / 2);
  bytes[0] = letter('q');
  bytes[1] = LANES.indexOf(item.lane);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(item.dueAt))), 2);
  bytes.write(item.issuer, 10, 4, 'hex');
  bytes.write(item.serial, 14, 'hex');
  return bytes;
}

export function queueItem(bytes: Buffer): QueueItem {
  return {
    ...queuePlace(bytes),
    issuer: bytes.toString('hex', 10, 14) as IssuerTag,
    serial: bytes.toString('hex', 14) as Serial,
  };
}

/** What the counts of the queue need of a key. */
export function queuePlace(bytes: Buffer): Pick<QueueItem, 'lane' | 'dueAt'> {
  return { lane: LANES[bytes[1] as number] as Lane, dueAt: Number(bytes.readBigUInt64BE(2)) };
}

/** The first key of a lane that is due at `dueAt` or later. */
export function laneKey(lane: Lane, dueAt: EpochMs): Buffer {
  return queueKey({ lane, dueAt, issuer: '00000000' as IssuerTag, serial: '' as Serial });
}

export function crlKey(scope: CrlScope, number: bigint): Buffer {
  return scopeKey('l', scope, Buffer.from(number.toString(16).padStart(40, '0'), 'hex'));
}

/** The scope of a crlKey. */
export function scopeOf(bytes: Buffer): CrlScope {
  return { issuer: issuerOf(bytes), shard: bytes.toString('latin1', 6, 6 + (bytes[5] as number)) };
}

export function crlNumberKey(scope: CrlScope): Buffer {
  return scopeKey('n', scope, Buffer.alloc(0));
}

function scopeKey(kind: 'r' | 'l' | 'n', { issuer, shard }: CrlScope, rest: Buffer): Buffer {
  return key(kind, issuer, Buffer.concat([Buffer.of(shard.length), Buffer.from(shard, 'latin1'), rest]));
}

/** The scopes under which a certificate's entry stands. */
export function scopesOfEntry({
  issuer,
  crlShard,
}: {
  readonly issuer: IssuerTag;
  readonly crlShard: string | undefined;
}): readonly CrlScope[] {
  const complete = { issuer, shard: COMPLETE };
  return crlShard === undefined || crlShard === COMPLETE ? [complete] : [complete, { issuer, shard: crlShard }];
}

/** All keys of one kind and scope. */
export function scopeRange(kind: 'r' | 'l', scope: CrlScope): { gte: Buffer; lt: Buffer } {
  const gte = scopeKey(kind, scope, Buffer.alloc(0));
  return { gte, lt: after(gte) };
}

/** All keys of one kind, or of one kind and issuer. */
export function range(kind: 'c' | 'o' | 'l' | 'q', issuer?: IssuerTag): { gte: Buffer; lt: Buffer } {
  const gte = issuer === undefined ? Buffer.from([letter(kind)]) : key(kind, issuer, Buffer.alloc(0));
  return { gte, lt: after(gte) };
}

/** The least key that does not start with this prefix. */
function after(prefix: Buffer): Buffer {
  const bytes = Buffer.from(prefix);
  for (let i = bytes.length - 1; i >= 0; i--) {
    const octet = bytes[i] as number;
    if (octet < 0xff) {
      bytes[i] = octet + 1;
      return bytes.subarray(0, i + 1);
    }
  }
  return Buffer.from([0xff]);
}
