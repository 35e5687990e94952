/**
 * Keys in an HSM (SoftHSM2) that two persons have activated in both signers, and the HSM away for a while: what is signed is
 * served on, events are acknowledged, a certificate that was revoked meanwhile is not good for a moment, and when the HSM is back
 * everything is signed without another activation. The audit logs name who activated.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { demoToken, HOLDERS, missingSofthsm, THRESHOLD, TOKEN, type DemoToken } from '../../deploy/try/token.ts';
import { credentialFiles, type Fleet } from '../support/fleet.ts';
import type { Load } from '../support/load.ts';
import type { Member } from '../support/member.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { Rehearsal } from '../support/rehearsal.ts';
import { until } from '../support/service.ts';

const AWAY_MS = 20_000;

describe('an HSM that goes away', { skip: needsRedis || missingSofthsm }, () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let redis: RedisServer;
  let token: DemoToken;
  let rehearsal: Rehearsal;
  let fleet: Fleet;
  let load: Load;

  const persons = HOLDERS.slice(0, THRESHOLD);
  async function activate(signer: Member): Promise<void> {
    for (const person of persons) {
      const { certificate, key } = credentialFiles(fleet.directory, person);
      const own = ['--cert', certificate, '--key', key, '--share-file', token.share(person)];
      const { code, stderr } = await signer.run('key', 'activate', '--token', TOKEN, ...own);
      assert.equal(code, 0, stderr);
    }
  }
  before(async () => {
    redis = await startRedis();
    rehearsal = await Rehearsal.start(random, {
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000, silenceLimit: '15s' }),
      token: async (data, keys) => (token = await demoToken(data, keys)),
    });
    ({ fleet, load } = rehearsal);
  });
  after(async () => {
    await rehearsal?.end();
    await redis?.remove();
  });

  it('is not used before two persons have activated it', async () => {
    const [signer] = fleet.signers as [Member];
    const { stdout } = await signer.run('key', 'list', '--json');
    assert.match(stdout, /"inactive"/);
    for (const each of fleet.signers) await activate(each);
    load.start(2);
    await load.further(30);
  });

  it('while it is away events are taken, and no revoked certificate is good', async () => {
    const serial = await load.issue();
    await until('it is good', async () => (await rehearsal.says(serial)) === 'good', 10_000);
    renameSync(token.files, `${token.files}.away`);
    // An empty one, so that the module starts and finds no token.
    mkdirSync(token.files);
    const awayAt = Date.now();
    await load.revoke(serial);
    await load.further(20);
    await sleep(Math.max(0, awayAt + AWAY_MS - Date.now()));
    assert.notEqual(await rehearsal.says(serial), 'good');
    rmSync(token.files, { recursive: true });
    renameSync(`${token.files}.away`, token.files);
    await until('the revocation is signed', async () => (await rehearsal.says(serial)) === 'revoked', 30_000, 100);
    await load.further(20);
  });

  it('a signer that was killed signs again when it is activated again', async () => {
    const [signer] = fleet.signers as [Member];
    await signer.kill();
    await load.further(10);
    await signer.start();
    await activate(signer);
    await load.further(10);
  });

  it('and every promise was kept all the time', async (t) => {
    await rehearsal.judge((line) => t.diagnostic(`seed ${seed}: ${line}`));
  });

  it('the audit log of every process verifies, and names who activated the keys', async () => {
    const printed = await rehearsal.verifyAudits();
    for (const { name } of fleet.signers)
      for (const person of persons) assert.match(printed.get(name) ?? '', new RegExp(person), name);
  });
});
