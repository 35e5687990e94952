/**
 * When the octets of an archived CRL may go (CT-5.5.2, SR-5.5.2, SJ-5.5.2): a time after the later of its last reliance and the end of the
 * last certificate that relied on it. Nobody relies on a CRL after its nextUpdate. A certificate can have relied on it when it was
 * issued by then; so the certificates that the ledger knows decide, and one of which it knows no end keeps the CRL for ever.
 */
import type { Certificate, CrlRecord } from '../certificate.ts';
import { DAY, type EpochMs } from '../time.ts';

/** Two years, whatever the calendar (CT-5.5.2-b). */
export const LEAST_RETENTION_MS = 2 * 366 * DAY;

export const RETENTION_RULE = 'CT-5.5.2-b, SR-5.5.2-b, SJ-5.5.2-b';

/** For each day, when the last certificate ends that was issued up to then. */
export class RelianceTable {
  readonly #afterExpiryMs: number;
  readonly #endsByDay = new Map<number, EpochMs>();
  #sorted: readonly (readonly [day: number, end: EpochMs])[] | undefined;

  /** @param afterExpiryMs for how long somebody may still ask whether an ended certificate was revoked (CS-01). */
  constructor(afterExpiryMs: number) {
    this.#afterExpiryMs = afterExpiryMs;
  }

  add({ notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>): void {
    const day = notBefore === undefined ? -Infinity : Math.floor(notBefore / DAY);
    const end = notAfter === undefined ? Infinity : notAfter + this.#afterExpiryMs;
    if (end > (this.#endsByDay.get(day) ?? -Infinity)) this.#endsByDay.set(day, end);
    this.#sorted = undefined;
  }

  /** When the last certificate ends that was issued up to the instant; undefined when there was none. */
  lastEnd(at: EpochMs): EpochMs | undefined {
    if (this.#sorted === undefined) {
      let latest = -Infinity;
      this.#sorted = [...this.#endsByDay]
        .sort(([a], [b]) => a - b)
        .map(([day, end]) => [day, (latest = Math.max(latest, end))]);
    }
    const day = Math.floor(at / DAY);
    return this.#sorted.findLast(([from]) => from <= day)?.[1];
  }
}

/** The instant from which on the octets may go; Infinity: never. */
export function mayGoFrom(
  record: Pick<CrlRecord, 'nextUpdate'>,
  reliance: RelianceTable,
  retentionMs: number | undefined,
): EpochMs {
  if (retentionMs === undefined) return Infinity;
  return Math.max(record.nextUpdate, reliance.lastEnd(record.nextUpdate) ?? -Infinity) + retentionMs;
}
