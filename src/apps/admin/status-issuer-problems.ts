/** What is wrong with one issuer's answers, CRLs and responder certificates. */
import { ALERT_LIMITS } from '../../core/alerts.ts';
import { refreshDeadline, refreshLateAt } from '../../core/policy/freshness.ts';
import { completeCrl } from '../../core/certificate.ts';
import { successorDue } from '../../core/policy/responder-choice.ts';
import { DAY, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import { forecastOf } from '../../flows/crl/crl-forecast.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { namesOf, servedCrls, type ServedCrls } from '../../flows/serve/served-crls.ts';
import { firstBreak, REVOCATION_LIMIT_MS, type Problems } from './status-problems.ts';
import { bytes, span } from './words.ts';

export function issuerProblems(found: Problems, issuer: ServedIssuer, sources: GaugeSources, now: EpochMs): void {
  answerProblems(found, issuer, sources, now);
  crlProblems(found, issuer, sources, now);
  crlUpkeepProblems(found, issuer, sources, now);
  responderProblems(found, issuer, sources, now);
}

function answerProblems(found: Problems, issuer: ServedIssuer, { freshness }: GaugeSources, now: EpochMs): void {
  const { id, profile, tag } = issuer;
  const { oldestThisUpdate, leastNextUpdate } = freshness.of(tag);
  if (oldestThisUpdate !== undefined && leastNextUpdate !== undefined) {
    const leftMs = leastNextUpdate - now;
    // One in the first half of its life is none to worry about, however short that is.
    if (leftMs < ALERT_LIMITS.AnswersRunOut.left * SECOND && now - oldestThisUpdate > leftMs) {
      found.add('AnswersRunOut', {
        what: `${id}: the first OCSP answer ${leftMs > 0 ? `runs out in ${span(leftMs)}` : 'has run out'}, ${rfc3339(leastNextUpdate)}.`,
        means: 'From then on who asks for it gets tryLater; 8 h before that a rule is broken (BR 4.9.9).',
        subject: id,
        breaks: ['P4', leastNextUpdate],
        todo:
          issuer.offline?.ocsp === true
            ? `certstatus offline export --issuer ${id} --ocsp --out FILE, then offline sign where the key is, then offline import.`
            : 'The signer is stopped or far behind: see the lanes below and its log; nothing else is as urgent.',
      });
    }
  }
  // Those of a CA that signs them offline have a watch of their own.
  if (oldestThisUpdate === undefined || issuer.offline?.ocsp === true) return;
  const deadline = refreshDeadline(oldestThisUpdate, oldestThisUpdate + profile.ocsp.validityMs - SECOND);
  const lateAt = refreshLateAt(profile, oldestThisUpdate);
  if (now > deadline) {
    found.add('AnswersStale', {
      what: `${id}: OCSP answers are older than their deadline (oldest ${rfc3339(oldestThisUpdate)}).`,
      means:
        'They are still valid and served; the limit of BR 4.9.9 is broken. When they run out clients get tryLater.',
      subject: id,
      since: deadline,
      breaks: ['P4', deadline],
      todo: 'The signer is behind or stopped: see the lanes below and the log.',
    });
  } else if (now > lateAt) {
    found.add('AnswersRefreshedLate', {
      what: `${id}: OCSP answers are being refreshed late (oldest ${rfc3339(oldestThisUpdate)}).`,
      means: 'Clients notice nothing yet.',
      subject: id,
      since: lateAt,
      breaks: ['P4', deadline],
      todo: 'The signer is behind: see the lanes below and the log.',
    });
  }
}

function crlProblems(found: Problems, issuer: ServedIssuer, sources: GaugeSources, now: EpochMs): void {
  const { id, tag } = issuer;
  const periodMs = sources.census?.periodMs(issuer) ?? issuer.profile.crl.periodMs;
  const publisher = sources.publishers.get(tag);
  const served = servedCrls(issuer, sources.files, now);
  if (served.missing.length > 0) {
    found.add('CrlMissing', {
      what:
        served.scopes === 1
          ? `${id}: no CRL is being served.`
          : `${id}: ${served.missing.length} of ${served.scopes} CRLs are not being served: ${namesOf(served.missing)}.`,
      means: 'Who asks for it gets 503. Browsers that go by CRLs lose the whole issuer (T-39).',
      subject: id,
      breaks: ['P4', now],
      todo:
        publisher === undefined
          ? `See the log of the process that signs it; where crl.key is not set in issuers/${id}/issuer.yaml it is signed offline and imported (certstatus offline export, crl import).`
          : 'See the log: the first build may have been refused.',
    });
  }
  if (served.expired.length > 0) {
    found.add('CrlMissing', {
      what:
        served.scopes === 1
          ? `${id}: CRL ${sources.files.crl(completeCrl(tag))?.number} has run out.`
          : `${id}: ${served.expired.length} of ${served.scopes} CRLs have run out: ${namesOf(served.expired)}.`,
      means: 'It is not served any more: who asks for it gets 503.',
      subject: id,
      since: served.leastNextUpdate,
      breaks: ['P4', served.leastNextUpdate],
      todo: 'See the log for refused or failed builds.',
    });
  } else if (crlRunsOut(found, issuer, served, now)) {
    // It says more than that the CRL is late, and silences that in Alertmanager too.
  } else if (
    served.oldestScheduledAt !== undefined &&
    now - served.oldestScheduledAt > periodMs + ALERT_LIMITS.CrlLate.patience * SECOND
  ) {
    found.add('CrlLate', {
      what: `${id}: the scheduled CRL is late.`,
      means: 'The CRL of before is valid and served.',
      subject: id,
      since: served.oldestScheduledAt + periodMs,
      breaks: [
        'P4',
        Math.min(served.leastNextUpdate ?? Infinity, served.oldestScheduledAt + longestPeriodMs(issuer, periodMs)),
      ],
      todo: 'See the log for refused or failed builds.',
    });
  }
  const unlisted = publisher?.oldestUnlisted;
  if (unlisted !== undefined && now - unlisted > ALERT_LIMITS.RevocationNotOnCrl.waiting * SECOND) {
    found.add('RevocationNotOnCrl', {
      what: `${id}: a revocation recorded ${rfc3339(wholeSecond(unlisted))} is on no CRL yet.`,
      means: 'OCSP and CRL do not say the same. The limit is 24 h (BR 4.9.7).',
      subject: id,
      since: unlisted,
      breaks: ['P5', unlisted + REVOCATION_LIMIT_MS],
      todo: 'See the log for refused or failed builds.',
    });
  }
  const refused = [...(publisher?.publishers ?? [])].filter(([, one]) => one.refused);
  const [first] = refused;
  if (first !== undefined) {
    const which =
      refused.length > 1
        ? `CRLs of ${refused.length} shards that were signed are`
        : `${first[0] === '' ? 'complete CRL' : `CRL of shard ${first[0]}`} that was signed is`;
    const ends = refused.flatMap(([, { current }]) => current?.nextUpdate ?? []);
    found.add('CrlRefused', {
      what: `${id}: the last ${which} not published.`,
      means: 'What was signed is wrong, so the CRL of before stays; new revocations are not on it.',
      subject: id,
      breaks: ends.length === 0 ? undefined : ['P4', Math.min(...ends)],
      todo: `certstatus crl show --why --issuer ${id} says which rule kept it back.`,
    });
  }
}

/** @returns whether it does. */
function crlRunsOut(
  found: Problems,
  { id, offline }: ServedIssuer,
  { oldestThisUpdate, leastNextUpdate, scopes }: ServedCrls,
  now: EpochMs,
): boolean {
  if (oldestThisUpdate === undefined || leastNextUpdate === undefined) return false;
  const { left, times } = ALERT_LIMITS.CrlRunsOut;
  const leftMs = leastNextUpdate - now;
  if (leftMs >= left * SECOND || leftMs * times >= now - oldestThisUpdate) return false;
  found.add('CrlRunsOut', {
    what: `${id}: the ${scopes > 1 ? 'first of its CRLs' : 'CRL'} runs out in ${span(leftMs)}, ${rfc3339(leastNextUpdate)}, and nothing follows it.`,
    means: 'From then on it is not served, and browsers that go by CRLs lose the whole issuer (T-39).',
    subject: id,
    breaks: ['P4', leastNextUpdate],
    todo:
      offline?.crl === true
        ? `certstatus offline export --issuer ${id} --crl --out FILE, then offline sign where the key is, then offline import.`
        : `certstatus crl show --why --issuer ${id} says what holds the next one up; see the log and the key of the CRL.`,
  });
  return true;
}

/** BR 4.9.7 between two CRLs: 7 days, or 4 where a certificate names no OCSP responder (B-13); 12 months for CA certificates (B-15). */
function longestPeriodMs({ profile }: ServedIssuer, periodMs: number): number {
  if (profile.issues === 'ca-certificates') return Infinity;
  return periodMs < profile.crl.periodMs ? 4 * DAY : 7 * DAY;
}

function crlUpkeepProblems(found: Problems, issuer: ServedIssuer, sources: GaugeSources, now: EpochMs): void {
  const { id } = issuer;
  const octets = servedCrls(issuer, sources.files, now).bytes ?? 0;
  if (octets > ALERT_LIMITS.CrlTooLarge.octets) {
    found.add('CrlTooLarge', {
      what: `${id}: a CRL has ${bytes(octets)}; above 10 MB clients may not read it (P-17).`,
      means: 'It is published and served as ever; each revocation makes it longer.',
      subject: id,
      todo: `Give new certificates new shards (certstatus crl forecast --issuer ${id} says how many); old ones keep theirs until they expire.`,
    });
  }
  const over = sources.census && forecastOf(issuer, sources.census, now)?.scopes.filter(({ overLimit }) => overLimit);
  if (over !== undefined && over.length > 0) {
    found.add('CrlTooLarge', {
      what: `${id}: ${over.length} CRLs would have 10 MB or more if all their certificates were revoked (P-17).`,
      means: 'Nothing is wrong today; a shard cannot be divided once its certificates are out (T-38).',
      subject: id,
      todo: `certstatus crl forecast --issuer ${id} says which, and how many shards would do.`,
    });
  }
  // A CA that browsers do not know has nothing to tell them.
  const open = issuer.profile.authorities.includes('mozilla') ? sources.urls?.openOf(issuer) : undefined;
  if (open?.dueBy !== undefined && open.dueBy - now < ALERT_LIMITS.CrlUrlsUndeclared.left * SECOND) {
    found.add('CrlUrlsUndeclared', {
      what: `${id}: certificates name CRL URLs that nobody has said are in the CCADB; they must be there by ${rfc3339(open.dueBy)} (P-09).`,
      means: 'Serving goes on; root programs ask for the list.',
      subject: id,
      todo: `certstatus crl urls --issuer ${id} prints them; with --acknowledge it notes that it is done.`,
    });
  }
}

function responderProblems(found: Problems, issuer: ServedIssuer, sources: GaugeSources, now: EpochMs): void {
  const { id, tag, profile, responders } = issuer;
  const signing = responders.signing.map(({ certificate }) => certificate);
  const successor = successorDue(profile, signing, now);
  const todo = `Have the CA issue ${successor === undefined ? 'one' : 'its successor'} (certstatus key csr, then key install, with --issuer ${id}).`;
  const dueMs = (successor?.dueAt ?? Infinity) - now;
  if (successor === undefined) {
    // Answers that a CA signs offline need none here.
    if (issuer.offline?.ocsp === true) return;
    found.add('ResponderCertificateDue', {
      what: `${id}: there is no responder certificate that is still valid, so no OCSP answer is signed.`,
      means: 'Answers that are published are served until they run out.',
      subject: id,
      breaks: ['P4', firstBreak([issuer], sources)],
      todo,
    });
  } else if (couldSign(issuer, sources) && sources.signsWith?.(tag) === undefined) {
    found.add('ResponderCertificateEnds', {
      what: `${id}: a key can be used, and none of its responder certificates can sign now; the last ends ${rfc3339(successor.lastEnds)} and has no successor.`,
      means: 'Answers that are published are served until they run out.',
      subject: id,
      breaks: ['P4', firstBreak([issuer], sources)],
      todo,
    });
  } else if (dueMs < ALERT_LIMITS.ResponderCertificateDue.left * SECOND) {
    const ends = dueMs < ALERT_LIMITS.ResponderCertificateEnds.left * SECOND;
    found.add(ends ? 'ResponderCertificateEnds' : 'ResponderCertificateDue', {
      what: `${id}: the last responder certificate ends ${rfc3339(successor.lastEnds)}; its successor must begin by ${rfc3339(successor.dueAt)} (T-17).`,
      means: 'Signing goes on; from that day on answers get shorter, and none outlives the certificate.',
      subject: id,
      breaks: ['P4', successor.lastEnds],
      todo,
    });
  }
}

/** Whether this process signs the issuer's answers, and a key for them can be used. */
function couldSign({ tag }: ServedIssuer, { signers, signsWith }: GaugeSources): boolean {
  if (signsWith === undefined) return false;
  const at = signers.find(({ served }) => served.tag === tag);
  return at !== undefined && [...at.keys.ocsp.values()].some(({ holder }) => holder.failure === undefined);
}
