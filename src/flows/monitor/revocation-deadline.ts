/**
 * How long the open revocation that is nearest to its limit has left, by limit (CT-4.9.1.1-1..16, B-05, B-14): 24 h from awareness for
 * the clauses of 24 hours and from the record for all, 5 d from awareness for the rest.
 */
import type { MetricSet } from '../../core/metric.ts';
import { RECORDED_TO_CRL_MS } from '../../core/revocation-report.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';

export type RevocationLimit = '24h' | '5d';

export interface RevocationDeadlineSources {
  /** When the oldest revocations were recorded that are not published yet, by whoever signs. */
  readonly unpublished: () => readonly (EpochMs | undefined)[];
  /** Deadlines of those that the monitor has not seen yet. */
  readonly watched: () => readonly { readonly limit: RevocationLimit; readonly at: EpochMs }[];
  readonly clock: Clock;
}

export function registerRevocationDeadlines(set: MetricSet, sources: RevocationDeadlineSources): void {
  const { unpublished, watched, clock } = sources;
  set.gauge(
    'certstatus_revocation_deadline_seconds',
    'Time left of the revocation nearest to its limit that is not seen in OCSP and on its CRL yet, by limit: 24 h or 5 d from awareness, 24 h from the record. Absent when none is open; below 0 the limit is broken.',
    () => {
      const least = new Map<RevocationLimit, EpochMs>();
      const note = (limit: RevocationLimit, at: EpochMs): unknown =>
        least.set(limit, Math.min(at, least.get(limit) ?? Infinity));
      for (const recordedAt of unpublished())
        if (recordedAt !== undefined) note('24h', recordedAt + RECORDED_TO_CRL_MS);
      for (const { limit, at } of watched()) note(limit, at);
      return [...least].map(([limit, at]) => [{ limit }, (at - clock.now()) / SECOND] as const);
    },
  );
}
