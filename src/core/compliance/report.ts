/**
 * The compliance report: every duty of the catalogue with its verdict and why. Plain data; markdown.ts makes it readable, and its JSON
 * form is this object.
 */
import { CATALOGUE } from '../duties/catalogue.ts';
import { PROMISES } from '../duties/promises.ts';
import type { Binding, Duty, EvidenceCheck, Shown } from '../duties/duty.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import { CONFIGURED } from './judge-configured.ts';
import { KEY_CHECKS } from './judge-keys.ts';
import { RECORDS } from './judge-records.ts';
import { judgeClause, REVOCATIONS } from './judge-revocation.ts';
import { STATUS } from './judge-status.ts';
import { notApplicable, notShown, number, type Context, type Judge, type Judged, type Verdict } from './judged.ts';

/** Of the report itself. */
export interface Made {
  readonly version: string;
  readonly at: EpochMs;
  readonly by: string;
  readonly from: EpochMs;
  readonly to: EpochMs;
}

export interface ComplianceReport {
  readonly title: string;
  readonly issuer: {
    readonly id: string;
    readonly name: string;
    readonly fingerprints: readonly string[];
  };
  readonly period: { readonly from: string; readonly to: string };
  readonly made: { readonly at: string; readonly by: string; readonly version: string };
  readonly profiles: readonly { readonly from: string; readonly preset: string; readonly software: string }[];
  readonly journals: readonly {
    readonly name: string;
    readonly records: number;
    readonly from: string | undefined;
    readonly until: string | undefined;
    readonly head: string | undefined;
  }[];
  /** What whoever reads it must know before the verdicts. */
  readonly remarks: readonly string[];
  readonly summary: Readonly<Record<Verdict, number>>;
  readonly promises: readonly {
    readonly id: string;
    readonly text: string;
    readonly verdict: Verdict;
    readonly shownBy: readonly string[];
  }[];
  readonly chapters: readonly ReportChapter[];
}

export interface ReportChapter {
  readonly title: string;
  readonly duties: readonly ReportedDuty[];
}

export interface ReportedDuty extends Judged {
  readonly ids: readonly string[];
  readonly source: string;
  readonly text: string;
  readonly how: Shown['how'];
}

export const VERDICTS: readonly Verdict[] = ['met', 'partly met', 'not met', 'not shown', 'not applicable', 'operator'];

export function makeReport(context: Context, made: Made): ComplianceReport {
  const { issuer, evidence } = context;
  const chapters = CATALOGUE.map(({ title, duties }) => ({
    title,
    duties: duties.map(({ ids, source, text, shown, binds }) => ({
      ids,
      source,
      text,
      how: shown.how,
      ...judged({ ids, source, text, shown, binds }, context),
    })),
  }));
  const all = chapters.flatMap(({ duties }) => duties);
  const summary = Object.fromEntries(
    VERDICTS.map((verdict) => [verdict, all.filter((duty) => duty.verdict === verdict).length]),
  ) as Record<Verdict, number>;
  return {
    title: `Compliance report: ${issuer.name}`,
    issuer: {
      id: issuer.id,
      name: issuer.name,
      fingerprints: issuer.certificates.map(({ fingerprint }) => fingerprint),
    },
    period: { from: rfc3339(made.from), to: rfc3339(made.to) },
    made: { at: rfc3339(made.at), by: made.by, version: made.version },
    profiles: evidence.log.profiles.map(({ from, profile, description }) => ({
      from,
      preset: profile.preset,
      software: description,
    })),
    journals: evidence.log.journals.map(({ name, records, from, until, head }) => ({
      name,
      records,
      from,
      until,
      head: head?.hash,
    })),
    remarks: remarksOf(context, made),
    summary,
    promises: PROMISES.map(({ id, text, shownBy }) => ({ id, text, shownBy, verdict: together(shownBy, all) })),
    chapters,
  };
}

/** The worst of them; what is not applicable says nothing. */
function together(ids: readonly string[], duties: readonly ReportedDuty[]): Verdict {
  const verdicts = duties.filter((duty) => duty.ids.some((id) => ids.includes(id))).map(({ verdict }) => verdict);
  return (
    (['not met', 'not shown', 'partly met', 'met'] as const).find((verdict) => verdicts.includes(verdict)) ??
    'not applicable'
  );
}

function judged(duty: Duty, context: Context): Judged {
  const { shown, binds } = duty;
  if (binds !== undefined && !isBound(binds, context)) return notApplicable(`it binds ${BOUND[binds]}`);
  switch (shown.how) {
    case 'operator':
      return { verdict: 'operator', reason: shown.helps };
    case 'enforced':
    case 'tested':
      return {
        verdict: shown.rest === undefined ? 'met' : 'partly met',
        reason: shown.rest === undefined ? shown.by : `${shown.by}; but ${shown.rest}`,
        look: shown.where,
        proof: shown.proof,
      };
    case 'configured':
      return CONFIGURED[shown.check](context);
    case 'evidence':
      return ofEvidence(duty, context);
  }
}

function ofEvidence({ shown }: Duty, context: Context): Judged {
  if (shown.how !== 'evidence') throw new Error('not a duty that is shown by evidence');
  const { check } = shown;
  const { journals } = context.evidence.log;
  if (journals.every(({ records }) => records === 0) && check !== 'log-chain')
    return notShown('no audit log has a record up to the end of the period');
  const verdict = check === 'clause' ? judgeClause(shown.clause ?? '', context) : CHECKS[check](context);
  const broken = journals.find((journal) => journal.broken !== undefined);
  // What follows a break is no evidence: nothing can be found met by what is left.
  if (broken !== undefined && verdict.verdict !== 'not met')
    return notShown(`the audit log ${broken.name} is broken, and what follows is no evidence`, { look: 'certstatus audit verify' }); // prettier-ignore
  return verdict;
}

const CHECKS: Readonly<Record<Exclude<EvidenceCheck, 'clause'>, Judge>> = {
  ...STATUS,
  ...REVOCATIONS,
  ...RECORDS,
  ...KEY_CHECKS,
};

const BOUND: Readonly<Record<Binding, string>> = {
  cybertrust: 'CAs under the Cybertrust CP/CPS alone',
  secom: 'CAs under the SECOM CPS alone',
  'secom-root': 'the SECOM roots alone',
};

function isBound(binds: Binding, { issuer: { profile } }: Context): boolean {
  if (binds === 'cybertrust') return profile.authorities.includes('cybertrust');
  if (!profile.authorities.includes('secom')) return false;
  return binds === 'secom' || profile.issues === 'ca-certificates';
}

function remarksOf({ issuer, evidence, head }: Context, { from, to, at }: Made): readonly string[] {
  const { journals } = evidence.log;
  const begins = Math.min(...journals.flatMap(({ from: first }) => (first === undefined ? [] : [Date.parse(first)])));
  const documents = issuer.profile.authorities.join(', ');
  return [
    `The duties are those of 001 and 003 (SECOM CPS), 002 (Mozilla case) and 004 (Cybertrust CP/CPS). This CA is bound by: ${documents} (preset ${issuer.profile.preset}); where another document is named, the duty is judged all the same.`, // prettier-ignore
    ...(to > at ? [`The period ends ${rfc3339(to)}, after this report was made: it covers what was until ${rfc3339(at)}.`] : []), // prettier-ignore
    ...(begins > from && begins < Infinity ? [`The audit log begins ${rfc3339(begins)}, within the period.`] : []),
    ...journals.flatMap(({ name, broken }) => (broken === undefined ? [] : [`The audit log ${name} is broken: ${broken}. Nothing after it is evidence.`])), // prettier-ignore
    ...(head === undefined ? ['The end of the audit log was not held against the ledger: the service could not be asked. Run it again where the service or its store can be reached.'] : []), // prettier-ignore
    `${number(evidence.answers.certificates)} certificates, ${number(evidence.signatures.answers + evidence.signatures.live)} answers and ${number(evidence.crls.published)} CRLs of the period were looked at.`, // prettier-ignore
  ];
}
