/** The report as Markdown, for a person who has to sign it: what is not met first, then chapter by chapter, operators' duties last. */
import type { Verdict } from './judged.ts';
import { VERDICTS, type ComplianceReport, type ReportedDuty } from './report.ts';

const MEANING: Readonly<Record<Verdict, string>> = {
  met: 'the figures, the configuration or the program itself show it',
  'not met': 'the worst case is named',
  'not shown': 'nothing here shows it; the reason says what would',
  'not applicable': 'nothing of the kind happened, or it binds others',
  operator: 'no program can show it',
};

export function markdown(report: ComplianceReport): string {
  const { issuer, period, made, profiles, journals, remarks, summary, chapters } = report;
  const duties = chapters.flatMap((chapter) => chapter.duties);
  return [
    `# ${report.title}`,
    '',
    ...table(
      ['', ''],
      [
        ['CA', issuer.name],
        ...issuer.fingerprints.map((fingerprint) => ['SHA-256 of its certificate', code(fingerprint)] as const),
        ['Period', `${period.from} to ${period.to}`],
        ['Made', `${made.at} by ${made.by}, certstatus ${made.version}`],
        ...profiles.map(({ from, preset, software }) => [`In force from ${from}`, `preset ${preset}; ${software}`] as const), // prettier-ignore
        ...journals.map(({ name, records, until, head }) => [`Audit log ${name}`, `${records} records until ${until ?? 'never'}, head ${code(head ?? 'none')}`] as const), // prettier-ignore
      ],
    ),
    '',
    ...remarks.map((remark) => `- ${remark}`),
    '',
    '## Summary',
    '',
    ...table(
      ['Verdict', 'Duties', 'Meaning'],
      VERDICTS.map((verdict) => [bold(verdict), String(summary[verdict]), MEANING[verdict]]),
    ),
    '',
    ...attention('Not met', duties, 'not met'),
    ...attention('Not shown', duties, 'not shown'),
    ...chapters.flatMap(({ title, duties: of }) => chapterText(title, of)),
    '## Duties of the operator',
    '',
    'No program can show these. What this one contributes stands beside each.',
    '',
    ...table(
      ['Ids', 'Duty', 'What the service contributes'],
      duties.filter(({ verdict }) => verdict === 'operator').map((duty) => [duty.ids.join(', '), `${duty.text} (${duty.source})`, duty.reason]), // prettier-ignore
    ),
    '',
  ].join('\n');
}

function attention(title: string, duties: readonly ReportedDuty[], verdict: Verdict): readonly string[] {
  const of = duties.filter((duty) => duty.verdict === verdict);
  if (of.length === 0) return [`**${title}:** none.`, ''];
  return [
    `**${title}:**`,
    '',
    ...table(
      ['Ids', 'Duty', 'Why'],
      of.map(({ ids, text, reason, worst }) => [
        ids.join(', '),
        text,
        worst === undefined ? reason : `${reason}: ${worst}`,
      ]),
    ),
    '',
  ];
}

function chapterText(title: string, duties: readonly ReportedDuty[]): readonly string[] {
  const shown = duties.filter(({ verdict }) => verdict !== 'operator');
  if (shown.length === 0) return [];
  const byProgram = shown.filter(({ how, verdict }) => (how === 'enforced' || how === 'tested') && verdict === 'met');
  const none = shown.filter((duty) => duty.verdict === 'not applicable');
  const figured = shown.filter((duty) => !byProgram.includes(duty) && !none.includes(duty));
  return [
    `## ${title}`,
    '',
    ...figured.flatMap(section),
    ...(byProgram.length === 0
      ? []
      : [
          'Met by the program itself:',
          '',
          ...table(
            ['Ids', 'Duty', 'By what', 'Where to look'],
            byProgram.map(({ ids, text, source, how, reason, look = '' }) => [
              ids.join(', '),
              `${text} (${source})`,
              how === 'tested' ? `tested in each release: ${reason}` : reason,
              look,
            ]),
          ),
          '',
        ]),
    ...(none.length === 0
      ? []
      : [
          'Not applicable:',
          '',
          ...table(
            ['Ids', 'Duty', 'Why'],
            none.map(({ ids, text, source, reason }) => [ids.join(', '), `${text} (${source})`, reason]),
          ),
          '',
        ]),
  ];
}

function section({
  ids,
  text,
  source,
  verdict,
  reason,
  limit,
  worst,
  figures = [],
  look,
}: ReportedDuty): readonly string[] {
  // prettier-ignore
  return [
    `### ${ids.join(', ')}: ${verdict}`,
    '',
    `${cell(text)} (${source}) ${bold(verdict)}: ${cell(reason)}.`,
    '',
    ...(limit === undefined ? [] : [`- Limit: ${cell(limit)}`]),
    ...(worst === undefined ? [] : [`- Worst case: ${cell(worst)}`]),
    ...figures.map(([name, value]) => `- ${sentence(name)}: ${cell(value)}`),
    ...(look === undefined ? [] : [`- Where to look: ${cell(look)}`]),
    '',
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

/** What comes from records may have anything in it, markup included. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[|<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

const bold = (text: string): string => `**${text}**`;
const code = (text: string): string => `\`${text}\``;
const sentence = (text: string): string => cell(text.charAt(0).toUpperCase() + text.slice(1));
