import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { ResponseTemplate } from '../../src/core/ocsp/response.ts';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { Exporter } from '../../src/adapters/prometheus/exporter.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { Responders } from '../../src/flows/responders.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor, say } from './support-client.ts';
import { makeIssuer, question, serials, START, type TestIssuer, TestService } from './support-service.ts';

const REFUSED = 'certstatus_signing_refused_total';
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function running(
  count: number,
  ...given: ConstructorParameters<typeof TestService>
): Promise<[TestService, Serial[]]> {
  const service = await TestService.open(...given);
  services.push(service);
  const issued = serials(count);
  service.signer.start();
  await service.issue(issued);
  await settled();
  return [service, issued];
}

/** Gauges without labels or with the ones given, as a scraper reads them. */
function gaugesOf(service: TestService): (name: string) => Promise<number> {
  registerGauges(service.metrics.set, service.sources);
  const exporter = new Exporter(service.metrics.set);
  return async (name) => {
    const line = (await exporter.text()).split('\n').find((text) => text.startsWith(`${name} `));
    assert.ok(line !== undefined, `no sample ${name}`);
    return Number(line.slice(name.length + 1));
  };
}

const OLDEST = 'certstatus_oldest_unpublished_revocation_seconds{channel="ocsp"}';

describe('Signer: a key holder in trouble', () => {
  for (const [trouble, begin] of [
    ['hangs', (service: TestService) => service.holder.hang()],
    [
      'fails each signature',
      ({ holder }: TestService) => {
        holder.behave = () => 'fail';
        return () => void (holder.behave = () => 'sign');
      },
    ],
    [
      'is gone',
      ({ holder }: TestService) => {
        holder.gone = new Error('CKR_DEVICE_REMOVED');
        return () => void (holder.gone = undefined);
      },
    ],
  ] as const) {
    it(`that ${trouble} for two days: gauges rise, published answers are served on, and it catches up (P4)`, async () => {
      const [service, issued] = await running(20);
      const { clock, served } = service;
      const gauge = gaugesOf(service);
      await clock.stride(DAY / 2, HOUR);
      const end = begin(service);
      const [victim, other] = issued as [Serial, Serial];
      await service.revoke([victim], 'keyCompromise');
      await clock.stride(2 * DAY, HOUR, async () => {
        assert.equal((await say(service, other)).status, 'good');
      });
      assert.equal(await gauge(OLDEST), (2 * DAY) / SECOND, 'from the time at which it was recorded');
      assert.ok((await gauge('certstatus_backlog{lane="revocation"}')) === 1);
      assert.ok((await gauge(`certstatus_oldest_this_update_age_seconds{issuer="${served.id}"}`)) > 2 * 86_400);
      assert.ok((await gauge(`certstatus_least_time_to_next_update_seconds{issuer="${served.id}"}`)) < 2 * 86_400);
      // P2: the answer from before the revocation is not served, whatever the signer does.
      const reply = service.answer(question(getPath(requestFor(service.at.caDer, victim))));
      await clock.advance(3 * SECOND);
      assert.equal(read(await reply, service.at.caDer, victim).status, 'tryLater');
      end();
      await clock.advance(30 * SECOND);
      assert.equal((await say(service, victim)).status, 'revoked');
      assert.equal(await gauge(OLDEST), 0);
      const freshness = service.freshness.of(served.tag);
      assert.ok(clock.now() - (freshness.oldestThisUpdate ?? 0) <= 2 * MINUTE, 'everything was refreshed');
      const waited = await gauge('certstatus_revocation_to_ocsp_seconds_sum');
      assert.ok(waited >= (2 * DAY) / SECOND, `the wait is measured whole: ${waited} s`);
    });
  }

  it('publishes what was signed, and tries the rest again', async () => {
    const service = await TestService.open();
    services.push(service);
    const issued = serials(50);
    const bad = new Set(issued.filter((_, i) => i % 7 === 0));
    service.holder.behave = (tbs) =>
      [...bad].some((serial) => Buffer.from(tbs).includes(serial, 0, 'hex')) ? 'fail' : 'sign';
    service.signer.start();
    await service.issue(issued);
    await settled();
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued.filter((serial) => !bad.has(serial))));
    assert.equal(service.counter(REFUSED, { reason: 'key-holder' }), bad.size);
    bad.clear();
    await service.clock.advance(6 * SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued));
    assert.equal(service.store.backlog('issue', Infinity), 0);
  });

  it('keeps a bounded number of failures in hand, and measures the wait of all the others as well', async () => {
    const service = await TestService.open();
    services.push(service);
    const gauge = gaugesOf(service);
    service.holder.behave = () => 'fail';
    service.signer.start();
    await service.issue(serials(1200));
    await settled();
    assert.equal(service.store.backlog('issue', START), 1024, 'the rest was given back, due later');
    await service.clock.advance(MINUTE);
    service.holder.behave = () => 'sign';
    await service.clock.advance(10 * SECOND);
    assert.equal(service.store.backlog('issue', Infinity), 0);
    assert.ok((await gauge('certstatus_issuance_to_ocsp_seconds_sum')) >= 1200 * 60);
  });

  it('does not let one issuer whose key fails hold up another', async () => {
    const broken = makeIssuer({ id: 'broken', name: 'Broken CA' });
    for (const holder of broken.holders.values()) holder.behave = () => 'fail';
    const service = await TestService.open([makeIssuer(), broken]);
    services.push(service);
    service.signer.start();
    await service.issue(serials(1500), START + 90 * DAY, broken.served);
    await settled();
    const [serial] = serials(1, 5000) as [Serial];
    await service.issue([serial]);
    await service.clock.advance(2 * SECOND);
    assert.deepEqual(service.publicationOrder, [serial]);
    await service.clock.advance(20 * SECOND);
    const another = serials(1, 6000);
    await service.issue(another);
    await service.clock.advance(2 * SECOND);
    assert.deepEqual(service.publicationOrder, [serial, ...another], 'nor after the first tries have failed');
  });
});

describe('Signer: one issuer whose ledger cannot be had', () => {
  /** What is recorded of both before the signer starts is in one batch, that of the broken one first. */
  async function two(): Promise<[TestService, TestIssuer, readonly Serial[]]> {
    const broken = makeIssuer({ id: 'broken', name: 'Broken CA' });
    const service = await TestService.open([makeIssuer(), broken]);
    services.push(service);
    await service.issue(serials(3), START + 90 * DAY, broken.served);
    service.clock.step(SECOND);
    const others = serials(3, 100);
    await service.issue(others);
    return [service, broken, others];
  }

  it('keeps no other from its answers', async () => {
    const [service, { served }, others] = await two();
    service.interfere.find = (real, issuer, list) =>
      issuer === served.tag ? Promise.reject(new Error('CLUSTERDOWN')) : real(issuer, list);
    service.signer.start();
    await service.clock.advance(SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(others));
    service.interfere = {};
    await service.clock.advance(6 * SECOND);
    assert.equal(service.publicationOrder.length, 6);
  });

  it('signs nothing of the others when it was the audit log that failed (P8)', async () => {
    const [service, { holders }] = await two();
    service.journal.broken = 'ENOSPC';
    service.signer.start();
    await service.clock.advance(SECOND);
    const [asked, others] = [[...holders.values()], [service.holder]].map((list) => list.map(({ calls }) => calls.length)); // prettier-ignore
    assert.deepEqual([asked, others], [[1], [0]]);
  });

  it('does not keep CRLs and answers of the others waiting when nobody has vouched for it yet (P4)', async () => {
    const [service, { served }, others] = await two();
    service.interfere.failureOf = (_, issuer) => (issuer === served.tag ? 'waiting for intake-1 to vouch' : undefined);
    // As a shared store: nothing of it is handed out, and it cannot be relied on as a whole.
    service.failure = 'waiting for intake-1 to vouch';
    service.interfere.takeDue = async (real, ...rest) =>
      (await real(...rest)).filter(({ issuer }) => issuer !== served.tag);
    service.signer.start();
    await service.publisher.start();
    await service.clock.advance(SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(others));
    assert.ok(service.publisher.current !== undefined, 'its CRL is published');
  });

  it('tries certificates of an issuer that is configured no more now and then, not all the time (P4)', async () => {
    const gone = makeIssuer({ id: 'gone', name: 'Gone CA' });
    const [service] = await running(0);
    let tries = 0;
    service.interfere.postpone = (real, items, dueAt) => {
      tries += items.length;
      return real(items, dueAt);
    };
    await service.issue(serials(600), START + 90 * DAY, gone.served);
    await service.clock.advance(9 * MINUTE);
    assert.equal(tries, 600, 'each once');
    await service.clock.advance(2 * MINUTE);
    assert.equal(tries, 1200, 'and again, so that it is signed for when it is configured again');
  });
});

describe('Signer: the gate (P6)', () => {
  for (const [what, behaviour] of [
    ['a signature of nothing', 'spoil'],
    ['a signature by another key', 'other-key'],
  ] as const) {
    it(`never publishes ${what}`, async () => {
      const service = await TestService.open();
      services.push(service);
      const [bad, good] = serials(2) as [Serial, Serial];
      service.holder.behave = (tbs) => (Buffer.from(tbs).includes(bad, 0, 'hex') ? behaviour : 'sign');
      service.signer.start();
      await service.issue([bad, good]);
      await service.clock.advance(MINUTE);
      assert.deepEqual(service.publicationOrder, [good]);
      assert.ok(service.counter(REFUSED, { reason: 'check' }) >= 10);
      let accounted = 0;
      for await (const record of service.journal.read(0)) {
        assert.ok(record.type !== 'ocsp.signed' || !JSON.stringify(record).includes(bad));
        if (record.type === 'ocsp.refused') accounted += JSON.stringify(record.detail).split(bad).length - 1;
      }
      const tries = service.counter(REFUSED, { reason: 'check' });
      assert.equal(accounted, tries, 'P8: what was signed and not published is in the log too');
    });
  }

  it('never publishes what a template that lies has made', async () => {
    const other = serialFromHex('0badcafe');
    class Lying extends ResponseTemplate {
      override assemble(...[hash, , ...rest]: Parameters<ResponseTemplate['assemble']>): Buffer {
        return super.assemble(hash, other, ...rest);
      }
    }
    const at = withTemplate(Lying);
    const [service] = await running(3, [at]);
    await service.clock.advance(10 * SECOND);
    assert.deepEqual(service.publicationOrder, []);
    assert.match(service.errors.join('\n'), /lint: /);
  });

  it('never publishes a status other than the recorded one', async () => {
    // Says `good` of everything, in what is signed as well as in what is assembled.
    class Kind extends ResponseTemplate {
      override tbs(...[hash, serial, answer]: Parameters<ResponseTemplate['tbs']>): Buffer {
        return super.tbs(hash, serial, { ...answer, revocation: undefined });
      }
      override assemble(...[hash, serial, answer, signature]: Parameters<ResponseTemplate['assemble']>): Buffer {
        return super.assemble(hash, serial, { ...answer, revocation: undefined }, signature);
      }
    }
    const [service, [serial]] = (await running(1, [withTemplate(Kind)])) as [TestService, [Serial]];
    assert.deepEqual(service.publicationOrder, [serial]);
    await service.revoke([serial]);
    await service.clock.advance(10 * SECOND);
    assert.deepEqual(service.publicationOrder, [serial]);
    assert.equal((await service.store.lookup(service.served.tag, serial)).kind, 'pending');
  });
});

describe('Signer: compare-and-swap (P2)', () => {
  it('drops an answer that a revocation has overtaken between signing and publishing, and signs again', async () => {
    const service = await TestService.open();
    services.push(service);
    const [serial] = serials(1) as [Serial];
    let once: Promise<unknown> | undefined;
    service.journal.before = async (entries) => {
      if (entries[0]?.type === 'ocsp.signed') await (once ??= service.revoke([serial], 'superseded'));
    };
    service.signer.start();
    await service.issue([serial]);
    await settled();
    assert.equal(service.counter('certstatus_signed_certificates_total', { outcome: 'superseded' }), 1);
    assert.deepEqual(
      service.events.flatMap((event) => (event.type === 'published' ? [event.response.revocation?.reason] : [])),
      ['superseded'],
    );
    assert.equal((await say(service, serial)).status, 'revoked');
  });

  it('publishes nothing older when the clock is set back, and forgets no certificate', async () => {
    const [service, [serial, young]] = (await running(2)) as [TestService, [Serial, Serial]];
    const { clock, store, served, holder } = service;
    const found = await store.lookup(served.tag, serial);
    assert.ok(found.kind === 'published');
    // Taken when due; the clock is set back while the key holder works; the signature comes too late for its time.
    await clock.stride(found.response.refreshAt - clock.now() - MINUTE, HOUR);
    const release = holder.hang();
    await clock.advance(2 * MINUTE);
    clock.step(-3 * DAY);
    holder.behave = () => 'fail';
    release();
    await clock.advance(MINUTE);
    assert.deepEqual(await store.lookup(served.tag, serial), found, 'what is published stays');
    holder.behave = () => 'sign';
    await service.revoke([young], 'keyCompromise');
    clock.step(3 * DAY);
    await clock.stride(2 * DAY, HOUR);
    const after = await store.lookup(served.tag, serial);
    assert.ok(after.kind === 'published' && clock.now() - after.response.thisUpdate <= DAY + HOUR, 'still scheduled');
    assert.equal((await say(service, young)).status, 'revoked');
  });

  it('keeps a refresh scheduled that turned out older than what is published', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const { clock, store, served } = service;
    const found = await store.lookup(served.tag, serial);
    assert.ok(found.kind === 'published');
    await clock.stride(found.response.refreshAt - clock.now() - MINUTE, HOUR);
    // Between taking and planning: the plan is made for a time before the published answer.
    service.interfere.takeDue = async (real, lane, ...rest) => {
      const items = await real(lane, ...rest);
      if (lane === 'refresh' && items.length > 0) {
        clock.step(-DAY - HOUR);
        delete service.interfere.takeDue;
      }
      return items;
    };
    await clock.advance(2 * MINUTE);
    assert.equal(service.counter('certstatus_signed_certificates_total', { outcome: 'older' }), 1);
    assert.deepEqual(await store.lookup(served.tag, serial), found);
    await clock.stride(4 * DAY, HOUR);
    const after = await store.lookup(served.tag, serial);
    assert.ok(after.kind === 'published' && clock.now() - after.response.thisUpdate <= DAY + HOUR, 'still scheduled');
  });

  it('publishes a revocation at once that was recorded before the clock was set back', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    await service.signer.stop();
    service.clock.step(2 * HOUR);
    await service.revoke([serial]);
    service.clock.step(-HOUR);
    service.signer.start();
    await service.clock.advance(10 * SECOND);
    // Not by a question: that would have it signed at once.
    const found = await service.store.lookup(service.served.tag, serial);
    assert.ok(found.kind === 'published' && found.response.revocation !== undefined);
  });
});

describe('Signer: asked', () => {
  it('shares one signature, is bounded, and says when there is nothing to wait for', async () => {
    const service = await TestService.open();
    services.push(service);
    const { tag } = service.served;
    const [serial] = serials(1) as [Serial];
    assert.equal(service.signer.ask(tag, serial), undefined, 'not started');
    await service.issue([serial]);
    const release = service.holder.hang();
    service.signer.start();
    const first = service.signer.ask(tag, serial);
    assert.ok(first !== undefined);
    assert.equal(service.signer.ask(tag, serial), first);
    await settled();
    // Unknown serials do not wait: they are not in the queue, but they take a place until they are looked up.
    const places = serials(4096, 1).map((other) => service.signer.ask(tag, other));
    assert.equal(
      places.filter((place) => place === undefined).length,
      1,
      'MAX_ASKED with the one that is being signed',
    );
    release();
    await first;
    for (const place of places) await place;
    assert.equal((await say(service, serial)).status, 'good');
    assert.equal(service.signer.ask('00000000' as typeof tag, serial), undefined, 'no such issuer');
  });

  it('settles when the attempt fails, when signing is stopped, and when the signer stops', async () => {
    const [service, [serial]] = (await running(1)) as [TestService, [Serial]];
    const { tag } = service.served;
    service.holder.behave = () => 'fail';
    await service.signer.ask(tag, serial);
    service.holder.gone = new Error('gone');
    await service.signer.ask(tag, serial);
    service.journal.broken = 'disk full';
    await service.journal.append([]).catch(() => undefined);
    await service.signer.ask(tag, serial);
    const asked = service.signer.ask(tag, serial);
    await Promise.all([service.signer.stop(), asked]);
  });
});

describe('Signer: stopping', () => {
  it('ends the batches that are under way and loses none (P8)', async () => {
    const service = await TestService.open();
    services.push(service);
    const issued = serials(200);
    const release = service.holder.hang();
    service.signer.start();
    await service.issue(issued);
    await settled();
    const asked = service.signer.ask(service.served.tag, issued[199] as Serial);
    let stopped = false;
    const stopping = service.signer.stop().then(() => (stopped = true));
    await settled();
    assert.equal(stopped, false, 'two batches of 64 are under way');
    await asked; // which is in neither of them
    release();
    await stopping;
    assert.equal(service.publicationOrder.length, 128);
    await service.close();
    await service.open();
    service.signer.start();
    await settled();
    assert.equal(service.publicationOrder.length, 72);
    assert.equal(service.freshness.of(service.served.tag).count, 200);
  });

  it('takes items back that could not be worked on because the store failed', async () => {
    const service = await TestService.open();
    services.push(service);
    const issued = serials(3);
    await service.issue(issued);
    await service.revoke(issued.slice(0, 1));
    service.interfere.takeDue = (real, lane, ...rest) =>
      lane === 'issue' ? Promise.reject(new Error('EIO')) : real(lane, ...rest);
    service.signer.start();
    await service.clock.advance(2 * SECOND);
    assert.deepEqual(service.publicationOrder, []);
    delete service.interfere.takeDue;
    await service.clock.advance(10 * SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued));
    service.clock.step(DAY);
    service.interfere.publish = () => Promise.reject(new Error('EIO'));
    service.interfere.postpone = () => Promise.reject(new Error('EIO'));
    await service.clock.advance(2 * SECOND);
    service.interfere = {};
    service.events = [];
    await service.clock.advance(10 * SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued));
  });
});

function withTemplate(Template: typeof ResponseTemplate): TestIssuer {
  const at = makeIssuer();
  const responders = at.served.responders.list.map(({ certificate }) => ({
    certificate,
    template: new Template({
      issuer: at.served.issuer.hashes,
      responderKeyHash: certificate.keyHash,
      responderCertificate: certificate.der,
      algorithm: at.crlHolder.algorithm,
    }),
  }));
  return { ...at, served: { ...at.served, responders: new Responders(responders) } };
}
