import assert from 'node:assert/strict';
import { verify } from 'node:crypto';
import { describe, it } from 'node:test';
import { Problem } from '../../src/core/problem.ts';
import { failover } from '../../src/flows/sign/failover-key.ts';
import type { KeyHolder, SignResult } from '../../src/ports/key-holder.ts';
import { ecKey, rsaKey } from '../core/sample-pki.ts';
import { TestKeyHolder } from './support-key-holder.ts';

const key = ecKey();
const items = [1, 2, 3, 4].map((n) => Buffer.from(`item ${n}`));

function places(): [TestKeyHolder, TestKeyHolder, KeyHolder] {
  const [first, second] = [new TestKeyHolder(key, 'first'), new TestKeyHolder(key, 'second')];
  return [first, second, failover([first, second])];
}

function assertSigned(results: readonly SignResult[]): void {
  assert.equal(results.length, items.length);
  for (const [i, result] of results.entries())
    assert.ok(result.ok && verify('sha256', items[i] as Buffer, key.publicKey, result.signature));
}

/** A place where some items find no holder. */
function lacking(inner: TestKeyHolder, lacks: readonly number[]): KeyHolder {
  const { algorithm, publicKey, describe, failure } = inner;
  return {
    ...{ algorithm, publicKey, describe, failure },
    sign: async (tbs) =>
      (await inner.sign(tbs)).map((result, i): SignResult =>
        lacks.includes(i) ? { ok: false, error: new Problem('unavailable', 'lost on the way') } : result,
      ),
    begin: () => inner.begin(),
    close: () => inner.close(),
  };
}

describe('failover', () => {
  it('signs at the first place while that can', async () => {
    const [first, second, both] = places();
    assertSigned(await both.sign(items, 'bulk'));
    assert.deepEqual([first.calls, second.calls], [[4], []]);
    assert.equal(both.describe, 'first, else second');
  });

  it('skips a place that says it cannot, and goes back', async () => {
    const [first, second, both] = places();
    first.failure = 'not activated';
    assert.equal(both.failure, undefined);
    assertSigned(await both.sign(items, 'bulk'));
    assert.deepEqual([first.calls, second.calls], [[], [4]]);
    first.failure = undefined;
    assertSigned(await both.sign(items, 'bulk'));
    assert.deepEqual([first.calls, second.calls], [[4], [4]]);
  });

  it('tries the next place in the same call when one is gone', async () => {
    const [first, second, both] = places();
    first.gone = new Problem('unavailable', 'cut off');
    assertSigned(await both.sign(items, 'urgent'));
    assert.deepEqual([first.calls, second.calls], [[4], [4]]);
  });

  it('sends only what found no holder, and keeps the order', async () => {
    const [first, second] = places();
    const both = failover([lacking(first, [0, 2]), second]);
    assertSigned(await both.sign(items, 'urgent'));
    assert.deepEqual([first.calls, second.calls], [[4], [2]]);
  });

  it('gives what it has when the next place is gone too', async () => {
    const [first, second] = places();
    second.gone = new Problem('unavailable', 'cut off');
    const results = await failover([lacking(first, [1]), second]).sign(items, 'urgent');
    assert.deepEqual(
      results.map(({ ok }) => ok),
      [true, false, true, true],
    );
  });

  it('does not try elsewhere what was refused for its own sake', async () => {
    const [first, second, both] = places();
    first.behave = (tbs) => (Buffer.from(tbs).equals(items[1] as Buffer) ? 'fail' : 'sign');
    const results = await both.sign(items, 'bulk');
    assert.equal(results.filter(({ ok }) => ok).length, 3);
    assert.equal(results[1]?.ok, false);
    assert.deepEqual(second.calls, []);
  });

  it('rejects when no place is left, and names them all', async () => {
    const [first, second, both] = places();
    first.failure = 'first is lost';
    second.failure = 'second is not activated';
    assert.equal(both.failure, 'first is lost; second is not activated');
    await assert.rejects(both.sign(items, 'bulk'), { code: 'unavailable', message: both.failure });
    first.failure = undefined;
    first.gone = new Problem('unavailable', 'cut off');
    await assert.rejects(both.sign(items, 'bulk'), { message: 'cut off' });
  });

  it('answers an empty list', async () => {
    assert.deepEqual(await places()[2].sign([], 'bulk'), []);
  });

  it('refuses places of different keys, and none', () => {
    const first = new TestKeyHolder(key, 'first');
    assert.equal(failover([first]), first);
    for (const other of [ecKey(), rsaKey()])
      assert.throws(() => failover([first, new TestKeyHolder(other, 'other')]), { code: 'config', field: 'other' });
    assert.throws(() => failover([]), { code: 'config' });
  });
});
