import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import fc from 'fast-check';
import { Exporter } from '../../src/adapters/prometheus/exporter.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { flowMetrics, OUTCOMES } from '../../src/flows/metrics.ts';
import { HOUR } from '../../src/core/time.ts';
import { makeIssuer, OCSP_PATH, question, serials, TestService } from './support-service.ts';

const SEED = 1_2026;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

it(`keeps the number of label sets bounded, whatever clients send (seed ${SEED})`, () => {
  const { set, answer } = flowMetrics();
  fc.assert(
    fc.property(
      fc.constantFrom(...OUTCOMES),
      fc.string(),
      fc.string(),
      fc.constantFrom('sha1', 'sha256', undefined),
      (outcome, method, version, hash) => {
        answer.count(outcome, method, version, hash);
      },
    ),
    { numRuns: 3000, seed: SEED },
  );
  for (const method of ['GET', 'POST', 'HEAD', 'PROPFIND'])
    for (const version of ['1.0', '1.1', '2']) answer.count('good', method, version, 'sha1');
  const metric = [...set].find(({ name }) => name === 'certstatus_answers_total');
  assert.ok(metric?.kind === 'counter');
  const sets = metric.slots.map(({ labels }) => JSON.stringify(labels));
  assert.equal(new Set(sets).size, sets.length, 'each once');
  assert.ok(sets.length <= OUTCOMES.length * 4 * 3 * 3);
  assert.deepEqual(
    new Set(metric.slots.map(({ labels }) => labels['method'])),
    new Set(['GET', 'POST', 'HEAD', 'other']),
  );
  assert.deepEqual(new Set(metric.slots.map(({ labels }) => labels['http_version'])), new Set(['1.0', '1.1', 'other']));
  assert.equal(
    metric.slots.reduce((sum, { slot }) => sum + slot.value, 0),
    3012,
  );
});

/** name{label="value",…} value (Prometheus text format 0.0.4; a Go parser reads NaN in any case). */
const SAMPLE =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*")*,?\})? (-?[0-9.e+-]+|[Nn]a[Nn]|[+-]Inf)$/;

it('exports text that a scraper reads: each line a sample of a declared metric, no sample twice', async () => {
  const service = await TestService.open([makeIssuer()]);
  services.push(service);
  registerGauges(service.metrics.set, service.sources);
  service.signer.start();
  await service.publisher.start();
  await service.issue(serials(20));
  await service.revoke(serials(3));
  await service.clock.stride(2 * HOUR, HOUR);
  for (const method of ['GET', 'BREW"\\\n', 'POST'])
    await service.answer(question(OCSP_PATH, { method, httpVersion: '9"\n' }));
  const exporter = new Exporter(service.metrics.set);
  await exporter.text();
  const text = await exporter.text();
  const declared = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of text.split('\n').filter(Boolean)) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) declared.set(type[1] as string, type[2] as string);
    if (line.startsWith('#')) continue;
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? assert.fail(`not a sample: ${line}`);
    const base = (name as string).replace(/_(?:bucket|sum|count)$/, '');
    assert.ok(declared.has(name as string) || declared.get(base) === 'histogram', `${name} is not declared`);
    assert.ok(!samples.has(`${name}${labels}`), `${name}${labels} stands there twice`);
    samples.set(`${name}${labels}`, Number(value));
  }
  assert.equal(samples.get('certstatus_published_certificates{issuer="test"}'), 20);
  assert.equal(samples.get('certstatus_crl_entries{issuer="test"}'), 3);
  assert.equal(samples.get('certstatus_backlog{lane="refresh"}'), 0);
  assert.equal(samples.get('certstatus_freshness_complete'), 1);
  const issuance = 'certstatus_issuance_to_ocsp_seconds';
  assert.equal(samples.get(`${issuance}_bucket{le="+Inf"}`), samples.get(`${issuance}_count`));
  assert.equal(samples.get('certstatus_revocation_to_crl_seconds_count'), 1, 'the oldest revocation of the CRL');
  const buckets = [...samples].filter(([name]) => name.startsWith(`${issuance}_bucket`)).map(([, value]) => value);
  assert.deepEqual(
    buckets,
    [...buckets].sort((a, b) => a - b),
    'buckets are cumulative',
  );
});
