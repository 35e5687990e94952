/** Problems that only a figure shows: what the monitor found, clocks, disks, certificates that end. Absent figures say nothing. */
import { ALERT_LIMITS } from '../../core/alerts.ts';
import { DAY, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { Figures } from './figures.ts';
import { firstBreak, REVOCATION_LIMIT_MS, type Problems } from './status-problems.ts';
import { bytes, count, counted, span } from './words.ts';

/** Of the process that looks. */
interface Running {
  readonly roles: readonly string[];
  /** RFC 3339. */
  readonly startedAt: string;
}

export function figureProblems(
  found: Problems,
  sources: GaugeSources,
  figures: Figures,
  service: Running | undefined,
  now: EpochMs,
): void {
  revocationLimits(found, figures, now);
  unseenRevocations(found, figures, now);
  monitorFindings(found, figures, now);
  monitorStopped(found, figures, service, now);
  storeFigures(found, sources, figures, now);
  for (const { labels, value } of figures.all('certstatus_certificates_without_answer')) {
    if (value === 0) continue;
    found.add('CertificatesWithoutAnswer', {
      what: `${labels['issuer']}: ${counted(value, 'unexpired certificate')} ${value === 1 ? 'has' : 'have'} no answer that can be served.`,
      means: 'Who asks for one of them gets tryLater (CT-4.10.2-b).',
      subject: labels['issuer'],
      todo: 'certstatus reconcile names them; what is missing is signed when it is asked for, so see the lanes and the log.',
    });
  }
  unusableKeys(found, sources);
  for (const { labels, value } of figures.all('certstatus_disk_free_bytes')) {
    if (value >= ALERT_LIMITS.DiskFills.octets) continue;
    found.add('DiskFills', {
      what: `The disk of the ${labels['directory']} directory has ${bytes(value)} left.`,
      means: 'When the audit log cannot be written no event is taken and nothing is signed.',
      subject: labels['directory'],
      todo: 'Free space, or move what is not the service’s to another disk.',
    });
  }
  endingCertificates(found, figures, now);
  for (const { labels, value } of figures.all('certstatus_clock_offset_seconds')) {
    if (Math.abs(value) <= ALERT_LIMITS.ClockOff.offset) continue;
    found.add('ClockOff', {
      what: `This machine’s clock is ${span(Math.abs(value) * SECOND)} ${value > 0 ? 'ahead of' : 'behind'} ${labels['against']}.`,
      means: 'Answers and CRLs carry its instants: clients with a right clock may refuse them.',
      subject: labels['against'],
      todo: 'See why NTP does not keep it (timedatectl, chronyc tracking); nothing has to be signed again once it is right.',
    });
  }
}

function revocationLimits(found: Problems, figures: Figures, now: EpochMs): void {
  const permitted: Readonly<Record<string, number>> = ALERT_LIMITS.RevocationDeadlineNear.left;
  const deadlines = figures
    .all('certstatus_revocation_deadline_seconds')
    .map(({ labels, value }) => ({ limit: labels['limit'] ?? '', value }));
  // The monitor keeps each revocation's own deadline, without saying which limit that is.
  const least = figures.one('certstatus_revocation_least_margin_seconds');
  const all = [...deadlines, ...(least === undefined ? [] : [{ limit: '', value: least }])];
  for (const { limit, value } of all) {
    if (value >= (permitted[limit] ?? permitted['24h'] ?? 0)) continue;
    // One and the same revocation: what the monitor says may be a moment older.
    if (limit === '' && deadlines.some((one) => Math.abs(one.value - value) < 1)) continue;
    const limitAt = now + value * SECOND;
    const of = limit === '' ? 'its deadline' : `its limit of ${limit}`;
    found.add('RevocationDeadlineNear', {
      what:
        value > 0
          ? `A revocation has ${span(value * SECOND)} left until ${of}.`
          : `A revocation missed ${of} at ${rfc3339(wholeSecond(limitAt))}.`,
      means:
        'The CA has promised it to browsers and subscribers (BR 4.9.1.1); a miss is an incident that must be reported.',
      subject: limit === '' ? 'monitor' : limit,
      breaks: ['P2', limitAt],
      todo: 'certstatus report revocations names it; see the lanes and the CRLs for what holds it up.',
    });
  }
}

/** Recorded, published by all accounts, and not seen by the monitor: something in front of the service holds on to what was. */
function unseenRevocations(found: Problems, figures: Figures, now: EpochMs): void {
  const channels = [
    ['RevocationNotInOcsp', 'ocsp', 'in OCSP', 'P2'],
    ['RevocationNotOnCrl', 'crl', 'on a CRL', 'P5'],
  ] as const;
  for (const [alert, channel, where, promise] of channels) {
    const seconds = figures.one('certstatus_revocation_unseen_oldest_seconds', { channel }) ?? 0;
    if (seconds <= ALERT_LIMITS[alert].unseen) continue;
    const since = now - seconds * SECOND;
    found.add(alert, {
      what: `The monitor waits since ${rfc3339(wholeSecond(since))} to see a revocation ${where}, as a client would.`,
      means: 'Clients may still be told good: the limit is 24 h (BR 4.9.7).',
      subject: 'monitor',
      since,
      breaks: [promise, since + REVOCATION_LIMIT_MS],
      todo: 'Look for a cache, CDN or responder that serves what was: certstatus status names the serial’s state, certstatus probe asks the URL.',
    });
  }
}

function monitorFindings(found: Problems, figures: Figures, now: EpochMs): void {
  /** What was found so long ago is broken since then, or longer. */
  const foundAt = (metric: string, labels = {}): EpochMs => now - (figures.one(metric, labels) ?? 0) * SECOND;
  const differences = figures.one('certstatus_reconcile_differences') ?? 0;
  if (differences > 0) {
    found.add('LedgerDiffers', {
      what: `Ledger, OCSP answers and CRLs differ in ${counted(differences, 'place')}.`,
      means: 'Somebody is told something that was not recorded.',
      breaks: ['P5', foundAt('certstatus_reconcile_age_seconds')],
      todo: 'certstatus reconcile lists them; certstatus status and crl show --why tell each side’s story.',
    });
  }
  for (const { labels, value } of figures.all('certstatus_sample_wrong')) {
    if (value === 0) continue;
    found.add('SampleWrong', {
      what: `${labels['issuer']}: of the last random sample ${counted(value, 'certificate')} ${value === 1 ? 'was' : 'were'} answered wrongly.`,
      means: 'What clients get is not what is recorded: a cache in front may hold on to old answers.',
      subject: labels['issuer'],
      // Which of P3 to P6 it is, only the serials in the log say.
      breaks: ['P6', foundAt('certstatus_sample_age_seconds', labels)],
      todo: 'The log names the serials and what is wrong; certstatus explain walks one request through every decision.',
    });
  }
  for (const { labels, value } of figures.all('certstatus_probe_findings')) {
    if (value === 0) continue;
    found.add('ProbeFindings', {
      what: `${labels['url']} is not right for every client: ${counted(value, 'finding')}.`,
      means: 'Some clients cannot ask through whatever stands in front of the service.',
      subject: labels['url'],
      todo: `certstatus probe ${labels['url']} shows each with its usual cause.`,
    });
  }
}

function monitorStopped(found: Problems, figures: Figures, service: Running | undefined, now: EpochMs): void {
  const { age, durations } = ALERT_LIMITS.MonitorStopped;
  const stopped = (subject: string, what: string, seconds: number): void =>
    found.add('MonitorStopped', {
      what: `${what} ${span(seconds * SECOND)} ago; it is due every hour.`,
      means: 'What only the monitor finds is not found: differences, wrong answers, certificates without an answer.',
      subject,
      todo: 'See the log of the monitor; restart it. Nothing else depends on it.',
    });
  const compared = figures.one('certstatus_reconcile_age_seconds');
  const took = figures.one('certstatus_reconcile_duration_seconds') ?? 0;
  if (compared !== undefined && compared - durations * took > age)
    stopped('reconcile', 'Ledger, OCSP and CRLs were last compared', compared);
  const startedAt = service?.roles.includes('monitor') === true ? Date.parse(service.startedAt) : now;
  if (compared === undefined && now - startedAt > age * SECOND)
    stopped('reconcile', 'Ledger, OCSP and CRLs have not been compared since the start,', (now - startedAt) / SECOND);
  for (const { labels, value } of figures.all('certstatus_probe_age_seconds'))
    if (value > age) stopped(labels['url'] ?? '', `${labels['url']} was last asked from outside`, value);
  for (const { labels, value } of figures.all('certstatus_sample_age_seconds'))
    if (value > age) stopped(labels['issuer'] ?? '', `${labels['issuer']}: a random sample was last looked at`, value);
}

/** Of this process, and of those that serve beside it. */
function storeFigures(found: Problems, sources: GaugeSources, figures: Figures, now: EpochMs): void {
  const processOf = (labels: Readonly<Record<string, string>>): string | undefined =>
    labels['process'] === undefined ? undefined : `process ${labels['process']}`;
  for (const { labels, value } of figures.all('certstatus_store_usable')) {
    const subject = processOf(labels);
    // Of its own it has said more already.
    if (value !== 0 || subject === undefined || sources.store.failure !== undefined) continue;
    found.add('StoreUnusable', {
      what: `The store cannot be relied on by responder ${subject}; its answers come from memory.`,
      means: 'Clients are answered from what is in memory; a good that may be outdated becomes tryLater.',
      subject,
      todo: 'This process can use it: see the log for what keeps the other from it; it is used again by itself.',
    });
  }
  for (const { labels, value } of figures.all('certstatus_feed_silent_seconds')) {
    if (value <= ALERT_LIMITS.FeedSilent.silent) continue;
    const subject = processOf(labels);
    const who = subject === undefined ? 'this process' : `responder ${subject}`;
    found.add('FeedSilent', {
      what: `For ${span(value * SECOND)} nothing has proved that changes made elsewhere reach ${who}.`,
      means: 'At store.redis.silenceLimit (15 min unless configured) it stops saying good, and says tryLater.',
      subject,
      since: now - value * SECOND,
      todo: 'See the way to Redis, and whether a process that writes runs at all: without one nothing proves anything.',
    });
  }
  const startedAt = figures.one('certstatus_start_time_seconds');
  const counting = figures.one('certstatus_freshness_complete') === 0;
  if (counting && startedAt !== undefined && now - startedAt * SECOND > ALERT_LIMITS.AnswersNotCounted.holds * SECOND) {
    found.add('AnswersNotCounted', {
      what: `${span(now - startedAt * SECOND)} after the start not every published answer has been counted.`,
      means: 'An answer that is late or runs out may not be seen here; other processes count too.',
      since: startedAt * SECOND,
      todo: 'See the log: a read of the store that does not end. A restart of this process counts anew.',
    });
  }
}

/**
 * An issuer for which nothing can be signed, whatever the cause; and what no token explains: one key of several that is not where the
 * configuration says, or does not fit its certificate.
 */
function unusableKeys(found: Problems, sources: GaugeSources): void {
  const explained = new Set(
    sources.tokens().flatMap(({ view, issuers }) => (view.state === 'active' ? [] : issuers.map(({ id }) => id))),
  );
  for (const { served, keys } of sources.signers) {
    // A retired certificate's key may be gone.
    const ocsp = [...keys.ocsp].filter(([id]) => served.responders.useOf(id) === 'signing');
    const all = [...ocsp, ...(keys.crl === undefined ? [] : [['crl', keys.crl] as const])];
    const failing = all.flatMap(([name, { holder }]) => (holder.failure === undefined ? [] : [[name, holder.failure]]));
    const [first] = failing;
    if (first === undefined) continue;
    const stops = failing.some(([name]) => name === 'crl') || failing.length >= ocsp.length;
    if (!stops && explained.has(served.id)) continue;
    found.add('KeyUnusable', {
      milder: !stops,
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
    if (value >= ALERT_LIMITS.CaCertificateEnds.left) continue;
    found.add('CaCertificateEnds', {
      what: `${labels['issuer']}: the CA certificate ${ends(value)}.`,
      means: 'Certificates from it, answers and CRLs end with it.',
      subject: labels['issuer'],
      todo: 'Ask the CA what follows it, and add the new CA certificate (certstatus issuer add).',
    });
  }
  for (const { labels, value } of figures.all('certstatus_tls_certificate_remaining_seconds')) {
    if (value >= ALERT_LIMITS.TlsCertificateEnds.left) continue;
    found.add('TlsCertificateEnds', {
      what: `The TLS certificate of ${labels['use']} ${ends(value)}.`,
      means:
        labels['use'] === 'intake' ? 'From then on the CA cannot send events.' : 'From then on nobody gets in there.',
      subject: labels['use'],
      todo: 'Put the new certificate and key in their place: they are used within a minute, without a restart.',
    });
  }
}
