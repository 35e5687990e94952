import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Certificate, IssuerTag } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { SECOND } from '../../src/core/time.ts';
import { flowMetrics, LOOKUPS } from '../../src/flows/metrics.ts';
import { MissBudget, type Admitted } from '../../src/flows/serve/miss-budget.ts';
import type { StoreEvent } from '../../src/ports/store.ts';
import { FakeClock, settled } from './support-clock.ts';
import { serials, START } from './support-service.ts';

const TAG = 'a1b2c3d4' as IssuerTag;
const RATE = 100;
const SEED = 20_48;

class Ledger {
  issued: Serial[] = [];
  readings = 0;
  failing = false;
  #follower: (event: StoreEvent) => void = () => undefined;

  follow(follower: (event: StoreEvent) => void): void {
    this.#follower = follower;
  }

  async *serials(): AsyncIterable<readonly Serial[]> {
    this.readings += 1;
    await Promise.resolve();
    if (this.failing) throw new Error('no ledger');
    for (let from = 0; from < this.issued.length; from += 10) yield this.issued.slice(from, from + 10);
  }

  tell(event: StoreEvent): void {
    this.#follower(event);
  }

  record(serial: Serial): void {
    this.tell({ type: 'recorded', change: { certificate: { issuer: TAG, serial } as Certificate, lane: 'issue' } });
  }
}

function budget(ledger = new Ledger()) {
  const clock = new FakeClock(START);
  const { lookups, set } = flowMetrics();
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const parts = { issuers: [TAG], store: ledger, perSecond: RATE, seed: 7, clock, log, metrics: lookups };
  const misses = new MissBudget(parts);
  /** What becomes of one question at once. */
  const ask = (serial: Serial, issued = false): 'looked up' | 'never-issued' | 'try-later' => {
    const admitted = misses.admit(TAG, serial);
    if (typeof admitted === 'string') return admitted;
    admitted.settle(issued ? 'found' : 'never-issued');
    return 'looked up';
  };
  /** How many of these were looked up. */
  const flood = (list: readonly Serial[]): number => list.filter((serial) => ask(serial) === 'looked up').length;
  const counts = (): Record<string, number> => {
    for (const metric of set) {
      if (metric.kind !== 'counter' || metric.name !== 'certstatus_lookups_total') continue;
      return Object.fromEntries(metric.slots.map(({ labels, slot }) => [labels['result'] as string, slot.value]));
    }
    return {};
  };
  return { clock, misses, ledger, ask, flood, counts };
}

describe('miss-budget', () => {
  it('looks up at most the stated number a second of serials that nobody issued', () => {
    const { clock, flood } = budget();
    const asked = serials(10_000);
    assert.equal(flood(asked.slice(0, RATE)), RATE);
    assert.equal(flood(asked.slice(RATE, 1000)), 0);
    let more = 0;
    for (let i = 0; i < 50; i++) {
      clock.step(SECOND / 10);
      more += flood(asked.slice(1000 + i * 100, 1100 + i * 100));
    }
    assert.equal(more, 5 * RATE);
    // After a long quiet time it is one second's worth, not more.
    clock.step(3600 * SECOND);
    assert.equal(flood(asked.slice(6000, 7000)), RATE);
  });

  it('counts every way that a question can go', () => {
    const { ask, flood, counts } = budget();
    const [first, ...rest] = serials(2 * RATE) as [Serial, ...Serial[]];
    ask(first);
    flood(rest);
    ask(first);
    assert.deepEqual(counts(), {
      found: 0,
      'never-issued': RATE,
      failed: 0,
      remembered: 1,
      refused: RATE,
      crowded: 0,
    });
    assert.deepEqual(Object.keys(counts()), [...LOOKUPS]);
  });

  it('lets through what exists, however much of it, also when nothing is known of it yet', () => {
    const { ask, counts } = budget();
    for (const serial of serials(20 * RATE)) assert.equal(ask(serial, true), 'looked up');
    assert.equal(counts()['refused'], 0);
  });

  it('knows what was issued from the ledger, and lets it through when a flood has used up the budget', async () => {
    const { clock, misses, ledger, ask, flood } = budget();
    ledger.issued = serials(200);
    misses.start();
    await clock.advance(SECOND);
    assert.equal(misses.known.count, 200);
    assert.equal(flood(serials(1000, 5000)), RATE);
    for (const serial of ledger.issued) assert.equal(ask(serial, true), 'looked up');
    assert.equal(ask(serials(1, 9999)[0] as Serial), 'try-later');
  });

  it('lets a certificate through that was recorded in the middle of a flood (CT-4.9.10-e)', () => {
    const { ledger, ask, flood } = budget();
    const [late] = serials(1, 70_000) as [Serial];
    flood(serials(RATE / 2 + 10));
    assert.equal(ask(late), 'looked up');
    assert.equal(ask(late), 'never-issued');
    flood(serials(1000, 5000));
    assert.equal(ask(late), 'never-issued');
    ledger.record(late);
    assert.equal(ask(late, true), 'looked up');
  });

  it('remembers nothing that the feed overtook, nothing for longer than a second, and nothing after a gap', () => {
    const { clock, misses, ledger, ask, flood } = budget();
    const [one, two, other] = serials(3, 80_000) as [Serial, Serial, Serial];
    const overtaken = misses.admit(TAG, one) as Admitted;
    ledger.record(other);
    overtaken.settle('never-issued');
    assert.equal(ask(two), 'looked up');
    flood(serials(1000, 5000));
    assert.equal(ask(one), 'try-later');
    assert.equal(ask(two), 'never-issued');
    ledger.tell({ type: 'gap', issuer: TAG });
    assert.equal(ask(two), 'try-later');
    clock.step(SECOND / 10);
    assert.equal(ask(two), 'looked up');
    flood(serials(1000, 6000));
    assert.equal(ask(two), 'never-issued');
    clock.step(-SECOND / 10);
    assert.equal(ask(two), 'try-later', 'the clock was set back');
    clock.step(SECOND + SECOND / 10);
    flood(serials(1000, 7000));
    assert.equal(ask(two), 'try-later', 'it is too long ago');
  });

  it('reads the ledger again after a gap, after a failure, and not more often than it may', async () => {
    const { clock, misses, ledger } = budget();
    ledger.issued = serials(10);
    ledger.failing = true;
    misses.start();
    await clock.advance(SECOND);
    assert.deepEqual([ledger.readings, misses.known.count], [1, 0]);
    ledger.failing = false;
    for (let i = 0; i < 5; i++) ledger.tell({ type: 'gap', issuer: TAG });
    await clock.advance(SECOND);
    assert.equal(ledger.readings, 1);
    await clock.advance(31 * SECOND);
    assert.deepEqual([ledger.readings, misses.known.count], [2, 10]);
    await clock.advance(300 * SECOND);
    assert.equal(ledger.readings, 2);
    ledger.tell({ type: 'gap', issuer: TAG });
    await settled();
    assert.equal(ledger.readings, 3);
    misses.stop();
    await clock.advance(60 * SECOND);
    ledger.tell({ type: 'gap', issuer: TAG });
    await settled();
    assert.equal(ledger.readings, 3);
  });

  it('has a bound for what is under way, and says so at once', () => {
    const { misses, ledger, counts } = budget();
    const asked = serials(6000);
    for (const serial of asked) ledger.record(serial);
    const answers = asked.map((serial) => misses.admit(TAG, serial));
    const admitted = answers.filter((answer): answer is Admitted => typeof answer !== 'string');
    assert.equal(admitted.length, 4096);
    assert.equal(counts()['crowded'], 6000 - 4096);
    // A store that fails costs nothing: what it holds is asked for again when it is back.
    for (const one of admitted) one.settle('failed');
    assert.equal(asked.filter((serial) => typeof misses.admit(TAG, serial) !== 'string').length, 4096);
  });

  it('never looks up more than its rate and two seconds of it, whatever is asked in whatever order', () => {
    const list = serials(3000);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2999), fc.nat(40)), { maxLength: 2000 }), (asked) => {
        const { clock, ledger, ask } = budget();
        // As if the filter took them for issued: the worst that it can do.
        for (const serial of list.slice(0, 1500)) ledger.record(serial);
        let [reads, passed] = [0, 0];
        for (const [which, ms] of asked) {
          clock.step(ms);
          passed += ms;
          reads += Number(ask(list[which] as Serial) === 'looked up');
        }
        return reads <= (RATE * passed) / SECOND + 2 * RATE;
      }),
      { seed: SEED, numRuns: 100 },
    );
  });
});
