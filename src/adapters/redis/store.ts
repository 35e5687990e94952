/**
 * The store that many processes share: Redis 7, standalone, with Sentinel or as Cluster. keys.ts says what lies in it.
 *
 * Decisions are made here, on what was read; every change is one script that compares and swaps (lua/commit.lua), so two processes
 * never both succeed on the same state. A plain reply of Redis is not durable: whatever was acknowledged is in the intakes'
 * journals, and one instance of the ledger (a run of the server, watch.ts) is relied on only after each of them has vouched.
 *
 * Crash table of a change of the ledger, after it was journalled:
 *   before the script           → replayed when the intake starts again
 *   after it, before its reply  → tried again: the server knows the journal record as applied
 *   Redis loses it (power, a failover to a replica without it) → another run of the server: nobody relies on it until the journals are
 *                                 replayed; with `replicas` that many have it before it is acknowledged, and nothing is lost
 *   FLUSHALL                    → no epoch: nobody relies on it until the journals are replayed, then followers are told `gap`
 */
import { randomBytes } from 'node:crypto';
import {
  type Certificate,
  type CrlRecord,
  type CrlScope,
  type IssuerTag,
  type Lane,
  type RevokedEntry,
} from '../../core/certificate.ts';
import type { LiveQuestion, LiveSignature } from '../../core/ocsp/live.ts';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import { SECOND } from '../../core/time.ts';
import type { CrlArchive, CrlDraft, CrlFile } from '../../ports/crl-archive.ts';
import type {
  Change,
  Freshness,
  LiveListener,
  Lookup,
  PublishOutcome,
  QueueItem,
  Store,
  StoreEvent,
  StoreHealth,
} from '../../ports/store.ts';
import { AskChannel } from './asks.ts';
import { Counts, NOTHING, type CommitOutcome, type JournalPlace } from './commit.ts';
import { CrlFollower } from './crl-follower.ts';
import { IssuerCrls } from './crl-shelf.ts';
import { RedisMemory } from './health.ts';
import { IssuerLedger } from './issuer-ledger.ts';
import { bucketCount, LAYOUT_VERSION } from './keys.ts';
import { IssuerQueue, type Answer } from './queue.ts';
import { LiveLine } from './live-line.ts';
import { IssuerLookups } from './lookups.ts';
import { recordChanges } from './record-changes.ts';
import { decodeRecord } from './records.ts';
import { IssuerResponders } from './responder-shelf.ts';
import { IssuerScans } from './scans.ts';
import { scripts, type Connection } from './scripts.ts';
import { changing, IssuerWatch, unavailable, type Log } from './watch.ts';

export interface RedisStoreOptions {
  /** A connection with auto-pipelining and time-outs (connection.ts). It stays the caller's: close does not close it. */
  readonly redis: Connection;
  /** Of this process: one per process, the same after a restart. */
  readonly name: string;
  /** Of every process with a journal: each must vouch. */
  readonly intakes: readonly string[];
  /** Is this process one of them? */
  readonly journals: boolean;
  readonly issuers: readonly IssuerTag[];
  /** Who signs has one: of all CRLs, its own and the others'. */
  readonly archive?: CrlArchive | undefined;
  /** Expected per issuer: how many buckets a new ledger gets. */
  readonly certificates: number;
  /** So many must have a change of the ledger before it is acknowledged. */
  readonly replicas: number;
  readonly log?: Log | undefined;
  /** Half a minute, except in tests. */
  readonly leaseMs?: number;
  /** Entries that a feed keeps at most, beside a bound on their octets (lua/common.lua): who is further behind is told `gap`. */
  readonly feedLength?: number;
}

const LEASE_MS = 30 * SECOND;
const FEED_LENGTH = 1000;
/** Others change the same certificates; then the caller is asked to try later. */
const ATTEMPTS = 12;

/** All parts of one issuer. */
interface IssuerParts {
  readonly watch: IssuerWatch;
  readonly ledger: IssuerLedger;
  readonly lookups: IssuerLookups;
  readonly queue: IssuerQueue;
  readonly crls: IssuerCrls;
  readonly follower: CrlFollower;
  readonly responders: IssuerResponders;
  readonly scans: IssuerScans;
}

export class RedisStore implements Store {
  readonly #options: RedisStoreOptions;
  readonly #parts: ReadonlyMap<IssuerTag, IssuerParts>;
  readonly #asks: AskChannel;
  readonly #live: LiveLine;
  readonly #followers: ((event: StoreEvent) => void)[] = [];
  readonly #onLost: () => void;
  /** Five looks (watch.ts): what a busy process may be late by. */
  readonly propagationMs = 250;
  readonly freshness: Freshness;
  readonly health: StoreHealth;
  readonly #memory: RedisMemory;
  /** Changes of the ledger by this process come one after the other: its journal is a sequence. */
  #recording: Promise<unknown> = Promise.resolve();
  /** By issuer: the instance that the journal is being replayed into, since appliedSeq was asked. */
  readonly #replayInto = new Map<IssuerTag, string>();
  /** The last record of the journal that is in, whichever issuer it changed. */
  #applied = 0;
  /** Tells this process from any other of its name: two journals of one name have different records under the same numbers. */
  readonly #writer = randomBytes(8).toString('hex');
  /** Issuers in whose ledger it has written. */
  readonly #wrote = new Set<IssuerTag>();
  /** Set for good when another process of this name has begun to write: nothing of this journal can be told from its records. */
  #displaced: Problem | undefined;
  #turn = 0;
  #closed = false;

  private constructor(options: RedisStoreOptions) {
    this.#options = options;
    const { redis, name, journals, intakes, issuers, archive, replicas, log } = options;
    const { leaseMs = LEASE_MS, feedLength = FEED_LENGTH } = options;
    this.#asks = new AskChannel(redis, issuers, log);
    this.#live = new LiveLine(redis, issuers, log);
    const holder = `${name} ${randomBytes(4).toString('hex')}`;
    const parts = issuers.map((issuer): [IssuerTag, IssuerParts] => {
      const watch: IssuerWatch = new IssuerWatch(issuer, {
        redis,
        name,
        journals,
        beats: journals || archive !== undefined,
        intakes,
        log,
        tell: (event) => this.#tell(event),
        published: (record) => follower.follow(record),
      });
      const ledger = new IssuerLedger(watch, redis, { replicas, feedLength });
      const crls = new IssuerCrls(ledger, redis, archive, holder, leaseMs, log);
      const follower = new CrlFollower(
        (record) => crls.followed(record),
        (record, der) => this.#tell({ type: 'crl', record, der }),
      );
      const queue = new IssuerQueue(ledger, holder, leaseMs);
      const lookups = new IssuerLookups(ledger);
      const responders = new IssuerResponders(ledger, redis);
      const scans = new IssuerScans(watch, redis);
      return [issuer, { watch, ledger, lookups, crls, follower, queue, responders, scans }];
    });
    this.#parts = new Map(parts);
    this.freshness = freshnessOf(this.#parts);
    this.#memory = new RedisMemory(redis);
    this.health = healthOf(this.#parts, this.#memory);
    this.#onLost = () => {
      for (const { watch } of this.#all) watch.lost();
    };
  }

  /** @throws Problem `unavailable` when Redis does not answer. */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const store = new RedisStore(options);
    // Whatever was seen over the old connection proves nothing about the server at the end of the next.
    for (const event of LOST) options.redis.on(event, store.#onLost);
    try {
      if (options.journals) await store.#found();
      await Promise.all(store.#all.map(({ watch }) => watch.start()));
    } catch (error) {
      await store.close();
      throw unavailable(error);
    }
    void store.#memory.look();
    for (const { watch } of store.#all) store.#replayInto.set(watch.issuer, watch.seen.instance);
    return store;
  }

  // Ledger

  async appliedSeq(): Promise<number> {
    if (this.#options.journals) await this.#found();
    return this.#exclusively(async () => {
      await Promise.all(this.#all.map(({ watch }) => watch.confirm()));
      let least = Infinity;
      for (const { watch } of this.#all) {
        const { instance, applied } = watch.seen;
        this.#replayInto.set(watch.issuer, instance);
        // Records after the last one that changed this issuer do not concern it.
        least = Math.min(least, applied >= watch.touched ? Math.max(applied, this.#applied) : applied);
        watch.touch(applied);
      }
      return least === Infinity ? 0 : least;
    });
  }

  async newestSeq(): Promise<number> {
    await Promise.all(this.#all.map(({ watch }) => watch.confirm()));
    return Math.max(0, ...this.#all.map(({ watch }) => watch.seen.applied));
  }

  async find(issuer: IssuerTag, serials: readonly Serial[]): Promise<readonly (Certificate | undefined)[]> {
    if (serials.length === 0) return [];
    const { records } = await this.#of(issuer).ledger.read(serials);
    return serials.map((serial) => {
      const octets = records.get(serial);
      return octets && decodeRecord(issuer, serial, octets).certificate;
    });
  }

  /** @throws Problem `unavailable`; then it is in or not, and the same call may be made again. */
  apply(
    changes: readonly Change[],
    seq: number,
    decidedOn: ReadonlyMap<string, Certificate | undefined>,
  ): Promise<'applied' | 'overtaken'> {
    return this.#exclusively(async () => {
      const byIssuer = groupByIssuer(changes);
      // One script is one issuer's: of two, one could be overtaken when the other is in already.
      if (byIssuer.size > 1) throw new Error('changes of several issuers cannot be applied at once');
      for (const [issuer, list] of byIssuer) {
        const { ledger } = this.#of(issuer);
        if ((await this.#record(ledger, list, seq, decidedOn)) === 'overtaken') return 'overtaken';
        await ledger.replicated();
      }
      if (byIssuer.size === 0) await this.#mark(seq);
      this.#applied = Math.max(this.#applied, seq);
      return 'applied';
    });
  }

  replay(changes: readonly Change[], seq: number): Promise<void> {
    return this.#exclusively(async () => {
      for (const [issuer, list] of groupByIssuer(changes)) {
        // Not configured here any more: its own count of what is in stays behind, so it is replayed when it is again.
        const parts = this.#parts.get(issuer);
        if (parts === undefined) continue;
        await this.#record(parts.ledger, list, seq, undefined);
        await parts.ledger.replicated();
      }
      if (changes.length === 0) await this.#mark(seq);
      this.#applied = Math.max(this.#applied, seq);
    });
  }

  vouch(): Promise<void> {
    return this.#exclusively(async () => {
      for (const { watch, ledger } of this.#all) {
        const args = [this.#replayInto.get(watch.issuer) ?? '', this.#options.name, watch.touched];
        if ((await ledger.script(scripts.vouch, args)) !== 1) {
          throw new Problem('unavailable', 'the ledger was lost again while the journal was replayed; try again', {
            rule: 'P1',
          });
        }
        await ledger.replicated();
        await watch.follow();
      }
    });
  }

  revokedEntries({ issuer, shard }: CrlScope): {
    readonly asOfSeq: Promise<number>;
    readonly pages: AsyncIterable<readonly RevokedEntry[]>;
  } {
    return this.#of(issuer).scans.revokedEntries(shard);
  }

  certificates(issuer: IssuerTag): AsyncIterable<readonly Certificate[]> {
    return this.#of(issuer).scans.certificates();
  }

  // ResponseSource

  async lookup(issuer: IssuerTag, serial: Serial): Promise<Lookup> {
    return this.#of(issuer).lookups.find(serial);
  }

  // IssuedSerials

  serials(issuer: IssuerTag): AsyncIterable<readonly Serial[]> {
    return this.#of(issuer).scans.serials();
  }

  // RefreshQueue

  /** Issuers in turn, so that the backlog of one does not hold up the others; what one cannot give now does not keep the rest back. */
  async takeDue(
    lane: Lane,
    nowMs: EpochMs,
    limit: number,
    unable?: ReadonlySet<IssuerTag>,
  ): Promise<readonly QueueItem[]> {
    if (lane === 'asked' || limit <= 0) return [];
    const able = this.#all.filter(({ watch }) => unable?.has(watch.issuer) !== true);
    const start = this.#turn++ % Math.max(1, able.length);
    const queues = [...able.slice(start), ...able.slice(0, start)].map(({ queue }) => queue);
    const items: QueueItem[] = [];
    let failure: unknown;
    const take = async (queue: IssuerQueue, most: number): Promise<number> => {
      try {
        const taken = await queue.take(lane, nowMs, most);
        items.push(...taken);
        return taken.length;
      } catch (error) {
        failure = error;
        return 0;
      }
    };
    const share = Math.max(1, Math.floor(limit / Math.max(1, queues.length)));
    const counts = await Promise.all(queues.slice(0, limit).map((queue) => take(queue, share)));
    for (const [i, queue] of queues.entries()) {
      if (items.length >= limit) break;
      // Those that had no less than their share, and those that were not asked yet.
      if ((counts[i] ?? share) === share) await take(queue, limit - items.length);
    }
    if (items.length === 0 && failure !== undefined) throw unavailable(failure);
    return items.sort((a, b) => a.dueAt - b.dueAt || (a.serial < b.serial ? -1 : 1));
  }

  async postpone(items: readonly QueueItem[], dueAt: EpochMs): Promise<void> {
    await this.#each(items, (queue, some) => queue.postpone(some, dueAt));
  }

  async drop(items: readonly QueueItem[]): Promise<void> {
    await this.#each(items, (queue, some) => queue.drop(some));
  }

  async retire(items: readonly QueueItem[]): Promise<void> {
    await this.#each(items, (queue, some) => queue.retire(some));
  }

  async publish(answers: readonly Answer[]): Promise<readonly PublishOutcome[]> {
    const byIssuer = new Map<IssuerTag, Answer[]>();
    for (const answer of answers) push(byIssuer, answer.response.issuer, answer);
    const outcomes = new Map<Answer, PublishOutcome>();
    for (const [issuer, list] of byIssuer) {
      const found = await this.#of(issuer).queue.publish(list);
      list.forEach((answer, i) => outcomes.set(answer, found[i] as PublishOutcome));
    }
    return answers.map((answer) => outcomes.get(answer) as PublishOutcome);
  }

  refreshAll(issuer: IssuerTag, responder: string | undefined, dueAt: EpochMs): Promise<number> {
    return this.#of(issuer).queue.refreshAll(responder, dueAt);
  }

  backlog(lane: Lane, nowMs: EpochMs): number {
    return this.#all.reduce((sum, { watch }) => sum + watch.gauges.backlog(lane, nowMs), 0);
  }

  oldestDue(lane: Lane): EpochMs | undefined {
    const least = Math.min(...this.#all.map(({ watch }) => watch.gauges.oldestDue(lane) ?? Infinity));
    return least === Infinity ? undefined : least;
  }

  // CrlShelf

  current({ issuer, shard }: CrlScope): Promise<CrlRecord | undefined> {
    return this.#of(issuer).crls.current(shard);
  }

  scopes(issuer: IssuerTag): Promise<readonly CrlScope[]> {
    return this.#of(issuer).crls.scopes();
  }

  body(record: CrlRecord): Promise<Buffer> {
    return this.#of(record.issuer).crls.body(record);
  }

  openCrl(record: CrlRecord): Promise<CrlFile> {
    return this.#of(record.issuer).crls.open(record);
  }

  draftCrl(scope: CrlScope): Promise<CrlDraft> {
    return this.#of(scope.issuer).crls.draft(scope);
  }

  reserveNumber({ issuer, shard }: CrlScope, atLeast: bigint): Promise<bigint> {
    return this.#of(issuer).crls.reserve(shard, atLeast);
  }

  publishCrl(record: CrlRecord, draft: CrlDraft, previous: bigint | undefined): Promise<boolean> {
    return this.#of(record.issuer).crls.publish(record, draft, previous);
  }

  isRelayed(): boolean {
    return true;
  }

  list(scope: CrlScope): AsyncIterable<CrlRecord> {
    return this.#of(scope.issuer).crls.list(scope);
  }

  claimCrl(issuer: IssuerTag): Promise<boolean> {
    return this.#of(issuer).crls.claim();
  }

  releaseCrl(issuer: IssuerTag): Promise<void> {
    return this.#of(issuer).crls.release();
  }

  restoreCrl({ issuer, shard }: CrlScope): Promise<CrlRecord | undefined> {
    return this.#of(issuer).crls.restore(shard);
  }

  // ResponderShelf

  responders(issuer: IssuerTag): Promise<readonly Buffer[]> {
    return this.#of(issuer).responders.all();
  }

  addResponder(issuer: IssuerTag, der: Buffer): Promise<void> {
    return this.#of(issuer).responders.add(der);
  }

  retireResponder(issuer: IssuerTag, responder: string, use: Exclude<ResponderUse, 'signing'>): Promise<void> {
    return this.#of(issuer).responders.retire(responder, use);
  }

  retiredResponders(issuer: IssuerTag): Promise<ReadonlyMap<string, Exclude<ResponderUse, 'signing'>>> {
    return this.#of(issuer).responders.retired();
  }

  // AskLine

  ask(issuer: IssuerTag, serial: Serial): void {
    this.#asks.ask(issuer, serial);
  }

  onAsk(listener: (issuer: IssuerTag, serial: Serial) => void): void {
    this.#asks.onAsk(listener);
  }

  askLive(question: LiveQuestion, withinMs: number): Promise<LiveSignature | 'refused' | 'silence'> {
    return this.#live.ask(question, withinMs);
  }

  onLive(signer: LiveListener): void {
    this.#live.listen(signer);
  }

  // Reliance

  get failure(): string | undefined {
    if (this.#displaced !== undefined) return this.#displaced.message;
    for (const { watch } of this.#all) if (watch.failure !== undefined) return watch.failure;
    return undefined;
  }

  failureOf(issuer: IssuerTag): string | undefined {
    return this.#displaced?.message ?? this.#of(issuer).watch.failure;
  }

  get mustVouch(): boolean {
    return this.#all.some(({ watch }) => watch.mustVouch);
  }

  silentMs(): number {
    return Math.max(0, ...this.#all.map(({ watch }) => watch.silentMs()));
  }

  // ChangeFeed

  follow(follower: (event: StoreEvent) => void): void {
    this.#followers.push(follower);
  }

  /** Gives back what is leased, so that others need not wait for it. Redis may be away: then the leases expire. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#recording.catch(() => undefined);
    if (this.failure === undefined) {
      await Promise.allSettled([
        ...this.#all.map(({ queue }) => queue.release()),
        this.#options.journals && this.#applied > 0 ? this.#mark(this.#applied) : undefined,
      ]);
    }
    await Promise.all(this.#all.flatMap(({ watch, follower }) => [watch.close(), follower.close()]));
    for (const event of LOST) this.#options.redis.off(event, this.#onLost);
    this.#memory.close();
    this.#asks.close();
    this.#live.close();
  }

  get #all(): readonly IssuerParts[] {
    return [...this.#parts.values()];
  }

  #of(issuer: IssuerTag): IssuerParts {
    const parts = this.#parts.get(issuer);
    if (parts === undefined || this.#closed) {
      const why = this.#closed ? 'the store is closed' : 'this process does not serve the issuer';
      throw new Problem('unavailable', why, { field: 'issuer', value: issuer });
    }
    return parts;
  }

  #tell(event: StoreEvent): void {
    for (const follower of this.#followers) follower(event);
  }

  /** A ledger for every issuer that has none yet. */
  async #found(): Promise<void> {
    const buckets = bucketCount(this.#options.certificates);
    const args = (): (string | number)[] => [randomBytes(8).toString('hex'), buckets, LAYOUT_VERSION];
    await Promise.all(this.#all.map(({ ledger }) => ledger.script(scripts.found, args())));
  }

  /** @param decidedOn undefined: a replay, into the instance that it was begun on, whether it is relied on or not. */
  async #record(
    ledger: IssuerLedger,
    changes: readonly Change[],
    seq: number,
    decidedOn: ReadonlyMap<string, Certificate | undefined> | undefined,
  ): Promise<'applied' | 'overtaken'> {
    const { watch } = ledger;
    const serials = [...new Set(changes.map(({ certificate }) => certificate.serial))];
    let records: Map<Serial, Buffer | undefined> | undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { instance, buckets } = decidedOn === undefined ? this.#replayed(watch) : await watch.trusted();
      records ??= await ledger.fetch(buckets, serials);
      let commit = recordChanges(changes, records, buckets, decidedOn);
      if (commit === undefined) {
        await watch.confirmed();
        if (watch.seen.applied < seq) return 'overtaken';
        // Perhaps by this very call, when its reply was lost: who has brought in this number is for the server to say.
        commit = { ...NOTHING, counts: new Counts() };
      }
      const outcome = await this.#commit(ledger, instance, seq, commit, decidedOn !== undefined);
      if (outcome.kind === 'applied' && decidedOn !== undefined) {
        await watch.confirm();
        return this.#appliedBefore(watch, seq);
      }
      if (outcome.kind === 'done' || outcome.kind === 'applied') {
        // Into buckets that this very process holds, too: it need not wait until they are settled.
        this.#of(ledger.issuer).queue.leases.wrote(commit.counts.bounds);
        watch.touch(seq);
        return 'applied';
      }
      if (outcome.kind === 'differ') {
        for (const [index, present] of outcome.present) {
          const write = commit.writes[index];
          if (write !== undefined) records.set(write.serial.toString('hex') as Serial, present);
        }
      } else {
        await watch.confirm();
        if (decidedOn === undefined) throw changing();
        records = undefined;
      }
    }
    throw new Problem('unavailable', 'other intakes keep changing these certificates; try again', { rule: 'P1' });
  }

  /** @throws Problem `corrupt` when this process was displaced. */
  async #commit(
    ledger: IssuerLedger,
    instance: string,
    seq: number,
    commit: Parameters<IssuerLedger['commit']>[2],
    decided: boolean,
  ): Promise<CommitOutcome> {
    const { name } = this.#options;
    const takes = !this.#wrote.has(ledger.issuer);
    const journal: JournalPlace = { name, seq, writer: this.#writer, takes, decided };
    const outcome = await ledger.commit(instance, journal, commit);
    if (outcome.kind === 'displaced') {
      this.#displaced = new Problem(
        'corrupt',
        `another process has the same name, ${name}, and writes to the ledger: stop one of the two and give it a name and an ` +
          'audit log of its own, or events of both are lost',
        { field: 'name', value: name, rule: 'P1' },
      );
      throw this.#displaced;
    }
    if (outcome.kind === 'done' || outcome.kind === 'applied') this.#wrote.add(ledger.issuer);
    return outcome;
  }

  /** By an earlier try, whose reply was lost: then nothing was recorded since. @throws Problem `corrupt` */
  #appliedBefore(watch: IssuerWatch, seq: number): 'applied' {
    const { applied } = watch.seen;
    if (applied > seq) {
      throw new Problem(
        'corrupt',
        `the ledger has applied record ${applied} of ${this.#options.name}, and record ${seq} comes only now: ` +
          'another process has the same name, or the audit log was replaced',
        { field: 'name', value: this.#options.name, rule: 'P1' },
      );
    }
    watch.touch(seq);
    return 'applied';
  }

  /** The instance that the replay was begun on: a journal that is partly in one and partly in another is in neither. */
  #replayed(watch: IssuerWatch): { readonly instance: string; readonly buckets: number } {
    const { instance, buckets } = watch.seen;
    if (instance !== this.#replayInto.get(watch.issuer) || buckets === 0) throw changing();
    return { instance, buckets };
  }

  /** Everything up to `seq` is in, for every issuer: what was recorded last does not concern them all. */
  async #mark(seq: number): Promise<void> {
    for (const { watch, ledger } of this.#all) {
      const { instance } = this.#replayed(watch);
      const outcome = await this.#commit(ledger, instance, seq, { ...NOTHING, counts: new Counts() }, false);
      if (outcome.kind === 'forgot') throw changing();
      watch.touch(seq);
      await ledger.replicated();
    }
  }

  async #each(
    items: readonly QueueItem[],
    run: (queue: IssuerQueue, items: readonly QueueItem[]) => Promise<void>,
  ): Promise<void> {
    const byIssuer = new Map<IssuerTag, QueueItem[]>();
    for (const item of items) push(byIssuer, item.issuer, item);
    for (const [issuer, list] of byIssuer) await run(this.#of(issuer).queue, list);
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#recording.then(() => {
      if (this.#closed) throw new Problem('unavailable', 'the store is closed');
      if (this.#displaced !== undefined) throw this.#displaced;
      return work();
    });
    this.#recording = result.catch(() => undefined);
    return result;
  }
}

/** ioredis tells of a lost connection by the first; a Cluster of a node that it has lost, or learnt of, by the others. */
const LOST = ['close', '-node', '+node'] as const;

function freshnessOf(parts: ReadonlyMap<IssuerTag, IssuerParts>): Freshness {
  const none = { count: 0, oldestThisUpdate: undefined, leastNextUpdate: undefined };
  return {
    get complete() {
      return [...parts.values()].every(({ watch }) => watch.gauges.complete);
    },
    of: (issuer) => parts.get(issuer)?.watch.gauges.published ?? none,
    spread: (issuer) => parts.get(issuer)?.watch.gauges.spread,
  };
}

/** Of the issuer that fares worst. */
function healthOf(parts: ReadonlyMap<IssuerTag, IssuerParts>, memory: RedisMemory): StoreHealth {
  const watches = (): readonly IssuerWatch[] => [...parts.values()].map(({ watch }) => watch);
  const known = (values: readonly (number | undefined)[]): readonly number[] => values.flatMap((value) => value ?? []);
  return {
    get roundTripMs() {
      const all = known(watches().map(({ roundTrips }) => roundTrips.longestMs));
      return all.length === 0 ? undefined : Math.max(...all);
    },
    get bytes() {
      return memory.bytes;
    },
    get clockAheadMs() {
      return known(watches().map(({ roundTrips }) => roundTrips.aheadMs))[0];
    },
    get feedLagMs() {
      return Math.max(0, ...watches().map((watch) => watch.lagMs()));
    },
  };
}

function groupByIssuer(changes: readonly Change[]): ReadonlyMap<IssuerTag, readonly Change[]> {
  const byIssuer = new Map<IssuerTag, Change[]>();
  for (const change of changes) push(byIssuer, change.certificate.issuer, change);
  return byIssuer;
}

function push<K, T>(map: Map<K, T[]>, key: K, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
