/** A real Alertmanager with the shipped example: a cause silences what follows from it, and nothing else. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ALERTS } from '../../src/core/alerts.ts';
import { SHIPPED } from '../support/prometheus.ts';
import { freePorts, until } from '../support/service.ts';

const missing =
  spawnSync('prometheus-alertmanager', ['--version']).error === undefined ? false : 'needs prometheus-alertmanager';

type Labels = Readonly<Record<string, string>>;

describe('Alertmanager', { skip: missing }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-alertmanager-'));
  let port: number;
  let child: ChildProcess;
  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;

  before(async () => {
    [port] = (await freePorts(1)) as [number];
    const options = [
      `--config.file=${join(SHIPPED, 'alertmanager.yml')}`,
      `--storage.path=${directory}`,
      `--web.listen-address=127.0.0.1:${port}`,
      // Alone.
      '--cluster.listen-address=',
    ];
    child = spawn('setpriv', ['--pdeathsig', 'KILL', 'prometheus-alertmanager', ...options], { stdio: 'ignore' });
    await until('it is ready', () => fetch(url('/-/ready')).then(({ ok }) => ok, () => false), 20_000, 100); // prettier-ignore
  });
  after(async () => {
    const ended = new Promise((done) => child.once('close', done));
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });

  /** Tells it of these, each in an installation of its own; returns the names of those that are silenced by others. */
  async function silenced(
    job: string,
    alerts: readonly (Labels & { readonly alertname: keyof typeof ALERTS })[],
  ): Promise<readonly string[]> {
    const body = alerts.map((labels) => ({ labels: { job, severity: ALERTS[labels.alertname], ...labels } }));
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(url('/api/v2/alerts'), { method: 'POST', headers, body: JSON.stringify(body) });
    assert.equal(status, 200);
    type Seen = {
      readonly labels: Labels;
      readonly status: { readonly state: string; readonly inhibitedBy: readonly string[] };
    };
    let seen: readonly Seen[] = [];
    await until('it has looked at all', async () => {
      seen = (await (await fetch(url(`/api/v2/alerts?filter=job="${job}"`))).json()) as readonly Seen[];
      return seen.length === alerts.length && seen.every(({ status: { state } }) => state !== 'unprocessed');
    }, 60_000, 200); // prettier-ignore
    return seen
      .filter(({ status: { inhibitedBy } }) => inhibitedBy.length > 0)
      .map(({ labels }) => labels['alertname'] as string)
      .sort();
  }

  it('tells of a store that is gone, and of limits that come near; not of each process that notices', async () => {
    const told = await silenced('store', [
      { alertname: 'StoreUnusable' },
      { alertname: 'FeedSilent', instance: 'responder-1', role: 'responder' },
      { alertname: 'IssuanceLate', lane: 'issue' },
      { alertname: 'RevocationDeadlineNear', limit: '24h' },
      { alertname: 'AnswersRunOut', issuer: 'demo' },
    ]);
    assert.deepEqual(told, ['FeedSilent', 'IssuanceLate']);
  });

  it('tells of an HSM that is gone, and not that signing fails', async () => {
    const told = await silenced('token', [
      { alertname: 'TokenUnusable', instance: 'signer-1', token: 'ocsp-a' },
      { alertname: 'KeyUnusable', issuer: 'demo', signs: 'CRLs' },
      { alertname: 'SigningFails', slot: 'ocsp-a' },
      { alertname: 'RevocationNotOnCrl', channel: 'crl' },
      { alertname: 'AuditLogUnwritable', instance: 'intake-1', role: 'intake' },
    ]);
    assert.deepEqual(told, ['SigningFails']);
  });

  it('tells of a role that is gone, and of single processes of another', async () => {
    const told = await silenced('down', [
      { alertname: 'ServiceDown', role: 'signer' },
      { alertname: 'ProcessDown', instance: 'signer-1', role: 'signer' },
      { alertname: 'ProcessDown', instance: 'responder-1', role: 'responder' },
      { alertname: 'TokenUnusable', instance: 'signer-1', token: 'ocsp-a' },
      { alertname: 'BacklogGrows', lane: 'refresh' },
    ]);
    assert.deepEqual(told, ['BacklogGrows', 'ProcessDown', 'TokenUnusable']);
  });

  it('tells the worse of two about one issuer, and both about two', async () => {
    const told = await silenced('issuers', [
      { alertname: 'CrlRunsOut', issuer: 'a' },
      { alertname: 'CrlLate', issuer: 'a' },
      { alertname: 'CrlLate', issuer: 'b' },
    ]);
    assert.deepEqual(told, ['CrlLate']);
  });

  it('knows nothing of another installation', async () => {
    assert.deepEqual(await silenced('other', [{ alertname: 'FeedSilent', instance: 'x', role: 'responder' }]), []);
  });
});
