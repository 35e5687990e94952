/** Problems that no single look shows: what fails, is refused or stands still for minutes on end. The same windows as in the alerts. */
import { ALERT_LIMITS } from '../../core/alerts.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { Figures } from './figures.ts';
import { firstBreak, type Problems } from './status-problems.ts';
import { PROBE_CHANNELS, type Lately } from './trend.ts';
import { bytes, count, counted, rate, span } from './words.ts';

/** From issue to the first answer (B-18, CT-4.9.10-e). */
const FIRST_ANSWER_SECONDS = 15 * 60;

export function trendProblems(
  found: Problems,
  sources: GaugeSources,
  figures: Figures,
  lately: Lately,
  now: EpochMs,
): void {
  signingFails(found, sources, lately);
  standstill(found, sources, figures, lately, now);
  failedAnswers(found, lately);
  turnedAway(found, lately);
  slowAnswers(found, figures, lately);
  for (const { labels, value } of figures.all('certstatus_disk_free_bytes')) {
    const { octets, near, foretold } = ALERT_LIMITS.DiskFills;
    const directory = labels['directory'] ?? '';
    // Below this it is a problem whatever the trend.
    if (value < octets || value >= near) continue;
    const left = lately.foretoldFree(directory, ALERT_LIMITS.DiskFills);
    if (left === undefined || left >= 0) continue;
    found.add('DiskFills', {
      what: `The disk of the ${directory} directory has ${bytes(value)} left, and is full within ${span(foretold * SECOND)} if it goes on like the last hours.`,
      means: 'When the audit log cannot be written no event is taken and nothing is signed.',
      subject: directory,
      todo: 'See what grows there (du); free space, or move what is not the service’s to another disk.',
    });
  }
  const steps = lately.increase('clockSteps', '', ALERT_LIMITS.ClockOff.within);
  if (steps > 0) {
    found.add('ClockOff', {
      what: `The clock of this machine was set ${steps === 1 ? 'once' : `${count(steps)} times`} in the last ${span(ALERT_LIMITS.ClockOff.within * SECOND)}.`,
      means: 'Answers and CRLs that were signed before carry the instants of the wrong clock.',
      subject: 'steps',
      todo: 'The audit log says from when to when (clock.stepped); see why NTP did not keep it (timedatectl, chronyc tracking).',
    });
  }
}

function signingFails(found: Problems, sources: GaugeSources, lately: Lately): void {
  const { failures: few, oneIn, within } = ALERT_LIMITS.SigningFails;
  for (const slot of lately.subjects('signatureFailures')) {
    const failures = lately.increase('signatureFailures', slot, within);
    const made = lately.increase('signatures', slot, within);
    if (failures <= few || failures * oneIn <= made) continue;
    found.add('SigningFails', {
      what: `${slot === 'files' ? 'Keys in files' : `Token ${slot}`}: ${counted(failures, 'signature')} failed in the last ${span(within * SECOND)}, ${count(made)} were made.`,
      means: 'What fails is tried again; a certificate issued now may have no answer in 15 minutes (BR 4.9.9).',
      subject: slot,
      breaks: ['P4', firstBreak(sources.issuers, sources)],
      todo: 'The log says what the key holder answered; see the HSM and its sessions (certstatus key list).',
    });
  }
  for (const reason of lately.subjects('refused')) {
    const refused = lately.increase('refused', reason, ALERT_LIMITS.SigningRefused.within);
    if (refused === 0) continue;
    found.add('SigningRefused', {
      what: `${counted(refused, 'answer')} not signed or not published in the last ${span(ALERT_LIMITS.SigningRefused.within * SECOND)}: ${REFUSALS[reason] ?? reason}.`,
      means: 'The answers of before are served until their limit; a certificate without one gets tryLater.',
      subject: reason,
      todo: 'The log and the audit log (ocsp.refused) name the serial and the rule; never seen in normal operation.',
    });
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  check: 'what was signed is not what it should be, or breaks a rule (check)',
  'audit-log': 'the audit log could not be written (audit-log)',
  'responder-certificate': 'no responder certificate may sign now (responder-certificate)',
};

function standstill(found: Problems, { store }: GaugeSources, figures: Figures, lately: Lately, now: EpochMs): void {
  if (lately.stuck('issue', ALERT_LIMITS.IssuanceLate.within)) {
    const since = store.oldestDue('issue');
    found.add('IssuanceLate', {
      what: `${counted(store.backlog('issue', now), 'certificate')} just issued ${store.backlog('issue', now) === 1 ? 'waits' : 'wait'} for the first OCSP answer, and none was signed for ${span(ALERT_LIMITS.IssuanceLate.within * SECOND)}.`,
      means: 'The limit is 15 minutes from issue (BR 4.9.9); until then their visitors get tryLater.',
      since,
      breaks: since === undefined ? undefined : ['P4', since + FIRST_ANSWER_SECONDS * SECOND],
      todo: 'See whether a signer runs, its tokens are active and its log says why nothing is signed.',
    });
  }
  const { left, within } = ALERT_LIMITS.BacklogGrows;
  const eta = figures.one('certstatus_lane_eta_seconds', { lane: 'refresh' }) ?? 0;
  const stuck = lately.stuck('refresh', within);
  if (!stuck && eta <= left) return;
  found.add('BacklogGrows', {
    what: stuck
      ? `${counted(store.backlog('refresh', now), 'answer')} ${store.backlog('refresh', now) === 1 ? 'waits' : 'wait'} to be signed again, and none was for ${span(within * SECOND)}.`
      : `Signing again what is due takes ${span(eta * SECOND)} at the present rate.`,
    means: 'Nothing is late yet.',
    todo: stuck
      ? 'See whether a signer runs, its tokens are active and its log says why nothing is signed.'
      : 'After an import or a loss of the store it ends by itself; otherwise the signer is too slow: more sessions, or another signer.',
  });
}

function failedAnswers(found: Problems, lately: Lately): void {
  const { share, questions, within } = ALERT_LIMITS.TryLaterServed;
  // A flood of serials that nobody issued is refused on purpose (limits.lookupsPerSecond).
  const failed = (seconds: number): number =>
    Math.max(0, lately.increase('failed', '', seconds) - lately.increase('unissued', '', seconds));
  const [short, long] = within;
  const shares = within.map((seconds) => failed(seconds) / Math.max(1, lately.increase('answers', '', seconds)));
  if (failed(long) <= questions || shares.some((one) => one <= share)) return;
  found.add('TryLaterServed', {
    what: `${rate(100 * (shares[0] ?? 0))} % of the questions of the last ${span(short * SECOND)} got tryLater or an error.`,
    means:
      'Clients that insist on an answer refuse the certificate; stapling servers keep their old one until it runs out.',
    todo: 'See certstatus_answers_total by outcome, the store and the signers: who is told to come later asks for what is not signed.',
  });
}

function turnedAway(found: Problems, lately: Lately): void {
  const flood = ALERT_LIMITS.UnissuedFlood;
  const refused = lately.increase('unissued', '', flood.within) / flood.within;
  if (refused > flood.perSecond) {
    found.add('UnissuedFlood', {
      what: `Serials that nobody issued are asked for faster than they may be looked up: ${rate(refused)} questions a second got tryLater.`,
      means: 'Certificates that exist are answered as ever.',
      todo: 'See certstatus_lookups_total; a firewall can keep the source away.',
    });
  }
  const { perSecond, within } = ALERT_LIMITS.ConnectionsShed;
  for (const listener of lately.subjects('shed')) {
    const closed = lately.increase('shed', listener, within) / within;
    if (closed <= perSecond) continue;
    found.add('ConnectionsShed', {
      what: `The ${listener} listener closes ${rate(closed)} connections a second for want of room.`,
      means: 'Idle and slow ones go first, clients that are being answered stay; beyond that clients are turned away.',
      subject: listener,
      todo: 'See certstatus_connections; add responders, or keep the source away by a firewall.',
    });
  }
}

function slowAnswers(found: Problems, figures: Figures, lately: Lately): void {
  const { share, seconds: limit, within } = ALERT_LIMITS.SlowAnswers;
  const bounds = figures.buckets('certstatus_probe_seconds')?.bounds ?? [];
  for (const channel of PROBE_CHANNELS) {
    const seconds = lately.probeSeconds(channel, bounds, share, within);
    if (seconds === undefined || seconds <= limit) continue;
    found.add('SlowAnswers', {
      what: `Outside clients wait up to ${span(seconds * SECOND)} for ${channel === 'ocsp' ? 'an OCSP answer' : 'a CRL'}.`,
      means: 'The limit is 10 s (BR 4.10.2); browsers give up after 2 or 3.',
      subject: channel,
      todo: 'certstatus probe URL says which part takes the time: the way there, what stands in front, or the service.',
    });
  }
}
