/** What goes between the first process and its responder processes: the store over there reads as the store here does, and hears of every change. */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { Desk, eventRow } from '../../src/adapters/processes/desk.ts';
import { LinkedStore } from '../../src/adapters/processes/linked-store.ts';
import {
  certificateIn,
  certificateRow,
  foundRow,
  lookupIn,
  type EventRow,
  type FoundRow,
  type FromChild,
  type ToChild,
} from '../../src/adapters/processes/messages.ts';
import { hasReusePort, sharePort } from '../../src/adapters/processes/port-share.ts';
import type { Certificate, PublishedResponse } from '../../src/core/certificate.ts';
import type { LiveQuestion, LiveSignature } from '../../src/core/ocsp/live.ts';
import { HOUR } from '../../src/core/time.ts';
import type { CrlArchive } from '../../src/ports/crl-archive.ts';
import type { Lookup, QueueItem, Store, StoreEvent } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import { issued, response, revoked, serialOf, TAG, type StoreUnderTest } from '../contracts/store-records.ts';
import { storeContract } from '../contracts/store.ts';
import { freePorts } from '../support/service.ts';

const SEED = 20261121;
const root = mkdtempSync(join(tmpdir(), 'processes-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const SIGNED: LiveSignature = {
  revision: 3,
  revocation: { revokedAt: NOW, reason: 'keyCompromise' },
  thisUpdate: NOW,
  nextUpdate: NOW + HOUR,
  responder: 'c0ffee00',
  signature: Buffer.from('01ff', 'hex'),
};

interface Linked {
  readonly store: EmbeddedStore;
  readonly linked: LinkedStore;
  /** Holds back what goes to the responder process until it is called. */
  hold(): () => void;
  readonly asked: string[];
}

/** Both ends in one process; every message is serialised as the channel does. */
async function link(
  directory: string,
  disturbed: (archive: CrlArchive) => CrlArchive = (whole) => whole,
): Promise<Linked> {
  const archive = disturbed(new FileCrlArchive(join(directory, 'crl')));
  const store = await EmbeddedStore.open(directory, archive);
  const asked: string[] = [];
  let held: ToChild[] | undefined;
  const toChild = (message: ToChild): void => {
    const copy = deserialize(serialize(message)) as ToChild;
    if (held === undefined) linked.take(copy);
    else held.push(copy);
  };
  const desk = new Desk({
    store,
    responders: () => ({ ders: [Buffer.from('3000', 'hex')], retired: new Map([['c0ffee00', 'answers']]) }),
    sign: (issuer, serial) => void asked.push(issuer + serial),
    live: ({ serial }) => (serial === 'dead' ? undefined : Promise.resolve(SIGNED)),
  });
  const linked = new LinkedStore({
    send: (message: FromChild) => desk.take(deserialize(serialize(message)) as FromChild, toChild),
    archive,
    unreadable: (_, error) => assert.fail(error as Error),
  });
  store.relay((events) => {
    const rows = events.map(eventRow).filter((row): row is EventRow => row !== undefined);
    toChild({ type: 'events', rows });
    return undefined;
  });
  return {
    store,
    linked,
    asked,
    hold() {
      held = [];
      return () => {
        const messages = held ?? [];
        held = undefined;
        for (const message of messages) linked.take(message);
      };
    },
  };
}

/** Written here, read over there. */
async function begin(): Promise<StoreUnderTest> {
  const directory = join(root, String(++directories));
  return {
    async open(disturbed) {
      const { store, linked } = await link(directory, disturbed);
      return new Proxy<Store>(store, {
        get(target, name) {
          if (name === 'lookup' || name === 'current' || name === 'scopes' || name === 'body')
            return linked[name].bind(linked) as unknown;
          if (name === 'close') return () => (linked.close(), target.close());
          const member = Reflect.get(target, name) as unknown;
          return typeof member === 'function' ? (member.bind(target) as unknown) : member;
        },
      });
    },
    tamper: async (record) => writeFileSync(new FileCrlArchive(join(directory, 'crl')).path(record), 'other'),
  };
}
storeContract('linked', begin);

describe('a nonce over the channel', () => {
  const question: LiveQuestion = { issuer: TAG, serial: serialOf(1), hash: 'sha256', nonce: Buffer.from('ab', 'hex') };

  it('comes back signed, or refused, or not at all', async () => {
    const { store, linked, hold } = await link(join(root, String(++directories)));
    const signed = await linked.askLive(question, 2000);
    assert.ok(typeof signed === 'object');
    assert.deepEqual({ ...signed, signature: Buffer.from(signed.signature) }, SIGNED);
    assert.equal(await linked.askLive({ ...question, serial: 'dead' as LiveQuestion['serial'] }, 2000), 'refused');
    const release = hold();
    assert.equal(await linked.askLive(question, 20), 'silence');
    // What comes too late is nobody's.
    release();
    linked.close();
    await store.close();
  });
});

describe('LinkedStore', () => {
  const opened: Linked[] = [];
  after(() => Promise.all(opened.map(({ store, linked }) => (linked.close(), store.close()))));
  async function fresh(): Promise<Linked> {
    const made = await link(join(root, String(++directories)));
    opened.push(made);
    return made;
  }

  async function publish(
    store: EmbeddedStore,
    certificate: Certificate,
    thisUpdate: number,
  ): Promise<PublishedResponse> {
    const item: QueueItem = { issuer: TAG, serial: certificate.serial, lane: 'asked', dueAt: NOW };
    const answer = response(certificate, thisUpdate);
    assert.deepEqual(await store.publish([{ response: answer, item }]), ['published']);
    return answer;
  }

  it('is told of a change before the change is done, and that a published answer replaces the one before', async () => {
    const { store, linked } = await fresh();
    const told: StoreEvent[] = [];
    linked.follow((event) => told.push(event));
    const first = issued(1, 1);
    await store.replay([first], 1);
    const recorded = (change: typeof first): StoreEvent => ({
      type: 'recorded',
      change: { ...change, lane: 'refresh' },
    });
    assert.deepEqual(told.splice(0), [recorded(first)]);
    await publish(store, first.certificate, NOW);
    await publish(store, first.certificate, NOW + HOUR);
    const superseded: StoreEvent = { type: 'answered', issuer: TAG, serial: serialOf(1), revision: 2 };
    assert.deepEqual(told.splice(0), [superseded, superseded]);
    const second = revoked(1, 2);
    await store.replay([second], 2);
    assert.deepEqual(told.splice(0), [recorded(second)]);
    await store.replay([{ ...revoked(1, 3), lane: undefined }], 3);
    await store.addResponder(TAG, Buffer.from('3001', 'hex'));
    await store.retireResponder(TAG, 'beefbeef', 'nothing');
    assert.deepEqual(told, [
      { type: 'responder', issuer: TAG, der: Buffer.from('3001', 'hex') },
      { type: 'responder-retired', issuer: TAG, responder: 'beefbeef', use: 'nothing' },
    ]);
  });

  it('waits for whoever the store relays to (P2)', async () => {
    const { store } = await fresh();
    let heard = (): void => undefined;
    store.relay(() => new Promise((resolve) => (heard = resolve)));
    let done = false;
    const recording = store.replay([issued(1, 1)], 1).then(() => (done = true));
    await sleep(50);
    assert.equal(done, false);
    assert.equal((await store.lookup(TAG, serialOf(1))).kind, 'pending', 'others are not held up');
    heard();
    await recording;
  });

  it('answers many questions of one moment, each its own', async () => {
    const { store, linked } = await fresh();
    const changes = Array.from({ length: 1200 }, (_, n) => issued(n, 1));
    await store.replay(changes, 1);
    const found = await Promise.all(Array.from({ length: 2400 }, (_, n) => linked.lookup(TAG, serialOf(n))));
    assert.deepEqual(
      found.map((one) => (one.kind === 'unknown' ? one.kind : one.certificate.serial)),
      Array.from({ length: 2400 }, (_, n) => (n < 1200 ? serialOf(n) : 'unknown')),
    );
  });

  it('gives up what is not answered, refuses what is too much, and recovers', async () => {
    const { store, linked, hold } = await fresh();
    await store.replay([issued(1, 1)], 1);
    const release = hold();
    const lookups = Array.from({ length: 8192 }, () => linked.lookup(TAG, serialOf(1)));
    await assert.rejects(linked.lookup(TAG, serialOf(1)), { code: 'unavailable', message: /too many/ });
    // The store's own timer keeps no process alive.
    const alive = setInterval(() => undefined, 1000);
    const outcomes = await Promise.allSettled(lookups).finally(() => clearInterval(alive));
    assert.ok(outcomes.every((outcome) => outcome.status === 'rejected'));
    release();
    assert.equal((await linked.lookup(TAG, serialOf(1))).kind, 'pending');
  });

  it('says that a look-up failed over there, never that a certificate is unknown (P3)', async () => {
    const { store, linked } = await fresh();
    await store.replay([issued(1, 1)], 1);
    await store.close();
    await assert.rejects(linked.lookup(TAG, serialOf(1)), { code: 'unavailable' });
    await assert.rejects(linked.current(completeCrl(TAG)), { code: 'unavailable' });
  });

  it('reads the responder certificates as they are over there, and passes on what a client waits for', async () => {
    const { linked, asked } = await fresh();
    assert.deepEqual(await linked.responders(TAG), [Buffer.from('3000', 'hex')]);
    assert.deepEqual(await linked.retiredResponders(TAG), new Map([['c0ffee00', 'answers']]));
    linked.ask(TAG, serialOf(7));
    linked.ask(TAG, serialOf(8));
    await sleep(20);
    assert.deepEqual(asked, [TAG + serialOf(7), TAG + serialOf(8)]);
  });
});

describe('rows', () => {
  const instant = fc.integer({ min: Date.UTC(1950, 0), max: Date.UTC(9999, 11, 31) });
  const reason = fc.constantFrom(undefined, 'keyCompromise' as const, 'superseded' as const);
  const revocation = fc.option(fc.record({ revokedAt: instant, reason }, { noNullPrototype: true }), {
    nil: undefined,
  });
  const certificates: fc.Arbitrary<Certificate> = fc.record(
    {
      issuer: fc.constant(TAG),
      serial: fc.integer({ min: 0, max: 99 }).map(serialOf),
      revision: fc.integer({ min: 1 }),
      notBefore: fc.option(instant, { nil: undefined }),
      notAfter: fc.option(instant, { nil: undefined }),
      precertificate: fc.boolean(),
      crlShard: fc.option(fc.string(), { nil: undefined }),
      withoutOcsp: fc.boolean(),
      spkiHash: fc.option(fc.constant('0f'.repeat(16)), { nil: undefined }),
      revocation,
      recordedAt: instant,
      recordedSeq: fc.nat(),
    },
    { noNullPrototype: true },
  );
  const signature = fc.uint8Array({ maxLength: 512 }).map((octets) => Buffer.from(octets));

  it(`come out as they went in (seed ${SEED})`, () => {
    const lookups: fc.Arbitrary<Lookup> = fc.oneof(
      fc.constant({ kind: 'unknown' as const }),
      certificates.map((certificate) => ({ kind: 'pending' as const, certificate })),
      fc
        .tuple(certificates, revocation, instant, signature, signature)
        .map(([certificate, revoked, thisUpdate, sha1, sha256]) => ({
          kind: 'published' as const,
          certificate,
          response: response(certificate, thisUpdate, { revocation: revoked, signatures: { sha1, sha256 } }),
        })),
    );
    fc.assert(
      fc.property(lookups, fc.nat(), (found, id) => {
        const row = deserialize(serialize(foundRow(id, found))) as Exclude<
          FoundRow,
          readonly [number, 'failed', string]
        >;
        assert.equal(row[0], id);
        assert.deepEqual(lookupIn(row), found);
        if (found.kind !== 'unknown')
          assert.deepEqual(certificateIn(certificateRow(found.certificate)), found.certificate);
      }),
      { numRuns: 300, seed: SEED },
    );
  });
});

describe('sharePort', () => {
  it('refuses a port that somebody else listens on, and names it', async () => {
    const [port] = (await freePorts(1)) as [number];
    const other = createServer().listen(port, '127.0.0.1');
    try {
      for (const binds of [undefined, 'each'] as const)
        await assert.rejects(sharePort('listen.public', { host: '127.0.0.1', port }, binds), {
          code: 'config',
          field: 'listen.public',
          value: `127.0.0.1:${port}`,
          message: /in use by another process/,
        });
    } finally {
      other.close();
    }
  });

  it('takes a port that is given up a moment later, and a free one for 0', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    setTimeout(() => other.close(), 200);
    const shared = await sharePort('listen.public', { host: '127.0.0.1', port });
    assert.equal(shared.port, port);
    shared.release();
    const any = await sharePort('listen.origin', { host: '127.0.0.1', port: 0 }, 'each');
    assert.ok(any.port > 0 && any.handle === undefined);
  });

  it('says what is no address', async () => {
    await assert.rejects(sharePort('listen.public', { host: '192.0.2.1', port: 0 }), {
      code: 'config',
      field: 'listen.public',
    });
  });

  it('knows which Node can bind a port several times', () => {
    const can = ['20.20.2', '22.11.0', '22.12.0', '22.22.1', '23.0.0', '23.1.0', '24.0.0', '26.1.0'].filter(
      hasReusePort,
    );
    assert.deepEqual(can, ['22.12.0', '22.22.1', '23.1.0', '24.0.0', '26.1.0']);
  });
});
