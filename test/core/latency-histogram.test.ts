/** Percentiles out of buckets against those of the sorted values themselves. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { LatencyHistogram } from '../../src/core/latency-histogram.ts';

const SEED = 20261121;
const SHARES = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];
const micros = fc.array(fc.oneof(fc.nat(200), fc.nat(100_000), fc.nat(3_500_000_000)), {
  minLength: 1,
  maxLength: 300,
});

const within1Percent = (said: number, exact: number): boolean => Math.abs(said - exact) <= Math.max(1, exact / 100);

describe('LatencyHistogram', () => {
  it(`says every percentile to 1 % (seed ${SEED})`, () => {
    fc.assert(
      fc.property(micros, (values) => {
        const histogram = new LatencyHistogram();
        for (const value of values) histogram.record(value);
        const sorted = [...values].sort((a, b) => a - b);
        for (const share of SHARES) {
          const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] as number;
          assert.ok(
            within1Percent(histogram.percentile(share), exact),
            `${share}: ${histogram.percentile(share)}, ${exact}`,
          );
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it(`is the same whether recorded in one or added up from several (seed ${SEED})`, () => {
    fc.assert(
      fc.property(micros, micros, (some, more) => {
        const [one, other, both] = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()];
        for (const value of some) one.record(value);
        for (const value of more) other.record(value);
        for (const value of [...some, ...more]) both.record(value);
        // As it comes from another process: by its counts alone.
        one.add(new LatencyHistogram(other.counts));
        assert.deepEqual(one.counts, both.counts);
        assert.equal(one.count, some.length + more.length);
        for (const share of SHARES) assert.equal(one.percentile(share), both.percentile(share));
      }),
      { seed: SEED, numRuns: 100 },
    );
  });

  it('has no percentile of nothing, and counts what is too long as an hour', () => {
    const histogram = new LatencyHistogram();
    assert.ok(Number.isNaN(histogram.percentile(0.5)));
    histogram.record(1e15);
    assert.ok(within1Percent(histogram.percentile(0.5), 3_600_000_000));
  });
});
