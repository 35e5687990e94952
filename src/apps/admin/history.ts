/**
 * What the charts show: a few figures of the metrics, looked at every ten seconds and kept for an hour, and in steps of five minutes
 * for two days. In memory, about four kilobytes a line; a restart begins anew.
 */
import { LANES } from '../../core/certificate.ts';
import { DAY, HOUR, MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Figures } from './figures.ts';

export const STEP_MS = 10 * SECOND;
const COARSE_MS = 5 * MINUTE;
const FINE = HOUR / STEP_MS;
const COARSE = (2 * DAY) / COARSE_MS;
/** Issuers whose answers' age is kept: three lines each. */
const ISSUERS = 12;

export const AGE_QUANTILES = ['0.5', '0.99', '1'] as const;
export const CHARTED_LANES = LANES.filter((lane) => lane !== 'asked');

export type Range = 'hour' | 'days';
export const RANGES: Readonly<Record<Range, number>> = { hour: HOUR, days: 2 * DAY };

/** `undefined`: not known then. */
export type Point = readonly [at: EpochMs, value: number | undefined];

/** Of several looks within one coarse step: what an operator must not miss, or what the step was like. */
type Merge = 'most' | 'mean';

class Line {
  readonly fine = new Float32Array(FINE).fill(NaN);
  readonly coarse = new Float32Array(COARSE).fill(NaN);
  readonly merge: Merge;
  #sum = 0;
  #most = -Infinity;
  #count = 0;

  constructor(merge: Merge) {
    this.merge = merge;
  }

  add(value: number | undefined, at: number): void {
    this.fine[at % FINE] = value ?? NaN;
    if (value === undefined) return;
    this.#sum += value;
    this.#most = Math.max(this.#most, value);
    this.#count += 1;
  }

  close(at: number): void {
    const value = this.#count === 0 ? NaN : this.merge === 'most' ? this.#most : this.#sum / this.#count;
    this.coarse[at % COARSE] = value;
    [this.#sum, this.#most, this.#count] = [0, -Infinity, 0];
  }
}

/** Of a counter or a histogram at the last look. */
interface Before {
  readonly at: EpochMs;
  readonly totals: ReadonlyMap<string, number>;
  readonly buckets: ReadonlyMap<string, readonly number[]>;
}

const RATES = {
  answers: (figures: Figures) => figures.sum('certstatus_answers_total'),
  unissued: outcomes('unauthorized-serial', 'unauthorized-issuer'),
  malformed: outcomes('malformed', 'not-found', 'method-not-allowed'),
  later: outcomes('try-later', 'internal-error', 'busy'),
  signatures: (figures: Figures) =>
    figures.sum('certstatus_signatures_total') ?? figures.sum('certstatus_signed_certificates_total'),
} as const;

/** Nothing where nobody has been answered. */
function outcomes(...names: readonly string[]): (figures: Figures) => number | undefined {
  return (figures) => {
    if (figures.sum('certstatus_answers_total') === undefined) return undefined;
    return names.reduce((sum, outcome) => sum + (figures.sum('certstatus_answers_total', { outcome }) ?? 0), 0);
  };
}

const HISTOGRAMS = {
  'visible:ocsp': 'certstatus_revocation_to_ocsp_seconds',
  'visible:crl': 'certstatus_revocation_to_crl_seconds',
} as const;

export class History {
  readonly startedAt: EpochMs;
  readonly issuers: readonly string[];
  readonly #lines = new Map<string, Line>();
  readonly #fineAt = new Float64Array(FINE);
  readonly #coarseAt = new Float64Array(COARSE);
  #looks = 0;
  #steps = 0;
  #stepFrom: EpochMs;
  #before: Before | undefined;

  readonly #limits: ReadonlyMap<string, number>;

  /** @param limits by issuer id, in the order of the page: how many seconds old an answer may become. */
  constructor(limits: ReadonlyMap<string, number>, startedAt: EpochMs) {
    const issuers = [...limits.keys()];
    this.#limits = limits;
    this.startedAt = startedAt;
    this.#stepFrom = startedAt;
    this.issuers = issuers.slice(0, ISSUERS);
    for (const name of Object.keys(RATES)) this.#lines.set(name, new Line('mean'));
    for (const name of Object.keys(HISTOGRAMS)) this.#lines.set(name, new Line('most'));
    this.#lines.set('share', new Line('most'));
    for (const lane of CHARTED_LANES) this.#lines.set(`backlog:${lane}`, new Line('most'));
    for (const issuer of this.issuers)
      for (const quantile of AGE_QUANTILES) this.#lines.set(`age:${quantile}:${issuer}`, new Line('most'));
  }

  /** One look. */
  add(now: EpochMs, figures: Figures): void {
    const totals = new Map(Object.entries(RATES).map(([name, read]) => [name, read(figures) ?? NaN]));
    const buckets = new Map(Object.entries(HISTOGRAMS).map(([name, metric]) => [name, worst(figures, metric)]));
    const before = this.#before;
    const seconds = before === undefined ? 0 : (now - before.at) / SECOND;
    const put = (name: string, value: number | undefined): void => this.#lines.get(name)?.add(value, this.#looks);
    for (const [name, total] of totals) {
      const grown = total - (before?.totals.get(name) ?? NaN);
      // A clock that was set back, or a counter that began anew, says nothing.
      put(name, seconds > 0 && grown >= 0 ? grown / seconds : undefined);
    }
    for (const [name, { bounds, counts }] of buckets) put(name, slowest(bounds, counts, before?.buckets.get(name)));
    for (const lane of CHARTED_LANES) put(`backlog:${lane}`, figures.one('certstatus_backlog', { lane }));
    put('share', this.#share(figures));
    for (const issuer of this.issuers)
      for (const quantile of AGE_QUANTILES) put(`age:${quantile}:${issuer}`, age(figures, issuer, quantile));
    this.#before = { at: now, totals, buckets: new Map([...buckets].map(([name, { counts }]) => [name, counts])) };
    this.#fineAt[this.#looks % FINE] = now;
    this.#looks += 1;
    if (Math.abs(now - this.#stepFrom) < COARSE_MS) return;
    for (const line of this.#lines.values()) line.close(this.#steps);
    this.#coarseAt[this.#steps % COARSE] = now;
    this.#steps += 1;
    this.#stepFrom = now;
  }

  /** The oldest answer's age in percent of what is permitted, of all issuers the worst. */
  #share(figures: Figures): number | undefined {
    const shares = [...this.#limits].flatMap(([issuer, limit]) => {
      const oldest = age(figures, issuer, '1');
      return oldest === undefined ? [] : (100 * oldest) / limit;
    });
    return shares.length === 0 ? undefined : Math.max(...shares);
  }

  /** Oldest first; of the last hour, or of two days. Empty for a line that is not kept. */
  points(name: string, range: Range): readonly Point[] {
    const line = this.#lines.get(name);
    if (line === undefined) return [];
    const [values, times, size, end] =
      range === 'hour'
        ? [line.fine, this.#fineAt, FINE, this.#looks]
        : [line.coarse, this.#coarseAt, COARSE, this.#steps];
    return Array.from({ length: Math.min(size, end) }, (_, i): Point => {
      const at = (Math.max(0, end - size) + i) % size;
      const value = values[at] as number;
      return [times[at] as number, Number.isNaN(value) ? undefined : value];
    });
  }
}

function age(figures: Figures, issuer: string, quantile: (typeof AGE_QUANTILES)[number]): number | undefined {
  const said = figures.one('certstatus_this_update_age_seconds', { issuer, quantile });
  return said ?? (quantile === '1' ? figures.one('certstatus_oldest_this_update_age_seconds', { issuer }) : undefined);
}

function worst(
  figures: Figures,
  metric: string,
): { readonly bounds: readonly number[]; readonly counts: readonly number[] } {
  return figures.buckets(metric) ?? { bounds: [], counts: [] };
}

/** The upper bound of the highest bucket that was hit since: no revocation took longer. Undefined when there was none. */
function slowest(
  bounds: readonly number[],
  counts: readonly number[],
  before: readonly number[] | undefined,
): number | undefined {
  if (before === undefined) return undefined;
  for (let i = counts.length - 1; i >= 0; i -= 1)
    if ((counts[i] as number) > (before[i] ?? 0)) return bounds[Math.min(i, bounds.length - 1)];
  return undefined;
}
