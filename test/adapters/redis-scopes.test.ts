/** CRLs of several scopes over a real Redis: what a crash leaves between two pieces, what is found again when Redis has forgotten. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { openRedis, whenReady } from '../../src/adapters/redis/connection.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { COMPLETE, completeCrl, type CrlRecord, type CrlScope } from '../../src/core/certificate.ts';
import type { CrlArchive, CrlDraft, CrlFile } from '../../src/ports/crl-archive.ts';
import { all, crlRecord, issued, publishCrl, revoked, serialOf, TAG } from '../contracts/store-records.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const MIB = 1 << 20;
const shard = (name: string): CrlScope => ({ issuer: TAG, shard: name });
const ALL = completeCrl(TAG);
const PIECES = `cs1:{${TAG}}:der:*`;

describe('CRLs of several scopes over Redis', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-scopes-'));
  let server: RedisServer;
  let admin: Redis;
  let undo: (() => Promise<unknown> | void)[] = [];
  before(async () => {
    server = await startRedis();
    admin = await server.client();
  });
  afterEach(async () => {
    for (const step of undo.reverse()) await step();
    undo = [];
    await admin.flushall();
  });
  after(async () => {
    await server.remove();
    rmSync(root, { recursive: true });
  });

  async function open(name: string, archive?: CrlArchive, redis?: Redis): Promise<RedisStore> {
    const store = await RedisStore.open({
      redis: redis ?? (await connect()),
      name,
      intakes: ['intake-1'],
      journals: name === 'intake-1',
      issuers: [TAG],
      archive,
      // One bucket.
      certificates: 64,
      replicas: 0,
    });
    undo.push(() => store.close());
    if (name === 'intake-1') await store.vouch();
    return store;
  }

  async function connect(): Promise<Redis> {
    const redis = openRedis({ topology: server.topology }) as Redis;
    undo.push(() => redis.disconnect());
    await whenReady(redis, 10_000);
    return redis;
  }

  let places = 0;
  const newArchive = (): FileCrlArchive => new FileCrlArchive(join(root, String(++places)));
  const derOf = (scope: CrlScope, number: bigint, octets = 3 * MIB + 5): Buffer =>
    Buffer.alloc(octets, `${scope.shard} ${number}`);
  const publish = (store: RedisStore, scope: CrlScope, number: bigint, previous?: bigint): Promise<boolean> => {
    const der = derOf(scope, number);
    return publishCrl(store, crlRecord(scope, number, der), der, previous);
  };
  const pieces = async (): Promise<{ kept: number; expiring: number }> => {
    const left = await Promise.all((await admin.keys(PIECES)).map((key) => admin.pttl(key)));
    return { kept: left.filter((ms) => ms === -1).length, expiring: left.filter((ms) => ms > 0).length };
  };
  const forget = async (intake: RedisStore, ...others: RedisStore[]): Promise<void> => {
    await admin.flushall();
    await until('it must be vouched for', () => intake.mustVouch, 10_000, 10);
    await intake.appliedSeq();
    await intake.vouch();
    await until('it is relied on', () => others.every(({ failure }) => failure === undefined), 10_000, 10);
  };

  describe('a crash in a publication', () => {
    /** The archive, whose files disturb whoever copies them into Redis. */
    const disturbed = (archive: CrlArchive, file: (whole: CrlFile) => Partial<CrlFile>): CrlArchive =>
      Object.assign(Object.create(archive) as CrlArchive, {
        open: async (record: CrlRecord) => {
          const whole = await archive.open(record);
          const [read, digest, close] = [whole.read.bind(whole), whole.digest.bind(whole), whole.close.bind(whole)];
          return { octets: whole.octets, read, digest, close, ...file(whole) };
        },
        // Of FileCrlArchive, which has private fields.
        draft: (scope: CrlScope) => archive.draft(scope),
        keep: (record: CrlRecord, draft: CrlDraft) => archive.keep(record, draft),
        read: (record: CrlRecord) => archive.read(record),
        newest: (scope: CrlScope) => archive.newest(scope),
        scopes: archive.scopes.bind(archive),
        list: (scope: CrlScope) => archive.list(scope),
      });

    it('between two pieces leaves the old one current, and what there is of the new one expires', async () => {
      await open('intake-1');
      const archive = newArchive();
      assert.equal(await publish(await open('signer-1', archive), shard('1'), 5n), true);
      assert.deepEqual(await pieces(), { kept: 4, expiring: 0 });
      const dies = disturbed(archive, (whole) => ({
        read: (at, length) => (at > MIB ? Promise.reject(new Error('killed')) : whole.read(at, length)),
      }));
      await assert.rejects(publish(await open('signer-2', dies), shard('1'), 6n, 5n), /killed/);
      assert.deepEqual(await pieces(), { kept: 4, expiring: 2 });
      const responder = await open('responder');
      const current = (await responder.current(shard('1'))) as CrlRecord;
      assert.equal(current.number, 5n);
      assert.ok((await responder.body(current)).equals(derOf(shard('1'), 5n)));
      // Signed, checked and archived: the next start finishes what was begun.
      const again = await open('signer-3', newCopy(archive));
      assert.equal((await again.restoreCrl(shard('1')))?.number, 6n);
      assert.ok(
        (await responder.body((await responder.current(shard('1'))) as CrlRecord)).equals(derOf(shard('1'), 6n)),
      );
      assert.deepEqual(await pieces(), { kept: 4, expiring: 4 });
    });

    it('of Redis between pieces and record is noticed, not published', async () => {
      await open('intake-1');
      const archive = newArchive();
      assert.equal(await publish(await open('signer-1', archive), ALL, 5n), true);
      const loses = disturbed(archive, (whole) => ({
        close: async () => {
          const expiring = await Promise.all(
            (await admin.keys(PIECES)).map(async (key) => [key, await admin.pttl(key)]),
          );
          const [lost] = expiring.find(([, left]) => (left as number) > 0) as [string, number];
          await admin.del(lost);
          await whole.close();
        },
      }));
      const signer = await open('signer-2', loses);
      await assert.rejects(publish(signer, ALL, 6n, 5n), { code: 'unavailable', message: /pieces/ });
      assert.equal((await signer.current(ALL))?.number, 5n);
    });

    const newCopy = (archive: CrlArchive): CrlArchive => disturbed(archive, () => ({}));
  });

  it('every scope is found again when Redis has forgotten, and numbers only grow (C-10, P5)', async () => {
    const intake = await open('intake-1');
    const scopes = [ALL, shard('1'), shard('2'), shard('ca')];
    const [a, b] = [newArchive(), newArchive()];
    const [first, second] = [await open('signer-1', a), await open('signer-2', b)];
    for (const [i, scope] of scopes.entries()) {
      assert.equal(await first.reserveNumber(scope, 2n ** 65n + BigInt(i)), 2n ** 65n + BigInt(i));
      assert.equal(await publish(first, scope, 2n ** 65n + BigInt(i)), true);
    }
    await until('the other has archived them', async () => (await b.scopes(TAG)).length === scopes.length);
    await first.close();
    await forget(intake, second);
    assert.deepEqual(await intake.scopes(TAG), [], 'without an archive');
    assert.equal(await second.current(shard('2')), undefined);
    assert.deepEqual((await second.scopes(TAG)).map((scope) => scope.shard).sort(), [COMPLETE, '1', '2', 'ca']);
    for (const [i, scope] of scopes.entries()) {
      const restored = (await second.restoreCrl(scope)) as CrlRecord;
      assert.deepEqual([restored.shard, restored.number, restored.asOfSeq], [scope.shard, 2n ** 65n + BigInt(i), 0]);
      assert.equal(await intake.reserveNumber(scope, 0n), 2n ** 65n + BigInt(i) + 1n);
      assert.ok((await intake.body(restored)).equals(derOf(scope, restored.number)));
    }
    assert.equal((await intake.scopes(TAG)).length, scopes.length);
  });

  it('a signer archives what another has published while it was away, before Redis forgets it too', async () => {
    await open('intake-1');
    const [a, b] = [newArchive(), newArchive()];
    assert.equal(await publish(await open('signer-1', a), shard('1'), 7n), true);
    const late = await open('signer-2', b);
    assert.equal((await late.restoreCrl(shard('1')))?.number, 7n);
    assert.equal((await b.newest(shard('1')))?.number, 7n);
    const file = await (await open('signer-3', newArchive())).openCrl((await b.newest(shard('1'))) as CrlRecord);
    assert.ok((await file.read(0, file.octets)).equals(derOf(shard('1'), 7n)));
    await file.close();
  });

  it('keeps the newest hundred records of a scope, and lists the older ones from the archive', async () => {
    const intake = await open('intake-1');
    const signer = await open('signer-1', newArchive());
    for (let n = 1n; n <= 105n; n++) {
      const der = Buffer.from(`crl ${n}`);
      assert.ok(await publishCrl(signer, crlRecord(shard('1'), n, der), der, n === 1n ? undefined : n - 1n));
    }
    const listed = async (store: RedisStore): Promise<bigint[]> => {
      const numbers: bigint[] = [];
      for await (const { number } of store.list(shard('1'))) numbers.push(number);
      return numbers;
    };
    assert.deepEqual(
      await listed(signer),
      Array.from({ length: 105 }, (_, i) => BigInt(105 - i)),
    );
    assert.deepEqual(
      await listed(intake),
      Array.from({ length: 100 }, (_, i) => BigInt(105 - i)),
    );
  });

  it('refuses what Redis is not to hold before anything is written, and says who has no archive', async () => {
    await open('intake-1');
    const archive = newArchive();
    const signer = await open('signer-1', archive);
    const small = derOf(ALL, 1n, 10);
    const huge: CrlRecord = { ...crlRecord(ALL, 1n, small), bytes: 600 * MIB };
    await assert.rejects(publishCrl(signer, huge, small, undefined), { code: 'too-large', message: /more shards/ });
    assert.equal(await archive.newest(ALL), undefined);
    assert.deepEqual(await admin.keys(PIECES), []);
    const responder = await open('responder');
    await assert.rejects(responder.draftCrl(ALL), { code: 'config', message: /no archive/ });
  });

  it('a process without an archive opens the current CRL, and reads on when that has been replaced', async () => {
    await open('intake-1');
    const signer = await open('signer-1', newArchive());
    assert.equal(await publish(signer, shard('1'), 5n), true);
    const monitor = await open('monitor-1');
    const record = (await monitor.current(shard('1'))) as CrlRecord;
    const file = await monitor.openCrl(record);
    await admin.del(...(await admin.keys(PIECES)));
    const der = derOf(shard('1'), 5n);
    assert.equal(file.octets, der.length);
    assert.ok((await file.read(MIB - 1, MIB + 2)).equals(der.subarray(MIB - 1, 2 * MIB + 1)));
    await assert.rejects(file.read(der.length - 1, 2), { code: 'corrupt' });
    assert.equal(await file.digest(), record.sha256);
    await file.close();
    await assert.rejects(monitor.openCrl(record), { code: 'corrupt', message: /no archive/ });
  });

  it('tells a revocation that stands behind a large CRL in the feed without waiting for that (P2)', async () => {
    const intake = await open('intake-1');
    const signer = await open('signer-1', newArchive());
    const redis = await connect();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const getBuffer = redis.getBuffer.bind(redis);
    redis.getBuffer = (async (key: string) => {
      await held;
      return getBuffer(key);
    }) as typeof redis.getBuffer;
    const responder = await open('responder', undefined, redis);
    const told: string[] = [];
    responder.follow(({ type }) => told.push(type));
    assert.equal(await publish(signer, ALL, 1n), true);
    await intake.replay([revoked(1, 1)], 1);
    await until('the revocation is told', () => told.length > 0, 10_000, 10);
    assert.deepEqual(told, ['recorded']);
    release();
    await until('the CRL is told', () => told.length > 1, 10_000, 10);
    assert.deepEqual(told, ['recorded', 'crl']);
  });

  it('reads every certificate once where a bucket holds a hundred times what it was made for', async () => {
    const intake = await open('intake-1');
    const changes = Array.from({ length: 7000 }, (_, n) => issued(n, 1, { crlShard: '1' }));
    await intake.replay(changes, 1);
    let largest = 0;
    const seen: string[] = [];
    for await (const page of intake.certificates(TAG)) {
      largest = Math.max(largest, page.length);
      for (const { serial } of page) seen.push(serial);
      // The hash is resized while it is read.
      if (seen.length < 3000)
        await intake.replay(
          Array.from({ length: 500 }, (_, n) => issued(10_000 + seen.length + n, 1)),
          seen.length,
        );
    }
    assert.ok(largest < 3000, `${largest} in one page`);
    assert.equal(new Set(seen).size, seen.length, 'none twice');
    const found = new Set(seen);
    for (let n = 0; n < 7000; n++) assert.ok(found.has(serialOf(n)), serialOf(n));
    assert.equal((await all(intake.serials(TAG))).length, await admin.hlen(`cs1:{${TAG}}:b:0`));
  });
});
