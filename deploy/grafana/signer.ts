/** Does the signer keep up: lanes, sessions, tokens, keys. */
import { above, below, figure, graph, list, ONE, ZERO, type Dashboard } from './panels.ts';
import { DAY, HOUR, I, J, of } from './selectors.ts';

export const SIGNER: Dashboard = {
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
