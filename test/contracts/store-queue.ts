/** The queue of a store: who gets which item, when, and how often. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Certificate, Lane } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import type { Change, QueueItem, Store } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import {
  certificate,
  freshStores,
  issued,
  response,
  revoked,
  serialOf,
  serials,
  soon,
  TAG,
  type StoreUnderTest,
} from './store-records.ts';

export function queueContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const fresh = freshStores(begin);

  describe(`${adapter}: queue`, () => {
    const due = async (store: Store, lane: Lane, limit = 99, at = NOW): Promise<Serial[]> =>
      serials(await store.takeDue(lane, at, limit));

    it('hands out each item once, oldest first, when it is due', async () => {
      const { store, under } = await fresh();
      await store.replay(
        [issued(3, 1, { recordedAt: NOW - 1 }), issued(1, 1), issued(2, 1), issued(4, 1, { recordedAt: NOW + 1 })],
        1,
      );
      assert.deepEqual(await due(store, 'revocation'), []);
      assert.deepEqual(await due(store, 'issue', 0), []);
      assert.deepEqual(await due(store, 'issue', 2), [serialOf(3), serialOf(1)]);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2)]);
      assert.deepEqual(await due(store, 'issue'), []);
      assert.deepEqual(await due(store, 'issue', 9, NOW + 1), [serialOf(4)]);
      await soon(under, () => assert.equal(store.backlog('issue', NOW + SECOND), 4, 'leased items count'));
    });

    it('hands nothing out twice to callers at the same time', async () => {
      const { store } = await fresh();
      await store.replay(
        Array.from({ length: 500 }, (_, n) => issued(n, 1)),
        1,
      );
      const takes = await Promise.all(Array.from({ length: 20 }, () => due(store, 'issue', 30)));
      assert.equal(new Set(takes.flat()).size, 500);
      assert.equal(takes.flat().length, 500);
    });

    it('finds what is inserted before the place where it stopped', async () => {
      const { store } = await fresh();
      await store.replay([issued(5, 1)], 1);
      assert.deepEqual(await due(store, 'issue'), [serialOf(5)]);
      await store.replay([issued(1, 2), issued(2, 2, { recordedAt: NOW - HOUR })], 2);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2), serialOf(1)]);
    });

    it('loses nothing that is inserted while others take', async () => {
      const { store, under } = await fresh();
      const taken: Serial[] = [];
      // Of a shared store each is some round trips.
      const total = under.shared ? 600 : 3000;
      let seq = 0;
      const insert = async (lane: number): Promise<void> => {
        for (let n = lane; n < total; n += 4) await store.replay([issued((n * 1699) % total, ++seq)], seq);
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
      await soon(under, () => assert.equal(store.backlog('issue', NOW), total));
    });

    it('gives back what was postponed and forgets what was dropped', async () => {
      const { store, reopen, under } = await fresh();
      await store.replay([issued(1, 1), issued(2, 1), issued(3, 1)], 1);
      const [first, second, third] = (await store.takeDue('issue', NOW, 3)) as [QueueItem, QueueItem, QueueItem];
      await store.postpone([first], NOW + MINUTE);
      await store.postpone([second], NOW);
      await store.drop([third]);
      assert.deepEqual(await due(store, 'issue'), [serialOf(2)]);
      assert.deepEqual(await due(store, 'issue', 9, NOW + MINUTE), [serialOf(1)]);
      await soon(under, () => assert.equal(store.backlog('issue', NOW + MINUTE), 2));
      const reopened = await reopen();
      assert.deepEqual(await due(reopened, 'issue', 9, NOW + MINUTE), [serialOf(2), serialOf(1)], 'leases died');
      await reopened.postpone([], NOW);
      await reopened.drop([]);
      await reopened.retire([]);
    });

    for (const lane of ['revocation', 'mass'] as const) itKeepsWhatComesAgain(lane);

    function itKeepsWhatComesAgain(lane: Lane): void {
      it(`keeps an item of the ${lane} lane that is inserted again while it is leased`, () => comesAgain(lane));
    }

    async function comesAgain(lane: Lane): Promise<void> {
      for (const end of ['drop', 'publish', 'postpone'] as const) {
        const { store, under } = await fresh();
        await store.replay([{ ...revoked(1, 1), lane }], 1);
        const [item] = (await store.takeDue(lane, NOW, 1)) as [QueueItem];
        // The next revision in the same millisecond: the same lane, the same due time.
        await store.replay([{ ...revoked(1, 2, { revision: 3 }), lane }], 2);
        assert.deepEqual(await due(store, lane), [], 'not twice at once');
        if (end === 'drop') await store.drop([item]);
        else if (end === 'postpone') await store.postpone([item], NOW);
        else {
          const answer = { response: response(revoked(1, 1).certificate, NOW), item };
          assert.deepEqual(await store.publish([answer]), ['superseded']);
        }
        await soon(under, () => assert.equal(store.backlog(lane, NOW), 1, end));
        assert.deepEqual(await due(store, lane), [serialOf(1)], end);
      }
    }

    it('keeps a refresh item that is inserted again while it is leased, due since before (P4)', async () => {
      for (const end of ['drop', 'retire', 'postpone', 'publish'] as const) {
        const { store, under } = await fresh();
        const imported = (seq: number, change: Partial<Certificate>): Change => ({
          certificate: certificate(1, seq, change),
          lane: 'refresh',
        });
        await store.replay([imported(1, {})], 1);
        const [item] = (await store.takeDue('refresh', NOW, 1)) as [QueueItem];
        // What a later import learns: it is recorded later, and the item is still due since the first.
        const learnt = imported(2, { recordedAt: NOW + 1, notAfter: NOW + DAY, revision: 2 });
        await store.replay([learnt], 2);
        if (end === 'drop') await store.drop([item]);
        else if (end === 'retire') await store.retire([item]);
        else if (end === 'postpone') await store.postpone([item], NOW + DAY);
        else {
          const answer = { response: response(imported(1, {}).certificate, NOW), item };
          assert.deepEqual(await store.publish([answer]), ['superseded']);
        }
        assert.deepEqual(await due(store, 'refresh', 9, NOW + 1), [serialOf(1)], end);
        await soon(under, () => assert.ok(store.backlog('refresh', NOW + MINUTE) >= 1, end));
      }
    });

    it('keeps revocations by the hundred thousand apart from single ones', async () => {
      const { store, reopen, under } = await fresh();
      const many = Array.from({ length: 200 }, (_, n) => ({
        ...revoked(n, 1, { recordedAt: NOW - MINUTE }),
        lane: 'mass' as const,
      }));
      await store.replay(many, 1);
      await store.replay([revoked(5000, 2)], 2);
      await soon(under, () => {
        assert.deepEqual([store.backlog('mass', NOW), store.backlog('revocation', NOW)], [200, 1]);
        assert.deepEqual([store.oldestDue('mass'), store.oldestDue('revocation')], [NOW - MINUTE, NOW]);
      });
      assert.deepEqual(await due(store, 'mass', 99, NOW - MINUTE - 1), []);
      const first = await store.takeDue('mass', NOW, 20);
      assert.deepEqual(
        serials(first),
        many.slice(0, 20).map(({ certificate }) => certificate.serial),
      );
      assert.deepEqual(await due(store, 'revocation'), [serialOf(5000)]);
      const answers = first.slice(0, 18).map((item, i) => ({
        item,
        response: response((many[i] as (typeof many)[number]).certificate, NOW),
      }));
      assert.ok((await store.publish(answers)).every((outcome) => outcome === 'published'));
      await store.postpone(first.slice(18, 19), NOW + HOUR);
      // One of them is revoked again, by itself, for a worse reason: it does not wait behind the others.
      const worse = { revokedAt: NOW, reason: 'keyCompromise' } as const;
      await store.replay([revoked(150, 3, { revision: 3, revocation: worse })], 3);
      assert.deepEqual(await due(store, 'revocation'), [serialOf(150)]);
      await soon(under, () => assert.equal(store.backlog('mass', NOW), 181));
      const reopened = await reopen();
      const rest = await due(reopened, 'mass', 9999);
      assert.deepEqual(
        rest,
        many.slice(19).map(({ certificate }) => certificate.serial),
        'leases died',
      );
      assert.deepEqual(await due(reopened, 'mass', 9, NOW + HOUR), [serialOf(18)]);
      assert.equal((await reopened.takeDue('refresh', NOW + DAY, 9999)).length, 18);
    });

    it('lets entries vanish that a later answer has overtaken, and hands out what lies behind them', async () => {
      const { store, under } = await fresh();
      const changes = Array.from({ length: 20 }, (_, n) => issued(n, 1));
      await store.replay(changes, 1);
      const asked = changes.slice(0, 19).map(({ certificate }) => ({
        response: response(certificate, NOW),
        item: { issuer: TAG, serial: certificate.serial, lane: 'asked', dueAt: NOW } satisfies QueueItem,
      }));
      assert.ok((await store.publish(asked)).every((outcome) => outcome === 'published'));
      await soon(under, () => assert.equal(store.backlog('issue', NOW), 20));
      assert.deepEqual(await due(store, 'issue', 5), [serialOf(19)]);
      await soon(under, () => assert.equal(store.backlog('issue', NOW), 1));
      assert.equal((await store.takeDue('refresh', NOW + DAY, 99)).length, 19);
    });
  });
}
