/**
 * The CRLs of one scope: on schedule, and soon after each revocation.
 *
 *  1. reserve   a number greater than every number before, durably. A crash anywhere below leaves a gap, never a repeat (C-10).
 *  2. build     into a draft of the archive (build-crl.ts): on schedule from the revoked index as of one instant, dropping only what
 *               may leave (freshness.mayLeaveCrl); in between from the current CRL and what has changed since, where that is known
 *               (crl-changes.ts) and wins. So whatever an incremental build should have missed lasts until the next scheduled one.
 *  3. sign      with the issuer's CRL key, a piece at a time. While the audit log cannot be written nothing is signed (P8).
 *  4. check     the gate (crl-gate.ts). A finding keeps the old CRL, raises an alarm and is journalled: the signature exists.
 *  5. journal   one record with number, times, count and digest (P8).
 *  6. publish   archive file, then record, by compare-and-swap on the number. A crash before the record: the old CRL stays
 *               current; the next build finds the revocations again, because they are in the index.
 *
 * Revocations that arrive within `coalesceMs` of the first, or while a build is running, share the next CRL.
 *
 * Of several signers over one store one builds, the one with the claim (ports/store.ts, CrlShelf). The others know by the feed
 * what it has published, and what it has not: when it is gone they have the claim, and the same revocations waiting.
 */
import { COMPLETE, type Certificate, type CrlRecord, type CrlScope } from '../core/certificate.ts';
import { issuingDistributionPoint } from '../core/crl/idp.ts';
import { CA_SHARD, shardUrl } from '../core/crl/shards.ts';
import { crlPeriodMs, nextScheduledCrl, planCrl } from '../core/policy/freshness.ts';
import { Problem } from '../core/problem.ts';
import { MINUTE, rfc3339, SECOND, type EpochMs } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { CrlDraft } from '../ports/crl-archive.ts';
import type { Journal } from '../ports/journal.ts';
import type { ChangeFeed, CrlShelf, Ledger, Reliance } from '../ports/store.ts';
import { entriesFromCrl, entriesFromIndex, writeCrl, type SignedCrl } from './build-crl.ts';
import { CrlChanges, type CrlChange } from './crl-changes.ts';
import { checkCrl, type PassedCrl } from './crl-gate.ts';
import type { SigningKey } from './issuer-setup.ts';
import type { Log } from './log.ts';
import type { CrlMetrics } from './metrics.ts';
import type { SignerIssuer } from './sign.ts';
import type { Turns } from './turns.ts';

/** Without the claim to build: how soon to ask for it again. */
const CLAIM_AGAIN_MS = 5 * SECOND;
/** After a failed or refused build. */
const RETRY_MS = 10 * SECOND;
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
export interface PublisherParts {
  readonly at: SignerIssuer;
  readonly store: Ledger & CrlShelf & ChangeFeed & Reliance;
  readonly journal: Journal;
  readonly clock: Clock;
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

export type CrlFailure = {
  readonly at: EpochMs;
  /** Refused by the gate, after it was signed. */
  readonly refused: boolean;
  readonly number: bigint | undefined;
  readonly problem: Problem;
};

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
  /** Number of the last CRL that this process's gate has passed. */
  #passed: bigint | undefined;
  /** When the next CRL after a revocation may begin. */
  #notBefore: EpochMs = 0;
  /** After a failure: when the next try may begin, whatever is recorded meanwhile. */
  #retryAt: EpochMs = 0;
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
      nextTryAt: now + this.#delay(),
      lastFailure: this.#lastFailure,
      keyFailure: this.#parts.at.keys.crl?.holder.failure,
      claimed: this.#claimed,
    };
  }

  /** Publishes at once when there is no CRL, it is due, or revocations were recorded after it. */
  async start(): Promise<void> {
    this.#stopped = false;
    // A shared store that cannot be relied on yet says `gap` when it can.
    if (this.#parts.store.failure !== undefined) return;
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
    const { store, log, clock, at } = this.#parts;
    try {
      await this.#read();
      this.#schedule();
    } catch (error) {
      if (store.failure === undefined)
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
    const build = this.#inTurn();
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

  #schedule(): void {
    if (this.#stopped || this.#building !== undefined) return;
    this.#timer?.cancel();
    const delay = this.#delay();
    this.#timer = this.#parts.clock.after(Math.min(delay, LOOK_AGAIN_MS), () => {
      if (this.#delay() > 0) return this.#schedule();
      this.#building = this.#buildIfClaimed()
        .catch((error: unknown) => {
          this.#retryAt = this.#parts.clock.now() + RETRY_MS;
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
    const { number, cause } = error instanceof RefusedCrl ? error : { number: undefined, cause: error };
    const problem = cause instanceof Problem ? cause : new Problem('unavailable', (cause as Error).message);
    this.#lastFailure = { at: this.#parts.clock.now(), refused: error instanceof RefusedCrl, number, problem };
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
  #delay(): number {
    const now = this.#parts.clock.now();
    // A retry that lies further ahead was planned before the clock was set back.
    const retryAt = this.#retryAt <= now + RETRY_MS ? this.#retryAt : now;
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
    const { store, clock } = this.#parts;
    // Said by its gauge and the status page, once.
    if (store.failure !== undefined) this.#retryAt = clock.now() + SECOND;
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
    const { at, store, clock } = this.#parts;
    const { served } = at;
    const key = this.#usableKey();
    const { oldest } = this.#changes;
    // None is known: perhaps only because the store forgot it while another process had the claim to restore it.
    const previous = this.#current ?? (await store.restoreCrl(this.scope));
    const now = clock.now();
    const times = planCrl(served.profile, previous, served.issuer.notAfter, now);
    if (times === undefined) {
      throw new Problem(
        'refused',
        `thisUpdate would not be later than that of CRL ${previous?.number} (${rfc3339(previous?.thisUpdate ?? 0)}), or the CA certificate has ended`,
        { field: 'thisUpdate', value: rfc3339(now), rule: 'RFC 5280 §5.2.3' },
      );
    }
    const idp = this.#idp();
    // It grows by the seconds at least, and is not below those since 1970: so no number is used twice even by a signer whose archive or
    // data directory is behind what others have published since (T-34).
    const since = times.thisUpdate - (previous?.thisUpdate ?? 0);
    const number = await store.reserveNumber(
      this.scope,
      max(BigInt(Math.floor(now / SECOND)), (previous?.number ?? 0n) + BigInt(since / SECOND)),
    );
    const { losses } = this.#changes;
    const draft = await store.draftCrl(this.scope);
    try {
      const plan = { ...times, number, idp, kind, previous };
      const built = await this.#write(plan, key, draft);
      const passed = await this.#check(plan, key, draft, built);
      const record = await this.#publish(plan, draft, built, passed);
      if (built.whole && losses === this.#changes.losses) this.#changes.knownSince(record.asOfSeq);
      this.#done(record, now, oldest);
      return record;
    } finally {
      await draft.discard();
    }
  }

  #usableKey(): SigningKey {
    const { served, keys } = this.#parts.at;
    const field = `issuers/${served.id}/crl.key`;
    if (keys.crl === undefined) throw new Problem('config', 'no CRL key', { field });
    // Before a number is reserved and a million entries are written for nothing.
    const { failure } = keys.crl.holder;
    if (failure !== undefined) throw new Problem('unavailable', `the CRL key cannot be used: ${failure}`, { field });
    return keys.crl;
  }

  /** C-17, X-03: a shard's own URL, and of which certificates it speaks. */
  #idp(): Buffer | undefined {
    const { shard } = this.scope;
    if (shard === COMPLETE) return undefined;
    const url = this.#url;
    if (url === undefined) {
      throw new Problem(
        'config',
        'the URL of this shard is not configured any more, and certificates may name it (T-38)',
        {
          field: `issuers/${this.#parts.at.served.id}/crl.shards`,
          value: shard,
        },
      );
    }
    return issuingDistributionPoint(url, shard === CA_SHARD ? 'ca-certificates' : 'user-certificates');
  }

  async #write(plan: Plan, key: SigningKey, draft: CrlDraft): Promise<BuiltCrl> {
    const { at, store, tuning } = this.#parts;
    const { issuer, profile } = at.served;
    const { previous } = plan;
    const parts = {
      issuerName: issuer.nameDer,
      authorityKeyIdentifier: issuer.subjectKeyIdentifier,
      algorithm: key.holder.algorithm,
      thisUpdate: plan.thisUpdate,
      nextUpdate: plan.nextUpdate,
      number: plan.number,
      invalidityDate: profile.crl.invalidityDate,
      extensions: plan.idp === undefined ? [] : [plan.idp],
    };
    const recordable = () => this.#mustBeRecordable();
    if (plan.kind !== 'scheduled' && previous !== undefined && previous.entries >= tuning.mergeFrom) {
      // In one step: what is told from here on is for the next CRL.
      const changes: readonly CrlChange[] | undefined = this.#changes.since(previous);
      const asOfSeq = Math.max(previous.asOfSeq, this.#parts.told());
      if (changes !== undefined) {
        const file = await store.openCrl(previous);
        try {
          const entries = await entriesFromCrl(file, previous, changes, parts.invalidityDate);
          return { ...(await writeCrl(entries, parts, key.holder, draft, recordable)), asOfSeq, whole: false };
        } finally {
          await file.close();
        }
      }
    }
    const scratch = await store.draftCrl(this.scope);
    try {
      const { asOfSeq: asOf, pages } = store.revokedEntries(this.scope);
      const asOfSeq = await asOf;
      const entries = await entriesFromIndex(pages, scratch, previous, parts.invalidityDate);
      return { ...(await writeCrl(entries, parts, key.holder, draft, recordable)), asOfSeq, whole: true };
    } finally {
      await scratch.discard();
    }
  }

  async #check(plan: Plan, key: SigningKey, draft: CrlDraft, built: BuiltCrl): Promise<PassedCrl> {
    const { number, previous, kind, idp } = plan;
    const { entries, bytes, sha256, asOfSeq } = built;
    try {
      return await checkCrl(draft, { scope: this.scope, kind, expected: { number, entries }, asOfSeq }, previous, {
        served: this.#parts.at.served,
        publicKey: key.publicKey,
        store: this.#parts.store,
        nowMs: this.#parts.clock.now(),
        idp,
        previousPassed: previous !== undefined && previous.number === this.#passed,
        lookUpNew: !built.whole,
      });
    } catch (error) {
      const why = error instanceof Problem ? error.line : (error as Error).message;
      const detail = { number: number.toString(), entries, bytes, sha256, why: why.slice(0, 1000) };
      await this.#account('crl.refused', `CRL ${number} was signed, and is not published`, detail);
      throw new RefusedCrl(number, error);
    }
  }

  async #publish(plan: Plan, draft: CrlDraft, built: BuiltCrl, passed: PassedCrl): Promise<CrlRecord> {
    const { number, thisUpdate, nextUpdate, previous, kind } = plan;
    const { entries, bytes, sha256, asOfSeq } = built;
    const { store } = this.#parts;
    const record: CrlRecord = {
      ...this.scope,
      number,
      ...(previous && { previous: { number: previous.number.toString(), sha256: previous.sha256 } }),
      thisUpdate,
      nextUpdate,
      publishedAt: this.#parts.clock.now(),
      kind,
      ...(kind === 'scheduled' || previous === undefined
        ? { scheduledAt: thisUpdate, scheduledAsOfSeq: asOfSeq }
        : { scheduledAt: previous.scheduledAt, scheduledAsOfSeq: previous.scheduledAsOfSeq }),
      entries,
      bytes,
      sha256,
      asOfSeq,
    };
    await this.#account('crl.published', `CRL ${number} with ${entries} entries (${kind})`, {
      number: number.toString(),
      thisUpdate: rfc3339(thisUpdate),
      nextUpdate: rfc3339(nextUpdate),
      entries,
      removed: passed.removed,
      bytes,
      sha256,
      asOfSeq,
    });
    if (await store.publishCrl(record, draft, previous?.number)) return record;
    this.#current = await store.current(this.scope);
    throw new Problem('conflict', `another signer published CRL ${this.#current?.number} meanwhile`, {
      field: 'cRLNumber',
      value: number.toString(),
      rule: 'T-34',
    });
  }

  #done(record: CrlRecord, begun: EpochMs, oldest: EpochMs | undefined): void {
    const { metrics, clock, log } = this.#parts;
    this.#passed = record.number;
    this.#lastFailure = undefined;
    this.#saidUnusable = undefined;
    this.published(record);
    if (oldest !== undefined) metrics.recordedToListed.observe((record.publishedAt - oldest) / SECOND);
    const finished = clock.now();
    this.#notBefore = finished + Math.min(PAUSE_BUILDS * Math.max(0, finished - begun), MAX_PAUSE_MS);
    metrics.published.value += 1;
    const { number, entries, bytes, kind } = record;
    log.info({ ...this.#named, number: number.toString(), entries, bytes, kind }, 'CRL published');
  }

  /** P8: nothing is signed while the log cannot be written. A probe record finds out when it can again. */
  async #mustBeRecordable(): Promise<void> {
    const { journal } = this.#parts;
    if (journal.failure === undefined) return;
    const description = 'the audit log can be written again; CRLs are signed';
    await journal.append([{ type: 'journal.recovered', actor: 'signer', description }]);
  }

  async #account(type: 'crl.published' | 'crl.refused', description: string, detail: object): Promise<void> {
    const { id, tag } = this.#parts.at.served;
    const shard = this.scope.shard === COMPLETE ? {} : { shard: this.scope.shard };
    await this.#parts.journal.append([
      { type, actor: 'signer', issuer: id, issuerTag: tag, description, detail: { ...shard, ...detail } },
    ]);
  }
}

/** Signed, and kept from being published by what the gate found. */
class RefusedCrl extends Problem {
  readonly number: bigint;

  constructor(number: bigint, cause: unknown) {
    const { message } = cause as Error;
    const { code, field, value, rule } = cause instanceof Problem ? cause : new Problem('unavailable', message);
    super(code, message, {
      ...(field !== undefined && { field }),
      ...(value !== undefined && { value }),
      ...(rule !== undefined && { rule }),
    });
    this.number = number;
    this.cause = cause;
  }
}

interface Plan {
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly number: bigint;
  readonly idp: Buffer | undefined;
  readonly kind: 'scheduled' | 'revocation';
  readonly previous: CrlRecord | undefined;
}

interface BuiltCrl extends SignedCrl {
  readonly asOfSeq: number;
  /** From the index. */
  readonly whole: boolean;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
