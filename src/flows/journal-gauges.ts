/** Gauges of the audit log of this process. */
import type { MetricSet } from '../core/metric.ts';
import { SECOND } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { MeasuredJournal } from '../ports/journal.ts';

export function registerJournalGauges(set: MetricSet, journal: MeasuredJournal, clock: Clock): void {
  set.gauge('certstatus_audit_records', 'Number of the last audit record; counts from 1 and never goes back.', () => [
    [{}, journal.head.seq],
  ]);
  set.gauge(
    'certstatus_audit_writable',
    '0 while the audit log cannot be written, else 1: at 0 nothing is signed and no event is taken.',
    () => [[{}, journal.failure === undefined ? 1 : 0]],
  );
  set.gauge(
    'certstatus_audit_head_age_seconds',
    'Since the last audit record was written.',
    () => (journal.headAt === undefined ? [] : [[{}, (clock.now() - journal.headAt) / SECOND]]), // prettier-ignore
  );
  set.gauge('certstatus_audit_bytes', 'Size of the audit log, all of its files together.', () => [[{}, journal.bytes]]);
}
