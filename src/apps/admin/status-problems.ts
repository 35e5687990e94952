/** What is wrong with the process as a whole: audit log, store, tokens, processes, archive, revocations that do not get through. */
import { ALERT_LIMITS, ALERTS, type ShownAlert } from '../../core/alerts.ts';
import { refreshDeadline } from '../../core/policy/freshness.ts';
import { HOUR, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { ArchiveView } from '../../flows/archive/archive-upkeep.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { UsedToken } from '../../flows/sign/signing-gauges.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { MassView } from '../../flows/mass/mass-revocation.ts';
import { servedCrls } from '../../flows/serve/served-crls.ts';
import { activeResponder } from '../../flows/sign/sign-answers.ts';
import type { PromiseId } from './promises.ts';
import { span } from './words.ts';

export interface ProblemStatus {
  /** failing: the alert pages somebody; warning: it is a ticket, or the case is milder than the one that the alert is for. */
  readonly severity: 'warning' | 'failing';
  /** The alert that fires for it: rules and runbook go by the same name (core/alerts.ts). */
  readonly alert: ShownAlert;
  /** The issuer, token or URL that it is about; undefined: the process. */
  readonly subject: string | undefined;
  readonly what: string;
  /** For clients and the CA, as long as it lasts. */
  readonly means: string;
  /** The promise that breaks, and when, if nobody does anything; an instant in the past: it is broken. */
  readonly promise: { readonly id: PromiseId; readonly breaksAt: string } | undefined;
  readonly todo: string;
  /** When it began where that is known, else when this process first saw it. */
  readonly since: string | undefined;
}

/** What a finder says of a problem. */
export interface Finding {
  readonly what: string;
  readonly means: string;
  readonly todo: string;
  readonly subject?: string | undefined;
  readonly since?: EpochMs | undefined;
  readonly breaks?: readonly [PromiseId, at: EpochMs | undefined] | undefined;
  /** The alert does not fire for it yet: it can wait for the morning. */
  readonly milder?: boolean | undefined;
}

/** From the record of a revocation to OCSP and CRL (B-14, CT-4.9.7-b). */
export const REVOCATION_LIMIT_MS = 24 * HOUR;

/** While one of these lasts most of the rest follows from it: whoever mends it has mended them all. */
const CAUSES: ReadonlySet<ShownAlert> = new Set<ShownAlert>([
  'AuditLogUnwritable',
  'StoreUnusable',
  'TokenUnusable',
  'KeyUnusable',
  'ClockOff',
  'ResponderProcessesDown',
]);

export class Problems {
  readonly #found: ProblemStatus[] = [];
  readonly #since: (key: string) => EpochMs | undefined;

  constructor(since: (key: string) => EpochMs | undefined) {
    this.#since = since;
  }

  /** As urgent as its alert: the page says "act now" when somebody is paged. */
  add(alert: ShownAlert, { since, breaks, subject, milder = false, ...said }: Finding): void {
    const began = since ?? this.#since(problemKey({ alert, subject }));
    this.#found.push({
      severity: ALERTS[alert] === 'page' && !milder ? 'failing' : 'warning',
      alert,
      subject,
      ...said,
      promise: breaks?.[1] === undefined ? undefined : { id: breaks[0], breaksAt: rfc3339(wholeSecond(breaks[1])) },
      since: began === undefined ? undefined : rfc3339(wholeSecond(began)),
    });
  }

  /** What is failing first; of that what others follow from, and then what breaks a promise soonest. */
  sorted(): readonly ProblemStatus[] {
    const rank = ({ severity, alert }: ProblemStatus): number =>
      (severity === 'failing' ? 0 : 2) + (CAUSES.has(alert) ? 0 : 1);
    const breaks = ({ promise }: ProblemStatus): number => (promise === undefined ? Infinity : Date.parse(promise.breaksAt)); // prettier-ignore
    return [...this.#found].sort((a, b) => rank(a) - rank(b) || (breaks(a) === breaks(b) ? 0 : breaks(a) - breaks(b)));
  }
}

/** By which a problem is known again from one look to the next: what is said of it changes, its beginning does not. */
export function problemKey({ alert, subject }: Pick<ProblemStatus, 'alert' | 'subject'>): string {
  return `${alert} ${subject ?? ''}`;
}

/**
 * When the first answer misses its deadline (refreshDeadline) or the first CRL runs out, should nothing be signed for these issuers any
 * more. Undefined when nothing is published.
 */
export function firstBreak(
  issuers: readonly ServedIssuer[],
  { freshness, files }: Pick<GaugeSources, 'freshness' | 'files'>,
): EpochMs | undefined {
  const limits = issuers.flatMap((issuer) => {
    const { oldestThisUpdate } = freshness.of(issuer.tag);
    const answers =
      oldestThisUpdate === undefined || issuer.offline?.ocsp === true
        ? []
        : refreshDeadline(oldestThisUpdate, oldestThisUpdate + issuer.profile.ocsp.validityMs - SECOND);
    return [answers, servedCrls(issuer, files, -Infinity).leastNextUpdate ?? []].flat();
  });
  return limits.length === 0 ? undefined : Math.min(...limits);
}

export function processProblems(
  found: Problems,
  sources: GaugeSources,
  archive: ArchiveView | undefined,
  now: EpochMs,
): void {
  const { journal, store, issuers, clocks } = sources;
  if (journal?.failure !== undefined) {
    found.add('AuditLogUnwritable', {
      what: `The audit log cannot be written: ${journal.failure}. No event is taken and nothing is signed.`,
      means: 'The CA cannot revoke or issue here; what is published is served until it runs out.',
      breaks: ['P4', firstBreak(issuers, sources)],
      todo: 'Free space on, or repair, the disk of the data directory; signing resumes by itself.',
    });
  }
  if (store.failure !== undefined) {
    found.add('StoreUnusable', {
      what: `The store cannot be relied on: ${store.failure}. No event is taken, nothing is signed; answers come from memory.`,
      means: 'Clients are answered from what is in memory; a good that may be outdated becomes tryLater.',
      breaks: ['P4', firstBreak(issuers, sources)],
      todo: 'Bring back what is missing; it is used again by itself.',
    });
  }
  if (clocks?.fault !== undefined) {
    found.add('ClockOff', {
      what: `No answer and no CRL is signed: ${clocks.fault}.`,
      means: 'What is published is served until it runs out; events are taken, and take effect when signing resumes.',
      subject: 'signing',
      breaks: ['P4', firstBreak(issuers, sources)],
      todo: 'See why NTP does not keep it (timedatectl, chronyc tracking); signing resumes by itself.',
    });
  }
  const notReloaded = sources.notReloaded?.();
  if (notReloaded !== undefined) {
    found.add('ReloadRefused', {
      what: `What was put in place is not used: ${notReloaded.line}.`,
      means: 'The process goes on with what it had, which ends one day, and with whom it let in before.',
      since: notReloaded.since,
      todo: 'Mend what it names (certstatus check-config), then reload: systemctl reload, or kill -HUP.',
    });
  }
  const processes = sources.processes?.();
  const idle = processes?.filter(({ state }) => state !== 'serving') ?? [];
  if (processes !== undefined && idle.length > 0) {
    found.add('ResponderProcessesDown', {
      what: `Of ${processes.length} responder processes ${processes.length - idle.length} serve.`,
      means:
        idle.length === processes.length ? 'No client is answered here.' : 'The others answer; there is less room.',
      todo: 'They are started again by themselves; the log says why they ended.',
    });
  }
  for (const token of sources.tokens()) tokenProblem(found, token, sources, now);
  archiveProblems(found, archive, now);
  const revocation = store.oldestDue('revocation');
  if (revocation !== undefined && now - revocation > ALERT_LIMITS.RevocationNotInOcsp.waiting * SECOND) {
    found.add('RevocationNotInOcsp', {
      what: `A revocation recorded ${rfc3339(revocation)} is not in OCSP yet.`,
      means: 'Clients that ask get tryLater, or from a cache the answer of before. The limit is 24 h.',
      since: revocation,
      breaks: ['P2', revocation + REVOCATION_LIMIT_MS],
      todo: 'See the log for signing errors; check the key holder and the responder certificate.',
    });
  }
  for (const { alert, milder, what, advice, issuer, endsAt } of sources.offline?.notices(now) ?? []) {
    found.add(alert, {
      milder,
      what,
      means: 'Its successor is signed where the key is: a ceremony has to be arranged.',
      subject: issuer,
      breaks: [alert === 'RevocationNotOnCrl' ? 'P5' : 'P4', endsAt],
      todo: advice,
    });
  }
  massProblems(found, sources.mass?.());
}

function massProblems(found: Problems, mass: MassView | undefined): void {
  if (mass === undefined) return;
  const { plan, run, failure, recordingLeftMs, signingLeftMs } = mass;
  const breaks = ['P2', run.startedAt + REVOCATION_LIMIT_MS] as const;
  if (failure !== undefined || run.state === 'paused') {
    found.add('MassRevocationStalled', {
      what: `Mass revocation ${plan.id} ${failure === undefined ? 'is paused' : `waits: ${failure}`}.`,
      means: 'What is recorded is not answered with good any more; the rest of the plan is not revoked yet.',
      subject: plan.id,
      breaks,
      todo:
        failure === undefined
          ? `Whoever paused it knows why; certstatus mass resume ${plan.id} lets it go on.`
          : `It goes on by itself when that is over; certstatus mass status ${plan.id} shows how far it is.`,
    });
  }
  const left = Math.max(recordingLeftMs ?? 0, signingLeftMs ?? 0);
  if (left > ALERT_LIMITS.MassRevocationSlow.left * SECOND) {
    found.add('MassRevocationSlow', {
      what: `Mass revocation ${plan.id} needs ${span(left)} more at its present rate.`,
      means: 'A clause of 24 hours cannot be kept at this rate; one of 5 days can (BR 4.9.1.1).',
      subject: plan.id,
      breaks,
      todo: 'See what the key holder can do (sessions, tokens) and whether a refresh takes its place; tell compliance now.',
    });
  }
}

function archiveProblems(found: Problems, archive: ArchiveView | undefined, now: EpochMs): void {
  if (archive !== undefined && archive.problems > 0) {
    found.add('ArchiveDamaged', {
      what: `The last verification of the CRL archive found ${archive.problems} ${archive.problems === 1 ? 'problem' : 'problems'}.`,
      means: 'Serving goes on; the proof of what was published is damaged.',
      since: archive.verified?.finishedAt,
      todo: 'The log names each; certstatus archive verify --repair mends what the other place has.',
    });
  }
  const copies = archive?.copies;
  if (copies?.oldest !== undefined && now - copies.oldest > ALERT_LIMITS.ArchiveNotCopied.waiting * SECOND) {
    found.add('ArchiveNotCopied', {
      what: `CRLs published since ${rfc3339(wholeSecond(copies.oldest))} are in one place only: they are not copied to ${copies.describe}.`,
      means: 'Serving goes on; should this disk be lost, so is the proof of these CRLs.',
      since: copies.oldest,
      todo: copies.failure ?? 'See the log.',
    });
  }
}

function tokenProblem(found: Problems, token: UsedToken, sources: GaugeSources, now: EpochMs): void {
  const { view, issuers, servedUntil } = token;
  if (view.state === 'active') return;
  const rest = servedUntil === undefined ? '' : ` What is published lasts until ${rfc3339(servedUntil)}.`;
  const users = issuers.map(({ id }) => id).join(', ') || 'no issuer';
  const stops = stopsSigning(token, sources, now);
  found.add('TokenUnusable', {
    what: `${view.failure ?? `token ${view.name} is ${view.state}`}: nothing is signed with its keys (${users}).${rest}`,
    means: stops
      ? 'Answers that are published are served as ever. A certificate that is revoked or issued meanwhile gets tryLater, never a wrong answer.'
      : 'The keys have another place, which signs.',
    subject: view.name,
    breaks: stops ? ['P4', firstBreak(issuers, sources)] : undefined,
    todo: whatToDo(token),
  });
}

/** Whether an issuer has no other place for its keys. */
function stopsSigning({ issuers }: UsedToken, { signers }: GaugeSources, now: EpochMs): boolean {
  return signers.some(
    (at) =>
      issuers.includes(at.served) &&
      (activeResponder(at, now)?.holder.failure !== undefined || at.keys.crl?.holder.failure !== undefined),
  );
}

function whatToDo({ view }: UsedToken): string {
  if (view.state === 'lost') return 'Check the HSM and the way to it; it is used again by itself when it answers.';
  const command = `certstatus key activate --token ${view.name}`;
  if (view.threshold !== undefined) {
    const entered =
      view.shares === undefined
        ? 'none is entered yet'
        : `entered: ${view.shares.persons.join(', ')}; the others by ${rfc3339(wholeSecond(view.shares.until))}`;
    return `${view.threshold} persons each enter their share with ${command} (${entered}).`;
  }
  return view.source === 'prompt'
    ? `Enter the PIN with ${command}.`
    : `Restart the service, which takes the PIN from its ${view.source}; the log says why it could not.`;
}
