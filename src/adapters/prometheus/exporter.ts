/** A MetricSet as Prometheus text, through prom-client. Everything is read at scrape time; nothing here runs per request. */
import { Registry, collectDefaultMetrics, type Metric as PromMetric } from 'prom-client';
import type { Metric, MetricSet } from '../../core/metric.ts';

/** Gauges that are named like counters; each is the sum of another, which stays. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export class Exporter {
  readonly #registry = new Registry();
  readonly #set: MetricSet;
  readonly #known = new Set<string>();

  constructor(set: MetricSet) {
    this.#set = set;
    // CPU, memory, event-loop delay, open descriptors: what an SRE expects of every Node process.
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  async text(): Promise<string> {
    for (const metric of this.#set) {
      if (this.#known.has(metric.name)) continue;
      this.#known.add(metric.name);
      this.#registry.registerMetric(new Adapted(metric) as unknown as PromMetric);
    }
    return this.#registry.metrics();
  }
}

/** What the registry asks of a metric, computed from the slots on demand. */
class Adapted {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator = 'sum';
  readonly #metric: Metric;

  constructor(metric: Metric) {
    this.#metric = metric;
    this.name = metric.name;
    this.help = metric.help;
    this.type = metric.kind;
  }

  get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: object[] }> {
    return Promise.resolve({
      name: this.name,
      help: this.help,
      type: this.type,
      aggregator: this.aggregator,
      values: [...this.#values()],
    });
  }

  reset(): void {
    // A counter that goes back would look like a restart; slots are never reset.
  }

  *#values(): Iterable<{ labels: Readonly<Record<string, number | string>>; value: number; metricName?: string }> {
    const metric = this.#metric;
    switch (metric.kind) {
      case 'counter':
        for (const { labels, slot } of metric.slots) yield { labels, value: slot.value };
        return;
      case 'gauge':
      case 'summary':
        for (const [labels, value] of metric.read()) yield { labels, value };
        return;
      case 'histogram':
        for (const series of metric.series) {
          const { labels } = series;
          let cumulative = 0;
          for (const [i, count] of series.counts.entries()) {
            cumulative += count;
            const le = metric.bounds[i] ?? '+Inf';
            yield { labels: { ...labels, le }, value: cumulative, metricName: `${metric.name}_bucket` };
          }
          yield { labels, value: series.sum.value, metricName: `${metric.name}_sum` };
          yield { labels, value: cumulative, metricName: `${metric.name}_count` };
        }
    }
  }
}
