/**
 * CRLs: a complete one per issuer, on schedule and soon after each revocation.
 *
 *  1. reserve   a number greater than every number before, durably. A crash anywhere below leaves a gap, never a repeat (C-10).
 *  2. build     from the revoked index as of one instant, dropping only what may leave (freshness.mayLeaveCrl).
 *  3. sign      with the issuer's CRL key.
 *  4. check     re-read by the reader, signature verified, linted, and held against the CRL that it would replace: no unexpired
 *               entry may be lost, number and thisUpdate must grow. A finding keeps the old CRL and raises an alarm.
 *  5. journal   one record with number, times, count and digest (P8), also of a CRL that was refused in 4. While the log cannot
 *               be written none is signed.
 *  6. publish   archive file, then record, by compare-and-swap on the number. A crash before the record: the old CRL stays
 *               current; the next build finds the revocations again, because they are in the index.
 *
 * Revocations that arrive within `coalesceMs` of the first, or while a build is running, share the next CRL.
 *
 * Of several signers over one store one builds, the one with the claim (ports/store.ts, CrlShelf). The others know by the feed
 * what it has published, and what it has not: when it is gone they have the claim, and the same revocations waiting.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { completeCrl, type CrlRecord, type CrlScope, type IssuerTag } from '../core/certificate.ts';
import { assembleCrl, CrlBuilder } from '../core/crl/crl.ts';
import { readCrl } from '../core/crl/crl-reader.ts';
import { lintCrlInSteps } from '../core/lint/lint.ts';
import { mayLeaveCrl, planCrl } from '../core/policy/freshness.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import { MINUTE, rfc3339, SECOND, type EpochMs } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { ChangeFeed, CrlShelf, Ledger, Reliance } from '../ports/store.ts';
import type { Log } from './log.ts';
import type { CrlMetrics } from './metrics.ts';
import type { SignerIssuer } from './sign.ts';
import { verified } from './check-answer.ts';

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
/** Of a large CRL that is checked, between two turns of the event loop. */
const ENTRIES_PER_STEP = 1000;
/** Revocations that wait for a CRL, remembered one by one. */
const MAX_UNLISTED = 1024;
/** How long a timer is trusted: the wall clock may be set, or the machine may sleep, while it runs. */
const LOOK_AGAIN_MS = MINUTE;

/** Publishes the CRLs of one issuer. */
export class CrlPublisher {
  readonly #at: SignerIssuer;
  readonly #store: Ledger & CrlShelf & ChangeFeed & Reliance;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: CrlMetrics;
  #current: CrlRecord | undefined;
  readonly #unlisted = new UnlistedRevocations();
  /** When the next CRL after a revocation may begin. */
  #notBefore: EpochMs = 0;
  /** After a failure: when the next try may begin, whatever is recorded meanwhile. */
  #retryAt: EpochMs = 0;
  /** Why the key cannot be used, as the log was told: once, and not at each try. */
  #saidUnusable: string | undefined;
  #timer: Timer | undefined;
  #building: Promise<void> | undefined;
  #stopped = true;

  constructor(
    at: SignerIssuer,
    store: Ledger & CrlShelf & ChangeFeed & Reliance,
    journal: Journal,
    clock: Clock,
    log: Log,
    metrics: CrlMetrics,
  ) {
    this.#at = at;
    this.#store = store;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    store.follow((event) => {
      if (event.type === 'gap' && event.issuer === this.issuer && !this.#stopped) void this.#readAgain();
      if (event.type === 'crl' && event.record.issuer === this.issuer) this.#published(event.record);
      if (event.type !== 'recorded') return;
      const { certificate, lane } = event.change;
      if (certificate.issuer !== at.served.tag) return;
      // Not every change in the revocation lane revokes (a hold may end), and an import revokes in the refresh lane.
      if (certificate.revocation === undefined && lane !== 'revocation') return;
      // A shared store may tell of it after a CRL that lists it.
      if (this.#current !== undefined && certificate.recordedSeq <= this.#current.asOfSeq) return;
      this.#unlisted.add(certificate);
      this.#schedule();
    });
  }

  get #scope(): CrlScope {
    return completeCrl(this.issuer);
  }

  get issuer(): IssuerTag {
    return this.#at.served.tag;
  }

  get current(): CrlRecord | undefined {
    return this.#current;
  }

  /** When the oldest revocation that is on no CRL yet was recorded: the clock of B-14. */
  get oldestUnlisted(): EpochMs | undefined {
    return this.#unlisted.oldest;
  }

  /** Publishes at once when there is no CRL, it is due, or revocations were recorded after it. */
  async start(): Promise<void> {
    this.#stopped = false;
    // A shared store that cannot be relied on yet says `gap` when it can.
    if (this.#store.failure !== undefined) return;
    await this.#read();
    this.#schedule();
  }

  async #read(): Promise<void> {
    this.#current = await this.#store.restoreCrl(this.#scope);
    this.#unlisted.clear();
    const listedUpTo = this.#current?.asOfSeq ?? 0;
    const { asOfSeq, pages } = this.#store.revokedEntries(this.#scope);
    const upTo = await asOfSeq;
    for await (const page of pages) {
      if (upTo <= listedUpTo) break;
      for (const entry of page) if (entry.recordedSeq > listedUpTo) this.#unlisted.add(entry);
    }
  }

  /** After events were lost, or a store that could not be read: again until it can. */
  async #readAgain(): Promise<void> {
    try {
      await this.#read();
      this.#schedule();
    } catch (error) {
      if (this.#store.failure === undefined)
        this.#log.warn({ err: error, issuer: this.#at.served.id }, 'the current CRL cannot be read; trying again');
      this.#clock.after(SECOND, () => void (this.#stopped || this.#readAgain()));
    }
  }

  /** By this process or another. */
  #published(record: CrlRecord): void {
    if (this.#current !== undefined && record.number <= this.#current.number) return;
    this.#current = record;
    this.#unlisted.listed(record.asOfSeq);
    this.#schedule();
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
    if (!(await this.#store.claimCrl(this.issuer))) {
      throw new Problem('unavailable', 'another signer builds the CRLs of this issuer: ask that one', {
        field: 'issuer',
        value: this.#at.served.id,
      });
    }
    while (this.#building !== undefined) await this.#building;
    // It would begin a second build beside this one; #schedule sets it anew.
    this.#timer?.cancel();
    // Not "regularly scheduled", whoever asks for it: entries stay for a CRL of the schedule (C-22, T-33).
    const build = this.#orElseRelease(this.#build(this.#scheduledIsDue() ? 'scheduled' : 'revocation'));
    this.#building = build.then(
      () => undefined,
      () => void (this.#metrics.failed.value += 1),
    );
    return build.finally(() => {
      this.#building = undefined;
      this.#schedule();
    });
  }

  /** The instant at which the next build begins. */
  #due(nowMs: EpochMs): EpochMs {
    if (this.#current === undefined) return nowMs;
    const scheduled = this.#current.scheduledAt + this.#at.served.profile.crl.periodMs;
    const { oldest } = this.#unlisted;
    const unlisted =
      oldest === undefined ? Infinity : Math.max(oldest + this.#at.served.profile.crl.coalesceMs, this.#notBefore);
    // thisUpdate has whole seconds and must grow: not before the next second.
    return Math.max(Math.min(scheduled, unlisted), this.#current.thisUpdate + SECOND);
  }

  #schedule(): void {
    if (this.#stopped || this.#building !== undefined) return;
    this.#timer?.cancel();
    const delay = this.#delay();
    this.#timer = this.#clock.after(Math.min(delay, LOOK_AGAIN_MS), () => {
      if (this.#delay() > 0) return this.#schedule();
      this.#building = this.#buildIfClaimed()
        .then(
          () => undefined,
          (error: unknown) => {
            this.#retryAt = this.#clock.now() + RETRY_MS;
            this.#metrics.failed.value += 1;
            this.#sayFailed(error);
          },
        )
        .then(() => {
          this.#building = undefined;
          this.#schedule();
        });
    });
  }

  #sayFailed(error: unknown): void {
    const issuer = this.#at.served.id;
    const unusable = this.#at.keys.crl?.holder.failure;
    if (unusable === undefined) {
      this.#log.error({ err: error, issuer }, 'no CRL was published; the previous one stays');
    } else if (unusable !== this.#saidUnusable) {
      this.#log.error({ issuer }, `no CRL is published until its key can be used: ${unusable}`);
    }
    this.#saidUnusable = unusable;
  }

  /** Until the next build may begin. */
  #delay(): number {
    const now = this.#clock.now();
    // A retry that lies further ahead was planned before the clock was set back.
    const retryAt = this.#retryAt <= now + RETRY_MS ? this.#retryAt : now;
    return Math.max(0, this.#due(now) - now, retryAt - now);
  }

  #scheduledIsDue(): boolean {
    const current = this.#current;
    return current === undefined || this.#clock.now() >= current.scheduledAt + this.#at.served.profile.crl.periodMs;
  }

  /** Without the claim another process builds; whether it does is looked at soon. */
  async #buildIfClaimed(): Promise<void> {
    // Said by its gauge and the status page, once.
    if (this.#store.failure !== undefined) this.#retryAt = this.#clock.now() + SECOND;
    else if (await this.#store.claimCrl(this.issuer))
      await this.#orElseRelease(this.#build(this.#scheduledIsDue() ? 'scheduled' : 'revocation'));
    else this.#retryAt = this.#clock.now() + CLAIM_AGAIN_MS;
  }

  /** Each try renews the claim: a process whose key or audit log has failed would keep it from those that can build (P4). */
  async #orElseRelease(build: Promise<CrlRecord>): Promise<CrlRecord> {
    try {
      return await build;
    } catch (error) {
      await this.#store.releaseCrl(this.issuer);
      throw error;
    }
  }

  async #build(kind: 'scheduled' | 'revocation'): Promise<CrlRecord> {
    const { served, keys } = this.#at;
    const key = keys.crl;
    const { oldest } = this.#unlisted;
    if (key === undefined) throw new Problem('config', 'no CRL key', { field: `issuers/${served.id}/crl.key` });
    // Before a number is reserved and a million entries are written for nothing.
    const { failure } = key.holder;
    if (failure !== undefined)
      throw new Problem('unavailable', `the CRL key cannot be used: ${failure}`, {
        field: `issuers/${served.id}/crl.key`,
      });
    // None is known: perhaps only because the store forgot it while another process had the claim to restore it.
    const previous = this.#current ?? (await this.#store.restoreCrl(this.#scope));
    const now = this.#clock.now();
    const times = planCrl(served.profile, previous, served.issuer.notAfter, now);
    if (times === undefined) {
      throw new Problem(
        'refused',
        `thisUpdate would not be later than that of CRL ${previous?.number} (${rfc3339(previous?.thisUpdate ?? 0)}), or the CA certificate has ended`,
        {
          field: 'thisUpdate',
          value: rfc3339(now),
          rule: 'RFC 5280 §5.2.3',
        },
      );
    }
    // It grows by the seconds at least, and is not below those since 1970: so no number is used twice even by a signer whose archive or
    // data directory is behind what others have published since (T-34).
    const since = times.thisUpdate - (previous?.thisUpdate ?? 0);
    const number = await this.#store.reserveNumber(
      this.#scope,
      max(BigInt(Math.floor(now / SECOND)), (previous?.number ?? 0n) + BigInt(since / SECOND)),
    );

    const { asOfSeq: asOf, pages } = this.#store.revokedEntries(this.#scope);
    const asOfSeq = await asOf;
    const builder = new CrlBuilder({
      issuerName: served.issuer.nameDer,
      authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
      algorithm: key.holder.algorithm,
      ...times,
      number,
      invalidityDate: served.profile.crl.invalidityDate,
    });
    const dropped = new Set<Serial>();
    let entries = 0;
    for await (const page of pages) {
      for (const entry of page) {
        if (mayLeaveCrl(entry, previous)) dropped.add(entry.serial);
        else {
          builder.add(entry);
          entries += 1;
        }
      }
    }
    const tbs = builder.tbs();
    await this.#mustBeRecordable();
    const [signed] = await key.holder.sign([tbs], 'urgent');
    if (signed === undefined || !signed.ok) throw signed?.error ?? new Error('the key holder returned no signature');
    const der = assembleCrl(tbs, key.holder.algorithm, signed.signature);
    const sha256 = createHash('sha256').update(der).digest('hex');
    try {
      await this.#check(der, { number, entries }, previous, dropped);
    } catch (error) {
      const why = error instanceof Problem ? error.line : (error as Error).message;
      const detail = { number: number.toString(), entries, bytes: der.length, sha256, why: why.slice(0, 1000) };
      await this.#account('crl.refused', `CRL ${number} was signed, and is not published`, detail);
      throw error;
    }

    const record: CrlRecord = {
      ...this.#scope,
      number,
      ...(previous && { previous: { number: previous.number.toString(), sha256: previous.sha256 } }),
      ...times,
      publishedAt: this.#clock.now(),
      kind,
      ...(kind === 'scheduled' || previous === undefined
        ? { scheduledAt: times.thisUpdate, scheduledAsOfSeq: asOfSeq }
        : { scheduledAt: previous.scheduledAt, scheduledAsOfSeq: previous.scheduledAsOfSeq }),
      entries,
      bytes: der.length,
      sha256,
      asOfSeq,
    };
    await this.#account('crl.published', `CRL ${number} with ${entries} entries (${kind})`, {
      number: number.toString(),
      thisUpdate: rfc3339(times.thisUpdate),
      nextUpdate: rfc3339(times.nextUpdate),
      entries,
      removed: [...dropped],
      bytes: der.length,
      sha256,
      asOfSeq,
    });
    const draft = await this.#store.draftCrl(this.#scope);
    await draft.write(der);
    if (!(await this.#store.publishCrl(record, draft, previous?.number))) {
      this.#current = await this.#store.current(this.#scope);
      throw new Problem('conflict', `another signer published CRL ${this.#current?.number} meanwhile`, {
        field: 'cRLNumber',
        value: number.toString(),
        rule: 'T-34',
      });
    }
    this.#published(record);
    if (oldest !== undefined) this.#metrics.recordedToListed.observe((record.publishedAt - oldest) / SECOND);
    const finished = this.#clock.now();
    this.#notBefore = finished + Math.min(PAUSE_BUILDS * Math.max(0, finished - now), MAX_PAUSE_MS);
    this.#metrics.published.value += 1;
    this.#saidUnusable = undefined;
    this.#log.info({ issuer: served.id, number: number.toString(), entries, bytes: der.length, kind }, 'CRL published');
    return record;
  }

  /** P8: nothing is signed while the log cannot be written. A probe record finds out when it can again. */
  async #mustBeRecordable(): Promise<void> {
    if (this.#journal.failure === undefined) return;
    const description = 'the audit log can be written again; CRLs are signed';
    await this.#journal.append([{ type: 'journal.recovered', actor: 'signer', description }]);
  }

  async #account(type: 'crl.published' | 'crl.refused', description: string, detail: object): Promise<void> {
    const { id, tag } = this.#at.served;
    await this.#journal.append([
      { type, actor: 'signer', issuer: id, issuerTag: tag, description, detail: { ...detail } },
    ]);
  }

  /** The publish gate. @throws Problem `corrupt` or `refused`. */
  async #check(
    der: Buffer,
    expected: { readonly number: bigint; readonly entries: number },
    previous: CrlRecord | undefined,
    dropped: ReadonlySet<Serial>,
  ): Promise<void> {
    const { served, keys } = this.#at;
    const view = readCrl(der);
    const linting = lintCrlInSteps(view, {
      authorities: served.profile.authorities,
      subject: served.profile.issues === 'ca-certificates' ? 'ca' : 'subscriber',
      issuer: { name: served.issuer.nameDer, keyIdentifier: served.issuer.subjectKeyIdentifier },
      maxValidityMs: served.profile.crl.validityMs,
      expected,
      ...(previous !== undefined && { previous }),
    });
    const findings = (await inTurns(linting)).filter((finding) => finding.severity === 'error');
    if (findings.length > 0) {
      throw new Problem('corrupt', `lint: ${findings.map(({ rule, message }) => `${rule} ${message}`).join('; ')}`, {
        field: 'CertificateList',
      });
    }
    const key = keys.crl as NonNullable<typeof keys.crl>;
    if (!(await verified(view.tbs, view.signatureValue, key.publicKey, view.signatureAlgorithm))) {
      throw new Problem('corrupt', 'the signature does not verify with the CA certificate', {
        field: 'CertificateList',
        rule: 'RFC 5280 §5.1.1.3',
      });
    }
    if (previous === undefined) return;
    for (const lost of missing(readCrl(await this.#store.body(previous)).entries(), view.entries())) {
      if (lost === undefined) await nextTurn();
      if (lost === undefined || dropped.has(lost)) continue;
      // A hold that was released leaves the full CRL at once (RFC 5280 §5.3.1, T-29).
      if (served.profile.reasons.hold === 'allow') {
        const [certificate] = await this.#store.find(this.issuer, [lost]);
        if (certificate !== undefined && certificate.revocation === undefined) continue;
      }
      throw new Problem(
        'refused',
        `serial ${lost} stands on CRL ${previous.number} and would be lost before its certificate has expired`,
        {
          field: 'revokedCertificates',
          value: lost,
          rule: 'RFC 5280 §3.3, BR 4.10.1',
        },
      );
    }
  }
}

/** Revocations that are on no CRL yet: of each, when it was recorded and how the ledger counts it. Bounded. */
class UnlistedRevocations {
  /** In ascending order of seq. */
  #waiting: { seq: number; readonly recordedAt: EpochMs }[] = [];

  get oldest(): EpochMs | undefined {
    return this.#waiting.reduce<EpochMs | undefined>(
      (oldest, { recordedAt }) => Math.min(recordedAt, oldest ?? Infinity),
      undefined,
    );
  }

  add({ recordedSeq: seq, recordedAt }: { readonly recordedSeq: number; readonly recordedAt: EpochMs }): void {
    const last = this.#waiting.at(-1);
    if (last !== undefined && (seq === last.seq || this.#waiting.length >= MAX_UNLISTED)) {
      // Many at once: the last stands for all of them, as old as the oldest and listed when the newest is.
      this.#waiting[this.#waiting.length - 1] = {
        seq: Math.max(seq, last.seq),
        recordedAt: Math.min(recordedAt, last.recordedAt),
      };
    } else this.#waiting.push({ seq, recordedAt });
  }

  /** Everything up to `asOfSeq` is on a CRL. */
  listed(asOfSeq: number): void {
    this.#waiting = this.#waiting.filter(({ seq }) => seq > asOfSeq);
  }

  clear(): void {
    this.#waiting = [];
  }
}

/** Serials of the old list that are not on the new one; undefined every thousand entries, for a pause. Both lists ascend (ours always do). */
function* missing(
  before: Iterable<{ readonly serial: Serial | undefined }>,
  now: Iterable<{ readonly serial: Serial | undefined }>,
): Generator<Serial | undefined> {
  const rest = now[Symbol.iterator]();
  let next = rest.next();
  let entries = 0;
  for (const { serial } of before) {
    entries += 1;
    if (entries % ENTRIES_PER_STEP === 0) yield undefined;
    if (serial === undefined) continue; // lint has refused it before it could be published
    while (next.done !== true && (next.value.serial ?? '') < serial) next = rest.next();
    if (next.done === true || next.value.serial !== serial) yield serial;
  }
}

/** Runs it to its end, with a turn of the event loop for everybody else between its steps. */
async function inTurns<T>(steps: Generator<undefined, T>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await nextTurn();
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
