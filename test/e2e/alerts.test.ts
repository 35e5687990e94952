/**
 * A real Prometheus with the shipped rules watches a real fleet: everything is found, every rule can be evaluated, every metric and label
 * that rules and dashboards name is there, and nothing fires while all is well or after restarts. Then the HSM goes away: the alerts
 * about it fire, and no others, while every certificate is still answered; and they end when it is back.
 *
 * Time goes twenty times as fast for Prometheus: scrapes, evaluations and every `for`. The expressions are as shipped.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { demoToken, HOLDERS, missingSofthsm, THRESHOLD, TOKEN, type DemoToken } from '../../deploy/try/token.ts';
import { ALERTS } from '../../src/core/alerts.ts';
import { Fleet, credentialFiles } from '../support/fleet.ts';
import { exchange } from '../support/http.ts';
import type { Member } from '../support/member.ts';
import { missingPrometheus, PrometheusServer, SHIPPED, type SeenAlert } from '../support/prometheus.ts';
import { baseName, namedIn } from '../support/promql.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, Service, until } from '../support/service.ts';

const HURRY = 20;
const COUNTS = { intakes: 1, signers: 2, responders: 1, monitor: true } as const;

describe('a real Prometheus', { skip: missingPrometheus || needsRedis || missingSofthsm }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-alerts-'));
  let redis: RedisServer;
  let token: DemoToken;
  let fleet: Fleet;
  let prometheus: PrometheusServer;

  async function activate(signer: Member): Promise<void> {
    for (const person of HOLDERS.slice(0, THRESHOLD)) {
      const { certificate, key } = credentialFiles(fleet.directory, person);
      const own = ['--cert', certificate, '--key', key, '--share-file', token.share(person)];
      const { code, stderr } = await signer.run('key', 'activate', '--token', TOKEN, ...own);
      assert.equal(code, 0, stderr);
    }
  }
  const allUp = async (): Promise<boolean> => {
    const health = await prometheus.health();
    return fleet.members.every(({ name }) => health.get(name) === 'up');
  };
  /** openssl asks the responder. */
  const says = (sample: string): string => {
    const ca = fleet.demoFile('ca.pem');
    const url = `http://127.0.0.1:${(fleet.responders[0] as Member).ports.public}/OcspServer`;
    const args = ['ocsp', '-issuer', ca, '-CAfile', ca, '-cert', fleet.demoFile(`samples/${sample}.pem`), '-url', url];
    return (
      /: (good|revoked|unknown)/.exec(execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' }))?.[1] ?? ''
    );
  };

  before(async () => {
    redis = await startRedis();
    fleet = await Fleet.create({
      directory,
      ports: await freePorts(3 * Fleet.names(COUNTS).length),
      ...COUNTS,
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000 }),
      token: async (keys) => (token = await demoToken(directory, keys)),
    });
    await fleet.start();
    for (const signer of fleet.signers) await activate(signer);
    const der = readFileSync(fleet.demoFile('samples/valid.pem'), 'utf8').replace(/-.*-|\s/g, '');
    const { status } = await fleet.api(fleet.intakes[0] as Member, 'POST', '/v1/issuers/demo/certificates', {
      certificates: [{ certificate: der }],
    });
    assert.equal(status, 200);
    await until('it is good', () => says('valid') === 'good', 20_000, 200);
    const [port] = (await freePorts(1)) as [number];
    prometheus = new PrometheusServer({
      directory: join(directory, 'prometheus'),
      port,
      targets: fleet.members.map(({ name, role, ports }) => ({ instance: name, role, admin: ports.admin })),
      runbooks: 'https://example.com/guide/',
      hurry: HURRY,
    });
    await prometheus.start();
  });
  after(async () => {
    await prometheus?.stop();
    await fleet?.kill();
    await redis?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('finds every process, and can evaluate every rule', async () => {
    await until('all are up', allUp, 30_000, 200);
    await seenSoon(prometheus);
    const rules = await prometheus.rules();
    assert.deepEqual(
      rules.filter(({ health }) => health !== 'ok'),
      [],
    );
    assert.deepEqual(rules.map(({ name }) => name).filter((name) => name in ALERTS).sort(), Object.keys(ALERTS).sort()); // prettier-ignore
  });

  it('is given every metric and every label that rules and dashboards name', async () => {
    const texts = await Promise.all(
      fleet.members.map(async ({ ports }) => (await exchange({ port: ports.admin, path: '/metrics' })).body.toString()),
    );
    const [metrics, labels] = [new Set<string>(), new Map<string, Set<string>>()];
    for (const text of texts) {
      for (const [, name = ''] of text.matchAll(/^# TYPE (\S+)/gm)) metrics.add(name);
      for (const [, name = '', own = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
        const known = labels.get(baseName(name)) ?? new Set(['job', 'instance', 'role']);
        for (const [, label = ''] of own.matchAll(/(\w+)="/g)) known.add(label);
        labels.set(baseName(name), known);
      }
    }
    const { metrics: named, labels: selected } = namedIn(shippedExpressions());
    assert.deepEqual([...named].filter((name) => !metrics.has(name) && !ELSEWHERE.includes(name)), []); // prettier-ignore
    const missing = [...selected].filter((pair) => {
      const [metric, label] = pair.split(' ') as [string, string];
      return labels.has(metric) && labels.get(metric)?.has(label) === false;
    });
    assert.deepEqual(missing, []);
  });

  it('has nothing to tell while all is well', async () => {
    assert.deepEqual(await seenSoon(prometheus), []);
  });

  it('tells of a restart nothing but the process that is away', async () => {
    const restarted = [...fleet.responders, ...fleet.monitors];
    for (const member of restarted) await member.kill();
    await until('they are missed', async () => !(await allUp()), 30_000, 200);
    const seen = new Set(names(await prometheus.alerts()));
    for (const member of restarted) await member.start();
    await until('all are up', allUp, 30_000, 200);
    for (const name of await seenSoon(prometheus)) seen.add(name);
    assert.deepEqual([...seen].filter((name) => name !== 'ProcessDown' && name !== 'ServiceDown'), []); // prettier-ignore
    await until('nothing is told any more', async () => (await prometheus.alerts()).length === 0, 30_000, 200);
  });

  it('tells of the HSM that is away, and of nothing else, while every certificate is answered', async () => {
    renameSync(token.files, `${token.files}.away`);
    // An empty one, so that the module starts and finds no token.
    mkdirSync(token.files);
    const firing = async (): Promise<readonly SeenAlert[]> =>
      (await prometheus.alerts()).filter(({ state }) => state === 'firing');
    await until(
      'it fires for both signers',
      async () => {
        const fired = await firing();
        return (
          fired.filter(({ labels }) => labels['alertname'] === 'TokenUnusable').length === 2 &&
          names(fired).length === 2
        );
      },
      90_000,
      200,
    );
    const fired = await firing();
    assert.deepEqual(names(fired), ['KeyUnusable', 'TokenUnusable']);
    for (const { labels, annotations } of fired) {
      const { alertname = '', severity } = labels;
      assert.equal(severity, 'page');
      assert.match(annotations['summary'] ?? '', alertname === 'TokenUnusable' ? /signer-[12].*demo-hsm/ : /^demo: /);
      assert.equal(annotations['runbook_url'], `https://example.com/guide/runbook.md#${alertname.toLowerCase()}`);
    }
    assert.equal(says('valid'), 'good');
    rmSync(token.files, { recursive: true });
    renameSync(`${token.files}.away`, token.files);
    await until('nothing is told any more', async () => (await prometheus.alerts()).length === 0, 90_000, 200);
    assert.equal(says('valid'), 'good');
  });
});

describe('a real Prometheus beside a fresh demo', { skip: missingPrometheus }, () => {
  let service: Service;
  let prometheus: PrometheusServer;
  before(async () => {
    service = await Service.demo();
    const [port] = (await freePorts(1)) as [number];
    prometheus = new PrometheusServer({
      directory: join(service.directory, 'prometheus'),
      port,
      targets: [{ instance: 'certstatus', role: 'all', admin: service.ports.admin }],
      runbooks: 'https://example.com/guide/',
      hurry: HURRY,
    });
    await prometheus.start();
  });
  after(async () => {
    await prometheus?.stop();
    await service?.remove();
  });

  const up = async (): Promise<boolean> => (await prometheus.health()).get('certstatus') === 'up';

  it('has nothing to tell, neither of a CA that is idle nor after a restart', async () => {
    await until('it is up', up, 30_000, 200);
    assert.deepEqual(await seenSoon(prometheus), []);
    await service.stop();
    await until('it is missed', async () => !(await up()), 30_000, 200);
    await service.start('--demo');
    await until('it is up again', up, 30_000, 200);
    await until('the outage is over', async () => (await prometheus.alerts()).length === 0, 30_000, 200);
    assert.deepEqual(await seenSoon(prometheus), []);
  });
});

const names = (alerts: readonly SeenAlert[]): readonly string[] =>
  [...new Set(alerts.map(({ labels }) => labels['alertname'] as string))].sort();

/** Every rule is evaluated five times more; the names of all that is pending or fires meanwhile. */
async function seenSoon(prometheus: PrometheusServer): Promise<readonly string[]> {
  const seen = new Set<string>();
  for (let i = 0; i < 5; i++) {
    const from = Date.now();
    await until('the next evaluation', async () => (await prometheus.evaluatedAt()) > from, 60_000, 200);
    for (const name of names(await prometheus.alerts())) seen.add(name);
  }
  return [...seen].sort();
}

/** What this fleet has not: several responder processes in one, public URLs that are probed, a second place of the archive, bad requests. */
const ELSEWHERE: readonly string[] = [
  'certstatus_responder_processes',
  'certstatus_responder_process_resident_bytes',
  'certstatus_probe_findings',
  'certstatus_probe_age_seconds',
  'certstatus_archive_copy_lag_seconds',
  'certstatus_malformed_requests_total',
];

function shippedExpressions(): readonly string[] {
  type Groups = { readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[] };
  const rules = ['alerts.rules.yml', 'recording.rules.yml'].flatMap((name) =>
    (parse(readFileSync(join(SHIPPED, name), 'utf8')) as Groups).groups.flatMap((group) => group.rules),
  );
  const dashboards = resolve(SHIPPED, '../grafana/dashboards');
  type Panels = { readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[] };
  const panels = readdirSync(dashboards).flatMap((name) => {
    const { panels } = JSON.parse(readFileSync(join(dashboards, name), 'utf8')) as Panels;
    return panels.flatMap(({ targets = [] }) => targets);
  });
  return [...rules, ...panels].map(({ expr }) => expr);
}
