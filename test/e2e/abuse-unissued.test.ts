/** A flood of serials that nobody issued, against a responder over a real Redis: how much of it goes further, and who notices. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { Abuser } from '../support/abuser.ts';
import { Fleet } from '../support/fleet.ts';
import type { Member } from '../support/member.ts';
import { Metrics } from '../support/metrics.ts';
import { ask, ocspRequest } from '../support/ocsp-client.ts';
import { needsRedis, redisCli, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, until } from '../support/service.ts';

const RATE = 100;
const CERTIFICATES = '/v1/issuers/demo/certificates';
const LOOKUPS = 'certstatus_lookups_total';

describe('a flood of serials that nobody issued', { skip: needsRedis }, () => {
  let redis: RedisServer;
  let fleet: Fleet;
  let intake: Member;
  let signer: Member;
  let responder: Member;
  const abusers: Abuser[] = [];
  const serials = Array.from({ length: 400 }, (_, i) => `41${createHash('sha256').update(String(i)).digest('hex').slice(0, 30)}`); // prettier-ignore

  before(async () => {
    redis = await startRedis();
    const counts = { intakes: 1, signers: 1, responders: 1 };
    fleet = await Fleet.create({
      directory: mkdtempSync(join(tmpdir(), 'certstatus-flood-')),
      ports: await freePorts(9),
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000 }),
      ...counts,
    });
    [intake, signer, responder] = [fleet.intakes[0], fleet.signers[0], fleet.responders[0]] as [Member, Member, Member];
    const config = parse(readFileSync(responder.configFile, 'utf8')) as object;
    writeFileSync(responder.configFile, stringify({ ...config, limits: { lookupsPerSecond: RATE } }));
    await fleet.start();
    await issue(serials);
    await until('all are answered for', async () => (await says(serials.at(-1) as string)) === 'good');
    await until('all are signed', async () => {
      const status = await signer.status();
      return status !== undefined && status.lanes.every(({ waiting }) => waiting === 0);
    });
    // A responder that has been told of nothing by the feed: it knows what was issued from the ledger alone.
    await responder.stop();
    await responder.start();
    await responder.whenReliable();
    await until('it knows what was issued', async () => (await metrics()).sum('certstatus_issued_filter_serials') >= serials.length); // prettier-ignore
  });
  after(async () => {
    await Promise.all(abusers.map((abuser) => abuser.end()));
    await fleet?.kill();
    fleet?.remove();
    await redis?.remove();
  });

  const issue = async (list: readonly string[]): Promise<void> => {
    const dates = { notBefore: '2026-11-01T00:00:00Z', notAfter: '2027-11-01T00:00:00Z' };
    const { status } = await fleet.api(intake, 'POST', CERTIFICATES, {
      certificates: list.map((serial) => ({ serial, ...dates })),
    });
    assert.equal(status, 200);
  };
  const says = async (serial: string): Promise<string> =>
    (await ask(fleet.issuer, serial, { port: responder.ports.public, path: '/OcspServer' })).status;
  const metrics = (of: Member = responder): Promise<Metrics> => Metrics.of(of.ports.admin);
  const signed = async (): Promise<number> => (await metrics(signer)).sum('certstatus_signed_certificates_total');

  /** Reads of single records so far, those of scripts included. */
  const reads = (): number => {
    const stats = redisCli(redis.port, 'INFO', 'commandstats').join('\n');
    return Number(/cmdstat_hget:calls=(\d+)/.exec(stats)?.[1] ?? 0);
  };

  function flood(count: number): Abuser {
    const serial = randomBytes(16);
    serial[0] = 0x41;
    const request = ocspRequest(fleet.issuer, serial.toString('hex'));
    const abuser = new Abuser({
      port: responder.ports.public,
      flood: {
        connections: 24,
        request: request.toString('base64'),
        serialAt: request.indexOf(serial),
        path: '/OcspServer',
        count,
      },
    });
    abusers.push(abuser);
    return abuser;
  }

  it('reaches Redis at the stated rate and the key holder not at all; what exists is answered meanwhile', async (t) => {
    const before = await metrics();
    const signatures = await signed();
    const hot = serials.slice(0, 20);
    for (const serial of hot) assert.equal(await says(serial), 'good');
    // Everybody looks at the ledger all the time, flood or not.
    const [quietFrom, quietReads] = [performance.now(), reads()];
    await sleep(3000);
    const from = performance.now();
    const readsBefore = reads();
    const background = ((readsBefore - quietReads) / (from - quietFrom)) * 1000;
    const abuser = flood(40_000);
    await until('the budget is used up', async () => (await metrics()).sum(LOOKUPS, { result: 'refused' }) > 2 * RATE);
    // Held in memory, and asked for the first time since the start.
    const cold = serials.slice(20);
    let answered = 0;
    for (; !abuser.report.done; answered++) {
      assert.equal(await says(hot[answered % hot.length] as string), 'good');
      const next = cold[answered];
      if (next !== undefined) assert.equal(await says(next), 'good');
      await sleep(5);
    }
    const seconds = (performance.now() - from) / 1000;
    const found = Math.round(reads() - readsBefore - background * seconds);
    const honest = Math.min(answered, cold.length);
    const after = await metrics();
    const count = (result: string): number => after.sum(LOOKUPS, { result }) - before.sum(LOOKUPS, { result });
    t.diagnostic(
      `${seconds.toFixed(1)} s; of the flood ${JSON.stringify(abuser.report.answers)}; ${found} reads of Redis beside ${background.toFixed(0)} a second without it, ${honest} of them for cold certificates; ` +
        `look-ups: ${count('never-issued')} never issued, ${count('refused')} refused, ${count('remembered')} remembered`,
    );
    const bound = RATE * seconds + 2 * RATE;
    assert.ok(count('never-issued') <= bound, `${count('never-issued')} look-ups, ${bound} at most`);
    // One for the record, and one when nothing was found: the ledger is looked at once more (P3). A little for the background.
    const most = 2 * (bound + honest) + 0.2 * background * seconds;
    assert.ok(found <= most, `${found} reads, ${most} at most`);
    assert.ok(most < 20_000, 'a flood without a bound would be seen');
    assert.match(JSON.stringify((await responder.status())?.problems), /asked for faster than they may be looked up/);
    assert.ok(count('refused') > 5 * bound, 'most of it was refused');
    const { unauthorized = 0, tryLater = 0, ...others } = abuser.report.answers;
    assert.deepEqual(others, {}, 'nothing but unauthorized and tryLater');
    assert.ok(unauthorized > 0 && tryLater > unauthorized);
    assert.equal(await signed(), signatures, 'signatures');
    assert.ok(answered > 20, `${answered} rounds of questions meanwhile`);
  });

  it('keeps a certificate that is issued in the middle of it waiting no longer than another (CT-4.9.10-e)', async () => {
    const abuser = flood(1_000_000);
    const refused = async (): Promise<number> => (await metrics()).sum(LOOKUPS, { result: 'refused' });
    const before = await refused();
    await until('the budget is used up', async () => (await refused()) > before + 2 * RATE);
    for (let i = 0; i < 5; i++) {
      const serial = `42${randomBytes(15).toString('hex')}`;
      // It may have been asked for before, as monitors do.
      await says(serial);
      await issue([serial]);
      let last = '';
      await until(`good, not ${last}`, async () => (last = await says(serial)) === 'good', 5000, 20);
    }
    assert.equal(abuser.report.done, false, 'the flood goes on');
    await abuser.end();
  });
});
