/** What a store does when responder certificates come and go. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import type { PublishedResponse } from '../../src/core/certificate.ts';
import type { QueueItem, Store, StoreEvent } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import {
  freshStores,
  issued,
  OTHER,
  refresh,
  response,
  serialOf,
  serials,
  soon,
  TAG,
  type StoreUnderTest,
} from './store-records.ts';

const OLD = 'c0ffee00';
const NEW = 'beefbeef';

export function respondersContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const fresh = freshStores(begin);

  /** Published at NOW, due a day later; those below `old` by one responder, the rest by another. */
  async function published(store: Store, count: number, old: number): Promise<void> {
    const changes = Array.from({ length: count }, (_, n) => issued(n, 1));
    await store.replay(changes, 1);
    const items = await store.takeDue('issue', NOW, count);
    const answers = changes.map(({ certificate }, n) => ({
      response: response(certificate, NOW, { responder: n < old ? OLD : NEW }),
      item: items.find(({ serial }) => serial === certificate.serial) as QueueItem,
    }));
    assert.ok((await store.publish(answers)).every((outcome) => outcome === 'published'));
  }

  describe(`${adapter}: refreshAll`, () => {
    it('makes the answers of one responder due, and no others', async () => {
      const { store } = await fresh();
      await published(store, 2500, 1200);
      const other = issued(1, 2, { issuer: OTHER });
      await store.replay([other], 2);
      const [item] = (await store.takeDue('issue', NOW, 1)) as [QueueItem];
      await store.publish([{ response: response(other.certificate, NOW), item }]);
      assert.deepEqual(await store.takeDue('refresh', NOW + HOUR, 9999), []);
      assert.equal(await store.refreshAll(TAG, OLD, NOW + HOUR), 1200);
      const due = await store.takeDue('refresh', NOW + HOUR, 9999);
      assert.deepEqual(serials(due).sort(), Array.from({ length: 1200 }, (_, n) => serialOf(n)).sort());
      assert.ok(due.every(({ issuer, dueAt }) => issuer === TAG && dueAt <= NOW + HOUR));
    });

    it('makes all of them due when no responder is named, and leaves what is due earlier', async () => {
      const { store } = await fresh();
      await published(store, 3, 1);
      assert.equal(await store.refreshAll(TAG, undefined, NOW + 2 * DAY), 3);
      assert.equal((await store.takeDue('refresh', NOW + DAY, 9)).length, 3, 'due as before');
      assert.equal(await store.refreshAll(TAG, 'aaaaaaaa', NOW), 0);
      assert.equal(await store.refreshAll(OTHER, undefined, NOW), 0);
    });

    it('hands each out once, and what takes its place is not due twice', async () => {
      const { store, reopen } = await fresh();
      await published(store, 2, 2);
      for (let again = 0; again < 2; again++) assert.equal(await store.refreshAll(TAG, OLD, NOW + HOUR), 2);
      const due = await store.takeDue('refresh', NOW + HOUR, 9);
      assert.equal(due.length, 2);
      const next = (n: number): PublishedResponse => response(issued(n, 1).certificate, NOW + HOUR, { responder: NEW });
      const item = (n: number): QueueItem => due.find(({ serial }) => serial === serialOf(n)) as QueueItem;
      assert.deepEqual(await store.publish([0, 1].map((n) => ({ response: next(n), item: item(n) }))), [
        'published',
        'published',
      ]);
      assert.equal(await store.refreshAll(TAG, OLD, NOW + HOUR), 0);
      const again = await reopen();
      // The instant at which the first answers would have been due: overtaken.
      assert.deepEqual(await again.takeDue('refresh', NOW + DAY + SECOND, 9), []);
      const later = await again.takeDue('refresh', NOW + DAY + HOUR, 9);
      assert.deepEqual(
        [...later].sort((a, b) => (a.serial < b.serial ? -1 : 1)),
        [refresh(0, NOW + DAY + HOUR), refresh(1, NOW + DAY + HOUR)],
      );
    });

    it('counts what was published by a call before it, and changes no answer but its due time', async () => {
      const { store } = await fresh();
      const { certificate } = issued(1, 1);
      await store.replay([{ certificate, lane: 'issue' }], 1);
      const [item] = (await store.takeDue('issue', NOW, 1)) as [QueueItem];
      const answer = response(certificate, NOW);
      const publishing = store.publish([{ response: answer, item }]);
      const count = await store.refreshAll(TAG, OLD, NOW + HOUR);
      await publishing;
      assert.equal(count, 1);
      const found = await store.lookup(TAG, certificate.serial);
      assert.equal(found.kind, 'published');
      if (found.kind === 'published') assert.deepEqual({ ...found.response, refreshAt: answer.refreshAt }, answer);
    });
  });

  describe(`${adapter}: responder shelf`, () => {
    it('tells what is put on it and what is retired', async () => {
      const { store, under } = await fresh();
      const told: StoreEvent[] = [];
      store.follow((event) => told.push(event));
      await store.addResponder(TAG, Buffer.from('3000', 'hex'));
      await store.retireResponder(TAG, OLD, 'answers');
      await store.retireResponder(TAG, OLD, 'nothing');
      await soon(under, () =>
        assert.deepEqual(told, [
          { type: 'responder', issuer: TAG, der: Buffer.from('3000', 'hex') },
          { type: 'responder-retired', issuer: TAG, responder: OLD, use: 'answers' },
          { type: 'responder-retired', issuer: TAG, responder: OLD, use: 'nothing' },
        ]),
      );
    });
  });
}
