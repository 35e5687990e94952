/**
 * A fleet of real processes is upgraded and rolled back, one process after the other, as deploy/guide/upgrade.md says: under clients
 * that come through deploy/edge/balance.cfg and ask nothing twice, and a CA that never pauses. No question is lost, and everything
 * that was served agrees with everything that was acknowledged (test/support/checker.ts).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer, needsHaproxy } from '../support/balancer.ts';
import { exchange } from '../support/http.ts';
import type { Member } from '../support/member.ts';
import { OtherVersion } from '../support/other-version.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';
import { SteadyClients } from '../support/steady-clients.ts';

/** The balancer's checks, ten times as often here as shipped, see a drain within 300 ms; the rest is for a busy machine. */
const DRAIN_S = 2;
/** Until it believes a responder that is back: two of its checks. */
const NOTICED_MS = 800;

describe('a fleet is upgraded and rolled back under load', { skip: needsRedis || needsHaproxy }, () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let redis: RedisServer;
  let rehearsal: Rehearsal;
  let balancer: Balancer;
  let newer: OtherVersion;
  let clients: SteadyClients;
  let older: string;

  before(async () => {
    newer = new OtherVersion('9.9.9');
    redis = await startRedis();
    rehearsal = await Rehearsal.start(random, {
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000 }),
      responder: { drain: `${DRAIN_S}s` },
    });
    const { fleet, load } = rehearsal;
    balancer = await Balancer.start(fleet.responders);
    older = fleet.responders[0]?.program as string;
    load.start(2);
    const serial = await load.issue();
    for (const responder of fleet.responders)
      await until('it is good everywhere', async () => (await rehearsal.says(serial, responder)) === 'good');
    clients = new SteadyClients({ port: balancer.port, path: '/OcspServer', issuer: fleet.issuer, serial });
  });
  after(async () => {
    await clients?.stop();
    await rehearsal?.end();
    await balancer?.stop();
    await redis?.remove();
    newer?.remove();
  });

  /** As the guide says: stop, start, until it relies on the store; then the next. */
  async function replace(member: Member, program: string): Promise<void> {
    assert.equal(await member.stop(), 0, `${member.name} stops cleanly`);
    member.program = program;
    await member.start();
    await member.whenReliable();
    if (member.role !== 'responder') return;
    await until(
      'it is ready',
      async () => (await exchange({ port: member.ports.admin, path: '/readyz' })).status === 200,
    );
    await sleep(NOTICED_MS);
  }

  async function replaceAll(program: string): Promise<void> {
    const { responders, signers, intakes } = rehearsal.fleet;
    // Two at a time of three would leave one with everything: one after the other.
    for (const member of [...responders, ...signers, ...intakes]) await replace(member, program);
  }

  it('is upgraded: responders, then signers, then intakes', async () => {
    await replaceAll(newer.program);
    assert.deepEqual(clients.lost, []);
    await rehearsal.load.further(10);
  });

  it('is rolled back the same way', async () => {
    await replaceAll(older);
    assert.deepEqual(clients.lost, []);
    await rehearsal.load.further(10);
  });

  it('no question was lost, and no kept connection ended without a word', async (t) => {
    await clients.stop();
    t.diagnostic(`${clients.answered} answered; the longest wait was ${clients.slowestMs} ms`);
    assert.ok(clients.answered > 500);
    assert.deepEqual(clients.lost, []);
    assert.equal(clients.unannounced, 0);
  });

  it('every promise was kept all the time', async (t) => {
    await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
  });

  it('the audit log of every process verifies, both versions in it', async () => {
    for (const [name, printed] of await rehearsal.verifyAudits()) assert.ok(printed.length > 0, name);
    for (const member of [...rehearsal.fleet.intakes, ...rehearsal.fleet.signers]) {
      const { stdout } = await member.run('audit', 'export');
      assert.match(stdout, /certstatus 9\.9\.9 on Node/, member.name);
    }
  });
});
