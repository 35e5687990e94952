/** Verdicts about OCSP answers, CRLs, and what both say. */
import { DAY, HOUR } from '../time.ts';
import { FIRST_ANSWER_MS } from './answer-history.ts';
import {
  duration,
  type Context,
  type Judge,
  type Judges,
  type IssuerFacts,
  type Judged,
  limitsOf,
  met,
  notApplicable,
  notMet,
  notShown,
  number,
  plural,
} from './judged.ts';
import type { Extreme } from './worst.ts';

/** Own limit: 004 §4.9.8 says "reasonable". A CRL that is signed offline travels. */
const CRL_DELAY_MS = HOUR;
const CRL_DELAY_OFFLINE_MS = DAY;
/** CT-4.10.2-a. */
const LATENCY_SECONDS = 10;

/** Everything that is on record about the certificate of a worst case. */
function show({ id }: IssuerFacts, { what }: Extreme): string {
  const serial = /^serial ([0-9a-f]+):/.exec(what)?.[1] ?? 'SERIAL';
  return `certstatus audit show --issuer ${id} --serial ${serial}`;
}

const CRLS = 'certstatus archive list --issuer';

export const STATUS = {
  'answer-validity': ofOcsp((context) => {
    const { longest, shortest, answers, live } = context.evidence.signatures;
    const { answerLongestMs, answerShortestMs, source } = limitsOf(context.issuer.profile);
    const [most, least] = [longest.found, shortest.found];
    if (most === undefined || least === undefined) return notShown('no answer was signed in the period');
    const more = {
      limit: `${duration(answerShortestMs)} to ${duration(answerLongestMs)}, the last second counted (${source})`,
      worst: `longest ${duration(most.value)}, ${most.what}; shortest ${duration(least.value)}, ${least.what}`,
      figures: [['answers', number(answers + live)]] as const,
      look: 'certstatus audit export --type ocsp.signed',
    };
    if (most.value > answerLongestMs) return notMet('an answer is valid for too long', more);
    if (least.value < answerShortestMs) return notMet('an answer is valid for too short a time', more);
    return met('every answer that was signed is within the limits', more);
  }),

  'answer-age': ofOcsp((context) => {
    const { age, tooOld } = context.evidence.answers;
    const { answerAgeMs, source } = limitsOf(context.issuer.profile);
    if (age.found === undefined) return notShown('no certificate had an answer in the period');
    const more = {
      limit: `${duration(answerAgeMs)} (${source})`,
      worst: `${duration(age.found.value)}, ${age.found.what}`,
      figures: [['answers', number(age.count)], ['too old', number(tooOld)]] as const, // prettier-ignore
      look: show(context.issuer, age.found),
    };
    return tooOld > 0
      ? notMet(`${plural(tooOld, 'answer was', 'answers were')} older than the limit before being replaced`, more)
      : met('every answer was replaced in time', more);
  }),

  'answer-remaining': ofOcsp((context) => {
    const { remaining, tooLittle } = context.evidence.answers;
    const { answerRemainingMs, source } = limitsOf(context.issuer.profile);
    if (remaining.found === undefined) return notShown('no certificate had an answer in the period');
    const more = {
      limit: `${duration(answerRemainingMs)} before nextUpdate (${source})`,
      worst: `${duration(remaining.found.value)} left, ${remaining.found.what}`,
      figures: [['answers', number(remaining.count)], ['too late', number(tooLittle)]] as const, // prettier-ignore
      look: show(context.issuer, remaining.found),
    };
    return tooLittle > 0
      ? notMet(`${plural(tooLittle, 'answer was', 'answers were')} closer to the end than the limit permits`, more)
      : met('every answer was replaced while enough of it was left', more);
  }),

  'first-answer': ofOcsp(({ issuer, evidence }) => {
    const { first, firstLate } = evidence.answers;
    const { issued, precertificates, imported } = evidence.issued;
    if (first.found === undefined)
      return notApplicable('no certificate was issued in the period', {
        figures: imported > 0 ? [['imported', number(imported)]] : [],
      });
    const more = {
      limit: `${duration(FIRST_ANSWER_MS)} from the record (004 §4.9.10; BR 4.9.9)`,
      worst: `${duration(first.found.value)}, ${first.found.what}`,
      figures: [
        ['certificates recorded', number(issued)],
        ['of them precertificates', number(precertificates)],
        ['late', number(firstLate)],
      ] as const,
      look: show(issuer, first.found),
    };
    return firstLate > 0
      ? notMet(`${plural(firstLate, 'certificate')} waited longer for a first answer`, more)
      : met('every new certificate had an answer in time', more);
  }),

  coverage: ofOcsp(({ issuer, evidence }) => {
    const { gaps, certificates, unexpired } = evidence.answers;
    const { reconciled } = evidence.log;
    if (certificates === 0) return notShown('the log knows of no certificate');
    const more = {
      limit: 'none may be without a servable answer (004 §4.10.2)',
      figures: [
        ['certificates in the log', number(certificates)],
        ['unexpired at the end', number(unexpired)],
        ['times without an answer', number(gaps.count)],
        ...(reconciled.answerable === undefined
          ? []
          : [['answered for at the last reconciliation', number(reconciled.answerable)] as const]),
      ] as const,
      look: `certstatus reconcile --issuer ${issuer.id}`,
    };
    return gaps.found === undefined
      ? met('every unexpired certificate had a servable answer all the time', more)
      : notMet('certificates were without a servable answer', {
          ...more,
          worst: `${duration(gaps.found.value)}, ${gaps.found.what}`,
        });
  }),

  agreement: ({ issuer, evidence }) => {
    const { count, differences, worst, last } = evidence.log.reconciled;
    const look = `certstatus reconcile --issuer ${issuer.id}; certstatus audit export --type status.reconciled`;
    if (count === 0) return notShown('ledger, OCSP and CRLs were not compared: give a process the monitor role', { look }); // prettier-ignore
    const more = {
      limit: 'difference 0 (001 §2.2; 004 §4.9.6)',
      figures: [['comparisons', number(count)], ['last', last ?? 'none'], ['with a difference', number(differences)]] as const, // prettier-ignore
      look,
    };
    return differences === 0
      ? met('each comparison of ledger, OCSP answers and CRLs found them the same', more)
      : notMet('ledger, OCSP answers and CRLs did not say the same', { ...more, worst: worst ?? '' });
  },

  availability: ({ evidence }) => {
    const { probes, starts, stops, crashes, down } = evidence.log;
    const figures = [
      ['questions from outside', number(probes.asked)],
      ['without an answer', number(probes.unanswered)],
      ['certificates of random samples', `${number(probes.sampled)}, ${number(probes.wrong)} of them wrong`],
      ['looks at public URLs', `${number(probes.looks)}, ${plural(probes.findings, 'finding')}`],
      ['starts, stops, crashes', `${starts.count}, ${stops.count}, ${crashes.count}`],
      ...(down.found === undefined ? [] : [['longest time down', `${duration(down.found.value)}, ${down.found.what}`] as const]), // prettier-ignore
    ] as const;
    const more = { figures, look: 'certstatus audit export --type monitor.probed' };
    if (probes.asked + probes.looks === 0)
      return notShown('nobody asked from outside: give a process the monitor role, or set probe.urls', more);
    if (probes.unanswered + probes.wrong + probes.findings > 0)
      return notMet('what was asked for from outside was not always answered as it must be', { ...more, worst: probes.worst ?? '' }); // prettier-ignore
    return met('whatever was asked for from outside was answered', more);
  },

  latency: ({ evidence }) => {
    const { slowest } = evidence.log.probes;
    if (slowest.found === undefined)
      return notShown('no answer was timed from outside: give a process the monitor role');
    const more = {
      limit: `${LATENCY_SECONDS} s (004 §4.10.2)`,
      worst: `${slowest.found.value.toFixed(3)} s, ${slowest.found.what}`,
      figures: [['questions', number(evidence.log.probes.asked)]] as const,
      look: 'certstatus audit export --type monitor.probed; certstatus_probe_seconds on /metrics',
    };
    return slowest.found.value > LATENCY_SECONDS
      ? notMet('an answer took longer', more)
      : met('the slowest answer to a question from outside was in time', more);
  },

  'answers-checked': ({ evidence }) => {
    const { answers, live, imported, refused, firstRefused } = evidence.signatures;
    const { published, refused: crlsRefused } = evidence.crls;
    const made = answers + live + imported;
    const more = {
      figures: [
        ['certificates answered for ahead of time', number(answers)],
        ['answers for one nonce', number(live)],
        ['answers signed offline', number(imported)],
        ['CRLs published', number(published)],
        ['kept from publication', `${number(refused)} answers, ${number(crlsRefused)} CRLs`],
      ] as const,
      ...(firstRefused !== undefined && { worst: `first answer that was kept back: ${firstRefused}` }),
      look: 'certstatus lint --rules; certstatus audit export --type ocsp.refused',
    };
    return made + published === 0
      ? notShown('nothing was signed in the period', more)
      : met('each answer and CRL was decoded by a second reader, verified and linted before it was published', more);
  },

  'crl-age': ofCrls((context) => {
    const { age, gaps, scopes, published } = context.evidence.crls;
    const { crlAgeMs, source } = limitsOf(context.issuer.profile);
    const missing = context.issuer.scopes.filter((scope) => !scopes.includes(scope));
    const look = `${CRLS} ${context.issuer.id}`;
    if (missing[0] !== undefined)
      return notMet(`${plural(missing.length, 'CRL')} of the configuration never appeared, the first: ${missing[0] || 'the complete one'}`, { look }); // prettier-ignore
    if (age.found === undefined) return notShown('no CRL was in force in the period', { look });
    const more = {
      limit: `${duration(crlAgeMs)} (${source})`,
      worst: `${duration(age.found.value)}, ${age.found.what}`,
      figures: [['CRLs published', number(published)], ['scopes', number(scopes.length)]] as const, // prettier-ignore
      look,
    };
    if (gaps.found !== undefined) return notMet('there was no CRL in force', { ...more, worst: `${duration(gaps.found.value)}, ${gaps.found.what}` }); // prettier-ignore
    return age.found.value > crlAgeMs
      ? notMet('a CRL was replaced too late', more)
      : met('every CRL was replaced in time', more);
  }),

  'crl-validity': ofCrls((context) => {
    const { validity } = context.evidence.crls;
    const { crlValidityMs, source } = limitsOf(context.issuer.profile);
    if (validity.found === undefined) return notApplicable('no CRL was published in the period');
    const more = {
      limit: `${duration(crlValidityMs)}, the last second counted (${source})`,
      worst: `${duration(validity.found.value)}, ${validity.found.what}`,
      figures: [['CRLs published', number(validity.count)]] as const,
      look: `${CRLS} ${context.issuer.id}`,
    };
    return validity.found.value > crlValidityMs
      ? notMet('a CRL is valid for too long', more)
      : met('every CRL is valid for no longer than that', more);
  }),

  'crl-delay': ofCrls(({ issuer, evidence }) => {
    const { delay } = evidence.crls;
    if (delay.found === undefined) return notApplicable('no CRL was published in the period');
    const most = issuer.crlKeys === undefined ? CRL_DELAY_OFFLINE_MS : CRL_DELAY_MS;
    const more = {
      limit: `${duration(most)} from thisUpdate (own limit: 004 §4.9.8 names none)`,
      worst: `${duration(delay.found.value)}, ${delay.found.what}`,
      look: `${CRLS} ${issuer.id}`,
    };
    return delay.found.value > most ? notMet('a CRL was published late', more) : met('every CRL was published at once', more); // prettier-ignore
  }),

  'crl-numbers': ofCrls(({ issuer, evidence }) => {
    const { notGreater, published, actors, entries, bytes } = evidence.crls;
    if (published === 0) return notApplicable('no CRL was published in the period');
    const more = {
      figures: [
        ['CRLs published', number(published)],
        ['made by', actors.join(', ')],
        ['most entries', `${number(entries.found?.value ?? 0)}, ${entries.found?.what ?? ''}`],
        ['largest', `${number(bytes.found?.value ?? 0)} octets, ${bytes.found?.what ?? ''}`],
      ] as const,
      look: `${CRLS} ${issuer.id}`,
    };
    return notGreater[0] === undefined
      ? met('each number is greater than the one before it, and each record says who made the CRL', more)
      : notMet('a CRL number did not grow', { ...more, worst: notGreater[0] });
  }),

  'crl-archive': ofCrls(({ issuer, archive }) => {
    const look = `${CRLS} ${issuer.id}; certstatus archive verify`;
    if (archive.scopes === undefined)
      return notShown('there is no archive in this data directory: run the report where the signer is', { look });
    const missing = archive.scopes.flatMap((scope) => scope.missing);
    const figures = archive.scopes.slice(0, 20).map(({ shard, verdict }) => [shard === '' ? 'complete CRL' : `shard ${shard}`, verdict] as const); // prettier-ignore
    if (missing[0] !== undefined)
      return notMet(`${plural(missing.length, 'finding')} in the archive`, { worst: missing[0], figures, look });
    return archive.scopes.length === 0
      ? notShown('the archive has no CRL of this issuer', { look })
      : met('every CRL of the audit log is archived, each names the one that it replaced', { figures, look });
  }),
} satisfies Judges;

/** Without responder certificates there is only the CRL. */
function ofOcsp(judge: Judge): Judge {
  return (context): Judged => {
    const { answers, live, imported } = context.evidence.signatures;
    const silent = context.issuer.responders.length === 0 && context.issuer.ocspSignedBy === 'responder';
    if (silent && answers + live + imported === 0)
      return notApplicable('this issuer has no responder certificate: its status is given by CRL alone');
    return judge(context);
  };
}

function ofCrls(judge: Judge): Judge {
  return (context: Context): Judged =>
    context.issuer.crlKeys === undefined && context.evidence.crls.scopes.length === 0
      ? notApplicable('CRLs of this issuer are signed and published elsewhere')
      : judge(context);
}
