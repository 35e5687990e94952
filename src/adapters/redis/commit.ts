/** A change of one issuer as one script takes it (lua/commit.lua): what was read, what is to be written, and what follows from it. */
import { MINUTE, type EpochMs } from '../../core/time.ts';
import type { FeedEvent } from './feed.ts';
import { encodeEvents } from './feed.ts';
import type { ItemLane } from './keys.ts';
import { sinceYear1900 } from './records.ts';
import type { StoredRecord } from './records.ts';
import type { Argument, Returned } from './scripts.ts';

export interface Write {
  readonly bucket: number;
  readonly serial: Buffer;
  /** The record as it was read; undefined when there was none. */
  readonly expected: Buffer | undefined;
  readonly next: Buffer;
  /** A change of the ledger: the script puts its count into it. */
  readonly stamped: boolean;
}

export interface Lease {
  readonly field: Buffer;
  readonly token: string;
}

export interface QueueOperation {
  readonly operation: 'insert' | 'end' | 'postpone' | 'release';
  readonly lane: ItemLane;
  readonly serial: Buffer;
  readonly token: string;
  readonly dueAt: EpochMs;
}

export interface Commit {
  /** Without them nothing may be written. */
  readonly leases: readonly Lease[];
  readonly writes: readonly Write[];
  readonly queue: readonly QueueOperation[];
  readonly removed: readonly { readonly shard: string; readonly member: Buffer }[];
  readonly added: readonly { readonly shard: string; readonly beginning: Buffer; readonly rest: Buffer }[];
  readonly counts: Counts;
  readonly events: readonly FeedEvent[];
}

export const NOTHING: Omit<Commit, 'counts'> = {
  leases: [],
  writes: [],
  queue: [],
  removed: [],
  added: [],
  events: [],
};

export type CommitOutcome =
  | { readonly kind: 'done'; readonly stamp: number }
  /** Another instance of the ledger. */
  | { readonly kind: 'forgot' }
  /** The journal record is in already. */
  | { readonly kind: 'applied' }
  /** Another process writes under the name of this one's journal. */
  | { readonly kind: 'displaced' }
  /** By index of the write: what is there instead; by index of the lease: it is lost. Nothing was written. */
  | {
      readonly kind: 'differ';
      readonly present: ReadonlyMap<number, Buffer | undefined>;
      readonly lost: ReadonlySet<number>;
    };

/** The record of a journal that is recorded with a change of the ledger. */
export interface JournalPlace {
  readonly name: string;
  readonly seq: number;
  /** Of the process that has the journal: another after a restart. */
  readonly writer: string;
  /** Nothing was written by it before. */
  readonly takes: boolean;
  /** Not a replay: if it is in already, this process has brought it in. */
  readonly decided: boolean;
}

/** How the population changes: by minute of `due`, thisUpdate and nextUpdate, and how many answers there are. */
export class Counts {
  readonly #differences = new Map<string, { kind: string; slot: string; difference: number }>();
  /** Buckets, and the least `due` that was written into each. */
  readonly bounds = new Map<number, number>();

  replace(before: StoredRecord | undefined, next: StoredRecord, bucket: number): void {
    this.#count(before, -1);
    this.#count(next, 1);
    if (next.due === undefined) return;
    const due = sinceYear1900(next.due);
    this.bounds.set(bucket, Math.min(due, this.bounds.get(bucket) ?? due));
  }

  args(): Argument[] {
    const changed = [...this.#differences.values()].filter(({ difference }) => difference !== 0);
    return [changed.length, ...changed.flatMap(({ kind, slot, difference }) => [kind, slot, difference])];
  }

  #count(record: StoredRecord | undefined, by: 1 | -1): void {
    if (record?.due !== undefined) {
      this.#add('due', '', by);
      this.#add('due', minute(record.due), by);
    }
    if (record?.answer === undefined) return;
    this.#add('answers', '', by);
    this.#add('thisUpdate', minute(record.answer.thisUpdate), by);
    this.#add('nextUpdate', minute(record.answer.nextUpdate), by);
  }

  #add(kind: string, slot: string, by: number): void {
    const key = kind + slot;
    const known = this.#differences.get(key);
    if (known === undefined) this.#differences.set(key, { kind, slot, difference: by });
    else known.difference += by;
  }
}

/**
 * The script's one argument.
 * @param journal what is recorded with this change of the ledger; undefined for changes of answers and queue.
 */
export function packCommit(
  instance: string,
  journal: JournalPlace | undefined,
  feedLength: number,
  commit: Commit,
): Buffer {
  const { name = '', seq = '', writer = '', takes = false, decided = false } = journal ?? {};
  const args: Argument[] = [instance, name, seq, writer, takes ? 1 : '', decided ? 1 : ''];
  args.push(feedLength, commit.leases.length);
  for (const { field, token } of commit.leases) args.push(field, token);
  args.push(commit.writes.length);
  for (const { bucket, serial, expected, next, stamped } of commit.writes)
    args.push(bucket, serial, expected ?? '', next, stamped ? 1 : '');
  args.push(commit.queue.length);
  for (const { operation, lane, serial, token, dueAt } of commit.queue)
    args.push(operation, lane, serial, token, dueAt);
  const { bounds } = commit.counts;
  args.push(bounds.size);
  for (const [bucket, bound] of bounds) args.push(bucket, bound);
  args.push(commit.removed.length);
  for (const { shard, member } of commit.removed) args.push(shard, member);
  args.push(commit.added.length);
  for (const { shard, beginning, rest } of commit.added) args.push(shard, beginning, rest);
  return packed([...args, ...commit.counts.args(), encodeEvents(commit.events)]);
}

function packed(args: readonly Argument[]): Buffer {
  return Buffer.concat(
    args.flatMap((arg) => {
      const octets = typeof arg === 'object' ? arg : Buffer.from(String(arg));
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32BE(octets.length);
      return [length, octets];
    }),
  );
}

export function commitOutcome(returned: Returned): CommitOutcome {
  const [first, ...rest] = returned as [Buffer, ...Returned[]];
  const kind = first.toString();
  switch (kind) {
    case 'done':
      return { kind: 'done', stamp: rest[0] as number };
    case 'applied':
    case 'displaced':
      return { kind };
    case 'differ': {
      const present = new Map<number, Buffer | undefined>();
      const lost = new Set<number>();
      for (let i = 0; i < rest.length; i += 3) {
        const index = (rest[i + 1] as number) - 1;
        const value = rest[i + 2] as Buffer;
        if ((rest[i] as Buffer).toString() === 'lease') lost.add(index);
        else present.set(index, value.length === 0 ? undefined : value);
      }
      return { kind: 'differ', present, lost };
    }
    default:
      return { kind: 'forgot' };
  }
}

function minute(instant: EpochMs): string {
  return String(Math.floor(instant / MINUTE));
}
