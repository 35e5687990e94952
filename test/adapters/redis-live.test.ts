/** Calls for an answer to one request, over a real Redis: who answers, what comes back, and what is not believed (ports/store.ts, AskLine). */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import type { LiveQuestion, LiveSignature } from '../../src/core/ocsp/live.ts';
import { DAY } from '../../src/core/time.ts';
import type { LiveListener } from '../../src/ports/store.ts';
import { OTHER, serialOf, TAG } from '../contracts/store-records.ts';
import { NOW } from '../core/sample-pki.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const WITHIN_MS = 10_000;

describe('RedisStore: calls for an answer to one request', { skip: needsRedis }, () => {
  let server: RedisServer;
  let stores: RedisStore[] = [];
  before(async () => {
    server = await startRedis();
  });
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()));
    stores = [];
  });
  after(() => server.remove());

  async function open(name: string, issuers = [TAG]): Promise<RedisStore> {
    const store = await RedisStore.open({
      redis: await server.client(),
      name,
      intakes: ['intake-1'],
      journals: false,
      issuers,
      certificates: 200,
      replicas: 0,
    });
    stores.push(store);
    return store;
  }

  const question = (n: number, nonce = Buffer.alloc(32, n)): LiveQuestion => ({
    issuer: TAG,
    serial: serialOf(n),
    hash: n % 2 === 0 ? 'sha1' : 'sha256',
    nonce,
  });
  const good = (octets = 71): LiveSignature => ({
    revision: 3,
    revocation: undefined,
    thisUpdate: NOW,
    nextUpdate: NOW + 4 * DAY - 1000,
    responder: '0a1b2c3d',
    signature: Buffer.alloc(octets, 5),
  });
  /** Its ear takes a moment; until then calls are lost. */
  async function heard(from: RedisStore): Promise<void> {
    await until('a signer hears', async () => (await from.askLive(question(9), 200)) !== 'silence', WITHIN_MS, 10);
  }
  const signer = (answer: LiveListener['answer'], able: LiveListener['able'] = () => true): LiveListener => ({
    able,
    answer,
  });

  it('bring question and answer over field for field', async () => {
    const [one, responder] = [await open('signer-1'), await open('responder-1')];
    const asked: LiveQuestion[] = [];
    const answers = new Map<string, LiveSignature>(
      [
        good(),
        good(1024),
        { ...good(), revocation: { revokedAt: NOW - DAY, reason: 'keyCompromise' as const } },
        { ...good(), revocation: { revokedAt: Date.UTC(1950, 0, 1), reason: undefined } },
      ].map((answer, i) => [serialOf(i + 1), answer]),
    );
    one.onLive(
      signer((call) => {
        asked.push(call);
        return Promise.resolve(answers.get(call.serial) ?? good());
      }),
    );
    await heard(responder);
    asked.length = 0;
    for (const [serial, answer] of answers) {
      const n = Number.parseInt(serial.slice(2), 16);
      const call = question(n, Buffer.alloc(n === 2 ? 128 : n, n));
      assert.deepEqual(await responder.askLive(call, WITHIN_MS), answer);
      assert.deepEqual(asked.pop(), call);
    }
  });

  it('are answered once, by one of the signers that are able, to the one who asked', async () => {
    const names = ['signer-1', 'signer-2', 'signer-3'];
    const [first, second, unable] = (await Promise.all(names.map((name) => open(name)))) as [
      RedisStore,
      RedisStore,
      RedisStore,
    ];
    const counts = { first: 0, second: 0, unable: 0 };
    const counting =
      (name: keyof typeof counts): LiveListener['answer'] =>
      (call) => {
        counts[name] += 1;
        return Promise.resolve({ ...good(), revision: Number.parseInt(call.serial.slice(2), 16) });
      };
    first.onLive(signer(counting('first')));
    second.onLive(signer(counting('second')));
    unable.onLive(signer(counting('unable'), () => false));
    const responders = [await open('responder-1'), await open('responder-2')] as const;
    for (const responder of responders) await heard(responder);
    counts.first = counts.second = 0;
    const calls = Array.from({ length: 100 }, (_, n) =>
      responders[n % 2 === 0 ? 0 : 1].askLive(question(n), WITHIN_MS),
    );
    const answers = await Promise.all(calls);
    assert.deepEqual(
      answers.map((answer) => typeof answer === 'object' && answer.revision),
      Array.from({ length: 100 }, (_, n) => n),
    );
    assert.equal(counts.first + counts.second, 100);
    assert.equal(counts.unable, 0);
  });

  it('are refused at once by a signer that has no room, and met with silence where nobody is', async () => {
    const [one, responder] = [await open('signer-1'), await open('responder-1')];
    let refuse: LiveListener['answer'] = () => undefined;
    one.onLive(signer((call) => refuse(call)));
    await heard(responder);
    assert.equal(await responder.askLive(question(1), WITHIN_MS), 'refused');
    refuse = () => Promise.resolve(undefined);
    assert.equal(await responder.askLive(question(2), WITHIN_MS), 'refused');
    assert.equal(await responder.askLive({ ...question(3), issuer: OTHER }, 100), 'silence', 'an issuer it has not');
    await one.close();
    assert.equal(await responder.askLive(question(4), 100), 'silence');
    const waiting = responder.askLive(question(5), WITHIN_MS);
    await responder.close();
    assert.equal(await waiting, 'silence');
  });

  it('leave no key behind, and take nothing that is not of their form', async () => {
    const [one, responder] = [await open('signer-1'), await open('responder-1')];
    let calls = 0;
    one.onLive(signer(() => ((calls += 1), Promise.resolve(good()))));
    await heard(responder);
    calls = 0;
    const spy = await server.client();
    const id = 'ab'.repeat(8);
    const bad = [
      '',
      `${id} ${id}`,
      `${id} ${id} ${TAG} 01 md5 00`,
      `${id} ${id} ${TAG} 01 sha1 `,
      `${id} ${id} ${TAG} 01 sha1 ${'00'.repeat(129)}`,
      `${id} ${id} ${TAG} ${'01'.repeat(21)} sha1 00`,
      `${id} ${id} ${TAG} 01 sha1 00\n`,
      `${id} cs1:live ${TAG} 01 sha1 00`,
      `${id} ${id} ${OTHER} 01 sha1 00`,
      'x'.repeat(100_000),
    ];
    for (const message of bad) assert.equal(await spy.publish('cs1:live', message), 1);
    assert.deepEqual(await responder.askLive(question(1), WITHIN_MS), good());
    assert.equal(calls, 1);
    const keys = await spy.keys('*');
    for (const key of keys.filter((name) => name.includes(':ask:'))) {
      const left = await spy.pttl(key);
      assert.ok(left === -2 || (left > 0 && left <= 2000), `${key}: ${left}`);
    }
    assert.deepEqual(
      keys.filter((name) => !name.includes(':ask:')),
      [],
    );
  });
});
