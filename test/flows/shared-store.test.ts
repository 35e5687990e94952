/** A responder over a store that other processes write to: what it serves when it misses events, hears nothing, or cannot read. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Serial } from '../../src/core/serial.ts';
import { Problem } from '../../src/core/problem.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { makeAnswer } from '../../src/flows/serve/answer.ts';
import { AskElsewhere } from '../../src/flows/serve/ask-elsewhere.ts';
import { flowMetrics } from '../../src/flows/metrics.ts';
import { ResponseTable } from '../../src/flows/serve/response-table.ts';
import type { Answer } from '../../src/ports/front.ts';
import type { Lookup, StoreEvent } from '../../src/ports/store.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor } from './support-client.ts';
import { OCSP_PATH, question, serials, TestService } from './support-service.ts';

const SILENCE_LIMIT = 10 * MINUTE;

/** The store of a service, as another process sees it: read only, told by events alone, and sometimes not there. */
class Elsewhere {
  failure: string | undefined;
  readonly failureOf = (): string | undefined => this.failure;
  readonly mustVouch = false;
  readonly propagationMs = 0;
  silence = 0;
  looks = 0;
  readonly asked: Serial[] = [];
  /** What a look finds instead of the truth. */
  instead: Lookup | undefined;
  readonly #service: TestService;
  readonly #followers: ((event: StoreEvent) => void)[] = [];

  constructor(service: TestService) {
    this.#service = service;
  }

  lookup(...key: Parameters<TestService['store']['lookup']>): Promise<Lookup> {
    this.looks += 1;
    if (this.failure !== undefined) return Promise.reject(new Problem('unavailable', this.failure));
    return this.instead === undefined ? this.#service.store.lookup(...key) : Promise.resolve(this.instead);
  }

  follow(follower: (event: StoreEvent) => void): void {
    this.#followers.push(follower);
  }

  tell(event: StoreEvent): void {
    for (const follower of this.#followers) follower(event);
  }

  silentMs(): number {
    return this.silence;
  }

  ask(_: unknown, serial: Serial): void {
    this.asked.push(serial);
  }

  onAsk(): void {}

  askLive(): Promise<'silence'> {
    return Promise.resolve('silence');
  }

  onLive(): void {}
}

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function responder(): Promise<{
  service: TestService;
  store: Elsewhere;
  serial: Serial;
  status: () => Promise<string>;
}> {
  const service = await TestService.open();
  services.push(service);
  const [serial] = serials(1) as [Serial];
  service.signer.start();
  await service.issue([serial]);
  await settled();
  const store = new Elsewhere(service);
  const issuers = [service.served];
  const elsewhere = new AskElsewhere(store, service.clock);
  const answer: Answer = makeAnswer({
    issuers,
    ocspUrls: [{ path: OCSP_PATH }],
    files: [],
    publicFiles: service.files,
    table: new ResponseTable(issuers, store, 1 << 20, undefined, { silenceLimitMs: SILENCE_LIMIT }),
    ask: (...asked) => elsewhere.ask(...asked),
    clock: service.clock,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    metrics: flowMetrics().answer,
  });
  const status = async (): Promise<string> => {
    const waiting = answer(question(getPath(requestFor(service.at.caDer, serial, 'sha1'))));
    // A client is kept waiting for two seconds at most.
    if (waiting instanceof Promise) for (let i = 0; i < 25; i++) await service.clock.advance(SECOND / 10);
    const reply = await waiting;
    // tryLater: OCSPResponseStatus 3, and nothing else.
    if (reply.body.equals(Buffer.from('30030a0103', 'hex'))) return 'tryLater';
    if (reply.body.equals(Buffer.from('30030a0106', 'hex'))) return 'unauthorized';
    return read(reply, service.at.caDer, serial, 'sha1').status;
  };
  return { service, store, serial, status };
}

const gap = (service: TestService): StoreEvent => ({ type: 'gap', issuer: service.served.tag });

describe('a responder over a shared store', () => {
  it('serves from memory while the store is away, and not what it does not hold', async () => {
    const { store, status } = await responder();
    store.failure = 'Redis does not answer';
    assert.equal(await status(), 'tryLater', 'an empty memory');
    store.failure = undefined;
    assert.equal(await status(), 'good');
    store.failure = 'Redis does not answer';
    const looks = store.looks;
    assert.equal(await status(), 'good');
    assert.equal(store.looks, looks, 'without asking the store');
  });

  it('looks again at what it holds after events were lost (P2)', async () => {
    const { service, store, status } = await responder();
    assert.equal(await status(), 'good');
    await service.revoke([serials(1)[0] as Serial]);
    await settled();
    assert.equal(await status(), 'good', 'no event has reached it');
    store.tell(gap(service));
    assert.equal(await status(), 'revoked');
  });

  it('serves what is doubtful only while the store cannot be read, and never once it knows better', async () => {
    const { service, store, serial, status } = await responder();
    assert.equal(await status(), 'good');
    store.tell(gap(service));
    store.failure = 'waiting for intake-2 to vouch for the ledger';
    assert.equal(await status(), 'good');
    store.failure = undefined;
    const found = await service.store.lookup(service.served.tag, serial);
    assert.ok(found.kind === 'published');
    const revoked = {
      ...found.certificate,
      revision: 2,
      revocation: { revokedAt: service.clock.now(), reason: undefined },
    };
    // Revoked, and not signed yet: nothing can be served, also when the store goes away again.
    store.instead = { kind: 'pending', certificate: revoked };
    assert.equal(await status(), 'tryLater');
    store.failure = 'Redis does not answer';
    assert.equal(await status(), 'tryLater');
  });

  it('forgets what the store does not know any more (P3)', async () => {
    const { service, store, status } = await responder();
    assert.equal(await status(), 'good');
    store.tell(gap(service));
    store.instead = { kind: 'unknown' };
    assert.equal(await status(), 'unauthorized');
    store.failure = 'Redis does not answer';
    assert.equal(await status(), 'tryLater');
  });

  it('keeps good back when it has heard nothing for too long, and serves revoked on', async () => {
    const { service, store, status } = await responder();
    assert.equal(await status(), 'good');
    store.silence = SILENCE_LIMIT;
    assert.equal(await status(), 'good');
    store.silence = SILENCE_LIMIT + 1;
    store.failure = 'Redis does not answer';
    assert.equal(await status(), 'tryLater');
    store.silence = 0;
    store.failure = undefined;
    await service.revoke([serials(1)[0] as Serial]);
    await settled();
    store.tell(gap(service));
    assert.equal(await status(), 'revoked');
    store.silence = SILENCE_LIMIT + 1;
    store.failure = 'Redis does not answer';
    assert.equal(await status(), 'revoked');
  });

  it('finds the refreshed answer, of which nobody tells it, soon after the old one was due', async () => {
    const { service, store, serial, status } = await responder();
    assert.equal(await status(), 'good');
    await service.clock.stride(DAY, HOUR);
    const looks = store.looks;
    assert.equal(await status(), 'good');
    await settled();
    assert.equal(store.looks, looks + 1);
    const found = await service.store.lookup(service.served.tag, serial);
    assert.ok(found.kind === 'published');
    assert.equal(await status(), 'good');
    assert.equal(store.looks, looks + 1, 'and then holds it');
  });

  it('calls a signer for what nobody has signed, once for all who wait', async () => {
    const { service, store, serial, status } = await responder();
    const found = await service.store.lookup(service.served.tag, serial);
    assert.ok(found.kind === 'published');
    store.instead = { kind: 'pending', certificate: found.certificate };
    const waiting = [status(), status(), status()];
    await settled();
    assert.deepEqual(store.asked, [serial]);
    store.instead = undefined;
    store.tell({ type: 'answered', issuer: service.served.tag, serial, revision: 1 });
    assert.deepEqual(await Promise.all(waiting), ['good', 'good', 'good']);
  });
});
