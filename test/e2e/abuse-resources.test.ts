/** Files and memory run short: what a service with few open files, or none left, still does; and that variety fills nothing up. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync, readlinkSync, readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { Abuser } from '../support/abuser.ts';
import { Metrics } from '../support/metrics.ts';
import { ask, ocspRequest } from '../support/ocsp-client.ts';
import { Service, until } from '../support/service.ts';

const hasPrlimit = spawnSync('prlimit', ['--version']).error === undefined;
const needsPrlimit = hasPrlimit ? false : 'needs prlimit';
const FEW = 256;
/** The whole is for a machine that does nothing else. */
const VARIETY = process.env['ABUSE'] === 'full' ? 1_000_000 : 24_000;
const serialOf = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber;
const newSerial = (): string => `43${randomBytes(15).toString('hex')}`;

async function issue(service: Service, serial: string): Promise<number> {
  const dates = { notBefore: '2026-11-01T00:00:00Z', notAfter: '2027-11-01T00:00:00Z' };
  return (await service.api('POST', '/v1/issuers/demo/certificates', { certificates: [{ serial, ...dates }] })).status;
}

async function says(service: Service, serial: string): Promise<string> {
  const { port, issuer } = { port: service.ports.public, issuer: service.demo.issuer };
  // A kept connection may have been taken away meanwhile: RFC 9110 §9.2.2 has a client ask again.
  const once = () => ask(issuer, serial, { port, path: '/OcspServer', method: 'GET' });
  return (await once().catch(once)).status;
}

describe('few open files', { skip: needsPrlimit }, () => {
  let service: Service;
  before(async () => {
    service = await Service.create();
    service.launcher = ['prlimit', `--nofile=${FEW}:${FEW}`];
    await service.start('--demo');
  });
  after(() => service.remove());

  it('leave connections fewer places, which is said, and store, journal and operators theirs', async () => {
    const { ports } = service;
    assert.match(service.log, /do not fit below the limit of 256 open files/);
    const valid = serialOf(service.demo.valid);
    // Both at once: their bounds are for both together.
    const abusers = [
      new Abuser({ port: ports.public, hold: { silent: 600, 'slow-head': 50 }, again: true }),
      new Abuser({ port: ports.origin, hold: { silent: 300 }, again: true }),
    ];
    try {
      const shed = async (listener: string, reason: string): Promise<number> =>
        (await Metrics.of(ports.admin)).sum('certstatus_connections_shed_total', { listener, reason });
      await until('the public listener makes room', async () => (await shed('public', 'room')) > 100);
      if (loadUws().ok) await until('the origin listener is full', async () => (await shed('origin', 'full')) > 100);
      for (let i = 0; i < 5; i++) {
        const serial = newSerial();
        assert.equal(await issue(service, serial), 200);
        await until('good', async () => (await says(service, serial)) === 'good');
        const { status } = await service.api('POST', '/v1/issuers/demo/revocations', { revocations: [{ serial, reason: 'superseded' }] }); // prettier-ignore
        assert.equal(status, 200);
        assert.equal(await says(service, serial), 'revoked');
        assert.equal(await says(service, valid), 'good');
      }
      // Refused within the second of the last one, whose thisUpdate it would have.
      const publish = async (): Promise<boolean> => (await service.api('POST', '/v1/issuers/demo/crls', {})).status === 200; // prettier-ignore
      await until('a CRL is written while the files are short', publish, 30_000, 300);
      const metrics = await Metrics.of(ports.admin);
      assert.ok(metrics.sum('process_open_fds') < FEW, `${metrics.sum('process_open_fds')} open files`);
    } finally {
      await Promise.all(abusers.map((abuser) => abuser.end()));
    }
    await until('the places are free again', async () => (await Metrics.of(ports.admin)).sum('certstatus_connections') < 10); // prettier-ignore
    assert.doesNotMatch(service.log, /EMFILE/);
  });

  it('are named by check-config', async () => {
    const { status, stdout } = spawnSync(
      'prlimit',
      [
        `--nofile=${FEW}:${FEW}`,
        process.execPath,
        'dist/src/apps/cli.js',
        '--data',
        service.data,
        '--json',
        'check-config',
      ],
      { encoding: 'utf8', cwd: new URL('../../../', import.meta.url) },
    );
    assert.equal(status, 0);
    assert.match(stdout, /listen\.public\.maxConnections 15000/);
  });

  it('and none at all: nobody new gets in, whoever is in is served, and afterwards everything goes on', async () => {
    const { ports, pid } = service;
    const serial = newSerial();
    // Opens the connection to the intake that is used meanwhile.
    assert.equal(await issue(service, serial), 200);
    await until('good', async () => (await says(service, serial)) === 'good');
    const limit = (files: number): void => {
      const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${files}:${FEW}`]);
      assert.equal(status, 0, String(stderr));
    };
    const highest = Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number));
    assert.ok(readlinkSync(`/proc/${pid}/fd/1`).length > 0);
    limit(highest + 1);
    // Fills what is left below the highest.
    const abuser = new Abuser({ port: ports.public, hold: { silent: 100 }, again: true });
    try {
      await until('connections are turned away', () => abuser.report.ended > 50, 30_000, 50);
      // The connection that is open, and files that are open: the journal's and the store's.
      const { status } = await service.api('POST', '/v1/issuers/demo/revocations', { revocations: [{ serial, reason: 'superseded' }] }); // prettier-ignore
      assert.ok(status === 200 || status === 503, `done, or refused in good order: ${status}`);
      const { status: alive } = await service.get('/livez', 'admin').catch(() => ({ status: 200 }));
      assert.equal(alive, 200);
    } finally {
      limit(FEW);
      await abuser.end();
    }
    const { status } = await service.api('POST', '/v1/issuers/demo/revocations', { revocations: [{ serial, reason: 'superseded' }] }); // prettier-ignore
    assert.equal(status, 200);
    assert.equal(await says(service, serial), 'revoked');
    const next = newSerial();
    assert.equal(await issue(service, next), 200);
    await until('good', async () => (await says(service, next)) === 'good');
    assert.equal(await service.stop(), 0);
    const { code, stdout } = await service.run('audit', 'verify');
    assert.equal(code, 0, stdout);
  });
});

describe('variety', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());

  it('of serials, targets, hosts and header names fills nothing up', async (t) => {
    const valid = serialOf(service.demo.valid);
    const serial = randomBytes(16);
    serial[0] = 0x41;
    const request = ocspRequest(service.demo.issuer, serial.toString('hex'));
    const plan = { connections: 16, request: request.toString('base64'), serialAt: request.indexOf(serial), path: '/OcspServer', variety: true }; // prettier-ignore
    const metrics = (): Promise<Metrics> => Metrics.of(service.ports.admin);
    /** By both listeners, so many each. */
    const flood = async (count: number): Promise<Record<string, number>> => {
      const ports = loadUws().ok ? [service.ports.public, service.ports.origin] : [service.ports.public];
      const abusers = ports.map((port) => new Abuser({ port, flood: { ...plan, count: count / ports.length } }));
      const answers: Record<string, number> = {};
      try {
        await until('every answer is there', () => abusers.every(({ report }) => report.done), 600_000, 100);
        for (const { report } of abusers)
          for (const [what, n] of Object.entries(report.answers)) answers[what] = (answers[what] ?? 0) + n;
      } finally {
        await Promise.all(abusers.map((abuser) => abuser.end()));
      }
      return answers;
    };
    // Whatever is made once is made here.
    await flood(6000);
    assert.equal(await says(service, valid), 'good');
    const before = await metrics();
    const { unauthorized = 0, tryLater = 0, ...others } = await flood(VARIETY);
    assert.deepEqual([others, unauthorized + tryLater], [{}, VARIETY]);
    const after = await metrics();
    const mb = (of: Metrics, name: string): number => of.sum(name) / 2 ** 20;
    t.diagnostic(
      `${VARIETY} serials: ${unauthorized} unauthorized, ${tryLater} tryLater; resident ${mb(before, 'process_resident_memory_bytes').toFixed(0)} → ${mb(after, 'process_resident_memory_bytes').toFixed(0)} MB, ` +
        `heap ${mb(before, 'nodejs_heap_size_used_bytes').toFixed(0)} → ${mb(after, 'nodejs_heap_size_used_bytes').toFixed(0)} MB, ${after.size} samples`,
    );
    // Strings for each of them would be more than a hundred octets; what is remembered of them, 16,384 serials, 2 MB.
    assert.ok(mb(after, 'nodejs_heap_size_used_bytes') < mb(before, 'nodejs_heap_size_used_bytes') + 100);
    assert.ok(mb(after, 'process_resident_memory_bytes') < mb(before, 'process_resident_memory_bytes') + 150);
    assert.ok(after.size <= before.size + 4, `${after.size} samples, ${before.size} before`);
    assert.equal(after.sum('certstatus_response_table_entries'), before.sum('certstatus_response_table_entries'));
    assert.equal(await says(service, valid), 'good');
  });
});
