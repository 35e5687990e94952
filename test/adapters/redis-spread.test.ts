/** Percentiles of a whole shared population, against a count of every answer; and how the store fares. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { openRedis } from '../../src/adapters/redis/connection.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { certificateKey } from '../../src/core/precedence.ts';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { certificate, issued, response, serialOf, TAG } from '../contracts/store-records.ts';
import { NOW } from '../core/sample-pki.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

describe('RedisStore: how fresh everything is', { skip: needsRedis }, () => {
  let server: RedisServer;
  let redis: Redis;
  let store: RedisStore;
  before(async () => {
    server = await startRedis();
    redis = openRedis({ topology: server.topology }) as Redis;
    await until('Redis answers', () => redis.status === 'ready');
    store = await RedisStore.open({
      redis,
      name: 'intake-1',
      intakes: ['intake-1'],
      journals: true,
      issuers: [TAG],
      certificates: 1000,
      replicas: 0,
    });
    await store.appliedSeq();
    await store.vouch();
    await until('it is relied on', () => store.failure === undefined);
  });
  after(async () => {
    await store.close();
    redis.disconnect();
    await server.remove();
  });

  it('tells shares and numbers as a sorted list of all answers does', async () => {
    const all = Array.from({ length: 700 }, (_, i) => i + 1);
    const decidedOn = new Map(all.map((n) => [certificateKey({ issuer: TAG, serial: serialOf(n) }), undefined]));
    assert.equal(await store.apply(all.map((n) => issued(n, 1)), 1, decidedOn), 'applied'); // prettier-ignore
    const items = await store.takeDue('issue', NOW + HOUR, 1000);
    assert.equal(items.length, 700);
    const thisUpdates = items.map((_, i) => NOW - (i % 400) * MINUTE);
    const outcomes = await store.publish(
      items.map((item, i) => {
        const of = certificate(parseInt(item.serial.slice(2), 16), 1);
        return { item, response: response(of, thisUpdates[i] as number) };
      }),
    );
    assert.ok(outcomes.every((outcome) => outcome === 'published'));
    await until('the spread was read', () => (store.freshness.spread(TAG)?.thisUpdate.at(0) ?? NOW) < NOW - 6 * HOUR, 40_000, 100); // prettier-ignore
    const spread = store.freshness.spread(TAG);
    const sorted = thisUpdates.map((at) => Math.floor(at / MINUTE) * MINUTE).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.max(1, Math.ceil(share * 700)) - 1] as number;
    for (const share of [0, 0.01, 0.1, 0.5, 1 - 0.9, 1 - 0.99, 1])
      assert.ok(
        Math.abs((spread?.thisUpdate.at(share) ?? 0) - at(Math.round(share * 1e6) / 1e6)) === 0,
        `share ${share}`,
      );
    const before = (instant: number): number => sorted.filter((one) => one < instant).length;
    // Among the earliest minutes exactly; beyond them no more than there are.
    for (const minutes of [399, 300, 200]) {
      const instant = Math.floor((NOW - minutes * MINUTE) / MINUTE) * MINUTE;
      assert.equal(spread?.thisUpdate.before(instant), before(instant), `${minutes} minutes ago`);
    }
    const late = spread?.thisUpdate.before(NOW + MINUTE) ?? 0;
    assert.ok(late <= 700 && late >= 0.9 * 700, `${late} of 700`);
    assert.equal(spread?.nextUpdate.at(0), Math.floor(((sorted[0] as number) + 96 * HOUR - SECOND) / MINUTE) * MINUTE);
  });

  it('knows its round trips, its memory, its clock and the lag of its feed', async () => {
    await until('the memory is known', () => store.health.bytes !== undefined);
    const { roundTripMs = NaN, bytes = NaN, clockAheadMs = NaN, feedLagMs } = store.health;
    assert.ok(roundTripMs > 0 && roundTripMs < 5000, `${roundTripMs} ms`);
    const [, used] = /used_memory:(\d+)/.exec(await redis.info('memory')) ?? [];
    assert.ok(bytes > 100_000 && bytes < 3 * Number(used), `${bytes} octets`);
    // The same machine: the same clock, to half a round trip and the millisecond that TIME is cut to.
    assert.ok(Math.abs(clockAheadMs) <= roundTripMs / 2 + 2, `${clockAheadMs} ms`);
    assert.ok(feedLagMs < 5000, `${feedLagMs} ms`);
  });
});
