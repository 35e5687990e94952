import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPLETE, type CrlRecord, type CrlScope, type IssuerTag } from '../../src/core/certificate.ts';
import { COMPLETE_ONLY, type CrlLayout } from '../../src/core/crl/shards.ts';
import type { ServedIssuer } from '../../src/flows/issuer-setup.ts';
import { namesOf, servedCrls } from '../../src/flows/serve/served-crls.ts';

const TAG = '0a0b0c0d' as IssuerTag;
const SHARDED: CrlLayout = { ...COMPLETE_ONLY, shards: { count: 3, highest: 3, url: 'http://a.test/{shard}' } };
const record = (shard: string, thisUpdate: number, entries = 1): CrlRecord =>
  ({
    issuer: TAG,
    shard,
    thisUpdate,
    scheduledAt: thisUpdate,
    nextUpdate: thisUpdate + 100,
    entries,
    bytes: 10 * entries,
  }) as CrlRecord;
const look = (crls: CrlLayout, records: readonly CrlRecord[], now = 50) =>
  servedCrls(
    { tag: TAG, crls } as ServedIssuer,
    { crl: ({ shard }: CrlScope) => records.find((one) => one.shard === shard) },
    now,
  );

describe('the CRLs of an issuer that are served', () => {
  it('are as old as the oldest, run out with the first, and are as large as the largest', () => {
    const all = look(SHARDED, [record(COMPLETE, 40, 9), record('1', 10, 2), record('2', 20, 3), record('3', 30, 4)]);
    assert.deepEqual(all, {
      scopes: 4,
      missing: [],
      expired: [],
      oldestThisUpdate: 10,
      oldestScheduledAt: 10,
      leastNextUpdate: 110,
      entries: 9,
      bytes: 90,
    });
    const apart = look({ ...SHARDED, complete: false }, [record('1', 10, 2), record('2', 20, 3), record('3', 30, 4)]);
    assert.deepEqual([apart.scopes, apart.entries, apart.bytes], [3, 9, 40]);
  });

  it('are missing one by one', () => {
    const { missing, expired } = look(SHARDED, [record('1', 10), record('2', -60)]);
    assert.deepEqual([missing, expired], [[COMPLETE, '3'], ['2']]);
    assert.equal(namesOf(missing), 'the complete one, shard 3');
    assert.equal(
      namesOf(['1', '2', '3', '4', '5', '6', '7']),
      'shard 1, shard 2, shard 3, shard 4, shard 5 and 2 more',
    );
    assert.deepEqual(look(COMPLETE_ONLY, []).missing, [COMPLETE]);
  });

  it('are found without naming them anew, though issuers have one layout in common, until it is replaced', () => {
    let named = 0;
    const counted = (complete: boolean): CrlLayout => ({
      ...SHARDED,
      complete,
      get shards() {
        named += 1;
        return SHARDED.shards;
      },
    });
    const common = counted(true);
    const issuers = [TAG, '0f' as IssuerTag].map((tag) => ({ tag, crls: common }) as ServedIssuer);
    const asked = (issuer: ServedIssuer): string[] => {
      const names: string[] = [];
      servedCrls(issuer, { crl: ({ issuer: tag, shard }) => void names.push(tag + shard) }, 50);
      return names;
    };
    const first = issuers.map(asked);
    assert.deepEqual(
      first,
      [TAG, '0f'].map((tag) => [COMPLETE, '1', '2', '3'].map((shard) => tag + shard)),
    );
    const once = named;
    for (let scrape = 0; scrape < 3; scrape++) assert.deepEqual(issuers.map(asked), first);
    assert.equal(named, once);
    const [issuer] = issuers as [ServedIssuer];
    issuer.crls = counted(false);
    assert.deepEqual(asked(issuer), first[0]?.slice(1));
  });
});
