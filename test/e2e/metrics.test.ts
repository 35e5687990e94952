/** What a real service exports after clients did what they like: names, labels, their values and their number. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { METRIC_ROWS } from '../../deploy/guide/metrics-table.ts';
import { LANES } from '../../src/core/certificate.ts';
import { OUTCOMES } from '../../src/flows/metrics.ts';
import { exchange, rawExchange } from '../support/http.ts';
import { getPath, issuerFromFile, ocspRequest } from '../support/ocsp-client.ts';
import { makeRandom } from '../support/random.ts';
import { Service, until } from '../support/service.ts';

const SEED = 20_26_11;
const ODD = 60;
/** Every sample of a service with one issuer; histograms have the most. */
const MOST_SAMPLES = 900;

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

function samplesOf(text: string): readonly Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = ''] = /^([a-z_0-9]+)(?:\{(.*)\})? \S+$/i.exec(line) ?? assert.fail(line);
      const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)];
      return { name, labels: Object.fromEntries(pairs.map(([, label, value]) => [label as string, value as string])) };
    });
}

const oneOf = (...values: readonly string[]): RegExp => new RegExp(`^(?:${values.join('|')})$`);
/** What each label may hold: a closed list, or what the configuration and its certificates are called. */
const VALUES: Readonly<Record<string, RegExp>> = {
  against: oneOf('ntp', 'redis'),
  certid_hash: oneOf('sha1', 'sha256', 'none'),
  certificate: /^[0-9a-f]{8,64}$/,
  channel: oneOf('ocsp', 'crl'),
  directory: oneOf('data', 'audit', 'crl'),
  http_version: oneOf('1.0', '1.1', 'other'),
  issuer: oneOf('demo'),
  key: /^(?:crl|[0-9a-f]{8,64})$/,
  lane: oneOf(...LANES),
  limit: oneOf('24h', '5d'),
  listener: oneOf('public', 'origin'),
  method: oneOf('GET', 'POST', 'HEAD', 'other'),
  outcome: oneOf(
    ...OUTCOMES,
    'published',
    'superseded',
    'older',
    'signed',
    'over-budget',
    'late',
    'not-signed',
    'overtaken',
    'opened',
    'refused',
    'limited',
  ),
  quantile: /^(?:0|0\.\d+|1)$/,
  reason: /^[a-z]+(?:-[a-z]+){0,5}$/,
  result: oneOf('found', 'never-issued', 'failed', 'remembered', 'refused', 'crowded'),
  slot: oneOf('files'),
  status: oneOf('good', 'revoked'),
  use: oneOf('ocsp', 'crl', 'intake'),
  node: /^\d+\.\d+\.\d+$/,
  roles: oneOf('intake,monitor,responder,signer'),
  version: /^\d+\.\d+\.\d+$/,
};

describe(`what a real service exports (seed ${SEED})`, () => {
  let service: Service;
  const random = makeRandom(SEED);
  const word = (): string => `x${random.next().toString(36)}`;
  const scrape = async (): Promise<string> =>
    (await exchange({ port: service.ports.admin, path: '/metrics' })).body.toString();
  const series = (text: string): readonly string[] =>
    samplesOf(text).map(({ name, labels }) => JSON.stringify([name, labels])).sort(); // prettier-ignore

  /** Requests as no client sends them, and serials that nobody has issued. */
  async function noise(): Promise<void> {
    const issuer = issuerFromFile(`${service.data}/issuers/demo/ca.pem`);
    const odd = (): string => {
      const method = ['GET', 'POST', 'BREW', word().toUpperCase(), 'HEAD'][random.below(5)] as string;
      const version = ['1.0', '1.1', '1.7', '2.0', '0.9'][random.below(5)] as string;
      const fields = [
        `Host: ${word()}.example`,
        `User-Agent: ${word()}`,
        `X-${word()}: ${word()}`,
        'Connection: close',
      ];
      return `${method} /${word()}/${word()}?${word()} HTTP/${version}\r\n${fields.join('\r\n')}\r\n\r\n`;
    };
    for (let i = 0; i < ODD; i++) {
      await rawExchange(service.ports.public, odd(), 300).catch(() => undefined);
      const request = ocspRequest(issuer, random.serial(), i % 2 === 0 ? 'sha1' : 'sha256');
      await exchange({ port: service.ports.public, path: getPath('', request), headers: { host: word() } });
    }
    // Whatever of the closed lists the random ones have not met.
    for (const version of ['1.0', '1.1']) {
      for (const method of ['GET', 'HEAD', 'POST', 'BREW'])
        for (const target of ['/', `/${word()}`, '/MAo=']) await rawExchange(service.ports.public, `${method} ${target} HTTP/${version}\r\nHost: ${word()}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, 300).catch(() => undefined); // prettier-ignore
    }
  }

  before(async () => {
    service = await Service.demo();
    await until('ledger, OCSP and CRLs were compared', async () => (await scrape()).includes('certstatus_reconcile_differences 0'), 60_000, 200); // prettier-ignore
    await until('the disks were looked at', async () => (await scrape()).includes('certstatus_disk_free_bytes{'));
  });
  after(() => service.remove());

  it('has no more label sets after another flood of oddities than after the first', async () => {
    await noise();
    const first = series(await scrape());
    await noise();
    const second = series(await scrape());
    const grown = second.filter((one) => !first.includes(one));
    assert.ok(grown.length <= 6, `what only chance meets is bounded by the lists: ${grown.join('\n')}`);
    assert.ok(second.length <= MOST_SAMPLES, `${second.length} samples`);
  });

  it('has labels as the table says, and values from closed lists or the configuration', async () => {
    for (const { name, labels } of samplesOf(await scrape())) {
      if (!name.startsWith('certstatus_')) continue;
      const base = name in METRIC_ROWS ? name : name.replace(/_(?:bucket|sum|count)$/, '');
      const row = METRIC_ROWS[base] ?? assert.fail(`${name} is not in the table`);
      const own = Object.keys(labels).filter((label) => label !== 'le' && label !== 'quantile').sort(); // prettier-ignore
      assert.deepEqual(own, [...row.labels], name);
      for (const [label, value] of Object.entries(labels)) {
        if (label === 'le') continue;
        assert.match(value, VALUES[label] ?? /^$/, `${name}{${label}}`);
      }
    }
  });

  it('has every figure that an all-in-one service can have', async () => {
    const names = new Set(samplesOf(await scrape()).map(({ name }) => name.replace(/_(?:bucket|sum|count)$/, '')));
    for (const name of [
      'certstatus_this_update_age_seconds',
      'certstatus_time_to_next_update_seconds',
      'certstatus_answers_late',
      'certstatus_answers_stale',
      'certstatus_certificates',
      'certstatus_certificates_without_answer',
      'certstatus_signatures_total',
      'certstatus_session_wait_seconds',
      'certstatus_session_busy_seconds_total',
      'certstatus_sessions',
      'certstatus_lane_rate',
      'certstatus_lane_eta_seconds',
      'certstatus_feed_gaps_total',
      'certstatus_feed_lag_seconds',
      'certstatus_store_bytes',
      'certstatus_audit_head_age_seconds',
      'certstatus_audit_bytes',
      'certstatus_disk_free_bytes',
      'certstatus_ca_certificate_remaining_seconds',
      'certstatus_tls_certificate_remaining_seconds',
      'certstatus_clock_steps_total',
      'certstatus_probe_seconds',
      'certstatus_build_info',
      'certstatus_start_time_seconds',
      'certstatus_crl_refused',
    ])
      assert.ok(names.has(name), name);
  });

  it('is accepted by promtool check metrics', { skip: hasPromtool() }, async () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: await scrape() });
    assert.equal(`${stdout.toString()}${stderr.toString()}`, '');
    assert.equal(status, 0);
  });
});

function hasPromtool(): string | false {
  return spawnSync('promtool', ['--version']).status === 0 ? false : 'needs promtool';
}
