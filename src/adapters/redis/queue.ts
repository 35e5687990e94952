/**
 * The queue of one issuer, shared by all signers: who gets what, and what comes of it. Leases are the server's (lua/take.lua); what a
 * holder does after its lease was taken over changes nothing (fencing), because every change names the lease's token.
 *
 * Crash table: a process that dies with items in its hands → they are due again when its leases have expired. Between a publication
 * and the settling of its bucket → the bucket looks due, is taken when the lease has expired, and is settled then.
 */
import type { PublishedResponse } from '../../core/certificate.ts';
import { mayReplace } from '../../core/policy/freshness.ts';
import { sameRevocation } from '../../core/precedence.ts';
import { Problem } from '../../core/problem.ts';
import { serialBytes, type Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import type { PublishOutcome, QueueItem } from '../../ports/store.ts';
import { Counts, NOTHING, type Commit, type Lease, type QueueOperation, type Write } from './commit.ts';
import type { FeedEvent } from './feed.ts';
import type { IssuerLedger, Reading } from './issuer-ledger.ts';
import { bucketOf, isItemLane, type ItemLane } from './keys.ts';
import { Leases, type BucketLease } from './leases.ts';
import { decodeRecord, encodeRecord, sinceYear1900, type StoredRecord } from './records.ts';
import { scripts, type Returned } from './scripts.ts';
import { changing } from './watch.ts';

/** Buckets leased at a time: few of a backlog, where each is full of work, and more where each has one certificate that is due. */
const FIRST_BUCKETS = 4;
const MAX_BUCKETS = 64;
/** Own buckets that are looked at again because something in them has become due, per call. */
const REREAD = 64;
/** Changes of the same records by others, before the caller is asked to try later. */
const ATTEMPTS = 12;

export interface Answer {
  readonly response: PublishedResponse;
  readonly item: QueueItem;
}

/** What one item wants of its certificate's record; undefined: nothing. Its lease must still be there when it is written. */
type Decide<T> = (
  item: T,
  record: StoredRecord | undefined,
) => { readonly next: StoredRecord | undefined; readonly queue?: 'end' | 'postpone' };

export class IssuerQueue {
  readonly ledger: IssuerLedger;
  readonly leases: Leases;
  readonly #holder: string;
  readonly #leaseMs: number;
  readonly #publishing = new Set<Promise<void>>();
  #refreshing: Promise<unknown> = Promise.resolve();

  constructor(ledger: IssuerLedger, holder: string, leaseMs: number) {
    this.ledger = ledger;
    this.leases = new Leases(ledger.issuer);
    this.#holder = holder;
    this.#leaseMs = leaseMs;
  }

  /** Leases up to `limit` items of the lane that are due at `nowMs`. */
  take(lane: ItemLane | 'refresh', nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]> {
    if (lane !== 'refresh') return this.#takeItems(lane, nowMs, limit);
    const taken = this.#refreshing.then(() => this.#takeRefresh(nowMs, limit));
    this.#refreshing = taken.catch(() => undefined);
    return taken;
  }

  async #takeItems(lane: ItemLane, nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]> {
    const live: QueueItem[] = [];
    while (live.length < limit) {
      const leased = await this.#lease(`q:${lane}`, lane, nowMs, limit - live.length);
      if (leased.length === 0) break;
      const taken: QueueItem[] = [];
      for (const { member, score, token } of leased) {
        const item = { lane, dueAt: score, issuer: this.ledger.issuer, serial: member.toString('hex') as Serial };
        if (this.leases.take(item, token)) taken.push(item);
      }
      try {
        live.push(...(await this.#dropAnswered(taken)));
      } catch (error) {
        // Nobody has them: they are due again when the leases have expired.
        for (const item of [...live, ...taken]) this.leases.end(item);
        throw error;
      }
    }
    return live;
  }

  /** What was answered meanwhile, because somebody asked, is no work any more. */
  async #dropAnswered(items: readonly QueueItem[]): Promise<readonly QueueItem[]> {
    if (items.length === 0) return items;
    const { records } = await this.ledger.read(items.map(({ serial }) => serial));
    const live = items.filter(({ serial }) => {
      const record = this.#decode(serial, records);
      return record !== undefined && record.answer === undefined;
    });
    const kept = new Set(live);
    const answered = items.filter((item) => !kept.has(item));
    if (answered.length > 0) await this.drop(answered);
    return live;
  }

  async #takeRefresh(nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]> {
    const { leases } = this;
    const now = performance.now();
    for (const lease of leases.buckets.values()) {
      if (lease.expiresAt > now) continue;
      lease.waiting.clear();
      if (lease.out.size === 0) leases.buckets.delete(lease.bucket);
    }
    const again = [...leases.buckets.values()].filter(({ nextDue }) => nextDue <= sinceYear1900(nowMs));
    await this.#readDue(again.slice(0, REREAD), nowMs);
    const items: QueueItem[] = [];
    for (let count = FIRST_BUCKETS; items.length < limit; count = Math.min(2 * count, MAX_BUCKETS)) {
      const more = this.#waiting(nowMs).length < limit - items.length && (await this.#takeBuckets(nowMs, count));
      if (more) continue;
      const chosen = this.#waiting(nowMs).slice(0, limit - items.length);
      if (chosen.length === 0) break;
      items.push(...(await this.#handOut(chosen, nowMs)));
    }
    return items;
  }

  /** False when no other bucket is due. */
  async #takeBuckets(nowMs: EpochMs, count: number): Promise<boolean> {
    const sentAt = performance.now();
    const leased = await this.#lease('due', 'refresh', sinceYear1900(nowMs), count);
    if (leased.length === 0) return false;
    const buckets = leased.map(({ member, token }): BucketLease => {
      const bucket = Number(String(member));
      const expiresAt = sentAt + this.#leaseMs;
      const known = this.leases.buckets.get(bucket);
      if (known !== undefined) return Object.assign(known, { token, expiresAt });
      const lease = { bucket, token, expiresAt, out: new Set<Serial>(), waiting: new Map(), nextDue: Infinity };
      this.leases.buckets.set(bucket, lease);
      return lease;
    });
    await this.#readDue(buckets, nowMs);
    await this.#settle(buckets.filter(isIdle));
    return true;
  }

  /** What has waited here for a while may have been answered or changed meanwhile: it is read again. */
  async #handOut(
    chosen: readonly { readonly item: QueueItem; readonly lease: BucketLease }[],
    nowMs: EpochMs,
  ): Promise<readonly QueueItem[]> {
    const { records } = await this.ledger.read(chosen.map(({ item }) => item.serial));
    const items: QueueItem[] = [];
    for (const { item, lease } of chosen) {
      const record = this.#decode(item.serial, records);
      if (record?.due === undefined || record.due > nowMs) lease.waiting.delete(item.serial);
      else {
        const current = { ...item, dueAt: record.due };
        this.leases.handOut(lease, current, record);
        items.push(current);
      }
    }
    await this.#settle([...new Set(chosen.map(({ lease }) => lease))].filter(isIdle));
    return items;
  }

  /** Oldest first. */
  #waiting(nowMs: EpochMs): { readonly item: QueueItem; readonly lease: BucketLease }[] {
    const found: { item: QueueItem; lease: BucketLease }[] = [];
    for (const lease of this.leases.buckets.values())
      for (const item of lease.waiting.values()) if (item.dueAt <= nowMs) found.push({ item, lease });
    return found.sort((a, b) => a.item.dueAt - b.item.dueAt || (a.item.serial < b.item.serial ? -1 : 1));
  }

  async #readDue(buckets: readonly BucketLease[], nowMs: EpochMs): Promise<void> {
    if (buckets.length === 0) return;
    const { issuer } = this.ledger;
    const { buckets: count } = await this.ledger.watch.trusted();
    const byBucket = new Map(buckets.map((lease) => [lease.bucket, lease]));
    for (const lease of buckets) lease.nextDue = Infinity;
    const found = await this.ledger.script(scripts.due, [sinceYear1900(nowMs), ...byBucket.keys()]);
    const [flat, next] = found as readonly [readonly Buffer[], readonly Buffer[]];
    // What is written while this is read is noted beside it.
    [...byBucket.values()].forEach((lease, i) => (lease.nextDue = Math.min(lease.nextDue, Number(String(next[i])))));
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const octets = flat[i] as Buffer;
      const serial = octets.toString('hex') as Serial;
      if (this.leases.isOut(serial)) continue;
      const { due } = decodeRecord(issuer, serial, flat[i + 1] as Buffer);
      if (due === undefined) continue;
      byBucket.get(bucketOf(octets, count))?.waiting.set(serial, { issuer, serial, lane: 'refresh', dueAt: due });
    }
  }

  async #lease(
    queue: string,
    prefix: string,
    due: number,
    limit: number,
  ): Promise<{ readonly member: Buffer; readonly score: number; readonly token: string }[]> {
    if (limit <= 0) return [];
    const { instance } = await this.ledger.watch.trusted();
    const args = [instance, queue, prefix, due, limit, this.#leaseMs, this.#holder];
    const flat = (await this.ledger.script(scripts.take, args)) as readonly Buffer[];
    if (String(flat[0]) === 'forgot' && flat.length === 1) {
      this.ledger.watch.lost();
      return [];
    }
    const leased = [];
    for (let i = 0; i + 2 < flat.length; i += 3) {
      leased.push({ member: flat[i] as Buffer, score: Number(String(flat[i + 1])), token: String(flat[i + 2]) });
    }
    return leased;
  }

  /** Compare-and-swap on revision and freshness.mayReplace; the first publishedAt of a revision stays. */
  async publish(answers: readonly Answer[]): Promise<readonly PublishOutcome[]> {
    const publishing = this.#publish(answers);
    const ended = publishing.then(
      () => undefined,
      () => undefined,
    );
    this.#publishing.add(ended);
    void ended.then(() => this.#publishing.delete(ended));
    return publishing;
  }

  async #publish(answers: readonly Answer[]): Promise<readonly PublishOutcome[]> {
    const outcomes = new Map<Answer, PublishOutcome>();
    const done = await this.#change(answers, (one, record) => {
      const { response, item } = one;
      // A replay may have put another state of the same revision there (core/precedence.ts).
      if (
        record?.certificate.revision !== response.revision ||
        !sameRevocation(record.certificate.revocation, response.revocation)
      ) {
        outcomes.set(one, 'superseded');
        if (item.lane !== 'refresh' || record === undefined) return { next: undefined, queue: 'end' };
        return { next: { ...record, due: this.leases.dueAfter(item, record) }, queue: 'end' };
      }
      if (record.answer !== undefined && !mayReplace(response, record.answer)) {
        outcomes.set(one, 'older');
        return { next: undefined };
      }
      outcomes.set(one, 'published');
      const publishedAt = record.answer?.publishedAt ?? response.publishedAt;
      return { next: { ...record, answer: { ...response, publishedAt }, due: response.refreshAt }, queue: 'end' };
    });
    // What is left out was somebody else's by then.
    return answers.map((one) => (done.has(one) ? (outcomes.get(one) as PublishOutcome) : 'superseded'));
  }

  async postpone(items: readonly QueueItem[], dueAt: EpochMs): Promise<void> {
    await this.#change(
      items.map((item) => ({ item })),
      ({ item }, record) => {
        if (item.lane !== 'refresh' || record === undefined) return { next: undefined, queue: 'postpone' };
        const kept = this.leases.dueAfter(item, record);
        return { next: { ...record, due: kept ?? dueAt }, queue: 'postpone' };
      },
      dueAt,
    );
  }

  async drop(items: readonly QueueItem[]): Promise<void> {
    await this.#change(
      items.map((item) => ({ item })),
      ({ item }, record) => {
        if (item.lane !== 'refresh' || record === undefined) return { next: undefined, queue: 'end' };
        return { next: { ...record, due: this.leases.dueAfter(item, record) }, queue: 'end' };
      },
    );
  }

  async retire(items: readonly QueueItem[]): Promise<void> {
    await this.#change(
      items.map((item) => ({ item })),
      ({ item }, record) => {
        if (record === undefined) return { next: undefined, queue: 'end' };
        const due = item.lane === 'refresh' ? this.leases.dueAfter(item, record) : record.due;
        return { next: { ...record, answer: undefined, due }, queue: 'end' };
      },
    );
  }

  /**
   * Makes published answers due at `dueAt`, unless they are due earlier: bucket by bucket, each by compare-and-swap. What is published
   * meanwhile was signed by whoever signs now.
   */
  async refreshAll(responder: string | undefined, dueAt: EpochMs): Promise<number> {
    await Promise.all(this.#publishing);
    const { watch } = this.ledger;
    const { buckets, instance } = await watch.confirmed();
    let count = 0;
    for (let bucket = 0; bucket < buckets; bucket++)
      count += await this.#refreshBucket(bucket, instance, responder, dueAt);
    return count;
  }

  async #refreshBucket(
    bucket: number,
    instance: string,
    responder: string | undefined,
    dueAt: EpochMs,
  ): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const counts = new Counts();
      const writes: Write[] = [];
      let count = 0;
      for (const [serial, expected] of await this.ledger.bucket(bucket)) {
        const record = decodeRecord(this.ledger.issuer, serial.toString('hex') as Serial, expected);
        const { answer } = record;
        if (answer === undefined || (responder !== undefined && answer.responder !== responder)) continue;
        count += 1;
        if (answer.refreshAt <= dueAt) continue;
        const next = { ...record, answer: { ...answer, refreshAt: dueAt }, due: Math.min(record.due ?? dueAt, dueAt) };
        counts.replace(record, next, bucket);
        writes.push({ bucket, serial, expected, next: encodeRecord(next), stamped: false });
      }
      if (writes.length === 0) return count;
      const outcome = await this.ledger.commit(instance, undefined, { ...NOTHING, writes, counts });
      if (outcome.kind === 'forgot') throw changing();
      if (outcome.kind !== 'done') continue;
      this.leases.wrote(counts.bounds);
      return count;
    }
    throw new Problem('unavailable', 'other processes keep changing these certificates; try again', { rule: 'P2' });
  }

  /** Gives everything back, as far as Redis answers. */
  async release(): Promise<void> {
    const queue = [...this.leases.items()].map(({ lane, serial, token }): QueueOperation => ({
      operation: 'release',
      lane,
      serial: serialBytes(serial),
      token,
      dueAt: 0,
    }));
    const { instance } = await this.ledger.watch.trusted();
    if (queue.length > 0) await this.ledger.commit(instance, undefined, { ...NOTHING, queue, counts: new Counts() });
    await this.#settle([...this.leases.buckets.values()]);
  }

  /**
   * Decides on what is there and writes it, all of it or nothing; decides anew when somebody else was quicker. An item whose lease was
   * taken over is left out of what is returned. @throws Problem `unavailable`
   */
  async #change<T extends { readonly item: QueueItem }>(
    all: readonly T[],
    decide: Decide<T>,
    dueAt: EpochMs = 0,
  ): Promise<ReadonlySet<T>> {
    // Asked-for items have no lease; any other is worth nothing without one.
    const mine = new Map(
      all.flatMap((one): [T, Lease | undefined][] => {
        const lease = one.item.lane === 'asked' ? undefined : this.leases.leaseOf(one.item);
        return one.item.lane !== 'asked' && lease === undefined ? [] : [[one, lease]];
      }),
    );
    const lost: QueueItem[] = [];
    let reading: Reading | undefined;
    for (let attempt = 0; attempt < ATTEMPTS && mine.size > 0; attempt++) {
      reading ??= await this.ledger.read([...mine.keys()].map(({ item }) => item.serial));
      const { ended, owners, commit } = this.#plan(mine, decide, reading, dueAt);
      const outcome = await this.ledger.commit(reading.instance, undefined, commit);
      if (outcome.kind === 'done' || (outcome.kind === 'differ' && isWritten(commit, outcome.present))) {
        this.leases.wrote(commit.counts.bounds);
        await this.#end([...ended, ...lost]);
        return new Set(mine.keys());
      }
      if (outcome.kind === 'differ') {
        for (const index of outcome.lost) {
          const one = owners[index] as T;
          mine.delete(one);
          lost.push(one.item);
        }
        for (const [index, present] of outcome.present) {
          const { serial } = commit.writes[index] as Write;
          reading.records.set(serial.toString('hex') as Serial, present);
        }
      } else {
        await this.ledger.watch.confirm();
        reading = undefined;
      }
    }
    await this.#end(lost);
    if (mine.size === 0) return new Set();
    throw new Problem('unavailable', 'other processes keep changing these certificates; try again', { rule: 'P2' });
  }

  #plan<T extends { readonly item: QueueItem }>(
    mine: ReadonlyMap<T, Lease | undefined>,
    decide: Decide<T>,
    { records, buckets }: Reading,
    dueAt: EpochMs,
  ): { readonly ended: QueueItem[]; readonly owners: T[]; readonly commit: Commit } {
    const states = new Map<
      Serial,
      { readonly before: StoredRecord | undefined; now: StoredRecord | undefined; awaited: boolean }
    >();
    const queue: QueueOperation[] = [];
    const leases: Lease[] = [];
    const owners: T[] = [];
    const ended: QueueItem[] = [];
    for (const [one, lease] of mine) {
      const { lane, serial } = one.item;
      let state = states.get(serial);
      if (state === undefined) {
        const before = this.#decode(serial, records);
        states.set(serial, (state = { before, now: before, awaited: false }));
      }
      const { next, queue: operation } = decide(one, state.now);
      if (lease !== undefined) {
        leases.push(lease);
        owners.push(one);
      }
      if (next !== undefined) state.now = next;
      if (lane !== 'refresh') state.awaited = true;
      if (operation === undefined) continue;
      ended.push(one.item);
      if (lease !== undefined && isItemLane(lane))
        queue.push({ operation, lane, serial: serialBytes(serial), token: lease.token, dueAt });
    }
    const counts = new Counts();
    const events: FeedEvent[] = [];
    const writes: Write[] = [];
    for (const [serial, { before, now, awaited }] of states) {
      if (now === undefined || now === before) continue;
      const octets = serialBytes(serial);
      const bucket = bucketOf(octets, buckets);
      writes.push({ bucket, serial: octets, expected: records.get(serial), next: encodeRecord(now), stamped: false });
      counts.replace(before, now, bucket);
      // Told is the first answer of a revision, except of an import, for which nobody waits; the rest is found when it is looked for.
      if (awaited && before?.answer === undefined && now.answer !== undefined)
        events.push({ type: 'answered', serial, revision: now.certificate.revision });
    }
    return { ended, owners, commit: { ...NOTHING, leases, writes, queue, counts, events } };
  }

  async #end(items: readonly QueueItem[]): Promise<void> {
    const done = new Set<BucketLease>();
    for (const item of items) {
      const lease = this.leases.end(item);
      if (lease !== undefined) done.add(lease);
    }
    await this.#settle([...done]);
  }

  /** Not settled, because Redis is away: the lease expires, and whoever takes the bucket then settles it. */
  async #settle(buckets: readonly BucketLease[]): Promise<void> {
    if (buckets.length === 0) return;
    for (const { bucket } of buckets) this.leases.buckets.delete(bucket);
    await this.ledger
      .script(
        scripts.settle,
        buckets.flatMap(({ bucket, token }) => [bucket, token]),
      )
      .catch((): Returned => null);
  }

  #decode(serial: Serial, records: ReadonlyMap<Serial, Buffer | undefined>): StoredRecord | undefined {
    const octets = records.get(serial);
    return octets && decodeRecord(this.ledger.issuer, serial, octets);
  }
}

function isIdle({ out, waiting }: BucketLease): boolean {
  return out.size === 0 && waiting.size === 0;
}

/** A command that was sent again after the connection was lost finds its own work: only the first reply was lost. */
function isWritten({ writes }: Commit, present: ReadonlyMap<number, Buffer | undefined>): boolean {
  return writes.length > 0 && writes.every(({ next }, i) => present.get(i)?.equals(next) === true);
}
