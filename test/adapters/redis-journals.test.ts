/** Journals beside a real Redis: what a crash between the two leaves behind, and journals that are not what the ledger knows. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { openRedis, whenReady } from '../../src/adapters/redis/connection.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { certificateKey } from '../../src/core/precedence.ts';
import { journalChange } from '../../src/core/journal-record.ts';
import { DAY, MINUTE } from '../../src/core/time.ts';
import { LedgerKeeper } from '../../src/flows/keep-ledger.ts';
import { Recorder } from '../../src/flows/record.ts';
import type { Change, QueueItem } from '../../src/ports/store.ts';
import { issued, response, revoked, serialOf } from '../contracts/store-records.ts';
import { NOW } from '../core/sample-pki.ts';
import { makeIssuer } from '../flows/support-service.ts';
import { needsRedis, redisCli, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const CLOCK = {
  now: () => NOW,
  after: (ms: number, run: () => void) => {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

describe('journals beside a shared ledger', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-journals-'));
  const at = makeIssuer().served;
  const { tag: TAG } = at;
  const other = makeIssuer({ id: 'other', name: 'Another CA' }).served;
  let server: RedisServer;
  let undo: (() => Promise<unknown> | void)[] = [];
  let places = 0;
  before(async () => {
    server = await startRedis();
  });
  afterEach(async () => {
    for (const step of undo.reverse()) await step();
    undo = [];
    redisCli(server.port, 'FLUSHALL');
  });
  after(async () => {
    await server.remove();
    rmSync(root, { recursive: true });
  });

  async function connect(port = server.port): Promise<Redis> {
    const redis = openRedis({ topology: { kind: 'standalone', host: '127.0.0.1', port } }) as Redis;
    undo.push(() => redis.disconnect());
    await whenReady(redis, 10_000);
    return redis;
  }

  async function open(name: string, intakes: readonly string[], issuers = [TAG], port = server.port) {
    const redis = await connect(port);
    const journals = name.startsWith('intake');
    const options = { redis, name, intakes, journals, issuers, certificates: 200, replicas: 0 };
    const store = await RedisStore.open(options);
    undo.push(() => store.close());
    return store;
  }

  const directory = (): string => join(root, String(++places));

  /** An intake as `serve` wires it. `crash` ends it without a word: nothing of it is flushed, marked or given back. */
  async function intake(name: string, audit: string, intakes = [name], issuers = [TAG]) {
    const store = await open(name, intakes, issuers);
    const journal = await FileJournal.open(audit, CLOCK);
    const recorder = new Recorder(store, journal, CLOCK);
    const keeper = new LedgerKeeper(recorder, store, CLOCK, LOG);
    keeper.start();
    let running = true;
    const crash = async (): Promise<void> => {
      if (!running) return;
      running = false;
      await keeper.stop();
      await journal.close();
    };
    undo.push(crash);
    return { store, journal, recorder, crash };
  }

  const relied = (store: RedisStore): Promise<unknown> =>
    until('the store is relied on', () => Promise.resolve(store.failure === undefined && !store.mustVouch), 10_000, 10);
  const span = {
    notBefore: NOW - DAY,
    notAfter: NOW + DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
  };
  const issue = (recorder: Recorder, n: number) => recorder.issue(at, [{ ...span, serial: serialOf(n) }], 'test');
  const revoke = (recorder: Recorder, n: number) =>
    recorder.revoke(at, [{ serial: serialOf(n), reason: undefined, revokedAt: undefined }], 'test');
  /** As the records of the issuer of this file. */
  const own = ({ certificate, lane }: Change): Change => ({ certificate: { ...certificate, issuer: TAG }, lane });

  it('a journal that was lost or restored is refused before anything is acknowledged in vain (P1, P2)', async () => {
    const audit = directory();
    const backup = directory();
    const first = await intake('intake-1', audit, ['intake-1'], [TAG, other.tag]);
    await relied(first.store);
    await issue(first.recorder, 1);
    cpSync(audit, backup, { recursive: true });
    for (let n = 2; n <= 9; n++) await issue(first.recorder, n);
    await first.crash();
    for (const place of [backup, directory()]) {
      // Another issuer has seen fewer records: it does not hide that this one has seen more.
      const again = await intake('intake-1', place, ['intake-1'], [TAG, other.tag]);
      await relied(again.store);
      await assert.rejects(revoke(again.recorder, 1), { code: 'corrupt', message: /another name/ });
      assert.equal((await again.store.find(TAG, [serialOf(1)]))[0]?.revision, 1);
      await again.crash();
    }
    const renamed = await intake('intake-2', directory(), ['intake-2'], [TAG, other.tag]);
    await relied(renamed.store);
    await revoke(renamed.recorder, 1);
    assert.equal((await renamed.store.find(TAG, [serialOf(1)]))[0]?.revision, 2);
  });

  it('requests as large as they may be are taken, several at once', { timeout: 30_000 }, async () => {
    const { store, recorder } = await intake('intake-1', directory());
    await relied(store);
    const requests = [0, 1, 2].map((part) =>
      Array.from({ length: 10_000 }, (_, i) => ({ ...span, serial: serialOf(part * 10_000 + i) })),
    );
    await Promise.all(requests.map((request) => recorder.issue(at, request, 'test')));
    const revocations = requests[0]?.map(({ serial }) => ({ serial, reason: undefined, revokedAt: undefined })) ?? [];
    await recorder.revoke(at, revocations, 'test');
    assert.equal((await store.find(TAG, [serialOf(9_999)]))[0]?.revision, 2);
    assert.equal((await store.find(TAG, [serialOf(29_999)]))[0]?.revision, 1);
  });

  it('two processes with one name do not swallow each other’s events', async () => {
    const [a, b] = [await intake('intake-1', directory()), await intake('intake-1', directory())];
    await relied(a.store);
    await relied(b.store);
    for (let n = 1; n <= 3; n++) await issue(a.recorder, n);
    await assert.rejects(issue(b.recorder, 10), { code: 'unavailable', message: /same name/ });
  });

  it('nor when their records have the same numbers (P1)', async () => {
    const [a, b] = [await intake('intake-1', directory()), await intake('intake-1', directory())];
    await relied(a.store);
    await relied(b.store);
    await issue(a.recorder, 1);
    // Record 1 of both: what is in under that number is not this one.
    await assert.rejects(issue(b.recorder, 10), { code: 'unavailable', message: /same name/ });
    assert.match(b.store.failure ?? '', /same name/);
    await issue(a.recorder, 2);
  });

  it('a process that was started later under the same name puts an end to the first, which says so (P1)', async () => {
    const audit = directory();
    const a = await intake('intake-1', audit);
    await relied(a.store);
    await issue(a.recorder, 1);
    const copy = directory();
    cpSync(audit, copy, { recursive: true });
    const b = await intake('intake-1', copy);
    await relied(b.store);
    await issue(b.recorder, 2);
    await assert.rejects(revoke(a.recorder, 1), { code: 'unavailable', message: /same name/ });
    // For good: what it brought in again after FLUSHALL would hide records of the other.
    redisCli(server.port, 'FLUSHALL');
    await until('the other one has brought everything back', async () => (await b.store.find(TAG, [serialOf(2)]).catch(() => []))[0] !== undefined, 10_000, 20); // prettier-ignore
    await assert.rejects(a.recorder.recover(), /same name/);
    await issue(b.recorder, 3);
  });

  it('an issuer that the intakes do not know yet keeps nobody from the others', async () => {
    const known = await intake('intake-1', directory());
    await relied(known.store);
    await issue(known.recorder, 1);
    const signer = await open('signer', ['intake-1'], [TAG, other.tag]);
    assert.match(signer.failure ?? '', /intake-1/);
    assert.match(signer.failureOf(other.tag) ?? '', /intake-1/);
    assert.equal(signer.failureOf(TAG), undefined);
    assert.equal((await signer.takeDue('issue', NOW + DAY, 9, new Set([other.tag]))).length, 1);
  });

  it('a process that is started again goes on under its name', async () => {
    const audit = directory();
    for (let n = 1; n <= 3; n++) {
      const again = await intake('intake-1', audit);
      await relied(again.store);
      await issue(again.recorder, n);
      await again.crash();
    }
  });

  it('what a crash left between journal and ledger is brought in at the next start', async () => {
    const audit = directory();
    const first = await intake('intake-1', audit);
    await relied(first.store);
    await issue(first.recorder, 1);
    const change = own(revoked(1, 0));
    const about = { type: 'certificates.revoked' as const, actor: 'test', issuer: at.id, issuerTag: TAG };
    await first.journal.append([
      { ...about, description: '1 revoked', changes: [journalChange(change.certificate, 'revocation')] },
    ]);
    await first.crash();
    // The server has not been away: nobody tells this process that it must vouch.
    const again = await intake('intake-1', audit);
    await issue(again.recorder, 2);
    assert.equal((await again.store.find(TAG, [serialOf(1)]))[0]?.revision, 2);
  });

  it('a state that is replayed over another of the same revision takes its answer along (P2, P5)', async () => {
    const names = ['intake-1', 'intake-2'];
    const [a, b] = [await open('intake-1', names), await open('intake-2', names)];
    await a.vouch();
    await b.vouch();
    await relied(a);
    await relied(b);
    const serial = serialOf(1);
    await a.replay([own(issued(1, 0))], 1);
    const hold = own(revoked(1, 0, { recordedAt: NOW, revocation: { revokedAt: NOW, reason: 'keyCompromise' } }));
    const [known] = await b.find(TAG, [serial]);
    assert.equal(await b.apply([hold], 1, new Map([[certificateKey(hold.certificate), known]])), 'applied');
    const asked: QueueItem = { issuer: TAG, serial, lane: 'asked', dueAt: NOW };
    const answer = (of: Change) => ({ item: asked, response: response(of.certificate, NOW) });
    assert.deepEqual(await b.publish([answer(hold)]), ['published']);
    // Journalled by the other in the same moment, with a clock that is ahead; then it died.
    const late = own(revoked(1, 0, { recordedAt: NOW + MINUTE, revocation: { revokedAt: NOW, reason: 'superseded' } }));
    await a.replay([late], 2);
    assert.equal((await b.lookup(TAG, serial)).kind, 'pending');
    assert.deepEqual(await b.publish([answer(hold)]), ['superseded'], 'signed before the replay');
    assert.equal((await b.takeDue('revocation', NOW + MINUTE, 9)).length, 1);
  });

  it('a master that was a replica meanwhile is not relied on for what was said before (P1, P2)', async () => {
    const names = ['intake-1', 'intake-2'];
    const replica = await startRedis();
    undo.push(() => replica.remove());
    const [a, b] = [await open('intake-1', names), await open('intake-2', names)];
    await a.vouch();
    await b.vouch();
    await relied(a);
    await a.replay([own(issued(1, 0))], 1);
    const role = (port: number, to: RedisServer | undefined): unknown =>
      redisCli(port, 'REPLICAOF', ...(to === undefined ? ['NO', 'ONE'] : ['127.0.0.1', String(to.port)]));
    const synced = (port: number): Promise<unknown> =>
      until(
        'it is a replica',
        () => redisCli(port, 'INFO', 'replication').includes('master_link_status:up'),
        15_000,
        20,
      );
    role(replica.port, server);
    await synced(replica.port);
    for (const store of [a, b]) {
      await store.appliedSeq();
      await store.vouch();
    }
    // Cut off, it is made master; what the old one takes now is lost.
    role(replica.port, undefined);
    await b.replay([own(revoked(1, 0))], 1);
    await b.close();
    role(server.port, replica);
    await synced(server.port);
    role(server.port, undefined);
    const responder = await open('responder', names);
    await assert.rejects(responder.lookup(TAG, serialOf(1)), { code: 'unavailable', message: /intake-2/ });
  });
});
