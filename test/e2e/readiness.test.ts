/** A responder that cannot use its store: not ready when it never could, and ready still when it no longer can (all would be at once). */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { exchange } from '../support/http.ts';
import type { Member } from '../support/member.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, until } from '../support/service.ts';

describe('readiness of a responder', { skip: needsRedis }, () => {
  let redis: RedisServer;
  let fleet: Fleet;
  let responder: Member;
  const ready = (): Promise<{ readonly status: number; readonly body: Buffer }> =>
    exchange({ port: responder.ports.admin, path: '/readyz' });

  before(async () => {
    redis = await startRedis();
    const counts = { intakes: 1, signers: 1, responders: 1 };
    fleet = await Fleet.create({
      directory: mkdtempSync(join(tmpdir(), 'certstatus-ready-')),
      ports: await freePorts(3 * Fleet.names(counts).length),
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000 }),
      ...counts,
    });
    [responder] = fleet.responders as [Member];
  });
  after(async () => {
    await fleet?.kill();
    fleet?.remove();
    await redis?.remove();
  });

  it('is not ready while it never could rely on the store, and says why', async () => {
    await responder.start();
    const { status, body } = await ready();
    assert.equal(status, 503);
    assert.match(body.toString(), /the store could not be used since the start: .*intake-1/);
    assert.equal((await exchange({ port: responder.ports.admin, path: '/livez' })).status, 200);
  });

  it('is ready when it can, and stays so when the store is away', async () => {
    await fleet.intakes[0]?.start();
    await until('it is ready', async () => (await ready()).status === 200);
    redis.pause();
    await until('it has noticed', async () => (await responder.status())?.storeFailure !== undefined);
    assert.equal((await ready()).status, 200, 'it serves from memory');
    redis.resume();
  });
});
