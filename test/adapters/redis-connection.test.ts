/** The connection against real servers: what it carries, and what becomes of commands while Redis is away or changes hands. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster, Redis } from 'ioredis';
import { openRedis, whenReady, type ConnectionLog } from '../../src/adapters/redis/connection.ts';
import { LOOK_MS } from '../../src/apps/file-watch.ts';
import { RedisTls } from '../../src/apps/redis-tls.ts';
import { Problem } from '../../src/core/problem.ts';
import { TurnedClock } from '../flows/clock.ts';
import { OpensslCa } from '../support/openssl-ca.ts';
import {
  needsRedis,
  redisCli,
  startCluster,
  startRedis,
  startSentinel,
  type RedisCluster,
  type RedisSentinel,
  type RedisServer,
} from '../support/redis.ts';
import { freePorts, until } from '../support/service.ts';

/** Every octet there is. */
const OCTETS = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));

describe('a connection to one server', { skip: needsRedis }, () => {
  let server: RedisServer;
  before(async () => void (server = await startRedis()));
  after(() => server.remove());

  it('carries any octets as key, field and value', async () => {
    const redis = await server.client();
    await redis.hset(OCTETS, OCTETS, OCTETS);
    assert.deepEqual(await redis.hgetBuffer(OCTETS, OCTETS), OCTETS);
    assert.deepEqual(await redis.hmgetBuffer(OCTETS, OCTETS, Buffer.of(0)), [OCTETS, null]);
    await redis.set(Buffer.concat([Buffer.from('s'), OCTETS]), OCTETS);
    assert.deepEqual(await redis.getBuffer(Buffer.concat([Buffer.from('s'), OCTETS])), OCTETS);
  });

  it('brings messages as octets on a connection of their own', async () => {
    const redis = await server.client();
    const subscriber = redis.duplicate();
    subscriber.on('error', () => undefined);
    await whenReady(subscriber, 5000);
    const arrived = new Promise<Buffer>((done) => subscriber.on('messageBuffer', (_channel, message) => done(message)));
    await subscriber.subscribe('cs1:ask');
    await redis.publish('cs1:ask', OCTETS);
    assert.deepEqual(await arrived, OCTETS);
    subscriber.disconnect();
  });

  it('puts the commands of one turn into one write', async () => {
    const redis = await server.client();
    const { stream } = redis;
    const before = stream.bytesRead;
    const written: unknown[] = [];
    const write = stream.write.bind(stream) as (chunk: Buffer | string) => boolean;
    stream.write = ((chunk: Buffer | string) => (written.push(chunk), write(chunk))) as typeof stream.write;
    await Promise.all(Array.from({ length: 100 }, (_, n) => redis.getBuffer(`k${n}`)));
    assert.equal(written.length, 1);
    assert.ok(stream.bytesRead > before);
  });

  it('rejects a command that Redis refuses, and stays connected', async () => {
    const redis = await server.client();
    await redis.set('text', 'x');
    await assert.rejects(redis.incr('text'), /not an integer/);
    assert.equal(redis.status, 'ready');
  });
});

describe('when the server goes away', { skip: needsRedis }, () => {
  let server: RedisServer;
  before(async () => void (server = await startRedis()));
  after(() => server.remove());

  it('fails commands at once, tells it once, and goes on when the server is back', async () => {
    const { log, lines } = recorder();
    const redis = await server.client({ log });
    await redis.set('kept', 'yes');
    await server.kill();
    await until('the connection is gone', () => redis.status !== 'ready');
    await withinMs(500, () => assert.rejects(redis.get('kept')));
    // Several attempts later there is still one line, and nothing has been queued.
    let attempts = 0;
    redis.on('connecting', () => attempts++);
    await until('it has tried several times', () => attempts >= 4);
    await withinMs(500, () => assert.rejects(redis.set('queued', 'no')));
    assert.deepEqual(lines, ['warn: Redis does not answer: its commands fail until it does']);
    await server.start();
    await whenReady(redis, 5000);
    assert.equal(await redis.get('kept'), 'yes');
    assert.equal(await redis.get('queued'), null);
    await until('it is told', () => lines.length === 2);
    assert.equal(lines[1], 'info: Redis answers again');
  });

  it('fails what was sent and not answered; it is not sent again', async () => {
    const redis = await server.client({ commandTimeoutMs: 10_000 });
    await redis.set('count', '0');
    server.pause();
    const lost = assert.rejects(redis.incr('count'));
    await server.kill();
    await lost;
    await server.start();
    await whenReady(redis, 5000);
    assert.equal(await redis.get('count'), '0');
  });

  it('fails commands in time while the server is silent, and then at once', async () => {
    const redis = await server.client({ commandTimeoutMs: 300, connectTimeoutMs: 300 });
    server.pause();
    await withinMs(2000, () => assert.rejects(redis.get('kept'), /timed out/));
    await until('the socket is dropped', () => redis.status !== 'ready', 5000);
    await withinMs(250, () => assert.rejects(redis.get('kept')));
    server.resume();
    await whenReady(redis, 10_000);
    assert.equal(await redis.get('kept'), 'yes');
  });

  it('says what the matter is when nobody answers at the start', async () => {
    const [port] = (await freePorts(1)) as [number];
    const { log, lines } = recorder();
    const redis = openRedis({ topology: { kind: 'standalone', host: '127.0.0.1', port }, log });
    await assert.rejects(
      whenReady(redis, 1000),
      (error: Problem) =>
        error instanceof Problem && error.code === 'unavailable' && /ECONNREFUSED/.test(error.message),
    );
    assert.equal(lines.length, 1);
    redis.disconnect();
  });
});

describe('a server with users', { skip: needsRedis }, () => {
  let server: RedisServer;
  before(async () => {
    server = await startRedis({ config: { user: 'alice on >secret ~cs1:* +@all' } });
    // The default user would do without a password.
    const redis = await server.client();
    await redis.call('ACL', 'SETUSER', 'default', 'off');
  });
  after(() => server.remove());

  it('lets in who knows the password', async () => {
    const redis = await server.client({ username: 'alice', password: 'secret' });
    await redis.set('cs1:a', 'x');
    await assert.rejects(redis.set('other', 'x'), /NOPERM/);
    assert.equal(redis.status, 'ready');
  });

  it('says that the password is wrong, without saying the password', async () => {
    const { log, lines, about } = recorder();
    const redis = openRedis({ topology: server.topology, username: 'alice', password: 'wr0ng', log });
    await assert.rejects(whenReady(redis, 1000), /WRONGPASS/);
    assert.equal(lines.length, 1);
    assert.doesNotMatch(JSON.stringify(about), /wr0ng/);
    redis.disconnect();
  });
});

describe('a server with TLS', { skip: needsRedis }, () => {
  let ca: OpensslCa;
  let stranger: OpensslCa;
  let server: RedisServer;
  let client: { readonly certificate: Buffer; readonly key: Buffer };
  before(async () => {
    [ca, stranger] = [new OpensslCa(), new OpensslCa()];
    const [own] = ca.issue();
    const [other] = ca.issue({ kind: 'client' });
    const tls = { ca: ca.certificateFile, certificate: own?.file ?? '', key: ca.leafKeyFile, clients: true };
    client = { certificate: readFileSync(other?.file ?? ''), key: readFileSync(ca.leafKeyFile) };
    server = await startRedis({ tls });
  });
  after(async () => {
    await server.remove();
    ca.remove();
    stranger.remove();
  });

  it('takes commands from a client with a certificate', async () => {
    const redis = await server.client({ tls: { ca: readFileSync(ca.certificateFile), ...client } });
    await redis.set('a', OCTETS);
    assert.deepEqual(await redis.getBuffer('a'), OCTETS);
  });

  it('is not talked to when its certificate is of another CA, or of another name', async () => {
    for (const [tls, what] of [
      [{ ca: readFileSync(stranger.certificateFile), ...client }, /certificate/],
      [{ ca: readFileSync(ca.certificateFile), ...client, servername: 'elsewhere.example' }, /altnames|elsewhere/],
    ] as const) {
      const redis = openRedis({ topology: server.topology, tls });
      await assert.rejects(whenReady(redis, 1000), what);
      redis.disconnect();
    }
  });

  it('is let in with files that were replaced, on a duplicate of before too; what cannot be used is said once', async () => {
    const at = (name: string): string => join(ca.directory, `client.${name}`);
    const put = (from: { readonly file: string; readonly key: string }, parts = ['pem', 'key']): void => {
      if (parts.includes('pem')) copyFileSync(from.file, at('pem'));
      if (parts.includes('key')) copyFileSync(from.key, at('key'));
    };
    const [foreign, own] = [stranger, ca].map((by) => ({ file: by.issue({ kind: 'client' })[0]?.file ?? '', key: by.leafKeyFile })) as [{ file: string; key: string }, { file: string; key: string }]; // prettier-ignore
    put(foreign);
    const clock = new TurnedClock(Date.now());
    const lines: string[] = [];
    const say = (_about: object, line: string): void => void lines.push(line.replaceAll(ca.directory, ''));
    const section = { ca: ca.certificateFile, certificate: at('pem'), key: at('key'), servername: undefined };
    const tls = new RedisTls(section, clock, { debug: say, info: say, warn: say, error: say });
    const redis = openRedis({ topology: server.topology, tls: tls.options });
    const duplicate = (redis as Redis).duplicate();
    duplicate.on('error', () => undefined);
    try {
      tls.follow(redis);
      await assert.rejects(whenReady(redis, 1000), Problem);
      put(own, ['pem']);
      for (let i = 0; i < 4; i++) clock.turn(LOOK_MS);
      assert.match(tls.failure?.line ?? '', /store\.redis\.tls\.key = .*is not the key of/);
      put(own);
      for (let i = 0; i < 4; i++) clock.turn(LOOK_MS);
      assert.equal(tls.failure, undefined);
      assert.deepEqual(lines.map((line) => line.replace(/[:(].*/, '').trim()), ['not reloaded, what was in use stays in use', 'reloaded']); // prettier-ignore
      await whenReady(redis, 10_000);
      await whenReady(duplicate, 10_000);
    } finally {
      tls.stop();
      redis.disconnect();
      duplicate.disconnect();
    }
  });

  it('refuses who has no certificate', async () => {
    const redis = openRedis({ topology: server.topology, tls: { ca: readFileSync(ca.certificateFile) } });
    await assert.rejects(whenReady(redis, 1000), Problem);
    redis.disconnect();
  });
});

describe('Sentinels', { skip: needsRedis }, () => {
  let group: RedisSentinel;
  before(async () => void (group = await startSentinel()));
  after(() => group.remove());

  it('lead to the next master after kill -9 of the first', async () => {
    const { log, lines } = recorder();
    const redis = await group.client({ log });
    await redis.set('kept', 'yes');
    await replicated(redis);
    const dead = await group.killMaster();
    await until('writes go on', () => succeeds(redis.set('written', 'yes')), 20_000);
    assert.equal(await redis.get('kept'), 'yes');
    assert.notEqual(redis.stream.remotePort, dead.port);
    assert.deepEqual(lines, [
      'warn: Redis does not answer: its commands fail until it does',
      'info: Redis answers again',
    ]);
    await dead.start();
  });

  it('lead away from a master that became a replica', async () => {
    const redis = await group.client();
    const next = await group.failover();
    await until(
      'the connection has moved',
      () => redis.status === 'ready' && redis.stream.remotePort === next.port,
      20_000,
    );
    assert.equal(await redis.set('written', 'again'), 'OK');
  });

  it('lead away from a master that they cannot reach but this process can', async () => {
    // Neither end of the connection notices anything: it is only the Sentinels' word that moves it.
    const redis = await group.client({ commandTimeoutMs: 60_000 });
    const old = await group.master();
    // The fail-over before may still be moving the connection.
    const replication = (): Promise<string> => redis.info('replication').catch(() => '');
    await until('a replica follows it', async () => (await replication()).includes('state=online'));
    old.pause();
    const moved = (): boolean => redis.status === 'ready' && redis.stream.remotePort !== old.port;
    await until('the connection has moved', moved, 20_000);
    assert.equal(await redis.set('written', 'elsewhere'), 'OK');
    old.resume();
  });
});

describe('Sentinels of a connection that is ended between two attempts', { skip: needsRedis }, () => {
  it('are left as well: nothing keeps the process alive', async () => {
    const group = await startSentinel();
    const redis = openRedis({ topology: group.topology });
    await whenReady(redis, 5000);
    // The watchers of the Sentinels are the only connections from here to them while the master is connected to.
    const listeners = (): number =>
      redisCli(group.sentinels[0]?.port as number, 'CLIENT', 'LIST').filter((line) =>
        / sub=1 .*cmd=subscribe/.test(line),
      ).length;
    const others = listeners();
    redis.disconnect(true);
    await once(redis, 'reconnecting');
    redis.disconnect();
    await until('the Sentinel has one listener less', () => listeners() === others - 1, 5000);
    await group.remove();
  });
});

describe('a Cluster', { skip: needsRedis }, () => {
  let cluster: RedisCluster;
  let redis: Cluster;
  const lines: string[] = [];
  before(async () => {
    cluster = await startCluster();
    redis = await cluster.client({ log: recorder(lines).log, commandTimeoutMs: 1000 });
  });
  after(() => cluster.remove());

  it('finds the server of each key, octets and all', async () => {
    const keys = ['cs1:{a}', 'cs1:{b}', 'cs1:{c}', 'cs1:{d}'];
    await Promise.all(keys.map((key) => redis.hset(key, OCTETS, Buffer.concat([OCTETS, Buffer.from(key)]))));
    for (const key of keys)
      assert.deepEqual(await redis.hgetBuffer(key, OCTETS), Buffer.concat([OCTETS, Buffer.from(key)]));
    assert.ok(new Set(keys.map((key) => cluster.serverOf(key).port)).size > 1);
  });

  it('serves the keys of the others while one server is away, and its keys when it is back', async () => {
    const [gone, here] = ['cs1:{a}', 'cs1:{b}', 'cs1:{c}', 'cs1:{d}', 'cs1:{e}'].reduce<string[]>(
      (chosen, key) =>
        chosen.some((one) => cluster.serverOf(one) === cluster.serverOf(key)) ? chosen : [...chosen, key],
      [],
    ) as [string, string];
    await redis.hset(gone, 'f', 'kept');
    await redis.hset(here, 'f', 'kept');
    const server = cluster.serverOf(gone);
    await server.kill();
    await withinMs(5000, () => assert.rejects(redis.hget(gone, 'f')));
    assert.equal(await redis.hget(here, 'f'), 'kept');
    assert.ok(lines.includes('warn: a node of the Redis Cluster does not answer'), lines.join('\n'));
    await server.start();
    await until(
      'its keys are back',
      async () => (await redis.hget(gone, 'f').catch(() => null)) === 'kept',
      20_000,
      100,
    );
    await until('it is told', () => lines.includes('info: the node of the Redis Cluster answers again'));
  });
});

function recorder(lines: string[] = []): { log: ConnectionLog; lines: string[]; about: object[] } {
  const about: object[] = [];
  const at = (level: string) => (details: object, message: string) => {
    lines.push(`${level}: ${message}`);
    about.push(details);
  };
  return { log: { info: at('info'), warn: at('warn') }, lines, about };
}

/** A command that neither succeeds nor fails would hang the service: the bound is generous, but it is one. */
async function withinMs(ms: number, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((_done, failed) => {
    timer = setTimeout(() => failed(new Error(`took longer than ${ms} ms`)), ms);
  });
  await Promise.race([work(), late]).finally(() => clearTimeout(timer));
}

const succeeds = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

/** What a kill -9 of the master loses is not this test's matter. */
async function replicated(redis: Redis): Promise<void> {
  await until('a replica has it', async () => (await redis.wait(1, 1000)) === 1);
}
