/** deploy/redis/: servers started with the files as they are shipped do what the comments in them say. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { checkFitness } from '../../src/adapters/redis/fitness.ts';
import {
  needsRedis,
  startCluster,
  startRedis,
  startSentinel,
  type RedisCluster,
  type RedisSentinel,
  type RedisServer,
  type RedisServerOptions,
} from '../support/redis.ts';
import { until } from '../support/service.ts';

const shipped = resolve(import.meta.dirname, '../../../deploy/redis');
const directory = mkdtempSync(join(tmpdir(), 'certstatus-redis-deploy-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const USERS = ['operator', 'intake', 'signer', 'responder', 'monitor'] as const;
type User = (typeof USERS)[number];

/** users.acl with passwords in place of its placeholders: each user's own name. */
function users(): string {
  const text = readFileSync(join(shipped, 'users.acl'), 'utf8').replace(
    /^user (?:certstatus-)?(\w+) on #0{64} /gm,
    (line, name: string) => line.replace('0'.repeat(64), createHash('sha256').update(name).digest('hex')),
  );
  assert.doesNotMatch(text, /0{64}/);
  const file = join(directory, 'users.acl');
  writeFileSync(file, text);
  return file;
}

const options = (config: Readonly<Record<string, string>> = {}): RedisServerOptions => ({
  configFile: join(shipped, 'redis.conf'),
  acl: users(),
  config,
});
const login = (user: string): { username: string; password: string } => ({
  username: user === 'operator' ? user : `certstatus-${user}`,
  password: user,
});

describe('deploy/redis/redis.conf and users.acl', { skip: needsRedis }, () => {
  let server: RedisServer;
  const as = {} as Record<User, Redis>;
  before(async () => {
    server = await startRedis(options());
    for (const user of USERS) as[user] = await server.client(login(user));
    await as.operator.hset('cs1:{t}:b:0', 'f', 'v');
    await as.operator.set('elsewhere', 'v');
  });
  after(() => server.remove());

  /** Whether the user may: what else comes of the command does not matter. */
  async function may(user: User, command: readonly string[]): Promise<boolean> {
    const [name, ...args] = command as [string, ...string[]];
    // The connection would be good for nothing else afterwards.
    if (name.endsWith('SUBSCRIBE'))
      return (await as.operator.call('ACL', 'DRYRUN', login(user).username, name, ...args)) === 'OK';
    const said = await as[user].call(name, ...args).then(
      () => '',
      (error: Error) => error.message,
    );
    return !/NOPERM|can't run this command|can't access|not allowed/.test(said);
  }
  function holds(users: readonly User[], allowed: boolean, lines: readonly string[]): void {
    for (const user of users)
      for (const line of lines)
        it(`${user} ${allowed ? 'may' : 'may not'} ${line}`, async () =>
          assert.equal(await may(user, words(line)), allowed));
  }

  it('are fit for a ledger, as the check at start sees them', async () => {
    for (const user of ['intake', 'signer'] as const) {
      const findings = await checkFitness(as[user], { role: 'writer' });
      assert.deepEqual(
        findings.map(({ severity, setting, value }) => [severity, setting, value]),
        [['notice', 'appendfsync', 'everysec']],
      );
    }
    const [finding, ...more] = await checkFitness(as.responder, { role: 'reader' });
    assert.deepEqual([finding?.severity, more], ['notice', []]);
  });

  it('let in nobody without a password, and nobody with the placeholder', async () => {
    const placeholder = await startRedis({ ...options(), acl: join(shipped, 'users.acl') });
    for (const [at, who] of [
      [server, {}],
      [placeholder, login('operator')],
      [server, { username: 'default', password: '' }],
    ] as const) {
      const redis = at.client(who).then(
        () => 'in',
        (error: Error) => error.message,
      );
      const answer = await Promise.race([redis, new Promise((done) => setTimeout(done, 700, 'out'))]);
      assert.notEqual(answer, 'in');
    }
    await placeholder.remove();
  });

  it('keep what a script has written over a restart', async () => {
    const own = await startRedis(options());
    const both = "redis.call('HSET',KEYS[1],'f','v') redis.call('HSET',KEYS[1],'g','w') return 1";
    await (await own.client(login('intake'))).eval(both, 1, 'cs1:{t}:b:0');
    await own.restart();
    const redis = await own.client(login('intake'));
    assert.deepEqual(await redis.hmget('cs1:{t}:b:0', 'f', 'g'), ['v', 'w']);
    await own.remove();
  });

  const everybody = ['intake', 'signer', 'responder', 'monitor'] as const;
  const writers = ['intake', 'signer'] as const;
  const readers = ['responder', 'monitor'] as const;
  const reading = [
    'GET cs1:{t}:x',
    'HGET cs1:{t}:b:0 f',
    'HMGET cs1:{t}:b:0 f g',
    'HGETALL cs1:{t}:b:0',
    'HKEYS cs1:{t}:b:0',
    'HVALS cs1:{t}:b:0',
    'ZCARD cs1:{t}:r',
    'ZRANGE cs1:{t}:r - + BYLEX LIMIT 0 10',
    'ZRANGEBYSCORE cs1:{t}:due -inf 5',
    'ZRANGEBYLEX cs1:{t}:r - +',
    'XRANGE cs1:{t}:feed - +',
    'XREAD COUNT 1 STREAMS cs1:{t}:feed 0',
    'LRANGE cs1:{t}:crls 0 -1',
    'SMEMBERS cs1:{t}:responders',
    'INFO server',
    'TIME',
    'PING',
    `EVAL_RO return{redis.call('HGET',KEYS[1],'f'),redis.call('TIME'),redis.call('INFO','server')} 1 cs1:{t}:b:0`,
    'EVALSHA_RO 0000000000000000000000000000000000000000 1 cs1:{t}:b:0',
  ];
  holds(everybody, true, reading);
  holds(everybody, false, ['GET elsewhere', "EVAL_RO return(redis.call('GET',KEYS[1])) 1 elsewhere"]);

  const ledger = [
    'HSET cs1:{t}:meta seq 1',
    'HSETNX cs1:{t}:meta epoch e',
    'HINCRBY cs1:{t}:meta seq 1',
    'HDEL cs1:{t}:leases f',
    'ZADD cs1:{t}:due LT 1 0',
    'ZREM cs1:{t}:due 0',
    'XADD cs1:{t}:feed MAXLEN ~ 1000 * s 1 e x',
    "EVAL return(redis.call('HSET',KEYS[1],'f','v')) 1 cs1:{t}:b:0",
    'EVALSHA 0000000000000000000000000000000000000000 1 cs1:{t}:b:0',
    'WAIT 0 1',
    'CONFIG GET appendfsync',
  ];
  const publishing = [
    'SADD cs1:{t}:responders der',
    'SREM cs1:{t}:responders other',
    'LPUSH cs1:{t}:crls record',
    'SET cs1:{t}:ask:01 x NX PX 2000',
    "EVAL return(redis.call('LPUSH',KEYS[1],'r')) 1 cs1:{t}:crls",
  ];
  holds(writers, true, ledger);
  // WAIT changes nothing, and belongs to what everybody with a connection may do.
  holds(
    readers,
    false,
    ledger.filter((line) => !line.startsWith('WAIT')),
  );
  holds(['signer'], true, [...publishing, 'SUBSCRIBE cs1:ask', 'UNSUBSCRIBE cs1:ask']);
  holds(['intake', 'responder', 'monitor'], false, [...publishing, 'SUBSCRIBE cs1:ask']);
  holds(readers, false, ["EVAL_RO return(redis.call('HSET',KEYS[1],'f','v')) 1 cs1:{t}:b:0", 'EVAL return(1) 0']);
  holds(['intake', 'signer', 'responder'], true, ['PUBLISH cs1:ask x']);
  holds(['monitor'], false, ['PUBLISH cs1:ask x']);
  // A responder calls for answers to nonces and hears its own; it can answer nobody, and hear no calls.
  holds(['signer'], true, ['SUBSCRIBE cs1:live', 'PUBLISH cs1:live:00 x']);
  holds(['intake', 'responder', 'monitor'], false, ['SUBSCRIBE cs1:live', 'PUBLISH cs1:live:00 x']);
  holds(['signer', 'responder'], true, ['PUBLISH cs1:live x', 'SUBSCRIBE cs1:live:00', 'UNSUBSCRIBE cs1:live:00']);
  holds(['intake', 'monitor'], false, ['PUBLISH cs1:live x', 'SUBSCRIBE cs1:live:00']);
  holds(everybody, false, [
    'PUBLISH other x',
    'SUBSCRIBE other',
    'PSUBSCRIBE *',
    'HSET elsewhere f v',
    'DEL cs1:{t}:b:0',
    'UNLINK cs1:{t}:b:0',
    'EXPIRE cs1:{t}:b:0 1',
    'RENAME cs1:{t}:b:0 cs1:{t}:b:1',
    "EVAL return(redis.call('DEL',KEYS[1])) 1 cs1:{t}:b:0",
    'FLUSHALL',
    'FLUSHDB',
    'KEYS *',
    'DEBUG SLEEP 0',
    'CONFIG SET maxmemory-policy allkeys-lru',
    'CONFIG REWRITE',
    'ACL SETUSER certstatus-responder +@all',
    'ACL LIST',
    'CLIENT LIST',
    'CLIENT KILL TYPE normal',
    'CLIENT PAUSE 1000',
    'MONITOR',
    'REPLICAOF NO ONE',
    'SCRIPT FLUSH',
    'FUNCTION FLUSH',
    'SHUTDOWN NOSAVE',
    'SAVE',
    'SWAPDB 0 1',
    'MIGRATE 127.0.0.1 1 cs1:{t}:b:0 0 1',
  ]);

  it('let a signer hear what a responder calls', async () => {
    const ears = await server.client(login('signer'));
    const heard = new Promise<string>((done) => ears.on('message', (_channel, message) => done(message)));
    await ears.subscribe('cs1:ask');
    assert.equal(await as.responder.publish('cs1:ask', 'tag and serial'), 1);
    assert.equal(await heard, 'tag and serial');
  });

  it('let the operator change a password while it is in use', async () => {
    const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
    const setUser = (rule: string): Promise<unknown> => as.operator.call('ACL', 'SETUSER', 'certstatus-signer', rule);
    await setUser(`#${digest('next')}`);
    const next = await server.client({ username: 'certstatus-signer', password: 'next' });
    assert.equal(await as.signer.hget('cs1:{t}:b:0', 'f'), 'v');
    await setUser(`!${digest('signer')}`);
    assert.equal(await next.hget('cs1:{t}:b:0', 'f'), 'v');
    await as.operator.call('ACL', 'SAVE');
    const saved = readFileSync(join(directory, 'users.acl'), 'utf8');
    assert.ok(saved.includes(digest('next')) && !saved.includes(digest('signer')));
  });
});

describe('deploy/redis/sentinel.conf', { skip: needsRedis }, () => {
  let group: RedisSentinel;
  let redis: Redis;
  before(async () => {
    const replication = { masteruser: 'certstatus-replica', masterauth: 'replica', 'min-replicas-to-write': '1' };
    group = await startSentinel(options({ ...replication, 'repl-diskless-sync-delay': '0' }), 2, (port) => {
      const text = readFileSync(join(shipped, 'sentinel.conf'), 'utf8')
        .replace('192.0.2.11 6379', `127.0.0.1 ${port}`)
        .replace('CHANGE-ME', 'sentinel');
      const file = join(directory, 'sentinel.conf');
      writeFileSync(file, text);
      return { configFile: file };
    });
    redis = await group.client(login('signer'));
  });
  after(() => group.remove());

  const write = (): Promise<string> =>
    redis.eval("redis.call('HSET',KEYS[1],'f','v') return 'OK'", 1, 'cs1:{t}:b:0').then(
      (said) => said as string,
      (error: Error) => error.message,
    );

  it('a master without replicas acknowledges nothing, until one is back', async () => {
    await until('the replicas keep up', async () => (await write()) === 'OK');
    assert.deepEqual(
      await checkFitness(redis, { role: 'writer' }).then((found) => found.map(({ setting }) => setting)),
      ['appendfsync'],
    );
    const replicas = group.servers.slice(1);
    replicas.forEach((replica) => replica.pause());
    await until('writes are refused', async () => /NOREPLICAS/.test(await write()));
    replicas.forEach((replica) => replica.resume());
    await until('writes are taken again', async () => (await write()) === 'OK');
  });

  it('another server becomes master when the first is killed, and has what a replica had', async () => {
    await redis.hset('cs1:{t}:b:0', 'kept', 'yes');
    await until('a replica has it', async () => (await redis.wait(1, 1000)) >= 1);
    const dead = await group.killMaster();
    await until('writes go on', async () => (await write()) === 'OK', 40_000, 100);
    assert.notEqual(redis.stream.remotePort, dead.port);
    assert.equal(await redis.hget('cs1:{t}:b:0', 'kept'), 'yes');
  });
});

describe('users.acl in a Cluster', { skip: needsRedis }, () => {
  let cluster: RedisCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.remove());

  it('lets every user find the servers of its keys', async () => {
    const lines = readFileSync(users(), 'utf8').trim().split('\n').map(words);
    for (const server of cluster.servers) {
      const all = await server.client();
      for (const [, name, ...rules] of lines)
        if (name !== 'default') await all.call('ACL', 'SETUSER', name as string, ...rules);
    }
    const keys = ['cs1:{a}:meta', 'cs1:{b}:meta', 'cs1:{c}:meta', 'cs1:{d}:meta'];
    const signer = await cluster.client(login('signer'));
    for (const key of keys) await signer.hset(key, 'seq', '1');
    for (const user of ['intake', 'responder', 'monitor']) {
      const redis = await cluster.client(login(user));
      for (const key of keys) assert.equal(await redis.hget(key, 'seq'), '1');
      if (user !== 'intake') await assert.rejects(redis.hset(keys[0] as string, 'seq', '2'), /NOPERM/);
    }
  });
});

const words = (line: string): string[] => line.split(' ');
