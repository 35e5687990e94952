/**
 * Metrics without a library: a counter is a slot that the hot path increments (about 5 ns), a gauge is a function that is
 * called at scrape time. An adapter turns a MetricSet into whatever the scraper reads.
 */

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export interface Slot {
  value: number;
}

export interface Histogram {
  observe(value: number): void;
}

/** The counts of one label set. */
export interface HistogramSeries {
  readonly labels: Labels;
  /** By bucket; one more than there are bounds, for +Inf. */
  readonly counts: Float64Array;
  readonly sum: Slot;
}

export type Metric =
  | {
      readonly kind: 'counter';
      readonly name: string;
      readonly help: string;
      readonly slots: readonly { readonly labels: Labels; readonly slot: Slot }[];
    }
  | {
      /** summary: a gauge whose samples are quantiles of what is there now; nothing else may have a `quantile` label. */
      readonly kind: 'gauge' | 'summary';
      readonly name: string;
      readonly help: string;
      readonly read: () => Iterable<Sample>;
    }
  | {
      readonly kind: 'histogram';
      readonly name: string;
      readonly help: string;
      /** Upper bounds, ascending. */
      readonly bounds: readonly number[];
      readonly series: readonly HistogramSeries[];
    };

export class MetricSet {
  readonly #metrics = new Map<string, Metric>();

  /** A slot for each label set; the same name may be asked for again with other labels. */
  counter(name: string, help: string, labels: Labels = {}): Slot {
    const known = this.#metrics.get(name);
    const slots = known?.kind === 'counter' ? (known.slots as { labels: Labels; slot: Slot }[]) : [];
    if (known === undefined) this.#metrics.set(name, { kind: 'counter', name, help, slots });
    const slot: Slot = { value: 0 };
    slots.push({ labels, slot });
    return slot;
  }

  gauge(name: string, help: string, read: () => Iterable<Sample>): void {
    this.#metrics.set(name, { kind: 'gauge', name, help, read });
  }

  /** @param read its samples have a label `quantile`, "0" to "1". */
  summary(name: string, help: string, read: () => Iterable<Sample>): void {
    this.#metrics.set(name, { kind: 'summary', name, help, read });
  }

  /** As `counter`: one for each label set, all with the same bounds. */
  histogram(name: string, help: string, bounds: readonly number[], labels: Labels = {}): Histogram {
    const known = this.#metrics.get(name);
    const series = known?.kind === 'histogram' ? (known.series as HistogramSeries[]) : [];
    if (known === undefined) this.#metrics.set(name, { kind: 'histogram', name, help, bounds, series });
    const counts = new Float64Array(bounds.length + 1);
    const sum: Slot = { value: 0 };
    series.push({ labels, counts, sum });
    return {
      observe(value) {
        let i = 0;
        while (i < bounds.length && value > (bounds[i] as number)) i += 1;
        counts[i] = (counts[i] as number) + 1;
        sum.value += value;
      },
    };
  }

  /** Of a counter: the sum over the label sets that hold these labels. */
  sum(name: string, labels: Labels = {}): number {
    const metric = this.#metrics.get(name);
    let sum = 0;
    for (const one of metric?.kind === 'counter' ? metric.slots : []) {
      if (Object.entries(labels).every(([label, value]) => one.labels[label] === value)) sum += one.slot.value;
    }
    return sum;
  }

  *[Symbol.iterator](): Iterator<Metric> {
    yield* this.#metrics.values();
  }
}

/** Read once for all gauges of a scrape, which reads them in one turn of the event loop; anew in the next. */
export function oncePerTurn<T>(read: () => T): () => T {
  let known: { readonly value: T } | undefined;
  return () => {
    if (known === undefined) {
      known = { value: read() };
      queueMicrotask(() => (known = undefined));
    }
    return known.value;
  };
}
