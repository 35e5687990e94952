/**
 * The octets of CRLs in Redis, in pieces of 1 MiB: so that no command holds the server up for longer than a look-up may wait, and
 * neither end has a CRL in memory twice. A piece expires unless its CRL is current (lua/publish-crl.lua): so what a crash leaves
 * between the first piece and the switch goes by itself, and who has begun to read a CRL that is replaced has GRACE_MS to finish.
 *
 * A piece is written once: two processes that put the same CRL there, after Redis forgot it, do not undo each other's work.
 */
import { createHash } from 'node:crypto';
import type { CrlRecord } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import type { Keys } from './keys.ts';
import type { Connection } from './scripts.ts';
import { unavailable } from './watch.ts';

export const PIECE_OCTETS = 1 << 20;
/** A CRL of 10,000,000 entries has about 400 MB. Redis and every responder hold it in memory. */
const MAX_OCTETS = 512 << 20;
/** Pieces of a CRL that is not current: while it is written, and after it was replaced. */
const WRITING_MS = 5 * 60_000;
export const GRACE_MS = 10_000;

/** @throws Problem `too-large` */
export function mustFit({ number, bytes }: CrlRecord): void {
  if (bytes <= MAX_OCTETS) return;
  throw new Problem('too-large', `CRL ${number} is larger than what Redis is given to hold: use more shards`, {
    field: 'CertificateList',
    value: `${bytes} octets, at most ${MAX_OCTETS}`,
  });
}

export class CrlPieces {
  readonly #redis: Connection;
  readonly #keys: Keys;

  constructor(redis: Connection, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /**
   * @param written called after each piece: the replicas follow, instead of being cut off with a full buffer.
   * @throws Problem `corrupt` when the source is not what the record says, `unavailable`
   */
  async write(record: CrlRecord, source: CrlSource, written: () => Promise<void>): Promise<void> {
    const hash = createHash('sha256');
    for (const { index, at, length } of piecesOf(record)) {
      const octets = await source.read(at, length);
      hash.update(octets);
      try {
        await this.#redis.set(this.#keys.piece(record, index), octets, 'PX', WRITING_MS, 'NX');
      } catch (error) {
        throw unavailable(error);
      }
      await written();
    }
    if (hash.digest('hex') === record.sha256) return;
    throw new Problem('corrupt', 'the archived CRL is not the one of the record: its SHA-256 differs', {
      field: 'CertificateList',
      value: `number ${record.number}`,
    });
  }

  /**
   * Also of a CRL that was replaced a moment ago. Undefined when it is not there, or not whole.
   * @param each is given every piece as it comes. @throws Problem `unavailable`
   */
  async read(record: CrlRecord, each: (piece: Buffer) => Promise<void>): Promise<Buffer | undefined> {
    if (record.bytes > MAX_OCTETS) return undefined;
    const der = Buffer.allocUnsafeSlow(record.bytes);
    const hash = createHash('sha256');
    for (const { index, at, length } of piecesOf(record)) {
      let octets: Buffer | null;
      try {
        octets = await this.#redis.getBuffer(this.#keys.piece(record, index));
      } catch (error) {
        throw unavailable(error);
      }
      if (octets?.length !== length) return undefined;
      hash.update(octets);
      octets.copy(der, at);
      await each(octets);
    }
    return hash.digest('hex') === record.sha256 ? der : undefined;
  }
}

function* piecesOf({ bytes }: CrlRecord): Iterable<{
  readonly index: number;
  readonly at: number;
  readonly length: number;
}> {
  for (let index = 0, at = 0; at < bytes; index++, at += PIECE_OCTETS)
    yield { index, at, length: Math.min(PIECE_OCTETS, bytes - at) };
}
