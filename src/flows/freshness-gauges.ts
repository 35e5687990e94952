/**
 * How fresh the whole population of published answers is, not only what is asked for (peers.md Part 1 §5.11): counts per issuer
 * and minute of thisUpdate and nextUpdate, loaded by one scan at start and kept by the change feed.
 */
import type { IssuerTag } from '../core/certificate.ts';
import { MINUTE, type EpochMs } from '../core/time.ts';
import type { AnswerTimes, ChangeFeed, Freshness, Population } from '../ports/store.ts';

interface Counts {
  readonly thisUpdate: Map<number, number>;
  readonly nextUpdate: Map<number, number>;
  count: number;
}

export class FreshnessGauges implements Freshness {
  readonly #populations = new Map<IssuerTag, Counts>();
  readonly #store: Population & ChangeFeed;
  #complete = false;
  #stopped = false;

  constructor(store: Population & ChangeFeed) {
    this.#store = store;
    store.follow((event) => {
      if (event.type === 'published') {
        if (event.previous !== undefined) this.#add(event.previous, -1);
        this.#add(event.response, 1);
      } else if (event.type === 'retired') this.#add(event.previous, -1);
    });
  }

  /** One scan of a snapshot of this moment; call it before anything publishes. Until it ends, `complete` is false. */
  async load(): Promise<void> {
    for await (const page of this.#store.published()) {
      if (this.#stopped) return;
      for (const response of page) this.#add(response, 1);
    }
    this.#complete = true;
  }

  /** Ends a scan that is under way: a stop does not wait for ten million answers to be counted. */
  stop(): void {
    this.#stopped = true;
  }

  get complete(): boolean {
    return this.#complete;
  }

  of(issuer: IssuerTag): {
    readonly count: number;
    readonly oldestThisUpdate: EpochMs | undefined;
    readonly leastNextUpdate: EpochMs | undefined;
  } {
    const population = this.#populations.get(issuer);
    if (population === undefined) return { count: 0, oldestThisUpdate: undefined, leastNextUpdate: undefined };
    return {
      count: population.count,
      oldestThisUpdate: least(population.thisUpdate),
      leastNextUpdate: least(population.nextUpdate),
    };
  }

  #add(response: AnswerTimes, count: 1 | -1): void {
    let population = this.#populations.get(response.issuer);
    if (population === undefined) {
      population = { thisUpdate: new Map(), nextUpdate: new Map(), count: 0 };
      this.#populations.set(response.issuer, population);
    }
    population.count += count;
    for (const field of ['thisUpdate', 'nextUpdate'] as const) {
      const minute = Math.floor(response[field] / MINUTE);
      const sum = (population[field].get(minute) ?? 0) + count;
      if (sum === 0) population[field].delete(minute);
      else population[field].set(minute, sum);
    }
  }
}

function least(minutes: ReadonlyMap<number, number>): EpochMs | undefined {
  let minute = Infinity;
  for (const [at, count] of minutes) if (count > 0 && at < minute) minute = at;
  return minute === Infinity ? undefined : minute * MINUTE;
}
