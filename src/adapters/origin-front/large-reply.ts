/**
 * A reply that the kernel does not take at once, as a CRL of some megabytes. The library would keep a copy of the rest for each
 * reader; here every reader is given the next piece of the one body when it can take it, and whoever takes too long is let go.
 */
import type { UwsResponse } from './uws.ts';

export class LargeReplies {
  readonly #pending = new Map<UwsResponse, number>();
  readonly #tooSlow: () => void;
  #sweeper: NodeJS.Timeout | undefined;

  /** @param tooSlow told of each reader that is let go. */
  constructor(tooSlow: () => void) {
    this.#tooSlow = tooSlow;
  }

  /** Status and fields are written. Calls `done` when the reply is out, or will never be. */
  send(response: UwsResponse, body: Buffer, close: boolean, done: () => void): void {
    const settle = (): void => {
      if (this.#pending.delete(response)) done();
    };
    this.#pending.set(response, performance.now() + WRITE_MS + (body.length / LEAST_OCTETS_PER_SECOND) * 1000);
    response.onAborted(settle);
    response.onWritable((offset) => {
      const [ok, all] = response.tryEnd(body.subarray(offset), body.length, close);
      if (all) settle();
      return ok;
    });
    const [, all] = response.tryEnd(body, body.length, close);
    if (all) settle();
    else this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  /** Readers that have not everything yet. */
  get size(): number {
    return this.#pending.size;
  }

  #sweep(): void {
    const now = performance.now();
    for (const [response, until] of this.#pending) {
      if (now <= until) continue;
      this.#tooSlow();
      // Aborts it, which settles it.
      response.close();
    }
    if (this.#pending.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

/** A larger body goes this way: what is left of a smaller one may be copied. */
export const LARGE_BODY = 65_536;

/** The same as at the public listener. */
const WRITE_MS = 20_000;
const LEAST_OCTETS_PER_SECOND = 4096;
const SWEEP_MS = 1000;
