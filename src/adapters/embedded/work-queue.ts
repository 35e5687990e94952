/**
 * The embedded store's queue: which items are due (read from the database), which are in somebody's hands, and how many
 * there are. Leases and counts are in memory: they die with the process, which is the only one that can hold them.
 *
 * An item is its key (keys.ts): two revisions of one certificate that are recorded in one millisecond, or two answers with
 * the same refreshAt, are one item. So an item may be inserted again while it is leased: then the end of the lease must
 * leave the key where it is, because that is the newer work.
 */
import { LANES, type Lane } from '../../core/certificate.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { QueueItem } from '../../ports/store.ts';
import type { Database } from './database.ts';
import { laneKey, queueItem, queueKey } from './keys.ts';

export type Operation = { type: 'put'; key: Buffer; value: Buffer } | { type: 'del'; key: Buffer };

/** A change of the queue: its part of an atomic batch, and what to call once that batch is written. */
export interface QueueChange {
  readonly operations: readonly Operation[];
  readonly written: () => void;
}

/** A read of the queue under way, and what has happened to the lane since its snapshot was taken. */
interface Read {
  readonly lane: Lane;
  least: Buffer | undefined;
  readonly deleted: Set<string>;
}

const EMPTY = Buffer.alloc(0);
/** Keys per read: large enough to be cheap, small enough (about 1 ms) to leave the event loop to others. */
const PAGE = 1000;

export class WorkQueue {
  readonly #db: Database;
  /** Keys (hex) in somebody's hands; `renewed` when the item was inserted again meanwhile. */
  readonly #leased = new Map<string, 'held' | 'renewed'>();
  /** Where the next read starts, per lane: what lies before is deleted or leased. */
  readonly #cursor: Record<Lane, Buffer>;
  readonly #reads = new Set<Read>();
  /** Items per lane and second (refresh: minute) of their due time: the backlog gauges without a scan. */
  readonly #buckets = Object.fromEntries(LANES.map((lane) => [lane, new Map<number, number>()])) as Record<
    Lane,
    Map<number, number>
  >;

  constructor(db: Database) {
    this.#db = db;
    this.#cursor = Object.fromEntries(LANES.map((lane) => [lane, laneKey(lane, 0)])) as Record<Lane, Buffer>;
  }

  /** Counts what was in the queue when `pages` began; what changes from there on is counted as it happens. */
  async load(pages: AsyncIterable<readonly Pick<QueueItem, 'lane' | 'dueAt'>[]>): Promise<void> {
    for await (const page of pages) for (const item of page) this.#count(item, 1);
  }

  /** Leases up to `limit` items that are due at `nowMs`, oldest first. */
  async take(lane: Lane, nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]> {
    const items: QueueItem[] = [];
    const end = laneKey(lane, nowMs + 1);
    while (items.length < limit) {
      const start = this.#cursor[lane];
      if (start.compare(end) >= 0) break;
      const read: Read = { lane, least: undefined, deleted: new Set() };
      let keys: Buffer[];
      this.#reads.add(read);
      try {
        keys = await this.#db.keys({ gte: start, lt: end, limit: Math.min(PAGE, limit - items.length) }).all();
      } finally {
        this.#reads.delete(read);
      }
      // Something was inserted before the start, or another take was quicker: read again from where it is now.
      if (this.#cursor[lane] !== start) continue;
      const last = keys.at(-1);
      if (last === undefined) break;
      const next = Buffer.concat([last, Buffer.of(0)]);
      // What was inserted behind the start while we were reading is not among the keys: the cursor may not pass it.
      this.#cursor[lane] = read.least !== undefined && read.least.compare(next) < 0 ? read.least : next;
      for (const key of keys) {
        const id = key.toString('hex');
        if (this.#leased.has(id) || read.deleted.has(id)) continue;
        this.#leased.set(id, 'held');
        items.push(queueItem(key));
      }
    }
    return items;
  }

  /** Ends the leases of items that nobody could work on: they are due as before. */
  release(items: readonly QueueItem[]): void {
    for (const item of items) {
      const key = queueKey(item);
      if (this.#leased.delete(key.toString('hex'))) this.#offer(item.lane, key);
    }
  }

  /**
   * Ends the work on `done` and inserts `added`. Only one change may be under way at a time (store.ts, #exclusively). An
   * `asked` item was never inserted: it has no lease and no key, and ending it changes nothing.
   * @param first items like `added`, but of certificates that the store did not hold before: they need no look at what is
   *   there already.
   */
  async change(
    done: readonly QueueItem[],
    added: readonly QueueItem[],
    first: readonly QueueItem[] = [],
  ): Promise<QueueChange> {
    const known = keyed(added);
    const values = known.size === 0 ? [] : await this.#db.getMany([...known.values()].map(({ key }) => key));
    const existing = new Set([...known.keys()].filter((_, i) => values[i] !== undefined));
    const puts = new Map([...known, ...keyed(first)]);
    const ends = keyed(done);
    const deletes = [...ends].filter(([id]) => !puts.has(id) && this.#leased.get(id) !== 'renewed');
    return {
      operations: [
        ...deletes.map(([, { key }]): Operation => ({ type: 'del', key })),
        ...[...puts.values()].map(({ key }): Operation => ({ type: 'put', key, value: EMPTY })),
      ],
      written: () => {
        for (const [id, { item }] of deletes) {
          for (const read of this.#reads) if (read.lane === item.lane) read.deleted.add(id);
          if (this.#leased.delete(id)) this.#count(item, -1);
        }
        for (const [id, { item, key }] of ends) if (this.#leased.delete(id)) this.#offer(item.lane, key);
        for (const [id, { item, key }] of puts) {
          if (!existing.has(id)) this.#count(item, 1);
          // Whoever leased it between the look above and the write has read the state before: it is due once more.
          if (this.#leased.has(id) && existing.has(id)) this.#leased.set(id, 'renewed');
          this.#offer(item.lane, key);
        }
      },
    };
  }

  due(lane: Lane, nowMs: EpochMs): number {
    let sum = 0;
    for (const [bucket, count] of this.#buckets[lane]) if (bucket * widthOf(lane) <= nowMs) sum += count;
    return sum;
  }

  oldest(lane: Lane): EpochMs | undefined {
    let least = Infinity;
    for (const [bucket, count] of this.#buckets[lane]) if (count > 0 && bucket < least) least = bucket;
    return least === Infinity ? undefined : least * widthOf(lane);
  }

  /** A key that may be taken: the next read, and those under way, must not start behind it. */
  #offer(lane: Lane, key: Buffer): void {
    if (key.compare(this.#cursor[lane]) < 0) this.#cursor[lane] = key;
    for (const read of this.#reads) {
      if (read.lane === lane && (read.least === undefined || key.compare(read.least) < 0)) read.least = key;
    }
  }

  #count(item: Pick<QueueItem, 'lane' | 'dueAt'>, by: 1 | -1): void {
    const buckets = this.#buckets[item.lane];
    const bucket = Math.floor(item.dueAt / widthOf(item.lane));
    const sum = (buckets.get(bucket) ?? 0) + by;
    if (sum === 0) buckets.delete(bucket);
    else buckets.set(bucket, sum);
  }
}

/** By the hex of its key, each once. */
function keyed(items: readonly QueueItem[]): Map<string, { readonly item: QueueItem; readonly key: Buffer }> {
  return new Map(
    items.map((item) => {
      const key = queueKey(item);
      return [key.toString('hex'), { item, key }];
    }),
  );
}

function widthOf(lane: Lane): number {
  return lane === 'refresh' ? MINUTE : SECOND;
}
