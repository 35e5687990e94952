/** When somebody must be told that what was signed offline ends. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { leadTimes, reachedLeadTime } from '../../src/core/offline/lead-times.ts';
import { DAY, SECOND } from '../../src/core/time.ts';

const days = (validity: number): readonly number[] => leadTimes(validity * DAY).map((ms) => ms / DAY);

describe('lead times', () => {
  it('are 90, 60, 30, 14 and 7 days, as far as they lie in the second half of the validity', () => {
    assert.deepEqual(days(365), [90, 60, 30, 14, 7]);
    assert.deepEqual(days(180), [90, 60, 30, 14, 7]);
    assert.deepEqual(days(125), [60, 30, 14, 7]);
    assert.deepEqual(days(60), [30, 14, 7]);
    assert.deepEqual(days(13), []);
  });

  it('are reached to the millisecond, the least one counts, and the end does not take it away', () => {
    const crl = { endsAt: 1000 * DAY, validityMs: 365 * DAY };
    const reached = (before: number): number | undefined => reachedLeadTime(crl, crl.endsAt - before);
    assert.equal(reached(90 * DAY + 1), undefined);
    assert.equal(reached(90 * DAY), 90 * DAY);
    assert.equal(reached(60 * DAY + 1), 90 * DAY);
    assert.equal(reached(60 * DAY), 60 * DAY);
    assert.equal(reached(SECOND), 7 * DAY);
    assert.equal(reached(-5 * DAY), 7 * DAY);
  });

  it('are half of the validity where it is too short for any', () => {
    const answer = { endsAt: 100 * DAY, validityMs: 4 * DAY };
    assert.equal(reachedLeadTime(answer, answer.endsAt - 2 * DAY - 1), undefined);
    assert.equal(reachedLeadTime(answer, answer.endsAt - 2 * DAY), 2 * DAY);
  });
});
