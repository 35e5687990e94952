/**
 * Every key of the Redis store, layout version 2. All of an issuer carry its tag as hash tag: they lie on one slot, so every
 * change is one atomic script, and a Cluster spreads issuers. The Lua scripts make them from the first (lua/common.lua).
 *
 *     cs1:{tag}:meta                HASH    epoch, buckets, layout; seq: count of recorded changes; feed: number of the last feed entry;
 *                                           feedOctets: told in all; token: the last lease
 *     cs1:{tag}:b:<bucket>          HASH    serial octets → record (records.ts): listpacks, so that a certificate costs little more
 *                                           than its octets
 *     cs1:{tag}:q:<lane>            ZSET    revocation, issue, mass: serial octets → dueAt (ms since 1970)
 *     cs1:{tag}:due                 ZSET    bucket → nothing in it is due for a refresh before (ms since 1900)
 *     cs1:{tag}:leases              HASH    `<lane>:<serial octets>`, `refresh:<bucket>`, `crl` → expiry token again holder
 *     cs1:{tag}:r                   ZSET    revoked index: `<serial hex> <entry>`, all of score 0: lexical order is that of serials
 *     cs1:{tag}:r:<shard>           ZSET    the same of the certificates of one shard, which are in `r` too
 *     cs1:{tag}:counts              HASH    `due<minute>`, `thisUpdate<minute>`, `nextUpdate<minute>` → how many; `due`, `answers`: all
 *     cs1:{tag}:n:<kind>            ZSET    the minutes that have a count
 *     cs1:{tag}:applied             HASH    journal → its last record that is in
 *     cs1:{tag}:writers             HASH    journal → the process that has it, a name drawn at its start
 *     cs1:{tag}:trust               HASH    intake → reign of the server that it has vouched for (lua/common.lua)
 *     cs1:{tag}:beat                HASH    process that writes → when it last did, by the server's clock
 *     cs1:{tag}:feed                STREAM  the change feed (feed.ts), ids `<n>-0`
 *     cs1:{tag}:numbers             HASH    shard → the last CRL number reserved; the shard of the complete CRL is empty
 *     cs1:{tag}:crl                 HASH    shard → record (JSON) of its current CRL: its fields are the scopes
 *     cs1:{tag}:crls:<shard>        LIST    records of the newest CRLs, newest first; the archives have the others
 *     cs1:{tag}:der:<shard>:<number>:<digest>:<i>
 *                                   STRING  a piece of a CRL (crl-pieces.ts); expires, unless the CRL is current
 *     cs1:{tag}:responders          SET     DER of responder certificates
 *     cs1:{tag}:retired             HASH    id of a responder certificate → answers, nothing: what it is still for
 *     cs1:{tag}:ask:<serial hex>    STRING  a signer has heard the call for this certificate; expires
 *     cs1:{tag}:ask:<id>            STRING  the same for a call with a nonce (live-line.ts)
 *
 * Channels:
 *     cs1:ask                       `<tag><serial hex>`, calls for an answer
 *     cs1:live                      calls for an answer to one request; the answers on cs1:live:<process> (live-line.ts)
 */
import { COMPLETE, type CrlRecord, type IssuerTag, type Lane } from '../../core/certificate.ts';

export const LAYOUT_VERSION = '2';
export const ASK_CHANNEL = 'cs1:ask';
export const LIVE_CHANNEL = 'cs1:live';
export const liveChannelOf = (asker: string): string => `${LIVE_CHANNEL}:${asker}`;

/** Certificates per bucket for which the number of buckets is chosen: beyond, writing into a listpack slows down. */
const PER_BUCKET = 64;

/** Lanes whose items wait one by one; those of `refresh` by buckets, and who asks waits for an answer, not in a queue. */
export type ItemLane = 'revocation' | 'issue' | 'mass';

export function isItemLane(lane: Lane | undefined): lane is ItemLane {
  return lane === 'revocation' || lane === 'issue' || lane === 'mass';
}

export class Keys {
  readonly base: string;
  readonly meta: string;

  constructor(issuer: IssuerTag) {
    this.base = `cs1:{${issuer}}:`;
    this.meta = `${this.base}meta`;
  }

  bucket(bucket: number): string {
    return `${this.base}b:${bucket}`;
  }

  revoked(shard: string): string {
    return shard === COMPLETE ? `${this.base}r` : `${this.base}r:${shard}`;
  }

  get numbers(): string {
    return `${this.base}numbers`;
  }

  get crl(): string {
    return `${this.base}crl`;
  }

  crls(shard: string): string {
    return `${this.base}crls:${shard}`;
  }

  /** As lua/publish-crl.lua makes it. The digest, so that a number that was given twice after all mixes nothing up. */
  piece({ shard, number, sha256 }: Pick<CrlRecord, 'shard' | 'number' | 'sha256'>, index: number): string {
    return `${this.base}der:${shard}:${number}:${sha256.slice(0, 16)}:${index}`;
  }

  get responders(): string {
    return `${this.base}responders`;
  }

  get retired(): string {
    return `${this.base}retired`;
  }

  asked(call: string): string {
    return `${this.base}ask:${call}`;
  }
}

/** A power of two, at most 2^20: enough for 67 million certificates per issuer at full speed. */
export function bucketCount(certificates: number): number {
  let count = 1;
  while (count * PER_BUCKET < certificates && count < 1 << 20) count *= 2;
  // The nearer power: 64 per bucket on average, from 45 to 90.
  return count > 1 && count * PER_BUCKET > certificates * Math.SQRT2 ? count / 2 : count;
}

/**
 * FNV-1a over the octets and the finaliser of MurmurHash3 over that: spreads random and sequential serials alike, at a tenth of the
 * cost of a cryptographic hash. Only the CA chooses serials; one that filled a bucket would slow itself down.
 */
export function bucketOf(serial: Uint8Array, buckets: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < serial.length; i++) h = Math.imul(h ^ (serial[i] as number), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) & (buckets - 1);
}
