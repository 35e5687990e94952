/**
 * Whether the machine's clock is right: against an NTP server where one is configured, against Redis as a second opinion, and
 * against its own monotonic clock, which shows when it was set (SJ-5.5.5, CT-6.8, L-22; steps are records as in SJ-5.4.1.2).
 *
 * What is signed says when it was signed, so a clock that is off by more than `most` stops the signing (`fault`), where `most` is
 * configured; without it there is a warning. A server that does not answer says nothing about the clock: then signing goes on.
 *
 *  1. steps     every second: the wall clock against the monotonic one. A step moves what is known of the offset at once.
 *  2. offset    every few minutes, and soon after a step or while the clock is off.
 *  3. verdict   NTP's word; that of Redis where there is no NTP.
 */
import type { JournalEntry } from '../../core/journal-record.ts';
import type { MetricSet, Slot } from '../../core/metric.ts';
import { formatDuration, MINUTE, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock, SteadyClock, Timer } from '../../ports/clock.ts';
import type { TimeSource } from '../../ports/host.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Log } from '../log.ts';

const TICK_MS = SECOND;
/** NTP slews by less than a thousandth; what is more within a tick was set. */
const STEP_MS = 250;
/** After a step, a failure, or while the clock is off. */
const SOON_MS = 10 * SECOND;
/** Without a limit: an answer's times are whole seconds, and clients allow for minutes. */
const WARN_MS = SECOND;
/** An offset is forgotten when its server has not answered for so many questions. */
const MOST_FAILURES = 3;

export interface ClockWatchParts {
  readonly clock: Clock;
  readonly steady: SteadyClock;
  /** Undefined: nobody is asked. */
  readonly source: TimeSource | undefined;
  readonly everyMs: number;
  /** Beyond it nothing is signed; undefined: then it is only said. */
  readonly mostMs: number | undefined;
  /** How much this clock is ahead of that of Redis, if there is one. */
  readonly aheadOfStoreMs: () => number | undefined;
  /** Undefined in a process that records nothing. */
  readonly journal: Journal | undefined;
  readonly log: Log;
}

export class ClockWatch {
  readonly #parts: ClockWatchParts;
  readonly #listeners: (() => void)[] = [];
  readonly #steps: Slot;
  #before: { readonly wall: EpochMs; readonly steadyMs: number };
  #ahead: number | undefined;
  #failures = 0;
  #askAt: number;
  #asking: Promise<void> | undefined;
  #fault: string | undefined;
  #warned = false;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(set: MetricSet, parts: ClockWatchParts) {
    this.#parts = parts;
    this.#before = this.#now();
    this.#askAt = this.#before.steadyMs;
    set.gauge(
      'certstatus_clock_offset_seconds',
      'How much the clock of this machine is ahead of another one: that of the NTP server, or of Redis. Below 0 it is behind.',
      () =>
        Object.entries(this.offsets).flatMap(([against, ms]) =>
          ms === undefined ? [] : [[{ against }, ms / SECOND] as const],
        ),
    );
    this.#steps = set.counter(
      'certstatus_clock_steps_total',
      'Times that the clock of this machine was set while the service ran, by more than a quarter of a second.',
    );
  }

  /** In milliseconds. */
  get offsets(): { readonly ntp: number | undefined; readonly redis: number | undefined } {
    return { ntp: this.#ahead, redis: this.#parts.aheadOfStoreMs() };
  }

  /** Why nothing may be signed now, in words for an operator; undefined when it may. From memory. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Told when signing must end, and when it may go on. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  start(): void {
    this.#tick();
  }

  /** Resolves when nobody is being asked. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#asking;
  }

  #tick(): void {
    this.#lookForStep();
    this.#judge();
    if (this.#askAt <= this.#before.steadyMs) this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    if (!this.#stopped) this.#timer = this.#parts.clock.after(TICK_MS, () => this.#tick());
  }

  #lookForStep(): void {
    const { wall, steadyMs } = this.#before;
    this.#before = this.#now();
    const stepMs = this.#before.wall - wall - (this.#before.steadyMs - steadyMs);
    if (Math.abs(stepMs) < STEP_MS) return;
    this.#steps.value += 1;
    if (this.#ahead !== undefined) this.#ahead += stepMs;
    this.#askAt = this.#before.steadyMs;
    const from = rfc3339(wholeSecond(this.#before.wall - stepMs));
    const to = rfc3339(wholeSecond(this.#before.wall));
    const description = `the clock was set ${stepMs < 0 ? 'back' : 'forward'} by ${words(stepMs)}, from ${from} to ${to}`;
    this.#parts.log.warn({ stepMs: Math.round(stepMs) }, description);
    this.#record({
      type: 'clock.stepped',
      actor: 'clock',
      description,
      detail: { stepMs: Math.round(stepMs), from, to },
    });
  }

  async #ask(): Promise<void> {
    const { source, everyMs, log } = this.#parts;
    if (source === undefined) return void (this.#askAt = Infinity);
    try {
      this.#ahead = await source.aheadMs();
      if (this.#failures > 0) log.info({ source: source.describe }, 'the NTP server answers again');
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1)
        log.warn({ err: error, source: source.describe }, 'the NTP server does not say what time it is; trying again');
      if (this.#failures >= MOST_FAILURES) this.#ahead = undefined;
    }
    this.#judge();
    const soon = this.#failures > 0 || this.#fault !== undefined;
    this.#askAt = this.#now().steadyMs + (soon ? Math.min(SOON_MS, everyMs) : everyMs);
  }

  #judge(): void {
    const { mostMs, source, log } = this.#parts;
    const { ntp, redis } = this.offsets;
    const ahead = ntp ?? redis;
    const of = ntp === undefined ? 'Redis' : (source?.describe ?? 'NTP');
    const off = ahead !== undefined && Math.abs(ahead) > (mostMs ?? WARN_MS);
    const text = `the clock is ${words(ahead ?? 0)} ${(ahead ?? 0) < 0 ? 'behind' : 'ahead of'} ${of}`;
    const detail = {
      ...(ntp !== undefined && { aheadOfNtpMs: Math.round(ntp) }),
      ...(redis !== undefined && { aheadOfRedisMs: Math.round(redis) }),
    };
    const isFault = off && mostMs !== undefined;
    const changed = isFault !== (this.#fault !== undefined);
    if (isFault) this.#fault = `${text}, more than ${formatDuration(mostMs)}: set it; nothing is signed until then`;
    else this.#fault = undefined;
    if (off && !this.#warned)
      log[isFault ? 'error' : 'warn'](detail, this.#fault ?? `${text}: see to its time service`);
    if (!off && this.#warned) log.info(detail, 'the clock is right again');
    this.#warned = off;
    if (!changed) return;
    this.#record({
      type: isFault ? 'clock.off' : 'clock.right',
      actor: 'clock',
      description: this.#fault ?? 'the clock is right again; signing resumes',
      detail,
    });
    for (const listener of this.#listeners) listener();
  }

  #record(entry: JournalEntry): void {
    this.#parts.journal
      ?.append([entry])
      .catch((error: unknown) =>
        this.#parts.log.error({ err: error }, 'what became of the clock could not be recorded'),
      );
  }

  #now(): { readonly wall: EpochMs; readonly steadyMs: number } {
    return { wall: this.#parts.clock.now(), steadyMs: this.#parts.steady.steadyMs() };
  }
}

/** `1.8 s`; from minutes on as durations are written. */
function words(ms: number): string {
  const length = Math.abs(ms);
  return length < MINUTE ? `${(length / SECOND).toFixed(1)} s` : formatDuration(wholeSecond(length));
}
