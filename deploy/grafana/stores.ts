/** The store, the feed, the audit log, disks, the archive, the clock. */
import { above, below, figure, graph, ONE, ZERO, type Dashboard } from './panels.ts';
import { HOUR, I, J } from './selectors.ts';

export const STORES: Dashboard = {
  uid: 'certstatus-stores',
  title: 'certstatus: stores and feed',
  description: 'The store, the change feed, the audit log, the disks, the archive, the clock.',
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Store',
          '1 while every process can rely on it.',
          'bool_on_off',
          `min(certstatus_store_usable${J})`,
          ONE,
        ),
        figure(
          'Feed silent',
          'For how long no proof came that changes arrive; the worst. At 15 min good ends.',
          's',
          `max(certstatus_feed_silent_seconds${J})`,
          above(30, 60),
        ),
        figure(
          'Round trip',
          'To the Redis and back; the worst.',
          's',
          `max(certstatus_store_round_trip_seconds${J})`,
          above(0.05, 0.5),
        ),
        figure(
          'Audit log',
          '1 while all can write theirs; else nothing is signed or taken.',
          'bool_on_off',
          `min(certstatus_audit_writable${J})`,
          ONE,
        ),
        figure(
          'Least disk',
          'Free, where it is least.',
          'bytes',
          `min(certstatus_disk_free_bytes${J})`,
          below(10e9, 1e9),
        ),
        figure('Clock', 'The worst offset.', 's', `max(abs(certstatus_clock_offset_seconds${J}))`, above(0.5, 2)),
      ],
    },
    {
      title: 'Store and feed',
      panels: [
        graph('Feed lag', 'Between a change and its arrival.', 's', [
          [`max by (instance) (certstatus_feed_lag_seconds${J})`, '{{instance}}'],
        ]),
        graph('Feed gaps', 'In an hour: each made a process look everything up again.', 'short', [
          [`sum by (instance) (increase(certstatus_feed_gaps_total${J}[1h]))`, '{{instance}}'],
        ]),
        graph('Round trip', 'To the Redis and back.', 's', [
          [`max by (instance) (certstatus_store_round_trip_seconds${J})`, '{{instance}}'],
        ]),
        graph('Size of the store', 'As it says itself.', 'bytes', [[`max(certstatus_store_bytes${J})`, 'store']]),
        graph('Published answers', 'Certificates with one, by issuer.', 'short', [
          [`max by (issuer) (certstatus_published_certificates${I})`, '{{issuer}}'],
        ]),
        graph('Memory of responders', 'Answers held ready to send.', 'bytes', [
          [`sum by (instance) (certstatus_response_table_bytes${J})`, '{{instance}}'],
        ]),
      ],
    },
    {
      title: 'Journal, disks, archive',
      panels: [
        graph('Audit records', 'Each second, by process.', 'ops', [
          [`sum by (instance) (rate(certstatus_audit_records${J}[5m]))`, '{{instance}}'],
        ]),
        graph('Audit log', 'Its size, by process.', 'bytes', [
          [`sum by (instance) (certstatus_audit_bytes${J})`, '{{instance}}'],
        ]),
        graph(
          'Free disk',
          'By process and directory. Below 1 GB DiskFills fires.',
          'bytes',
          [[`min by (instance, directory) (certstatus_disk_free_bytes${J})`, '{{instance}} {{directory}}']],
          below(10e9, 1e9),
        ),
        graph(
          'Archive: second place',
          'How long the oldest CRL waits for its copy (SR-5.5.4).',
          's',
          [[`max by (instance) (certstatus_archive_copy_lag_seconds${J})`, '{{instance}}']],
          above(600, HOUR),
        ),
        graph(
          'Archive: problems',
          'Found by the last verification and not mended.',
          'short',
          [[`max by (instance) (certstatus_archive_problems${J})`, '{{instance}}']],
          ZERO,
        ),
        graph('Clock', 'Offset, against NTP and the Redis.', 's', [
          [`certstatus_clock_offset_seconds${J}`, '{{instance}} {{against}}'],
        ]),
      ],
    },
  ],
};
