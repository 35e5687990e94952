/** The dashboards, in the order in which somebody who was called looks at them. Limits with their ids; the arithmetic is in alerts.rules.yml. */
import { above, below, figure, graph, list, ONE, ZERO, type Dashboard } from './panels.ts';

const DAY = 86_400;
const HOUR = 3600;
/** Selectors: the installations, and in them the issuers, that are chosen at the top. */
const J = '{job=~"$job"}';
const I = '{job=~"$job",issuer=~"$issuer"}';
const of = (...labels: readonly string[]): string => `{job=~"$job",${labels.join(',')}}`;

const PROMISES: Dashboard = {
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

const SIGNER: Dashboard = {
  uid: 'certstatus-signer',
  title: 'certstatus: signer and HSM',
  description: 'Lanes, sessions, tokens, keys: does the signer keep up.',
  rows: [
    {
      title: 'Now',
      panels: [
        figure(
          'Tokens in use',
          '1 while all are activated and answer.',
          'bool_on_off',
          `min(certstatus_token_active${J})`,
          ONE,
        ),
        figure(
          'Keys usable',
          '1 while each issuer has a key for OCSP and CRLs.',
          'bool_on_off',
          `min(max by (issuer, key) (certstatus_key_usable${I}))`,
          ONE,
        ),
        figure('Signatures', 'Each second, all slots.', 'ops', `sum(job_slot_use:certstatus_signatures:rate5m${J})`, [
          [null, 'green'],
        ]),
        figure(
          'Failures',
          'Each second, all slots.',
          'ops',
          `sum(job_slot:certstatus_signature_failures:rate10m${J}) or vector(0)`,
          above(0.001, 0.1),
        ),
        figure(
          'Refresh done in',
          'At the rate of the last minute; nothing while none waits.',
          's',
          `max(certstatus_lane_eta_seconds${of('lane="refresh"')})`,
          above(HOUR, 4 * HOUR),
        ),
        figure(
          'Mass revocation done in',
          'At its present rate; nothing when none runs. A clause of 24 h: B-11.',
          's',
          `max(certstatus_mass_left_seconds${J})`,
          above(12 * HOUR, 18 * HOUR),
        ),
      ],
    },
    {
      title: 'Lanes',
      panels: [
        graph('Waiting', 'Certificates that wait for a signature, by lane.', 'short', [
          [`max by (lane) (certstatus_backlog${J})`, '{{lane}}'],
        ]),
        graph('Signed', 'Certificates each second, by lane.', 'ops', [
          [`job_lane:certstatus_signed_certificates:rate5m${J}`, '{{lane}}'],
        ]),
        graph('Time to go', 'Waiting, by the rate of the last minute.', 's', [
          [`max by (lane) (certstatus_lane_eta_seconds${J})`, '{{lane}}'],
        ]),
        graph('Rate as the signer sees it', 'Certificates each second, last minute.', 'ops', [
          [`sum by (lane) (certstatus_lane_rate${J})`, '{{lane}}'],
        ]),
        graph(
          'Issued to first answer',
          'p99. Limit 15 min (B-18).',
          's',
          [
            [
              `histogram_quantile(0.99, sum by (le) (rate(certstatus_issuance_to_ocsp_seconds_bucket${J}[10m])))`,
              'p99',
            ],
          ],
          above(300, 900),
        ),
        graph('Mass revocation', 'Listed, recorded, and waiting for OCSP.', 'short', [
          [`max by (state) (certstatus_mass_certificates${J})`, '{{state}}'],
        ]),
      ],
    },
    {
      title: 'Slots',
      panels: [
        graph('Signatures by slot and use', 'Each second.', 'ops', [
          [`sum by (slot, use) (job_slot_use:certstatus_signatures:rate5m${J})`, '{{slot}} {{use}}'],
        ]),
        graph(
          'Failures by slot',
          'Each second. What fails is tried again.',
          'ops',
          [[`sum by (slot) (job_slot:certstatus_signature_failures:rate10m${J})`, '{{slot}}']],
          above(0.001, 0.1),
        ),
        graph(
          'Sessions busy',
          'Share of the sessions of a slot that sign; at 100 % it can do no more.',
          'percentunit',
          [[`max by (slot) (job_slot:certstatus_session_busy:ratio_rate5m${J})`, '{{slot}}']],
        ),
        graph('Wait for a session', 'p99, all slots by name.', 's', [
          [
            `histogram_quantile(0.99, sum by (le, slot) (rate(certstatus_session_wait_seconds_bucket${J}[5m])))`,
            '{{slot}}',
          ],
        ]),
        graph(
          'Refused',
          'Not made or not published, by reason, in ten minutes. 0 in normal operation.',
          'short',
          [[`sum by (reason) (increase(certstatus_signing_refused_total${J}[10m]))`, '{{reason}}']],
          ZERO,
        ),
        graph('Tokens', '1 while activated and answering.', 'bool_on_off', [
          [`certstatus_token_active${J}`, '{{instance}} {{token}}'],
        ]),
      ],
    },
    {
      title: 'Keys and certificates',
      panels: [
        list(
          'Keys',
          'By issuer and key: 1 while a process can sign with it.',
          'bool_on_off',
          `max by (issuer, key) (certstatus_key_usable${I})`,
          ONE,
        ),
        list(
          'Responder certificates',
          'How long each lasts.',
          's',
          `min by (issuer, certificate) (certstatus_responder_certificate_remaining_seconds${I})`,
          below(21 * DAY, 7 * DAY),
        ),
      ],
    },
  ],
};

const RESPONDERS: Dashboard = {
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

const CRLS: Dashboard = {
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
        graph('Entries', 'By issuer.', 'short', [[`max by (issuer) (certstatus_crl_entries${I})`, '{{issuer}}']]),
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

const STORES: Dashboard = {
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

const AUDIT: Dashboard = {
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

export const DASHBOARDS: readonly Dashboard[] = [PROMISES, SIGNER, RESPONDERS, CRLS, STORES, AUDIT];
