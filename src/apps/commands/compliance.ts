/** `report`: every duty of the CA's documents with its verdict, figures and worst case. Reads files; works beside a running service. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { readJournal } from '../../adapters/journal/file-journal.ts';
import { limitsOf } from '../../core/compliance/judged.ts';
import { markdown } from '../../core/compliance/markdown.ts';
import { makeReport, VERDICTS, type ComplianceReport } from '../../core/compliance/report.ts';
import { Problem } from '../../core/problem.ts';
import { parseRfc3339, type EpochMs } from '../../core/time.ts';
import { collectEvidence, type Collected } from '../../flows/compliance/collect-evidence.ts';
import { archiveFacts, issuerFacts } from '../compliance-facts.ts';
import { loadConfig, type Loaded } from '../config.ts';
import { auditDir } from '../data-directory.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import { startProgress } from '../progress.ts';
import { VERSION } from '../version.ts';
import { lastRecord } from './audit.ts';
import { loadOptions } from './context.ts';
import { mayWrite, yesOption } from './options.ts';
import { shellUser } from '../shell-user.ts';

interface Options {
  readonly issuer?: string;
  readonly from?: string;
  readonly to?: string;
  readonly audit?: readonly string[];
  readonly format: 'md' | 'json';
  readonly out?: string;
  readonly yes?: boolean;
  readonly offline?: boolean;
}

/** On `report` itself, beside its subcommands. */
export function complianceCommand(report: Command): void {
  report
    // --issuer after `revocations` is that command's own.
    .enablePositionalOptions()
    .option('--issuer <id>', 'issuer; not needed where there is one')
    .option('--from <instant>', 'first day of the period, like 2026-11-20, or RFC 3339 instant')
    .option('--to <instant>', 'first day or instant after the period (default: now)')
    .option('--audit <directory...>', 'audit logs of other processes of the service')
    .addOption(new Option('--format <format>', 'form of the report').choices(['md', 'json']).default('md'))
    .option('--out <file>', 'writes it there, and its SHA-256 to <file>.sha256')
    .addOption(yesOption())
    .option('--offline', 'do not ask ledger or service whether the end of the audit log is there')
    .action(async (options: Options, command: Command) => {
      const nowMs = Date.now();
      if (options.out !== undefined) await mayWrite(options.out, options.yes);
      if (options.from === undefined)
        throw new Problem('invalid', 'the first day of the period is needed, e.g. --from 2026-11-20', { field: '--from' }); // prettier-ignore
      const from = instant(options.from, '--from');
      const to = options.to === undefined ? nowMs : instant(options.to, '--to');
      if (to <= from) throw new Problem('invalid', 'the period ends before it begins', { field: '--to', value: options.to }); // prettier-ignore
      const loaded = loadConfig(loadOptions(command));
      const setup = issuerOf(loaded, options.issuer);
      const made = await compliance(loaded, setup, { from, to, nowMs }, options);
      const json = options.format === 'json' || command.optsWithGlobals<{ json?: boolean }>().json === true;
      write(json ? `${JSON.stringify(made, null, 2)}\n` : markdown(made), options.out, made);
      if (made.summary['not met'] > 0) process.exitCode = 1;
    });
}

async function compliance(
  loaded: Loaded,
  setup: IssuerSetup,
  { from, to, nowMs }: { readonly from: EpochMs; readonly to: EpochMs; readonly nowMs: EpochMs },
  options: Options,
): Promise<ComplianceReport> {
  const { config } = loaded;
  const own = auditDir(config);
  // Asked first: records that are added meanwhile only make the log longer.
  const expected = options.offline ? undefined : await expectedEnd(loaded);
  const { answerAgeMs: ageMs, answerRemainingMs: remainingMs } = limitsOf(setup.profile);
  const progress = startProgress('report', 'records');
  let collected: Collected;
  try {
    collected = await collectEvidence(
      {
        issuer: setup.id,
        from,
        to: Math.min(to, nowMs),
        limits: { ageMs, remainingMs },
        oneCount: config.store.kind === 'embedded',
      },
      [own, ...(options.audit ?? [])].map((name) => ({ name, read: () => readJournal(name, 0) })),
      {
        wanted: expected !== undefined && 'seq' in expected ? expected.seq : undefined,
        progress: (records) => progress.update({ items: records, done: records, total: undefined }),
      },
    );
  } finally {
    progress.end();
  }
  const { evidence } = collected;
  return makeReport(
    {
      issuer: issuerFacts(config, setup),
      archive: await archiveFacts(config, setup, evidence, nowMs),
      head: expected && { problem: headProblem(expected, collected) },
      evidence,
    },
    { version: VERSION, at: nowMs, by: shellUser(), from, to },
  );
}

/** The chain cannot show that its end was cut off; ledger or service, which remember the last record, can. */
function headProblem(expected: ExpectedEnd, { ends, wantedHash }: Collected): string | undefined {
  if ('problem' in expected) return expected.problem;
  const last = ends[0]?.seq ?? 0;
  if (last < expected.seq) return `the log ends at record ${last}, but record ${expected.seq} was written`;
  return wantedHash === expected.hash ? undefined : `record ${expected.seq} is not the one that was written`;
}

type ExpectedEnd = { readonly seq: number; readonly hash: string } | { readonly problem: string };

/** A service that cannot be asked is a remark in the report, and no reason to make none. A ledger that is ahead of its log is a finding. */
async function expectedEnd(loaded: Loaded): Promise<ExpectedEnd | undefined> {
  try {
    return await lastRecord(loaded);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.code === 'corrupt' ? { problem: error.line } : undefined;
  }
}

function issuerOf({ issuers }: Loaded, id: string | undefined): IssuerSetup {
  const [only] = issuers;
  const found = id === undefined && issuers.length === 1 ? only : issuers.find((issuer) => issuer.id === id);
  if (found !== undefined) return found;
  throw new Problem('invalid', `a report is about one issuer: ${issuers.map((issuer) => issuer.id).join(', ')}`, {
    field: '--issuer',
    ...(id !== undefined && { value: id }),
  });
}

/** A day begins at 00:00 UTC. */
function instant(text: string, flag: string): EpochMs {
  return parseRfc3339(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text, flag);
}

function write(text: string, out: string | undefined, { summary }: ComplianceReport): void {
  if (out === undefined) return void process.stdout.write(text);
  const digest = createHash('sha256').update(text).digest('hex');
  writeFileSync(out, text);
  // As sha256sum -c reads it.
  writeFileSync(`${out}.sha256`, `${digest}  ${basename(out)}\n`);
  const counts = VERDICTS.map((verdict) => `${summary[verdict]} ${verdict}`).join(', ');
  process.stdout.write(`${out}: ${counts}; SHA-256 ${digest}\n`);
}
