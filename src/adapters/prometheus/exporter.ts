/**
 * A MetricSet as Prometheus text (exposition format 0.0.4), behind what prom-client says of the process. Everything is read at scrape
 * time; nothing here runs per request. Our own thousands of samples are written here: through prom-client each costs twice as much.
 */
import { Registry, collectDefaultMetrics } from 'prom-client';
import type { Labels, Metric, MetricSet } from '../../core/metric.ts';

/** Gauges that are named like counters; each is the sum of another, which stays. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export class Exporter {
  readonly #registry = new Registry();
  readonly #set: MetricSet;

  constructor(set: MetricSet) {
    this.#set = set;
    // CPU, memory, event-loop delay, open descriptors: what an SRE expects of every Node process.
    collectDefaultMetrics({ register: this.#registry });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  async text(): Promise<string> {
    let text = await this.#registry.metrics();
    for (const metric of this.#set)
      text += `\n# HELP ${metric.name} ${escaped(metric.help)}\n# TYPE ${metric.name} ${metric.kind}\n${samples(metric)}`;
    return text;
  }
}

function samples(metric: Metric): string {
  const { name } = metric;
  let lines = '';
  switch (metric.kind) {
    case 'counter':
      for (const { labels, slot } of metric.slots) lines += line(name, labels, slot.value);
      return lines;
    case 'gauge':
    case 'summary':
      for (const [labels, value] of metric.read()) lines += line(name, labels, value);
      return lines;
    case 'histogram':
      for (const { labels, counts, sum } of metric.series) {
        let cumulative = 0;
        for (const [i, count] of counts.entries()) {
          cumulative += count;
          lines += line(`${name}_bucket`, { ...labels, le: String(metric.bounds[i] ?? '+Inf') }, cumulative);
        }
        lines += line(`${name}_sum`, labels, sum.value) + line(`${name}_count`, labels, cumulative);
      }
      return lines;
  }
}

function line(name: string, labels: Labels, value: number): string {
  let inside = '';
  for (const label in labels) {
    const text = escaped(labels[label] as string).replaceAll('"', '\\"');
    inside += `${inside === '' ? '' : ','}${label}="${text}"`;
  }
  return `${name}${inside === '' ? '' : `{${inside}}`} ${number(value)}\n`;
}

function number(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
