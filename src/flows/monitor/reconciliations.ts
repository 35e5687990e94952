/**
 * Reconciliations (reconcile.ts) of this process: asked for, or again and again in the monitor role. One at a time, because each
 * takes its share of the process.
 */
import { randomUUID } from 'node:crypto';
import type { MetricSet } from '../../core/metric.ts';
import { Problem } from '../../core/problem.ts';
import { summary, type ReconcileProgress, type ReconcileReport } from '../../core/reconcile/report.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Timer } from '../../ports/clock.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';
import { reconcile, type ReconcileParts } from './reconcile.ts';

/** After a run that could not be finished. */
const AGAIN_MS = MINUTE;
/** Finished runs that can still be asked for. */
const REMEMBERED = 16;
/** Differences that are listed by a run that nobody asked for. */
const USUAL_LIMIT = 100;

export interface ReconciliationView {
  readonly id: string;
  readonly state: 'waiting' | 'running' | 'paused' | 'done' | 'failed';
  readonly progress: ReconcileProgress;
  readonly report?: ReconcileReport;
  readonly problem?: string;
}

interface Run {
  readonly id: string;
  readonly issuers: readonly ServedIssuer[];
  readonly limit: number;
  readonly actor: string;
  state: ReconciliationView['state'];
  progress: ReconcileProgress;
  report: ReconcileReport | undefined;
  problem: string | undefined;
}

interface LastRun {
  readonly report: ReconcileReport;
  readonly at: EpochMs;
  readonly tookMs: number;
}

export interface ReconciliationsParts extends ReconcileParts {
  readonly issuers: readonly ServedIssuer[];
  readonly log: Log;
  /** Of the process's time. */
  readonly share: number;
  /** How many certificates the issuers have, about; undefined when nobody has counted. */
  readonly expected: (issuers: readonly ServedIssuer[]) => number | undefined;
}

export class Reconciliations {
  readonly #parts: ReconciliationsParts;
  #runs: Run[] = [];
  #working: Promise<void> | undefined;
  #timer: Timer | undefined;
  #everyMs: number | undefined;
  #wake: (() => void) | undefined;
  #stopped = false;
  /** Of the last run over all issuers. */
  #last: LastRun | undefined;

  constructor(parts: ReconciliationsParts) {
    this.#parts = parts;
  }

  registerGauges(set: MetricSet): void {
    const { clock } = this.#parts;
    const ofLast = (name: string, help: string, read: (last: LastRun) => number): void =>
      set.gauge(name, help, () => (this.#last === undefined ? [] : [[{}, read(this.#last)] as const]));
    ofLast(
      'certstatus_reconcile_differences',
      'Where ledger, OCSP and CRLs did not say the same when they were last compared. Limit 0 (SR-2.2-a).',
      ({ report }) => report.differences,
    );
    ofLast(
      'certstatus_reconcile_age_seconds',
      'Since ledger, OCSP and CRLs were last compared as a whole.',
      ({ at }) => (clock.now() - at) / SECOND,
    );
    ofLast(
      'certstatus_reconcile_duration_seconds',
      'How long the last comparison took.',
      ({ tookMs }) => tookMs / SECOND,
    );
    set.gauge(
      'certstatus_certificates_without_answer',
      'Number of certificates that have not expired and of which OCSP could say nothing when ledger, OCSP and CRLs were last compared; limit 0 (CT-4.10.2-b).',
      () => (this.#last?.report.issuers ?? []).map(({ id, withoutAnswer }) => [{ issuer: id }, withoutAnswer] as const),
    );
    set.gauge(
      'certstatus_reconcile_pending',
      'Of the last comparison: recorded, and within the permitted time not published yet, by channel.',
      () =>
        this.#last === undefined
          ? []
          : (['ocsp', 'crl'] as const).map(
              (channel) => [{ channel }, this.#last?.report.pending[channel].count ?? 0] as const,
            ),
    );
  }

  /** Now, and `everyMs` after each has ended. */
  start(everyMs: number): void {
    this.#everyMs = everyMs;
    if (!this.#runs.some(({ state }) => state === 'waiting' || state === 'running'))
      this.ask(this.#parts.issuers, USUAL_LIMIT, 'monitor');
  }

  /** Resolves when none is under way; those that are end without a report. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#wake?.();
    await this.#working;
  }

  /** Begins when those before it have ended. */
  ask(issuers: readonly ServedIssuer[], limit: number, actor: string): ReconciliationView {
    const progress = { certificates: 0, entries: 0, differences: 0 };
    const id = randomUUID();
    const run: Run = { id, issuers, limit, actor, state: 'waiting', progress, report: undefined, problem: undefined };
    this.#runs = [...this.#runs.slice(-REMEMBERED), run];
    this.#working ??= this.#work();
    return view(run);
  }

  /** @throws Problem `not-found` */
  view(id: string): ReconciliationView {
    return view(this.#named(id));
  }

  /** @throws Problem `not-found`, `conflict` when it has ended. */
  pause(id: string, paused: boolean): ReconciliationView {
    const run = this.#named(id);
    if (run.state !== 'running' && run.state !== 'paused')
      throw new Problem('conflict', `this reconciliation is ${run.state}`, { field: 'id', value: id });
    run.state = paused ? 'paused' : 'running';
    if (!paused) this.#wake?.();
    return view(run);
  }

  #named(id: string): Run {
    const run = this.#runs.find((one) => one.id === id);
    if (run === undefined) throw new Problem('not-found', 'no such reconciliation', { field: 'id', value: id });
    return run;
  }

  async #work(): Promise<void> {
    await Promise.resolve();
    for (;;) {
      const run = this.#runs.find(({ state }) => state === 'waiting');
      if (run === undefined || this.#stopped) break;
      await this.#do(run);
    }
    this.#working = undefined;
    this.#again();
  }

  async #do(run: Run): Promise<void> {
    const { clock, log, share, issuers, expected } = this.#parts;
    const startedAt = clock.now();
    const total = expected(run.issuers);
    run.state = 'running';
    try {
      const { limit, actor } = run;
      const report = await reconcile(this.#parts, { issuers: run.issuers, limit, share, actor }, async (progress) => {
        run.progress = { ...progress, ...(total !== undefined && { expected: total }) };
        while (run.state === 'paused' && !this.#stopped) await new Promise<void>((wake) => (this.#wake = wake));
        if (this.#stopped) throw new Problem('unavailable', 'the service stops', { field: 'reconcile' });
      });
      run.report = report;
      run.state = 'done';
      if (run.issuers.length === issuers.length)
        this.#last = { report, at: clock.now(), tookMs: clock.now() - startedAt };
      if (report.differences === 0) log.info({ run: run.id }, summary(report));
      else log.error({ run: run.id, listed: report.listed.slice(0, 10) }, summary(report));
    } catch (error) {
      run.state = 'failed';
      run.problem = error instanceof Problem ? error.line : (error as Error).message;
      if (!this.#stopped) log.error({ err: error }, 'ledger, OCSP and CRLs could not be compared');
    }
  }

  #again(): void {
    if (this.#everyMs === undefined || this.#stopped) return;
    this.#timer?.cancel();
    const failed = this.#runs.at(-1)?.state === 'failed';
    this.#timer = this.#parts.clock.after(failed ? AGAIN_MS : this.#everyMs, () => {
      this.ask(this.#parts.issuers, USUAL_LIMIT, 'monitor');
    });
  }
}

function view({ id, state, progress, report, problem }: Run): ReconciliationView {
  return { id, state, progress, ...(report && { report }), ...(problem !== undefined && { problem }) };
}
