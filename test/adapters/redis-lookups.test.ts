/** Look-ups that share a read, and what one of them may not do to the others. And the change feed: how much of it is kept. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { bucketOf, Keys } from '../../src/adapters/redis/keys.ts';
import { scripts } from '../../src/adapters/redis/scripts.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { Problem } from '../../src/core/problem.ts';
import type { StoreEvent } from '../../src/ports/store.ts';
import { certificate, serialOf, TAG } from '../contracts/store-records.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const RECORDED = 300;
const keys = new Keys(TAG);
const unavailable = (error: unknown): boolean => error instanceof Problem && error.code === 'unavailable';

describe('look-ups of the Redis store', { skip: needsRedis }, () => {
  let server: RedisServer;
  let redis: Redis;
  let store: RedisStore;
  /** Reads of records that were sent, by how many records each asked for. */
  let reads: number;
  /** Set: looks at the ledger wait for it. */
  let hold: Promise<void> | undefined;

  before(async () => {
    server = await startRedis();
    redis = await server.client();
    watchCommands(redis);
    store = await openStore(redis);
    const changes = Array.from({ length: RECORDED }, (_, n) => ({ certificate: certificate(n, 1), lane: undefined }));
    await store.apply(changes, 1, new Map());
  });
  beforeEach(() => (reads = 0));
  after(async () => {
    await store.close();
    await server.remove();
  });

  function watchCommands(connection: Redis): void {
    const scripting = connection as unknown as { evalsha_roBuffer(sha: string, ...rest: unknown[]): Promise<unknown> };
    const send = scripting.evalsha_roBuffer.bind(connection);
    scripting.evalsha_roBuffer = async (sha, ...rest) => {
      if (sha === scripts.read.sha) reads += 1;
      if (sha === scripts.poll.sha) await hold;
      return send(sha, ...rest);
    };
  }

  it('share one read when they are asked in one turn, and each gets its own answer', async () => {
    const asked = Array.from({ length: 100 }, (_, n) => serialOf(n));
    const found = await Promise.all(asked.map((serial) => store.lookup(TAG, serial)));
    assert.deepEqual(
      found.map((lookup) => lookup.kind === 'pending' && lookup.certificate.serial),
      asked,
    );
    assert.equal(reads, 1);
  });

  it('are answered all when there are more than one read takes, and when some are asked while others are read', async () => {
    const kinds = new Set<string>();
    const ask = async (n: number): Promise<void> => void kinds.add((await store.lookup(TAG, serialOf(n))).kind);
    const first = Array.from({ length: RECORDED }, (_, n) => ask(n));
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([...first, ...Array.from({ length: RECORDED }, (_, n) => ask(n))]);
    assert.deepEqual([...kinds], ['pending']);
    assert.ok(reads >= 2 && reads <= 6, `${reads} reads`);
  });

  it('that find nothing wait for another look at the ledger; the others do not (P3)', async () => {
    let release = (): void => undefined;
    hold = new Promise((resolve) => (release = resolve));
    let told = false;
    const nothing = store.lookup(TAG, serialOf(RECORDED)).finally(() => (told = true));
    assert.equal((await store.lookup(TAG, serialOf(0))).kind, 'pending');
    assert.equal(told, false);
    hold = undefined;
    release();
    assert.equal((await nothing).kind, 'unknown');
  });

  it('are not spoilt by a record that cannot be read', async () => {
    const broken = Buffer.from(serialOf(7), 'hex');
    const bucket = keys.bucket(bucketOf(broken, Number(await redis.hget(keys.meta, 'buckets'))));
    const record = (await redis.hgetBuffer(bucket, broken)) as Buffer;
    await redis.hset(bucket, broken, record.subarray(0, 3));
    const [spoilt, good] = await Promise.allSettled([7, 8].map((n) => store.lookup(TAG, serialOf(n))));
    await redis.hset(bucket, broken, record);
    assert.equal(spoilt?.status, 'rejected');
    assert.equal(good?.status, 'fulfilled');
  });

  it('fail all when Redis is silent, also those that wait behind a read, and work again after it', async () => {
    await store.lookup(TAG, serialOf(1));
    server.pause();
    const first = store.lookup(TAG, serialOf(1));
    await new Promise((resolve) => setImmediate(resolve));
    const behind = store.lookup(TAG, serialOf(2));
    for (const lookup of await Promise.allSettled([first, behind]))
      assert.ok(lookup.status === 'rejected' && unavailable(lookup.reason));
    server.resume();
    await until('the ledger is relied on again', () => store.failure === undefined);
    assert.equal((await store.lookup(TAG, serialOf(2))).kind, 'pending');
  });

  it('never say `unknown` of an emptied ledger (P1)', async () => {
    await redis.flushall();
    const found = await Promise.allSettled([1, 2, 3].map((n) => store.lookup(TAG, serialOf(n))));
    for (const lookup of found) assert.ok(lookup.status === 'rejected' && unavailable(lookup.reason));
  });
});

describe('the change feed in Redis', { skip: needsRedis }, () => {
  let server: RedisServer;
  let store: RedisStore;
  before(async () => {
    server = await startRedis();
    store = await openStore(await server.client(), 50);
  });
  after(async () => {
    await store.close();
    await server.remove();
  });

  it('keeps the newest entries within a number and within octets', async () => {
    const redis = await server.client();
    for (let n = 0; n < 60; n++) await store.addResponder(TAG, randomBytes(40));
    assert.equal(await redis.xlen(`${keys.base}feed`), 50);
    for (let n = 0; n < 30; n++) await store.addResponder(TAG, randomBytes(200_000));
    const large = await redis.xrangeBuffer(`${keys.base}feed`, '-', '+');
    const octets = large.map(([, [, , , payload]]) => (payload as Buffer).length);
    assert.deepEqual(octets, Array(10).fill(200_001));
    assert.equal(String(large.at(-1)?.[0]), `${await redis.hget(keys.meta, 'feed')}-0`);
    await store.addResponder(TAG, randomBytes(3 << 20));
    assert.equal(await redis.xlen(`${keys.base}feed`), 1, 'the newest is always kept');
    for (let n = 0; n < 60; n++) await store.addResponder(TAG, randomBytes(40));
    assert.equal(await redis.xlen(`${keys.base}feed`), 50);
  });

  it('tells `gap` to whoever did not look while entries went for their size', async () => {
    const events: StoreEvent[] = [];
    store.follow((event) => events.push(event));
    await store.addResponder(TAG, Buffer.from('last of those before'));
    await until('the follower has come so far', () => events.some(isLastBefore));
    events.length = 0;
    const other = await server.client();
    const last = await other.hget(keys.meta, 'feed');
    // In one turn of the server, so that no look comes between them.
    const changes = other.multi();
    for (let n = 0; n < 30; n++) {
      const der = randomBytes(200_000);
      const payload = Buffer.concat([Buffer.from('p'), der]);
      changes.eval(scripts.addResponder.lua, 1, keys.meta, await instance(other), der, 50, payload);
    }
    await changes.exec();
    await until('the follower is told', () => events.length > 0);
    assert.equal(events[0]?.type, 'gap');
    assert.equal(Number(await other.hget(keys.meta, 'feed')), Number(last) + 30);
  });
});

function isLastBefore(event: StoreEvent): boolean {
  return event.type === 'responder' && event.der.toString() === 'last of those before';
}

async function openStore(redis: Redis, feedLength = 1000): Promise<RedisStore> {
  const store = await RedisStore.open({
    redis,
    name: 'intake-1',
    intakes: ['intake-1'],
    journals: true,
    issuers: [TAG],
    certificates: 2000,
    replicas: 0,
    feedLength,
  });
  await store.vouch();
  return store;
}

/** As lua/common.lua makes it. */
async function instance(redis: Redis): Promise<string> {
  const info = (await redis.info('server')) + (await redis.info('replication'));
  const [runId, replId] = [/run_id:(\w+)/, /master_replid:(\w+)/].map((pattern) => pattern.exec(info)?.[1] as string);
  return `${runId}${replId}${(await redis.hget(keys.meta, 'epoch')) as string}`;
}
