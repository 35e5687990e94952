/**
 * A Redis that is replaced by a replica which lacks the last writes, under Sentinels: what was acknowledged in between is in the
 * intakes' journals, and nowhere else, until each of them has replayed its own into the new master (P1, P2).
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import type { Fleet } from '../support/fleet.ts';
import type { Load } from '../support/load.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, redisCli, startSentinel, type RedisSentinel, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';

const SILENCE_MS = 10_000;
/** Acknowledged by the old master, and unknown to the new one. */
const LOST_EVENTS = 25;

describe('a Redis that fails over to a replica without the last writes', { skip: needsRedis }, () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let redis: RedisSentinel;
  let rehearsal: Rehearsal;
  let fleet: Fleet;
  let load: Load;
  before(async () => {
    redis = await startSentinel();
    const { sentinels } = redis;
    rehearsal = await Rehearsal.start(random, {
      store: () => ({
        sentinel: { name: redis.name, sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })) },
        certificates: 10_000,
        silenceLimit: `${SILENCE_MS / 1000}s`,
      }),
    });
    ({ fleet, load } = rehearsal);
    load.start();
    await load.further(30);
  });
  after(async () => {
    await rehearsal?.end();
    await redis?.remove();
  });

  it('goes on with the new master, and loses nothing that was acknowledged', async () => {
    const master = await redis.master();
    const replica = redis.servers.find((server) => server !== master) as RedisServer;
    const repaired = (): number => fleet.intakes.filter(({ log }) => /"records":[1-9]\d*[^\n]*brought up to date/.test(log)).length; // prettier-ignore
    assert.equal(repaired(), 0);
    await load.disturb('failed over with lost writes', SILENCE_MS, async () => {
      // A replica that nobody lets in any more follows nothing, and may still be promoted.
      redisCli(replica.port, 'CONFIG', 'SET', 'masteruser', 'nobody');
      redisCli(replica.port, 'CONFIG', 'SET', 'masterauth', 'nothing');
      redisCli(master.port, 'CLIENT', 'KILL', 'TYPE', 'replica');
      await until('the replica is cut off', () => redisCli(replica.port, 'ROLE')[3] !== 'connected');
      await load.further(LOST_EVENTS);
      await master.kill();
      await until('the replica is master', async () => (await redis.master()) === replica && redisCli(replica.port, 'ROLE')[0] === 'master', 90_000, 100); // prettier-ignore
      await until('the intakes have replayed what was lost', () => repaired() === fleet.intakes.length, 90_000, 100);
    });
    await load.further(30);
  });

  it('fails over back, in good order, when the old master is a replica', async () => {
    const [old] = redis.servers as readonly [RedisServer, RedisServer];
    for (const { port } of redis.servers.filter(({ running }) => running)) redisCli(port, 'CONFIG', 'SET', 'masterauth', ''); // prettier-ignore
    await old.start();
    await until('it follows the new master', () => {
      const role = redisCli(old.port, 'ROLE');
      return role[0] === 'slave' && role[3] === 'connected';
    }, 90_000, 100); // prettier-ignore
    await load.disturb('planned failover', SILENCE_MS, () => redis.failover());
    await load.further(30);
  });

  it('and every promise was kept all the time', async (t) => {
    await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
  });

  it('the audit log of every process verifies', async () => {
    await rehearsal.verifyAudits();
  });
});
