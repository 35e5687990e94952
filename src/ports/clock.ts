/** Time, so that tests can turn it. `now` may step in either direction; callers refuse to publish rather than go backwards. */
import type { EpochMs } from '../core/time.ts';

export interface Clock {
  now(): EpochMs;
  /** Calls `run` once, `delayMs` from now at the earliest. Never keeps the process alive on its own. */
  after(delayMs: number, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** A clock that nobody sets: only differences mean anything. */
export interface SteadyClock {
  steadyMs(): number;
}
