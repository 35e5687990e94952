/** The report as Markdown, for a person who has to sign it: what is not met first, then chapter by chapter, operators' duties last. */
import { plural, type Verdict } from './judged.ts';
import { VERDICTS, type ComplianceReport, type ReportedDuty } from './report.ts';

const MEANING: Readonly<Record<Exclude<Verdict, 'met'>, string>> = {
  'partly met': 'the program does a part; the reason says what is left, and for whom',
  'not met': 'the worst case is named',
  'not shown': 'nothing here shows it; the reason says what would',
  'not applicable': 'nothing of the kind happened, or it binds others',
  operator: 'no program can show it; they stand at the end',
};
/** Values of figures that are longer than this have a line of their own. */
const SHORT = 32;

export function markdown(report: ComplianceReport): string {
  const { chapters } = report;
  const duties = chapters.flatMap((chapter) => chapter.duties);
  return [
    ...head(report),
    ...summary(report, duties),
    ...attention('Not met', duties, 'not met'),
    ...attention('Partly met', duties, 'partly met'),
    ...attention('Not shown', duties, 'not shown'),
    ...promised(report),
    ...chapters.flatMap(({ title, duties: of }) => chapterText(title, of)),
    '## Duties of the operator',
    '',
    'No program can show these. What this one contributes stands beside each.',
    '',
    ...table(
      ['Duty', 'What the service contributes', 'Ids'],
      duties.filter(({ verdict }) => verdict === 'operator').map((duty) => [sourced(duty), duty.reason, idsOf(duty)]),
    ),
    '',
  ].join('\n');
}

function head({ title, issuer, period, made, profiles, journals, remarks }: ComplianceReport): readonly string[] {
  return [
    `# ${cell(title)}`,
    '',
    ...table(
      ['About', 'This report'],
      [
        ['CA', issuer.name],
        ...issuer.fingerprints.map((fingerprint) => ['SHA-256 of its certificate', code(fingerprint)]),
        ['Period', `${period.from} to ${period.to}`],
        ['Made', `${made.at} by ${made.by}, certstatus ${made.version}`],
        ...profiles.map(({ from, preset, software }) => [`In force from ${from}`, `preset ${preset}; ${software}`]),
        ...journals.map(({ name, records, until, head: hash }) => [
          `Audit log ${name}`,
          `${plural(records, 'record')} until ${until ?? 'never'}, head ${code(hash ?? 'none')}`,
        ]),
      ],
    ),
    '',
    ...remarks.map((remark) => `- ${cell(remark)}`),
    '',
  ];
}

function summary({ summary: counts }: ComplianceReport, duties: readonly ReportedDuty[]): readonly string[] {
  const by = (...ways: readonly string[]): number =>
    duties.filter(({ verdict, how }) => verdict === 'met' && ways.includes(how)).length;
  const met = `${by('evidence')} by figures of the period, ${by('configured')} by the configuration, ${by('enforced')} because the program permits nothing else, ${by('tested')} by the tests of each release`;
  return [
    '## Summary',
    '',
    ...table(
      ['Verdict', 'Duties', 'Meaning'],
      VERDICTS.map((verdict) => [bold(verdict), String(counts[verdict]), verdict === 'met' ? met : MEANING[verdict]]),
    ),
    '',
  ];
}

function promised({ promises }: ComplianceReport): readonly string[] {
  return [
    'What the service promises by itself:',
    '',
    ...table(
      ['Promise', 'Verdict', 'Shown by'],
      promises.map(({ id, text, verdict, shownBy }) => [`${id} ${text}`, bold(verdict), shownBy.join(', ')]),
    ),
    '',
  ];
}

function attention(title: string, duties: readonly ReportedDuty[], verdict: Verdict): readonly string[] {
  const of = duties.filter((duty) => duty.verdict === verdict);
  if (of.length === 0) return [`**${title}:** none.`, ''];
  return [
    `**${title}:**`,
    '',
    ...table(
      ['Duty', 'Why', 'Ids'],
      of.map((duty) => [
        duty.text,
        duty.worst === undefined ? duty.reason : `${duty.reason}: ${duty.worst}`,
        idsOf(duty),
      ]),
    ),
    '',
  ];
}

function chapterText(title: string, duties: readonly ReportedDuty[]): readonly string[] {
  const shown = duties.filter(({ verdict }) => verdict !== 'operator');
  if (shown.length === 0) return [];
  const byProgram = shown.filter(({ how, verdict }) => (how === 'enforced' || how === 'tested') && verdict === 'met');
  const none = shown.filter(({ verdict }) => verdict === 'not applicable');
  const grounds = shown.filter((duty) => isGround(duty) && duty.verdict === 'met');
  const figured = shown.filter((duty) => ![byProgram, none, grounds].some((list) => list.includes(duty)));
  return [
    `## ${title}`,
    '',
    ...listing(
      'Grounds of revocation, each published in time:',
      ['Ground', 'Limit and worst case', 'Ids'],
      grounds.map((duty) => [
        duty.text,
        [...(duty.figures ?? []).map(([name, value]) => `${name} ${value}`), duty.worst ?? ''].join('; '),
        idsOf(duty),
      ]),
    ),
    ...figured.flatMap(section),
    ...listing(
      'Met by the program itself:',
      ['Duty', 'By what', 'Where to look', 'Source and tests', 'Ids'],
      byProgram.map((duty) => [
        sourced(duty),
        duty.how === 'tested' ? `tested in each release: ${duty.reason}` : duty.reason,
        duty.look ?? '',
        (duty.proof ?? []).join('; '),
        idsOf(duty),
      ]),
    ),
    ...listing(
      'Not applicable:',
      ['Duty', 'Why', 'Ids'],
      none.map((duty) => [sourced(duty), duty.reason, idsOf(duty)]),
    ),
  ];
}

function section(duty: ReportedDuty): readonly string[] {
  const { text, verdict, reason, limit, worst, figures = [], look, proof } = duty;
  const isShort = ([, value]: readonly [string, string]): boolean => value.length <= SHORT;
  const short = figures.filter(isShort).map(([name, value]) => `${name} ${value}`);
  const lines: readonly (readonly [string, string])[] = [
    ...(limit === undefined ? [] : [['Limit', limit] as const]),
    ...(worst === undefined ? [] : [['Worst case', worst] as const]),
    ...(short.length === 0 ? [] : [['Figures', short.join('; ')] as const]),
    ...figures.filter((figure) => !isShort(figure)),
    ...(look === undefined ? [] : [['Where to look', look] as const]),
    ...(proof === undefined ? [] : [['Source and tests', proof.join('; ')] as const]),
    [duty.ids.length === 1 ? 'Id' : 'Ids', `${idsOf(duty)} (${duty.source})`],
  ];
  return [
    `### ${cell(text.replace(/\.$/, ''))}`,
    '',
    `${bold(capital(verdict))}: ${cell(reason)}.`,
    '',
    ...lines.map(([name, value]) => `- ${cell(/[./]/.test(name) ? name : capital(name))}: ${cell(value)}`),
    '',
  ];
}

/** One of the grounds of 004 §4.9.1.1: sixteen lines of one kind. */
function isGround({ ids: [id = ''] }: ReportedDuty): boolean {
  return /^CT-4\.9\.1\.1-\d+$/.test(id);
}

function listing(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return rows.length === 0 ? [] : [title, '', ...table(columns, rows), ''];
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)];
}

/** What comes from records may have anything in it, markup included. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[|<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

const idsOf = ({ ids }: ReportedDuty): string => ids.join(', ');
const sourced = ({ text, source }: ReportedDuty): string => `${text} (${source})`;
const bold = (text: string): string => `**${text}**`;
const code = (text: string): string => `\`${text}\``;
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
