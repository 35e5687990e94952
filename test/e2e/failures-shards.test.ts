/**
 * As failures.test.ts, for a CA whose CRLs are spread over shards, with two signers of which one at a time builds them: it is killed,
 * the Redis forgets and is started again, each time while some of the nine CRLs of a burst of revocations are published and the rest
 * are not.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import type { Fleet } from '../support/fleet.ts';
import type { Load } from '../support/load.ts';
import type { Member } from '../support/member.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, redisCli, startRedis, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';

const SILENCE_MS = 8000;
const SHARDS = 8;
/** Enough that every shard gets some. */
const BURST = 40;

describe(
  'a fleet with sharded CRLs whose signer or Redis fails in the middle of a publication',
  { skip: needsRedis },
  () => {
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
        responders: 2,
        shards: SHARDS,
      });
      ({ fleet, load } = rehearsal);
      load.start();
      await load.further(20);
    });
    after(async () => {
      await rehearsal?.end();
      await redis?.remove();
    });

    const published = ({ log }: Member): number => log.split('"msg":"CRL published"').length - 1;
    const publishedByAll = (): number => fleet.signers.reduce((sum, signer) => sum + published(signer), 0);

    /** Revokes on every shard, and does it as soon as the first CRL that lists some of it is out. */
    async function inMidPublication(act: (builder: Member) => Promise<void>): Promise<void> {
      const serials = await Promise.all(Array.from({ length: BURST }, () => load.issue()));
      const before = new Map(fleet.signers.map((signer) => [signer, published(signer)]));
      const revoking = Promise.all(serials.map((serial) => load.revoke(serial)));
      let builder: Member | undefined;
      await until('a signer publishes', () => {
      builder = fleet.signers.find((signer) => published(signer) > (before.get(signer) as number));
      return builder !== undefined;
    }, 60_000, 2); // prettier-ignore
      await act(builder as Member);
      await revoking;
    }

    /** Whoever builds them now: each scope once more, at least on average. */
    async function furtherCrls(): Promise<void> {
      const goal = publishedByAll() + SHARDS + 1;
      await until('CRLs are published again', () => publishedByAll() >= goal, 60_000, 50);
    }

    it('the signer is killed, and the Redis is emptied before the other one has the claim', async () => {
      let killed: Member | undefined;
      await inMidPublication(async (builder) => {
        await (killed = builder).kill();
        await load.disturb('FLUSHALL', SILENCE_MS, async () => {
          assert.deepEqual(redisCli(redis.port, 'FLUSHALL')[0], 'OK');
          await until('the intakes have replayed their journals', () => fleet.intakes.every(({ log }) => log.split('brought up to date').length > 2), 20_000); // prettier-ignore
        });
      });
      await furtherCrls();
      // Its archive ends before what the other one has published since.
      await killed?.start();
      await killed?.whenReliable();
    });

    it('the Redis is stopped and started again with its data', async () => {
      await inMidPublication(() => load.disturb('restarted', SILENCE_MS, () => redis.restart()));
      await furtherCrls();
    });

    it('and every promise was kept all the time', async (t) => {
      const { crls } = await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
      const seen = fleet.shards.map(
        (shard) => new Set(crls.filter((crl) => crl.shard === shard).map(({ number }) => number)).size,
      );
      // Chance decides which shard has more revocations; a judge that saw each but once has seen no number grow.
      assert.ok(Math.min(...seen) > 0 && seen.reduce((sum, size) => sum + size, 0) > 2 * seen.length, seen.join());
    });

    it('ledger, OCSP and CRLs reconcile without a difference', async () => {
      const { code, stdout, stderr } = await (fleet.intakes[0] as Member).run('--json', 'reconcile');
      assert.equal(code, 0, stdout + stderr);
      const report = JSON.parse(stdout);
      assert.equal(report.differences, 0, stdout);
      assert.equal(report.issuers[0].crls.length, SHARDS + 1);
    });

    it('the audit log of every process verifies', async () => {
      await rehearsal.verifyAudits();
    });
  },
);
