/**
 * The signer: takes due work from four lanes, signs it in batches, checks every answer, publishes it. One signing path for
 * first issue, revocation, asked-for miss and refresh.
 *
 *  1. take      items are leased. A crash: leases die with the process, the items are still queued.
 *  2. sign      both CertID hashes of a certificate together: same times, same status, one revision.
 *  3. check     each answer is decoded by the reader (not the writer), its signature verified with the responder's public
 *               key, and linted; a finding keeps it from being published (P6).
 *  4. journal   one record per batch, every answer in it, and one of what was refused in 3 (P8). Not durable → not published,
 *               and signing pauses; the record is made up for when it goes on.
 *  5. publish   compare-and-swap on the revision (P2). A crash between 4 and 5: signed, accounted for, never served; the item is
 *               still queued and is signed again.
 *
 * The budget: at most URGENT batches for revocations, issues and misses, and BULK batches of refreshes and mass revocations are
 * under way. A revocation therefore waits for no such batch, only for the key holder's current signatures.
 *
 * A mass revocation may take a day. Its lane goes before refreshes, until one has waited as long as it safely may
 * (freshness.refreshPatience): those go first, so nothing expires behind it (P4). Whatever is due is signed in the same time either
 * way; nobody is told `good` of what waits in the lane (P2), and who asks for it has it signed as a miss.
 *
 * What fails is tried again. Revocations and issues stay leased meanwhile, so that they are in the queue with the time at
 * which they were recorded: the gauges go on counting from there.
 */
import { LANES, type Certificate, type IssuerTag, type Lane } from '../../core/certificate.ts';
import { answerable, planResponse, refreshPatience } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import { MINUTE, rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { SignPriority } from '../../ports/key-holder.ts';
import type {
  AskLine,
  ChangeFeed,
  Ledger,
  QueueItem,
  RefreshQueue,
  Reliance,
  ResponseSource,
} from '../../ports/store.ts';
import { Asked } from './asked.ts';
import type { ServedIssuer, SigningKeys } from '../issuer-setup.ts';
import type { Log } from '../log.ts';
import type { SignerMetrics } from '../metrics.ts';
import {
  activeResponder,
  keyFailures,
  refusedRecord,
  signAnswers,
  signedRecord,
  unrecorded,
  type ActiveResponder,
  type Answered,
  type Failed,
  type Work,
} from './sign-answers.ts';
import { Turns } from './turns.ts';

/** Certificates per batch. An urgent batch is small so that its first answer is out soon; see bench/README.md. */
const URGENT_BATCH = 64;
const BULK_BATCH = 256;
const URGENT_IN_FLIGHT = 2;
const BULK_IN_FLIGHT = 2;
/** Certificates whose answers are checked at once: about a millisecond of work, so that neither the event loop nor libuv's four threads wait. */
const CHECKS_IN_FLIGHT = 8;
/** Failed items that are kept leased; beyond that they are given back to the store, with a later due time. */
const MAX_HELD = 1024;
/** After a failure: long enough not to spin, short enough for the 15 minutes of CT-4.9.10-e. */
const RETRY_MS = 5 * SECOND;
/** The same while no key of an issuer can be used: a person has to do something, and then everything is due at once. */
const KEY_RETRY_MS = 30 * SECOND;
/**
 * Of an issuer that is not configured (any more): it keeps its ledger, but nobody signs for it. Its due work comes before all that is due
 * later, so it must not come again at once; nor much later than somebody who configures it again would wait for.
 */
const UNSERVED_RETRY_MS = 10 * MINUTE;
/** How often the lanes are looked at when nothing else wakes the signer. */
const TICK_MS = 500;

export interface SignerIssuer {
  readonly served: ServedIssuer;
  readonly keys: SigningKeys;
}

type SignerStore = Ledger & RefreshQueue & ResponseSource & ChangeFeed & AskLine & Reliance;

export class Signer {
  readonly #issuers: ReadonlyMap<IssuerTag, SignerIssuer>;
  readonly #store: SignerStore;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: SignerMetrics;
  readonly #asked = new Asked();
  readonly #checks = new Turns(CHECKS_IN_FLIGHT);
  /** Failed items, leased until their next try. */
  #held: { readonly item: QueueItem; readonly retryAt: EpochMs }[] = [];
  /** For how long a refresh that is due may wait for a mass revocation. */
  readonly #patienceMs: number;
  /** The latest event seen: it is due, even when the clock was set back since. */
  #recordedUpTo: EpochMs = 0;
  #urgent = 0;
  #bulk = 0;
  #pumping = false;
  #again = false;
  #timer: Timer | undefined;
  #stopped = true;
  /** Whoever waits in stop(). */
  #idle: (() => void) | undefined;
  /** When the log was last told why nothing is signed for an issuer: once a minute, not once per question. */
  readonly #saidUnsignable = new Map<IssuerTag, EpochMs>();
  /** Set while nothing may be signed (P8): the instant of the next try. */
  #pausedUntil: EpochMs = 0;

  constructor(
    issuers: readonly SignerIssuer[],
    store: SignerStore,
    journal: Journal,
    clock: Clock,
    log: Log,
    metrics: SignerMetrics,
  ) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.served.tag, issuer]));
    this.#store = store;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    this.#patienceMs = Math.min(...issuers.map(({ served }) => refreshPatience(served.profile)));
    store.follow((event) => {
      if (event.type === 'gap') this.wake();
      if (event.type !== 'recorded' || event.change.lane === undefined || event.change.lane === 'refresh') return;
      this.#recordedUpTo = Math.max(this.#recordedUpTo, event.change.certificate.recordedAt);
      this.wake();
    });
    // Whoever asked is told by the feed.
    store.onAsk((issuer, serial) => void this.ask(issuer, serial));
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Resolves when no batch is under way any more; what is queued stays queued. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#asked.settleUntaken();
    if (this.#busy) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /**
   * Has this certificate signed ahead of the queue, because a client is waiting. Concurrent calls for one certificate share one
   * signature. Resolves when the attempt is over, whatever came of it; the caller looks at the store.
   * @returns undefined when too many are waiting already.
   */
  ask(issuer: IssuerTag, serial: Serial): Promise<void> | undefined {
    if (this.#stopped || !this.#issuers.has(issuer)) return undefined;
    const done = this.#asked.join({ issuer, serial, lane: 'asked', dueAt: this.#clock.now() });
    this.wake();
    return done;
  }

  /** Certificates for which a client waits now. */
  get asked(): number {
    return this.#asked.waiting;
  }

  /** The id of the responder certificate that signs for this issuer now; undefined when none can. */
  signsWith(issuer: IssuerTag): string | undefined {
    const at = this.#issuers.get(issuer);
    return at && activeResponder(at, this.#clock.now())?.served.certificate.id;
  }

  /** Looks at the lanes now. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    this.#timer?.cancel();
    void this.#pump()
      .catch((error: unknown) => this.#log.error({ err: error }, 'the signer could not take work; trying again'))
      .finally(() => {
        this.#pumping = false;
        if (this.#stopped) return this.#tellIdle();
        if (this.#again) {
          this.#again = false;
          this.wake();
        } else this.#timer = this.#clock.after(TICK_MS, () => this.wake());
      });
  }

  async #pump(): Promise<void> {
    // Said by its gauge and the status page.
    const unreliable = [...this.#issuers.keys()].filter((tag) => this.#store.failureOf(tag) !== undefined);
    if (unreliable.length > 0 && unreliable.length === this.#issuers.size) return this.#asked.settleUntaken();
    if (!(await this.#mayRun())) return this.#asked.settleUntaken();
    const now = this.#clock.now();
    const unable = new Set([...this.#unable(now), ...unreliable]);
    // Everything stays in the queue as it is, with the time at which it was recorded.
    if (unable.size > 0 && unable.size === this.#issuers.size) return this.#asked.settleUntaken();
    while (this.#urgent < URGENT_IN_FLIGHT && !this.#stopped) {
      const items = await this.#take(['revocation', 'issue'], Math.max(now, this.#recordedUpTo), URGENT_BATCH, unable);
      items.push(...this.#asked.take(URGENT_BATCH - items.length));
      if (items.length === 0) break;
      this.#urgent += 1;
      this.#run(items, 'urgent', () => (this.#urgent -= 1));
    }
    while (this.#bulk < BULK_IN_FLIGHT && !this.#stopped) {
      const items = await this.#takeBulk(now, unable);
      if (items.length === 0) break;
      this.#bulk += 1;
      this.#run(items, 'bulk', () => (this.#bulk -= 1));
    }
  }

  /** Refreshes that have waited long enough, then mass revocations, then refreshes. */
  async #takeBulk(now: EpochMs, unable: ReadonlySet<IssuerTag>): Promise<QueueItem[]> {
    const items: QueueItem[] = [];
    const take = async (lane: Lane, dueAt: EpochMs): Promise<void> => {
      if (items.length < BULK_BATCH)
        items.push(...(await this.#take([lane], dueAt, BULK_BATCH - items.length, unable)));
    };
    try {
      // From memory, so that the quiet days cost one look at the queue and not three.
      if (this.#store.backlog('mass', Infinity) > 0) {
        await take('refresh', now - this.#patienceMs);
        await take('mass', Math.max(now, this.#recordedUpTo));
      }
      await take('refresh', now);
    } catch (error) {
      this.#hold(items);
      throw error;
    }
    return items;
  }

  /** Issuers none of whose keys can be used here now, each said once a minute: another process may be able to. */
  #unable(now: EpochMs): ReadonlySet<IssuerTag> {
    const unable = new Set<IssuerTag>();
    for (const [tag, at] of this.#issuers) {
      const failures = activeResponder(at, now) === undefined ? keyFailures(at, now) : [];
      if (failures.length === 0) continue;
      unable.add(tag);
      if (this.#saysUnsignable(at.served, now)) {
        this.#metrics.refused('key-holder').value += 1;
        this.#log.error({ issuer: at.served.id }, `nothing is signed: ${[...new Set(failures)].join('; ')}`);
      }
    }
    return unable;
  }

  /** True once a minute for each issuer. */
  #saysUnsignable({ tag }: ServedIssuer, now: EpochMs): boolean {
    const said = this.#saidUnsignable.get(tag);
    if (said !== undefined && Math.abs(now - said) < MINUTE) return false;
    this.#saidUnsignable.set(tag, now);
    return true;
  }

  /** What is to be tried again, then what is due, in the order of the lanes. */
  async #take(
    lanes: readonly Lane[],
    dueAt: EpochMs,
    limit: number,
    unable: ReadonlySet<IssuerTag>,
  ): Promise<QueueItem[]> {
    const now = this.#clock.now();
    const items: QueueItem[] = [];
    this.#held = this.#held.filter(({ item, retryAt }) => {
      // Long before its time, because the clock was set back: now is as good.
      const retry = now >= retryAt || now < retryAt - 2 * RETRY_MS;
      if (!retry || items.length >= limit || !lanes.includes(item.lane)) return true;
      items.push(item);
      return false;
    });
    try {
      for (const lane of lanes) {
        // More than that is held only when the store cannot be written: then there is nothing to gain by taking more.
        if (items.length >= limit || this.#held.length > MAX_HELD) break;
        items.push(...(await this.#store.takeDue(lane, dueAt, limit - items.length, unable)));
      }
    } catch (error) {
      this.#hold(items);
      throw error;
    }
    return items;
  }

  /** P8: while the journal cannot be written nothing is signed. A probe record finds out when it can again. */
  async #mayRun(): Promise<boolean> {
    const now = this.#clock.now();
    if (now < this.#pausedUntil && now > this.#pausedUntil - 2 * RETRY_MS) return false;
    if (this.#journal.failure === undefined) return true;
    try {
      await this.#journal.append([
        {
          type: 'journal.recovered',
          actor: 'signer',
          description: 'the audit log can be written again; signing resumes',
        },
      ]);
      return true;
    } catch (error) {
      this.#pausedUntil = now + RETRY_MS;
      this.#metrics.refused('audit-log').value += 1;
      this.#log.error({ err: error }, 'signing is stopped: the audit log cannot be written');
      return false;
    }
  }

  #run(items: readonly QueueItem[], priority: SignPriority, done: () => void): void {
    const open = new Set(items);
    void this.#batch(items, priority, open)
      .catch(async (error: unknown) => {
        this.#log.error({ err: error, items: open.size }, 'a batch was not published; its items are tried again');
        await this.#later([...open], open);
      })
      .finally(() => {
        this.#asked.settle(items);
        done();
        if (this.#stopped) this.#tellIdle();
        else this.wake();
      });
  }

  get #busy(): boolean {
    return this.#urgent + this.#bulk > 0 || this.#pumping;
  }

  #tellIdle(): void {
    if (!this.#busy) this.#idle?.();
  }

  /** `open`: the items that nothing has become of yet; whatever does, takes them out. */
  async #batch(items: readonly QueueItem[], priority: SignPriority, open: Set<QueueItem>): Promise<void> {
    const byIssuer = new Map<IssuerTag, Map<Serial, QueueItem>>();
    const repeated: QueueItem[] = [];
    // A certificate that waits in several lanes is signed once, for the first of them.
    for (const item of LANES.flatMap((lane) => items.filter((one) => one.lane === lane))) {
      let list = byIssuer.get(item.issuer);
      if (list === undefined) byIssuer.set(item.issuer, (list = new Map()));
      if (list.has(item.serial)) repeated.push(item);
      else list.set(item.serial, item);
    }
    await this.#drop(repeated, open);
    for (const [tag, list] of byIssuer) {
      const issuer = this.#issuers.get(tag);
      const own = [...list.values()];
      if (issuer === undefined) await this.#postpone(own, open, UNSERVED_RETRY_MS);
      else {
        // What cannot be had of one issuer's ledger, a master of a Cluster perhaps, keeps no other from its answers.
        await this.#signFor(issuer, own, priority, open).catch(async (error: unknown) => {
          // P8: nothing more is signed of this batch.
          if (this.#journal.failure !== undefined) throw error;
          const left = own.filter((item) => open.has(item));
          this.#log.error({ err: error, issuer: issuer.served.id, items: left.length }, 'a batch was not published; its items are tried again'); // prettier-ignore
          await this.#later(left, open);
        });
      }
    }
  }

  async #signFor(
    at: SignerIssuer,
    items: readonly QueueItem[],
    priority: SignPriority,
    open: Set<QueueItem>,
  ): Promise<void> {
    const now = this.#clock.now();
    const { served } = at;
    const certificates = await this.#store.find(
      served.tag,
      items.map((item) => item.serial),
    );
    if (served.offline?.ocsp === true) return this.#awaitImport(at, items, certificates, open);
    const responder = activeResponder(at, now);
    const unusable = responder === undefined && keyFailures(at, now).length > 0;
    const dropped: QueueItem[] = [];
    const expired: QueueItem[] = [];
    const later: QueueItem[] = [];
    const work: Work[] = [];
    items.forEach((item, i) => {
      const certificate = certificates[i];
      if (certificate === undefined) return void dropped.push(item);
      if (!answerable(served.profile, certificate.notAfter, now)) return void expired.push(item);
      if (unusable) return void later.push(item);
      const times = responder && planResponse(served.profile, responder.served.certificate, certificate, now);
      if (times === undefined) later.push(item);
      else work.push({ item, certificate, times });
    });
    await this.#drop(dropped, open);
    if (expired.length > 0) await this.#store.retire(expired);
    for (const item of expired) open.delete(item);
    if (unusable) {
      // A store of one process has handed it out all the same; #unable says it to the log.
      this.#metrics.refused('key-holder').value += later.length;
      return this.#later(later, open, KEY_RETRY_MS);
    }
    if (later.length > 0) {
      await this.#later(later, open);
      this.#metrics.refused('responder-certificate').value += later.length;
      if (this.#saysUnsignable(served, now)) {
        this.#log.error(
          { issuer: served.id, certificates: later.length },
          'nothing is signed: no responder certificate is valid for another 8 hours (BR 4.9.9); install its successor',
        );
      }
    }
    if (responder === undefined || work.length === 0) return;

    const { answered, failed } = await signAnswers(responder, work, priority, this.#checks, () => this.#clock.now());
    for (const {
      work: { certificate },
      error,
    } of failed) {
      this.#metrics.refused(error instanceof Problem ? 'check' : 'key-holder').value += 1;
      this.#log.error({ err: error, serial: certificate.serial }, 'an answer was not published');
    }
    await this.#later(
      failed.map(({ work: { item } }) => item),
      open,
    );
    await this.#account(at, responder, work, answered, failed);
    if (answered.length === 0) return;
    // Retired while this batch was being signed: it must not be published behind the back of those who replace its answers.
    if (served.responders.useOf(responder.served.certificate.id) !== 'signing')
      return this.#later(
        answered.map(({ item }) => item),
        open,
      );
    const outcomes = await this.#store.publish(answered);
    const older: QueueItem[] = [];
    outcomes.forEach((outcome, i) => {
      const { item, recordedAt } = answered[i] as Answered;
      this.#metrics.answers(item.lane, outcome).value += 1;
      if (outcome === 'older') return void older.push(item);
      open.delete(item);
      if (outcome === 'published' && (item.lane === 'revocation' || item.lane === 'issue')) {
        // An item that was given back is due later than it was recorded; one that a newer event has overtaken, earlier.
        this.#metrics.recordedToPublished(item.lane, (this.#clock.now() - Math.min(item.dueAt, recordedAt)) / SECOND);
      }
    });
    // Already answered by another lane in the same second, or the clock stepped back: what is published stays.
    await this.#drop(
      older.filter((item) => item.lane !== 'refresh'),
      open,
    );
    await this.#later(
      older.filter((item) => item.lane === 'refresh'),
      open,
    );
  }

  /** P8, step 4. @throws Problem `unavailable`; then what was signed is recorded when the log can be written again, as not published. */
  async #account(
    { served }: SignerIssuer,
    responder: ActiveResponder,
    work: readonly Work[],
    answered: readonly Answered[],
    failed: readonly Failed[],
  ): Promise<void> {
    const refused = refusedRecord(served, responder.served, failed);
    const entries = refused === undefined ? [] : [refused];
    if (answered.length > 0) entries.push(signedRecord(served, responder.served, answered));
    if (entries.length === 0) return;
    try {
      await this.#journal.append(entries);
    } catch (error) {
      const made = [...unrecorded(answered, work, error), ...failed];
      const owed = refusedRecord(served, responder.served, made);
      if (owed !== undefined) this.#journal.owe([{ ...owed, eventAt: rfc3339(this.#clock.now()) }]);
      throw error;
    }
  }

  /**
   * The CA signs these answers offline. Until its answer is imported an item stays where it is, so that the clock of a revocation goes
   * on (B-21); then there is nothing left to do.
   */
  async #awaitImport(
    { served: { tag, profile } }: SignerIssuer,
    items: readonly QueueItem[],
    certificates: readonly (Certificate | undefined)[],
    open: Set<QueueItem>,
  ): Promise<void> {
    const now = this.#clock.now();
    const done: QueueItem[] = [];
    const expired: QueueItem[] = [];
    const waiting: QueueItem[] = [];
    for (const [i, item] of items.entries()) {
      const certificate = certificates[i];
      if (certificate === undefined) done.push(item);
      else if (!answerable(profile, certificate.notAfter, now)) expired.push(item);
      else if ((await this.#store.lookup(tag, item.serial)).kind === 'published') done.push(item);
      else waiting.push(item);
    }
    await this.#drop(done, open);
    if (expired.length > 0) await this.#store.retire(expired);
    for (const item of expired) open.delete(item);
    await this.#later(waiting, open, KEY_RETRY_MS);
  }

  async #drop(items: readonly QueueItem[], open: Set<QueueItem>): Promise<void> {
    if (items.length > 0) await this.#store.drop(items);
    for (const item of items) open.delete(item);
  }

  /** To be tried again. Asked-for items are not in the store's queue: whoever asked asks again. Never rejects. */
  async #later(items: readonly QueueItem[], open: Set<QueueItem>, retryMs = RETRY_MS): Promise<void> {
    for (const item of items) open.delete(item);
    const urgent = items.filter(({ lane }) => lane === 'revocation' || lane === 'issue');
    const room = Math.max(0, MAX_HELD - this.#held.length);
    this.#hold(urgent.slice(0, room));
    await this.#postpone([...urgent.slice(room), ...items.filter(({ lane }) => lane === 'refresh' || lane === 'mass')], open, retryMs); // prettier-ignore
  }

  /** Back into the queue, to be due then. Never rejects. */
  async #postpone(items: readonly QueueItem[], open: Set<QueueItem>, retryMs: number): Promise<void> {
    for (const item of items) open.delete(item);
    const rest = items.filter(({ lane }) => lane !== 'asked');
    if (rest.length === 0) return;
    // Never earlier than they were due: a refresh item before its answer's refreshAt counts as overtaken and is lost.
    const dueAt = rest.reduce((latest, item) => Math.max(latest, item.dueAt), this.#clock.now() + retryMs);
    try {
      await this.#store.postpone(rest, dueAt);
    } catch (error) {
      this.#hold(rest);
      this.#log.error({ err: error, items: rest.length }, 'the store cannot be written; trying again');
    }
  }

  #hold(items: readonly QueueItem[]): void {
    const retryAt = this.#clock.now() + RETRY_MS;
    for (const item of items) this.#held.push({ item, retryAt });
  }
}
