/**
 * Everything that one issuer has of a kind, in pages: bounded in memory, whatever the ledger holds. A ledger that was emptied or
 * replaced while it is read looks complete; so each page is handed out only when the ledger is still the one that the scan began on.
 */
import type { Certificate, RevokedEntry } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { decodeRecord, decodeRevokedMember } from './records.ts';
import type { Connection } from './scripts.ts';
import { changing, unavailable, type IssuerWatch } from './watch.ts';

/** Records per reply. */
const PAGE = 1000;
/** Buckets that are read at a time: of listpacks with 64 certificates each, a page. */
const BUCKETS = 16;

export class IssuerScans {
  readonly #watch: IssuerWatch;
  readonly #redis: Connection;

  constructor(watch: IssuerWatch, redis: Connection) {
    this.#watch = watch;
    this.#redis = redis;
  }

  revokedEntries(shard: string): {
    readonly asOfSeq: Promise<number>;
    readonly pages: AsyncIterable<readonly RevokedEntry[]>;
  } {
    const began = this.#watch.confirmed();
    const asOfSeq = began.then(({ seq }) => seq);
    asOfSeq.catch(() => undefined);
    return { asOfSeq, pages: this.#revokedPages(shard, began) };
  }

  async *#revokedPages(
    shard: string,
    began: Promise<{ readonly instance: string }>,
  ): AsyncIterable<readonly RevokedEntry[]> {
    const { instance } = await began;
    const key = this.#watch.keys.revoked(shard);
    for (let from = '-'; ;) {
      const members = await answered(this.#redis.zrangebylexBuffer(key, from, '+', 'LIMIT', 0, PAGE));
      await this.#mustBe(instance);
      const page = members.map(decodeRevokedMember);
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      // After every member of this serial, also one that it is changed to from now on: `!` follows the space.
      from = `(${last.serial}!`;
    }
  }

  /** Bucket by bucket. Those that are listpacks come whole, in one reply; larger ones, where the estimate was low, bit by bit. */
  async *certificates(): AsyncIterable<readonly Certificate[]> {
    const { issuer } = this.#watch;
    const { instance, buckets } = await this.#watch.confirmed();
    for (const keys of this.#buckets(buckets)) {
      let open = keys.map((key) => ({ key, cursor: '0', seen: new Set<Serial>() }));
      while (open.length > 0) {
        const replies = await answered(
          Promise.all(open.map(({ key, cursor }) => this.#redis.hscanBuffer(key, cursor, 'COUNT', PAGE))),
        );
        await this.#mustBe(instance);
        const page: Certificate[] = [];
        open = open.flatMap(({ key, seen }, i) => {
          const [next, flat] = replies[i] as [Buffer, Buffer[]];
          const cursor = next.toString();
          for (let at = 0; at + 1 < flat.length; at += 2) {
            const serial = (flat[at] as Buffer).toString('hex') as Serial;
            // A hash that is being resized may tell of a field twice.
            if (seen.has(serial)) continue;
            if (cursor !== '0') seen.add(serial);
            page.push(decodeRecord(issuer, serial, flat[at + 1] as Buffer).certificate);
          }
          return cursor === '0' ? [] : [{ key, cursor, seen }];
        });
        if (page.length > 0) yield page;
      }
    }
  }

  async *serials(): AsyncIterable<readonly Serial[]> {
    const { buckets } = await this.#watch.confirmed();
    for (const keys of this.#buckets(buckets)) {
      const fields = await answered(Promise.all(keys.map((key) => this.#redis.hkeysBuffer(key))));
      yield fields.flatMap((page) => page.map((field) => field.toString('hex') as Serial));
    }
  }

  *#buckets(count: number): Iterable<readonly string[]> {
    for (let from = 0; from < count; from += BUCKETS)
      yield Array.from({ length: Math.min(BUCKETS, count - from) }, (_, i) => this.#watch.keys.bucket(from + i));
  }

  async #mustBe(instance: string): Promise<void> {
    if ((await this.#watch.confirmed()).instance !== instance) throw changing();
  }
}

async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply;
  } catch (error) {
    throw unavailable(error);
  }
}
