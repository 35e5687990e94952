/** prom-client is the oracle: it is asked for the same figures under the same names. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Exporter } from '../../src/adapters/prometheus/exporter.ts';
import { MetricSet, type Labels } from '../../src/core/metric.ts';

const text = fc.string({ unit: fc.constantFrom('a', 'ä', '"', '\\', '\n', ' ', '{', ','), maxLength: 6 });
const series = fc.uniqueArray(fc.tuple(text, text), { maxLength: 5, selector: (pair) => pair.join('\0') });
const value = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -1, 1e21, 1e-9, Infinity, -Infinity));

it('writes counters, gauges and histograms as prom-client does, whatever the labels and values (seed 90104)', async () => {
  await fc.assert(
    fc.asyncProperty(text, series, fc.array(value, { minLength: 5, maxLength: 5 }), async (help, pairs, values) => {
      const labelled = pairs.map(([one, two]): Labels => ({ one, two }));
      const set = new MetricSet();
      const register = new Registry();
      const labelNames = ['one', 'two'] as const;
      const registers = [register];
      const counter = new Counter({ name: 'c_total', help: `c${help}`, labelNames, registers });
      const gauge = new Gauge({ name: 'g', help: `g${help}`, labelNames, registers });
      const bounds = [0.5, 1, 10];
      const histogram = new Histogram({ name: 'h', help: `h${help}`, labelNames, buckets: bounds, registers });
      for (const labels of labelled) {
        const slot = set.counter('c_total', `c${help}`, labels);
        slot.value = 3.5;
        counter.inc({ ...labels }, 3.5);
      }
      set.gauge('g', `g${help}`, () => labelled.map((labels, i) => [labels, values[i] as number]));
      for (const [i, labels] of labelled.entries()) gauge.set({ ...labels }, values[i] as number);
      for (const labels of labelled) {
        const own = set.histogram('h', `h${help}`, bounds, labels);
        for (const seen of [0.1, 0.5, 3, 100]) {
          own.observe(seen);
          histogram.observe({ ...labels }, seen);
        }
      }
      const samplesOf = (all: string): string[] => all.split('\n').filter((one) => /^(# (HELP|TYPE) )?[cgh](_|\b)/.test(one)); // prettier-ignore
      const wanted = samplesOf(await register.metrics());
      // prom-client names a metric before it has a label set; a MetricSet has it from its first on.
      const named = wanted.filter((one) => labelled.length > 0 || one.includes(' g '));
      // The order of labels says nothing; prom-client has `le` first.
      const own = samplesOf(await new Exporter(set).text()).map((one) => one.replace(/^h_bucket\{(.*),(le="[^"]*")\}/, 'h_bucket{$2,$1}')); // prettier-ignore
      assert.deepEqual(own.sort(), named.sort());
    }),
    { numRuns: 40, seed: 90104 },
  );
});
