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
  /** The hours in their order, until one comes or goes. */
  #order: readonly (readonly [number: number, Hour])[] | undefined;
  /** How many lie in each of these and in all before it, until one more is counted: many questions come at once. */
  #upTo: Float64Array | undefined;

  /** @param by a count may be taken back before it was given: the change feed may be ahead of the scan. */
  add(instant: EpochMs, by: 1 | -1): void {
    const number = Math.floor(instant / HOUR);
    let hour = this.#hours.get(number);
    if (hour === undefined) {
      hour = { total: 0, minutes: new Int32Array(MINUTES) };
      this.#hours.set(number, hour);
      this.#order = undefined;
    }
    const minute = Math.floor((instant - number * HOUR) / MINUTE);
    hour.minutes[minute] = (hour.minutes[minute] as number) + by;
    hour.total += by;
    this.#total += by;
    this.#upTo = undefined;
    if (hour.total !== 0 || hour.minutes.some((count) => count !== 0)) return;
    this.#hours.delete(number);
    this.#order = undefined;
  }

  get total(): number {
    return this.#total;
  }

  at(share: number): EpochMs | undefined {
    const wanted = Math.max(1, Math.ceil(share * this.#total));
    const order = this.#ordered();
    const upTo = this.#counted();
    const found = upTo.findIndex((count) => count >= wanted);
    if (found === -1) return undefined;
    const [number, { minutes }] = order[found] as readonly [number, Hour];
    let left = wanted - (upTo[found - 1] ?? 0);
    for (let minute = 0; minute < MINUTES; minute++) {
      left -= minutes[minute] as number;
      if (left <= 0) return number * HOUR + minute * MINUTE;
    }
    return undefined;
  }

  before(instant: EpochMs): number {
    const last = Math.floor(instant / HOUR);
    const later = this.#ordered().findIndex(([number]) => number >= last);
    const upTo = this.#counted();
    let sum = upTo[(later === -1 ? upTo.length : later) - 1] ?? 0;
    const { minutes } = this.#hours.get(last) ?? {};
    if (minutes === undefined) return sum;
    const end = Math.floor((instant - last * HOUR) / MINUTE);
    for (let minute = 0; minute < end; minute++) sum += minutes[minute] as number;
    return sum;
  }

  #ordered(): readonly (readonly [number: number, Hour])[] {
    return (this.#order ??= [...this.#hours].sort(([a], [b]) => a - b));
  }

  #counted(): Float64Array {
    if (this.#upTo !== undefined) return this.#upTo;
    let sum = 0;
    return (this.#upTo = Float64Array.from(this.#ordered(), ([, { total }]) => (sum += total)));
  }
}
