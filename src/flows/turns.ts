/** Calls that begin in turn, a few at a time: urgent ones before the rest, and otherwise in the order in which they were asked for. */
export class Turns {
  readonly #waiting: Record<'urgent' | 'bulk', (() => void)[]> = { urgent: [], bulk: [] };
  #free: number;

  /** @param limit calls under way at once. */
  constructor(limit: number) {
    this.#free = limit;
  }

  async take<T>(priority: 'urgent' | 'bulk', run: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((begin) => this.#waiting[priority].push(begin));
    else this.#free -= 1;
    try {
      return await run();
    } finally {
      // Handed on, so that whoever asks in this moment does not overtake.
      const next = this.#waiting.urgent.shift() ?? this.#waiting.bulk.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
