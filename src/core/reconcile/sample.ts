/**
 * Which certificates a random sample has (CT-8.7, SR-8.7, SJ-8.7). Each has a rank, the SHA-256 of seed, issuer and serial, and the
 * sample is those of the lowest ranks: whoever has the seed and the ledger draws the same sample again, in any order, and nobody can
 * prefer one certificate to another.
 */
import { createHash } from 'node:crypto';
import type { IssuerTag } from '../certificate.ts';
import { Problem } from '../problem.ts';
import type { Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

/** By the first sixteen bits of their ranks, how many certificates there are: the sample is cut out without keeping them all. */
export class RankCounts {
  readonly #counts = new Uint32Array(1 << 16);
  total = 0;

  add(rank: Buffer): void {
    const bucket = rank.readUInt16BE();
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.total += 1;
  }

  /** The least bucket up to which there are at least `wanted`. */
  bucketOf(wanted: number): number {
    let sum = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      sum += count;
      if (sum >= wanted) return bucket;
    }
    return this.#counts.length - 1;
  }
}

export function rankOf(seed: string, issuer: IssuerTag, serial: Serial): Buffer {
  return createHash('sha256').update(`${seed}\n${issuer}\n${serial}`).digest();
}

/** "The greater of" a minimum and a share (SR-8.7-a, SR-8.7-b, SJ-8.7), of no more than there are. */
export function sampleSize(population: number, percent: number, minimum: number): number {
  return Math.min(population, Math.max(minimum, Math.ceil((population * percent) / 100)));
}

/** `2026Q4`: [from, to). @throws Problem `invalid` */
export function quarterOf(text: string, field: string): { readonly from: EpochMs; readonly to: EpochMs } {
  const [, year, quarter] = /^(\d{4})Q([1-4])$/.exec(text) ?? [];
  if (year === undefined || quarter === undefined)
    throw new Problem('invalid', 'not a quarter like 2026Q4', { field, value: text, rule: 'CT-8.7' });
  const month = (Number(quarter) - 1) * 3;
  return { from: Date.UTC(Number(year), month), to: Date.UTC(Number(year), month + 3) };
}
