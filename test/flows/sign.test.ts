import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { refreshDeadline } from '../../src/core/policy/freshness.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { Exporter } from '../../src/adapters/prometheus/exporter.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor, say, sha256 } from './support-client.ts';
import { headersOf, makeIssuer, question, RESPONDER_SPAN, serials, START, TestService } from './support-service.ts';

const REFUSED = 'certstatus_signing_refused_total';
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function open(...given: ConstructorParameters<typeof TestService>): Promise<TestService> {
  const service = await TestService.open(...given);
  services.push(service);
  return service;
}

/** A service that signs, with these certificates issued and answered for. */
async function running(
  count: number,
  ...given: ConstructorParameters<typeof TestService>
): Promise<[TestService, Serial[]]> {
  const service = await open(...given);
  const issued = serials(count);
  service.signer.start();
  await service.issue(issued);
  await settled();
  return [service, issued];
}

describe('Signer: lanes', () => {
  it('publishes a revocation while a backlog of refreshes waits (design §3)', async () => {
    const [service, issued] = await running(2400);
    await service.signer.stop();
    service.clock.step(DAY);
    assert.equal(service.store.backlog('refresh', service.clock.now()), 2400);
    service.events = [];
    const urgent = issued[2399] as Serial;
    let refreshed = 0;
    let recordedAfter: number | undefined;
    let publishedAfter: number | undefined;
    let revoking: Promise<unknown> | undefined;
    service.store.follow((event) => {
      if (event.type === 'recorded') recordedAfter = refreshed;
      if (event.type !== 'published') return;
      if (event.response.revocation !== undefined) publishedAfter = refreshed;
      else refreshed += 1;
      if (refreshed === 300) revoking ??= service.revoke([urgent]);
    });
    service.signer.start();
    await settled();
    await revoking;
    assert.ok(recordedAfter !== undefined && publishedAfter !== undefined);
    // Two bulk batches were under way, and two more may have begun while it was being signed.
    assert.ok(publishedAfter - recordedAfter <= 4 * 256, `${publishedAfter - recordedAfter} refreshes went before it`);
    assert.ok(refreshed - publishedAfter > 900, 'most of the backlog was still waiting');
    assert.equal((await say(service, urgent)).status, 'revoked');
    // Its own refresh, if it was signed in the same second, is looked at once more.
    await service.clock.advance(10 * SECOND);
    assert.equal(service.store.backlog('refresh', service.clock.now()), 0);
  });

  it('takes revocations, then first issues, then what clients ask for, then refreshes', async () => {
    const [service, issued] = await running(40);
    await service.signer.stop();
    service.clock.step(DAY);
    const [first, second, third] = issued as [Serial, Serial, Serial];
    const fresh = serials(70, 1000);
    await service.issue(fresh);
    await service.revoke([first, second]);
    service.events = [];
    service.signer.start();
    const asked = service.signer.ask(service.served.tag, third);
    await settled();
    await asked;
    const order = service.publicationOrder;
    // 64 to a batch: both revocations are in the first one, and what was asked for comes behind the issues.
    assert.deepEqual(order.slice(0, 2), [first, second]);
    assert.ok(order.indexOf(third) > order.indexOf(fresh[60] as Serial));
    const lanes = [];
    for await (const record of service.journal.read(0))
      if (record.type === 'ocsp.signed') lanes.push(record.description);
    assert.match(lanes.at(-3) as string, /\(revocation, issue\)$/);
  });

  it('answers under both CertID hashes with the same times (design decision 2)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const sha1 = await say(service, serial, 'sha1');
    assert.equal(sha1.status, 'good');
    assert.deepEqual(await say(service, serial, 'sha256'), sha1);
    assert.deepEqual(service.holder.calls, [2]);
  });

  it('signs a certificate once, however many lanes it waits in', async () => {
    const service = await open();
    const [serial] = serials(1) as [Serial];
    await service.issue([serial]);
    service.clock.step(SECOND);
    await service.revoke([serial], 'superseded');
    service.clock.step(SECOND);
    await service.revoke([serial], 'keyCompromise');
    service.signer.start();
    const asked = service.signer.ask(service.served.tag, serial);
    await settled();
    await asked;
    assert.deepEqual(service.holder.calls, [2]);
    assert.equal(service.freshness.of(service.served.tag).count, 1);
    assert.equal((await say(service, serial)).reason, 1);
    assert.equal(service.store.backlog('revocation', Infinity) + service.store.backlog('issue', Infinity), 0);
  });
});

describe('Signer: freshness', () => {
  it('keeps every answer within its deadline for 30 days (P4, BR 4.9.9, CT-4.9.10-b to d, P-16)', async () => {
    const [service, issued] = await running(16);
    const { clock, store, served } = service;
    const signedAt = new Map<Serial, number>();
    let oldest = 0;
    await clock.stride(30 * DAY, 40 * MINUTE, async () => {
      const now = clock.now();
      for (const serial of issued) {
        const found = await store.lookup(served.tag, serial);
        assert.equal(found.kind, 'published');
        if (found.kind !== 'published') continue;
        const { thisUpdate, nextUpdate, refreshAt } = found.response;
        assert.ok(thisUpdate <= now && now <= nextUpdate, 'P4');
        assert.ok(now <= refreshDeadline(thisUpdate, nextUpdate), 'B-19: half the validity, 8 h before the end, 4 d');
        assert.ok(refreshAt <= refreshDeadline(thisUpdate, nextUpdate));
        assert.equal(nextUpdate - thisUpdate + SECOND, 4 * DAY); // T-01: both ends count
        oldest = Math.max(oldest, now - thisUpdate);
        if (thisUpdate < (signedAt.get(serial) ?? 0)) assert.fail('an answer was replaced by an older one');
        signedAt.set(serial, thisUpdate);
      }
    });
    // 24 h, at most a fifth of it taken off, and the stride.
    assert.ok(oldest <= DAY + 40 * MINUTE, `oldest answer ${oldest / HOUR} h`);
    const signed = service.counter('certstatus_signed_certificates_total', { lane: 'refresh', outcome: 'published' });
    assert.ok(signed >= 16 * 29 && signed <= 16 * 38, `${signed} refreshes`);
    assert.equal(service.errors.length, 0);
    for (const serial of issued.slice(0, 3)) assert.equal((await say(service, serial, 'sha256')).status, 'good');
  });

  it('spreads the refresh of a bulk load over time, never beyond its planned age', async () => {
    const [service] = await running(300);
    const dues = service.events.flatMap((event) =>
      event.type === 'published' ? [event.response.refreshAt - START] : [],
    );
    assert.ok(Math.min(...dues) >= 0.8 * DAY && Math.max(...dues) <= DAY);
    const buckets = new Set(dues.map((due) => Math.floor((due - 0.8 * DAY) / (0.02 * DAY))));
    assert.equal(buckets.size, 10, 'a tenth of the spread each');
  });

  it('re-signs before the last max-age that it promised runs out (L-19)', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const { clock, at } = service;
    const ask = (): Promise<[number, number]> | [number, number] => {
      const reply = service.answer(question(getPath(requestFor(at.caDer, serial))));
      assert.ok(!(reply instanceof Promise));
      const maxAge = Number(/max-age=(\d+)/.exec(headersOf(reply)['cache-control'] ?? '')?.[1]);
      return [read(reply, at.caDer, serial).thisUpdate, clock.now() + maxAge * SECOND];
    };
    await say(service, serial); // loads it into the table
    const found = await service.store.lookup(service.served.tag, serial);
    assert.ok(found.kind === 'published');
    const first = found.response.thisUpdate;
    await clock.stride(found.response.refreshAt - clock.now() - 40 * SECOND, 10 * MINUTE);
    let promised = 0;
    for (let i = 0; i < 160; i++) {
      await clock.advance(500);
      const [thisUpdate, until] = await ask();
      if (thisUpdate === first) promised = Math.max(promised, until);
      else {
        assert.ok(promised > clock.now() - 2 * SECOND, 'it was served until shortly before');
        assert.ok(promised <= clock.now(), `replaced ${promised - clock.now()} ms before its max-age ran out`);
        return;
      }
    }
    assert.fail('it was not refreshed');
  });

  it('retires the answers of expired certificates after their grace, and not before notAfter (B-07, T-33)', async () => {
    const service = await open();
    const [short, long] = serials(2) as [Serial, Serial];
    const notAfter = START + 2 * DAY;
    service.signer.start();
    await service.issue([short], notAfter);
    await service.issue([long]);
    await service.revoke([short], 'superseded');
    const { afterExpiryMs } = service.served.profile.ocsp;
    await service.clock.stride(2 * DAY, 30 * MINUTE, async () => {
      assert.equal((await say(service, short)).status, 'revoked');
    });
    await service.clock.stride(afterExpiryMs - MINUTE, 30 * MINUTE);
    assert.equal((await say(service, short)).status, 'revoked', 'within the grace');
    await service.clock.stride(DAY + HOUR, 30 * MINUTE);
    assert.equal((await say(service, short)).status, 'unauthorized');
    assert.equal((await service.store.lookup(service.served.tag, short)).kind, 'pending');
    assert.equal(service.freshness.of(service.served.tag).count, 1);
    assert.equal((await say(service, long)).status, 'good');
    assert.ok(service.clock.now() > notAfter + afterExpiryMs);
  });
});

describe('Signer: responder certificates', () => {
  it('never lets an answer outlive its certificate, and stops 8 h before the end (R-10, P-16, BR 4.9.9)', async () => {
    const end = START + 6 * DAY - SECOND;
    const at = makeIssuer({ responders: [{ notBefore: START - DAY, notAfter: end }] });
    const [service, issued] = await running(4, [at]);
    const { clock, store, served } = service;
    let clamped = 0;
    await clock.stride(6 * DAY, 30 * MINUTE, async () => {
      for (const serial of issued) {
        const found = await store.lookup(served.tag, serial);
        assert.ok(found.kind === 'published');
        assert.ok(found.response.nextUpdate <= end);
        if (found.response.nextUpdate === end) clamped += 1;
        assert.ok(found.response.nextUpdate - found.response.thisUpdate + SECOND >= 8 * HOUR);
      }
    });
    assert.ok(clamped > 0);
    const refused = service.counter(REFUSED, { reason: 'responder-certificate' });
    assert.ok(refused > 0, 'said loudly');
    assert.match(service.errors.join('\n'), /install its successor/);
    // What is published is served to its end, and then nothing is.
    clock.step(end - clock.now());
    assert.equal((await say(service, issued[0] as Serial)).status, 'good');
    clock.step(2 * SECOND);
    const reply = service.answer(question(getPath(requestFor(service.at.caDer, issued[0] as Serial))));
    await clock.advance(2 * SECOND);
    assert.equal(read(await reply, service.at.caDer, issued[0] as Serial).status, 'tryLater');
  });

  it('says once a minute that nothing can be signed, however many clients ask', async () => {
    const at = makeIssuer({ responders: [{ notBefore: START - DAY, notAfter: START + HOUR }] });
    const [service, [serial]] = (await running(1, [at])) as [TestService, [Serial]];
    for (let i = 0; i < 50; i++) await service.signer.ask(at.served.tag, serial);
    assert.equal(service.errors.length, 1, service.errors[0]);
    assert.ok(service.counter(REFUSED, { reason: 'responder-certificate' }) > 50);
    await service.clock.advance(2 * MINUTE);
    assert.equal(service.errors.length, 3);
  });

  it('changes over to a newer certificate once that has been valid for a day (T-17, T-18)', async () => {
    const old = { notBefore: START - 60 * DAY, notAfter: START + 9 * DAY - SECOND };
    const next = { notBefore: START + 3 * DAY, notAfter: START + 90 * DAY - SECOND };
    const [service, issued] = await running(2, [makeIssuer({ responders: [next, old] })]);
    const { clock } = service;
    const signers = new Set<number>();
    await clock.stride(10 * DAY, HOUR, async () => {
      for (const serial of issued) {
        const said = await say(service, serial);
        assert.equal(said.status, 'good');
        assert.ok(said.nextUpdate <= said.responderNotAfter);
        if (clock.now() < next.notBefore + DAY) assert.equal(said.responderNotAfter, old.notAfter);
        signers.add(said.responderNotAfter);
        if (said.thisUpdate >= next.notBefore + DAY) assert.equal(said.responderNotAfter, next.notAfter);
      }
    });
    assert.deepEqual(signers, new Set([old.notAfter, next.notAfter]));
    assert.equal(service.errors.length, 0);
  });

  it('goes on with the older certificate when the newer one has no key here', async () => {
    const newer = { notBefore: START - DAY, notAfter: START + 91 * DAY - SECOND };
    const at = makeIssuer({ responders: [newer, RESPONDER_SPAN] });
    const id = at.served.responders.list[0]?.certificate.id as string;
    (at.keys.ocsp as Map<string, unknown>).delete(id);
    const [service, [serial]] = (await running(1, [at])) as [TestService, [Serial]];
    assert.equal((await say(service, serial)).responderNotAfter, RESPONDER_SPAN.notAfter);
  });

  it('goes back to the older certificate when that lasts longer', async () => {
    const newer = { notBefore: START - DAY, notAfter: START + DAY };
    const older = { notBefore: START - 2 * DAY, notAfter: RESPONDER_SPAN.notAfter };
    const [service, issued] = await running(2, [makeIssuer({ responders: [newer, older] })]);
    const [early, late] = issued as [Serial, Serial];
    assert.equal((await say(service, early)).responderNotAfter, newer.notAfter);
    await service.clock.stride(DAY - 2 * HOUR, HOUR);
    await service.revoke([late]);
    await settled();
    const said = await say(service, late);
    assert.deepEqual([said.status, said.responderNotAfter], ['revoked', RESPONDER_SPAN.notAfter]);
    assert.deepEqual(service.errors, []);
  });
});

describe('Signer: accounting', () => {
  it('has every served answer in the journal with its SHA-256 (P8)', async () => {
    const [service, issued] = await running(70);
    await service.revoke(issued.slice(0, 9), 'cessationOfOperation');
    await service.clock.stride(2 * DAY, HOUR);
    const accounted = new Map<string, readonly unknown[]>();
    for await (const record of service.journal.read(0)) {
      if (record.type !== 'ocsp.signed') continue;
      for (const row of record.detail?.['responses'] as (readonly string[])[]) {
        for (const digest of row.slice(-2)) accounted.set(digest, row);
      }
    }
    for (const serial of issued) {
      for (const hash of ['sha1', 'sha256'] as const) {
        const reply = await service.answer(question(getPath(requestFor(service.at.caDer, serial, hash))));
        const row = accounted.get(sha256(reply.body));
        assert.ok(
          row !== undefined,
          `${serial} ${hash} is not in the journal: ${JSON.stringify(read(reply, service.at.caDer, serial, hash))}`,
        );
        assert.equal(row[0], serial);
        assert.match(row[2] as string, issued.indexOf(serial) < 9 ? /^revoked .*Z cessationOfOperation$/ : /^good$/);
      }
    }
  });

  it('publishes and signs nothing while the journal cannot be written, then resumes (P8)', async () => {
    const [service, issued] = await running(5);
    const [first] = issued as [Serial];
    const { journal, holder, clock } = service;
    const gauges = gaugesOf(service);
    await service.revoke([first]);
    await settled();
    assert.equal((await say(service, first)).status, 'revoked');
    await clock.stride(19 * HOUR, HOUR);
    service.events = [];
    let calls = holder.calls.length;
    journal.broken = 'no space left on device';
    await clock.stride(6 * HOUR, 10 * MINUTE);
    assert.deepEqual(service.publicationOrder, []);
    assert.ok(holder.calls.length - calls <= 4, 'at most the batches that were under way when it broke');
    calls = holder.calls.length;
    await clock.stride(HOUR, MINUTE);
    assert.equal(holder.calls.length, calls, 'nothing is signed meanwhile');
    assert.ok(service.counter(REFUSED, { reason: 'audit-log' }) > 0);
    assert.match(await gauges(), /certstatus_audit_writable 0/);
    journal.broken = undefined;
    await clock.advance(10 * SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued));
    assert.match(await gauges(), /certstatus_audit_writable 1/);
    const types = [];
    for await (const record of journal.read(0)) types.push(record.type);
    assert.ok(types.includes('journal.recovered'));
  });
});

/** The gauges as a scraper reads them. */
function gaugesOf(service: TestService): () => Promise<string> {
  registerGauges(service.metrics.set, service.sources);
  const exporter = new Exporter(service.metrics.set);
  return () => exporter.text();
}
