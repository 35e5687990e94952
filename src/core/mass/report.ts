/**
 * The report of a mass revocation or of its drill: the nine elements of the plan that CT-5.7.1.2-b names, as headings, with figures
 * where a program has them and a question where a person has to answer. As data, and as Markdown made from that data.
 */
import { COMPLETE } from '../certificate.ts';
import { formatDuration, rfc3339, SECOND, type EpochMs } from '../time.ts';
import type { DrillResult } from './drill.ts';
import { criteriaText } from './order.ts';
import { outlook, SIGNATURES_PER_CERTIFICATE, type MassPlan } from './plan.ts';
import type { MassRun } from './run.ts';

export interface ReportSection {
  readonly heading: string;
  readonly facts: readonly string[];
  /** For the person who signs the report. */
  readonly toAnswer: readonly string[];
}

export interface MassReport {
  readonly title: string;
  readonly at: string;
  readonly plan: string;
  readonly digest: string;
  /** Upper case, without colons or spaces (SR-8.6-a). */
  readonly fingerprints: readonly { readonly issuer: string; readonly sha256: string }[];
  readonly sections: readonly ReportSection[];
}

export interface ReportParts {
  readonly plan: MassPlan;
  readonly run: MassRun | undefined;
  readonly drill: DrillResult | undefined;
  /** Who made it. */
  readonly program: string;
}

export function massReport({ plan, run, drill, program }: ReportParts, nowMs: EpochMs): MassReport {
  const kind =
    run !== undefined ? 'Mass revocation' : drill !== undefined ? 'Mass revocation drill' : 'Mass revocation plan';
  const { order, counts } = plan;
  const section = (heading: string, facts: readonly (string | undefined)[], ...toAnswer: string[]): ReportSection => ({
    heading,
    facts: facts.filter((fact) => fact !== undefined),
    toAnswer,
  });
  return {
    title: `${kind} ${plan.id}`,
    at: rfc3339(nowMs),
    plan: plan.id,
    digest: plan.digest,
    fingerprints: plan.issuers.flatMap(({ id, fingerprints }) =>
      fingerprints.map((sha256) => ({ issuer: id, sha256 })),
    ),
    sections: [
      section(
        '1. Activation criteria',
        [
          `Ground: ${order.clause === undefined ? 'none named' : `clause ${order.clause}`}; reason on CRL and OCSP: ${order.reason ?? 'none'}${order.suspected ? '; the compromise is suspected' : ''}.`,
          `The CA became aware ${rfc3339(order.awareAt)}${order.deadline === undefined ? '' : `; to be published by ${rfc3339(order.deadline)}`}.`,
          `Selected: ${criteriaText(plan.criteria, plan.listed)}, of ${plan.issuers.map(({ id }) => id).join(', ')}.`,
          order.requestedBy && `Requested by ${order.requestedBy}.`,
        ],
        'Which criterion of the mass revocation plan was met, and who decided that it was?',
      ),
      section(
        '2. Customer contact information',
        [
          `${number(counts.selected)} certificates of ${plan.issuers.map(({ id }) => id).join(', ')} are concerned; their serials are in the list with SHA-256 ${plan.list.sha256}.`,
        ],
        'Where are the contacts of their subscribers kept, and when were they last checked?',
      ),
      section(
        '3. Automation points',
        [
          'Selection, recording, OCSP signing, CRL building and publication, and this report: by program.',
          `Planned by ${plan.createdBy}${run === undefined ? '' : `, started by ${run.startedBy}`}${drill === undefined ? '' : `, drilled by ${drill.by}`}.`,
          `Not selected: ${number(counts.already)} revoked already, ${number(counts.expired)} expired, ${number(counts.unknown)} not issued, ${number(counts.undecided)} of which the ledger does not know what was asked, ${number(counts.refused)} refused.`,
        ],
        counts.undecided === 0
          ? 'Which steps are still done by hand?'
          : `Of ${number(counts.undecided)} certificates the key or date is not recorded: how were they looked at?`,
      ),
      section('4. Targets and timelines', [...planned(plan, drill, nowMs), ...done(plan, run)]),
      section('5. Subscriber notification methods', [], 'How and when were subscribers told, before and after?'),
      section('6. Role assignments', [`In the audit log: ${[plan.createdBy, run?.startedBy, drill?.by].filter((name, i, all) => name !== undefined && all.indexOf(name) === i).join('; ')}.`], 'Who led, who approved, who stood by for whom?'), // prettier-ignore
      section('7. Training and education', [], 'Who was trained in this procedure, and when?'),
      section(
        '8. Plan testing',
        drill === undefined ? ['No drill of this plan is kept.'] : drilled(drill),
        'When was the last yearly test, and what came of it (CT-5.7.1.2-a)?',
      ),
      section(
        '9. Post-test analysis and update schedule',
        [capacity(plan)],
        'What is to be changed, by whom, until when? When is the plan reviewed next?',
      ),
      section('Made by', [program]),
    ],
  };
}

export function reportMarkdown(report: MassReport): string {
  const lines = [`# ${report.title}`, '', `Date: ${report.at}  `, `Plan digest: ${report.digest}`, '', '## CA certificates (SHA-256)', '']; // prettier-ignore
  for (const { issuer, sha256 } of report.fingerprints) lines.push(`- ${issuer}: ${sha256}`);
  for (const { heading, facts, toAnswer } of report.sections) {
    lines.push('', `## ${heading}`, '');
    for (const fact of facts) lines.push(`- ${fact}`);
    for (const question of toAnswer) lines.push(`- [ ] ${question}`);
  }
  return `${lines.join('\n')}\n`;
}

function planned(plan: MassPlan, drill: DrillResult | undefined, nowMs: EpochMs): readonly string[] {
  const { signatures, signingSeconds, withinDeadline } = outlook(plan, nowMs);
  const facts = [`Planned: ${number(plan.counts.selected)} certificates, ${number(signatures)} signatures.`];
  const { rate } = plan;
  facts.push(
    rate === undefined
      ? 'Planned time: unknown, no rate of the key holder had been measured.'
      : `Planned time: ${signingSeconds === undefined ? 'not to be reached, refreshes alone take all of the key' : text(signingSeconds)} at ${number(rate.certificatesPerSecond)} certificates/s (${rate.source}, ${rfc3339(rate.at)})${withinDeadline === undefined ? '' : withinDeadline ? ', within the deadline' : ', BEYOND THE DEADLINE'}.`,
  );
  for (const crl of plan.crls)
    facts.push(`Planned: CRL ${scope(crl)} from ${number(crl.entriesBefore)} to ${number(crl.entriesAfter)} entries, ${number(crl.bytesBefore)} to ${number(crl.bytesAfter)} octets.`); // prettier-ignore
  const slowest = drill?.keys.reduce((least, key) => Math.min(least, key.certificatesPerSecond), Infinity);
  if (slowest !== undefined && slowest > 0 && slowest < Infinity)
    facts.push(`By the drill: ${text(plan.counts.selected / slowest)} at ${number(slowest)} certificates/s.`);
  return facts;
}

function done(plan: MassPlan, run: MassRun | undefined): readonly string[] {
  if (run === undefined) return [];
  const { counts, startedAt, recordedAt, ocspAt, crlAt, singles, state } = run;
  const facts = [`Real: started ${rfc3339(startedAt)}, now ${state}; ${number(counts.revoked)} revoked, ${number(counts.already)} were so already, ${number(counts.expired)} expired, ${number(counts.refused)} refused.`]; // prettier-ignore
  const step = (what: string, at: EpochMs | undefined): void => {
    const seconds = at === undefined ? 0 : (at - startedAt) / SECOND;
    const pace = seconds > 0 ? `, ${number(counts.revoked / seconds)} certificates/s` : '';
    facts.push(
      at === undefined
        ? `Real: not all ${what} yet.`
        : `Real: all ${what} ${rfc3339(at)}, after ${text(seconds)}${pace}.`,
    );
  };
  step('recorded', recordedAt);
  step('in OCSP', ocspAt);
  step('on their CRLs', crlAt);
  const { deadline } = plan.order;
  const visible = ocspAt === undefined || crlAt === undefined ? undefined : Math.max(ocspAt, crlAt);
  if (deadline !== undefined && visible !== undefined)
    facts.push(`Real: published ${visible <= deadline ? 'within' : 'AFTER'} the deadline ${rfc3339(deadline)}.`);
  facts.push(singles.count === 0 ? 'No single certificate was revoked meanwhile.' : `Single revocations meanwhile: ${number(singles.count)}, in OCSP after ${formatDuration(singles.worstMs)} at the latest.`); // prettier-ignore
  return facts;
}

function drilled(drill: DrillResult): readonly string[] {
  return [
    `Drill of ${rfc3339(drill.startedAt)} to ${rfc3339(drill.endedAt)}; nothing was published, and no answer or CRL that is not true was signed by the CA's keys.`,
    ...drill.keys.map((key) => `${key.issuer}: ${number(key.signatures)} signatures by ${key.key} in ${text(key.seconds)}, ${number(key.certificatesPerSecond)} certificates/s, ${number(key.failed)} failed.`), // prettier-ignore
    ...drill.crls.map((crl) => `CRL ${scope(crl)}: ${number(crl.entries)} entries, ${number(crl.bytes)} octets, built in ${text(crl.seconds)}.`), // prettier-ignore
  ];
}

/** CT-5.7.1.2-b: signatures per second × 24 h against what there is. */
function capacity({ rate, counts }: MassPlan): string {
  if (rate === undefined) return 'Capacity: unknown; measure it with a drill.';
  const perDay = rate.certificatesPerSecond * 86_400;
  return `Capacity: ${number(perDay * SIGNATURES_PER_CERTIFICATE)} signatures in 24 h, so ${number(perDay)} certificates; ${number(counts.selected)} were selected.`;
}

function scope({ issuer, shard }: { readonly issuer: string; readonly shard: string }): string {
  return shard === COMPLETE ? issuer : `${issuer}/${shard}`;
}

function number(value: number): string {
  return (value < 10 ? Math.round(value * 100) / 100 : Math.round(value)).toLocaleString('en-US');
}

function text(seconds: number): string {
  return formatDuration(seconds < 10 ? Math.round(seconds * 100) * 10 : Math.round(seconds) * SECOND);
}
