/** A clock that stands until it is turned. */
import type { Clock, Timer } from '../../src/ports/clock.ts';
import type { EpochMs } from '../../src/core/time.ts';

export class TurnedClock implements Clock {
  #now: EpochMs;
  #timers: { readonly at: EpochMs; readonly run: () => void }[] = [];

  constructor(now: EpochMs) {
    this.#now = now;
  }

  now(): EpochMs {
    return this.#now;
  }

  after(delayMs: number, run: () => void): Timer {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  /** Moves on by `ms` (back when negative, as after an NTP step) and runs what has come due. */
  turn(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { run } of due) run();
  }
}
