import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turns } from '../../src/flows/sign/turns.ts';

describe('Turns', () => {
  it('begins no more than its limit at once, urgent ones first, the rest in order, whatever becomes of each', async () => {
    const turns = new Turns(2);
    const order: string[] = [];
    let underWay = 0;
    let most = 0;
    const call = (priority: 'urgent' | 'bulk', name: string): Promise<void> =>
      turns.take(priority, async () => {
        order.push(name);
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay -= 1;
        if (name === 'b3') throw new Error('one that fails');
      });
    const bulk = ['b1', 'b2', 'b3', 'b4'].map((name) => call('bulk', name));
    const urgent = ['u1', 'u2'].map((name) => call('urgent', name));
    const settled = await Promise.allSettled([...bulk, ...urgent]);
    assert.deepEqual(order, ['b1', 'b2', 'u1', 'u2', 'b3', 'b4']);
    assert.equal(most, 2);
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
    );
    // All turns were given back.
    await Promise.all([call('bulk', 'b5'), call('bulk', 'b6'), call('bulk', 'b7')]);
    assert.equal(most, 2);
  });
});
