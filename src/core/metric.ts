/**
 * Metrics without a library: a counter is a slot that the hot path increments (about 5 ns), a gauge is a function that is
 * called at scrape time. An adapter turns a MetricSet into whatever the scraper reads.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Slot {
  value: number;
}

export interface Histogram {
  observe(value: number): void;
}

export type Metric =
  | {
      readonly kind: 'counter';
      readonly name: string;
      readonly help: string;
      readonly slots: readonly { readonly labels: Labels; readonly slot: Slot }[];
    }
  | {
      readonly kind: 'gauge';
      readonly name: string;
      readonly help: string;
      readonly read: () => Iterable<readonly [Labels, number]>;
    }
  | {
      readonly kind: 'histogram';
      readonly name: string;
      readonly help: string;
      /** Upper bounds, ascending; `counts` has one more for +Inf. */
      readonly bounds: readonly number[];
      readonly counts: Float64Array;
      readonly sum: Slot;
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

  gauge(name: string, help: string, read: () => Iterable<readonly [Labels, number]>): void {
    this.#metrics.set(name, { kind: 'gauge', name, help, read });
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const counts = new Float64Array(bounds.length + 1);
    const sum: Slot = { value: 0 };
    this.#metrics.set(name, { kind: 'histogram', name, help, bounds, counts, sum });
    return {
      observe(value) {
        let i = 0;
        while (i < bounds.length && value > (bounds[i] as number)) i += 1;
        counts[i] = (counts[i] as number) + 1;
        sum.value += value;
      },
    };
  }

  *[Symbol.iterator](): Iterator<Metric> {
    yield* this.#metrics.values();
  }
}
