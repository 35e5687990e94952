/** Responder certificates that come and go under a running service: what each failure leaves behind. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { pem } from '../../src/core/certificate-writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { loadResponderCertificate } from '../../src/core/responder-certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { ResponderChanges } from '../../src/flows/sign/change-responder.ts';
import { Responders, servedResponder } from '../../src/flows/responders.ts';
import { ecKey, type KeyPair, responderCertificate } from '../core/sample-pki.ts';
import { settled } from './support-clock.ts';
import { say } from './support-client.ts';
import { TestKeyHolder } from './support-key-holder.ts';
import { makeIssuer, RESPONDER_SPAN, serials, START, TestService } from './support-service.ts';

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

const NEXT = { notBefore: START - 2 * DAY, notAfter: START + 60 * DAY };

/** A service with one certificate that is answered for, and what is needed to install the next. */
async function running(): Promise<{
  service: TestService;
  serial: Serial;
  ca: KeyPair;
  nextKey: TestKeyHolder;
  next: ReturnType<typeof loadResponderCertificate>;
  changes: ResponderChanges;
  written: string[];
}> {
  const [ca, key] = [ecKey(), ecKey()];
  const service = await TestService.open([makeIssuer({ ca })]);
  services.push(service);
  const [serial] = serials(1) as [Serial];
  service.signer.start();
  await service.issue([serial]);
  await settled();
  const nextKey = new TestKeyHolder(key, 'next key');
  const written: string[] = [];
  const changes = new ResponderChanges({
    keys: new Map([[service.served.id, service.at.keys]]),
    store: service.store,
    journal: service.journal,
    clock: service.clock,
    files: {
      keep: () => void written.push('keep'),
      name: () => written.push('name') > 0,
      retire: (_, id, use) => void written.push(`${use} ${id}`),
    },
    openKey: (_, [reference]) => {
      if (reference === 'next') return Promise.resolve(nextKey);
      throw new Problem('config', 'no such key');
    },
    wake: () => service.signer.wake(),
  });
  const next = loadResponderCertificate(responderCertificate(ca, key, NEXT));
  return { service, serial, ca, nextKey, next, changes, written };
}

const refusedAs = (code: string, field: string | undefined) => (error: unknown) =>
  error instanceof Problem && error.code === code && error.field === field;

describe('an answer by a responder certificate that is not known here', () => {
  it('is served once the certificate has been found on the shelf, and the shelf is asked once', async () => {
    const { service, serial } = await running();
    const { served } = service;
    const own = served.responders.list[0]?.certificate as { der: Buffer; id: string };
    // As in a process that has started before the signer got this certificate.
    (served as { responders: Responders }).responders = new Responders();
    let asked = 0;
    service.interfere.responders = () => {
      asked += 1;
      return Promise.resolve([Buffer.from('3000', 'hex'), own.der]);
    };
    const [sha1, sha256] = await Promise.all([say(service, serial, 'sha1'), say(service, serial, 'sha256')]);
    assert.deepEqual([sha1.status, sha256.status, asked], ['good', 'good', 1]);
    assert.equal(served.responders.find(own.id)?.certificate.id, own.id);
    assert.equal(service.errors.length, 1, 'the one that is no certificate is said to be none');
  });

  it('is not served when the shelf has a certificate of another CA, or none; the shelf is left alone for a while', async () => {
    const { service, serial } = await running();
    const { served } = service;
    (served as { responders: Responders }).responders = new Responders();
    let asked = 0;
    service.interfere.responders = () => {
      asked += 1;
      return Promise.resolve([responderCertificate(ecKey(), ecKey(), NEXT)]);
    };
    const now = (): number => service.clock.now();
    for (let i = 0; i < 20; i++) {
      const loaded = await service.table.load('sha1', served.tag, serial, now());
      assert.equal(loaded.kind, 'pending');
    }
    assert.equal(asked, 1);
    assert.match(service.errors.join(), /refused: .*the signature does not verify/);
    service.clock.step(MINUTE);
    await service.table.load('sha1', served.tag, serial, now());
    assert.equal(asked, 2);
  });
});

describe('ResponderChanges: install', () => {
  it('changes nothing when certificate and key do not fit', async () => {
    const { service, next, changes, written, ca, nextKey } = await running();
    const { served } = service;
    const install = (der: Buffer, key = 'next'): Promise<unknown> =>
      changes.install(served, pem('CERTIFICATE', der), [key], 'test');
    const long = { notBefore: START - DAY, notAfter: START + 125 * DAY };
    const issued = (by: KeyPair, span: typeof NEXT): Buffer => responderCertificate(by, ecKey(), span);
    await assert.rejects(install(next.der, 'other'), refusedAs('refused', '/key'));
    await assert.rejects(install(issued(ca, NEXT)), refusedAs('refused', '/key'));
    await assert.rejects(install(issued(ecKey(), NEXT)), refusedAs('refused', '/certificate'));
    await assert.rejects(install(issued(ca, long)), (error: Problem) => /SR-6\.3\.2-a/.test(error.rule ?? ''));
    await assert.rejects(
      install(issued(ca, { notBefore: START - 9 * DAY, notAfter: START - DAY })),
      refusedAs('refused', '/certificate'),
    );
    nextKey.behave = () => 'other-key';
    await assert.rejects(install(next.der), refusedAs('unavailable', '/key'));
    nextKey.behave = () => 'sign';
    nextKey.failure = 'token ocsp is not activated';
    await assert.rejects(install(next.der), refusedAs('unavailable', '/key'));
    assert.deepEqual(written, []);
    assert.equal(served.responders.list.length, 1);
  });

  it('is not live while it cannot be recorded (P8), and is when it is asked for again', async () => {
    const { service, next, changes, written, nextKey } = await running();
    const { served, journal, signer } = service;
    journal.broken = 'no space left on device';
    const install = (): Promise<{ installed: boolean }> =>
      changes.install(served, next.der.toString('base64'), ['next'], 'test');
    await assert.rejects(install(), (error: Problem) => error.code === 'unavailable');
    assert.deepEqual(written, []);
    assert.deepEqual(nextKey.calls, [], 'not even the proof of the key is signed');
    await assert.rejects(changes.request(served, ['next'], undefined, 'test'), refusedAs('unavailable', undefined));
    assert.deepEqual(nextKey.calls, [], 'nor a certification request');
    // After the proof, where the certificate is on the disk already.
    journal.broken = undefined;
    journal.before = ([entry]) => void (journal.broken = entry?.type === 'responder.installed' ? 'full' : undefined);
    await assert.rejects(install(), refusedAs('unavailable', undefined));
    assert.deepEqual(written, ['keep'], 'a file that nobody names');
    journal.before = undefined;
    assert.equal(served.responders.list.length, 1);
    journal.broken = undefined;
    assert.equal((await install()).installed, true);
    assert.deepEqual(written, ['keep', 'keep', 'name']);
    assert.notEqual(signer.signsWith(served.tag), next.id, 'the newer one, valid for a day, goes on');
    assert.equal(served.responders.find(next.id)?.certificate.id, next.id);
  });
});

describe('a clock that is wrong for a while', () => {
  it('costs neither the certificate that signs nor what it has signed', async () => {
    const { service, serial, ca } = await running();
    const { served, clock, signer } = service;
    const signs = signer.signsWith(served.tag);
    clock.step(400 * DAY);
    await clock.advance(MINUTE);
    // Of then: it comes by the feed while the clock is wrong.
    const der = responderCertificate(ca, ecKey(), { notBefore: START + 390 * DAY, notAfter: START + 430 * DAY });
    served.responders.add(servedResponder(served.issuer, loadResponderCertificate(der)));
    assert.equal(served.responders.shown(clock.now()).length, 1, 'what has expired is not shown');
    clock.step(-400 * DAY);
    await clock.advance(MINUTE);
    assert.equal(signer.signsWith(served.tag), signs);
    await clock.stride(6 * DAY, HOUR);
    const said = await say(service, serial);
    assert.equal(said.status, 'good');
  });
});

describe('ResponderChanges: request', () => {
  it('has no CA key sign, whatever the reference says (P7)', async () => {
    const { service, ca } = await running();
    const { served, journal, store, clock } = service;
    const caKey = new TestKeyHolder(ca, 'CA key');
    const changes = new ResponderChanges({
      ...{ keys: undefined, store, journal, clock, wake: () => undefined },
      files: { keep: () => undefined, name: () => true, retire: () => undefined },
      openKey: () => Promise.resolve(caKey),
    });
    await assert.rejects(changes.request(served, ['ca.key'], undefined, 'test'), refusedAs('refused', '/key'));
    assert.deepEqual(caKey.calls, []);
  });
});

describe('ResponderChanges: retire', () => {
  it('publishes nothing of a batch that the retired certificate was signing (CT-6.2.6-b)', async () => {
    const { service, serial, next, changes } = await running();
    const { served, clock } = service;
    const first = served.responders.list[0]?.certificate.id as string;
    await changes.install(served, next.der.toString('base64'), ['next'], 'test');
    const release = service.holder.hang();
    await service.revoke([serial], 'keyCompromise');
    await settled();
    service.events = [];
    await changes.retire(served, first, true, 'test');
    release();
    await clock.advance(10 * SECOND);
    const by = service.events.flatMap((event) => (event.type === 'published' ? [event.response.responder] : []));
    assert.deepEqual(new Set(by), new Set([next.id]));
    const said = await say(service, serial);
    assert.deepEqual([said.status, said.responderNotAfter], ['revoked', NEXT.notAfter]);
  });

  it('takes what is dropped out of memory at once, and what is not until it is replaced', async () => {
    for (const drop of [false, true]) {
      const { service, serial, next, changes, nextKey } = await running();
      const { served, clock } = service;
      const first = served.responders.list[0]?.certificate.id as string;
      await changes.install(served, next.der.toString('base64'), ['next'], 'test');
      assert.equal((await say(service, serial)).responderNotAfter, RESPONDER_SPAN.notAfter);
      const release = nextKey.hang();
      await clock.advance(SECOND);
      await changes.retire(served, first, drop, 'test');
      const has = service.table.get('sha1', served.tag, serial, clock.now()) !== undefined;
      assert.equal(has, !drop);
      release();
      await clock.advance(10 * SECOND);
      assert.equal((await say(service, serial)).responderNotAfter, NEXT.notAfter);
    }
  });

  it('refuses to leave nothing that signs, unless that is meant; and what is retired never comes back', async () => {
    const { service, next, changes } = await running();
    const { served } = service;
    const first = served.responders.list[0]?.certificate.id as string;
    await assert.rejects(changes.retire(served, first, false, 'test'), refusedAs('conflict', 'responder'));
    await assert.rejects(changes.retire(served, 'ffffffff', false, 'test'), refusedAs('not-found', 'responder'));
    assert.equal((await changes.retire(served, first, true, 'test')).use, 'nothing');
    assert.equal(service.signer.signsWith(served.tag), undefined);
    await changes.install(served, next.der.toString('base64'), ['next'], 'test');
    await changes.retire(served, next.id, true, 'test');
    await assert.rejects(
      changes.install(served, next.der.toString('base64'), ['next'], 'test'),
      refusedAs('conflict', '/certificate'),
    );
    served.responders.add(servedResponder(served.issuer, next));
    assert.equal(served.responders.find(next.id), undefined);
  });
});
