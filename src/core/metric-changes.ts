/**
 * The metrics of several processes as one: each tells what has changed since it last told, and one adds it up. So nothing that
 * was told is lost with the process that told it, and a sum never goes back.
 */
import type { HistogramSeries, Labels, Metric, MetricSet, Slot } from './metric.ts';

export interface MetricChanges {
  /** Name, help, labels, increase. */
  readonly counters: readonly (readonly [string, string, Labels, number])[];
  /** Name, help, labels, bounds, increase of each bucket, increase of the sum. */
  readonly histograms: readonly (readonly [string, string, Labels, readonly number[], readonly number[], number])[];
  /** Name, help, labels, value: what is true now. */
  readonly gauges: readonly (readonly [string, string, Labels, number])[];
}

/** What one process has to tell. */
export class MetricTeller {
  readonly #set: MetricSet;
  readonly #told = new Map<Slot, number>();
  readonly #toldCounts = new Map<HistogramSeries, Float64Array>();

  constructor(set: MetricSet) {
    this.#set = set;
  }

  /** Everything that has moved since the last call, and every gauge. */
  changes(): MetricChanges {
    const counters: MetricChanges['counters'][number][] = [];
    const histograms: MetricChanges['histograms'][number][] = [];
    const gauges: MetricChanges['gauges'][number][] = [];
    for (const metric of this.#set) {
      const { name, help } = metric;
      if (metric.kind === 'counter') {
        for (const { labels, slot } of metric.slots) {
          const increase = this.#increase(slot);
          if (increase !== 0) counters.push([name, help, labels, increase]);
        }
      } else if (metric.kind === 'histogram') {
        for (const series of metric.series) {
          const before = this.#toldCounts.get(series);
          const counts = Array.from(series.counts, (count, i) => count - (before?.[i] ?? 0));
          if (counts.every((count) => count === 0)) continue;
          this.#toldCounts.set(series, Float64Array.from(series.counts));
          histograms.push([name, help, series.labels, metric.bounds, counts, this.#increase(series.sum)]);
        }
      } else for (const [labels, value] of metric.read()) gauges.push([name, help, labels, value]);
    }
    return { counters, histograms, gauges };
  }

  #increase(slot: Slot): number {
    const increase = slot.value - (this.#told.get(slot) ?? 0);
    this.#told.set(slot, slot.value);
    return increase;
  }
}

/** Adds what others tell to a set of its own. */
export class MetricSum {
  readonly #set: MetricSet;
  readonly #slots = new Map<string, Slot>();

  constructor(set: MetricSet) {
    this.#set = set;
  }

  /** Counters and histograms; gauges are not sums of the past. */
  add({ counters, histograms }: MetricChanges): void {
    for (const [name, help, labels, increase] of counters) this.#slot(name, help, labels).value += increase;
    for (const [name, help, labels, bounds, counts, sum] of histograms) {
      const own = this.#series(name, labels) ?? (this.#set.histogram(name, help, bounds, labels), this.#series(name, labels)); // prettier-ignore
      if (own?.counts.length !== counts.length) continue;
      counts.forEach((count, i) => (own.counts[i] = (own.counts[i] as number) + count));
      own.sum.value += sum;
    }
  }

  #series(name: string, labels: Labels): HistogramSeries | undefined {
    const metric = this.#find(name);
    if (metric?.kind !== 'histogram') return undefined;
    return metric.series.find((one) => keyOf(one.labels) === keyOf(labels));
  }

  #slot(name: string, help: string, labels: Labels): Slot {
    const key = `${name} ${keyOf(labels)}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      const metric = this.#find(name);
      // One of the same name and labels may have been made by whoever counts here as well.
      const own =
        metric?.kind === 'counter' ? metric.slots.find((one) => keyOf(one.labels) === keyOf(labels)) : undefined;
      slot = own?.slot ?? this.#set.counter(name, help, labels);
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #find(name: string): Metric | undefined {
    for (const metric of this.#set) if (metric.name === name) return metric;
    return undefined;
  }
}

/** The order of labels says nothing. */
export function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
