/** Answers signed for one request, because of its nonce (RFC 9654): what is echoed, and what it may cost. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { JournalEntry } from '../../src/core/journal-record.ts';
import type { LiveLimits } from '../../src/core/policy/live-budget.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import type { Reply } from '../../src/ports/front.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor, type Said } from './support-client.ts';
import { headersOf, makeIssuer, OCSP_PATH, question, serials, sha256, START, TestService } from './support-service.ts';

const LIVE = 'certstatus_live_answers_total';
const LIMITS: LiveLimits = { perSecond: 5, waiting: 3 };

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

/** With `count` certificates whose answers are published. */
async function running(
  count: number,
  live = LIMITS,
  nonce: 'ignore' | 'live' = 'live',
): Promise<[TestService, Serial[]]> {
  const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, nonce, live } };
  const service = await TestService.open([makeIssuer({ profile })]);
  services.push(service);
  const issued = serials(count);
  service.signer.start();
  if (count > 0) await service.issue(issued);
  await settled();
  return [service, issued];
}

const nonceOf = (n: number, octets = 32): Buffer => Buffer.alloc(octets, n);

function ask(
  service: TestService,
  serial: Serial,
  nonce?: Uint8Array,
  hash: 'sha1' | 'sha256' = 'sha1',
): Reply | Promise<Reply> {
  return service.answer(question(getPath(requestFor(service.at.caDer, serial, hash, nonce))));
}

/** Asks and reads as a client does. */
async function say(service: TestService, serial: Serial, nonce?: Uint8Array): Promise<Said> {
  return read(await ask(service, serial, nonce), service.at.caDer, serial);
}

/** What the journal has of signatures that were made for a nonce. */
async function accounted(service: TestService): Promise<{ type: string; rows: readonly (readonly unknown[])[] }[]> {
  const found: { type: string; rows: readonly (readonly unknown[])[] }[] = [];
  for await (const { type, detail = {}, description } of service.journal.read(0)) {
    if (!description.includes('for a nonce')) continue;
    found.push({ type, rows: (detail['live'] ?? detail['signed']) as readonly (readonly unknown[])[] });
  }
  return found;
}

describe('a nonce, where the profile says live', () => {
  for (const hash of ['sha1', 'sha256'] as const)
    it(`is echoed octet for octet in an answer with the ${hash} CertID, 1 to 128 octets (N-03, N-04, N-06)`, async () => {
      const [service, [serial]] = (await running(1, { perSecond: 50, waiting: 3 })) as [TestService, [Serial]];
      const bodies = new Set<string>();
      for (const octets of [1, 15, 16, 31, 32, 33, 127, 128]) {
        const nonce = Buffer.from(Array.from({ length: octets }, (_, i) => (i * 37 + octets) % 256));
        const reply = await ask(service, serial, nonce, hash);
        const said = read(reply, service.at.caDer, serial, hash);
        assert.equal(said.nonce, nonce.toString('hex'));
        assert.equal(said.status, 'good');
        const { validityMs } = service.served.profile.ocsp;
        assert.equal(said.thisUpdate, START);
        assert.equal(said.nextUpdate, START + validityMs - SECOND);
        bodies.add(reply.body.toString('hex'));
      }
      assert.equal(bodies.size, 8);
      assert.equal(service.counter(LIVE, { outcome: 'signed' }), 8);
      assert.equal(service.counter('certstatus_answers_total', { outcome: 'good', certid_hash: hash }), 8);
    });

  it('comes in a reply that no cache may keep, and that has no no-store (T-53, L-20)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const reply = await ask(service, serial, nonceOf(1));
    const headers = headersOf(reply);
    assert.equal(headers['cache-control'], 'private, max-age=0, must-revalidate, no-transform');
    assert.equal(headers['content-type'], 'application/ocsp-response');
    assert.equal(headers['content-length'], String(reply.body.length));
    assert.deepEqual(Object.keys(headers).sort(), ['cache-control', 'content-length', 'content-type']);
  });

  it('is answered in full to a conditional request: nobody has it yet', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const etag = headersOf(await ask(service, serial))['etag'];
    const target = getPath(requestFor(service.at.caDer, serial, 'sha1', nonceOf(1)));
    const reply = await service.answer(question(target, { ifNoneMatch: etag }));
    assert.equal(read(reply, service.at.caDer, serial).nonce, nonceOf(1).toString('hex'));
  });

  it('is kept apart from what the front does with its buffer meanwhile', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const body = requestFor(service.at.caDer, serial, 'sha1', nonceOf(7));
    const waiting = service.answer(question(OCSP_PATH, { method: 'POST', body }));
    body.fill(0);
    assert.equal(read(await waiting, service.at.caDer, serial).nonce, nonceOf(7).toString('hex'));
  });

  it('of no or more than 128 octets is malformed (N-05)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    for (const octets of [0, 129])
      assert.equal((await say(service, serial, nonceOf(1, octets))).status, 'malformedRequest');
  });

  it('is answered for a certificate whose answer is not in memory', async () => {
    const [service, issued] = await running(3);
    assert.equal(service.table.size, 0);
    assert.equal((await say(service, issued[1] as Serial, nonceOf(9))).nonce, nonceOf(9).toString('hex'));
  });

  it('says revoked, with date and reason', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    await service.revoke([serial], 'keyCompromise');
    await settled();
    const said = await say(service, serial, nonceOf(1));
    assert.deepEqual(
      [said.status, said.reason, said.revokedAt, said.nonce],
      ['revoked', 1, START, nonceOf(1).toString('hex')],
    );
  });
});

describe('a nonce that is not answered', () => {
  it('gets the pre-signed answer of a profile that says ignore, byte for byte (L-08)', async () => {
    const [service, [serial]] = (await running(1, LIMITS, 'ignore')) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    const nonced = ask(service, serial, nonceOf(1));
    assert.ok(!(nonced instanceof Promise));
    assert.deepEqual(nonced, plain);
    assert.equal(service.counter(LIVE), 0);
  });

  it('costs no signature for what was never issued, or has expired (P3, T-26)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const signatures = service.holder.calls.length;
    const random = serialFromHex('7777777777777777777777');
    for (let i = 0; i < 20; i++) assert.equal((await say(service, random, nonceOf(i))).status, 'unauthorized');
    service.clock.step(90 * DAY + PROFILE.ocsp.afterExpiryMs + HOUR);
    assert.equal((await say(service, serial, nonceOf(1))).status, 'unauthorized');
    assert.equal(service.holder.calls.length, signatures);
    assert.deepEqual(await accounted(service), []);
  });

  it('because the budget of the second is spent gets the pre-signed answer at once', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    for (let i = 0; i < LIMITS.perSecond; i++) assert.ok((await say(service, serial, nonceOf(i))).nonce);
    const beyond = ask(service, serial, nonceOf(99));
    assert.ok(!(beyond instanceof Promise), 'without waiting');
    assert.deepEqual(beyond, plain);
    assert.equal(service.counter(LIVE, { outcome: 'over-budget' }), 1);
    await service.clock.advance(SECOND / LIMITS.perSecond);
    assert.ok((await say(service, serial, nonceOf(6))).nonce, 'one more is there');
    assert.equal((await say(service, serial, nonceOf(7))).nonce, undefined);
  });

  it('waits two seconds for a key that hangs, as many as may; the rest and those who come later do not wait', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    const release = service.holder.hang();
    const waiting = Array.from({ length: LIMITS.waiting }, (_, i) => ask(service, serial, nonceOf(i)));
    assert.ok(waiting.every((reply) => reply instanceof Promise));
    assert.deepEqual(ask(service, serial, nonceOf(9)), plain);
    await service.clock.advance(2 * SECOND);
    for (const reply of waiting) assert.deepEqual(await reply, plain);
    assert.equal(service.counter(LIVE, { outcome: 'late' }), LIMITS.waiting);
    await service.clock.advance(SECOND);
    assert.deepEqual(ask(service, serial, nonceOf(10)), plain, 'nobody waits for a key that is known to hang');
    release();
    await settled();
    await service.clock.advance(3 * SECOND);
    assert.ok((await say(service, serial, nonceOf(11))).nonce, 'and it is tried again');
    // What was signed too late is in the audit log all the same (P8).
    const rows = (await accounted(service)).flatMap((record) => record.rows);
    assert.equal(rows.length, LIMITS.waiting + 1);
  });

  it('of one issuer, however many, costs another issuer nothing', async () => {
    const live = { perSecond: 2, waiting: 2 };
    const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, nonce: 'live' as const, live } };
    const issuers = [makeIssuer({ profile }), makeIssuer({ profile, id: 'other', name: 'Other CA' })] as const;
    const service = await TestService.open([...issuers]);
    services.push(service);
    const [serial] = serials(1) as [Serial];
    service.signer.start();
    for (const { served } of issuers) await service.issue([serial], START + 90 * DAY, served);
    await settled();
    for (const { caDer } of issuers) await service.answer(question(getPath(requestFor(caDer, serial))));
    const release = service.holder.hang();
    const flood = Array.from({ length: 10 }, (_, i) => ask(service, serial, nonceOf(i)));
    const { caDer } = issuers[1];
    const reply = await service.answer(question(getPath(requestFor(caDer, serial, 'sha1', nonceOf(77)))));
    assert.equal(read(reply, caDer, serial).nonce, nonceOf(77).toString('hex'));
    release();
    const echoed = await Promise.all(flood.map(async (one) => read(await one, service.at.caDer, serial).nonce));
    assert.equal(echoed.filter(Boolean).length, 2);
  });

  it('because no key can be used, or the service stops, gets the pre-signed answer at once', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    service.holder.failure = 'token ocsp is not activated';
    assert.deepEqual(ask(service, serial, nonceOf(1)), plain);
    service.holder.failure = undefined;
    const release = service.holder.hang();
    const waiting = [ask(service, serial, nonceOf(2)), ask(service, serial, nonceOf(3))];
    await settled();
    waiting.push(ask(service, serial, nonceOf(4)));
    const stopped = service.live.stop();
    release();
    await stopped;
    assert.deepEqual(
      (await Promise.all(waiting.map(async (reply) => read(await reply, service.at.caDer, serial).nonce))).at(-1),
      undefined,
    );
    assert.deepEqual(ask(service, serial, nonceOf(5)), plain);
  });
});

describe('P2: a revocation while an answer is being signed for a nonce', () => {
  it('before the signature is there: good is not said any more', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const release = service.holder.hang();
    const waiting = ask(service, serial, nonceOf(1));
    await settled();
    assert.equal(service.holder.calls.at(-1), 1, 'the signature of good is being made');
    await service.revoke([serial], 'keyCompromise');
    release();
    await settled();
    const said = read(await waiting, service.at.caDer, serial);
    assert.equal(said.status, 'revoked');
    assert.equal(service.counter(LIVE, { outcome: 'not-signed' }), 1);
  });

  it('while the audit log is written: good is not said any more, and the signature of it is in the log (P8)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    let revoking: Promise<unknown> | undefined;
    service.journal.before = async (entries: readonly JournalEntry[]) => {
      if (entries[0]?.description.includes('for a nonce') === true)
        await (revoking ??= service.revoke([serial], 'superseded'));
    };
    const said = await say(service, serial, nonceOf(1));
    assert.ok(revoking !== undefined);
    assert.equal(said.status, 'revoked');
    const [record] = await accounted(service);
    assert.equal(record?.rows[0]?.[2], 'good');
    assert.equal((await say(service, serial, nonceOf(2))).nonce, nonceOf(2).toString('hex'));
  });

  it('whenever it comes, nobody hears good after it was acknowledged', async () => {
    const [service, issued] = await running(40, { perSecond: 10_000, waiting: 1000 });
    const acknowledged = new Set<Serial>();
    const wrong: string[] = [];
    const client = async (serial: Serial, n: number): Promise<void> => {
      for (let i = 0; i < 6; i++) {
        const before = acknowledged.has(serial);
        const { status } = await say(service, serial, nonceOf((n * 7 + i) % 256));
        if (before && status === 'good') wrong.push(serial);
      }
    };
    const clients = issued.map((serial, n) => client(serial, n));
    for (const serial of issued) void service.revoke([serial], 'superseded').then(() => acknowledged.add(serial));
    await Promise.all(clients);
    assert.equal(acknowledged.size, issued.length);
    assert.deepEqual(wrong, []);
    assert.ok(service.counter(LIVE, { outcome: 'signed' }) > 0);
  });
});

describe('what is signed for a nonce', () => {
  it('is in the audit log before anybody has it, many in one record (P8)', async () => {
    const [service, issued] = await running(3);
    for (const serial of issued) await ask(service, serial);
    const replies = await Promise.all(issued.map(async (serial, i) => ask(service, serial, nonceOf(i))));
    const records = await accounted(service);
    assert.equal(records.length, 1);
    assert.deepEqual(
      records[0]?.rows.map((row) => row.at(-1)),
      replies.map(({ body }) => sha256(body)),
    );
  });

  it('is given to nobody while the audit log cannot be written', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    service.journal.broken = 'ENOSPC';
    assert.deepEqual(await ask(service, serial, nonceOf(1)), plain);
    const signatures = service.holder.calls.length;
    assert.deepEqual(ask(service, serial, nonceOf(2)), plain);
    assert.equal(service.holder.calls.length, signatures, 'and nothing more is signed');
  });

  for (const behaviour of ['spoil', 'other-key'] as const)
    it(`is checked: a signature from a key that does ${behaviour} is given to nobody, and accounted for (P6)`, async () => {
      const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
      const plain = await ask(service, serial);
      service.holder.behave = () => behaviour;
      assert.deepEqual(await ask(service, serial, nonceOf(1)), plain);
      const [record] = await accounted(service);
      assert.equal(record?.type, 'ocsp.refused');
      assert.equal(record?.rows.length, 1);
      assert.equal(service.counter('certstatus_signing_refused_total', { reason: 'check' }), 1);
    });

  it('is given to nobody when its responder certificate is retired meanwhile', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const plain = await ask(service, serial);
    const release = service.holder.hang();
    const waiting = ask(service, serial, nonceOf(1));
    await settled();
    service.served.responders.retire(service.served.responders.list[0]?.certificate.id ?? '', 'answers');
    release();
    assert.deepEqual(await waiting, plain);
  });

  it('leaves the key alone for as long as it has used it: a flood keeps no refresh from it (P4)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const release = service.holder.hang();
    const first = ask(service, serial, nonceOf(1));
    await settled();
    await service.clock.advance(SECOND / 2);
    const calls = service.holder.calls.length;
    const second = ask(service, serial, nonceOf(2));
    release();
    assert.ok(read(await first, service.at.caDer, serial).nonce);
    await settled();
    assert.equal(service.holder.calls.length, calls);
    await service.clock.advance(SECOND / 2);
    assert.ok(read(await second, service.at.caDer, serial).nonce);
    assert.equal(service.holder.calls.length, calls + 1);
  });
});
