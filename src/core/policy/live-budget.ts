/**
 * How much of a key and of a process one issuer's nonces may cost (T-26): signatures per second, as a bucket of one second, and
 * how many requests wait at the same time. Whoever finds no place is given the pre-signed answer at once (N-04, L-08).
 */
import { SECOND, type EpochMs } from '../time.ts';

export interface LiveLimits {
  /** Signatures made for one request each, in one process. */
  readonly perSecond: number;
  /** Requests that wait for one at the same time, in one process. */
  readonly waiting: number;
}

export class LiveBudget {
  readonly #limits: LiveLimits;
  #left: number;
  #filledAt: EpochMs;
  #waiting = 0;

  constructor(limits: LiveLimits, nowMs: EpochMs) {
    this.#limits = limits;
    this.#left = limits.perSecond;
    this.#filledAt = nowMs;
  }

  /** True: one more may be signed and waited for; `leave` when that is over. */
  enter(nowMs: EpochMs): boolean {
    const { perSecond, waiting } = this.#limits;
    // A clock that was set back fills nothing, and one that was set on no more than the bucket.
    const passed = Math.max(0, nowMs - this.#filledAt);
    this.#left = Math.min(perSecond, this.#left + (passed / SECOND) * perSecond);
    this.#filledAt = nowMs;
    if (this.#left < 1 || this.#waiting >= waiting) return false;
    this.#left -= 1;
    this.#waiting += 1;
    return true;
  }

  /** @param signed false: it cost no signature, so it is given back. */
  leave(signed: boolean): void {
    this.#waiting -= 1;
    if (!signed) this.#left = Math.min(this.#limits.perSecond, this.#left + 1);
  }
}
