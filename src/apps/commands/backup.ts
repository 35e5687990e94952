/** `backup create|check|restore|drill`: what a data directory is worth, kept elsewhere, and the proof that it can be brought back. */
import type { Command } from 'commander';
import { resolve } from 'node:path';
import { Problem } from '../../core/problem.ts';
import type { Api } from '../api.ts';
import type { DrillReport } from '../backup/drill.ts';
import { checkBackup, restoreBackup, takeBackup, type Taken } from '../backup/take.ts';
import { loadConfig, type Loaded } from '../config.ts';
import { writeFileDurably } from '../durable-files.ts';
import { makeLog } from '../log.ts';
import { loadOptions, print, progressOf } from './context.ts';
import { countTo, mayWrite, yesOption } from './options.ts';

export function backupCommands(program: Command): void {
  const backup = program
    .command('backup')
    .description(
      'copies of a data directory: ledger, answers, CRLs, audit log, configuration; never a private key (CT-6.2.5)',
    );
  backup
    .command('create')
    .description('takes one, while the service runs or is stopped, on the machine of the service')
    .requiredOption('--out <directory>', 'where it goes; a directory that is not there yet')
    .action(create);
  backup
    .command('check')
    .description('reads it all again: every digest, the chain of the audit log; exit 1 when anything is wrong')
    .argument('<directory>', 'a backup')
    .action(check);
  backup
    .command('restore')
    .description(
      'puts it where no data directory is, after checking it; then keys are brought, and the service is started',
    )
    .argument('<directory>', 'a backup')
    .requiredOption('--into <directory>', 'the data directory that it becomes; empty or not there yet')
    .action(restore);
  backup
    .command('drill')
    .description(
      'takes a backup, restores it beside the running service, serves it without keys, asks for random certificates, and reports',
    )
    .option('--backup <directory>', 'one that is there already')
    .option('--certificates <count>', 'asked for, of each issuer', countTo(99_999), 200)
    .option('--out <file>', 'the report as Markdown, beside what is printed')
    .addOption(yesOption())
    .action(drill);
}

async function create({ out }: { out: string }, command: Command): Promise<void> {
  const loaded = loadConfig(loadOptions(command));
  await withStore(loaded, async (api) => {
    const progress = progressOf(command, 'backup create', 'octets');
    let taken: Taken;
    try {
      taken = await takeBackup(loaded.config, api, out, Date.now(), progress);
    } finally {
      progress.end();
    }
    const { manifest, sha256, octets } = taken;
    await api?.call('POST', '/v1/backups/notes', {
      type: 'backup.taken',
      files: manifest.files.length,
      octets,
      ...(manifest.journal && { journalSeq: manifest.journal.seq }),
      manifestSha256: sha256,
    });
    print(command, { directory: resolve(out), sha256, octets, ...summary(taken) }, () =>
      [...lines(taken), ...notIncluded(taken)].join('\n'),
    );
  });
}

async function check(directory: string, _options: object, command: Command): Promise<void> {
  const progress = progressOf(command, 'backup check', 'octets');
  const checked = await checkBackup(directory, progress).finally(() => progress.end());
  if (checked.problems.length > 0) process.exitCode = 1;
  print(
    command,
    { sha256: checked.sha256, octets: checked.octets, problems: checked.problems, ...summary(checked) },
    () => [...checked.problems.map((line) => `WRONG      ${line}`), ...lines(checked)].join('\n'),
  );
}

async function restore(directory: string, { into }: { into: string }, command: Command): Promise<void> {
  const progress = progressOf(command, 'backup restore', 'octets');
  const manifest = await restoreBackup(directory, into, progress).finally(() => progress.end());
  print(command, { dataDir: resolve(into), leftOut: manifest.leftOut }, () =>
    [
      `restored   ${resolve(into)}, as of ${manifest.takenAt}`,
      ...manifest.leftOut.map(({ path, why }) => `to bring   ${path}: ${why}`),
      `next       certstatus check-config --data ${resolve(into)}, then serve; what the CA has sent since then it sends again`,
    ].join('\n'),
  );
}

async function drill(
  { backup: from, certificates, out, yes }: { backup?: string; certificates: number; out?: string; yes?: boolean },
  command: Command,
): Promise<void> {
  if (out !== undefined) await mayWrite(out, yes);
  const loaded = loadConfig(loadOptions(command));
  if (loaded.config.store.kind !== 'embedded')
    throw new Problem(
      'refused',
      'the answers are in the Redis, which this does not restore: deploy/README.md, Backups',
      {
        field: 'store',
        value: 'redis',
      },
    );
  await withStore(loaded, async (api) => {
    const progress = progressOf(command, 'backup drill', 'octets');
    const { drillRestore } = await import('../backup/drill.ts');
    const report = await drillRestore(loaded, api, from, certificates, makeLog('error'), progress).finally(() =>
      progress.end(),
    );
    await api?.call('POST', '/v1/backups/notes', {
      type: 'backup.drilled',
      verdict: report.verdict,
      findings: report.findings.map((line) => line.slice(0, 300)),
      restoreSeconds: report.took.restore,
      servingSeconds: report.took.serving,
      asked: report.issuers.reduce((sum, { asked }) => sum + asked, 0),
      manifestSha256: report.manifest.sha256,
    });
    if (report.verdict === 'failed') process.exitCode = 1;
    const text = markdown(report);
    if (out !== undefined) writeFileDurably(resolve(out), text);
    print(command, report, () => text);
  });
}

/** Of a store that is this process's own; over a shared one there is nothing to ask for. */
async function withStore(loaded: Loaded, run: (api: Api | undefined) => Promise<void>): Promise<void> {
  if (loaded.config.store.kind !== 'embedded') return run(undefined);
  const api = await (await import('../api.ts')).openApi(loaded, makeLog('error'));
  try {
    await run(api);
  } finally {
    await api.close();
  }
}

function summary({ manifest: { takenAt, journal, store, leftOut } }: Taken): object {
  return { takenAt, journal, store, leftOut };
}

function lines({ manifest, sha256, octets }: Taken): string[] {
  const { journal, store, takenAt, files } = manifest;
  return [
    `backup     of ${manifest.name}, ${takenAt}: ${files.length.toLocaleString('en-US')} files, ${octets.toLocaleString('en-US')} octets`,
    journal === undefined ? 'audit log  none' : `audit log  record ${journal.seq}, hash ${journal.hash}`,
    store === undefined
      ? 'store      shared, not in it'
      : `store      ${store.entries.toLocaleString('en-US')} entries, as of record ${store.appliedSeq}`,
    `manifest   SHA-256 ${sha256}`,
  ];
}

function notIncluded({ manifest: { leftOut } }: Taken): string[] {
  return leftOut.map(({ path, why }) => `left out   ${path}: ${why}`);
}

function markdown({ verdict, at, manifest, took, issuers, findings, version }: DrillReport): string {
  const seconds = (value: number): string => `${value.toFixed(1)} s`;
  const { journal, store } = manifest;
  return `# Restore drill: ${verdict}

${at}, certstatus ${version}. A backup was ${took.backup === undefined ? 'taken from where it lies' : 'taken'}, checked, put into an empty directory and served from there without any key, and random certificates were asked for over HTTP, with both CertID hashes, and looked up on their CRL (SR-5.7.1-d, CT-5.7.1.1-a, CT-5.1.8).

| step | took |
|---|---|
| backup | ${took.backup === undefined ? 'there already' : seconds(took.backup)} |
| check: digests, audit log | ${seconds(took.check)} |
| restore | ${seconds(took.restore)} |
| until it served | ${seconds(took.serving)} |
| **recovery time: restore and serve** | **${seconds(took.restore + took.serving)}** |

| backup | |
|---|---|
| as of | ${manifest.takenAt} |
| files, octets | ${manifest.files.toLocaleString('en-US')}, ${manifest.octets.toLocaleString('en-US')} |
| audit log | ${journal === undefined ? 'none' : `record ${journal.seq}, hash ${journal.hash}`} |
| store | ${store === undefined ? 'shared' : `${store.entries.toLocaleString('en-US')} entries, as of record ${store.appliedSeq}`} |
| manifest | SHA-256 ${manifest.sha256} |

| issuer | certificates | asked for | right | too new | CRL | lasts without keys until |
|---|---|---|---|---|---|---|
${issuers.map(({ id, certificates, asked, right, pending, crl, lasts }) => `| ${id} | ${certificates.toLocaleString('en-US')} | ${asked} | ${right} | ${pending} | ${crl ?? '–'} | ${lasts ?? '–'} |`).join('\n')}

${issuers.map(({ id, fingerprints }) => `CA ${id}: ${fingerprints.join(', ')}`).join('\n')}

${findings.length === 0 ? 'No finding.' : `## Findings\n\n${findings.map((line) => `- ${line}`).join('\n')}`}

To be brought from elsewhere after a real loss: ${manifest.leftOut.map(({ path }) => path).join(', ') || 'nothing'}.
`;
}
