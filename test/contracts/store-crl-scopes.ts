/** CRLs of several scopes in one store: their entries, numbers and publications; large ones; and what a crash leaves at each step. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPLETE, completeCrl, type CrlRecord, type CrlScope, type RevokedEntry } from '../../src/core/certificate.ts';
import type { CrlArchive, CrlDraft } from '../../src/ports/crl-archive.ts';
import type { Change, Store } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import {
  all,
  certificate,
  counted,
  crlRecord,
  freshStores,
  issued,
  OTHER,
  publishCrl,
  revoked,
  serialOf,
  serials,
  soon,
  TAG,
  type StoreUnderTest,
} from './store-records.ts';

const shard = (name: string): CrlScope => ({ issuer: TAG, shard: name });
const ALL = completeCrl(TAG);
const MIB = 1 << 20;

export function crlScopesContract(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  const fresh = freshStores(begin);
  const listed = async (store: Store, scope: CrlScope): Promise<bigint[]> => {
    const numbers: bigint[] = [];
    for await (const { number } of store.list(scope)) numbers.push(number);
    return numbers;
  };
  const names = async (store: Store): Promise<string[]> => (await store.scopes(TAG)).map((scope) => scope.shard).sort();
  const publish = (store: Store, scope: CrlScope, number: bigint, previous?: bigint): Promise<boolean> => {
    const der = Buffer.from(`${scope.shard} ${number}`);
    return publishCrl(store, crlRecord(scope, number, der), der, previous);
  };

  describe(`${adapter}: revoked entries of shards`, () => {
    const entries = async (store: Store, scope: CrlScope): Promise<RevokedEntry[]> =>
      all(store.revokedEntries(scope).pages);

    it('are those of the shard, and every one is under the complete CRL too (C-18)', async () => {
      const { store, reopen } = await fresh();
      const name = (n: number): string | undefined => (n % 3 === 0 ? undefined : n % 3 === 1 ? '1' : 'ca');
      const changes = Array.from({ length: 3600 }, (_, i) => (i * 7) % 3600).map((n) =>
        revoked(n, 5, { crlShard: name(n) }),
      );
      await store.replay([...changes, issued(9000, 5, { crlShard: '1' })], 5);
      const of = (wanted: string): string[] =>
        Array.from({ length: 3600 }, (_, n) => n).flatMap((n) => (name(n) === wanted ? [serialOf(n)] : []));
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        assert.deepEqual(
          serials(await entries(each, ALL)),
          Array.from({ length: 3600 }, (_, n) => serialOf(n)),
        );
        for (const wanted of ['1', 'ca']) assert.deepEqual(serials(await entries(each, shard(wanted))), of(wanted));
        for (const none of [shard('2'), shard('c'), completeCrl(OTHER), { issuer: OTHER, shard: '1' }])
          assert.deepEqual(await entries(each, none), []);
        const { asOfSeq } = each.revokedEntries(shard('1'));
        const last = Math.max(...(await entries(each, shard('1'))).map(({ recordedSeq }) => recordedSeq));
        assert.ok(last <= (await asOfSeq));
      }
    });

    it('follow what is learnt, and leave both lists when a hold ends', async () => {
      const { store, under } = await fresh();
      const both = async (): Promise<unknown> => [
        (await entries(store, ALL)).map((entry) => counted(under, entry)),
        (await entries(store, shard('7'))).map((entry) => counted(under, entry)),
      ];
      const hold = { revokedAt: 0, reason: 'certificateHold' } as const;
      await store.replay([revoked(1, 1, { revocation: hold })], 1);
      const [known] = await entries(store, ALL);
      assert.deepEqual(await entries(store, shard('7')), []);
      // The final certificate says its shard, after the revocation of the precertificate.
      const recordedAt = NOW + 1;
      await store.replay([revoked(1, 2, { revocation: hold, crlShard: '7', recordedAt })], 2);
      const learnt = counted(under, { ...(known as RevokedEntry), recordedAt, recordedSeq: 2 });
      assert.deepEqual(await both(), [[learnt], [learnt]]);
      const worse = { revokedAt: 0, reason: 'keyCompromise' } as const;
      await store.replay([revoked(1, 3, { revision: 3, revocation: worse, crlShard: '7', recordedAt })], 3);
      const now = counted(under, { ...learnt, reason: 'keyCompromise', recordedSeq: 3 });
      assert.deepEqual(await both(), [[now], [now]]);
      const released: Change = {
        certificate: certificate(1, 4, { revision: 4, crlShard: '7' }),
        lane: 'revocation',
      };
      await store.replay([released], 4);
      assert.deepEqual(await both(), [[], []]);
    });
  });

  describe(`${adapter}: CRLs of several scopes`, () => {
    const scopes = [ALL, shard('1'), shard('12'), shard('ca'), completeCrl(OTHER), { issuer: OTHER, shard: '1' }];

    it('have numbers of their own, which only grow (C-10, C-32)', async () => {
      const { store, reopen } = await fresh();
      for (const [i, scope] of scopes.entries())
        assert.equal(await store.reserveNumber(scope, BigInt(10 * i)), BigInt(i === 0 ? 1 : 10 * i));
      const reopened = await reopen();
      for (const [i, scope] of scopes.entries())
        assert.equal(await reopened.reserveNumber(scope, 0n), BigInt(i === 0 ? 1 : 10 * i) + 1n);
      const many = await Promise.all(
        Array.from({ length: 60 }, (_, i) => reopened.reserveNumber(scopes[i % 3] as CrlScope, 0n)),
      );
      for (const k of [0, 1, 2]) assert.equal(new Set(many.filter((_, i) => i % 3 === k)).size, 20);
    });

    it('are published by themselves, and told, listed and found again', async () => {
      const { store, reopen, under } = await fresh();
      assert.deepEqual(await names(store), []);
      // Each issuer's in their order; between issuers no order is promised.
      const told = { [TAG]: [] as string[], [OTHER]: [] as string[] };
      store.follow((event) => {
        if (event.type === 'crl') told[event.record.issuer]?.push(`${event.record.shard} ${String(event.der)}`);
      });
      for (const scope of scopes) assert.equal(await publish(store, scope, 5n), true);
      assert.equal(await publish(store, shard('1'), 6n, undefined), false, 'the shard has a CRL');
      assert.equal(await publish(store, shard('1'), 6n, 5n), true);
      assert.equal(await publish(store, shard('2'), 6n, 5n), false, 'the shard has none');
      const expected = (...names: readonly string[]): string[] => names.map((name) => `${name} ${name} 5`);
      await soon(under, () =>
        assert.deepEqual(told, { [TAG]: [...expected('', '1', '12', 'ca'), '1 1 6'], [OTHER]: expected('', '1') }),
      );
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        assert.deepEqual(await names(each), [COMPLETE, '1', '12', 'ca']);
        assert.deepEqual((await each.scopes(OTHER)).map((scope) => scope.shard).sort(), [COMPLETE, '1']);
        for (const scope of scopes) {
          const changed = scope.issuer === TAG && scope.shard === '1';
          const current = (await each.current(scope)) as CrlRecord;
          assert.deepEqual([current.issuer, current.shard], [scope.issuer, scope.shard]);
          assert.equal(current.number, changed ? 6n : 5n);
          assert.equal(String(await each.body(current)), `${scope.shard} ${current.number}`);
          assert.deepEqual(await listed(each, scope), changed ? [6n, 5n] : [5n]);
        }
        assert.equal(await each.current(shard('2')), undefined);
        assert.deepEqual(await listed(each, shard('2')), []);
      }
    });

    it('leave nothing of a draft that was never kept, or that is another CRL', async () => {
      const { store, reopen } = await fresh();
      const draft = await store.draftCrl(shard('1'));
      await draft.write(Buffer.from('half of'));
      const der = Buffer.from('whole');
      await assert.rejects(store.publishCrl(crlRecord(shard('1'), 1n, der), draft, undefined), { code: 'corrupt' });
      await draft.discard();
      // As a crash leaves it: neither kept nor discarded.
      await (await store.draftCrl(shard('1'))).write(der);
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        assert.deepEqual([await names(each), await listed(each, shard('1'))], [[], []]);
        assert.equal(await each.restoreCrl(shard('1')), undefined);
      }
      const last = await reopen();
      assert.equal(await publish(last, shard('1'), 1n), true);
      assert.deepEqual(await names(last), ['1']);
    });
  });

  describe(`${adapter}: a CRL of 9 MiB`, () => {
    const large = Buffer.alloc(9 * MIB + 77, 'certstatus');
    const largeOf = (number: number): Buffer => {
      const der = Buffer.from(large);
      der.writeUInt32BE(number, 4 * MIB - 2);
      return der;
    };

    it('is written and read in pieces, and comes out as it went in', async () => {
      const { store, reopen, under } = await fresh();
      const der = largeOf(1);
      const record = crlRecord(shard('3'), 1n, der);
      const told: Buffer[] = [];
      store.follow((event) => event.type === 'crl' && told.push(event.der));
      const draft = await store.draftCrl(shard('3'));
      for (let at = 0; at < der.length; at += 700_000) await draft.write(der.subarray(at, at + 700_000));
      assert.ok(der.subarray(MIB, MIB + 99).equals(await draft.read(MIB, 99)));
      assert.equal(await store.publishCrl(record, draft, undefined), true);
      await soon(under, () => assert.ok(told.length === 1 && (told[0] as Buffer).equals(der)));
      for (const again of [false, true]) {
        const each = again ? await reopen() : store;
        assert.ok((await each.body(record)).equals(der));
        const file = await each.openCrl(record);
        assert.equal(file.octets, der.length);
        assert.ok((await file.read(der.length - 5, 5)).equals(der.subarray(-5)));
        await assert.rejects(file.read(der.length - 5, 6), { code: 'corrupt' });
        await file.close();
      }
    });

    it('is never seen torn by who reads while the next ones are published', async () => {
      const { store } = await fresh();
      let publishing = true;
      const reading = (async () => {
        let reads = 0;
        for (; publishing || reads < 3; reads++) {
          const record = await store.current(ALL);
          // Throws when the digest is another than the record's.
          if (record !== undefined)
            assert.equal((await store.body(record)).readUInt32BE(4 * MIB - 2), Number(record.number));
          else await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      for (let n = 1; n <= 4; n++) {
        const der = largeOf(n);
        const number = BigInt(n);
        assert.equal(
          await publishCrl(store, crlRecord(ALL, number, der), der, n === 1 ? undefined : number - 1n),
          true,
        );
      }
      publishing = false;
      await reading;
    });
  });

  describe(`${adapter}: a crash while a CRL is published`, () => {
    /** The archive, except that the process dies where `after` says. */
    const dying = (after: 'nothing' | 'archived') => (archive: CrlArchive) =>
      new Proxy(archive, {
        get(target, name) {
          if (name === 'keep')
            return async (record: CrlRecord, draft: CrlDraft) => {
              if (after === 'archived') await target.keep(record, draft);
              throw new Error('killed');
            };
          const member = Reflect.get(target, name) as unknown;
          return typeof member === 'function' ? (member.bind(target) as unknown) : member;
        },
      });

    for (const after of ['nothing', 'archived'] as const)
      it(`after ${after === 'nothing' ? 'the draft' : 'it was archived'} leaves the old one current and readable`, async () => {
        const { store, reopen } = await fresh();
        assert.equal(await publish(store, shard('1'), 5n), true);
        assert.equal(await publish(store, ALL, 5n), true);
        const dies = await reopen(dying(after));
        const number = await dies.reserveNumber(shard('1'), 6n);
        await assert.rejects(publish(dies, shard('1'), number, 5n), /killed/);
        for (const again of [false, true]) {
          const each = again ? await reopen() : dies;
          const current = (await each.current(shard('1'))) as CrlRecord;
          assert.equal(current.number, 5n);
          assert.equal(String(await each.body(current)), '1 5');
        }
        const last = await reopen();
        const restored = (await last.restoreCrl(shard('1'))) as CrlRecord;
        assert.equal(restored.number, after === 'archived' ? number : 5n);
        assert.equal(String(await last.body(restored)), `1 ${restored.number}`);
        assert.equal((await last.restoreCrl(ALL))?.number, 5n, 'the other scope');
        const next = await last.reserveNumber(shard('1'), 0n);
        assert.ok(next > number, `${next} after ${number}`);
        assert.equal(await publish(last, shard('1'), next, restored.number), true);
      });

    it('never makes an archived CRL current whose data are older than what is current', async () => {
      const { store, reopen } = await fresh();
      assert.equal(await publish(store, ALL, 5n), true);
      const dies = await reopen(dying('archived'));
      const der = Buffer.from('never published');
      const late: CrlRecord = { ...crlRecord(ALL, 9n, der), thisUpdate: crlRecord(ALL, 6n, der).thisUpdate };
      await assert.rejects(publishCrl(dies, late, der, 5n), /killed/);
      const again = await reopen();
      assert.equal(await publish(again, ALL, 7n, 5n), true);
      assert.equal((await again.restoreCrl(ALL))?.number, 7n);
      assert.ok((await again.reserveNumber(ALL, 0n)) > 9n, 'its number is not given again');
    });
  });
}
