/**
 * What was measured, and what may be said of it. Ratios are taken within a rotation, and medians over the rotations, because a
 * shared machine drifts. Requests per CPU-second of all server processes is the figure to trust; requests per second stands beside
 * it, unless the load generator and not the server was what had no more CPU to give.
 */
import type { ServerName } from './cells.ts';
import type { Saturation } from './wrk.ts';

export interface Figures {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** Why requests per second say nothing of the server. */
  readonly unsaturated: string | undefined;
}

/** At a fixed rate; microseconds from when a request was due. */
export interface Latencies {
  /** Requests offered per second. */
  readonly rate: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  /** Why they say nothing of the server. */
  readonly unsaid: string | undefined;
}

/** A cell of one server, in one rotation: figures, or why there are none. */
export type Outcome = Figures | Latencies | { readonly refused: string };

/** Seconds of CPU time, which the kernel tells in hundredths: below this a figure would be a guess. */
export const LEAST_BUSY = 0.1;
/** From this share of the time on which a process runs, or is ready to and has to wait, it is what limits. */
const BUSY = 0.9;

/**
 * Server and generator each have a CPU of their own, but not for themselves: to be ready and have to wait for it counts as busy.
 * With few connections neither is busy, because each waits for the other: then the rate is the round trip, and is given.
 */
export function judge({ requests, seconds, server, generator }: Saturation): Figures {
  const demand = ({ busy, waiting }: { busy: number; waiting: number }): number => (busy + waiting) / seconds;
  const unsaturated =
    demand(server) < BUSY && demand(generator) >= BUSY
      ? `the generator was busy for ${percent(demand(generator))} of the time, the server for ${percent(demand(server))}`
      : undefined;
  return { perSecond: requests / seconds, perCpuSecond: requests / server.busy, unsaturated };
}

/** Outcomes of one run of the bench. */
export class Results {
  readonly #outcomes = new Map<string, (Outcome | undefined)[]>();
  readonly #notes = new Map<string, string>();

  add(cell: string, server: ServerName, rotation: number, outcome: Outcome): void {
    const key = `${cell} ${server}`;
    const own = this.#outcomes.get(key) ?? [];
    own[rotation] = outcome;
    this.#outcomes.set(key, own);
  }

  of(cell: string, server: ServerName): readonly (Outcome | undefined)[] {
    return this.#outcomes.get(`${cell} ${server}`) ?? [];
  }

  /** Why nothing is said of this cell: the first reason of any rotation, because one wrong reply is enough. */
  refusal(cell: string, server: ServerName): string | undefined {
    for (const outcome of this.of(cell, server))
      if (outcome !== undefined && 'refused' in outcome) return outcome.refused;
    return undefined;
  }

  figures(cell: string, server: ServerName): readonly (Figures | undefined)[] {
    return this.of(cell, server).map((outcome) =>
      outcome !== undefined && 'perSecond' in outcome ? outcome : undefined,
    );
  }

  /** Of the rotations in which they say something. */
  latencies(cell: string, server: ServerName): readonly (Latencies | undefined)[] {
    return this.of(cell, server).map((outcome) =>
      outcome !== undefined && 'p50' in outcome && outcome.unsaid === undefined ? outcome : undefined,
    );
  }

  median(cell: string, server: ServerName, figure: 'perSecond' | 'perCpuSecond'): number | undefined {
    return medianOf(this.figures(cell, server), figure);
  }

  /** To another cell's server, within each rotation that has both. */
  ratio(
    cell: string,
    server: ServerName,
    to: { readonly cell: string; readonly server: ServerName },
    figure: 'perSecond' | 'perCpuSecond',
  ): number | undefined {
    return ratioOf(this.figures(cell, server), this.figures(to.cell, to.server), figure);
  }

  /** In more than half of the rotations. */
  unsaturated(cell: string, server: ServerName): string | undefined {
    const figures = this.figures(cell, server).flatMap((one) => one ?? []);
    const reasons = figures.flatMap(({ unsaturated }) => unsaturated ?? []);
    return reasons.length * 2 > figures.length ? reasons[0] : undefined;
  }

  /** Why there are no latencies in more than half of the rotations. */
  unsaid(cell: string, server: ServerName): string | undefined {
    const all = this.of(cell, server).flatMap((one) => (one !== undefined && 'p50' in one ? one : []));
    const reasons = all.flatMap(({ unsaid }) => unsaid ?? []);
    return reasons.length * 2 > all.length ? reasons[0] : undefined;
  }

  /** What else is to be said of a cell; the last word stands. */
  note(cell: string, text: string): void {
    this.#notes.set(cell, text);
  }

  noteOf(cell: string): string | undefined {
    return this.#notes.get(cell);
  }

  /** Everything, for a file. */
  toJSON(): unknown {
    return Object.fromEntries(this.#outcomes);
  }
}

export function medianOf<K extends string>(
  values: readonly (Readonly<Record<K, number>> | undefined)[],
  figure: K,
): number | undefined {
  return median(values.flatMap((one) => (one === undefined ? [] : one[figure])));
}

export function ratioOf<K extends string>(
  values: readonly (Readonly<Record<K, number>> | undefined)[],
  others: readonly (Readonly<Record<K, number>> | undefined)[],
  figure: K,
): number | undefined {
  return median(
    values.flatMap((one, rotation) => {
      const other = others[rotation];
      return one === undefined || other === undefined ? [] : one[figure] / other[figure];
    }),
  );
}

export function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
