/**
 * Latencies in bounded memory, whatever their number: counts in buckets that grow with the value, so that each percentile is
 * right to 1 %. Microseconds; what is longer than an hour counts as an hour.
 */

/** Buckets per doubling of the value: 64, so the width is at most a 64th of the value, the middle right to a 128th. */
const BITS = 6;
const HALF = 1 << BITS;
const LONGEST = 3_600_000_000;
const BUCKETS = bucketOf(LONGEST) + 1;

export class LatencyHistogram {
  /** Plain, so that it can be sent to another process. */
  readonly counts: Float64Array;
  #count = 0;

  constructor(counts: Float64Array = new Float64Array(BUCKETS)) {
    this.counts = counts;
    for (const count of counts) this.#count += count;
  }

  get count(): number {
    return this.#count;
  }

  record(microseconds: number): void {
    const bucket = bucketOf(Math.min(Math.max(0, microseconds), LONGEST));
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.#count += 1;
  }

  add(other: LatencyHistogram): void {
    for (let i = 0; i < BUCKETS; i++) this.counts[i] = (this.counts[i] as number) + (other.counts[i] as number);
    this.#count += other.count;
  }

  /** @param share 0.99 for p99. @returns microseconds that this share of the values does not exceed; NaN when there are none. */
  percentile(share: number): number {
    if (this.#count === 0) return NaN;
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.counts[i] as number;
      if (left <= 0) return middleOf(i);
    }
    return middleOf(BUCKETS - 1);
  }
}

/** Values below 2 · HALF have a bucket each; above, each doubling has HALF of them. */
function bucketOf(microseconds: number): number {
  const value = Math.floor(microseconds);
  if (value < 2 * HALF) return value;
  const shift = Math.floor(Math.log2(value)) - BITS;
  return shift * HALF + Math.floor(value / 2 ** shift);
}

function middleOf(bucket: number): number {
  if (bucket < 2 * HALF) return bucket;
  const shift = Math.floor(bucket / HALF) - 1;
  return (bucket - shift * HALF + 0.5) * 2 ** shift;
}
