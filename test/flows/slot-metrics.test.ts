import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { openSoftwareKey } from '../../src/adapters/software-key/key-holder.ts';
import { MetricSet } from '../../src/core/metric.ts';
import { slotMeters } from '../../src/flows/sign/slot-metrics.ts';
import { ecKey } from '../core/sample-pki.ts';

it('counts what a key in a file signs, by use, how long calls waited, and for how long it was busy', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-slot-'));
  const file = join(directory, 'a.key');
  writeFileSync(file, ecKey().privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const set = new MetricSet();
  const meter = slotMeters(set);
  const ocsp = await openSoftwareKey(file, { meter: meter('files'), use: 'ocsp' });
  const crl = await openSoftwareKey(file, { meter: meter('files'), use: 'crl' });
  const tbs = Array.from({ length: 40 }, (_, i) => Buffer.from(`answer ${i}`));
  await Promise.all([ocsp.sign(tbs, 'bulk'), ocsp.sign(tbs.slice(0, 5), 'urgent'), crl.sign(tbs.slice(0, 1), 'bulk')]);
  const whole = crl.begin();
  whole.update(Buffer.from('a long list'));
  await whole.finish('bulk');
  assert.equal(set.sum('certstatus_signatures_total', { slot: 'files', use: 'ocsp' }), 45);
  assert.equal(set.sum('certstatus_signatures_total', { slot: 'files', use: 'crl' }), 2);
  assert.equal(set.sum('certstatus_signature_failures_total'), 0);
  assert.ok(set.sum('certstatus_session_busy_seconds_total') > 0);
  const waits = [...set].find(({ name }) => name === 'certstatus_session_wait_seconds');
  assert.ok(waits?.kind === 'histogram');
  assert.equal(waits.series.length, 1, 'one for the slot, whatever the number of keys');
  assert.equal(
    waits.series[0]?.counts.reduce((sum, count) => sum + count, 0),
    3,
    'one for each call',
  );
  // Calls of one turn that find the threads taken have waited for longer than nothing.
  assert.ok((waits.series[0]?.sum.value ?? 0) > 0);
  rmSync(directory, { recursive: true });
});
