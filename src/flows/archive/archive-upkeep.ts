/**
 * Keeps the archive: puts the issuers' certificates into it (CT-5.5.1-1, CT-6.3.1), has it copied, reads it again on a schedule (SR-5.5.7) and does what
 * an operator asks for, one thing at a time. What it does leaves a record in the audit log.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import type { JournalEntry } from '../../core/journal-record.ts';
import type { MetricSet } from '../../core/metric.ts';
import { Problem } from '../../core/problem.ts';
import { HOUR, MINUTE, rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { ArchiveReport, KeptArchive } from '../../ports/archive-upkeep.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { ChangeFeed, Ledger, ResponderShelf } from '../../ports/store.ts';
import { ArchiveCopier, type CopyView } from './archive-copy.ts';
import { planPrune, prune, type PrunePlan, type PruneReport } from './archive-prune.ts';
import { verifyArchive } from './archive-verify.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';

/** After the start: whatever else a start has to do comes first. */
const FIRST_LOOK_MS = 5 * MINUTE;
/** How long a timer is trusted, and when a verification that failed is tried again. */
const LOOK_AGAIN_MS = HOUR;
/** Of what a verification has found: the rest is in its report. */
const JOURNALLED_PROBLEMS = 50;

export interface UpkeepParts {
  readonly archive: KeptArchive;
  readonly copies: ArchiveCopies | undefined;
  readonly issuers: readonly ServedIssuer[];
  readonly store: ChangeFeed & Pick<Ledger, 'certificates'> & Pick<ResponderShelf, 'responders'>;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is being done, or was done last, at an operator's wish or by schedule. */
export type ArchiveJob = {
  readonly id: number;
  readonly kind: 'verify' | 'prune';
  readonly actor: string;
  readonly startedAt: EpochMs;
  readonly progress: { readonly items: number; readonly done: number; readonly total: number };
} & (
  | { readonly state: 'running' }
  | { readonly state: 'failed'; readonly why: string }
  | { readonly state: 'done'; readonly report: ArchiveReport | PruneReport | PrunePlan }
);

/** For the status page. From memory. */
export interface ArchiveView {
  readonly copies: CopyView | undefined;
  readonly verified: Pick<ArchiveReport, 'finishedAt' | 'crls'> | undefined;
  /** What the last verification has found and not mended. */
  readonly problems: number;
}

export class ArchiveKeeper {
  readonly #parts: UpkeepParts;
  readonly #copier: ArchiveCopier | undefined;
  #report: ArchiveReport | undefined;
  #job: ArchiveJob | undefined;
  #running: Promise<void> = Promise.resolve();
  #keeping: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(parts: UpkeepParts, set: MetricSet) {
    this.#parts = parts;
    const { archive, copies, store, clock, log } = parts;
    this.#copier = copies && new ArchiveCopier(archive, copies, store, clock, log, set);
    set.gauge(
      'certstatus_archive_verified_age_seconds',
      'Since the whole archive was last read again (SR-5.5.7); nothing before the first time.',
      () => (this.#report === undefined ? [] : [[{}, (clock.now() - this.#report.finishedAt) / SECOND]]),
    );
    set.gauge(
      'certstatus_archive_problems',
      'Number of problems that the last verification of the archive has found and not mended.',
      () => (this.#report === undefined ? [] : [[{}, unmended(this.#report)]]),
    );
    store.follow((event) => {
      if (event.type === 'responder') this.#keep(event.issuer, [event.der]);
    });
  }

  get view(): ArchiveView {
    return {
      copies: this.#copier?.view,
      verified: this.#report,
      problems: this.#report === undefined ? 0 : unmended(this.#report),
    };
  }

  get job(): ArchiveJob | undefined {
    return this.#job;
  }

  /** @param everyMs between two verifications. */
  async start(everyMs: number): Promise<void> {
    const { archive, issuers, clock } = this.#parts;
    this.#report = await archive.newestReport();
    for (const { tag, issuer, responders } of issuers)
      this.#keep(tag, [
        ...issuer.certificates.map(({ der }) => der),
        ...responders.list.map(({ certificate }) => certificate.der),
      ]);
    this.#copier?.start();
    this.#schedule(Math.max(FIRST_LOOK_MS, (this.#report?.finishedAt ?? 0) + everyMs - clock.now()), everyMs);
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#keeping;
    await this.#running;
    await this.#copier?.stop();
    this.#parts.copies?.close();
  }

  /** Begins a verification. @throws Problem `conflict` while something else is under way. */
  verify(actor: string, repair: boolean): ArchiveJob {
    const { archive, copies, clock, log } = this.#parts;
    return this.#begin('verify', actor, async (progress) => {
      const options = { actor, repair, progress, stopped: () => this.#stopped };
      const report = await verifyArchive(archive, copies, clock, options);
      await this.#journal('archive.verified', actor, `${report.crls} archived CRLs were read again`, {
        ...report,
        startedAt: rfc3339(report.startedAt),
        finishedAt: rfc3339(report.finishedAt),
        problems: report.problems.slice(0, JOURNALLED_PROBLEMS),
      });
      await archive.keepReport(report);
      this.#report = report;
      const left = unmended(report);
      for (const { where, name, message, rule, repaired } of report.problems.slice(0, JOURNALLED_PROBLEMS))
        log[repaired ? 'warn' : 'error']({ where, rule }, `${name}: ${message}${repaired ? '; mended' : ''}`);
      log[left === 0 ? 'info' : 'error'](
        { crls: report.crls, octets: report.octets, problems: left },
        'the archive was verified',
      );
      return report;
    });
  }

  /** Begins to remove what retention permits; with `remove` false it only says what. @throws Problem `conflict` */
  prune(served: ServedIssuer, actor: string, remove: boolean): ArchiveJob {
    const { archive, store, clock } = this.#parts;
    return this.#begin('prune', actor, async () => {
      const plan = await planPrune(served, archive, store, clock.now());
      return remove ? prune(served, plan, actor, this.#parts) : plan;
    });
  }

  #begin(
    kind: ArchiveJob['kind'],
    actor: string,
    run: (progress: { items: number; done: number; total: number }) => Promise<ArchiveReport | PruneReport | PrunePlan>,
  ): ArchiveJob {
    if (this.#job?.state === 'running')
      throw new Problem('conflict', `${this.#job.actor} has begun to ${this.#job.kind} the archive`, {
        field: 'archive',
      });
    const progress = { items: 0, done: 0, total: 0 };
    const id = (this.#job?.id ?? 0) + 1;
    const about = { id, kind, actor, startedAt: this.#parts.clock.now(), progress };
    const job: ArchiveJob = { ...about, state: 'running' };
    this.#job = job;
    this.#running = run(progress).then(
      (report) => void (this.#job = { ...about, state: 'done', report }),
      (error: unknown) => {
        const why = error instanceof Problem ? error.line : (error as Error).message;
        if (!this.#stopped) this.#parts.log.error({ err: error }, `archive ${kind}: ${why}`);
        this.#job = { ...about, state: 'failed', why };
      },
    );
    return job;
  }

  #schedule(delayMs: number, everyMs: number): void {
    this.#timer = this.#parts.clock.after(Math.min(delayMs, LOOK_AGAIN_MS), () => {
      if (this.#stopped) return;
      const due = (this.#report?.finishedAt ?? 0) + everyMs <= this.#parts.clock.now();
      if (due && this.#job?.state !== 'running') this.verify('service', false);
      void this.#running.then(() => {
        if (!this.#stopped) this.#schedule(LOOK_AGAIN_MS, everyMs);
      });
    });
  }

  /** One after the other. What fails is tried at the next start, and said. */
  #keep(issuer: IssuerTag, certificates: readonly Buffer[]): void {
    const { archive, log } = this.#parts;
    this.#keeping = this.#keeping
      .then(async () => {
        for (const der of certificates) await archive.keepCertificate(issuer, der);
        this.#copier?.copyCertificates(issuer);
      })
      .catch((error: unknown) => log.error({ err: error }, 'a certificate cannot be archived'));
  }

  async #journal(type: JournalEntry['type'], actor: string, description: string, detail: object): Promise<void> {
    await this.#parts.journal.append([{ type, actor, description, detail: { ...detail } }]);
  }
}

function unmended({ problems }: ArchiveReport): number {
  return problems.filter(({ repaired }) => !repaired).length;
}
