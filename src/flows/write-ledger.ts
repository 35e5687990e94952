/**
 * The ledger's only writer: decisions in groups, each journalled, then applied, then acknowledged.
 *
 *  1. decide    each request against the ledger, as the requests before it in the group have left it. One that is rejected has
 *               changed nothing, and the rest goes on.
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
import type { Certificate, IssuerTag } from '../core/certificate.ts';
import { changesOf, requireReplayable, type JournalEntry, type JournalRecord } from '../core/journal-record.ts';
import { certificateKey } from '../core/precedence.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import type { EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { Change, Ledger } from '../ports/store.ts';

/**
 * What one request wants, given what is known of its certificates. Throws a Problem to reject the request. No entry: nothing
 * changes, nothing to journal.
 */
export type Decide<T> = (
  known: (serial: Serial) => Certificate | undefined,
  nowMs: EpochMs,
) => { readonly entry: JournalEntry | undefined; readonly result: T };

/** Another intake may be quicker, and again; then the caller is asked to try later rather than to wait for ever. */
const MAX_OVERTAKEN = 10;

/** Of a group of several requests: as many as one may have. A shared store changes the ledger in one step, and nobody else meanwhile. */
const MAX_GROUP_ITEMS = 10_000;

interface Job<T> {
  readonly issuer: IssuerTag;
  readonly serials: readonly Serial[];
  readonly decide: Decide<T>;
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

export class LedgerWriter {
  readonly #ledger: Ledger;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #told: (record: JournalRecord) => void;
  #waiting: Job<unknown>[] = [];
  #working: Promise<void> | undefined;
  /** Journalled but not applied, because the ledger failed: nothing else is taken before it is in. */
  #unapplied: Unapplied | undefined;
  /** Everything journalled is in the ledger, or in #unapplied. Until then nothing is taken: its record would hide what is missing. */
  #inStep = false;
  /** Waits for its turn in #drain. */
  #repair: { readonly resolve: (count: number) => void; readonly reject: (error: unknown) => void } | undefined;

  /** @param told of each record that has happened. */
  constructor(ledger: Ledger, journal: Journal, clock: Clock, told: (record: JournalRecord) => void) {
    this.#ledger = ledger;
    this.#journal = journal;
    this.#clock = clock;
    this.#told = told;
  }

  /**
   * Decides in its turn, and resolves when what was decided is durable and applied.
   * @param serials all that `decide` asks about.
   * @throws what `decide` throws; Problem `unavailable` when it could not be written, and nobody may rely on it.
   */
  write<T>(issuer: IssuerTag, serials: readonly Serial[], decide: Decide<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ issuer, serials, decide, resolve, reject, overtaken: 0 } as Job<unknown>);
      this.#working ??= this.#drain();
    });
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
        records.forEach((record) => this.#told(record));
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
