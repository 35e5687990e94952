/** One look at every metric of the process: what the status page and its charts read, so that they say what the dashboards say. */
import type { Labels, Metric } from '../../core/metric.ts';

export interface Figure {
  readonly labels: Labels;
  readonly value: number;
}

export class Figures {
  readonly #values: ReadonlyMap<string, readonly Figure[]>;
  readonly #histograms: ReadonlyMap<string, Extract<Metric, { kind: 'histogram' }>>;

  private constructor(
    values: ReadonlyMap<string, readonly Figure[]>,
    histograms: ReadonlyMap<string, Extract<Metric, { kind: 'histogram' }>>,
  ) {
    this.#values = values;
    this.#histograms = histograms;
  }

  /** Reads every gauge once, as a scrape does. */
  static of(set: Iterable<Metric>): Figures {
    const values = new Map<string, readonly Figure[]>();
    const histograms = new Map<string, Extract<Metric, { kind: 'histogram' }>>();
    for (const metric of set) {
      if (metric.kind === 'counter')
        values.set(
          metric.name,
          metric.slots.map(({ labels, slot }) => ({ labels, value: slot.value })),
        );
      else if (metric.kind !== 'histogram')
        values.set(
          metric.name,
          [...metric.read()].map(([labels, value]) => ({ labels, value })),
        );
      else histograms.set(metric.name, metric);
    }
    return new Figures(values, histograms);
  }

  /** Every label set that agrees with `labels`. */
  all(name: string, labels: Labels = {}): readonly Figure[] {
    const wanted = Object.entries(labels);
    return (this.#values.get(name) ?? []).filter(({ labels: own }) => wanted.every(([key, is]) => own[key] === is));
  }

  /** Undefined where this process has no such metric. */
  one(name: string, labels: Labels = {}): number | undefined {
    return this.all(name, labels)[0]?.value;
  }

  /** Over all label sets that agree; undefined when there is none. */
  sum(name: string, labels: Labels = {}): number | undefined {
    const figures = this.all(name, labels);
    return figures.length === 0 ? undefined : figures.reduce((sum, { value }) => sum + value, 0);
  }

  max(name: string, labels: Labels = {}): number | undefined {
    const figures = this.all(name, labels);
    return figures.length === 0 ? undefined : Math.max(...figures.map(({ value }) => value));
  }

  /** How often each bucket of a histogram was hit so far, over all label sets that agree; undefined where there is no such histogram. */
  buckets(
    name: string,
    labels: Labels = {},
  ): { readonly bounds: readonly number[]; readonly counts: readonly number[] } | undefined {
    const wanted = Object.entries(labels);
    const found = this.#histograms.get(name);
    if (found === undefined) return undefined;
    const { bounds } = found;
    const series = found.series.filter(({ labels: own }) => wanted.every(([key, is]) => own[key] === is));
    const sum = (i: number): number => series.reduce((total, { counts }) => total + (counts[i] ?? 0), 0);
    return { bounds, counts: [...bounds, Infinity].map((_, i) => sum(i)) };
  }
}

/** Where there are no metrics, as in a test of one part. */
export const NO_FIGURES = Figures.of([]);
