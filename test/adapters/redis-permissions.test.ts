/** What each user of deploy/redis/users.acl may do, asked of a real server for every command that it has (least privilege, P7). */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Cluster, Redis } from 'ioredis';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';

const ACL = resolve(import.meta.dirname, '../../../deploy/redis/users.acl');
/** Whatever changes data, what the server does, or who may use it. */
const CATEGORIES = ['write', 'dangerous', 'admin', 'scripting', 'pubsub'] as const;
const KEY = 'cs1:x';

/** For each user, all commands of those categories that it may use on its own keys; PUBLISH goes by the channel, see below. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  intake: ['config|get', 'eval', 'eval_ro', 'evalsha', 'evalsha_ro', 'hdel', 'hincrby', 'hset', 'hsetnx', 'info', 'xadd', 'zadd', 'zrem'], // prettier-ignore
  signer: ['config|get', 'eval', 'eval_ro', 'evalsha', 'evalsha_ro', 'hdel', 'hincrby', 'hset', 'hsetnx', 'info', 'lpush', 'ltrim', 'sadd', 'set', 'srem', 'unsubscribe', 'xadd', 'zadd', 'zrem'], // prettier-ignore
  responder: ['eval_ro', 'evalsha_ro', 'info', 'unsubscribe'],
  monitor: ['eval_ro', 'evalsha_ro', 'info'],
};

describe('the permissions of the users of deploy/redis/users.acl', { skip: needsRedis }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-redis-permissions-'));
  let server: RedisServer;
  let operator: Redis | Cluster;
  /** Name of each command in the categories, with as many arguments as it takes. */
  const commands = new Map<string, readonly string[]>();

  before(async () => {
    const acl = join(directory, 'users.acl');
    const text = readFileSync(ACL, 'utf8').replace(
      /^(user (?:certstatus-)?(\w+) on #)0{64} /gm,
      (_line, start, name) => {
        return `${String(start)}${createHash('sha256').update(String(name)).digest('hex')} `;
      },
    );
    writeFileSync(acl, text);
    server = await startRedis({ acl });
    operator = await server.client({ username: 'operator', password: 'operator' });
    for (const category of CATEGORIES)
      for (const name of (await operator.call('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', category)) as string[])
        commands.set(name, await argumentsFor(name));
  });
  after(async () => {
    await server.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  async function argumentsFor(name: string): Promise<readonly string[]> {
    const [about] = (await operator.call('COMMAND', 'INFO', name)) as [string, number][];
    const words = name.split('|');
    return [...words, ...Array.from({ length: Math.abs(about?.[1] ?? 2) - words.length }, () => KEY)];
  }

  /** Whether the server would let it pass; nothing is done. */
  async function may(user: string, words: readonly string[]): Promise<boolean> {
    try {
      return (await operator.call('ACL', 'DRYRUN', `certstatus-${user}`, ...words)) === 'OK';
    } catch (error) {
      // A command for which the server cannot tell its keys apart from other arguments.
      assert.match((error as Error).message, /wrong number of arguments|invalid/i, words.join(' '));
      return false;
    }
  }

  for (const [user, expected] of Object.entries(MAY))
    it(`${user}: of all commands that change anything, these`, async () => {
      const allowed: string[] = [];
      for (const [name, words] of commands) if (await may(user, words)) allowed.push(name);
      assert.deepEqual(allowed.sort(), [...expected].sort());
    });

  it('a responder is refused every write command that there is, by the server itself', async () => {
    const responder = await server.client({ username: 'certstatus-responder', password: 'responder' });
    const names = (await operator.call('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'write')) as string[];
    assert.ok(names.length > 80, String(names.length));
    for (const name of names) {
      const [command, ...words] = commands.get(name) as [string, ...string[]];
      await assert.rejects(responder.call(command, ...words) as Promise<unknown>, /NOPERM/, name);
    }
    // Nor by way of a script.
    await assert.rejects(responder.call('EVAL_RO', "return redis.call('set', KEYS[1], 'x')", '1', KEY) as Promise<unknown>, /NOPERM|can't run this command/); // prettier-ignore
    assert.equal(await operator.call('DBSIZE'), 0);
  });

  it('nobody reaches keys or channels that are not of this store', async () => {
    for (const user of Object.keys(MAY)) {
      assert.equal(await may(user, ['HGET', 'other:x', 'field']), false, user);
      assert.equal(await may(user, ['PUBLISH', 'other', 'x']), false, user);
    }
    for (const user of ['responder', 'monitor']) assert.equal(await may(user, ['GET', KEY]), true, user);
    assert.equal(await may('responder', ['PUBLISH', 'cs1:ask', 'x']), true);
    for (const channel of ['cs1:live:1', 'cs1:else'])
      assert.equal(await may('responder', ['PUBLISH', channel, 'x']), false);
    assert.equal(await may('monitor', ['PUBLISH', 'cs1:ask', 'x']), false);
  });
});
