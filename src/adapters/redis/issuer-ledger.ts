/** Reads and commits of one issuer: what every part of the store does with its records. */
import type { IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import { MAX_SERIAL_OCTETS, serialBytes, type Serial } from '../../core/serial.ts';
import { packCommit, commitOutcome, type Commit, type CommitOutcome, type JournalPlace } from './commit.ts';
import { bucketOf } from './keys.ts';
import { run, scripts, type Argument, type Connection, type Returned, type Script } from './scripts.ts';
import { unavailable, type IssuerWatch, type Trusted } from './watch.ts';

/** Records per reply: about 100 kB and well under a millisecond of the server. */
const PAGE = 512;
/** A ledger that is founded anew again and again is none. */
const ATTEMPTS = 3;
/** Later than any instant: what is never due is in it, too (lua/due.lua). */
const ALL = 2 ** 48;
/** How long to wait for replicas; less than commands may take. */
const WAIT_MS = 1000;

export interface LedgerOptions {
  readonly replicas: number;
  readonly feedLength: number;
}

/** Records as they were read: of one instance of the ledger, octets by serial. */
export interface Reading extends Trusted {
  readonly records: Map<Serial, Buffer | undefined>;
}

export class IssuerLedger {
  readonly watch: IssuerWatch;
  readonly #redis: Connection;
  readonly #options: LedgerOptions;

  constructor(watch: IssuerWatch, redis: Connection, options: LedgerOptions) {
    this.watch = watch;
    this.#redis = redis;
    this.#options = options;
  }

  get issuer(): IssuerTag {
    return this.watch.issuer;
  }

  /**
   * Reads records from the ledger that is relied on. What is not found has been looked for in the same ledger before and after, so an
   * emptied Redis never looks like a certificate that was not issued (P1, P3).
   * @throws Problem `unavailable`
   */
  async read(serials: Iterable<Serial>): Promise<Reading> {
    const wanted = [...new Set(serials)];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const trusted = await this.watch.trusted();
      const records = await this.fetch(trusted.buckets, wanted);
      const missed = wanted.some((serial) => records.get(serial) === undefined);
      if (missed || this.watch.instance === undefined) await this.watch.confirmed();
      if (this.watch.instance === trusted.instance) return { ...trusted, records };
    }
    throw new Problem('unavailable', 'the ledger was founded anew while it was read; try again', { rule: 'P1' });
  }

  /** Whatever the server has, relied on or not. */
  async fetch(buckets: number, serials: readonly Serial[]): Promise<Map<Serial, Buffer | undefined>> {
    const found = new Map<Serial, Buffer | undefined>();
    try {
      if (serials.length === 1) {
        const serial = serials[0] as Serial;
        const octets = serialBytes(serial);
        const key = this.watch.keys.bucket(bucketOf(octets, buckets));
        found.set(serial, (await this.#redis.hgetBuffer(key, octets)) ?? undefined);
        return found;
      }
      const pages: Promise<void>[] = [];
      for (let from = 0; from < serials.length; from += PAGE)
        pages.push(this.#fetchPage(buckets, serials.slice(from, from + PAGE), found));
      await Promise.all(pages);
      return found;
    } catch (error) {
      throw unavailable(error);
    }
  }

  async #fetchPage(buckets: number, serials: readonly Serial[], found: Map<Serial, Buffer | undefined>): Promise<void> {
    const returned = await run(this.#redis, scripts.read, this.watch.keys.meta, [encodePlaces(serials, buckets)]);
    const records = returned as Buffer;
    let at = 0;
    for (const serial of serials) {
      const start = at + 4;
      at = start + records.readUInt32BE(at);
      found.set(serial, at === start ? undefined : records.subarray(start, at));
    }
  }

  /** Serials and records of a bucket, relied on or not. */
  async bucket(bucket: number): Promise<[Buffer, Buffer][]> {
    const { meta } = this.watch.keys;
    const [flat] = (await run(this.#redis, scripts.due, meta, [ALL, bucket]).catch((error: unknown) => {
      throw unavailable(error);
    })) as [readonly Buffer[], unknown];
    const found: [Buffer, Buffer][] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i] as Buffer, flat[i + 1] as Buffer]);
    return found;
  }

  /** @throws Problem `unavailable`; then it may have happened or not. */
  async commit(instance: string, journal: JournalPlace | undefined, commit: Commit): Promise<CommitOutcome> {
    const outcome = commitOutcome(
      await this.script(scripts.commit, [packCommit(instance, journal, this.#options.feedLength, commit)]),
    );
    this.watch.wake();
    return outcome;
  }

  async script(script: Script, args: readonly Argument[]): Promise<Returned> {
    try {
      return await run(this.#redis, script, this.watch.keys.meta, args);
    } catch (error) {
      throw unavailable(error);
    }
  }

  get feedLength(): number {
    return this.#options.feedLength;
  }

  /**
   * Resolves when the replicas have everything that the server had. WAIT counts what its own connection has written, so this
   * connection writes something: replication is one sequence.
   * @throws Problem `unavailable` when too few have it. It is in the journal, and a retry finds it applied (P1).
   */
  async replicated(): Promise<void> {
    const { replicas } = this.#options;
    if (replicas === 0) return;
    let have: number;
    try {
      const results = await this.#redis
        .pipeline()
        .hincrby(this.watch.keys.meta, 'waits', 1)
        .wait(replicas, WAIT_MS)
        .exec();
      const [error, count] = results?.[1] ?? [new Error('no reply'), 0];
      if (error !== null) throw error;
      have = count as number;
    } catch (error) {
      throw unavailable(error);
    }
    if (have < replicas) {
      throw new Problem('unavailable', `only ${have} of ${replicas} replicas have the change`, {
        field: 'store.redis.replicas',
        value: replicas,
        rule: 'P1',
      });
    }
  }
}

/** Where the records stand, as lua/read.lua takes it: bucket 4 | length 1 | serial. */
function encodePlaces(serials: readonly Serial[], buckets: number): Buffer {
  const places = Buffer.allocUnsafe(serials.length * (5 + MAX_SERIAL_OCTETS));
  let at = 0;
  for (const serial of serials) {
    const octets = places.write(serial, at + 5, 'hex');
    const end = at + 5 + octets;
    places.writeUInt32BE(bucketOf(places.subarray(at + 5, end), buckets), at);
    places[at + 4] = octets;
    at = end;
  }
  return places.subarray(0, at);
}
