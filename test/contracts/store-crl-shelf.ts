/** CRL numbers, publications and the archive of a store. */
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { CrlRecord } from '../../src/core/certificate.ts';
import { DAY } from '../../src/core/time.ts';
import { NOW } from '../core/sample-pki.ts';
import { publishCrl, freshStores, OTHER, soon, TAG, type StoreUnderTest } from './store-records.ts';

export function crlShelfContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const fresh = freshStores(begin);

  describe(`${adapter}: CRL shelf`, () => {
    const crl = (number: bigint, der: Buffer): CrlRecord => ({
      ...completeCrl(TAG),
      number,
      thisUpdate: NOW,
      nextUpdate: NOW + 7 * DAY,
      publishedAt: NOW + 5,
      kind: 'scheduled',
      scheduledAt: NOW,
      scheduledAsOfSeq: 0,
      entries: 0,
      bytes: der.length,
      sha256: createHash('sha256').update(der).digest('hex'),
      asOfSeq: 0,
    });
    const bytes = (text: string): { der: Buffer } => ({ der: Buffer.from(text) });

    it('reserves numbers that only grow, whatever happens (C-10, T-34)', async () => {
      const { store, reopen } = await fresh();
      assert.equal(await store.reserveNumber(completeCrl(TAG), 0n), 1n);
      assert.equal(await store.reserveNumber(completeCrl(TAG), 1n), 2n);
      const big = 2n ** 150n;
      assert.equal(await store.reserveNumber(completeCrl(TAG), big), big);
      assert.equal(await store.reserveNumber(completeCrl(TAG), 5n), big + 1n);
      assert.equal(await store.reserveNumber(completeCrl(OTHER), 7n), 7n);
      const many = await Promise.all(Array.from({ length: 50 }, () => store.reserveNumber(completeCrl(TAG), 0n)));
      assert.equal(new Set(many).size, 50);
      const reopened = await reopen();
      const last = many.reduce((a, b) => (a > b ? a : b));
      assert.equal(await reopened.reserveNumber(completeCrl(TAG), 0n), last + 1n);
    });

    it('publishes by compare-and-swap, keeps every CRL, and lists the newest first', async () => {
      const { store, reopen, under } = await fresh();
      const told: bigint[] = [];
      store.follow((event) => event.type === 'crl' && told.push(event.record.number));
      const publish = (number: bigint, previous?: bigint): Promise<boolean> => {
        const { der } = bytes(`crl ${number}`);
        return publishCrl(store, crl(number, der), der, previous);
      };
      assert.equal(await store.current(completeCrl(TAG)), undefined);
      assert.equal(await publish(9n, 5n), false);
      assert.equal(await publish(9n), true);
      assert.equal(await publish(300n), false);
      assert.equal(await publish(300n, 9n), true);
      assert.equal(await publish(299n, 300n), false, 'numbers only grow');
      assert.equal(await publish(300n, 300n), false);
      const both = await Promise.all([publish(301n, 300n), publish(302n, 300n)]);
      assert.deepEqual([...both].sort(), [false, true]);
      const last = both[0] ? 301n : 302n;
      await soon(under, () => assert.deepEqual(told, [9n, 300n, last]));
      const reopened = await reopen();
      assert.equal((await reopened.current(completeCrl(TAG)))?.number, last);
      const listed: CrlRecord[] = [];
      for await (const record of reopened.list(completeCrl(TAG))) listed.push(record);
      assert.deepEqual(
        listed.map(({ number }) => number),
        [last, 300n, 9n],
      );
      for (const record of listed) assert.equal(String(await reopened.body(record)), `crl ${record.number}`);
      assert.deepEqual(listed[2], crl(9n, bytes('crl 9').der));
      assert.equal(await reopened.current(completeCrl(OTHER)), undefined);
    });

    it('notices a CRL in the archive that is not the one published (CT-5.5.1-3)', async () => {
      const { store, under } = await fresh();
      const { der } = bytes('crl 1');
      const record = crl(1n, der);
      await publishCrl(store, record, der, undefined);
      await under.tamper(record);
      await assert.rejects(store.body(record), { code: 'corrupt', value: 'number 1' });
      await assert.rejects(store.body({ ...record, number: 2n }), { code: 'corrupt', value: 'number 2' });
    });
  });
}
