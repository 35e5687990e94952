/** CRLs of several signers over a real Redis: who builds when one cannot, and what the next number is when the store forgot. */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { openRedis, whenReady } from '../../src/adapters/redis/connection.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import type { Redis } from 'ioredis';
import { HOUR, SECOND } from '../../src/core/time.ts';
import { flowMetrics } from '../../src/flows/metrics.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { makeIssuer } from '../flows/support-service.ts';
import { needsRedis, redisCli, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

describe('CRLs of several signers', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-crls-'));
  const at = makeIssuer();
  const { tag: TAG } = at.served;
  let server: RedisServer;
  let undo: (() => Promise<unknown> | void)[] = [];
  before(async () => {
    server = await startRedis();
  });
  afterEach(async () => {
    for (const step of undo.reverse()) await step();
    undo = [];
    redisCli(server.port, 'FLUSHALL');
  });
  after(async () => {
    await server.remove();
    rmSync(root, { recursive: true });
  });

  async function open(name: string, directory: string, leaseMs = HOUR): Promise<RedisStore> {
    const redis = openRedis({ topology: server.topology }) as Redis;
    undo.push(() => redis.disconnect());
    await whenReady(redis, 10_000);
    const store = await RedisStore.open({
      redis,
      name,
      intakes: ['intake-1'],
      journals: name.startsWith('intake'),
      issuers: [TAG],
      archive: name.startsWith('intake') ? undefined : new FileCrlArchive(join(root, directory)),
      certificates: 100,
      replicas: 0,
      leaseMs,
    });
    undo.push(() => store.close());
    return store;
  }

  async function publisher(store: RedisStore, journalDir: string, issuer = at): Promise<IssuerCrls> {
    const journal = await FileJournal.open(join(root, journalDir), systemClock);
    undo.push(() => journal.close());
    const { crl } = flowMetrics();
    const own = new IssuerCrls(issuer, store, journal, systemClock, LOG, crl(issuer.served.id));
    undo.push(() => own.stop());
    return own;
  }

  it('one whose key cannot be used leaves the claim to one whose key can (P4)', { timeout: 30_000 }, async () => {
    const intake = await open('intake-1', '-');
    await intake.vouch();
    const [a, b] = [await open('signer-1', 'archive-a'), await open('signer-2', 'archive-b')];
    const crl = at.keys.crl as NonNullable<typeof at.keys.crl>;
    const holder = Object.assign(Object.create(crl.holder) as typeof crl.holder, { failure: 'the token is gone' });
    const dead = await publisher(a, 'journal-a', { ...at, keys: { ...at.keys, crl: { ...crl, holder } } });
    await assert.rejects(dead.publishNow(), { code: 'unavailable', message: /the token is gone/ });
    const live = await publisher(b, 'journal-b');
    await live.start();
    await until('the other publishes', async () => (await intake.current(completeCrl(TAG))) !== undefined, 10_000, 20);
  });

  it('the number grows beyond an archive whose owner had not the claim when the store forgot (P5)', async () => {
    const intake = await open('intake-1', '-');
    await intake.vouch();
    const [a, b] = [await open('signer-1', 'empty'), await open('signer-2', 'full', 1500)];
    const crls = await publisher(b, 'journal-c');
    const big = await b.reserveNumber(completeCrl(TAG), 2n ** 70n);
    const before = await crls.publishNow();
    assert.ok(before.number > big);
    redisCli(server.port, 'FLUSHALL');
    rmSync(join(root, 'empty'), { recursive: true, force: true });
    await until('it must be vouched for', () => Promise.resolve(intake.mustVouch), 10_000, 10);
    await intake.appliedSeq();
    await intake.vouch();
    await until(
      'it is relied on',
      () => Promise.resolve(a.failure === undefined && b.failure === undefined),
      10_000,
      10,
    );
    // The one with the empty archive is first, and dies.
    assert.equal(await a.claimCrl(TAG), true);
    await b.restoreCrl(completeCrl(TAG));
    await a.releaseCrl(TAG);
    const again = await publisher(b, 'journal-d');
    // thisUpdate must grow by a second.
    await until('a second has passed', () => Promise.resolve(Date.now() >= before.thisUpdate + SECOND), 10_000, 50);
    const next = await again.publishNow();
    assert.ok(next.number > before.number, `${next.number} after ${before.number}`);
  });
});
