/**
 * The CRLs of one scope: when. On schedule, and soon after each revocation; make-crl.ts makes them.
 *
 * Revocations that arrive within `coalesceMs` of the first, or while a build is running, share the next CRL. Whatever fails is tried
 * again, and the current CRL stays.
 *
 * Of several signers over one store one builds, the one with the claim (ports/store.ts, CrlShelf). The others know by the feed
 * what it has published, and what it has not: when it is gone they have the claim, and the same revocations waiting.
 */
import { COMPLETE, type Certificate, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { shardUrl } from '../../core/crl/shards.ts';
import { crlPeriodMs, nextScheduledCrl } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Timer } from '../../ports/clock.ts';
import type { ChangeFeed, Reliance } from '../../ports/store.ts';
import { CrlChanges } from './crl-changes.ts';
import type { Log } from '../log.ts';
import { makeCrl, RefusedCrl, type CrlMaker, type MadeCrl } from './make-crl.ts';
import type { CrlMetrics } from '../metrics.ts';
import type { Turns } from '../sign/turns.ts';

/** Without the claim to build: how soon to ask for it again. */
const CLAIM_AGAIN_MS = 5 * SECOND;
/** After a failed or refused build; twice as long after each that follows, because each may use the key and is in the audit log. */
const RETRY_MS = 10 * SECOND;
const MAX_RETRY_MS = MINUTE;
/**
 * Between two CRLs after revocations lie at least this many build times, so that a flood of revocations on a large CRL (an
 * import, a mass revocation) leaves the process four fifths of its time; but never more than MAX_PAUSE_MS.
 */
const PAUSE_BUILDS = 4;
const MAX_PAUSE_MS = 60 * SECOND;
/** How long a timer is trusted: the wall clock may be set, or the machine may sleep, while it runs. */
const LOOK_AGAIN_MS = MINUTE;

export interface CrlTuning {
  /** A current CRL of fewer entries is made anew each time: that takes milliseconds, and drops and heals what a merge would not. */
  readonly mergeFrom: number;
  /** More changes than this are not remembered one by one. */
  readonly mostChanges: number;
}

export const CRL_TUNING: CrlTuning = { mergeFrom: 5000, mostChanges: 50_000 };

/** What the publishers of one issuer share. */
export interface PublisherParts extends CrlMaker {
  readonly store: CrlMaker['store'] & ChangeFeed & Reliance;
  readonly log: Log;
  readonly metrics: CrlMetrics;
  /** Builds of the process. */
  readonly turns: Turns;
  readonly tuning: CrlTuning;
  readonly claims: CrlClaims;
  /** Greatest recordedSeq of the issuer that the feed has told. */
  readonly told: () => number;
  /** False as soon as one certificate of the issuer names no OCSP responder (T-42). */
  readonly everyCertificateNamesOcsp: () => boolean;
}

/** The claim of this process to build the CRLs of an issuer. */
export interface CrlClaims {
  claim(): Promise<boolean>;
  /**
   * Once for each claim that was given.
   * @param failed this process could not build: unless another of its builds of the issuer is under way, others may.
   */
  release(failed: boolean): Promise<void>;
}

export interface CrlFailure {
  readonly at: EpochMs;
  /** Refused by the gate, after it was signed with this number. */
  readonly refused: boolean;
  readonly number: bigint | undefined;
  readonly problem: Problem;
}

/** Why the CRL is what it is, for whoever asks. */
export interface CrlState {
  readonly shard: string;
  readonly url: string | undefined;
  readonly current: CrlRecord | undefined;
  /** Recorded changes that no CRL has yet, and since when. */
  readonly waiting: number;
  readonly oldestUnlisted: EpochMs | undefined;
  readonly building: boolean;
  readonly scheduledAt: EpochMs | undefined;
  readonly nextTryAt: EpochMs;
  readonly lastFailure: CrlFailure | undefined;
  /** Why the key cannot sign. */
  readonly keyFailure: string | undefined;
  /** Whether this process had the claim when it last asked; undefined: it has not. */
  readonly claimed: boolean | undefined;
}

export class CrlPublisher {
  readonly scope: CrlScope;
  readonly #parts: PublisherParts;
  readonly #changes: CrlChanges;
  #current: CrlRecord | undefined;
  /** The last CRL that this process's gate has passed. */
  #passed: { readonly number: bigint; readonly marks: MadeCrl['passed']['marks'] } | undefined;
  /** When the next CRL after a revocation may begin. */
  #notBefore: EpochMs = 0;
  /** After a failure: when the next try may begin, whatever is recorded meanwhile. */
  #retryAt: EpochMs = 0;
  #retryMs = 0;
  #lastFailure: CrlFailure | undefined;
  #claimed: boolean | undefined;
  /** Why the key cannot be used, as the log was told: once, and not at each try. */
  #saidUnusable: string | undefined;
  #timer: Timer | undefined;
  #building: Promise<void> | undefined;
  #stopped = true;

  constructor(scope: CrlScope, parts: PublisherParts) {
    this.scope = scope;
    this.#parts = parts;
    this.#changes = new CrlChanges(parts.tuning.mostChanges);
  }

  get current(): CrlRecord | undefined {
    return this.#current;
  }

  /** When the oldest revocation that is on no CRL yet was recorded: the clock of B-14. */
  get oldestUnlisted(): EpochMs | undefined {
    return this.#changes.oldest;
  }

  /** Whether the last CRL that was signed was kept from being published. */
  get refused(): boolean {
    return this.#lastFailure?.refused === true;
  }

  get state(): CrlState {
    const now = this.#parts.clock.now();
    return {
      shard: this.scope.shard,
      url: this.#url,
      current: this.#current,
      waiting: this.#changes.waiting,
      oldestUnlisted: this.oldestUnlisted,
      building: this.#building !== undefined,
      scheduledAt: this.#current && nextScheduledCrl(this.#current, this.#periodMs),
      nextTryAt: now + this.#delay(now),
      lastFailure: this.#lastFailure,
      keyFailure: this.#parts.at.keys.crl?.holder.failure,
      claimed: this.#claimed,
    };
  }

  /** Publishes at once when there is no CRL, it is due, or revocations were recorded after it. */
  async start(): Promise<void> {
    this.#stopped = false;
    // A shared store that cannot be relied on yet says `gap` when it can.
    if (this.#storeFailure !== undefined) return;
    await this.#read();
    this.#schedule();
  }

  /** From the feed: a certificate of this scope that is revoked, or not any more. */
  recorded(certificate: Certificate): void {
    // A shared store may tell of it after a CRL that lists it.
    if (this.#current !== undefined && certificate.recordedSeq <= this.#current.asOfSeq) return;
    this.#changes.told(certificate);
    this.#schedule();
  }

  /** From the feed: by this process or another. */
  published(record: CrlRecord): void {
    if (this.#current !== undefined && record.number <= this.#current.number) return;
    this.#current = record;
    this.#changes.listed(record.asOfSeq);
    this.#schedule();
  }

  /** From the feed: something was not told. */
  gap(): void {
    this.#changes.lost();
    if (!this.#stopped) void this.#readAgain();
  }

  async #read(): Promise<void> {
    const { store } = this.#parts;
    this.#current = await store.restoreCrl(this.scope);
    this.#changes.lost();
    const listedUpTo = this.#current?.asOfSeq ?? 0;
    const { asOfSeq, pages } = store.revokedEntries(this.scope);
    const upTo = await asOfSeq;
    for await (const page of pages) {
      if (upTo <= listedUpTo) break;
      for (const entry of page) if (entry.recordedSeq > listedUpTo) this.#changes.age(entry);
    }
  }

  /** After events were lost, or a store that could not be read: again until it can. */
  async #readAgain(): Promise<void> {
    const { log, clock } = this.#parts;
    try {
      await this.#read();
      this.#schedule();
    } catch (error) {
      if (this.#storeFailure === undefined)
        log.warn({ err: error, ...this.#named }, 'the current CRL cannot be read; trying again');
      clock.after(SECOND, () => void (this.#stopped || this.#readAgain()));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#building;
  }

  /** The key may be usable again: what is due does not wait for the next try. */
  wake(): void {
    this.#retryAt = 0;
    this.#retryMs = 0;
    this.#schedule();
  }

  /** Builds and publishes now, on top of the schedule. @throws Problem saying why it was not published. */
  async publishNow(): Promise<CrlRecord> {
    if (!(await this.#claim())) {
      throw new Problem('unavailable', 'another signer builds the CRLs of this issuer: ask that one', {
        field: 'issuer',
        value: this.#parts.at.served.id,
      });
    }
    while (this.#building !== undefined) await this.#building;
    // It would begin a second build beside this one; #schedule sets it anew.
    this.#timer?.cancel();
    // Not "regularly scheduled", whoever asks for it: entries stay for a CRL of the schedule (C-22, T-33).
    const build = this.#inNextSecond().then(() => this.#inTurn());
    this.#building = build.then(
      () => undefined,
      (error: unknown) => this.#noteFailed(error),
    );
    return build.finally(() => {
      this.#building = undefined;
      this.#schedule();
    });
  }

  get #named(): { readonly issuer: string; readonly shard?: string } {
    const { id } = this.#parts.at.served;
    return this.scope.shard === COMPLETE ? { issuer: id } : { issuer: id, shard: this.scope.shard };
  }

  get #storeFailure(): string | undefined {
    return this.#parts.store.failureOf(this.scope.issuer);
  }

  get #url(): string | undefined {
    return shardUrl(this.#parts.at.served.crls, this.scope.shard);
  }

  get #periodMs(): number {
    return crlPeriodMs(this.#parts.at.served.profile, this.#parts.everyCertificateNamesOcsp());
  }

  /** The instant at which the next build begins. */
  #due(nowMs: EpochMs): EpochMs {
    if (this.#current === undefined) return nowMs;
    const { oldest } = this.#changes;
    const { coalesceMs } = this.#parts.at.served.profile.crl;
    const unlisted = oldest === undefined ? Infinity : Math.max(oldest + coalesceMs, this.#notBefore);
    // thisUpdate has whole seconds and must grow: not before the next second.
    return Math.max(
      Math.min(nextScheduledCrl(this.#current, this.#periodMs), unlisted),
      this.#current.thisUpdate + SECOND,
    );
  }

  /** Whoever publishes in the second of the current CRL's thisUpdate waits for its end. Not for a current CRL of the future (T-32). */
  async #inNextSecond(): Promise<void> {
    const { clock } = this.#parts;
    const waitMs = (this.#current?.thisUpdate ?? 0) + SECOND - clock.now();
    if (waitMs > 0 && waitMs <= SECOND) await new Promise<void>((resolve) => clock.after(waitMs, resolve));
  }

  #schedule(): void {
    if (this.#stopped || this.#building !== undefined) return;
    this.#timer?.cancel();
    const delay = this.#delay();
    this.#timer = this.#parts.clock.after(Math.min(delay, LOOK_AGAIN_MS), () => {
      if (this.#delay() > 0) return this.#schedule();
      this.#building = this.#buildIfClaimed()
        .catch((error: unknown) => {
          this.#retryMs = Math.min(Math.max(RETRY_MS, 2 * this.#retryMs), MAX_RETRY_MS);
          this.#retryAt = this.#parts.clock.now() + this.#retryMs;
          this.#noteFailed(error);
          this.#sayFailed(error);
        })
        .then(() => {
          this.#building = undefined;
          this.#schedule();
        });
    });
  }

  #noteFailed(error: unknown): void {
    this.#parts.metrics.failed.value += 1;
    // A refusal stays until a CRL is published, whatever else goes wrong meanwhile.
    if (this.refused && !(error instanceof RefusedCrl)) return;
    const problem = error instanceof Problem ? error : new Problem('unavailable', (error as Error).message);
    const number = error instanceof RefusedCrl ? error.number : undefined;
    this.#lastFailure = { at: this.#parts.clock.now(), refused: number !== undefined, number, problem };
  }

  #sayFailed(error: unknown): void {
    const unusable = this.#parts.at.keys.crl?.holder.failure;
    const { log } = this.#parts;
    if (unusable === undefined) {
      log.error({ err: error, ...this.#named }, 'no CRL was published; the previous one stays');
    } else if (unusable !== this.#saidUnusable) {
      log.error(this.#named, `no CRL is published until its key can be used: ${unusable}`);
    }
    this.#saidUnusable = unusable;
  }

  /** Until the next build may begin. */
  #delay(now = this.#parts.clock.now()): number {
    // A retry that lies further ahead was planned before the clock was set back.
    const retryAt = this.#retryAt <= now + MAX_RETRY_MS ? this.#retryAt : now;
    return Math.max(0, this.#due(now) - now, retryAt - now);
  }

  #scheduledIsDue(): boolean {
    const current = this.#current;
    return current === undefined || this.#parts.clock.now() >= nextScheduledCrl(current, this.#periodMs);
  }

  async #claim(): Promise<boolean> {
    return (this.#claimed = await this.#parts.claims.claim());
  }

  /** Without the claim another process builds; whether it does is looked at soon. */
  async #buildIfClaimed(): Promise<void> {
    const { clock } = this.#parts;
    // Said by its gauge and the status page, once.
    if (this.#storeFailure !== undefined) this.#retryAt = clock.now() + SECOND;
    else if (await this.#claim()) await this.#inTurn();
    else this.#retryAt = clock.now() + CLAIM_AGAIN_MS;
  }

  /** A few builds at a time, those after revocations first; OCSP never waits for one. */
  async #inTurn(): Promise<CrlRecord> {
    const { turns, claims } = this.#parts;
    // Each try renews the claim: a process whose key or audit log has failed would keep it from those that can build (P4).
    let failed = true;
    try {
      const record = await turns.take(this.#scheduledIsDue() ? 'bulk' : 'urgent', () =>
        this.#build(this.#scheduledIsDue() ? 'scheduled' : 'revocation'),
      );
      failed = false;
      return record;
    } finally {
      await claims.release(failed);
    }
  }

  async #build(kind: 'scheduled' | 'revocation'): Promise<CrlRecord> {
    const { store, clock, tuning, told } = this.#parts;
    const begun = clock.now();
    const { oldest } = this.#changes;
    const { losses } = this.#changes;
    // None is known: perhaps only because the store forgot it while another process had the claim to restore it.
    const previous = this.#current ?? (await store.restoreCrl(this.scope));
    try {
      const { record, whole, passed } = await makeCrl(this.#parts, {
        scope: this.scope,
        kind,
        previous,
        previousPassed: previous !== undefined && previous.number === this.#passed?.number ? this.#passed : undefined,
        changes: () => {
          if (kind === 'scheduled' || previous === undefined || previous.entries < tuning.mergeFrom) return undefined;
          const list = this.#changes.since(previous);
          return list && { list, asOfSeq: Math.max(previous.asOfSeq, told()) };
        },
      });
      // The feed has been followed since before the index was read.
      if (whole && losses === this.#changes.losses) this.#changes.knownSince(record.asOfSeq);
      this.#passed = { number: record.number, marks: passed.marks };
      this.#done(record, begun, oldest);
      return record;
    } catch (error) {
      if (error instanceof Problem && error.code === 'conflict') this.#current = await store.current(this.scope);
      throw error;
    }
  }

  #done(record: CrlRecord, begun: EpochMs, oldest: EpochMs | undefined): void {
    const { metrics, clock, log } = this.#parts;
    this.#lastFailure = undefined;
    this.#retryMs = 0;
    this.#saidUnusable = undefined;
    this.published(record);
    if (oldest !== undefined) metrics.recordedToListed.observe((record.publishedAt - oldest) / SECOND);
    const finished = clock.now();
    this.#notBefore = finished + Math.min(PAUSE_BUILDS * Math.max(0, finished - begun), MAX_PAUSE_MS);
    metrics.published.value += 1;
    const { number, entries, bytes, kind } = record;
    log.info({ ...this.#named, number: number.toString(), entries, bytes, kind }, 'CRL published');
  }
}
