/**
 * A clock that stands until it is turned, and the means to wait until everything that the turn set off has come to rest:
 * real disk and real signatures, simulated time.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { EpochMs } from '../../src/core/time.ts';
import type { Clock, Timer } from '../../src/ports/clock.ts';

export class FakeClock implements Clock {
  /** Runs on with the turns; timers are set by it, as setTimeout is by the monotonic clock. */
  #monotonic = 0;
  #wall: EpochMs;
  #timers: { readonly at: number; readonly run: () => void }[] = [];

  constructor(now: EpochMs) {
    this.#wall = now;
  }

  now(): EpochMs {
    return this.#wall + this.#monotonic;
  }

  steadyMs(): number {
    return this.#monotonic;
  }

  after(delayMs: number, run: () => void): Timer {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), run };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  /** Time goes by: timers run in their order, each to the end of what it sets off. */
  async advance(ms: number): Promise<void> {
    const target = this.#monotonic + ms;
    await settled();
    for (;;) {
      const next = this.#take(target);
      if (next === undefined) break;
      this.#monotonic = Math.max(this.#monotonic, next.at);
      next.run();
      await settled();
    }
    this.#monotonic = target;
  }

  /** The same in strides: timers run late, as on a busy machine, but weeks take seconds. */
  async stride(ms: number, strideMs: number, each: () => Promise<void> | void = () => undefined): Promise<void> {
    for (let left = ms; left > 0; left -= strideMs) {
      await settled();
      this.#monotonic += Math.min(left, strideMs);
      for (let next = this.#take(this.#monotonic); next !== undefined; next = this.#take(this.#monotonic)) {
        next.run();
        await settled();
      }
      await each();
    }
  }

  /** The wall clock is set, forwards or back: timers know nothing of it. */
  step(ms: number): void {
    this.#wall += ms;
  }

  get timers(): number {
    return this.#timers.length;
  }

  #take(target: number): { readonly at: number; readonly run: () => void } | undefined {
    let first: { readonly at: number; readonly run: () => void } | undefined;
    for (const timer of this.#timers)
      if (timer.at <= target && (first === undefined || timer.at < first.at)) first = timer;
    this.#timers = this.#timers.filter((timer) => timer !== first);
    return first;
  }
}

/** Work that is under way outside of the microtask queue. */
let underWay = 0;

/** Resolves when nothing is under way and nothing was started by what just ended. */
export async function settled(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet = underWay === 0 ? quiet + 1 : 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Counts a promise of real work until it has settled. */
export function tracked<T>(promise: Promise<T>): Promise<T> {
  underWay += 1;
  const done = (): void => void (underWay -= 1);
  promise.then(done, done);
  return promise;
}

export async function* trackedPages<T>(pages: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = pages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await tracked(Promise.resolve(iterator.next()));
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    if (iterator.return !== undefined) await tracked(Promise.resolve(iterator.return()));
  }
}

// Verifying runs on libuv's pool behind a callback, where no promise can be counted: so the function itself is.
const crypto = createRequire(import.meta.url)('node:crypto') as { verify: (...values: unknown[]) => unknown };
const realVerify = crypto.verify;
crypto.verify = (...values) => {
  const callback = values.at(-1);
  if (typeof callback !== 'function') return realVerify(...values);
  underWay += 1;
  return realVerify(...values.slice(0, -1), (...results: unknown[]) => {
    underWay -= 1;
    (callback as (...results: unknown[]) => void)(...results);
  });
};
syncBuiltinESMExports();
