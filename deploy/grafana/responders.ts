/** What clients ask and get. */
import { above, below, figure, graph, ZERO, type Dashboard } from './panels.ts';
import { J, of } from './selectors.ts';

export const RESPONDERS: Dashboard = {
  uid: 'certstatus-responders',
  title: 'certstatus: responders and traffic',
  description: 'What clients ask and get, how fast, and what is turned away.',
  rows: [
    {
      title: 'Now',
      panels: [
        figure('Answers', 'Each second, OCSP and files.', 'reqps', `sum(job:certstatus_answers:rate5m${J})`, [
          [null, 'green'],
        ]),
        figure(
          'Failed',
          'tryLater and errors, without what a flood of unissued serials is refused. Objective 0.1 %.',
          'percentunit',
          `max(job:certstatus_answers_failed:ratio_rate5m${J})`,
          above(0.001, 0.0144),
        ),
        figure(
          'From memory',
          'Answers that needed no read of the store.',
          'percentunit',
          `min(job:certstatus_cache_hits:ratio_rate5m${J})`,
          below(0.9, 0.5),
        ),
        figure(
          'Waits, OCSP',
          'p99 of what the probe waits. Limit 10 s (B-08).',
          's',
          `histogram_quantile(0.99, sum by (le) (rate(certstatus_probe_seconds_bucket${of('channel="ocsp"')}[30m])))`,
          above(2, 5),
        ),
        figure(
          'Waits, CRL',
          'p99 of what the probe waits. Limit 10 s (B-08).',
          's',
          `histogram_quantile(0.99, sum by (le) (rate(certstatus_probe_seconds_bucket${of('channel="crl"')}[30m])))`,
          above(2, 5),
        ),
        figure(
          'Findings from outside',
          'What is wrong as a client sees it.',
          'short',
          `sum(certstatus_probe_findings${J})`,
          ZERO,
        ),
      ],
    },
    {
      title: 'Answers',
      panels: [
        graph('By outcome', 'Each second.', 'reqps', [
          [`sum by (outcome) (job_outcome:certstatus_answers:rate5m${J})`, '{{outcome}}'],
        ]),
        graph('By method and HTTP version', 'Each second. Stapling servers speak HTTP/1.0.', 'reqps', [
          [`sum by (method, http_version) (rate(certstatus_answers_total${J}[5m]))`, '{{method}} {{http_version}}'],
        ]),
        graph('By CertID hash', 'Each second; none: files and what could not be read.', 'reqps', [
          [`sum by (certid_hash) (rate(certstatus_answers_total${J}[5m]))`, '{{certid_hash}}'],
        ]),
        graph('Refused requests', 'Malformed, by what was wrong with them.', 'reqps', [
          [`sum by (reason) (rate(certstatus_malformed_requests_total${J}[5m]))`, '{{reason}}'],
        ]),
        graph('Serials that nobody issued', 'Asked for, and turned away (limits.lookupsPerSecond).', 'reqps', [
          [`sum(rate(certstatus_answers_total${of('outcome="unauthorized-serial"')}[5m]))`, 'unauthorized'],
          [`sum(rate(certstatus_lookups_total${of('result="refused"')}[5m]))`, 'turned away'],
        ]),
        graph(
          'Failed',
          'Share of tryLater and errors. The line is where TryLaterServed fires.',
          'percentunit',
          [
            [`max(job:certstatus_answers_failed:ratio_rate5m${J})`, '5 min'],
            [`max(job:certstatus_answers_failed:ratio_rate1h${J})`, '1 h'],
          ],
          above(0.0144, 0.0144),
        ),
      ],
    },
    {
      title: 'Work',
      panels: [
        graph('Look-ups', 'Questions that were not answered from memory, by what became of them.', 'reqps', [
          [`sum by (result) (rate(certstatus_lookups_total${J}[5m]))`, '{{result}}'],
        ]),
        graph('Signed on the spot', 'Questions that waited for a signature; nonces, by what became of them.', 'reqps', [
          [`sum(rate(certstatus_sign_on_miss_total${J}[5m]))`, 'no answer yet'],
          [`sum by (outcome) (rate(certstatus_live_answers_total${J}[5m]))`, 'nonce: {{outcome}}'],
        ]),
        graph('Connections', 'Held, by listener.', 'short', [
          [`sum by (instance, listener) (certstatus_connections${J})`, '{{instance}} {{listener}}'],
        ]),
        graph('Connections ended early', 'Each second, by reason. full and room: for want of places.', 'ops', [
          [`sum by (listener, reason) (rate(certstatus_connections_shed_total${J}[5m]))`, '{{listener}} {{reason}}'],
        ]),
        graph('CPU', 'CPUs in use; a process answers with one.', 'short', [
          [`rate(process_cpu_seconds_total${J}[5m])`, '{{instance}}'],
        ]),
        graph('Memory', 'Resident, by process.', 'bytes', [
          [`process_resident_memory_bytes${J}`, '{{instance}}'],
          [`certstatus_responder_process_resident_bytes${J}`, '{{instance}} {{process}}'],
        ]),
      ],
    },
  ],
};
