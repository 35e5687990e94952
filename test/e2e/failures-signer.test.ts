/** As failures.test.ts, for signers: one is killed in the middle of a batch, and one sleeps until somebody else has its work. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from '../support/fleet.ts';
import type { Load } from '../support/load.ts';
import type { Member } from '../support/member.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';

const SILENCE_MS = 15_000;
/** A lease ends after half a minute (ports/store.ts, RefreshQueue). */
const BEYOND_LEASES_MS = 35_000;
/** Enough work, coming in for long enough, that a signer is in the middle of it when it is killed. */
const BACKLOG = 8000;

describe('a fleet whose signers fail', { skip: needsRedis }, () => {
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

  const [first, second] = [(): Member => fleet.signers[0] as Member, (): Member => fleet.signers[1] as Member];

  /** Rows of an existing CA: each is to be signed. */
  async function importBacklog(): Promise<void> {
    const rows = Array.from({ length: BACKLOG }, (_, i) => ({ line: i + 1, serial: random.serial(), notAfter: '2027-06-01T00:00:00Z' })); // prettier-ignore
    const [intake] = fleet.intakes as [Member];
    for (let i = 0; i < rows.length; i += 1000) {
      const body = { source: 'backlog', rows: rows.slice(i, i + 1000) };
      const { status, body: said } = await fleet.api(intake, 'POST', '/v1/issuers/demo/import', body);
      assert.equal(status, 200, JSON.stringify(said));
    }
  }

  const waiting = async (signer: Member): Promise<number> =>
    (await signer.status())?.lanes.find(({ lane }) => lane === 'refresh')?.waiting ?? NaN;
  /** Does it while a backlog is coming in and both are signing it. */
  async function inMidBatch(act: () => Promise<void> | void): Promise<void> {
    const importing = importBacklog();
    await until('there is work', async () => (await waiting(second())) > 200, 30_000);
    await act();
    await importing;
  }

  const allSigned = (signer: Member): Promise<void> =>
    until('the backlog is signed', async () => (await waiting(signer)) === 0, 60_000, 200);

  it('a signer is killed in the middle of a batch: the other one finishes it', async () => {
    await inMidBatch(() => first().kill());
    await allSigned(second());
    await load.further(20);
    await first().start();
    await first().whenReliable();
  });

  it('a signer sleeps beyond its leases and wakes up: what it still does changes nothing', async () => {
    await inMidBatch(() => first().pause());
    await sleep(BEYOND_LEASES_MS);
    await allSigned(second());
    first().resume();
    await load.further(40);
  });

  it('and every promise was kept all the time', async (t) => {
    await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
  });

  it('the audit log of every process verifies', async () => {
    await rehearsal.verifyAudits();
  });
});
