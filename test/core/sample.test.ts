import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { IssuerTag } from '../../src/core/certificate.ts';
import { quarterOf, RankCounts, rankOf, sampleSize } from '../../src/core/reconcile/sample.ts';
import { serialFromHex } from '../../src/core/serial.ts';

describe('a random sample', () => {
  it('has the greater of a minimum and a share, of no more than there are (SR-8.7)', () => {
    assert.equal(sampleSize(1000, 3, 1), 30);
    assert.equal(sampleSize(1001, 3, 1), 31, 'at least three percent');
    assert.equal(sampleSize(10, 3, 1), 1);
    assert.equal(sampleSize(500, 3, 30), 30);
    assert.equal(sampleSize(7, 3, 30), 7);
    assert.equal(sampleSize(0, 3, 1), 0);
  });

  it('is cut out by its ranks', () => {
    const counts = new RankCounts();
    const tag = '00000001' as IssuerTag;
    const ranks = Array.from({ length: 5000 }, (_, i) => rankOf('seed', tag, serialFromHex(`40${i.toString(16).padStart(6, '0')}`))); // prettier-ignore
    for (const rank of ranks) counts.add(rank);
    for (const wanted of [1, 30, 2500, 5000]) {
      const bucket = counts.bucketOf(wanted);
      const within = ranks.filter((rank) => rank.readUInt16BE() <= bucket).length;
      const below = ranks.filter((rank) => rank.readUInt16BE() < bucket).length;
      assert.ok(within >= wanted && below < wanted, `${wanted}: ${below} to ${within}`);
    }
  });

  it('is another with another seed, issuer or serial', () => {
    const rank = (seed: string, tag: string, serial: string) => rankOf(seed, tag as IssuerTag, serialFromHex(serial)).toString('hex'); // prettier-ignore
    assert.equal(new Set([rank('a', '01', '4101'), rank('b', '01', '4101'), rank('a', '02', '4101'), rank('a', '01', '4102')]).size, 4); // prettier-ignore
    assert.equal(rank('a', '01', '4101'), rank('a', '01', '4101'));
  });

  it('is of a quarter', () => {
    assert.deepEqual(quarterOf('2026Q4', 'q'), { from: Date.UTC(2026, 9), to: Date.UTC(2027, 0) });
    assert.deepEqual(quarterOf('2027Q1', 'q'), { from: Date.UTC(2027, 0), to: Date.UTC(2027, 3) });
    for (const wrong of ['2026', '2026Q5', '2026q4', '26Q4'])
      assert.throws(() => quarterOf(wrong, 'q'), /CT-8|quarter/);
  });
});
