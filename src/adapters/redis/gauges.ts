/** Backlog and age of the whole population, from the counts that every commit keeps: read about once a second, told from memory. */
import type { Lane } from '../../core/certificate.ts';
import type { PublishedSpread } from '../../ports/store.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import { run, scripts, type Connection, type Returned } from './scripts.ts';

/** Of each kind so many of the longest waiting items or minutes are known one by one. */
const KNOWN = 256;

interface Waiting {
  readonly total: number;
  /** Ascending. */
  readonly slots: readonly { readonly at: EpochMs; readonly count: number }[];
}

const NONE: Waiting = { total: 0, slots: [] };

export class Gauges {
  /** False before the first reading. */
  complete = false;
  #lanes: Readonly<Record<Lane, Waiting>> = { revocation: NONE, issue: NONE, asked: NONE, mass: NONE, refresh: NONE };
  published: {
    readonly count: number;
    readonly oldestThisUpdate: EpochMs | undefined;
    readonly leastNextUpdate: EpochMs | undefined;
  } = { count: 0, oldestThisUpdate: undefined, leastNextUpdate: undefined };

  /** Undefined before its first reading. */
  spread: PublishedSpread | undefined;

  async read(redis: Connection, meta: string): Promise<void> {
    const returned = (await run(redis, scripts.gauges, meta, [KNOWN])) as readonly Returned[];
    const [revocation, issue, mass, due, thisUpdate, nextUpdate, answers] = returned as [
      readonly Returned[],
      readonly Returned[],
      readonly Returned[],
      readonly Returned[],
      Buffer,
      Buffer,
      Buffer,
    ];
    this.#lanes = {
      revocation: waiting(revocation, secondOf),
      issue: waiting(issue, secondOf),
      asked: NONE,
      mass: waiting(mass, secondOf),
      refresh: waiting(due, (minute) => minute * MINUTE),
    };
    this.published = {
      count: Number(answers),
      oldestThisUpdate: thisUpdate.length === 0 ? undefined : Number(thisUpdate) * MINUTE,
      leastNextUpdate: nextUpdate.length === 0 ? undefined : Number(nextUpdate) * MINUTE,
    };
    this.complete = true;
  }

  /** Exact while what is due is among the longest waiting that are known; beyond, all the rest counts as due: never too few. */
  backlog(lane: Lane, nowMs: EpochMs): number {
    const { total, slots } = this.#lanes[lane];
    const last = slots.at(-1);
    if (last === undefined) return 0;
    if (last.at <= nowMs) return total;
    return slots.reduce((sum, { at, count }) => (at <= nowMs ? sum + count : sum), 0);
  }

  oldestDue(lane: Lane): EpochMs | undefined {
    return this.#lanes[lane].slots[0]?.at;
  }
}

const secondOf = (ms: number): EpochMs => Math.floor(ms / SECOND) * SECOND;

function waiting(found: readonly Returned[], instant: (value: number) => EpochMs): Waiting {
  const slots: { at: EpochMs; count: number }[] = [];
  for (let i = 1; i + 1 < found.length; i += 2)
    slots.push({ at: instant(Number(String(found[i]))), count: Number(String(found[i + 1])) });
  return { total: Number(String(found[0])), slots };
}
