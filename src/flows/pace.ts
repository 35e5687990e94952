/** Long work beside serving: it takes a share of the time and leaves the rest, and every step is a turn of the event loop. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';

export class Pace {
  readonly #clock: Clock;
  readonly #share: number;
  #since: EpochMs;

  /** @param share of the time, above 0; 1: it waits for nobody, but yields. */
  constructor(clock: Clock, share: number) {
    this.#clock = clock;
    this.#share = share;
    this.#since = clock.now();
  }

  /** Between two steps of a few milliseconds. */
  async breathe(): Promise<void> {
    const worked = this.#clock.now() - this.#since;
    const rest = Math.min(MOST_REST_MS, worked * (1 / this.#share - 1));
    // Shorter than a timer can tell: it adds up.
    if (this.#share < 1 && rest >= LEAST_REST_MS) {
      await new Promise<void>((resume) => this.#clock.after(rest, resume));
      this.#since = this.#clock.now();
    } else {
      await nextTurn();
      if (this.#share === 1 || worked < 0) this.#since = this.#clock.now();
    }
  }
}

const LEAST_REST_MS = 5;
/** Of one step: the wall clock may have been set. */
const MOST_REST_MS = 1000;
