/**
 * `kill -9` while a CA is sending (P1, P2, P5): what was acknowledged is there after every restart, once; what was not can be
 * sent again; revoked stays revoked over OCSP and CRL; CRL numbers only grow; the audit log verifies.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, plainSerial, readCrl } from '../support/ocsp-client.ts';
import { seedFrom } from '../support/random.ts';
import { Service, until } from '../support/service.ts';

const EVENTS = 1000;
const KILLS = 6;
const SENDERS = 8;
const CERTIFICATES = '/v1/issuers/demo/certificates';
const REVOCATIONS = '/v1/issuers/demo/revocations';

interface Event {
  readonly serial: string;
  readonly kind: 'issue' | 'revoke';
}

describe('kill -9 while events come in', () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());

  /** Acknowledged revision by serial: 1 issued, 2 revoked. */
  const acknowledged = new Map<string, number>();
  /** Sent, and the answer never came. */
  let doubtful: Event[] = [];
  let events = 0;
  let number = 0n;
  /** Of the CRL of this number. */
  let digest = '';

  const revocations = (): number => [...acknowledged.values()].filter((revision) => revision === 2).length;

  async function send({ serial, kind }: Event): Promise<void> {
    const answer =
      kind === 'issue'
        ? await service.api('POST', CERTIFICATES, { certificates: [{ serial, notAfter: '2027-06-01T00:00:00Z' }] })
        : await service.api('POST', REVOCATIONS, { revocations: [{ serial, reason: 'superseded' }] });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const revision = kind === 'issue' ? 1 : 2;
    assert.equal(answer.body.receipts[0].revision, revision, 'sent again, it is the same event');
    acknowledged.set(serial, revision);
    events += 1;
  }

  /** Issues and revokes until the service is gone. */
  async function sender(stopped: () => boolean): Promise<void> {
    const mine: string[] = [];
    while (!stopped()) {
      const revoke = mine.length > 0 && random.chance(0.4);
      const event: Event = revoke
        ? { serial: mine.splice(random.below(mine.length), 1)[0] as string, kind: 'revoke' }
        : { serial: random.serial(), kind: 'issue' };
      try {
        await send(event);
        if (!revoke) mine.push(event.serial);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        doubtful.push(event);
        return;
      }
    }
  }

  async function checkAll(sample: number): Promise<void> {
    const all = [...acknowledged];
    await Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        for (let i = lane; i < all.length; i += 8) {
          const [serial, revision] = all[i] as [string, number];
          const { status, body } = await service.api('GET', `${CERTIFICATES}/${serial}`);
          assert.deepEqual({ serial, status, revision: body.revision }, { serial, status: 200, revision });
        }
        for (let i = lane; i < sample; i += 8) {
          const [serial, revision] = all[random.below(all.length)] as [string, number];
          const { status } = await ask(service.demo.issuer, serial, {
            port: service.ports.public,
            hash: i % 2 ? 'sha1' : 'sha256',
            method: i % 3 ? 'GET' : 'POST',
          });
          assert.equal(status, revision === 2 ? 'revoked' : 'good', serial);
        }
      }),
    );
    const revoked = all.filter(([, revision]) => revision === 2).map(([serial]) => plainSerial(serial));
    await until('the CRL lists every revocation', async () => {
      const answer = await service.get('/SureServer/demo/cdp.crl');
      if (answer.status !== 200) return false;
      const crl = readCrl(answer.body, service.demo.issuer);
      assert.ok(crl.number >= number, 'the CRL number never falls');
      const sha256 = createHash('sha256').update(answer.body).digest('hex');
      if (crl.number === number) assert.equal(sha256, digest, 'no number is given to two CRLs (C-10)');
      [number, digest] = [crl.number, sha256];
      return revoked.every((serial) => crl.entries.get(serial)?.reason === 'superseded');
    });
  }

  it(`loses and doubles nothing of ${EVENTS} events and more in ${KILLS} kills`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    let kills = 0;
    while (kills < KILLS || events < EVENTS) {
      const [before, listed] = [number, revocations()];
      let stopped = false;
      const senders = Array.from({ length: SENDERS }, () => sender(() => stopped));
      await sleep(100 + random.below(400));
      await service.kill();
      stopped = true;
      kills += 1;
      await Promise.all(senders);
      // Now and then it does not even come up before it is killed again.
      if (random.chance(0.4)) {
        service.spawn('--demo');
        await sleep(random.below(700));
        await service.kill();
        kills += 1;
      }
      await service.start('--demo');
      const again = doubtful;
      doubtful = [];
      await Promise.all(again.map(send));
      await checkAll(100);
      // On a busy machine a round may acknowledge no revocation, and then there need be no other CRL.
      if (revocations() > listed) assert.ok(number > before, `CRL ${number} after ${before}`);
      const { code, stdout, stderr } = await service.run('audit', 'verify');
      assert.equal(code, 0, stdout + stderr);
    }
    t.diagnostic(`${events} events acknowledged, ${kills} kills`);
  });

  it('holds each acknowledged revision exactly once in the audit log', async () => {
    const { stdout } = await service.run('audit', 'export');
    const times = new Map<string, number>();
    for (const line of stdout.split('\n').filter(Boolean)) {
      const { changes = [] } = JSON.parse(line) as { changes?: { serial: string; revision: number }[] };
      for (const { serial, revision } of changes)
        times.set(`${serial} ${revision}`, (times.get(`${serial} ${revision}`) ?? 0) + 1);
    }
    for (const [serial, revision] of acknowledged) {
      for (let each = 1; each <= revision; each++)
        assert.equal(times.get(`${serial} ${each}`), 1, `${serial} revision ${each}`);
    }
  });

  it('a revocation is still there when the kill comes at any moment after its acknowledgement', async () => {
    for (const delayMs of [0, 1, 5, 20, 100, 400, 1200]) {
      const serial = random.serial();
      await send({ serial, kind: 'issue' });
      assert.equal((await ask(service.demo.issuer, serial, { port: service.ports.public })).status, 'good');
      await send({ serial, kind: 'revoke' });
      await sleep(delayMs);
      await service.kill();
      await service.start('--demo');
      for (const hash of ['sha1', 'sha256'] as const) {
        assert.equal(
          (await ask(service.demo.issuer, serial, { port: service.ports.public, hash })).status,
          'revoked',
          `killed ${delayMs} ms later`,
        );
      }
    }
    await checkAll(50);
  });
});
