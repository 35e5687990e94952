/**
 * What every store adapter must do (ports/store.ts), run against the real thing: `storeContract('embedded', …)`. Random
 * histories against a model are in store-model.ts.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import {
  LANES,
  type Certificate,
  type CrlRecord,
  type IssuerTag,
  type Lane,
  type PublishedResponse,
} from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import type { Change, QueueItem, Store, StoreEvent } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';

/** One store that can be closed and opened again with what it holds. */
export interface StoreUnderTest {
  open(): Promise<Store>;
  /** Changes the archived bytes of a CRL behind the store's back. */
  tamper(record: CrlRecord): Promise<void>;
}

export const TAG = 'a1b2c3d4' as IssuerTag;
export const OTHER = 'ffffffff' as IssuerTag;
export const serialOf = (n: number): Serial => `4f${n.toString(16).padStart(6, '0')}` as Serial;

export function certificate(n: number, seq: number, change: Partial<Certificate> = {}): Certificate {
  return {
    issuer: TAG,
    serial: serialOf(n),
    revision: 1,
    notBefore: NOW - DAY,
    notAfter: NOW + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    revocation: undefined,
    recordedAt: NOW,
    recordedSeq: seq,
    ...change,
  };
}

export function response(
  of: Certificate,
  thisUpdate: number,
  change: Partial<PublishedResponse> = {},
): PublishedResponse {
  return {
    issuer: of.issuer,
    serial: of.serial,
    revision: of.revision,
    revocation: of.revocation,
    thisUpdate,
    nextUpdate: thisUpdate + 4 * DAY - SECOND,
    refreshAt: thisUpdate + DAY,
    publishedAt: thisUpdate + 5,
    responder: 'c0ffee00',
    signatures: { sha1: Buffer.alloc(71, of.revision), sha256: Buffer.alloc(70, thisUpdate % 251) },
    ...change,
  };
}

export async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

const issued = (n: number, seq: number, change: Partial<Certificate> = {}): Change => ({
  certificate: certificate(n, seq, change),
  lane: 'issue',
});
const revoked = (n: number, seq: number, change: Partial<Certificate> = {}): Change => ({
  certificate: certificate(n, seq, { revision: 2, revocation: { revokedAt: NOW, reason: 'superseded' }, ...change }),
  lane: 'revocation',
});
const refresh = (n: number, dueAt: number): QueueItem => ({ issuer: TAG, serial: serialOf(n), lane: 'refresh', dueAt });
const serials = (items: readonly { readonly serial: Serial }[]): Serial[] => items.map(({ serial }) => serial);

export function storeContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const opened: Store[] = [];
  after(() => Promise.all(opened.map((store) => store.close().catch(() => undefined))));
  async function fresh(): Promise<{ store: Store; reopen: () => Promise<Store>; under: StoreUnderTest }> {
    const under = await begin();
    const open = async (): Promise<Store> => {
      const store = await under.open();
      opened.push(store);
      return store;
    };
    let store = await open();
    const reopen = async (): Promise<Store> => {
      await store.close();
      return (store = await open());
    };
    return { store, reopen, under };
  }

  describe(`${adapter}: ledger`, () => {
    it('finds what was applied, field for field, and nothing of another issuer', async () => {
      const { store, reopen } = await fresh();
      const list: Change[] = [
        issued(1, 1),
        issued(2, 1, { notBefore: undefined, notAfter: undefined, precertificate: true }),
        issued(3, 1, { crlShard: 'http://crl.example/é', notAfter: Date.UTC(9999, 11, 31, 23, 59, 59) }),
        issued(4, 1, { crlShard: '', notBefore: Date.UTC(1950, 0, 1), notAfter: 0 }),
        revoked(5, 1, { revocation: { revokedAt: Date.UTC(1950, 0, 1), reason: undefined } }),
        revoked(6, 1, { revocation: { revokedAt: 0, reason: 'keyCompromise' }, issuer: OTHER }),
      ];
      await store.apply(list, 1);
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        for (const { certificate } of list) {
          assert.deepEqual(await each.find(certificate.issuer, [certificate.serial]), [certificate]);
        }
        assert.deepEqual(await each.find(OTHER, [serialOf(1), serialOf(6), serialOf(1)]), [
          undefined,
          list[5]?.certificate,
          undefined,
        ]);
        assert.deepEqual(
          await all(each.certificates(TAG)),
          list.slice(0, 5).map((change) => change.certificate),
        );
        assert.equal(await each.appliedSeq(), 1);
      }
    });

    it('is not moved by a replay', async () => {
      const { store, reopen } = await fresh();
      const events: StoreEvent[] = [];
      const history: (readonly [Change[], number])[] = [
        [[issued(1, 3), issued(2, 3)], 3],
        [[revoked(1, 7)], 7],
        [[], 9],
      ];
      for (const [changes, seq] of history) await store.apply(changes, seq);
      const state = async (of: Store): Promise<unknown> => [
        await all(of.certificates(TAG)),
        await all(of.revokedEntries(TAG).pages),
        await of.appliedSeq(),
        LANES.map((lane) => [of.backlog(lane, NOW), of.oldestDue(lane)]),
      ];
      const before = await state(store);
      store.follow((event) => events.push(event));
      for (const [changes, seq] of [...history, ...history]) await store.apply(changes, seq);
      assert.deepEqual(await state(store), before);
      assert.deepEqual(events, []);
      const again = await reopen();
      for (const [changes, seq] of history) await again.apply(changes, seq);
      await settled(again);
      assert.deepEqual(await state(again), before);
    });

    it('takes several changes of one certificate in one call, in order', async () => {
      const { store } = await fresh();
      await store.apply([issued(1, 1)], 1);
      const held = revoked(1, 2, { revocation: { revokedAt: NOW, reason: 'certificateHold' } });
      const released: Change = { certificate: certificate(1, 3, { revision: 3 }), lane: 'revocation' };
      await store.apply([held, released], 3);
      assert.deepEqual(await all(store.revokedEntries(TAG).pages), []);
      assert.equal(store.backlog('revocation', NOW), 1, 'one piece of work');
      await store.apply([{ ...held, certificate: { ...held.certificate, recordedSeq: 4, revision: 4 } }], 4);
      await store.apply(
        [{ certificate: certificate(1, 5, { revision: 5 }), lane: 'revocation' }, revoked(1, 6, { revision: 6 })],
        6,
      );
      assert.deepEqual(serials(await all(store.revokedEntries(TAG).pages)), [serialOf(1)]);
    });

    it('tells its followers each change once, in order', async () => {
      const { store } = await fresh();
      const told: string[] = [];
      store.follow((event) => told.push(event.type === 'recorded' ? `1 ${event.change.certificate.serial}` : '?'));
      store.follow((event) => told.push(event.type === 'recorded' ? `2 ${event.change.certificate.serial}` : '?'));
      await store.apply([issued(2, 1), issued(1, 1)], 1);
      assert.deepEqual(told, [`1 ${serialOf(2)}`, `2 ${serialOf(2)}`, `1 ${serialOf(1)}`, `2 ${serialOf(1)}`]);
    });
  });

  describe(`${adapter}: revoked entries`, () => {
    it('come in ascending order of serial octets, as of one instant', async () => {
      const { store } = await fresh();
      const numbers = Array.from({ length: 2500 }, (_, i) => (i * 7919) % 2500);
      await store.apply(
        numbers.map((n) => revoked(n, 5)),
        5,
      );
      const { asOfSeq, pages } = store.revokedEntries(TAG);
      const seen: Serial[] = [];
      let pagesSeen = 0;
      for await (const page of pages) {
        // Whatever comes while they are read is not in them.
        await store.apply([revoked(3000 + pagesSeen, 6 + pagesSeen)], 6 + pagesSeen);
        pagesSeen += 1;
        seen.push(...serials(page));
      }
      assert.ok(pagesSeen > 1, 'more than one page');
      assert.deepEqual(
        seen,
        Array.from({ length: 2500 }, (_, n) => serialOf(n)),
      );
      assert.equal(await asOfSeq, 5);
      const next = store.revokedEntries(TAG);
      assert.equal((await all(next.pages)).length, 2500 + pagesSeen);
      assert.equal(await next.asOfSeq, 5 + pagesSeen);
    });

    it('carry what a CRL and its dropping rule need, and follow what is learnt (C-22)', async () => {
      const { store } = await fresh();
      await store.apply([revoked(1, 1, { notAfter: undefined, recordedAt: NOW + 1 })], 1);
      const entry = { serial: serialOf(1), revokedAt: NOW, reason: 'superseded' } as const;
      assert.deepEqual(await all(store.revokedEntries(TAG).pages), [
        { ...entry, notAfter: undefined, recordedAt: NOW + 1 },
      ]);
      await store.apply([{ certificate: revoked(1, 2, { recordedAt: NOW + 2 }).certificate, lane: undefined }], 2);
      const notAfter = NOW + 90 * DAY;
      assert.deepEqual(await all(store.revokedEntries(TAG).pages), [{ ...entry, notAfter, recordedAt: NOW + 2 }]);
      assert.deepEqual(await all(store.revokedEntries(OTHER).pages), []);
    });

    it('never end early when the store is closed: a CRL may not be built from half of them', async () => {
      const { store } = await fresh();
      const changes = Array.from({ length: 2500 }, (_, n) => revoked(n, 1));
      await store.apply(changes, 1);
      const { asOfSeq, pages } = store.revokedEntries(TAG);
      const reading = (async () => {
        let count = 0;
        for await (const page of pages) {
          if (count === 0) await store.close();
          count += page.length;
        }
        return count;
      })();
      await assert.rejects(reading);
      await asOfSeq;
      await assert.rejects(store.apply([issued(9000, 2)], 2));
    });
  });

  describe(`${adapter}: lookup and publish`, () => {
    it('answers by the recorded revision and no older one (P2, P3)', async () => {
      const { store, reopen } = await fresh();
      const [first, second] = [issued(1, 1), revoked(1, 2)];
      const of = async (each: Store): Promise<string> => {
        const found = await each.lookup(TAG, serialOf(1));
        return found.kind === 'published' ? `revision ${found.response.revision}` : found.kind;
      };
      assert.equal(await of(store), 'unknown');
      await store.apply([first], 1);
      assert.equal(await of(store), 'pending');
      const [item] = await store.takeDue('issue', NOW, 10);
      assert.ok(item);
      const good = response(first.certificate, NOW);
      assert.deepEqual(await store.publish([{ response: good, item }]), ['published']);
      assert.deepEqual(await store.lookup(TAG, serialOf(1)), {
        kind: 'published',
        certificate: first.certificate,
        response: good,
      });
      await store.apply([second], 2);
      assert.equal(await of(store), 'pending');
      const [due] = await store.takeDue('refresh', NOW + DAY, 10);
      assert.ok(due);
      const late = response(first.certificate, NOW + DAY);
      assert.deepEqual(await store.publish([{ response: late, item: due }]), ['superseded']);
      const reopened = await reopen();
      assert.equal(await of(reopened), 'pending');
      const [again] = await reopened.takeDue('revocation', NOW + DAY, 10);
      assert.ok(again, 'the newer work is still there');
      const answer = { response: response(second.certificate, NOW + SECOND), item: again };
      assert.deepEqual(await reopened.publish([answer]), ['published']);
      assert.equal(await of(reopened), 'revision 2');
      assert.deepEqual(await reopened.publish([{ response: late, item: due }]), ['superseded']);
      assert.equal(await of(reopened), 'revision 2');
      assert.equal((await reopened.lookup(OTHER, serialOf(1))).kind, 'unknown');
      assert.deepEqual(await all(reopened.published()), [answer.response]);
      const unknown = response(certificate(9, 1), NOW);
      assert.deepEqual(await reopened.publish([{ response: unknown, item: refresh(9, NOW) }]), ['superseded']);
      assert.equal((await reopened.lookup(TAG, serialOf(9))).kind, 'unknown');
    });

    it('keeps an equal or older publication out, and the certificate in the queue', async () => {
      const { store } = await fresh();
      const { certificate } = issued(1, 1);
      await store.apply([{ certificate, lane: 'issue' }], 1);
      const [item] = await store.takeDue('issue', NOW, 1);
      await store.publish([{ response: response(certificate, NOW), item: item as QueueItem }]);
      const [due] = (await store.takeDue('refresh', NOW + DAY, 1)) as [QueueItem];
      assert.deepEqual(due, refresh(1, NOW + DAY));
      for (const thisUpdate of [NOW, NOW - HOUR]) {
        const older = response(certificate, thisUpdate, { publishedAt: NOW + 999 });
        assert.deepEqual(await store.publish([{ response: older, item: due }]), ['older']);
        assert.deepEqual(await store.takeDue('refresh', NOW + 2 * DAY, 1), [], 'still leased');
      }
      await store.postpone([due], NOW + DAY + MINUTE);
      assert.deepEqual(await store.takeDue('refresh', NOW + DAY, 1), []);
      const [later] = (await store.takeDue('refresh', NOW + DAY + MINUTE, 1)) as [QueueItem];
      const next = response(certificate, NOW + DAY + MINUTE, { publishedAt: NOW + 2 * DAY });
      assert.deepEqual(await store.publish([{ response: next, item: later }]), ['published']);
      const found = await store.lookup(TAG, serialOf(1));
      // The clock of revocation-to-visible stops at the first answer of a revision.
      assert.equal(found.kind === 'published' && found.response.publishedAt, NOW + 5);
      assert.deepEqual(await store.takeDue('refresh', NOW + 9 * DAY, 9), [refresh(1, next.refreshAt)]);
    });

    it('takes two answers about one certificate in one call for what they are', async () => {
      const { store } = await fresh();
      const { certificate } = issued(1, 1);
      await store.apply([{ certificate, lane: 'issue' }], 1);
      const events: StoreEvent[] = [];
      store.follow((event) => events.push(event));
      const [item] = (await store.takeDue('issue', NOW, 1)) as [QueueItem];
      const asked: QueueItem = { ...item, lane: 'asked', dueAt: NOW + 1 };
      const answer = response(certificate, NOW);
      assert.deepEqual(
        await store.publish([
          { response: answer, item },
          { response: answer, item: asked },
          { response: response(certificate, NOW + SECOND), item: asked },
        ]),
        ['published', 'older', 'published'],
      );
      assert.deepEqual(
        events.map((event) => event.type === 'published' && event.previous?.thisUpdate),
        [undefined, NOW],
      );
      assert.equal(store.backlog('refresh', NOW + 2 * DAY), 2);
      assert.deepEqual(await store.takeDue('refresh', NOW + 2 * DAY, 9), [refresh(1, NOW + SECOND + DAY)]);
      assert.equal(store.backlog('refresh', NOW + 2 * DAY), 1);
    });

    it('retires the answer of an expired certificate, and tells it once', async () => {
      const { store } = await fresh();
      const { certificate } = issued(1, 1);
      await store.apply([{ certificate, lane: 'issue' }], 1);
      const [item] = (await store.takeDue('issue', NOW, 1)) as [QueueItem];
      const answer = response(certificate, NOW);
      await store.publish([{ response: answer, item }]);
      const events: StoreEvent[] = [];
      store.follow((event) => events.push(event));
      const due = await store.takeDue('refresh', NOW + DAY, 1);
      await store.retire([...due, { ...item, lane: 'asked' }]);
      assert.deepEqual(events, [{ type: 'retired', previous: answer }]);
      assert.equal((await store.lookup(TAG, serialOf(1))).kind, 'pending');
      assert.deepEqual([store.backlog('refresh', NOW + 9 * DAY), store.backlog('asked', NOW)], [0, 0]);
      assert.deepEqual(await all(store.published()), []);
    });
  });

  describe(`${adapter}: queue`, () => {
    const due = async (store: Store, lane: Lane, limit = 99, at = NOW): Promise<Serial[]> =>
      serials(await store.takeDue(lane, at, limit));

    it('hands out each item once, oldest first, when it is due', async () => {
      const { store } = await fresh();
      await store.apply(
        [issued(3, 1, { recordedAt: NOW - 1 }), issued(1, 1), issued(2, 1), issued(4, 1, { recordedAt: NOW + 1 })],
        1,
      );
      assert.deepEqual(await due(store, 'revocation'), []);
      assert.deepEqual(await due(store, 'issue', 0), []);
      assert.deepEqual(await due(store, 'issue', 2), [serialOf(3), serialOf(1)]);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2)]);
      assert.deepEqual(await due(store, 'issue'), []);
      assert.deepEqual(await due(store, 'issue', 9, NOW + 1), [serialOf(4)]);
      assert.equal(store.backlog('issue', NOW + SECOND), 4, 'leased items count');
    });

    it('hands nothing out twice to callers at the same time', async () => {
      const { store } = await fresh();
      await store.apply(
        Array.from({ length: 500 }, (_, n) => issued(n, 1)),
        1,
      );
      const takes = await Promise.all(Array.from({ length: 20 }, () => due(store, 'issue', 30)));
      assert.equal(new Set(takes.flat()).size, 500);
      assert.equal(takes.flat().length, 500);
    });

    it('finds what is inserted before the place where it stopped', async () => {
      const { store } = await fresh();
      await store.apply([issued(5, 1)], 1);
      assert.deepEqual(await due(store, 'issue'), [serialOf(5)]);
      await store.apply([issued(1, 2), issued(2, 2, { recordedAt: NOW - HOUR })], 2);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2), serialOf(1)]);
    });

    it('loses nothing that is inserted while others take', async () => {
      const { store } = await fresh();
      const taken: Serial[] = [];
      const total = 3000;
      let seq = 0;
      const insert = async (lane: number): Promise<void> => {
        for (let n = lane; n < total; n += 4) await store.apply([issued((n * 1699) % total, ++seq)], seq);
      };
      let inserting = true;
      const take = async (): Promise<void> => {
        while (inserting) taken.push(...(await due(store, 'issue', 7)));
      };
      const takers = [take(), take()];
      await Promise.all([0, 1, 2, 3].map(insert));
      inserting = false;
      await Promise.all(takers);
      taken.push(...(await due(store, 'issue', total)));
      assert.equal(taken.length, total);
      assert.equal(new Set(taken).size, total);
      assert.equal(store.backlog('issue', NOW), total);
    });

    it('gives back what was postponed and forgets what was dropped', async () => {
      const { store, reopen } = await fresh();
      await store.apply([issued(1, 1), issued(2, 1), issued(3, 1)], 1);
      const [first, second, third] = (await store.takeDue('issue', NOW, 3)) as [QueueItem, QueueItem, QueueItem];
      await store.postpone([first], NOW + MINUTE);
      await store.postpone([second], NOW);
      await store.drop([third]);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2)]);
      assert.deepEqual(await due(store, 'issue', 9, NOW + MINUTE), [serialOf(1)]);
      assert.equal(store.backlog('issue', NOW + MINUTE), 2);
      const reopened = await reopen();
      assert.deepEqual(await due(reopened, 'issue', 9, NOW + MINUTE), [serialOf(2), serialOf(1)], 'leases died');
      await reopened.postpone([], NOW);
      await reopened.drop([]);
      await reopened.retire([]);
    });

    it('keeps an item that is inserted again while it is leased', async () => {
      for (const end of ['drop', 'publish', 'postpone'] as const) {
        const { store } = await fresh();
        await store.apply([revoked(1, 1)], 1);
        const [item] = (await store.takeDue('revocation', NOW, 1)) as [QueueItem];
        // The next revision in the same millisecond: the same lane, the same due time.
        await store.apply([revoked(1, 2, { revision: 3 })], 2);
        assert.deepEqual(await due(store, 'revocation'), [], 'not twice at once');
        if (end === 'drop') await store.drop([item]);
        else if (end === 'postpone') await store.postpone([item], NOW);
        else {
          const answer = { response: response(revoked(1, 1).certificate, NOW), item };
          assert.deepEqual(await store.publish([answer]), ['superseded']);
        }
        assert.equal(store.backlog('revocation', NOW), 1, end);
        assert.deepEqual(await due(store, 'revocation'), [serialOf(1)], end);
      }
    });

    it('lets entries vanish that a later answer has overtaken, and hands out what lies behind them', async () => {
      const { store } = await fresh();
      const changes = Array.from({ length: 20 }, (_, n) => issued(n, 1));
      await store.apply(changes, 1);
      const asked = changes.slice(0, 19).map(({ certificate }) => ({
        response: response(certificate, NOW),
        item: { issuer: TAG, serial: certificate.serial, lane: 'asked', dueAt: NOW } satisfies QueueItem,
      }));
      assert.ok((await store.publish(asked)).every((outcome) => outcome === 'published'));
      assert.equal(store.backlog('issue', NOW), 20);
      assert.deepEqual(await due(store, 'issue', 5), [serialOf(19)]);
      assert.equal(store.backlog('issue', NOW), 1);
      assert.equal((await store.takeDue('refresh', NOW + DAY, 99)).length, 19);
    });
  });

  describe(`${adapter}: CRL shelf`, () => {
    const crl = (number: bigint, der: Buffer): CrlRecord => ({
      issuer: TAG,
      number,
      thisUpdate: NOW,
      nextUpdate: NOW + 7 * DAY,
      publishedAt: NOW + 5,
      kind: 'scheduled',
      scheduledAt: NOW,
      entries: 0,
      bytes: der.length,
      sha256: createHash('sha256').update(der).digest('hex'),
      asOfSeq: 0,
    });
    const bytes = (text: string): { der: Buffer } => ({ der: Buffer.from(text) });

    it('reserves numbers that only grow, whatever happens (C-10, T-34)', async () => {
      const { store, reopen } = await fresh();
      assert.equal(await store.reserveNumber(TAG, 0n), 1n);
      assert.equal(await store.reserveNumber(TAG, 1n), 2n);
      const big = 2n ** 150n;
      assert.equal(await store.reserveNumber(TAG, big), big);
      assert.equal(await store.reserveNumber(TAG, 5n), big + 1n);
      assert.equal(await store.reserveNumber(OTHER, 7n), 7n);
      const many = await Promise.all(Array.from({ length: 50 }, () => store.reserveNumber(TAG, 0n)));
      assert.equal(new Set(many).size, 50);
      const reopened = await reopen();
      const last = many.reduce((a, b) => (a > b ? a : b));
      assert.equal(await reopened.reserveNumber(TAG, 0n), last + 1n);
    });

    it('publishes by compare-and-swap, keeps every CRL, and lists the newest first', async () => {
      const { store, reopen } = await fresh();
      const told: bigint[] = [];
      store.follow((event) => event.type === 'crl' && told.push(event.record.number));
      const publish = (number: bigint, previous?: bigint): Promise<boolean> => {
        const { der } = bytes(`crl ${number}`);
        return store.publishCrl(crl(number, der), der, previous);
      };
      assert.equal(await store.current(TAG), undefined);
      assert.equal(await publish(9n, 5n), false);
      assert.equal(await publish(9n), true);
      assert.equal(await publish(300n), false);
      assert.equal(await publish(300n, 9n), true);
      assert.equal(await publish(299n, 300n), false, 'numbers only grow');
      assert.equal(await publish(300n, 300n), false);
      const both = await Promise.all([publish(301n, 300n), publish(302n, 300n)]);
      assert.deepEqual(both, [true, false]);
      assert.deepEqual(told, [9n, 300n, 301n]);
      const reopened = await reopen();
      assert.equal((await reopened.current(TAG))?.number, 301n);
      const listed: CrlRecord[] = [];
      for await (const record of reopened.list(TAG)) listed.push(record);
      assert.deepEqual(
        listed.map(({ number }) => number),
        [301n, 300n, 9n],
      );
      for (const record of listed) assert.equal(String(await reopened.body(record)), `crl ${record.number}`);
      assert.deepEqual(listed[2], crl(9n, bytes('crl 9').der));
      assert.equal(await reopened.current(OTHER), undefined);
    });

    it('notices a CRL in the archive that is not the one published (CT-5.5.1-3)', async () => {
      const { store, under } = await fresh();
      const { der } = bytes('crl 1');
      const record = crl(1n, der);
      await store.publishCrl(record, der, undefined);
      await under.tamper(record);
      await assert.rejects(store.body(record), { code: 'corrupt', value: 'number 1' });
      await assert.rejects(store.body({ ...record, number: 2n }), { code: 'corrupt', value: 'number 2' });
    });
  });
}

/** Counting what a store held when it was opened may go on in the background. */
export async function settled(store: Store): Promise<void> {
  for (let last = ''; ;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = JSON.stringify(LANES.map((lane) => [store.backlog(lane, Infinity), store.oldestDue(lane)]));
    if (now === last) return;
    last = now;
  }
}
