import { PRIORITIES, type SignPriority } from '../../ports/key-holder.ts';

/** Calls that begin in turn, a few at a time: by priority, and otherwise in the order in which they were asked for. */
export class Turns {
  readonly #waiting: Record<SignPriority, (() => void)[]> = { urgent: [], live: [], bulk: [] };
  #free: number;

  /** @param limit calls under way at once. */
  constructor(limit: number) {
    this.#free = limit;
  }

  async take<T>(priority: SignPriority, run: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((begin) => this.#waiting[priority].push(begin));
    else this.#free -= 1;
    try {
      return await run();
    } finally {
      // Handed on, so that whoever asks in this moment does not overtake.
      const first = PRIORITIES.find((one) => this.#waiting[one].length > 0);
      const next = first && this.#waiting[first].shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
