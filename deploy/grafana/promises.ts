/** Is every promise kept: the one to begin with. */
import { above, below, figure, graph, list, ZERO, type Dashboard } from './panels.ts';
import { DAY, HOUR, I, J, of } from './selectors.ts';

export const PROMISES: Dashboard = {
  uid: 'certstatus-promises',
  title: 'certstatus: promises',
  description: 'Is every promise kept, how far is each limit, what fires.',
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Pages firing',
          'Alerts with severity page. Each has a section in deploy/guide/runbook.md.',
          'short',
          'count(ALERTS{job=~"$job",alertstate="firing",severity="page"}) or vector(0)',
          ZERO,
        ),
        figure(
          'Processes up',
          'Share of the watched processes that answer.',
          'percentunit',
          `avg(up${J})`,
          below(1, 0.5),
        ),
        figure(
          'First answer runs out',
          'Of all published answers, not only those asked for. Limit 8 h (B-19, CT-4.9.10-d).',
          's',
          `min(certstatus_least_time_to_next_update_seconds${I})`,
          below(12 * HOUR, 8 * HOUR),
        ),
        figure(
          'Answers refreshed late',
          'Past the planned refresh by more than is allowed; the deadline is still ahead.',
          'short',
          `max(certstatus_answers_late${I})`,
          ZERO,
        ),
        figure(
          'Answers too old',
          'Past half the validity, 4 d, or within 8 h of the end (B-19, P-16). A broken rule.',
          'short',
          `max(certstatus_answers_stale${I})`,
          ZERO,
        ),
        figure(
          'Without an answer',
          'Unexpired certificates that have no servable answer (CT-4.10.2-b), as the last reconcile found.',
          'short',
          `max(certstatus_certificates_without_answer${I})`,
          ZERO,
        ),
        figure(
          'Revocation open, OCSP',
          'How long the oldest revocation waits for its OCSP answer. Target seconds, limit 24 h (B-01).',
          's',
          `max(certstatus_oldest_unpublished_revocation_seconds${of('channel="ocsp"')})`,
          above(60, 300),
        ),
        figure(
          'Revocation open, CRL',
          'How long the oldest revocation waits for its CRL. Target minutes, limit 24 h (B-14).',
          's',
          `max(certstatus_oldest_unpublished_revocation_seconds${of('channel="crl"')})`,
          above(900, 1800),
        ),
        figure(
          'Oldest CRL',
          'Age of the oldest CRL that is served. Limit 7 d, or 4 d (B-13).',
          's',
          `max(certstatus_crl_age_seconds${I})`,
          above(3 * DAY, 4 * DAY),
        ),
        figure(
          'Availability, 30 d',
          'Answers that were neither tryLater nor an error. Objective 99.9 %.',
          'percentunit',
          `1 - sum(sum_over_time(job:certstatus_answers_failed:rate5m${J}[30d])) / sum(sum_over_time(job:certstatus_answers:rate5m${J}[30d]))`,
          below(0.9995, 0.999),
        ),
        figure(
          'Differences',
          'Ledger against OCSP against CRLs (SR-2.2-a). Limit 0.',
          'short',
          `max(certstatus_reconcile_differences${J})`,
          ZERO,
        ),
        figure(
          'Successor due',
          'Until the next responder certificate must be installed (T-17).',
          's',
          `min(certstatus_responder_successor_due_seconds${I})`,
          below(21 * DAY, 14 * DAY),
        ),
      ],
    },
    {
      title: 'Freshness of the whole population',
      panels: [
        graph('Age of answers', 'thisUpdate over all published answers: median, worst in a hundred, worst.', 's', [
          [`max by (issuer, quantile) (certstatus_this_update_age_seconds${I})`, '{{issuer}} p{{quantile}}'],
        ]),
        graph(
          'Time to nextUpdate',
          'Over all published answers; quantile 0 is the first that runs out. Limit 8 h.',
          's',
          [[`min by (issuer, quantile) (certstatus_time_to_next_update_seconds${I})`, '{{issuer}} p{{quantile}}']],
          below(12 * HOUR, 8 * HOUR),
        ),
        graph('Certificates', 'Recorded and unexpired, by status.', 'short', [
          [`max by (issuer, status) (certstatus_certificates${I})`, '{{issuer}} {{status}}'],
        ]),
      ],
    },
    {
      title: 'Revocations',
      panels: [
        graph(
          'Seen from outside in time',
          'Of the last day: in OCSP within a minute, on the CRL within an hour. Objective 99 %.',
          'percentunit',
          [
            [`job:certstatus_revocations_in_ocsp_within_1m:ratio_increase1d${J}`, 'OCSP within 1 min'],
            [`job:certstatus_revocations_on_crl_within_1h:ratio_increase1d${J}`, 'CRL within 1 h'],
          ],
          below(0.99, 0.95),
        ),
        graph('Recorded to OCSP', 'p99 and median, from the record to the published answer.', 's', [
          [
            `histogram_quantile(0.99, sum by (le) (rate(certstatus_revocation_to_ocsp_seconds_bucket${J}[10m])))`,
            'p99',
          ],
          [
            `histogram_quantile(0.5, sum by (le) (rate(certstatus_revocation_to_ocsp_seconds_bucket${J}[10m])))`,
            'median',
          ],
        ]),
        graph(
          'Time left',
          'Of the open revocation that is nearest to its limit; nothing when none is open (B-01, B-02).',
          's',
          [
            [`min by (limit) (certstatus_revocation_deadline_seconds${J})`, '{{limit}}'],
            [`min(certstatus_revocation_least_margin_seconds${J})`, 'seen from outside'],
          ],
          below(6 * HOUR, 0),
        ),
      ],
    },
    {
      title: 'What fires',
      panels: [
        list(
          'Alerts',
          'Everything that fires now, pages first. Runbook: deploy/guide/runbook.md.',
          'short',
          'sort_desc(sum by (alertname, severity, issuer, instance) (ALERTS{job=~"$job",alertstate="firing"}))',
        ),
      ],
    },
  ],
};
