/**
 * How many instants there are in each minute: what ten million answers need so that their oldest, their percentiles and their number
 * before any instant are at hand. Counted by hour and minute, so that finding one of them looks at some hundred numbers.
 */
import { HOUR, MINUTE, type EpochMs } from './time.ts';

/** How instants are spread, to the minute below. */
export interface Spread {
  /** The instant by which this share of all of them lies; 0: the first, 1: the last. Undefined when there are none. */
  at(share: number): EpochMs | undefined;
  /** How many lie before the minute of this instant. */
  before(instant: EpochMs): number;
}

interface Hour {
  total: number;
  readonly minutes: Int32Array;
}

const MINUTES = HOUR / MINUTE;

export class MinuteCounts implements Spread {
  readonly #hours = new Map<number, Hour>();
  #total = 0;

  /** @param by a count may be taken back before it was given: the change feed may be ahead of the scan. */
  add(instant: EpochMs, by: 1 | -1): void {
    const number = Math.floor(instant / HOUR);
    let hour = this.#hours.get(number);
    if (hour === undefined) this.#hours.set(number, (hour = { total: 0, minutes: new Int32Array(MINUTES) }));
    const minute = Math.floor((instant - number * HOUR) / MINUTE);
    hour.minutes[minute] = (hour.minutes[minute] as number) + by;
    hour.total += by;
    this.#total += by;
    if (hour.total === 0 && hour.minutes.every((count) => count === 0)) this.#hours.delete(number);
  }

  get total(): number {
    return this.#total;
  }

  at(share: number): EpochMs | undefined {
    let left = Math.max(1, Math.ceil(share * this.#total));
    for (const number of this.#inOrder()) {
      const { total, minutes } = this.#hours.get(number) as Hour;
      if (total < left) {
        left -= total;
        continue;
      }
      for (let minute = 0; minute < MINUTES; minute++) {
        left -= minutes[minute] as number;
        if (left <= 0) return number * HOUR + minute * MINUTE;
      }
    }
    return undefined;
  }

  before(instant: EpochMs): number {
    const last = Math.floor(instant / HOUR);
    let sum = 0;
    for (const [number, { total }] of this.#hours) if (number < last) sum += total;
    const minutes = this.#hours.get(last)?.minutes.subarray(0, Math.floor((instant - last * HOUR) / MINUTE)) ?? [];
    for (const count of minutes) sum += count;
    return sum;
  }

  #inOrder(): Float64Array {
    return Float64Array.from(this.#hours.keys()).sort();
  }
}
