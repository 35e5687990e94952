/** Problems that only a figure shows: what the monitor found, clocks, disks, certificates that end. Absent figures say nothing. */
import { DAY, HOUR, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { Figures } from './figures.ts';
import { firstBreak, type Problems } from './status-problems.ts';
import { bytes, count, counted, span } from './words.ts';

/** Below this a disk is nearly full: the audit log of a busy day takes as much. */
const DISK_WARNING_BYTES = 1e9;
/** Time to have a certificate issued by somebody else. */
const TLS_WARNING_MS = 14 * DAY;
const CA_WARNING_MS = 90 * DAY;
/** Beyond it the instants in answers are wrong for clients with a right clock; relying parties allow minutes, auditors a second or two. */
const CLOCK_WARNING_SECONDS = 2;
/** Of the 24 hours or 5 days of a revocation (CT-4.9.1.1), when a person has to look. */
const REVOCATION_LEFT_MS = 6 * HOUR;

export function figureProblems(found: Problems, sources: GaugeSources, figures: Figures, now: EpochMs): void {
  revocationLimits(found, figures, now);
  monitorFindings(found, figures);
  for (const { labels, value } of figures.all('certstatus_certificates_without_answer')) {
    if (value === 0) continue;
    found.fail('CertificatesWithoutAnswer', {
      what: `${labels['issuer']}: ${counted(value, 'unexpired certificate')} ${value === 1 ? 'has' : 'have'} no answer that can be served.`,
      means: 'Who asks for one of them gets tryLater (CT-4.10.2-b).',
      subject: labels['issuer'],
      todo: 'certstatus reconcile names them; what is missing is signed when it is asked for, so see the lanes and the log.',
    });
  }
  unusableKeys(found, sources);
  for (const { labels, value } of figures.all('certstatus_disk_free_bytes')) {
    if (value > DISK_WARNING_BYTES) continue;
    found.warn('DiskFills', {
      what: `The disk of the ${labels['directory']} directory has ${bytes(value)} left.`,
      means: 'When the audit log cannot be written no event is taken and nothing is signed.',
      subject: labels['directory'],
      todo: 'Free space, or move what is not the service’s to another disk.',
    });
  }
  endingCertificates(found, figures, now);
  for (const { labels, value } of figures.all('certstatus_clock_offset_seconds')) {
    if (Math.abs(value) <= CLOCK_WARNING_SECONDS) continue;
    found.fail('ClockOff', {
      what: `This machine’s clock is ${span(Math.abs(value) * SECOND)} ${value > 0 ? 'ahead of' : 'behind'} ${labels['against']}.`,
      means: 'Answers and CRLs carry its instants: clients with a right clock may refuse them.',
      subject: labels['against'],
      todo: 'See why NTP does not keep it (timedatectl, chronyc tracking); nothing has to be signed again once it is right.',
    });
  }
}

function revocationLimits(found: Problems, figures: Figures, now: EpochMs): void {
  for (const { labels, value } of figures.all('certstatus_revocation_deadline_seconds')) {
    if (value * SECOND > REVOCATION_LEFT_MS) continue;
    const limitAt = now + value * SECOND;
    found.fail('RevocationDeadlineNear', {
      what:
        value > 0
          ? `A revocation has ${span(value * SECOND)} left of its ${labels['limit']}.`
          : `A revocation missed its limit of ${labels['limit']} at ${rfc3339(wholeSecond(limitAt))}.`,
      means:
        'The CA has promised it to browsers and subscribers (BR 4.9.1.1); a miss is an incident that must be reported.',
      subject: labels['limit'],
      breaks: ['P2', limitAt],
      todo: 'certstatus report revocations names it; see the lanes and the CRLs for what holds it up.',
    });
  }
}

function monitorFindings(found: Problems, figures: Figures): void {
  const differences = figures.one('certstatus_reconcile_differences') ?? 0;
  if (differences > 0) {
    found.fail('LedgerDiffers', {
      what: `Ledger, OCSP answers and CRLs differ in ${counted(differences, 'place')}.`,
      means: 'Somebody is told something that was not recorded.',
      todo: 'certstatus reconcile lists them; certstatus status and crl show --why tell each side’s story.',
    });
  }
  for (const { labels, value } of figures.all('certstatus_sample_wrong')) {
    if (value === 0) continue;
    found.fail('SampleWrong', {
      what: `${labels['issuer']}: of the last random sample ${counted(value, 'certificate')} ${value === 1 ? 'was' : 'were'} answered wrongly.`,
      means: 'What clients get is not what is recorded: a cache in front may hold on to old answers.',
      subject: labels['issuer'],
      todo: 'The log names the serials and what is wrong; certstatus explain walks one request through every decision.',
    });
  }
  for (const { labels, value } of figures.all('certstatus_probe_findings')) {
    if (value === 0) continue;
    found.warn('ProbeFindings', {
      what: `${labels['url']} is not right for every client: ${counted(value, 'finding')}.`,
      means: 'Some clients cannot ask through whatever stands in front of the service.',
      subject: labels['url'],
      todo: `certstatus probe ${labels['url']} shows each with its usual cause.`,
    });
  }
}

/** What no token explains: a key that is not where the configuration says, or does not fit its certificate. */
function unusableKeys(found: Problems, sources: GaugeSources): void {
  const explained = new Set(
    sources.tokens().flatMap(({ view, issuers }) => (view.state === 'active' ? [] : issuers.map(({ id }) => id))),
  );
  for (const { served, keys } of sources.signers) {
    if (explained.has(served.id)) continue;
    // A retired certificate's key may be gone.
    const ocsp = [...keys.ocsp].filter(([id]) => served.responders.useOf(id) === 'signing');
    const all = [...ocsp, ...(keys.crl === undefined ? [] : [['crl', keys.crl] as const])];
    const failing = all.flatMap(([name, { holder }]) => (holder.failure === undefined ? [] : [[name, holder.failure]]));
    const [first] = failing;
    if (first === undefined) continue;
    const stops = failing.some(([name]) => name === 'crl') || failing.length >= ocsp.length;
    found[stops ? 'fail' : 'warn']('KeyUnusable', {
      what: `${served.id}: ${first[0] === 'crl' ? 'the CRL key' : `the key of responder certificate ${first[0]}`} cannot be used: ${first[1]}.`,
      means: stops ? 'What is published is served until it runs out.' : 'Another responder certificate signs.',
      subject: served.id,
      breaks: stops ? ['P4', firstBreak([served], sources)] : undefined,
      todo: 'certstatus key list shows which keys are where; the log says what the key holder answered.',
    });
  }
}

function endingCertificates(found: Problems, figures: Figures, now: EpochMs): void {
  const ends = (seconds: number): string =>
    seconds > 0
      ? `ends in ${count(seconds / (DAY / SECOND))} days, ${rfc3339(wholeSecond(now + seconds * SECOND))}`
      : `ended ${rfc3339(wholeSecond(now + seconds * SECOND))}`;
  for (const { labels, value } of figures.all('certstatus_ca_certificate_remaining_seconds')) {
    if (value * SECOND > CA_WARNING_MS) continue;
    found.warn('CaCertificateEnds', {
      what: `${labels['issuer']}: the CA certificate ${ends(value)}.`,
      means: 'Certificates from it, answers and CRLs end with it.',
      subject: labels['issuer'],
      todo: 'Ask the CA what follows it, and add the new CA certificate (certstatus issuer add).',
    });
  }
  for (const { labels, value } of figures.all('certstatus_tls_certificate_remaining_seconds')) {
    if (value * SECOND > TLS_WARNING_MS) continue;
    found[value > 0 ? 'warn' : 'fail']('TlsCertificateEnds', {
      what: `The TLS certificate of ${labels['use']} ${ends(value)}.`,
      means:
        labels['use'] === 'intake' ? 'From then on the CA cannot send events.' : 'From then on nobody gets in there.',
      subject: labels['use'],
      todo: 'Put the new certificate and key in their place: they are used within a minute, without a restart.',
    });
  }
}
