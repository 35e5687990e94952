/** How the times of all published answers are spread, as a script reads it (lua/spread.lua): told from memory. */
import type { Spread } from '../../core/minute-counts.ts';
import { MINUTE, type EpochMs } from '../../core/time.ts';
import type { PublishedSpread } from '../../ports/store.ts';
import { run, scripts, type Connection, type Returned } from './scripts.ts';

/** So many of the earliest minutes are known one by one. */
const KNOWN = 256;
/** Known exactly; in millionths. */
const SHARES = [0, 10_000, 100_000, 500_000, 900_000, 990_000, 1_000_000];

export async function readSpread(redis: Connection, meta: string): Promise<PublishedSpread> {
  const returned = await run(redis, scripts.spread, meta, [KNOWN, ...SHARES]);
  const [answers, thisUpdate, nextUpdate] = returned as readonly [Buffer, readonly Returned[], readonly Returned[]];
  const total = Number(String(answers));
  return { thisUpdate: new ReadSpread(total, thisUpdate), nextUpdate: new ReadSpread(total, nextUpdate) };
}

class ReadSpread implements Spread {
  readonly #total: number;
  readonly #minutes: number;
  readonly #earliest: readonly { readonly at: EpochMs; readonly count: number }[];
  /** By share in millionths. */
  readonly #quantiles: ReadonlyMap<number, EpochMs>;

  constructor(total: number, [minutes, ...rest]: readonly Returned[]) {
    this.#total = total;
    this.#minutes = Number(minutes);
    const numbers = rest.map((value) => Number(String(value)));
    const pairs = numbers.slice(0, numbers.length - SHARES.length);
    this.#earliest = pairs.flatMap((minute, i) =>
      i % 2 === 0 ? [{ at: minute * MINUTE, count: pairs[i + 1] as number }] : [],
    );
    const quantiles = numbers.slice(pairs.length);
    this.#quantiles = new Map(SHARES.map((share, i) => [share, (quantiles[i] as number) * MINUTE]));
  }

  /** @param share one of those that are read. */
  at(share: number): EpochMs | undefined {
    return this.#minutes === 0 ? undefined : this.#quantiles.get(Math.round(share * 1_000_000));
  }

  /** Exact while it is among the earliest minutes; beyond, as many as there are at least. */
  before(instant: EpochMs): number {
    const end = Math.floor(instant / MINUTE) * MINUTE;
    let sum = 0;
    for (const { at, count } of this.#earliest) if (at < end) sum += count;
    if (this.#earliest.length === this.#minutes || (this.#earliest.at(-1)?.at ?? Infinity) >= end) return sum;
    for (const [share, at] of this.#quantiles)
      if (at < end) sum = Math.max(sum, Math.floor((share / 1_000_000) * this.#total));
    return sum;
  }
}
