import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MetricSet, type Slot } from '../../src/core/metric.ts';
import { keyOf, MetricSum, MetricTeller } from '../../src/core/metric-changes.ts';

const SEED = 4711;
const BOUNDS = [1, 2];

/** A process that counts. */
class Counting {
  readonly set = new MetricSet();
  readonly teller = new MetricTeller(this.set);
  readonly #slots = new Map<string, Slot>();
  readonly #histogram = this.set.histogram('h', 'help', BOUNDS);

  count(label: string): void {
    let slot = this.#slots.get(label);
    if (slot === undefined) this.#slots.set(label, (slot = this.set.counter('c', 'help', { label })));
    slot.value += 1;
  }

  observe(value: number): void {
    this.#histogram.observe(value);
  }
}

describe('metrics of several processes', () => {
  it(`add up to what was told, whoever ends when (seed ${SEED})`, () => {
    const step = fc.record({
      process: fc.nat(2),
      what: fc.oneof(
        fc.constantFrom('a', 'b', 'c').map((label) => ({ label })),
        fc.constantFrom(0.5, 1.5, 9).map((value) => ({ value })),
        fc.constantFrom('tell' as const, 'end' as const),
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const processes = [new Counting(), new Counting(), new Counting()];
        /** Counted and not told. */
        const untold = processes.map((): Map<string, number> => new Map());
        const expected = new Map<string, number>();
        const set = new MetricSet();
        // One that counts here as well.
        set.counter('c', 'help', { label: 'a' }).value = 1000;
        expected.set('a', 1000);
        const sum = new MetricSum(set);
        const add = (to: Map<string, number>, key: string, by: number): unknown => to.set(key, (to.get(key) ?? 0) + by);
        const tell = (i: number): void => {
          sum.add((processes[i] as Counting).teller.changes());
          for (const [key, by] of untold[i] as Map<string, number>) add(expected, key, by);
          untold[i] = new Map();
        };
        for (const { process: i, what } of steps) {
          const process = processes[i] as Counting;
          const pending = untold[i] as Map<string, number>;
          if (what === 'tell') tell(i);
          else if (what === 'end') {
            processes[i] = new Counting();
            untold[i] = new Map();
          } else if ('label' in what) {
            process.count(what.label);
            add(pending, what.label, 1);
          } else {
            process.observe(what.value);
            add(pending, `sum`, what.value);
            add(pending, `bucket ${BOUNDS.findIndex((bound) => what.value <= bound)}`, 1);
          }
        }
        processes.forEach((_, i) => tell(i));
        for (const metric of set) {
          if (metric.kind === 'counter') {
            for (const { labels, slot } of metric.slots)
              assert.equal(slot.value, expected.get(labels['label'] as string));
            assert.equal(metric.slots.length, [...expected.keys()].filter((key) => key.length === 1).length);
          } else if (metric.kind === 'histogram') {
            const [one, ...others] = metric.series;
            assert.equal(others.length, 0, 'one for each label set');
            assert.equal(one?.sum.value, expected.get('sum') ?? 0);
            assert.deepEqual(
              [...(one?.counts ?? [])],
              [0, 1, -1].map((bucket) => expected.get(`bucket ${bucket}`) ?? 0),
            );
          }
        }
      }),
      { numRuns: 200, seed: SEED },
    );
  });

  it('tells each gauge as it is, and what has not moved not at all', () => {
    const set = new MetricSet();
    set.counter('c', 'help').value = 2;
    set.gauge('g', 'help', () => [[{ x: '1' }, 7]]);
    const teller = new MetricTeller(set);
    assert.deepEqual(teller.changes(), {
      counters: [['c', 'help', {}, 2]],
      histograms: [],
      gauges: [['g', 'help', { x: '1' }, 7]],
    });
    assert.deepEqual(teller.changes().counters, []);
  });

  it('knows labels in whatever order', () => {
    assert.equal(keyOf({ a: '1', b: '2' }), keyOf({ b: '2', a: '1' }));
    assert.notEqual(keyOf({ a: '1' }), keyOf({ a: '2' }));
  });
});
