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

/** A cell of one server, in one rotation: figures, or why there are none. */
export type Outcome = Figures | { readonly refused: string };

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

  median(cell: string, server: ServerName, figure: 'perSecond' | 'perCpuSecond'): number | undefined {
    return median(this.figures(cell, server).flatMap((one) => (one === undefined ? [] : [one[figure]])));
  }

  /** To another cell's server, within each rotation that has both. */
  ratio(
    cell: string,
    server: ServerName,
    to: { readonly cell: string; readonly server: ServerName },
    figure: 'perSecond' | 'perCpuSecond',
  ): number | undefined {
    const others = this.figures(to.cell, to.server);
    const ratios = this.figures(cell, server).flatMap((one, rotation) => {
      const other = others[rotation];
      return one === undefined || other === undefined ? [] : [one[figure] / other[figure]];
    });
    return median(ratios);
  }

  /** In more than half of the rotations. */
  unsaturated(cell: string, server: ServerName): string | undefined {
    const figures = this.figures(cell, server).flatMap((one) => (one === undefined ? [] : [one]));
    const reasons = figures.flatMap(({ unsaturated }) => (unsaturated === undefined ? [] : [unsaturated]));
    return reasons.length * 2 > figures.length ? reasons[0] : undefined;
  }
}

export function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
