/**
 * The metrics of several processes as one: each tells what has changed since it last told, and one adds it up. So nothing that
 * was told is lost with the process that told it, and a sum never goes back.
 */
import type { Labels, Metric, MetricSet, Slot } from './metric.ts';

export interface MetricChanges {
  /** Name, help, labels, increase. */
  readonly counters: readonly (readonly [string, string, Labels, number])[];
  /** Name, help, bounds, increase of each bucket, increase of the sum. */
  readonly histograms: readonly (readonly [string, string, readonly number[], readonly number[], number])[];
  /** Name, help, labels, value: what is true now. */
  readonly gauges: readonly (readonly [string, string, Labels, number])[];
}

/** What one process has to tell. */
export class MetricTeller {
  readonly #set: MetricSet;
  readonly #told = new Map<Slot, number>();
  readonly #toldCounts = new Map<string, Float64Array>();

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
      } else if (metric.kind === 'gauge') {
        for (const [labels, value] of metric.read()) gauges.push([name, help, labels, value]);
      } else {
        const before = this.#toldCounts.get(name);
        const counts = Array.from(metric.counts, (count, i) => count - (before?.[i] ?? 0));
        this.#toldCounts.set(name, Float64Array.from(metric.counts));
        const sum = this.#increase(metric.sum);
        if (counts.some((count) => count !== 0)) histograms.push([name, help, metric.bounds, counts, sum]);
      }
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
    for (const [name, help, bounds, counts, sum] of histograms) {
      if (this.#find(name)?.kind !== 'histogram') this.#set.histogram(name, help, bounds);
      const metric = this.#find(name);
      if (metric?.kind !== 'histogram' || metric.counts.length !== counts.length) continue;
      counts.forEach((count, i) => (metric.counts[i] = (metric.counts[i] as number) + count));
      metric.sum.value += sum;
    }
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
