import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LiveBudget } from '../../../src/core/policy/live-budget.ts';
import { HOUR, SECOND } from '../../../src/core/time.ts';

const T = Date.UTC(2026, 10, 20, 8);
const SEED = 9654;

describe('LiveBudget', () => {
  it('gives a second’s worth at once, and then as time goes by', () => {
    const budget = new LiveBudget({ perSecond: 4, waiting: 100 }, T);
    const entered = (nowMs: number, tries: number): number =>
      Array.from({ length: tries }, () => budget.enter(nowMs)).filter(Boolean).length;
    assert.equal(entered(T, 10), 4);
    assert.equal(entered(T + 249, 10), 0);
    assert.equal(entered(T + 250, 10), 1);
    assert.equal(entered(T + 10 * SECOND, 10), 4, 'no more than a second’s worth is kept');
  });

  it('lets no more wait than may, and takes back what cost no signature', () => {
    const budget = new LiveBudget({ perSecond: 3, waiting: 2 }, T);
    assert.ok(budget.enter(T) && budget.enter(T));
    assert.ok(!budget.enter(T));
    budget.leave(true);
    assert.ok(budget.enter(T));
    budget.leave(true);
    budget.leave(false);
    assert.ok(budget.enter(T));
    assert.ok(!budget.enter(T));
  });

  it('is not opened by a clock that is set back, or on', () => {
    const budget = new LiveBudget({ perSecond: 2, waiting: 100 }, T);
    assert.ok(budget.enter(T) && budget.enter(T));
    assert.ok(!budget.enter(T - HOUR));
    assert.ok(!budget.enter(T - HOUR + 499));
    assert.ok(budget.enter(T - HOUR + 500), 'and it goes on from there');
    assert.ok(budget.enter(T + HOUR) && budget.enter(T + HOUR) && !budget.enter(T + HOUR));
  });

  it('never gives more than its rate and a second’s worth, whatever comes when', () => {
    const limits = fc.record({ perSecond: fc.integer({ min: 1, max: 50 }), waiting: fc.integer({ min: 1, max: 50 }) });
    const steps = fc.array(fc.record({ ms: fc.nat(400), leave: fc.constantFrom('not', 'signed', 'unsigned') }), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(limits, steps, (given, all) => {
        const budget = new LiveBudget(given, T);
        let [now, waiting, signed] = [T, 0, 0];
        for (const { ms, leave } of all) {
          now += ms;
          if (leave !== 'not' && waiting > 0) {
            budget.leave(leave === 'signed');
            waiting -= 1;
            if (leave === 'unsigned') signed -= 1;
          }
          if (!budget.enter(now)) continue;
          waiting += 1;
          signed += 1;
          assert.ok(waiting <= given.waiting);
          assert.ok(signed <= given.perSecond * (1 + (now - T) / SECOND) + 1e-6);
        }
      }),
      { numRuns: 200, seed: SEED },
    );
  });
});
