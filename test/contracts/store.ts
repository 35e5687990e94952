/**
 * What every store adapter must do (ports/store.ts), run against the real thing: `storeContract('embedded', …)`. The queue,
 * the CRL shelf and random histories against a model are in the files beside this one; all of them run from here.
 */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LANES } from '../../src/core/certificate.ts';
import type { RevokedEntry } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import type { Change, QueueItem, Store, StoreEvent } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import { crlScopesContract } from './store-crl-scopes.ts';
import { crlShelfContract } from './store-crl-shelf.ts';
import { storeModel } from './store-model.ts';
import { queueContract } from './store-queue.ts';
import { respondersContract } from './store-responders.ts';
import {
  all,
  certificate,
  counted,
  found,
  inOrder,
  freshStores,
  issued,
  OTHER,
  refresh,
  response,
  revoked,
  serialOf,
  serials,
  settled,
  soon,
  TAG,
  type StoreUnderTest,
} from './store-records.ts';

export function storeContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const fresh = freshStores(begin);
  describe(`${adapter}: ledger`, () => {
    it('finds what was applied, field for field, and nothing of another issuer', async () => {
      const { store, reopen, under } = await fresh();
      const list: Change[] = [
        issued(1, 1),
        issued(2, 1, { notBefore: undefined, notAfter: undefined, precertificate: true }),
        issued(3, 1, { crlShard: 'http://crl.example/é', notAfter: Date.UTC(9999, 11, 31, 23, 59, 59) }),
        issued(4, 1, { crlShard: '', notBefore: Date.UTC(1950, 0, 1), notAfter: 0 }),
        revoked(5, 1, { revocation: { revokedAt: Date.UTC(1950, 0, 1), reason: undefined } }),
        revoked(6, 1, { revocation: { revokedAt: 0, reason: 'keyCompromise' }, issuer: OTHER }),
      ];
      await store.replay(list, 1);
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        for (const { certificate } of list) {
          const [one] = await each.find(certificate.issuer, [certificate.serial]);
          assert.deepEqual(one && counted(under, one), counted(under, certificate));
        }
        const others = await each.find(OTHER, [serialOf(1), serialOf(6), serialOf(1)]);
        assert.deepEqual(
          others.map((certificate) => certificate?.serial),
          [undefined, serialOf(6), undefined],
        );
        assert.deepEqual(
          (await inOrder(each.certificates(TAG))).map((certificate) => counted(under, certificate)),
          list.slice(0, 5).map((change) => counted(under, change.certificate)),
        );
        assert.deepEqual([...(await all(each.serials(TAG)))].sort(), [1, 2, 3, 4, 5].map(serialOf));
        assert.deepEqual(await all(each.serials(OTHER)), [serialOf(6)]);
        assert.equal(await each.appliedSeq(), 1);
      }
    });

    it('is not moved by a replay', async () => {
      const { store, reopen, under } = await fresh();
      const events: StoreEvent[] = [];
      const history: (readonly [Change[], number])[] = [
        [[issued(1, 3), issued(2, 3)], 3],
        [[revoked(1, 7)], 7],
        [[], 9],
      ];
      for (const [changes, seq] of history) await store.replay(changes, seq);
      const state = async (of: Store): Promise<unknown> => [
        await inOrder(of.certificates(TAG)),
        await all(of.revokedEntries(completeCrl(TAG)).pages),
        await of.appliedSeq(),
        LANES.map((lane) => [of.backlog(lane, NOW), of.oldestDue(lane)]),
      ];
      await soon(under, () => assert.equal(store.backlog('issue', NOW) + store.backlog('revocation', NOW), 3));
      await settled(store, 5);
      const before = await state(store);
      store.follow((event) => events.push(event));
      for (const [changes, seq] of [...history, ...history]) await store.replay(changes, seq);
      await settled(store, 5);
      assert.deepEqual(await state(store), before);
      assert.deepEqual(events, []);
      const again = await reopen();
      for (const [changes, seq] of history) await again.replay(changes, seq);
      await settled(again, 5);
      assert.deepEqual(await state(again), before);
    });

    it('takes several changes of one certificate in one call, in order', async () => {
      const { store, under } = await fresh();
      await store.replay([issued(1, 1)], 1);
      const held = revoked(1, 2, { revocation: { revokedAt: NOW, reason: 'certificateHold' } });
      const released: Change = { certificate: certificate(1, 3, { revision: 3 }), lane: 'revocation' };
      await store.replay([held, released], 3);
      assert.deepEqual(await all(store.revokedEntries(completeCrl(TAG)).pages), []);
      await soon(under, () => assert.equal(store.backlog('revocation', NOW), 1, 'one piece of work'));
      await store.replay([{ ...held, certificate: { ...held.certificate, recordedSeq: 4, revision: 4 } }], 4);
      await store.replay(
        [{ certificate: certificate(1, 5, { revision: 5 }), lane: 'revocation' }, revoked(1, 6, { revision: 6 })],
        6,
      );
      assert.deepEqual(serials(await all(store.revokedEntries(completeCrl(TAG)).pages)), [serialOf(1)]);
    });

    it('tells its followers each change once, in order', async () => {
      const { store, under } = await fresh();
      const told: string[] = [];
      store.follow((event) => told.push(event.type === 'recorded' ? `1 ${event.change.certificate.serial}` : '?'));
      store.follow((event) => told.push(event.type === 'recorded' ? `2 ${event.change.certificate.serial}` : '?'));
      await store.replay([issued(2, 1), issued(1, 1)], 1);
      const expected = [`1 ${serialOf(2)}`, `2 ${serialOf(2)}`, `1 ${serialOf(1)}`, `2 ${serialOf(1)}`];
      await soon(under, () => assert.deepEqual(told, expected));
    });
  });

  describe(`${adapter}: revoked entries`, () => {
    it('come in ascending order of serial octets, as of one instant', async () => {
      const { store, under } = await fresh();
      const numbers = Array.from({ length: 2500 }, (_, i) => (i * 7919) % 2500);
      await store.replay(
        numbers.map((n) => revoked(n, 5)),
        5,
      );
      const { asOfSeq, pages } = store.revokedEntries(completeCrl(TAG));
      const seen: Serial[] = [];
      let pagesSeen = 0;
      for await (const page of pages) {
        // Whatever comes while they are read is not in them; in a shared store it may be.
        if (pagesSeen < 3) {
          await store.replay([revoked(3000 + pagesSeen, 6 + pagesSeen)], 6 + pagesSeen);
          pagesSeen += 1;
        }
        seen.push(...serials(page));
      }
      assert.ok(pagesSeen > 1, 'more than one page');
      assert.deepEqual(
        under.shared ? seen.slice(0, 2500) : seen,
        Array.from({ length: 2500 }, (_, n) => serialOf(n)),
      );
      assert.deepEqual(seen, [...new Set(seen)].sort(), 'each once');
      const next = store.revokedEntries(completeCrl(TAG));
      const entries = await all(next.pages);
      assert.equal(entries.length, 2500 + pagesSeen);
      assert.equal((await next.asOfSeq) - (await asOfSeq), pagesSeen);
      assert.equal(Math.max(...entries.map(({ recordedSeq }) => recordedSeq)), await next.asOfSeq);
      assert.ok(entries.slice(0, 2500).every(({ recordedSeq }) => recordedSeq === entries[0]?.recordedSeq));
      if (!under.shared) assert.equal(await asOfSeq, 5);
    });

    it('carry what a CRL and its dropping rule need, and follow what is learnt (C-22)', async () => {
      const { store, under } = await fresh();
      const entries = async (): Promise<RevokedEntry[]> =>
        (await all(store.revokedEntries(completeCrl(TAG)).pages)).map((entry) => counted(under, entry));
      await store.replay([revoked(1, 1, { notAfter: undefined, recordedAt: NOW + 1 })], 1);
      const entry = { serial: serialOf(1), revokedAt: NOW, reason: 'superseded' } as const;
      assert.deepEqual(await entries(), [
        counted(under, { ...entry, notAfter: undefined, recordedAt: NOW + 1, recordedSeq: 1 }),
      ]);
      await store.replay([{ certificate: revoked(1, 2, { recordedAt: NOW + 2 }).certificate, lane: undefined }], 2);
      const notAfter = NOW + 90 * DAY;
      assert.deepEqual(await entries(), [counted(under, { ...entry, notAfter, recordedAt: NOW + 2, recordedSeq: 2 })]);
      assert.deepEqual(await all(store.revokedEntries(completeCrl(OTHER)).pages), []);
    });

    it('never end early when the store is closed: a CRL may not be built from half of them', async () => {
      const { store } = await fresh();
      const changes = Array.from({ length: 2500 }, (_, n) => revoked(n, 1));
      await store.replay(changes, 1);
      const { asOfSeq, pages } = store.revokedEntries(completeCrl(TAG));
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
      await assert.rejects(store.replay([issued(9000, 2)], 2));
    });
  });

  describe(`${adapter}: lookup and publish`, () => {
    it('answers by the recorded revision and no older one (P2, P3)', async () => {
      const { store, reopen, under } = await fresh();
      const [first, second] = [issued(1, 1), revoked(1, 2)];
      const of = async (each: Store): Promise<string> => {
        const one = await each.lookup(TAG, serialOf(1));
        return one.kind === 'published' ? `revision ${one.response.revision}` : one.kind;
      };
      assert.equal(await of(store), 'unknown');
      await store.replay([first], 1);
      assert.equal(await of(store), 'pending');
      const [item] = await store.takeDue('issue', NOW, 10);
      assert.ok(item);
      const good = response(first.certificate, NOW);
      assert.deepEqual(await store.publish([{ response: good, item }]), ['published']);
      assert.deepEqual(found(under, await store.lookup(TAG, serialOf(1))), {
        kind: 'published',
        certificate: counted(under, first.certificate),
        response: good,
      });
      await store.replay([second], 2);
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
      const unknown = response(certificate(9, 1), NOW);
      assert.deepEqual(await reopened.publish([{ response: unknown, item: refresh(9, NOW) }]), ['superseded']);
      assert.equal((await reopened.lookup(TAG, serialOf(9))).kind, 'unknown');
    });

    it('keeps an equal or older publication out, and the certificate in the queue', async () => {
      const { store } = await fresh();
      const { certificate } = issued(1, 1);
      await store.replay([{ certificate, lane: 'issue' }], 1);
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
      const last = await store.lookup(TAG, serialOf(1));
      // The clock of revocation-to-visible stops at the first answer of a revision.
      assert.equal(last.kind === 'published' && last.response.publishedAt, NOW + 5);
      assert.deepEqual(await store.takeDue('refresh', NOW + 9 * DAY, 9), [refresh(1, next.refreshAt)]);
    });

    it('takes two answers about one certificate in one call for what they are', async () => {
      const { store, under } = await fresh();
      const { certificate } = issued(1, 1);
      await store.replay([{ certificate, lane: 'issue' }], 1);
      const events: StoreEvent[] = [];
      store.follow((event) => event.type !== 'recorded' && events.push(event));
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
      if (under.shared) {
        const answered = { type: 'answered', issuer: TAG, serial: serialOf(1), revision: 1 } as const;
        await soon(under, () => assert.deepEqual(events, [answered]));
      } else {
        assert.deepEqual(
          events.map((event) => event.type === 'published' && event.previous?.thisUpdate),
          [undefined, NOW],
        );
        assert.equal(store.backlog('refresh', NOW + 2 * DAY), 2);
      }
      assert.deepEqual(await store.takeDue('refresh', NOW + 2 * DAY, 9), [refresh(1, NOW + SECOND + DAY)]);
      await soon(under, () => assert.equal(store.backlog('refresh', NOW + 2 * DAY), 1));
    });

    it('retires the answer of an expired certificate, and tells it once', async () => {
      const { store, under } = await fresh();
      const { certificate } = issued(1, 1);
      await store.replay([{ certificate, lane: 'issue' }], 1);
      const [item] = (await store.takeDue('issue', NOW, 1)) as [QueueItem];
      const answer = response(certificate, NOW);
      await store.publish([{ response: answer, item }]);
      const events: StoreEvent[] = [];
      store.follow((event) => events.push(event));
      const due = await store.takeDue('refresh', NOW + DAY, 1);
      await store.retire([...due, { ...item, lane: 'asked' }]);
      if (!under.shared) assert.deepEqual(events, [{ type: 'retired', previous: answer }]);
      assert.equal((await store.lookup(TAG, serialOf(1))).kind, 'pending');
      await soon(under, () =>
        assert.deepEqual([store.backlog('refresh', NOW + 9 * DAY), store.backlog('asked', NOW)], [0, 0]),
      );
    });
  });

  queueContract(adapter, begin);
  crlShelfContract(adapter, begin);
  crlScopesContract(adapter, begin);
  respondersContract(adapter, begin);
  storeModel(adapter, begin);
}
