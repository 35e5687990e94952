/** What only a store of many processes has: races, leases that run out, a feed, a server that forgets (ports/store.ts, Reliance). */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { openRedis, whenReady } from '../../src/adapters/redis/connection.ts';
import { RedisStore, type RedisStoreOptions } from '../../src/adapters/redis/store.ts';
import type { Certificate, CrlRecord } from '../../src/core/certificate.ts';
import { certificateKey } from '../../src/core/precedence.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import type { Change, QueueItem, StoreEvent } from '../../src/ports/store.ts';
import {
  publishCrl,
  all,
  inOrder,
  issued,
  OTHER,
  response,
  revoked,
  serialOf,
  serials,
  TAG,
} from '../contracts/store-records.ts';
import { NOW } from '../core/sample-pki.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

/** Short, so that a test can wait for its end. */
const LEASE_MS = 300;

describe('RedisStore, shared', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-shared-'));
  let server: RedisServer;
  let admin: Redis;
  let connections: Redis[] = [];
  let stores: RedisStore[] = [];
  before(async () => {
    server = await startRedis();
    admin = await server.client();
  });
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()));
    for (const redis of connections) redis.disconnect();
    [stores, connections] = [[], []];
    await admin.flushall();
  });
  after(async () => {
    await server.remove();
    rmSync(root, { recursive: true });
  });

  async function connect(username?: string, password?: string): Promise<Redis> {
    const redis = openRedis({ topology: server.topology, username, password }) as Redis;
    connections.push(redis);
    await whenReady(redis, 10_000);
    return redis;
  }

  async function open(name: string, options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
    const store = await RedisStore.open({
      redis: options.redis ?? (await connect()),
      name,
      intakes: ['intake-1'],
      journals: name.startsWith('intake'),
      issuers: [TAG, OTHER],
      certificates: 200,
      replicas: 0,
      leaseMs: LEASE_MS,
      ...options,
    });
    stores.push(store);
    return store;
  }

  async function vouched(name: string, options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
    const store = await open(name, options);
    await store.vouch();
    return store;
  }

  const decidedOn = async (store: RedisStore, ...ns: number[]): Promise<Map<string, Certificate | undefined>> => {
    const found = await store.find(TAG, ns.map(serialOf));
    return new Map(ns.map((n, i) => [certificateKey({ issuer: TAG, serial: serialOf(n) }), found[i]]));
  };
  const relied = (store: RedisStore): Promise<unknown> =>
    until('the store is relied on', () => Promise.resolve(store.failure === undefined), 10_000, 10);

  describe('several intakes', () => {
    const two = { intakes: ['intake-1', 'intake-2'] };

    it('apply a change onto the state that it was decided on, all of it or nothing (P1)', async () => {
      const [first, second] = [await open('intake-1', two), await open('intake-2', two)];
      await first.vouch();
      await assert.rejects(first.find(TAG, [serialOf(1)]), { code: 'unavailable', message: /intake-2/ });
      await second.vouch();
      await relied(first);
      const [a, b] = [await decidedOn(first, 1, 2), await decidedOn(second, 2, 3)];
      assert.equal(await first.apply([issued(1, 1), issued(2, 1)], 1, a), 'applied');
      assert.equal(await second.apply([revoked(2, 1), issued(3, 1)], 1, b), 'overtaken');
      assert.deepEqual(
        (await second.find(TAG, [1, 2, 3].map(serialOf))).map((one) => one?.revision),
        [1, 1, undefined],
      );
      assert.equal(await second.apply([revoked(2, 2), issued(3, 2)], 2, await decidedOn(second, 2, 3)), 'applied');
      assert.deepEqual(serials(await all(first.revokedEntries(completeCrl(TAG)).pages)), [serialOf(2)]);
    });

    it('race on one certificate: one is applied, the other overtaken', async () => {
      const [first, second] = [await open('intake-1', two), await open('intake-2', two)];
      await Promise.all([first.vouch(), second.vouch()]);
      await Promise.all([relied(first), relied(second)]);
      for (let n = 1; n <= 50; n++) {
        const decided = await Promise.all([decidedOn(first, n), decidedOn(second, n)]);
        const outcomes = await Promise.all([
          first.apply([issued(n, n)], n, decided[0]),
          second.apply([issued(n, n, { precertificate: true })], n, decided[1]),
        ]);
        assert.deepEqual([...outcomes].sort(), ['applied', 'overtaken']);
      }
      assert.equal((await inOrder(first.certificates(TAG))).length, 50);
    });

    it('find a change applied whose reply was lost', async () => {
      const store = await vouched('intake-1');
      const decided = await decidedOn(store, 1);
      for (let again = 0; again < 3; again++) assert.equal(await store.apply([issued(1, 5)], 5, decided), 'applied');
      const [recorded] = await store.find(TAG, [serialOf(1)]);
      assert.equal(recorded?.recordedSeq, 1);
    });

    it('bring in their journals in any order to the same ledger', async () => {
      const change = fc
        .record({ n: fc.nat(3), revision: fc.integer({ min: 1, max: 3 }), revoked: fc.boolean(), at: fc.nat(2) })
        .map((step): Change => {
          const made = step.revoked ? revoked : issued;
          return made(step.n, 1, { revision: step.revision, recordedAt: NOW + step.at, crlShard: `${step.at}` });
        });
      const journal = fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 });
      const ledger = async (order: readonly [string, Change[][]][]): Promise<unknown> => {
        await admin.flushall();
        const opened = [];
        for (const [name, records] of order) {
          const store = await open(name, two);
          opened.push(store);
          let seq = 0;
          for (const changes of records) await store.replay(changes, ++seq);
          await store.vouch();
        }
        const last = opened.at(-1) as RedisStore;
        await relied(last);
        const list = (await inOrder(last.certificates(TAG))).map((one) => ({ ...one, recordedSeq: 0 }));
        const listed = (await all(last.revokedEntries(completeCrl(TAG)).pages)).map((one) => ({
          ...one,
          recordedSeq: 0,
        }));
        await Promise.all(opened.map((store) => store.close()));
        for (const redis of connections.splice(0)) redis.disconnect();
        return [list, listed];
      };
      await fc.assert(
        fc.asyncProperty(journal, journal, async (a, b) => {
          const one = await ledger([['intake-1', a], ['intake-2', b]]); // prettier-ignore
          assert.deepEqual(await ledger([['intake-2', b], ['intake-1', a]]), one); // prettier-ignore
        }),
        { numRuns: 15, seed: 20261121 },
      );
    });
  });

  describe('several signers', () => {
    it('share the work, and get back what one of them held when it died', async () => {
      const intake = await vouched('intake-1');
      await intake.replay(
        Array.from({ length: 100 }, (_, n) => issued(n, 1)),
        1,
      );
      const [a, b] = [await open('signer-1'), await open('signer-2')];
      const takes = await Promise.all([a, b, a, b].map((store) => store.takeDue('issue', NOW, 20)));
      assert.equal(new Set(serials(takes.flat())).size, 80);
      // It is not closed: it hangs, or the machine is gone.
      const mine = await b.takeDue('issue', NOW, 99);
      assert.equal(mine.length, 20);
      const late: QueueItem[] = [];
      await until(
        'the leases of the other have run out',
        async () => {
          late.push(...(await b.takeDue('issue', NOW, 99)));
          return late.length === 40;
        },
        10_000,
        20,
      );
      assert.deepEqual(
        new Set(serials(late)),
        new Set([...serials(takes[0] ?? []), ...serials(takes[2] ?? [])]),
        'and none that this one still holds itself',
      );
    });

    it('leave an expired holder without effect (fencing)', async () => {
      const intake = await vouched('intake-1');
      const changes = [1, 2, 3, 4].map((n) => revoked(n, 1));
      await intake.replay(changes, 1);
      const [paused, other] = [await open('signer-1'), await open('signer-2')];
      const items = await paused.takeDue('revocation', NOW, 9);
      const answer = (n: number, at = NOW) => response((changes[n - 1] as Change).certificate, at);
      const taken: QueueItem[] = [];
      await until(
        'the leases have run out',
        async () => {
          taken.push(...(await other.takeDue('revocation', NOW, 9)));
          return taken.length === 4;
        },
        10_000,
        20,
      );
      const of = (n: number): QueueItem => items.find(({ serial }) => serial === serialOf(n)) as QueueItem;
      await paused.drop([of(1)]);
      await paused.postpone([of(2)], NOW + DAY);
      await paused.retire([of(3)]);
      assert.deepEqual(await paused.publish([{ response: answer(4), item: of(4) }]), ['superseded']);
      assert.equal((await other.lookup(TAG, serialOf(4))).kind, 'pending');
      const outcomes = await other.publish(taken.map((item, i) => ({ item, response: answer(i + 1) })));
      assert.deepEqual(outcomes, ['published', 'published', 'published', 'published']);
      // Whoever asks has no lease; the answer is good from anybody.
      const asked: QueueItem = { ...of(4), lane: 'asked' };
      assert.deepEqual(await paused.publish([{ response: answer(4, NOW + SECOND), item: asked }]), ['published']);
      // The same in the refresh lane, where buckets are leased.
      const due = await paused.takeDue('refresh', NOW + 2 * DAY, 9);
      assert.equal(due.length, 4);
      const again: QueueItem[] = [];
      await until(
        'the leases of the buckets have run out',
        async () => {
          again.push(...(await other.takeDue('refresh', NOW + 2 * DAY, 9)));
          return again.length === 4;
        },
        10_000,
        20,
      );
      await paused.drop(due.slice(0, 2));
      const refreshed = due.slice(2).map((item) => ({
        item,
        response: answer(parseInt(item.serial.slice(2), 16), NOW + DAY),
      }));
      assert.deepEqual(await paused.publish(refreshed), ['superseded', 'superseded']);
      await other.postpone(again, NOW + 3 * DAY);
      assert.equal((await other.takeDue('refresh', NOW + 3 * DAY, 9)).length, 4);
    });

    it('leave the work of issuers that they are unable to sign for to others', async () => {
      const intake = await vouched('intake-1');
      await intake.replay([issued(1, 1), issued(2, 1, { issuer: OTHER })], 1);
      const store = await open('signer-1');
      assert.deepEqual(serials(await store.takeDue('issue', NOW, 9, new Set([TAG]))), [serialOf(2)]);
      assert.deepEqual(serials(await store.takeDue('issue', NOW, 9)), [serialOf(1)]);
    });

    it('give back at once what they hold when they are closed', async () => {
      const intake = await vouched('intake-1');
      await intake.replay([issued(1, 1), { ...issued(2, 1), lane: 'refresh' }], 1);
      const [a, b] = [await open('signer-1', { leaseMs: HOUR }), await open('signer-2', { leaseMs: HOUR })];
      assert.equal((await a.takeDue('issue', NOW, 9)).length + (await a.takeDue('refresh', NOW, 9)).length, 2);
      assert.equal((await b.takeDue('issue', NOW, 9)).length + (await b.takeDue('refresh', NOW, 9)).length, 0);
      await a.close();
      assert.equal((await b.takeDue('issue', NOW, 9)).length + (await b.takeDue('refresh', NOW, 9)).length, 2);
    });

    it('hear a call for an answer once', async () => {
      await vouched('intake-1');
      const [a, b, responder] = [await open('signer-1'), await open('signer-2'), await open('responder')];
      const heard: Serial[] = [];
      for (const store of [a, b]) store.onAsk((issuer, serial) => issuer === TAG && heard.push(serial));
      await until(
        'the calls are heard',
        () => {
          responder.ask(TAG, serialOf(1));
          return Promise.resolve(heard.length > 0);
        },
        10_000,
        50,
      );
      for (let n = 2; n < 22; n++) responder.ask(TAG, serialOf(n));
      await until('all are heard', () => Promise.resolve(heard.length >= 21), 10_000, 20);
      assert.equal(new Set(heard).size, heard.length);
    });

    const crl = (number: bigint): { record: CrlRecord; der: Buffer } => {
      const der = Buffer.from(`crl ${number}`);
      const sha256 = createHash('sha256').update(der).digest('hex');
      const times = { thisUpdate: NOW, nextUpdate: NOW + DAY, publishedAt: NOW, scheduledAt: NOW };
      const counts = { scheduledAsOfSeq: 7, asOfSeq: 7, entries: 0, bytes: der.length };
      return {
        der,
        record: { ...completeCrl(TAG), number, kind: 'scheduled', sha256, ...times, ...counts },
      };
    };

    it('build CRLs one at a time, and publish nothing on a claim that was lost', async () => {
      await vouched('intake-1');
      const [a, b] = [
        await open('signer-1', { archive: new FileCrlArchive(join(root, 'a')) }),
        await open('signer-2', { archive: new FileCrlArchive(join(root, 'b')) }),
      ];
      assert.deepEqual([await a.claimCrl(TAG), await b.claimCrl(TAG), await a.claimCrl(TAG)], [true, false, true]);
      const first = crl(1n);
      assert.equal(await publishCrl(b, first.record, first.der, undefined), false, 'while another has the claim');
      await until('the claim has run out', () => b.claimCrl(TAG), 10_000, 20);
      assert.equal(await publishCrl(a, first.record, first.der, undefined), false, 'the claim was lost');
      const second = crl(2n);
      assert.equal(await publishCrl(b, second.record, second.der, undefined), true);
      // The other archives it too: it may have to restore it.
      await until(
        'it is archived',
        async () => (await new FileCrlArchive(join(root, 'a')).newest(completeCrl(TAG)))?.number === 2n,
      );
    });

    it('make the newest archived CRL current again when Redis has forgotten', async () => {
      const intake = await vouched('intake-1');
      const archive = new FileCrlArchive(join(root, 'restored'));
      const signer = await open('signer-1', { archive });
      assert.equal(await signer.restoreCrl(completeCrl(TAG)), undefined);
      for (const number of [5n, 2n ** 70n]) {
        const { record, der } = crl(number);
        assert.equal(await publishCrl(signer, record, der, number === 5n ? undefined : 5n), true);
      }
      await admin.flushall();
      await until('it must be vouched for', () => Promise.resolve(intake.mustVouch), 10_000, 10);
      await intake.appliedSeq();
      await intake.vouch();
      await relied(signer);
      assert.equal(await signer.current(completeCrl(TAG)), undefined);
      const restored = await signer.restoreCrl(completeCrl(TAG));
      const { record, der } = crl(2n ** 70n);
      assert.deepEqual(restored, { ...record, asOfSeq: 0, scheduledAsOfSeq: 0 });
      assert.deepEqual(await signer.restoreCrl(completeCrl(TAG)), restored);
      assert.deepEqual(await (await open('responder')).body(record), der);
      assert.equal(await signer.reserveNumber(completeCrl(TAG), 1n), 2n ** 70n + 1n);
    });
  });

  describe('the change feed', () => {
    it('tells every process the same, each change once and in order', async () => {
      const intake = await vouched('intake-1');
      const others = [await open('signer-1'), await open('responder')];
      const told = [intake, ...others].map((store) => {
        const events: string[] = [];
        store.follow((event) => {
          if (event.type === 'recorded') events.push(`${event.change.certificate.serial} ${event.change.lane}`);
          else events.push(event.type === 'answered' ? `${event.serial} ${event.revision}` : event.type);
        });
        return events;
      });
      const expected: string[] = [];
      for (let n = 1; n <= 150; n++) {
        await intake.replay([issued(n, n)], n);
        expected.push(`${serialOf(n)} issue`);
      }
      const [item] = (await intake.takeDue('issue', NOW, 1)) as [QueueItem];
      await intake.publish([{ item, response: response(issued(1, 1).certificate, NOW) }]);
      expected.push(`${serialOf(1)} 1`);
      // An import tells nobody: no answer of it is out.
      await intake.replay([{ ...issued(900, 1), lane: 'refresh' }], 900);
      await until('all are told', () => Promise.resolve(told.every((one) => one.length >= 151)), 10_000, 10);
      for (const events of told) assert.deepEqual(events, expected);
    });

    it('tells of a gap who was away for longer than it reaches, and goes on from there', async () => {
      const intake = await vouched('intake-1', { feedLength: 1 });
      const redis = await connect();
      const responder = await open('responder', { redis });
      const events: StoreEvent[] = [];
      responder.follow((event) => events.push(event));
      redis.disconnect();
      // Redis trims whole nodes of a stream: 100 entries each.
      for (let n = 1; n <= 350; n++) await intake.replay([issued(n, n)], n);
      await redis.connect();
      await until('the gap is told', () => Promise.resolve(events.length > 0), 10_000, 10);
      await intake.replay([issued(1000, 1000)], 1000);
      await until('the feed goes on', () => Promise.resolve(events.length > 1), 10_000, 10);
      assert.deepEqual(
        events.map(({ type }) => type),
        ['gap', 'recorded'],
      );
    });
  });

  describe('a server that forgets', () => {
    it('is not relied on before the journals are in again, and never says unknown meanwhile (P1, P3)', async () => {
      const intake = await vouched('intake-1');
      const responder = await open('responder');
      const events: StoreEvent[] = [];
      responder.follow((event) => events.push(event));
      await intake.replay([issued(1, 1)], 1);
      assert.equal((await responder.lookup(TAG, serialOf(1))).kind, 'pending');
      assert.equal((await responder.lookup(TAG, serialOf(2))).kind, 'unknown');
      await until('the first event is told', () => Promise.resolve(events.length === 1), 10_000, 10);
      await admin.flushall();
      // At once, not at the next look: what is not found is looked for twice.
      await assert.rejects(responder.lookup(TAG, serialOf(1)), { code: 'unavailable' });
      await assert.rejects(responder.current(completeCrl(TAG)), { code: 'unavailable' });
      await assert.rejects(intake.find(TAG, [serialOf(1)]), { code: 'unavailable' });
      await assert.rejects(intake.apply([issued(2, 2)], 2, new Map()), { code: 'unavailable' });
      assert.ok(intake.mustVouch && !responder.mustVouch);
      await assert.rejects(intake.replay([issued(2, 2)], 2), { code: 'unavailable' }, 'before it is asked what is in');
      await assert.rejects(intake.vouch(), { code: 'unavailable' });
      assert.equal(await intake.appliedSeq(), 0);
      await intake.replay([issued(1, 1)], 1);
      await assert.rejects(responder.lookup(TAG, serialOf(1)), { code: 'unavailable', message: /intake-1/ });
      await intake.vouch();
      await until('the gap is told', () => Promise.resolve(events.length >= 3), 10_000, 10);
      assert.deepEqual(new Set(events.slice(1).map(({ type }) => type)), new Set(['gap']));
      assert.equal((await responder.lookup(TAG, serialOf(1))).kind, 'pending');
      assert.equal(intake.mustVouch, false);
    });

    it('is not relied on after a restart before it is vouched for again', async () => {
      const intake = await vouched('intake-1');
      const responder = await open('responder');
      await intake.replay([issued(1, 1)], 1);
      await admin.call('WAITAOF').catch(() => undefined);
      await server.restart();
      await assert.rejects(responder.lookup(TAG, serialOf(1)), { code: 'unavailable' });
      await until('it is seen again', () => Promise.resolve(intake.mustVouch), 10_000, 10);
      await assert.rejects(responder.lookup(TAG, serialOf(1)), { code: 'unavailable', message: /intake-1/ });
      assert.ok((await intake.appliedSeq()) <= 1);
      await intake.replay([issued(1, 1)], 1);
      await intake.vouch();
      await relied(responder);
      assert.equal((await responder.lookup(TAG, serialOf(1))).kind, 'pending');
    });

    it('that has lost its founding, and nothing else, is filled again from the beginning', async () => {
      const intake = await vouched('intake-1');
      await intake.replay([issued(1, 1)], 1);
      // As a server that leaves out transactions when it reads its append-only file.
      await admin.del(`cs1:{${TAG}}:meta`, `cs1:{${OTHER}}:meta`);
      await until('it is noticed', () => Promise.resolve(intake.mustVouch), 10_000, 10);
      assert.equal(await intake.appliedSeq(), 0);
    });

    it('that is replaced while a journal is replayed is not vouched for', async () => {
      const intake = await open('intake-1');
      await intake.appliedSeq();
      await intake.replay([issued(1, 1)], 1);
      await admin.flushall();
      await assert.rejects(intake.replay([issued(2, 2)], 2), { code: 'unavailable' });
      await assert.rejects(intake.vouch(), { code: 'unavailable' });
      assert.equal(await intake.appliedSeq(), 0);
    });

    it('fails quickly while it does not answer, and says so', async () => {
      const intake = await vouched('intake-1');
      await intake.replay([issued(1, 1)], 1);
      server.pause();
      try {
        await assert.rejects(intake.lookup(TAG, serialOf(2)), { code: 'unavailable', message: /does not answer/ });
        await until('it is noticed', () => Promise.resolve(intake.failure !== undefined), 10_000, 10);
        await until('it is silent', () => Promise.resolve(intake.silentMs() > 1000), 10_000, 10);
      } finally {
        server.resume();
      }
      await relied(intake);
      assert.equal((await intake.lookup(TAG, serialOf(1))).kind, 'pending');
      await until('it is heard again', () => Promise.resolve(intake.silentMs() < 1000), 10_000, 10);
    });

    it('is silent for who hears of no process that writes', async () => {
      const intake = await vouched('intake-1');
      const responder = await open('responder');
      await until('it is heard', () => Promise.resolve(responder.silentMs() < 500), 10_000, 10);
      // Without power to write nobody gives a sign of life.
      await admin.call('ACL', 'SETUSER', 'default', '-@write');
      try {
        await until('it is silent', () => Promise.resolve(responder.silentMs() > 1000), 15_000, 20);
      } finally {
        await admin.call('ACL', 'SETUSER', 'default', '+@all');
      }
      assert.equal(intake.failure, undefined);
    });
  });

  it('hears nobody in a process that only reads, when all who write are gone (P2)', async () => {
    const intake = await vouched('intake-1');
    const responder = await open('responder');
    await intake.close();
    await until('it is silent', () => Promise.resolve(responder.silentMs() > 1000), 10_000, 20);
  });

  it('serves a process that may only read', async () => {
    const rules = 'reset on >secret ~cs1:* &cs1:* +@read +@connection +evalsha_ro +eval_ro +info +time +publish';
    await admin.call('ACL', 'SETUSER', 'reader', ...rules.split(' '));
    const intake = await vouched('intake-1');
    await intake.replay([issued(1, 1)], 1);
    const reader = await open('responder', { redis: await connect('reader', 'secret') });
    assert.equal((await reader.lookup(TAG, serialOf(1))).kind, 'pending');
    assert.equal((await reader.lookup(TAG, serialOf(2))).kind, 'unknown');
    const events: StoreEvent[] = [];
    reader.follow((event) => events.push(event));
    await intake.replay([issued(2, 2)], 2);
    await until('it follows', () => Promise.resolve(events.length === 1), 10_000, 10);
    const { certificate } = issued(1, 1);
    const item: QueueItem = { issuer: TAG, serial: certificate.serial, lane: 'asked', dueAt: NOW };
    await assert.rejects(reader.publish([{ item, response: response(certificate, NOW) }]), { code: 'unavailable' });
    assert.equal((await intake.lookup(TAG, serialOf(1))).kind, 'pending');
  });

  it('acknowledges only what the replicas have, and finds it applied when it is tried again', async () => {
    const intake = await vouched('intake-1');
    const strict = await open('intake-2', { intakes: ['intake-1'], replicas: 1 });
    const decided = await decidedOn(strict, 1);
    await assert.rejects(strict.apply([issued(1, 1)], 1, decided), { code: 'unavailable', value: '1' });
    await assert.rejects(strict.reserveNumber(completeCrl(TAG), 1n), { code: 'unavailable' });
    const replica = await startRedis({ config: { replicaof: `127.0.0.1 ${server.port}` } });
    try {
      await until(
        'the replica has all',
        async () => (await admin.info('replication')).includes('state=online'),
        15_000,
        50,
      );
      // With its first replica a server begins another reign (lua/common.lua).
      await intake.appliedSeq();
      await intake.vouch();
      await relied(strict);
      assert.equal(await strict.apply([issued(1, 1)], 1, decided), 'applied');
      assert.ok((await strict.reserveNumber(completeCrl(TAG), 1n)) > 1n, 'the first number is not given again');
    } finally {
      await replica.remove();
    }
    assert.equal((await intake.find(TAG, [serialOf(1)])).length, 1);
  });
});
