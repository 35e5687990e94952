import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { COMPLETE, type IssuerTag } from '../../src/core/certificate.ts';
import {
  assignShard,
  COMPLETE_ONLY,
  type CrlLayout,
  hashedShard,
  scopesOf,
  settleLayout,
  type ShardClues,
  shardOf,
  shardUrl,
} from '../../src/core/crl/shards.ts';
import { Problem } from '../../src/core/problem.ts';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';

const TAG = '0a0b0c0d' as IssuerTag;
const SERIAL = '4f00000000000001' as Serial;
const url = (shard: string): string => `http://crl.example.test/ca/${shard}.crl`;
const SHARDED: CrlLayout = {
  complete: true,
  completeUrls: ['http://crl.example.test/ca.crl', '/old.crl'],
  shards: { count: 4, highest: 8, url: url('{shard}') },
  caUrl: url('arl'),
};
const APART: CrlLayout = { ...SHARDED, complete: false, completeUrls: [] };
const SEED = 20261121;

const clues = (more: Partial<ShardClues> = {}): ShardClues => ({ serial: SERIAL, crlShard: undefined, ...more });
const refuses = (run: () => unknown, code: string, rule: RegExp): void =>
  assert.throws(run, (error) => {
    assert.ok(error instanceof Problem);
    assert.equal(error.code, code);
    assert.match(error.rule ?? '', rule);
    return true;
  });

describe('the hash of a serial', () => {
  it('is the stated one', () => {
    // Not by our own code: the first 32 bits of SHA-256 over the INTEGER content, modulo count, counted from 1.
    const first = parseInt(createHash('sha256').update(Buffer.from(SERIAL, 'hex')).digest('hex').slice(0, 8), 16);
    for (const count of [1, 2, 7, 10_000]) assert.equal(hashedShard(SERIAL, count), String(1 + (first % count)));
  });

  it('spreads serials evenly', () => {
    const of = new Map<string, number>();
    for (let n = 1; n <= 8000; n++) {
      const shard = hashedShard(serialFromHex(n.toString(16)), 8);
      of.set(shard, (of.get(shard) ?? 0) + 1);
    }
    assert.equal(of.size, 8);
    for (const count of of.values()) assert.ok(count > 850 && count < 1150, `${count} of 8000 in one of 8 shards`);
  });
});

describe('the shard of a new certificate', () => {
  for (const [what, layout, more, shard] of [
    ['is by hash over count, not over highest', SHARDED, {}, hashedShard(SERIAL, 4)],
    ['is the one that the event names', SHARDED, { crlShard: '7' }, '7'],
    ['is the one whose URL the event names', SHARDED, { crlShard: url('7') }, '7'],
    ['is the one in the certificate, whatever the event says', SHARDED, { crlShard: '7', crlUrls: [url('2')] }, '2'],
    ['is the first that the layout knows', SHARDED, { crlUrls: ['http://other.test/1.crl', url('3'), url('4')] }, '3'],
    ['is that of CA certificates', SHARDED, { isCa: true }, 'ca'],
    ['is that of CA certificates by their URL', SHARDED, { isCa: true, crlUrls: [url('arl')] }, 'ca'],
    ['is none, with the URL of the complete CRL', SHARDED, { crlUrls: ['http://crl.example.test/ca.crl'] }, undefined],
    [
      'is none, with a path of the complete CRL on any host',
      SHARDED,
      { crlUrls: ['http://x.test:8080/old.crl'] },
      undefined,
    ],
    ['is none, with a URL that only the complete CRL can cover', SHARDED, { crlUrls: ['ldap://x/cn=ca'] }, undefined],
    ['is none of CA certificates without an ARL', { ...SHARDED, caUrl: undefined }, { isCa: true }, undefined],
    ['is by hash, with an ARL, of a subscriber', SHARDED, { isCa: false }, hashedShard(SERIAL, 4)],
    ['is none without shards, whatever it names', COMPLETE_ONLY, { crlUrls: [url('1')] }, undefined],
    ['is none of subscribers beside an ARL alone', { ...SHARDED, shards: undefined }, {}, undefined],
    [
      'is a former one that its certificate names',
      { ...SHARDED, former: new Map([['9', 'http://a.test/9']]) },
      { crlUrls: ['http://a.test/9'] },
      '9',
    ],
  ] as const) {
    it(what, () => assert.equal(shardOf(layout, clues(more)), shard));
  }

  for (const [what, layout, more, rule] of [
    ['a shard beyond the highest', SHARDED, { crlShard: '9' }, /P-05/],
    ['its URL, though there is a complete CRL', SHARDED, { crlUrls: [url('9')] }, /P-05/],
    ['a number that is not written plainly', SHARDED, { crlUrls: [url('03')] }, /P-05/],
    ['a name that is none', SHARDED, { crlShard: 'shard-1' }, /P-05/],
    ['a URL that nobody serves', APART, { crlUrls: ['http://crl.example.test/ca.crl'] }, /P-05/],
    ['a CA certificate on a CRL of subscribers', SHARDED, { isCa: true, crlUrls: [url('1')] }, /C-19/],
    ['a subscriber on the CRL of CA certificates', SHARDED, { isCa: false, crlUrls: [url('arl')] }, /C-19/],
    ['a CA certificate that no CRL covers', { ...APART, caUrl: undefined }, { isCa: true }, /T-40/],
  ] as const) {
    it(`refuses ${what}`, () => refuses(() => shardOf(layout, clues(more)), 'refused', rule));
  }
});

describe('the shard of a certificate that is recorded', () => {
  const known = (crlShard: string | undefined) => ({ crlShard, notAfter: 1 });

  it('stays when the count changes and the event is sent again', () => {
    const wider = { ...SHARDED, shards: { count: 7, highest: 8, url: url('{shard}') } };
    assert.notEqual(hashedShard(SERIAL, 4), hashedShard(SERIAL, 7));
    assert.equal(assignShard(wider, known(hashedShard(SERIAL, 4)), clues()), hashedShard(SERIAL, 4));
  });

  it('is a conflict when the final certificate names another than the precertificate', () => {
    refuses(() => assignShard(SHARDED, known('1'), clues({ crlUrls: [url('2')] })), 'conflict', /T-38/);
    refuses(
      () => assignShard(SHARDED, known('1'), clues({ crlUrls: ['http://crl.example.test/ca.crl'] })),
      'conflict',
      /C-17/,
    );
  });

  it('stays none for what was recorded before there were shards, until the certificate itself names one', () => {
    assert.equal(assignShard(SHARDED, known(undefined), clues()), undefined);
    assert.equal(assignShard(SHARDED, known(undefined), clues({ crlUrls: [url('2')] })), '2');
  });

  it('is given when the certificate was known from a CRL alone', () => {
    assert.equal(assignShard(SHARDED, { crlShard: undefined, notAfter: undefined }, clues()), hashedShard(SERIAL, 4));
    assert.equal(assignShard(SHARDED, { crlShard: '3', notAfter: undefined }, clues()), '3');
  });
});

describe('the layout that earlier certificates need', () => {
  it('keeps shards above a lowered count, and a complete CRL that was given up', () => {
    const lowered: CrlLayout = { ...APART, shards: { count: 2, highest: 2, url: url('{shard}') } };
    const { layout, kept, moved } = settleLayout(lowered, [
      [COMPLETE, undefined],
      ['1', url('1')],
      ['4', url('4')],
    ]);
    assert.deepEqual([layout.shards?.count, layout.shards?.highest, layout.complete], [2, 4, true]);
    assert.deepEqual([kept, moved], [[COMPLETE, '4'], []]);
  });

  it('keeps shards that are not configured any more under the URL that their certificates name', () => {
    const { layout, kept } = settleLayout(COMPLETE_ONLY, [
      ['2', url('2')],
      ['ca', url('arl')],
    ]);
    assert.deepEqual(kept, ['2', 'ca']);
    assert.deepEqual(scopesOf(layout, TAG).map(({ shard }) => [shard, shardUrl(layout, shard)]),
      [[COMPLETE, undefined], ['2', url('2')], ['ca', url('arl')]]); // prettier-ignore
  });

  it('says which shards have certificates with another URL', () => {
    const elsewhere = { ...SHARDED, shards: { count: 4, highest: 4, url: 'http://new.test/{shard}' } };
    const { moved } = settleLayout(elsewhere, [['1', url('1')]]);
    assert.deepEqual(moved, [{ shard: '1', was: url('1'), is: 'http://new.test/1' }]);
  });
});

describe('a history of issuance and changes of the layout', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('issue' as const), n: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('whole' as const), n: fc.integer({ min: 1, max: 40 }), shard: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('authority' as const), n: fc.integer({ min: 41, max: 50 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('count' as const), count: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unsharded' as const) }) },
  ); // prettier-ignore

  it('gives each certificate one shard for its life, whose CRL is published and has one URL', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, complete) => {
        let configured: CrlLayout = { ...SHARDED, complete, shards: { count: 3, highest: 3, url: url('{shard}') } };
        let { layout } = settleLayout(configured, []);
        const published = new Map<string, string | undefined>();
        const shardOfSerial = new Map<Serial, string | undefined>();
        const publish = (): void => {
          for (const { shard } of scopesOf(layout, TAG)) published.set(shard, shardUrl(layout, shard));
        };
        const record = (n: number, more: Partial<ShardClues>): void => {
          const serial = serialFromHex(n.toString(16).padStart(4, '0'));
          const before = shardOfSerial.get(serial);
          const known = shardOfSerial.has(serial) ? { crlShard: before, notAfter: 1 } : undefined;
          try {
            const now = assignShard(layout, known, { serial, crlShard: undefined, ...more });
            if (known !== undefined && before !== undefined) assert.equal(now, before, 'moved to another shard');
            shardOfSerial.set(serial, now);
          } catch (error) {
            assert.ok(error instanceof Problem);
            assert.ok(more.crlUrls !== undefined, 'what names no CRL is always taken');
          }
        };
        publish();
        for (const one of steps) {
          if (one.kind === 'issue') record(one.n, {});
          else if (one.kind === 'whole') record(one.n, { isCa: false, crlUrls: [url(String(one.shard))] });
          else if (one.kind === 'authority') record(one.n, { isCa: true });
          else {
            configured = one.kind === 'count'
                ? { ...configured, complete, caUrl: url('arl'), shards: { count: one.count, highest: one.count, url: url('{shard}') } }
                : { ...COMPLETE_ONLY }; // prettier-ignore
            const settled = settleLayout(configured, published);
            assert.deepEqual(settled.moved, []);
            layout = settled.layout;
          }
          publish();
          // Whatever was recorded is on a CRL that is published now: its shard, or the complete one.
          const scopes = new Map(scopesOf(layout, TAG).map(({ shard }) => [shard, shardUrl(layout, shard)]));
          for (const shard of shardOfSerial.values()) {
            assert.ok(scopes.has(shard ?? COMPLETE), `no CRL for shard ${shard}`);
            if (shard !== undefined) assert.equal(scopes.get(shard), shard === 'ca' ? url('arl') : url(shard));
          }
        }
      }),
      { numRuns: 300, seed: SEED },
    );
  });
});
