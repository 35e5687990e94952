/** Keys that cannot be used for now, as in a token that nobody has activated: what is signed all the same, and what waits how. */
import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import type { IssuerTag } from '../../src/core/certificate.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import { settled } from './support-clock.ts';
import { makeIssuer, serials, START, TestService } from './support-service.ts';

const FAILURE = 'token ocsp is not activated';
let service: TestService;
afterEach(() => service.remove());

const refused = (): number => service.counter('certstatus_signing_refused_total', { reason: 'key-holder' });
const published = (): number => service.publicationOrder.length;

it('a responder certificate whose key cannot be used does not stand in the way of an older one', async () => {
  const spans = [START - 2 * DAY, START - 30 * DAY].map((notBefore) => ({ notBefore, notAfter: notBefore + 90 * DAY - SECOND })); // prettier-ignore
  service = await TestService.open([makeIssuer({ responders: spans })]);
  const [newer, older] = [...service.at.holders.values()];
  assert.ok(newer !== undefined && older !== undefined);
  newer.failure = FAILURE;
  service.signer.start();
  await service.issue(serials(3));
  await service.clock.advance(SECOND);
  assert.deepEqual([published(), newer.calls.length], [3, 0]);
  newer.failure = undefined;
  await service.issue(serials(3, 3));
  await service.clock.advance(SECOND);
  assert.deepEqual([published(), newer.calls.length], [6, 1]);
  assert.equal(refused(), 0);
});

it('while no key can be used nothing is taken from the queue, and the log says so once a minute', async () => {
  service = await TestService.open();
  let taken = 0;
  service.interfere.takeDue = (real, ...rest) => {
    taken += 1;
    return real(...rest);
  };
  service.holder.failure = FAILURE;
  service.signer.start();
  await service.issue(serials(5));
  await service.clock.advance(5 * MINUTE + 10 * SECOND);
  assert.deepEqual([taken, published(), service.holder.calls.length], [0, 0, 0]);
  const said = service.errors.filter((line) => line.includes(FAILURE));
  assert.equal(said.length, 6, service.errors.join('\n'));
  assert.equal(refused(), 6);
  // It still waits with the time at which it was recorded.
  assert.equal(service.store.oldestDue('issue'), START);
  // Whoever asks is told at once, and not after a time-out.
  let answered = false;
  const [serial] = serials(1);
  void service.signer.ask(service.served.tag, serial as never)?.then(() => (answered = true));
  await settled();
  assert.ok(answered);

  service.holder.failure = undefined;
  service.signer.wake();
  await service.clock.advance(SECOND);
  assert.equal(published(), 5);
});

it('an issuer whose keys can be used is signed for beside one whose cannot', async () => {
  const [locked, open] = [makeIssuer({ id: 'locked', name: 'Locked CA' }), makeIssuer({ id: 'open', name: 'Open CA' })];
  service = await TestService.open([locked, open]);
  const unable = new Set<IssuerTag>();
  service.interfere.takeDue = (real, lane, now, limit, issuers = new Set()) => {
    for (const tag of issuers) unable.add(tag);
    return real(lane, now, limit, issuers);
  };
  for (const holder of locked.holders.values()) holder.failure = FAILURE;
  service.signer.start();
  await service.issue(serials(4), START + 90 * DAY, locked.served);
  await service.issue(serials(4, 4), START + 90 * DAY, open.served);
  await service.clock.advance(MINUTE);
  assert.deepEqual([...unable], [locked.served.tag]);
  assert.deepEqual([published(), service.holder.calls.length], [4, 0]);
  assert.ok(refused() >= 4);
  for (const holder of locked.holders.values()) holder.failure = undefined;
  await service.clock.advance(MINUTE);
  assert.equal(published(), 8);
});

it('a CRL waits for its key without using up numbers or filling the log, and is built when the key is back', async () => {
  service = await TestService.open();
  let reserved = 0;
  service.interfere.reserveNumber = (real, ...rest) => {
    reserved += 1;
    return real(...rest);
  };
  service.at.crlHolder.failure = FAILURE;
  await service.publisher.start();
  await service.clock.advance(10 * MINUTE);
  assert.equal(reserved, 0);
  assert.deepEqual(
    service.errors.map((line) => line.includes(FAILURE)),
    [true],
    service.errors.join('\n'),
  );
  await assert.rejects(service.publisher.publishNow(), /cannot be used: token ocsp is not activated/);
  service.at.crlHolder.failure = undefined;
  service.publisher.wake();
  await service.clock.advance(0);
  assert.ok(service.publisher.current !== undefined);
});
