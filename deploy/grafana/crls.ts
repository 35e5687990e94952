/** Every CRL: age, size, publication. */
import { above, below, figure, graph, list, ZERO, type Dashboard } from './panels.ts';
import { DAY, HOUR, I, J } from './selectors.ts';

export const CRLS: Dashboard = {
  uid: 'certstatus-crls',
  title: 'certstatus: CRLs',
  description: 'Age, size, growth and publication of every CRL.',
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Not served',
          'Configured, and none is there or it has run out.',
          'short',
          `max(certstatus_crls_missing${I})`,
          ZERO,
        ),
        figure(
          'Kept back',
          'Signed, and refused by the publish gate: crl show --why.',
          'short',
          `max(certstatus_crl_refused${I})`,
          ZERO,
        ),
        figure(
          'Oldest',
          'Limit 7 d, or 4 d where certificates name no OCSP (B-13).',
          's',
          `max(certstatus_crl_age_seconds${I})`,
          above(3 * DAY, 4 * DAY),
        ),
        figure(
          'First runs out',
          'Until the first CRL is not served any more.',
          's',
          `min(certstatus_crl_time_to_next_update_seconds${I})`,
          below(3 * DAY, DAY),
        ),
        figure('Largest', 'Limit 10 MB (P-17).', 'bytes', `max(certstatus_crl_bytes${I})`, above(8e6, 10e6)),
        figure(
          'URLs to declare',
          'CRL URLs that nobody has said are in the CCADB (P-09).',
          'short',
          `max(certstatus_crl_urls_unacknowledged${I})`,
          above(1, 100),
        ),
      ],
    },
    {
      title: 'Over time',
      panels: [
        graph('Age', 'Of the oldest, by issuer, and the period that it should keep.', 's', [
          [`max by (issuer) (certstatus_crl_age_seconds${I})`, '{{issuer}}'],
          [`max by (issuer) (certstatus_crl_period_seconds${I})`, '{{issuer}} period'],
        ]),
        graph('Time to nextUpdate', 'The first, by issuer.', 's', [
          [`min by (issuer) (certstatus_crl_time_to_next_update_seconds${I})`, '{{issuer}}'],
        ]),
        graph(
          'Size',
          'The largest, and what it would be if everything were revoked. Limit 10 MB.',
          'bytes',
          [
            [`max by (issuer) (certstatus_crl_bytes${I})`, '{{issuer}}'],
            [`max by (issuer) (certstatus_crl_full_revocation_bytes${I})`, '{{issuer}} all revoked'],
          ],
          above(8e6, 10e6),
        ),
        graph('Entries', 'Revoked certificates that are listed, by issuer.', 'short', [
          [`max by (issuer) (certstatus_crl_entries${I})`, '{{issuer}}'],
        ]),
        graph('Published and failed', 'In an hour, by issuer.', 'short', [
          [`sum by (issuer) (increase(certstatus_crls_published_total${I}[1h]))`, '{{issuer}} published'],
          [`sum by (issuer) (increase(certstatus_crls_failed_total${I}[1h]))`, '{{issuer}} failed'],
        ]),
        graph('Recorded to listed', 'p99, oldest revocation of each CRL. Limit 24 h (B-14).', 's', [
          [`histogram_quantile(0.99, sum by (le) (rate(certstatus_revocation_to_crl_seconds_bucket${J}[1h])))`, 'p99'],
        ]),
        graph('Downloads of large CRLs', 'Under way, and the memory that replaced ones still hold.', 'short', [
          [`sum by (instance) (certstatus_downloads${J})`, '{{instance}}'],
        ]),
        graph(
          'Shards over the limit',
          'CRLs that would have 10 MB if everything were revoked.',
          'short',
          [[`max by (issuer) (certstatus_crl_shards_over_limit${I})`, '{{issuer}}']],
          ZERO,
        ),
        graph(
          'URLs due',
          'Until the CCADB must know a URL (P-09).',
          's',
          [[`min by (issuer) (certstatus_crl_urls_due_seconds${I})`, '{{issuer}}']],
          below(3 * DAY, 4 * HOUR),
        ),
      ],
    },
    {
      title: 'Signed offline',
      panels: [
        list(
          'Material',
          'Until it ends, by kind. A ceremony is due 30 d before.',
          's',
          `min by (issuer, kind) (certstatus_offline_remaining_seconds${I})`,
          below(30 * DAY, 5 * DAY),
        ),
      ],
    },
  ],
};
