/** For auditors: each duty that a gauge can show, worst value of the chosen period against its limit. */
import { above, below, figure, graph, list, ZERO, type Dashboard } from './panels.ts';
import { DAY, HOUR, I, J, of } from './selectors.ts';

export const AUDIT: Dashboard = {
  uid: 'certstatus-audit',
  title: 'certstatus: for auditors',
  description:
    'Each duty that a gauge can show, with its limit. Choose the audit period at the top; certstatus report gives the evidence behind it.',
  rows: [
    {
      title: 'Worst of the chosen period (Baseline Requirements 4.9, CP/CPS 4.9 and 4.10)',
      panels: [
        figure(
          'Oldest answer',
          'Age of the oldest published answer. Limit 4 d (B-19, CT-4.9.10-c).',
          's',
          `max(max_over_time(certstatus_oldest_this_update_age_seconds${I}[$__range]))`,
          above(3 * DAY, 4 * DAY),
        ),
        figure(
          'Least time to nextUpdate',
          'Limit 8 h (B-19, CT-4.9.10-d).',
          's',
          `min(min_over_time(certstatus_least_time_to_next_update_seconds${I}[$__range]))`,
          below(12 * HOUR, 8 * HOUR),
        ),
        figure(
          'Answers too old',
          'Most at one time. Limit 0 (B-19, P-16).',
          'short',
          `max(max_over_time(certstatus_answers_stale${I}[$__range]))`,
          ZERO,
        ),
        figure(
          'Without an answer',
          'Most at one time. Limit 0 (CT-4.10.2-b).',
          'short',
          `max(max_over_time(certstatus_certificates_without_answer${I}[$__range]))`,
          ZERO,
        ),
        figure(
          'Oldest CRL',
          'Limit 7 d, or 4 d (B-13, CT-4.9.7-a).',
          's',
          `max(max_over_time(certstatus_crl_age_seconds${I}[$__range]))`,
          above(4 * DAY, 7 * DAY),
        ),
        figure(
          'Revocation to CRL',
          'Longest that one waited for its CRL. Limit 24 h (B-14, CT-4.9.7-b).',
          's',
          `max(max_over_time(certstatus_oldest_unpublished_revocation_seconds${of('channel="crl"')}[$__range]))`,
          above(HOUR, DAY),
        ),
        figure(
          'Revocation to OCSP',
          'Longest that one waited for its answer. Limit 24 h (B-01).',
          's',
          `max(max_over_time(certstatus_oldest_unpublished_revocation_seconds${of('channel="ocsp"')}[$__range]))`,
          above(HOUR, DAY),
        ),
        figure(
          'Least margin',
          'Of a revocation to its deadline (B-01, B-02).',
          's',
          `min(min_over_time(certstatus_revocation_least_margin_seconds${J}[$__range]))`,
          below(HOUR, 0),
        ),
        figure(
          'Longest answer',
          'p99.9 of what the probe waited. Limit 10 s (B-08, CT-4.10.2-a).',
          's',
          `histogram_quantile(0.999, sum by (le) (increase(certstatus_probe_seconds_bucket${J}[$__range])))`,
          above(5, 10),
        ),
        figure(
          'Issued to first answer',
          'p99.9. Limit 15 min (B-18, CT-4.9.10-e).',
          's',
          `histogram_quantile(0.999, sum by (le) (increase(certstatus_issuance_to_ocsp_seconds_bucket${J}[$__range])))`,
          above(300, 900),
        ),
        figure(
          'Availability',
          'Answers that were neither tryLater nor an error (CT-9.6.1-6).',
          'percentunit',
          `1 - sum(sum_over_time(job:certstatus_answers_failed:rate5m${J}[$__range])) / sum(sum_over_time(job:certstatus_answers:rate5m${J}[$__range]))`,
          below(0.9995, 0.999),
        ),
        figure(
          'Differences',
          'Ledger, OCSP and CRLs, most at one time. Limit 0 (SR-2.2-a).',
          'short',
          `max(max_over_time(certstatus_reconcile_differences${J}[$__range]))`,
          ZERO,
        ),
      ],
    },
    {
      title: 'Evidence',
      panels: [
        figure(
          'Audit log head',
          'Since the newest record, the oldest of all processes (B-39).',
          's',
          `max(certstatus_audit_head_age_seconds${J})`,
          above(2 * DAY, 7 * DAY),
        ),
        figure(
          'Audit log written',
          'Share of the period in which every process could write it.',
          'percentunit',
          `min(avg_over_time(certstatus_audit_writable${J}[$__range]))`,
          below(1, 0.999),
        ),
        figure(
          'Archive read again',
          'Since the last verification (SR-5.5.7).',
          's',
          `max(certstatus_archive_verified_age_seconds${J})`,
          above(8 * DAY, 30 * DAY),
        ),
        figure(
          'Archive problems',
          'Most in the period (CT-5.5.1-3). Limit 0.',
          'short',
          `max(max_over_time(certstatus_archive_problems${J}[$__range]))`,
          ZERO,
        ),
        figure(
          'Sample looked at',
          'Since the last random sample (CT-8.7).',
          's',
          `max(certstatus_sample_age_seconds${J})`,
          above(3 * HOUR, DAY),
        ),
        figure(
          'Sample wrong',
          'Most in the period. Limit 0.',
          'short',
          `max(max_over_time(certstatus_sample_wrong${I}[$__range]))`,
          ZERO,
        ),
      ],
    },
    {
      title: 'Keys and certificates',
      panels: [
        list(
          'CA certificates',
          'Until each ends; a CA outlasts what it issues (CT-5.6).',
          's',
          `min by (issuer) (certstatus_ca_certificate_remaining_seconds${I})`,
          below(260 * DAY, 200 * DAY),
        ),
        list(
          'Responder certificates',
          'Until each ends; at most 125 d (SR-6.3.2-a).',
          's',
          `min by (issuer, certificate) (certstatus_responder_certificate_remaining_seconds${I})`,
          below(21 * DAY, 7 * DAY),
        ),
      ],
    },
    {
      title: 'Over the period',
      panels: [
        graph(
          'Age of the oldest answer',
          'By issuer. Limit 4 d.',
          's',
          [[`max by (issuer) (certstatus_oldest_this_update_age_seconds${I})`, '{{issuer}}']],
          above(3 * DAY, 4 * DAY),
        ),
        graph(
          'Age of the oldest CRL',
          'By issuer. Limit 7 d, or 4 d.',
          's',
          [[`max by (issuer) (certstatus_crl_age_seconds${I})`, '{{issuer}}']],
          above(4 * DAY, 7 * DAY),
        ),
        graph('Pages', 'Alerts that fired, by name.', 'short', [
          ['count by (alertname) (ALERTS{job=~"$job",alertstate="firing",severity="page"})', '{{alertname}}'],
        ]),
      ],
    },
  ],
};
