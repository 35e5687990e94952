/** deploy/guide/metrics.md and the table behind it, held against the sources and the registered metrics. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { alertsByMetric, allMetrics, metricsPage } from '../../deploy/guide/metrics-page.ts';
import { METRIC_ROWS } from '../../deploy/guide/metrics-table.ts';
import { deployFile } from '../../src/apps/deploy-file.ts';

/** Every name that the sources hold. */
function namesInSources(directory = deployFile('..', 'src')): readonly string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return namesInSources(path);
    if (!name.endsWith('.ts')) return [];
    return [...readFileSync(path, 'utf8').matchAll(/'(certstatus_[a-z_0-9]+)'/g)].map(([, found]) => found as string);
  });
}

it('deploy/guide/metrics.md is what `npm run metrics` writes', () => {
  assert.equal(readFileSync(deployFile('guide', 'metrics.md'), 'utf8'), metricsPage());
});

it('every metric in the sources is registered, has its row, and no row is without a metric', () => {
  const registered = allMetrics().map(({ name }) => name);
  assert.deepEqual(registered, [...new Set(namesInSources())].sort());
  assert.deepEqual(registered, Object.keys(METRIC_ROWS).sort());
});

it('every name ends in its unit or _total, or its help says that it is a number or a flag; help is a sentence', () => {
  for (const { name, kind, help } of allMetrics()) {
    const hasUnit = /_(?:seconds|bytes|info|rate)$/.test(name);
    if (kind === 'counter') assert.match(name, /_total$/, name);
    else if (kind === 'histogram') assert.match(name, /_seconds$/, name);
    else assert.ok(hasUnit || /^(?:Number of|[01] )/.test(help), `${name}: ${help}`);
    assert.match(help, /^[A-Z0-9].{15,}[.)]$/, `${name}: ${help}`);
    assert.ok(help.length <= 300, `${name}: ${help.length} characters`);
  }
});

it('finds the alerts of a metric by way of recording rules, and buckets under the name of their histogram', () => {
  const found = alertsByMetric([
    { record: 'job:late:sum', expr: 'sum(certstatus_answers_late)' },
    { record: 'job:later:sum', expr: 'job:late:sum > 1' },
    { alert: 'Late', expr: 'job:later:sum > 10' },
    { alert: 'Slow', expr: 'histogram_quantile(0.99, rate(certstatus_probe_seconds_bucket[5m])) > 5' },
  ]);
  assert.deepEqual(
    [...found],
    [
      ['certstatus_answers_late', ['Late']],
      ['certstatus_probe_seconds', ['Slow']],
    ],
  );
});
