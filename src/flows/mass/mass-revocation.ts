/**
 * Mass revocations: from a plan to every certificate revoked in OCSP and on its CRLs (CT-5.7.1.2-a, CT-5.7.1.1-b, SR-5.8).
 *
 *  1. verify    the list against the plan's digest: what was shown is what is done.
 *  2. journal   who starts what, before anything is revoked. A crash after it and before 3: the person starts again.
 *  3. keep      the run. From here on it goes on by itself, also after a crash.
 *  4. record    the list in batches through the Recorder, in the mass lane. From then on no `good` is served of them (P2), whoever
 *               asks for one has it signed at once, and the next CRL lists them.
 *  5. save      how far it is, once a second. A crash before: some lines are looked at again, and found revoked.
 *  6. watch     until the mass lane is empty and every CRL of the plan has everything in it; then the figures are journalled.
 *
 * One at a time: a second one would not be done sooner, and nobody could say what the lane's length means.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import { criteriaText } from '../../core/mass/order.ts';
import { planDigest, type MassPlan } from '../../core/mass/plan.ts';
import { NO_COUNTS, paceOf, type MassRun, type Pace, type Sample } from '../../core/mass/run.ts';
import { Problem } from '../../core/problem.ts';
import { SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { ListedCertificate, MassShelf } from '../../ports/mass-shelf.ts';
import type { ChangeFeed, CrlShelf, Ledger, RefreshQueue, StoreEvent } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';
import type { MassOutcome, Recorder } from '../record.ts';
import { ListingWatch } from './listing-watch.ts';
import { SingleRevocations } from './single-revocations.ts';

export interface MassParts {
  readonly issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly shelf: MassShelf;
  readonly store: Ledger & RefreshQueue & Pick<CrlShelf, 'current'> & ChangeFeed;
  readonly recorder: Recorder;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of one run, for people and gauges. */
export interface MassView extends Pace {
  readonly plan: MassPlan;
  readonly run: MassRun;
  /** Revoked, and without an answer that says so. */
  readonly waiting: number;
  /** Why it does not go on by itself at the moment. */
  readonly failure: string | undefined;
}

type MassRecord = `mass.${'started' | 'paused' | 'resumed' | 'aborted' | 'recorded' | 'finished' | 'discarded'}`;

/** Lines per journal record: a single revocation waits for two of them at most, which is a few tens of milliseconds. */
const BATCH = 500;
/** So that the next batch is there when the recorder has done with one. */
const BATCHES_UNDER_WAY = 2;
const TICK_MS = SECOND;
/** Rates are of the last half minute. */
const SAMPLES = 30;
const RETRY_MS = 5 * SECOND;

interface Active {
  readonly plan: MassPlan;
  run: MassRun;
  samples: Sample[];
  failure: string | undefined;
  readonly listing: ListingWatch;
}

export class MassRevocations {
  readonly #parts: MassParts;
  #active: Active | undefined;
  /** Recording, while it does. */
  #working: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = true;
  /** Starts, pauses and ends one after the other: two starts at once are one start. */
  #turn: Promise<unknown> = Promise.resolve();
  #saving: Promise<unknown> = Promise.resolve();
  readonly #singles = new SingleRevocations();

  constructor(parts: MassParts) {
    this.#parts = parts;
    parts.store.follow((event) => this.#follow(event));
  }

  /** Goes on with what was under way when the process ended. */
  async start(): Promise<void> {
    this.#stopped = false;
    await this.adopt();
  }

  /** Knows what was under way, so that it can be changed; without `start` nothing is recorded. */
  async adopt(): Promise<void> {
    await this.#inTurn(async () => {
      for (const plan of await this.#parts.shelf.plans()) {
        const run = await this.#parts.shelf.run(plan.id);
        if (run === undefined || run.state === 'done' || run.state === 'aborted') continue;
        this.#go(plan, run);
        return;
      }
    });
  }

  /** Resolves when nothing is being recorded; the next start goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#turn;
    await this.#working;
    if (this.#active !== undefined) await this.#save(this.#active).catch(() => undefined);
  }

  /** The one under way, or paused. From memory. */
  get active(): MassView | undefined {
    return this.#active && this.#viewOf(this.#active);
  }

  async view(id: string): Promise<MassView | undefined> {
    if (this.#active?.plan.id === id) return this.#viewOf(this.#active);
    const plan = await this.#parts.shelf.plan(id);
    const run = plan && (await this.#parts.shelf.run(id));
    if (plan === undefined || run === undefined) return undefined;
    return { plan, run, waiting: 0, failure: undefined, ...paceOf([], run.counts.lines, 0) };
  }

  /**
   * Starts it. Again, or twice at once: the same run.
   * @param digest of the plan, or its beginning: what a second person has read out.
   * @throws Problem `not-found`, `conflict` when another one is under way or the digest is not the plan's, `corrupt`.
   */
  begin(id: string, digest: string | undefined, actor: string): Promise<MassView> {
    return this.#inTurn(async () => {
      const { shelf, clock } = this.#parts;
      const plan = await shelf.plan(id);
      if (plan === undefined)
        throw new Problem('not-found', 'there is no such plan here', { field: 'plan', value: id });
      if (planDigest(plan) !== plan.digest)
        throw new Problem('corrupt', 'the plan was altered after it was made', { field: 'plan', value: id });
      if (digest !== undefined && (digest.length < 8 || !plan.digest.startsWith(digest.toLowerCase())))
        throw new Problem('conflict', `the plan has the digest ${plan.digest}`, { field: '/digest', value: digest });
      const begun = await this.view(id);
      if (begun !== undefined) return begun;
      if (this.#active !== undefined) throw underWay(this.#active);
      if (plan.counts.selected === 0)
        throw new Problem('conflict', 'the plan has selected no certificate', { field: 'plan', value: id });
      for (const { id: issuer, tag } of plan.issuers)
        if (!this.#parts.issuers.has(tag))
          throw new Problem('conflict', 'an issuer of the plan is not configured any more', {
            field: 'plan',
            value: issuer,
          });
      await shelf.verifyList(plan);
      const startedAt = wholeSecond(clock.now());
      await this.#journal(
        'mass.started',
        plan,
        actor,
        `${plan.counts.selected} certificates, ${criteriaText(plan.criteria, plan.listed)}`,
        { digest: plan.digest, list: plan.list.sha256, order: plan.order, startedAt },
      );
      const singles = { count: 0, worstMs: 0 };
      const run: MassRun = { plan: id, state: 'recording', startedAt, startedBy: actor, counts: NO_COUNTS, singles };
      await shelf.saveRun(run, true);
      return this.#viewOf(this.#go(plan, run));
    });
  }

  /**
   * Removes a plan that was never started, so that nobody starts it by mistake.
   * @throws Problem `not-found`, or `conflict` for one that was started: it is evidence.
   */
  discard(id: string, actor: string): Promise<void> {
    return this.#inTurn(async () => {
      const { shelf } = this.#parts;
      const plan = await shelf.plan(id);
      if (plan === undefined)
        throw new Problem('not-found', 'there is no such plan here', { field: 'plan', value: id });
      const begun = await this.view(id);
      if (begun !== undefined)
        throw new Problem('conflict', `it was started and is ${begun.run.state}: it stays, as evidence; mass abort ends one that runs`, { field: 'plan', value: id }); // prettier-ignore
      await this.#journal('mass.discarded', plan, actor, `${plan.counts.selected} certificates, never started`, {
        digest: plan.digest,
      });
      await shelf.discard(id);
    });
  }

  pause(id: string, actor: string): Promise<MassView> {
    return this.#change(id, ['recording'], async (active) => {
      active.run = { ...active.run, state: 'paused' };
      await this.#working;
      await this.#journal('mass.paused', active.plan, actor, progressText(active), {});
      await this.#save(active);
    });
  }

  resume(id: string, actor: string): Promise<MassView> {
    return this.#change(id, ['paused'], async (active) => {
      await this.#journal('mass.resumed', active.plan, actor, progressText(active), {});
      active.run = { ...active.run, state: 'recording' };
      await this.#save(active);
      this.#work(active);
    });
  }

  /** Ends the recording for good. What is recorded stays revoked (T-29), is signed and on the CRLs. */
  abort(id: string, actor: string): Promise<MassView> {
    return this.#change(id, ['recording', 'paused'], async (active) => {
      active.run = { ...active.run, state: 'aborted' };
      await this.#working;
      active.run = { ...active.run, endedAt: this.#parts.clock.now() };
      await this.#journal('mass.aborted', active.plan, actor, progressText(active), { counts: active.run.counts });
      await this.#save(active);
      this.#timer?.cancel();
      this.#active = undefined;
    });
  }

  #change(id: string, from: readonly MassRun['state'][], change: (active: Active) => Promise<void>): Promise<MassView> {
    return this.#inTurn(async () => {
      const active = this.#active;
      if (active?.plan.id !== id) {
        const ended = await this.view(id);
        throw ended === undefined
          ? new Problem('not-found', 'it was not started here', { field: 'plan', value: id })
          : new Problem('conflict', `it is ${ended.run.state}`, { field: 'plan', value: id });
      }
      if (!from.includes(active.run.state))
        throw new Problem('conflict', `it is ${active.run.state}`, { field: 'plan', value: id });
      const before = active.run.state;
      try {
        await change(active);
      } catch (error) {
        // The journal could not be written: nothing has changed, and it goes on as before.
        active.run = { ...active.run, state: before };
        if (before === 'recording') this.#work(active);
        throw error;
      }
      return this.#viewOf(active);
    });
  }

  #go(plan: MassPlan, run: MassRun): Active {
    const active: Active = {
      plan,
      run,
      samples: [],
      failure: undefined,
      listing: new ListingWatch(plan, this.#parts.shelf, this.#parts.store),
    };
    this.#active = active;
    this.#singles.clear();
    if (run.state === 'recording') this.#work(active);
    this.#tick();
    return active;
  }

  #work(active: Active): void {
    if (this.#working !== undefined || this.#stopped) return;
    this.#working = this.#record(active)
      .then(
        () => (active.failure = undefined),
        (error: unknown) => {
          active.failure = (error as Error).message;
          this.#parts.log.error({ err: error, plan: active.plan.id }, 'the mass revocation waits; trying again');
          this.#parts.clock.after(RETRY_MS, () => {
            if (active.run.state === 'recording' && this.#active === active) this.#work(active);
          });
        },
      )
      .finally(() => (this.#working = undefined));
  }

  async #record(active: Active): Promise<void> {
    const { plan } = active;
    const underWay: Promise<MassOutcome>[] = [];
    const settle = async (): Promise<void> => this.#count(active, await (underWay.shift() as Promise<MassOutcome>));
    const goesOn = (): boolean => active.run.state === 'recording' && !this.#stopped;
    try {
      for await (const page of this.#parts.shelf.list(plan, active.run.counts.lines, BATCH)) {
        for (const batch of byIssuer(page)) {
          if (!goesOn()) break;
          const outcome = this.#batch(active, batch);
          // A later one that fails first is not unhandled meanwhile.
          outcome.catch(() => undefined);
          underWay.push(outcome);
          if (underWay.length >= BATCHES_UNDER_WAY) await settle();
          active.failure = undefined;
        }
        if (!goesOn()) break;
      }
      while (underWay.length > 0) await settle();
    } catch (error) {
      // What came after the batch that failed is not counted: `lines` is where the next try begins.
      await Promise.allSettled(underWay);
      throw error;
    }
    if (!goesOn()) return;
    active.run = { ...active.run, state: 'signing', recordedAt: this.#parts.clock.now() };
    const { counts } = active.run;
    await this.#journal('mass.recorded', plan, 'intake', progressText(active), { counts });
    await this.#save(active);
  }

  #batch({ plan, run }: Active, { issuer, serials }: Batch): Promise<MassOutcome> {
    const at = this.#parts.issuers.get(issuer);
    if (at === undefined) throw new Problem('conflict', 'an issuer of the plan is not configured any more');
    const { order } = plan;
    return this.#parts.recorder.revokeMany(
      at,
      serials,
      { plan: plan.id, order, startedAt: run.startedAt },
      run.startedBy,
    );
  }

  #count(active: Active, { firstRefused, ...outcome }: MassOutcome): void {
    const { counts } = active.run;
    const sum = { ...counts };
    for (const field of Object.keys(counts) as (keyof typeof counts)[]) sum[field] += outcome[field];
    const first = active.run.firstRefused ?? firstRefused;
    active.run = { ...active.run, counts: sum, ...(first !== undefined && { firstRefused: first }) };
  }

  #tick(): void {
    this.#timer?.cancel();
    if (this.#stopped || this.#active === undefined) return;
    this.#timer = this.#parts.clock.after(TICK_MS, () => {
      const active = this.#active;
      if (active === undefined) return;
      void this.#look(active)
        .catch((error: unknown) =>
          this.#parts.log.warn({ err: error, plan: active.plan.id }, 'the mass revocation could not be looked at'),
        )
        .finally(() => this.#tick());
    });
  }

  async #look(active: Active): Promise<void> {
    const { clock } = this.#parts;
    const waiting = this.#waiting();
    const at = clock.now();
    const { lines, revoked } = active.run.counts;
    active.samples = [...active.samples.slice(1 - SAMPLES), { at, lines, signed: revoked - waiting }];
    if (active.run.state === 'signing') {
      if (waiting === 0 && active.run.ocspAt === undefined) active.run = { ...active.run, ocspAt: at };
      if (active.run.crlAt === undefined && (await active.listing.done())) active.run = { ...active.run, crlAt: at };
      if (active.run.ocspAt !== undefined && active.run.crlAt !== undefined) return this.#finish(active);
    }
    await this.#save(active, 'recording');
  }

  /**
   * The run as it is when its turn to be written has come, so that an older state never lands on a newer one.
   * @param only not durable, and only in this state: what a person changes is journalled first.
   */
  #save(active: Active, only?: MassRun['state']): Promise<void> {
    const saved = this.#saving.then(async () => {
      if (only === undefined || active.run.state === only)
        await this.#parts.shelf.saveRun(active.run, only === undefined);
    });
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  async #finish(active: Active): Promise<void> {
    const { clock, shelf } = this.#parts;
    const { startedAt, counts, recordedAt, ocspAt, crlAt, singles } = active.run;
    const endedAt = clock.now();
    await this.#journal('mass.finished', active.plan, 'intake', progressText(active), {
      counts,
      startedAt,
      recordedAt,
      ocspAt,
      crlAt,
      singles,
    });
    active.run = { ...active.run, state: 'done', endedAt };
    await this.#save(active);
    const seconds = ((ocspAt as EpochMs) - startedAt) / SECOND;
    // Of a few certificates it would say how long a tick is.
    if (counts.revoked >= 10_000)
      await shelf.saveRate({ certificatesPerSecond: counts.revoked / seconds, source: 'mass revocation', at: endedAt });
    this.#active = undefined;
  }

  #follow(event: StoreEvent): void {
    const active = this.#active;
    if (active === undefined) return;
    active.listing.follow(event);
    const tookMs = this.#singles.follow(event, this.#parts.clock.now());
    if (tookMs === undefined) return;
    const { count, worstMs } = active.run.singles;
    active.run = { ...active.run, singles: { count: count + 1, worstMs: Math.max(worstMs, tookMs) } };
  }

  #waiting(): number {
    return this.#parts.store.backlog('mass', Infinity);
  }

  #viewOf({ plan, run, samples, failure }: Active): MassView {
    const waiting = this.#waiting();
    const unrecorded = Math.max(0, plan.counts.selected - run.counts.lines);
    return { plan, run, waiting, failure, ...paceOf(samples, plan.counts.selected, waiting + unrecorded) };
  }

  async #journal(type: MassRecord, plan: MassPlan, actor: string, what: string, detail: object): Promise<void> {
    const description = `mass revocation ${plan.id} ${type.slice('mass.'.length)}: ${what}`;
    await this.#parts.journal.append([{ type, actor, description, detail: { plan: plan.id, ...detail } }]);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

interface Batch {
  readonly issuer: IssuerTag;
  readonly serials: ListedCertificate['serial'][];
}

/** The page in runs of one issuer, in order. */
function byIssuer(page: readonly ListedCertificate[]): readonly Batch[] {
  const batches: Batch[] = [];
  for (const { issuer, serial } of page) {
    const last = batches.at(-1);
    if (last?.issuer === issuer) last.serials.push(serial);
    else batches.push({ issuer, serials: [serial] });
  }
  return batches;
}

function progressText({ plan, run: { counts } }: Active): string {
  return `${counts.revoked} revoked, ${counts.lines} of ${plan.counts.selected} lines done`;
}

function underWay({ plan, run }: Active): Problem {
  return new Problem('conflict', `mass revocation ${plan.id} is ${run.state}; one at a time`, { field: 'plan' });
}
