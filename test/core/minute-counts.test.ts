import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { MinuteCounts } from '../../src/core/minute-counts.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import { NOW } from './sample-pki.ts';

const SEED = 60_1440;

it(`finds shares, extremes and numbers as a sorted list does, whatever came and went (seed ${SEED})`, () => {
  const instant = fc.integer({ min: -3 * HOUR, max: 3 * HOUR }).map((ms) => NOW + ms);
  const change = fc.record({ instant, gone: fc.integer({ min: 0, max: 3 }).map((n) => n === 0) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 120 }), instant, (changes, at) => {
      const counts = new MinuteCounts();
      const list: number[] = [];
      const compare = (): void => {
        list.sort((a, b) => a - b);
        assert.equal(counts.total, list.length);
        for (const share of [0, 0.01, 0.1, 0.5, 0.9, 1])
          assert.equal(counts.at(share), list[Math.max(1, Math.ceil(share * list.length)) - 1], `share ${share}`);
        assert.equal(counts.before(at), list.filter((one) => one < Math.floor(at / MINUTE) * MINUTE).length);
      };
      // After each change, too: what was added up for the question before holds no longer.
      for (const { instant, gone } of changes) {
        counts.add(instant, 1);
        if (gone) counts.add(instant, -1);
        else list.push(Math.floor(instant / MINUTE) * MINUTE);
        compare();
      }
      compare();
    }),
    { numRuns: 300, seed: SEED },
  );
});

it('is right when a count is taken back before it was given', () => {
  const counts = new MinuteCounts();
  counts.add(NOW, -1);
  counts.add(NOW + MINUTE, 1);
  counts.add(NOW, 1);
  assert.equal(counts.at(0), Math.floor((NOW + MINUTE) / MINUTE) * MINUTE);
  assert.equal(counts.total, 1);
});
