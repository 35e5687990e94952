/**
 * From an event to the ledger: decide, journal, apply, acknowledge. The only writer of certificates.
 *
 *  1. decide    the request against the ledger (core/status.ts). A request is taken whole or not at all; a Problem in any of
 *               its items rejects it, and nothing has happened.
 *  2. journal   one record per request, fsync shared by all requests that wait. A crash before: nothing happened, the caller
 *               sends it again. A crash after: the replay at start applies it; sending it again changes nothing.
 *  3. apply     to the ledger, atomically, onto the state that was decided on; this also queues the signing. Where another intake
 *               was quicker the group has not happened: a record says so (the replay heeds it), and it is decided anew.
 *  4. acknowledge.
 *
 * Requests for one issuer that arrive while a group is at work form the next group, so a busy intake costs one fsync per group.
 *
 * Crash table of `overtaken`: killed after 2 and before the record that takes it back → the replay finds the certificate changed
 * and keeps what outranks (core/precedence.ts). Nobody had been told that it happened.
 */
import type { Certificate, IssuerTag, Lane } from '../core/certificate.ts';
import { assignShard } from '../core/crl/shards.ts';
import {
  changesOf,
  requireReplayable,
  journalChange,
  type JournalEntry,
  type JournalledChange,
  type JournalRecord,
} from '../core/journal-record.ts';
import { certificateKey } from '../core/precedence.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import {
  checkPositive,
  checkRepresentable,
  issue,
  revoke,
  type Issuance,
  type RevocationEvent,
  type Transition,
} from '../core/status.ts';
import type { ImportRow, RejectedRow } from '../core/import/row.ts';
import { fateOf, type MassOrder } from '../core/mass/order.ts';
import { NO_COUNTS, type RunCounts } from '../core/mass/run.ts';
import type { EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { Change, Ledger } from '../ports/store.ts';
import type { ServedIssuer } from './issuer-setup.ts';

/** What the caller gets for each item, in order. */
export interface Receipt {
  /** `<issuer>.<serial>.<revision>`: whoever has it can ask when that revision is live. */
  readonly id: string;
  readonly serial: Serial;
  readonly revision: number;
}

export interface ImportOutcome {
  readonly accepted: number;
  readonly unchanged: number;
  readonly rejected: readonly RejectedRow[];
}

/** A mass revocation, as far as its batches need it. */
export interface MassBatch {
  readonly plan: string;
  readonly order: MassOrder;
  /** Of the run; whole second: the date of its revocations where the order names none. */
  readonly startedAt: EpochMs;
}

export interface MassOutcome extends RunCounts {
  readonly firstRefused: string | undefined;
}

/** Facts about a revocation that the auditor wants and the ledger does not need. */
export interface RevocationCase {
  readonly clause?: string | undefined;
  readonly requestedBy?: string | undefined;
  readonly awareAt?: string | undefined;
  readonly deadline?: string | undefined;
}

/** Another intake may be quicker, and again; then the caller is asked to try later rather than to wait for ever. */
const MAX_OVERTAKEN = 10;

/** Of a group of several requests: as many as one may have. A shared store changes the ledger in one step, and nobody else meanwhile. */
const MAX_GROUP_ITEMS = 10_000;

interface Job<T> {
  readonly issuer: IssuerTag;
  readonly serials: readonly Serial[];
  /** Throws a Problem to reject the request. No entry: nothing changes, nothing to journal. */
  readonly decide: (
    known: (serial: Serial) => Certificate | undefined,
    nowMs: EpochMs,
  ) => { entry: JournalEntry | undefined; result: T };
  readonly resolve: (result: T) => void;
  readonly reject: (error: unknown) => void;
  overtaken: number;
}

/** Journalled, and not known to be applied. */
interface Unapplied {
  readonly changes: readonly Change[];
  readonly seqs: readonly number[];
  readonly decidedOn: ReadonlyMap<string, Certificate | undefined>;
}

export class Recorder {
  readonly #ledger: Ledger;
  readonly #journal: Journal;
  readonly #clock: Clock;
  #waiting: Job<unknown>[] = [];
  #working: Promise<void> | undefined;
  /** Journalled but not applied, because the ledger failed: nothing else is taken before it is in. */
  #unapplied: Unapplied | undefined;
  /** Everything journalled is in the ledger, or in #unapplied. Until then nothing is taken: its record would hide what is missing. */
  #inStep = false;
  /** Told each record that has happened, in this process alone. */
  told: (record: JournalRecord) => void = () => undefined;
  /** Waits for its turn in #drain. */
  #repair: { readonly resolve: (count: number) => void; readonly reject: (error: unknown) => void } | undefined;

  constructor(ledger: Ledger, journal: Journal, clock: Clock) {
    this.#ledger = ledger;
    this.#journal = journal;
    this.#clock = clock;
  }

  /**
   * Applies what the journal holds and the ledger does not, between two groups: run once before anything else, and again when a
   * shared store has forgotten. Returns how many records were missing in the ledger; those that change no certificate
   * (signatures, starts and stops) are not counted.
   * @throws Problem `corrupt` when the ledger is ahead of the journal.
   */
  recover(): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiting = this.#repair;
      this.#repair = {
        resolve: (count) => (waiting?.resolve(count), resolve(count)),
        reject: (error) => (waiting?.reject(error), reject(error)),
      };
      this.#working ??= this.#drain();
    });
  }

  async #recover(): Promise<number> {
    // Everything that is journalled is replayed below, as far as it stands.
    this.#inStep = false;
    this.#unapplied = undefined;
    const [after, newest] = [await this.#ledger.appliedSeq(), await this.#ledger.newestSeq()];
    const { seq: head } = this.#journal.head;
    // Its next records would have numbers that the ledger takes for applied, and be acknowledged in vain.
    if (newest > head) {
      throw new Problem(
        'corrupt',
        `the ledger has applied record ${newest}, but the journal ends at record ${head}: records are missing; ` +
          'put the whole audit log back, or, where several intakes share a store, begin a new one under another name',
        { field: 'audit log', rule: 'P1' },
      );
    }
    // A clean stop, or a checkpoint: reading would check the journal's last file twice for nothing.
    if (after === head) {
      this.#inStep = true;
      return 0;
    }
    // A record is taken back by a later one: so all are looked at before the first is applied.
    const takenBack = new Set<number>();
    let last = after;
    for await (const record of this.#journal.read(after)) {
      requireReplayable(record);
      last = record.seq;
      if (record.type === 'certificates.overtaken') for (const seq of overtakenSeqs(record)) takenBack.add(seq);
    }
    let count = 0;
    for await (const record of this.#journal.read(after)) {
      if (record.seq > last) break;
      if (record.changes === undefined || takenBack.has(record.seq)) continue;
      await this.#ledger.replay(changesOf(record), record.seq);
      count += 1;
    }
    // So that the next start need not read them again.
    if (last > after) await this.#ledger.replay([], last);
    this.#inStep = true;
    return count;
  }

  issue(at: ServedIssuer, events: readonly Issuance[], actor: string): Promise<readonly Receipt[]> {
    return this.#submit(at, events, actor, 'certificates.issued', '/certificates', (current, event, nowMs) =>
      issue(at.tag, current, { ...event, crlShard: shardFor(at, current, event) }, nowMs),
    );
  }

  revoke(
    at: ServedIssuer,
    events: readonly (RevocationEvent & { readonly about?: RevocationCase })[],
    actor: string,
  ): Promise<readonly Receipt[]> {
    return this.#submit(at, events, actor, 'certificates.revoked', '/revocations', (current, event, nowMs) =>
      revoke(at.profile, current, event, nowMs),
    );
  }

  /** Rows of an existing CA's records: good rows go in, rejected ones come back; in the refresh lane, behind every event. */
  import(at: ServedIssuer, rows: readonly ImportRow[], actor: string, source: string): Promise<ImportOutcome> {
    return this.#enqueue(
      at.tag,
      rows.map((row) => row.serial),
      (known, nowMs) => {
        const rejected: RejectedRow[] = [];
        const changed = new Map<Serial, { certificate: Certificate; lane: Lane }>();
        let accepted = 0;
        for (const row of rows) {
          try {
            const before = known(row.serial);
            const certificate = importRow(at, changed.get(row.serial)?.certificate ?? before, row, nowMs);
            if (certificate === undefined) continue;
            // Where an answer may be out already, its change is as urgent as any revocation; the rest is backlog.
            const lane = before !== undefined && before.revision < certificate.revision ? 'revocation' : 'refresh';
            changed.set(row.serial, { certificate, lane });
            accepted += 1;
          } catch (error) {
            if (!(error instanceof Problem)) throw error;
            rejected.push({ line: row.line, problem: error });
          }
        }
        const entry: JournalEntry | undefined =
          changed.size === 0
            ? undefined
            : {
                type: 'certificates.imported',
                actor,
                issuer: at.id,
                issuerTag: at.tag,
                description: `${changed.size} certificates imported from ${source}`,
                changes: [...changed.values()].map(({ certificate, lane }) => journalChange(certificate, lane)),
              };
        return { entry, result: { accepted, unchanged: rows.length - accepted - rejected.length, rejected } };
      },
    );
  }

  /**
   * Lines of a mass revocation: what can be revoked is, in the mass lane; the rest is counted. Again changes nothing, so a run that
   * was cut short begins again wherever it likes before that.
   */
  revokeMany(at: ServedIssuer, serials: readonly Serial[], batch: MassBatch, actor: string): Promise<MassOutcome> {
    return this.#enqueue(at.tag, serials, (known, nowMs) => {
      const changed = new Map<Serial, JournalledChange>();
      const counts = { ...NO_COUNTS, lines: serials.length };
      let firstRefused: string | undefined;
      for (const serial of serials) {
        // A serial that stands on the list twice was dealt with.
        const fate = changed.has(serial)
          ? ({ kind: 'already' } as const)
          : fateOf(at.profile, batch.order, batch.startedAt, known(serial), nowMs);
        if (fate.kind === 'revoke') {
          const { certificate, lane } = fate.transition;
          changed.set(serial, journalChange(certificate as Certificate, lane));
          counts.revoked += 1;
        } else counts[fate.kind === 'done' ? 'revoked' : fate.kind] += 1;
        if (fate.kind === 'refused') firstRefused ??= `${serial}: ${fate.problem.line}`;
      }
      const entry: JournalEntry | undefined =
        changed.size === 0
          ? undefined
          : {
              type: 'certificates.revoked',
              actor,
              issuer: at.id,
              issuerTag: at.tag,
              description: `${changed.size} revoked by mass revocation ${batch.plan}`,
              changes: [...changed.values()],
              detail: { mass: batch.plan },
            };
      return { entry, result: { ...counts, firstRefused } };
    });
  }

  /** Resolves when nothing is being recorded. */
  async idle(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  /**
   * Has the ledger remember that all records up to now are in it, while nothing is being recorded. Most records are of signatures, which
   * change no certificate: without this a start after a crash would read all of them since the last event, a day's worth in a quiet
   * night. Not for a shared store: what it has forgotten must be found missing (flows/keep-ledger.ts).
   */
  async checkpoint(): Promise<void> {
    if (this.#working !== undefined || this.#unapplied !== undefined || !this.#inStep) return;
    await this.#ledger.replay([], this.#journal.head.seq);
  }

  /**
   * Has the ledger remember the last record of all, also of those that change no certificate: then `audit verify` notices
   * when the end of the log is cut off while nothing runs (CT-5.4.1, P8). Run once, after everything else.
   */
  async close(): Promise<void> {
    await this.idle();
    // What was not replayed must not count as applied.
    if (!this.#inStep) return;
    await this.#applyPending();
    await this.#ledger.replay([], this.#journal.head.seq);
  }

  #submit<E extends { readonly serial: Serial }>(
    at: ServedIssuer,
    events: readonly E[],
    actor: string,
    type: 'certificates.issued' | 'certificates.revoked',
    list: string,
    decide: (current: Certificate | undefined, event: E, nowMs: EpochMs) => Transition,
  ): Promise<readonly Receipt[]> {
    return this.#enqueue(
      at.tag,
      events.map((event) => event.serial),
      (known, nowMs) => {
        const seen = new Set<Serial>();
        const changes: { certificate: Certificate; lane: Transition['lane'] }[] = [];
        const receipts = events.map((event, i): Receipt => {
          if (seen.has(event.serial)) {
            throw new Problem('invalid', 'this serial stands twice in the request', {
              field: `${list}/${i}/serial`,
              value: event.serial,
            });
          }
          seen.add(event.serial);
          const current = known(event.serial);
          let transition: Transition;
          try {
            transition = decide(current, event, nowMs);
          } catch (error) {
            throw error instanceof Problem ? error.within(`${list}/${i}`) : error;
          }
          const { certificate, lane } = transition;
          if (certificate !== undefined) changes.push({ certificate, lane });
          const revision = (certificate ?? (current as Certificate)).revision;
          return { id: receiptId(at.id, event.serial, revision), serial: event.serial, revision };
        });
        const about = events.flatMap((event) =>
          'about' in event && event.about !== undefined ? [{ serial: event.serial, ...event.about }] : [],
        );
        const entry: JournalEntry | undefined =
          changes.length === 0
            ? undefined
            : {
                type,
                actor,
                issuer: at.id,
                issuerTag: at.tag,
                description: `${changes.length} ${type === 'certificates.issued' ? 'issued' : 'revoked'}`,
                changes: changes.map(({ certificate, lane }) => journalChange(certificate, lane)),
                ...(about.length > 0 && { detail: { cases: about } }),
              };
        return { entry, result: receipts };
      },
    );
  }

  #enqueue<T>(issuer: IssuerTag, serials: readonly Serial[], decide: Job<T>['decide']): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ issuer, serials, decide, resolve, reject, overtaken: 0 } as Job<unknown>);
      this.#working ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#repair !== undefined) {
      const repair = this.#repair;
      this.#repair = undefined;
      if (repair !== undefined) await this.#recover().then(repair.resolve, repair.reject);
      // A group is of one issuer: a shared store takes the changes of one issuer whole or not at all, not those of several.
      const issuer = this.#waiting[0]?.issuer;
      const jobs: Job<unknown>[] = [];
      let items = 0;
      this.#waiting = this.#waiting.filter((job) => {
        const joins = job.issuer === issuer && (jobs.length === 0 || items + job.serials.length <= MAX_GROUP_ITEMS);
        // Of one issuer, what does not fit keeps back what came after it.
        if (job.issuer === issuer) items += job.serials.length;
        if (joins) jobs.push(job);
        return !joins;
      });
      try {
        await this.#group(jobs);
      } catch (error) {
        for (const job of jobs) job.reject(error);
      }
    }
    // In the same turn as the last look at #waiting: a request that comes any later begins anew.
    this.#working = undefined;
  }

  async #group(jobs: readonly Job<unknown>[]): Promise<void> {
    if (!this.#inStep) await this.#recover();
    await this.#applyPending();
    const nowMs = this.#clock.now();
    const decidedOn = new Map<string, Certificate | undefined>();
    for (const job of jobs) {
      const certificates = await this.#ledger.find(job.issuer, job.serials);
      job.serials.forEach((serial, i) => {
        const key = certificateKey({ issuer: job.issuer, serial });
        if (!decidedOn.has(key)) decidedOn.set(key, certificates[i]);
      });
    }
    /** State as of the jobs decided so far in this group. */
    const state = new Map(decidedOn);
    const decided: { job: Job<unknown>; entry: JournalEntry | undefined; result: unknown }[] = [];
    for (const [at, job] of jobs.entries()) {
      try {
        const { entry, result } = job.decide(
          (serial) => state.get(certificateKey({ issuer: job.issuer, serial })),
          nowMs,
        );
        if (entry !== undefined && at < jobs.length - 1) {
          // The record's seq and time are not known yet; the next decision in this group needs the status only.
          const provisional = changesOf({ ...entry, seq: 0, at: new Date(nowMs).toISOString(), prev: '', hash: '' });
          for (const { certificate } of provisional) state.set(certificateKey(certificate), certificate);
        }
        decided.push({ job, entry, result });
      } catch (error) {
        job.reject(error);
      }
    }
    const entries = decided.flatMap(({ entry }) => (entry === undefined ? [] : [entry]));
    try {
      if (entries.length > 0) {
        const records = await this.#journal.append(entries);
        this.#unapplied = { changes: records.flatMap(changesOf), seqs: records.map(({ seq }) => seq), decidedOn };
        if ((await this.#applyPending()) === 'overtaken') return this.#again(decided.map(({ job }) => job));
        records.forEach((record) => this.told(record));
      }
    } catch (error) {
      for (const { job } of decided) job.reject(error);
      return;
    }
    for (const { job, result } of decided) job.resolve(result);
  }

  /** Decided anew, ahead of what came later. */
  #again(jobs: readonly Job<unknown>[]): void {
    const again = jobs.filter((job) => {
      job.overtaken += 1;
      if (job.overtaken <= MAX_OVERTAKEN) return true;
      job.reject(
        new Problem('unavailable', 'other intakes keep changing these certificates; try again', { rule: 'P1' }),
      );
      return false;
    });
    this.#waiting.unshift(...again);
  }

  /** @throws Problem `unavailable`; then it stays to be applied before anything else is taken. */
  async #applyPending(): Promise<'applied' | 'overtaken'> {
    if (this.#unapplied === undefined) return 'applied';
    const { changes, seqs, decidedOn } = this.#unapplied;
    let outcome: 'applied' | 'overtaken';
    try {
      outcome = await this.#ledger.apply(changes, seqs.at(-1) as number, decidedOn);
    } catch (error) {
      throw new Problem('unavailable', `the ledger cannot be written: ${(error as Error).message}`, { rule: 'P1' });
    }
    if (outcome === 'overtaken') {
      await this.#journal.append([
        {
          type: 'certificates.overtaken',
          actor: 'intake',
          description: `records ${seqs.join(', ')} did not happen: another intake was quicker; they are decided anew`,
          detail: { records: seqs },
        },
      ]);
    }
    this.#unapplied = undefined;
    return outcome;
  }
}

function overtakenSeqs(record: JournalRecord): readonly number[] {
  return (record.detail as { readonly records: readonly number[] }).records;
}

function receiptId(issuer: string, serial: Serial, revision: number): string {
  return `${issuer}.${serial}.${revision}`;
}

/** What is journalled is the name, so that a replay does not assign anew, whatever the layout is then (T-38). */
function shardFor(
  { crls, profile }: ServedIssuer,
  current: Certificate | undefined,
  said: Pick<Issuance, 'serial' | 'crlShard' | 'crlUrls' | 'isCa'>,
): string | undefined {
  // Of a certificate that nobody has seen, the issuer's profile says of which kind it is, unless it names its CRL.
  const assumed = said.crlShard === undefined && profile.issues === 'ca-certificates' ? true : undefined;
  return assignShard(crls, current, { ...said, isCa: said.isCa ?? assumed });
}

/** One imported row onto what is known: the certificate, and then its revocation if the row has one. Undefined: no change. */
function importRow(
  at: ServedIssuer,
  current: Certificate | undefined,
  row: ImportRow,
  nowMs: EpochMs,
): Certificate | undefined {
  let certificate = current;
  if (row.notAfter !== undefined) {
    const event = { ...row, notAfter: row.notAfter, crlShard: shardFor(at, current, row) };
    certificate = issue(at.tag, current, event, nowMs).certificate ?? current;
  } else if (current === undefined && row.revocation !== undefined) {
    // Known from a CRL alone: the CA's own signature says that it issued and revoked it; its end is not known.
    const { serial, precertificate, withoutOcsp, spkiHash } = row;
    checkPositive(serial);
    checkRepresentable('/notBefore', row.notBefore);
    certificate = {
      issuer: at.tag,
      serial,
      revision: 1,
      notBefore: row.notBefore,
      notAfter: undefined,
      precertificate,
      crlShard: shardKnownFromCrl(at, row),
      withoutOcsp,
      spkiHash,
      revocation: undefined,
      recordedAt: nowMs,
      recordedSeq: 0,
    };
  }
  if (row.revocation !== undefined) {
    const event: RevocationEvent = {
      serial: row.serial,
      reason: row.revocation.reason,
      revokedAt: row.revocation.revokedAt,
    };
    certificate = revoke(at.profile, certificate, event, nowMs).certificate ?? certificate;
  }
  if (certificate === current) return undefined;
  if (certificate !== undefined && current === undefined && certificate.revision > 1)
    return { ...certificate, revision: 1 };
  return certificate;
}

/**
 * Which certificate it is nobody knows yet: on the complete CRL it can wait for its shard. Without one it gets a shard at once, for it
 * must be on some CRL.
 */
function shardKnownFromCrl(at: ServedIssuer, row: ImportRow): string | undefined {
  return row.crlShard === undefined && at.crls.complete ? undefined : shardFor(at, undefined, row);
}
