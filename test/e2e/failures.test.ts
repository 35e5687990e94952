/**
 * A fleet of real processes under a CA that never pauses and clients that ask everybody, while its Redis stops, forgets, is started
 * again and is replaced by an empty one, and an intake is killed while it acknowledges. Then everything that was served is held
 * against everything that was acknowledged (test/support/checker.ts).
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from '../support/fleet.ts';
import type { Load } from '../support/load.ts';
import type { Member } from '../support/member.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, redisCli, startRedis, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';

/** How long `good` is served while nothing is heard of the store. Less than the outage, so that its end is seen. */
const SILENCE_MS = 8000;
const OUTAGE_MS = 14_000;
const CERTIFICATES = '/v1/issuers/demo/certificates';

describe('a fleet whose Redis and whose intake fail', { skip: needsRedis }, () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let redis: RedisServer;
  let rehearsal: Rehearsal;
  let fleet: Fleet;
  let load: Load;

  before(async () => {
    redis = await startRedis();
    rehearsal = await Rehearsal.start(random, {
      store: () => ({
        host: '127.0.0.1',
        port: redis.port,
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

  /** One certificate that is good and one that is revoked, on every responder. */
  async function pair(): Promise<{ readonly good: string; readonly revoked: string }> {
    const [good, revoked] = [await load.issue(), await load.issue()];
    await load.revoke(revoked);
    for (const responder of fleet.responders) {
      await until(`${responder.name} serves both`, async () => (await rehearsal.says(good, responder)) === 'good' && (await rehearsal.says(revoked, responder)) === 'revoked', 10_000); // prettier-ignore
    }
    return { good, revoked };
  }

  it('the Redis stops: nothing is acknowledged, good ends with the silence limit, revoked is served on', async () => {
    const { good, revoked } = await pair();
    const [responder] = fleet.responders as [Member];
    const [intake] = fleet.intakes as [Member];
    await load.disturb('the Redis stops', SILENCE_MS, async () => {
      redis.pause();
      const stoppedAt = Date.now();
      assert.equal(await rehearsal.says(good, responder), 'good', 'from memory');
      await until('the intake refuses events', async () => {
        const { status } = await fleet.api(intake, 'POST', CERTIFICATES, { certificates: [{ serial: random.serial(), notAfter: '2027-06-01T00:00:00Z' }] }); // prettier-ignore
        return status === 503;
      }, 10_000); // prettier-ignore
      await until('it says why', async () => /Redis/.test((await intake.status())?.storeFailure ?? ''), 10_000);
      await sleep(Math.max(0, stoppedAt + SILENCE_MS + 1500 - Date.now()));
      assert.equal(await rehearsal.says(good, responder), 'tryLater', 'after the silence limit');
      assert.equal(await rehearsal.says(revoked, responder), 'revoked', 'because that is final');
      await sleep(Math.max(0, stoppedAt + OUTAGE_MS - Date.now()));
      redis.resume();
    });
    assert.equal(await rehearsal.says(good, responder), 'good', 'when the store is back');
    await load.further(20);
  });

  it('the Redis is emptied by FLUSHALL: the intakes bring everything back', async () => {
    await load.disturb('FLUSHALL', SILENCE_MS, async () => {
      assert.deepEqual(redisCli(redis.port, 'FLUSHALL')[0], 'OK');
      // Until everybody has noticed.
      await until('an intake has replayed its journal', () => fleet.intakes.every(({ log }) => log.split('brought up to date').length > 2), 20_000); // prettier-ignore
    });
    await load.further(20);
  });

  it('the Redis is stopped and started again with its data', async () => {
    await load.disturb('restarted', SILENCE_MS, () => redis.restart());
    await load.further(20);
  });

  it('the Redis is killed and restarted empty', async () => {
    await load.disturb('restarted empty', SILENCE_MS, () => redis.restart({ empty: true }));
    await load.further(20);
  });

  it('an intake is killed while it acknowledges, and started again', async () => {
    const [intake] = fleet.intakes as [Member];
    for (let i = 0; i < 3; i++) {
      await load.further(10);
      await intake.kill();
      await load.further(10);
      await intake.start();
      await intake.whenReliable();
    }
  });

  it('and every promise was kept all the time', async (t) => {
    await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
  });

  it('the audit log of every process verifies', async () => {
    await rehearsal.verifyAudits();
  });
});
