/**
 * Thousands of connections that do nothing, and hundreds that do it slowly, beside clients that want an answer. ABUSE=full: ten
 * thousand and one thousand, for a machine that does nothing else.
 */
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { Abuser } from '../support/abuser.ts';
import { exchange, rawExchange } from '../support/http.ts';
import { Metrics } from '../support/metrics.ts';
import { ask, getPath, ocspRequest } from '../support/ocsp-client.ts';
import { Service, until } from '../support/service.ts';

const CRL = '/SureServer/demo/cdp.crl';
const REVOKED = 2000;
const FULL = process.env['ABUSE'] === 'full';
const PLACES = FULL ? 10_000 : 2000;
/** With the slow ones more than there are places. */
const SILENT = FULL ? 10_000 : 2000;
const EACH = FULL ? 300 : 120;
const SLOW = { 'slow-head': EACH, 'slow-body': EACH, reader: EACH, 'half-closed': EACH / 3 } as const;
const ALL = SILENT + Object.values(SLOW).reduce((sum, count) => sum + count);

describe('connections that are held for nothing', () => {
  let service: Service;
  const abusers: Abuser[] = [];
  const abuse = (plan: ConstructorParameters<typeof Abuser>[0]): Abuser => {
    const abuser = new Abuser(plan);
    abusers.push(abuser);
    return abuser;
  };

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    const config = join(service.data, 'certstatus.yaml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('maxConnections: 15000', `maxConnections: ${PLACES}`));
    // A CRL that does not fit into the buffers of a connection as often as it is asked for.
    const rows = Array.from({ length: REVOKED }, () => `4${randomBytes(16).toString('hex').slice(1)},2027-06-01T00:00:00Z,revoked,2026-11-01T00:00:00Z`); // prettier-ignore
    const file = join(service.directory, 'revoked.csv');
    writeFileSync(file, `serial,notAfter,status,revokedAt\n${rows.join('\n')}\n`);
    const imported = await service.run('import', 'csv', '--issuer', 'demo', file);
    assert.equal(imported.code, 0, imported.stderr);
    await service.start('--demo');
    await until('the CRL is there', async () => (await service.get(CRL)).body.length > REVOKED * 30);
    await until('everything is signed', async () => {
      const { lanes } = JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as { lanes: { waiting: number }[] }; // prettier-ignore
      return lanes.every(({ waiting }) => waiting === 0);
    });
  });
  after(async () => {
    await Promise.all(abusers.map((abuser) => abuser.end()));
    await service.remove();
  });

  /** What a client gets meanwhile, in every dialect; each failure with its cause. */
  function clients(): { readonly failures: string[]; readonly answered: () => number; stop(): Promise<void> } {
    const { demo, ports } = service;
    const serial = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber;
    const [valid, revoked] = [serial(demo.valid), serial(demo.revoked)];
    const failures: string[] = [];
    let [answered, going] = [0, true];
    const loop = async (what: string, once: () => Promise<void>): Promise<void> => {
      while (going) {
        // A kept connection may be ended while a request is on its way: RFC 9110 §9.2.2 has such a client ask again, once.
        await once()
          .catch((error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? once() : Promise.reject(error)))
          .then(
            () => (answered += 1),
            (error: Error) => failures.push(`${what}: ${error.message}`),
          );
        await sleep(50);
      }
    };
    const says = async (file: string, wanted: string, port: number): Promise<void> => {
      const { status } = await ask(demo.issuer, file, { port, path: '/OcspServer', method: 'GET' });
      assert.equal(status, wanted);
    };
    const tasks = [
      loop('public, kept', () => says(valid, 'good', ports.public)),
      loop('public, kept, POST', async () =>
        assert.equal((await ask(demo.issuer, revoked, { port: ports.public, path: '/OcspServer' })).status, 'revoked'),
      ),
      loop('public, HTTP/1.0', async () => {
        const path = getPath('/OcspServer', ocspRequest(demo.issuer, valid));
        const reply = await rawExchange(ports.public, `GET ${path} HTTP/1.0\r\n\r\n`, 20_000);
        assert.match(reply.toString('latin1', 0, 300), /^HTTP\/1\.1 200 OK\r\n/);
      }),
      loop('CRL', async () => {
        const { status, body } = await exchange({ port: ports.public, path: CRL, headers: { connection: 'close' } });
        assert.deepEqual([status, body.length > REVOKED * 30], [200, true]);
      }),
      loop('admin', async () => {
        for (const path of ['/livez', '/metrics', '/status.json'])
          assert.equal((await service.get(path, 'admin')).status, 200);
        await sleep(200);
      }),
      loop('intake', async () => {
        assert.equal((await service.api('GET', `/v1/issuers/demo/certificates/${valid}`)).status, 200);
        await sleep(200);
      }),
      ...(loadUws().ok ? [loop('origin', () => says(revoked, 'revoked', ports.origin))] : []),
    ];
    return {
      failures,
      answered: () => answered,
      async stop() {
        going = false;
        await Promise.all(tasks);
      },
    };
  }

  it('keep nobody from an answer, and leave nothing behind', async (t) => {
    const { ports } = service;
    const metrics = (): Promise<Metrics> => Metrics.of(ports.admin);
    const quiet = await metrics();
    const load = clients();
    t.after(() => load.stop());
    await until('clients are answered', () => load.answered() > 50);

    // They come back at once, whenever they are let go.
    const again = true;
    const first = abuse({ port: ports.public, path: CRL, hold: { silent: SILENT, ...SLOW }, again });
    abuse({ port: ports.origin, path: CRL, hold: { silent: SILENT / 10, kept: EACH, 'slow-head': EACH, 'slow-body': EACH, reader: EACH / 3 } }); // prettier-ignore
    // Nobody needs a certificate to hold a connection of the intake.
    const intake = abuse({ port: ports.intake, hold: { silent: 60, 'slow-head': 20 } });
    const counts = (of: Metrics, reason: string): number => of.sum('certstatus_connections_shed_total', { listener: 'public', reason }); // prettier-ignore
    let most = 0;
    await until(
      'every place is taken, and taken away from those who do nothing',
      async () => {
        const now = await metrics();
        most = Math.max(most, now.sum('certstatus_connections', { listener: 'public' }));
        return first.report.opened >= ALL && counts(now, 'room') > 0;
      },
      60_000,
      200,
    );
    const during = load.answered();
    await until('clients are answered meanwhile', () => load.answered() > during + 100);
    assert.ok(most > PLACES * 0.8 && most <= PLACES, `${most} connections of ${PLACES} at most`);
    first.relent();

    // A client that reads nothing does not notice: the listeners say what they hold.
    const held = async (): Promise<number> => (await metrics()).sum('certstatus_connections');
    await until('all of them are let go', async () => (await held()) < 20, 60_000, 500);
    await until('and those at the intake', () => intake.report.open === 0, 30_000, 200);
    await load.stop();
    assert.deepEqual(load.failures, []);

    const rest = await metrics();
    // A reader that takes nothing of a CRL has two minutes, unless its place is wanted: longer than this test.
    for (const reason of ['idle', 'slow-request', 'room']) assert.ok(counts(rest, reason) > 0, `shed: ${reason}`);
    assert.equal(counts(rest, 'full'), 0);
    await until('every file is closed', async () => (await metrics()).sum('process_open_fds') <= quiet.sum('process_open_fds') + 40); // prettier-ignore
    const [before, after] = [quiet, await metrics()].map((one) => one.sum('process_resident_memory_bytes') / 2 ** 20) as [number, number]; // prettier-ignore
    t.diagnostic(`${load.answered()} answers; resident ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after; shed ${['idle', 'slow-request', 'slow-reader', 'room'].map((reason) => `${reason} ${counts(rest, reason)}`).join(', ')}`); // prettier-ignore
    assert.ok(after < before + 300, `${after} MB resident, ${before} MB before`);
  });
});
