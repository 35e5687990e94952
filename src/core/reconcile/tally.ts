/** What a comparison has counted so far. */
import type { EpochMs } from '../time.ts';
import type { Difference, ReconcileProgress, ReconcileReport } from './report.ts';

export class Tally {
  readonly #limit: number;
  readonly #listed: Difference[] = [];
  readonly #pending = { ocsp: { count: 0, since: Infinity }, crl: { count: 0, since: Infinity } };
  differences = 0;
  certificates = 0;
  entries = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get progress(): ReconcileProgress {
    const { certificates, entries, differences } = this;
    return { certificates, entries, differences };
  }

  differs(difference: Difference): void {
    this.differences += 1;
    if (this.#listed.length < this.#limit) this.#listed.push(difference);
  }

  waits(channel: 'ocsp' | 'crl', since: EpochMs): void {
    const pending = this.#pending[channel];
    pending.count += 1;
    pending.since = Math.min(pending.since, since);
  }

  result(nowMs: EpochMs): Pick<ReconcileReport, 'differences' | 'listed' | 'pending'> {
    const of = ({ count, since }: { count: number; since: EpochMs }) => ({
      count,
      oldestMs: count === 0 ? 0 : Math.max(0, nowMs - since),
    });
    const { ocsp, crl } = this.#pending;
    return { differences: this.differences, listed: this.#listed, pending: { ocsp: of(ocsp), crl: of(crl) } };
  }
}
