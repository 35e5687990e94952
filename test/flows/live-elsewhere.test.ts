/** A responder without keys that has nonces answered by a signer elsewhere: what it believes, and for how long it waits. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { LiveQuestion, LiveSignature } from '../../src/core/ocsp/live.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { LiveElsewhere } from '../../src/flows/serve/live-elsewhere.ts';
import { LiveAnswers, type LiveReply } from '../../src/flows/serve/live.ts';
import type { AskLine, StoreEvent } from '../../src/ports/store.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { settled } from './support-clock.ts';
import { read, say } from './support-client.ts';
import { makeIssuer, serials, TestService } from './support-service.ts';

type Outcome = LiveSignature | 'refused' | 'silence';

/** The line to a signer in another process, and what may happen on it. */
class TestLine implements AskLine {
  readonly #service: TestService;
  /** What arrives instead of what was sent. */
  instead: (sent: LiveSignature) => Outcome | Promise<Outcome> = (sent) => sent;
  readonly questions: LiveQuestion[] = [];

  constructor(service: TestService) {
    this.#service = service;
  }

  async askLive(question: LiveQuestion): Promise<Outcome> {
    this.questions.push(question);
    const answer = await this.#service.live.ask(question);
    if (answer === undefined) return 'refused';
    return this.instead(answer);
  }

  ask(): void {}
  onAsk(): void {}
  onLive(): void {}
}

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

interface Responder {
  readonly service: TestService;
  readonly line: TestLine;
  readonly serial: Serial;
  readonly nonced: (octet: number) => Promise<LiveReply | undefined> | undefined;
  readonly tell: (event: StoreEvent) => void;
  readonly outcome: (outcome: string) => number;
}

async function responder(perSecond = 50): Promise<Responder> {
  const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, nonce: 'live' as const, live: { perSecond, waiting: 4 } } };
  const service = await TestService.open([makeIssuer({ profile })]);
  services.push(service);
  const [serial] = serials(1) as [Serial];
  service.signer.start();
  await service.issue([serial]);
  await settled();
  assert.equal((await say(service, serial)).status, 'good');
  const line = new TestLine(service);
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const elsewhere = new LiveElsewhere([service.served], line, service.clock, log);
  const followers: ((event: StoreEvent) => void)[] = [];
  const feed = { follow: (follower: (event: StoreEvent) => void): void => void followers.push(follower) };
  const answers = new LiveAnswers(elsewhere, service.table, feed, service.clock, service.metrics.live);
  return {
    service,
    line,
    serial,
    nonced: (octet) => answers.answer(service.served, 'sha1', serial, Buffer.alloc(32, octet)),
    tell: (event) => followers.forEach((follower) => follower(event)),
    outcome: (outcome) => service.counter('certstatus_live_answers_total', { outcome }),
  };
}

describe('a nonce that is answered by a signer elsewhere', () => {
  it('is echoed, and the answer verifies', async () => {
    const { service, serial, nonced } = await responder();
    const live = await nonced(7);
    assert.ok(live !== undefined);
    const said = read(live.reply, service.at.caDer, serial);
    assert.deepEqual([said.status, said.nonce, live.status], ['good', '07'.repeat(32), 'good']);
  });

  const revocation = { revokedAt: Date.UTC(2026, 0, 1), reason: 'superseded' as const };
  for (const [what, change] of [
    ['another signature', ({ signature }) => ({ signature: Buffer.from(signature).fill(1, 10) })],
    ['no signature at all', () => ({ signature: Buffer.alloc(0) })],
    ['another status', () => ({ revocation })],
    ['another time', ({ thisUpdate }) => ({ thisUpdate: thisUpdate - SECOND })],
    ['a longer life', ({ nextUpdate }) => ({ nextUpdate: nextUpdate + DAY })],
    ['an instant that cannot be said', () => ({ nextUpdate: NaN })],
    ['a responder certificate that is not known', () => ({ responder: '00000000' })],
  ] as const satisfies readonly (readonly [string, (sent: LiveSignature) => Partial<LiveSignature>])[]) {
    it(`is not answered with ${what} (P6)`, async () => {
      const { line, nonced, outcome } = await responder();
      line.instead = (sent) => ({ ...sent, ...change(sent) });
      assert.equal(await nonced(1), undefined);
      assert.equal(outcome('not-signed'), 1);
      line.instead = (sent) => sent;
      assert.ok(await nonced(2));
    });
  }

  it('is not answered with what was signed for another request', async () => {
    const { line, nonced } = await responder();
    let first: LiveSignature | undefined;
    line.instead = (sent) => (first ??= sent);
    assert.ok(await nonced(1));
    assert.equal(await nonced(2), undefined);
  });

  it('is not waited for after silence, for five seconds', async () => {
    const { service, line, nonced } = await responder();
    line.instead = () => 'silence';
    assert.equal(await nonced(1), undefined);
    line.instead = (sent) => sent;
    assert.equal(nonced(2), undefined, 'at once');
    assert.equal(line.questions.length, 1);
    await service.clock.advance(5 * SECOND);
    assert.ok(await nonced(3));
  });

  it('is refused by a signer above its budget without silence, and costs the budget here', async () => {
    const { line, nonced } = await responder(2);
    line.instead = () => 'refused';
    assert.equal(await nonced(1), undefined);
    assert.equal(await nonced(2), undefined);
    assert.equal(nonced(3), undefined);
    assert.equal(line.questions.length, 2);
  });
});

describe('P2, P4: an answer for a nonce that comes too late', () => {
  const meanwhile: readonly (readonly [string, (at: Responder) => void])[] = [
    ['a newer state was recorded', ({ service: { served }, serial, tell }) => {
      const certificate = { issuer: served.tag, serial, revision: 2, notBefore: 0, notAfter: undefined, precertificate: false, crlShard: undefined, withoutOcsp: false, spkiHash: undefined, revocation: { revokedAt: 0, reason: undefined }, recordedAt: 0, recordedSeq: 2 }; // prettier-ignore
      tell({ type: 'recorded', change: { certificate, lane: 'revocation' } });
    }],
    ['a newer one was answered', ({ service: { served }, serial, tell }) => tell({ type: 'answered', issuer: served.tag, serial, revision: 2 })],
    ['events were missed', ({ service: { served }, tell }) => tell({ type: 'gap', issuer: served.tag })],
    ['the clock was set back', ({ service: { clock } }) => clock.step(-DAY)],
  ]; // prettier-ignore
  for (const [what, happen] of meanwhile)
    it(`because ${what} is not given`, async () => {
      const at = await responder();
      at.line.instead = (sent) => {
        happen(at);
        return sent;
      };
      assert.equal(await at.nonced(1), undefined);
      assert.equal(at.outcome('overtaken'), 1);
    });

  it('and what happens to others changes nothing', async () => {
    const at = await responder();
    const [other] = serials(1, 5) as [Serial];
    at.line.instead = (sent) => {
      at.tell({ type: 'answered', issuer: at.service.served.tag, serial: other, revision: 9 });
      at.tell({ type: 'answered', issuer: at.service.served.tag, serial: at.serial, revision: 1 });
      return sent;
    };
    assert.ok(await at.nonced(1));
  });
});
