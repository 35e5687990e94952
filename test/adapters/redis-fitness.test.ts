/** Each rule of the fitness check: a real server that passes, and the same server set wrong. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { checkFitness, type FitnessFinding } from '../../src/adapters/redis/fitness.ts';
import { Problem } from '../../src/core/problem.ts';
import { needsRedis, startCluster, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const GOOD = {
  appendonly: 'yes',
  appendfsync: 'always',
  save: '',
  maxmemory: '1gb',
  'maxmemory-policy': 'noeviction',
  'hash-max-listpack-entries': '512',
  'hash-max-listpack-value': '1100',
};
const writer = { role: 'writer' } as const;

describe('the fitness of a server', { skip: needsRedis }, () => {
  let server: RedisServer;
  let redis: Redis;
  before(async () => {
    const user = 'writer on >w ~cs1:* +@all';
    server = await startRedis({ config: { ...GOOD, save: '""', user } });
    redis = await server.client({ username: 'writer', password: 'w' });
  });
  after(() => server.remove());

  /** What is found while the settings are these, and that nothing is found otherwise. */
  async function found(settings: Readonly<Record<string, string>>): Promise<readonly FitnessFinding[]> {
    assert.deepEqual(await checkFitness(redis, writer), []);
    for (const [name, value] of Object.entries(settings)) await redis.config('SET', name, value);
    try {
      return await checkFitness(redis, writer);
    } finally {
      for (const [name, value] of Object.entries(GOOD)) await redis.config('SET', name, value);
      for (const name of Object.keys(settings).filter((one) => !(one in GOOD)))
        await redis.config('SET', name, DEFAULT[name] as string);
      await settled(redis);
    }
  }
  const DEFAULT: Readonly<Record<string, string>> = {
    'no-appendfsync-on-rewrite': 'no',
    'auto-aof-rewrite-percentage': '100',
  };

  for (const [setting, value] of [
    ['maxmemory-policy', 'allkeys-lru'],
    ['maxmemory-policy', 'volatile-ttl'],
    ['appendonly', 'no'],
    ['appendfsync', 'no'],
  ] as const)
    it(`refuses ${setting} ${value}`, () => assert.rejects(found({ [setting]: value }), refusal(setting, value)));

  it('refuses an eviction policy even without a limit, which may be set later', () =>
    assert.rejects(
      found({ maxmemory: '0', 'maxmemory-policy': 'allkeys-lfu' }),
      refusal('maxmemory-policy', 'allkeys-lfu'),
    ));

  for (const [severity, setting, value] of [
    ['warning', 'hash-max-listpack-entries', '128'],
    ['warning', 'hash-max-listpack-value', '64'],
    ['warning', 'no-appendfsync-on-rewrite', 'yes'],
    ['warning', 'auto-aof-rewrite-percentage', '0'],
    ['notice', 'appendfsync', 'everysec'],
    ['notice', 'save', '3600 1'],
    ['notice', 'maxmemory', '0'],
  ] as const)
    it(`gives a ${severity} for ${setting} ${value}`, async () =>
      assert.deepEqual(outline(await found({ [setting]: value })), [`${severity} ${setting} ${value}`]));

  it('gives a warning when the memory is nearly used up', async () => {
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    const [finding, ...more] = await found({ maxmemory: String(Math.round(used * 1.1)) });
    assert.deepEqual([finding?.severity, finding?.setting, more], ['warning', 'maxmemory', []]);
    assert.match(finding?.message ?? '', /\d\d % of it/);
  });

  it('says all that is wrong with a server as it comes out of the box', async () => {
    const plain = await startRedis({
      config: {
        ...Object.fromEntries(Object.keys(GOOD).map((name) => [name, ''])),
        appendonly: 'yes',
      },
    });
    assert.deepEqual(outline(await checkFitness(await plain.client(), writer)), [
      'warning hash-max-listpack-value 64',
      'warning requirepass ',
      'notice appendfsync everysec',
      'notice save 3600 1 300 100 60 10000',
      'notice maxmemory 0',
    ]);
    await plain.remove();
  });

  it('gives a notice for one password for everybody', async () => {
    const shared = await startRedis({ config: { ...GOOD, save: '""', requirepass: 'x' } });
    const findings = await checkFitness(await shared.client({ password: 'x' }), writer);
    assert.deepEqual(outline(findings), ['notice requirepass (set)']);
    await shared.remove();
  });

  it('refuses a Redis before 7.0', () => {
    const old = saying(redis, async () => (await redis.info()).replace(/redis_version:\S+/, 'redis_version:6.2.14'));
    return assert.rejects(checkFitness(old, writer), refusal('redis_version', '6.2.14'));
  });

  it('gives a warning when the append-only file could not be written', async () => {
    const full = saying(redis, async () =>
      (await redis.info()).replace('aof_last_write_status:ok', 'aof_last_write_status:err'),
    );
    assert.deepEqual(outline(await checkFitness(full, writer)), ['warning aof_last_write_status err']);
  });

  it('gives a warning for a connection over a network without TLS', async () => {
    const at = (own: object): Redis =>
      ({
        options: redis.options,
        stream: { remoteAddress: '192.0.2.1' },
        info: () => redis.info(),
        config: (...args: ['GET', string]) => redis.config(...args),
        ...own,
      }) as unknown as Redis;
    assert.deepEqual(outline(await checkFitness(at({}), writer)), ['warning tls-port 0']);
    assert.deepEqual(await checkFitness(at({ options: { ...redis.options, tls: {} } }), writer), []);
  });

  it('is unavailable, not unfit, when the server does not answer', async () => {
    const other = await startRedis();
    const gone = await other.client();
    await other.kill();
    await until('the connection is gone', () => gone.status !== 'ready');
    await assert.rejects(checkFitness(gone, writer), (error: Problem) => error.code === 'unavailable');
    await other.remove();
  });
});

describe('a user that may not CONFIG GET', { skip: needsRedis }, () => {
  let server: RedisServer;
  before(async () => {
    server = await startRedis({
      config: { ...GOOD, save: '""', user: 'reader on >r ~cs1:* +@read +@connection +info' },
    });
  });
  after(() => server.remove());

  it('still finds what INFO knows, and says once what it does not know', async () => {
    const redis = await server.client({ username: 'reader', password: 'r' });
    const [finding, ...more] = await checkFitness(redis, { role: 'reader' });
    assert.deepEqual([finding?.severity, more], ['notice', []]);
    assert.match(finding?.message ?? '', /not looked at/);
    // A process that writes should be able to look.
    assert.deepEqual(outline(await checkFitness(redis, writer)), ['warning appendfsync ']);
    const all = await server.client();
    await all.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await assert.rejects(checkFitness(redis, { role: 'reader' }), refusal('maxmemory-policy', 'allkeys-lru'));
    await all.config('SET', 'maxmemory-policy', 'noeviction', 'appendonly', 'no');
    await assert.rejects(checkFitness(redis, { role: 'reader' }), refusal('appendonly', 'no'));
  });
});

describe('a server with a replica', { skip: needsRedis }, () => {
  let master: RedisServer;
  let replica: RedisServer;
  before(async () => {
    const user = 'writer on >w ~cs1:* +@all';
    master = await startRedis({ config: { ...GOOD, save: '""', user } });
    replica = await startRedis({ config: { ...GOOD, save: '""', user, replicaof: `127.0.0.1 ${master.port}` } });
  });
  after(() => Promise.all([master.remove(), replica.remove()]));

  it('must stop taking writes without it', async () => {
    const redis = await master.client({ username: 'writer', password: 'w' });
    await until('the replica has come', async () => (await redis.info('replication')).includes('connected_slaves:1'));
    assert.deepEqual(outline(await checkFitness(redis, writer)), ['warning min-replicas-to-write 0']);
    await redis.config('SET', 'min-replicas-to-write', '1');
    assert.deepEqual(await checkFitness(redis, writer), []);
  });

  it('is to be used, not the replica', async () => {
    const redis = await replica.client({ username: 'writer', password: 'w' });
    await assert.rejects(checkFitness(redis, { role: 'reader' }), refusal('role', 'slave'));
  });
});

describe('a Cluster', { skip: needsRedis }, () => {
  it('is looked at on every master, and as a Cluster only', async () => {
    const user = 'writer on >w ~cs1:* +@all';
    const cluster = await startCluster({ config: { ...GOOD, save: '""', user } });
    const login = { username: 'writer', password: 'w' };
    const redis = await cluster.client(login);
    assert.deepEqual(await checkFitness(redis, writer), []);

    const [first, second, third] = cluster.servers as [RedisServer, RedisServer, RedisServer];
    for (const server of [first, second]) {
      const node = await server.client(login);
      await assert.rejects(checkFitness(node, writer), refusal('cluster-enabled', 'yes'));
      await node.config('SET', 'cluster-require-full-coverage', 'yes');
    }
    const [finding, ...more] = await checkFitness(redis, writer);
    assert.deepEqual([finding?.setting, more], ['cluster-require-full-coverage', []]);
    assert.match(finding?.message ?? '', new RegExp(`:${first.port}|:${second.port}`));
    assert.doesNotMatch(finding?.message ?? '', new RegExp(`:${third.port}`));

    await (await third.client(login)).config('SET', 'maxmemory-policy', 'allkeys-random');
    await assert.rejects(checkFitness(redis, writer), refusal('maxmemory-policy', 'allkeys-random'));
    await cluster.remove();
  });
});

const refusal = (field: string, value: string) => (error: unknown) =>
  error instanceof Problem && error.code === 'config' && error.field === field && error.value === value;

const outline = (findings: readonly FitnessFinding[]): readonly string[] =>
  findings.map(({ severity, setting, value }) => `${severity} ${setting} ${value}`);

/** The connection, with another INFO: for what a real server cannot be brought to say in a test. */
const saying = (redis: Redis, info: () => Promise<string>): Redis =>
  Object.create(redis, { info: { value: info } }) as Redis;

/** Switching the append-only file on starts a rewrite; CONFIG SET appendonly is refused until it is done. */
const settled = (redis: Redis): Promise<void> =>
  until('the append-only file is on', async () =>
    /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0/.test(await redis.info('persistence')),
  );
