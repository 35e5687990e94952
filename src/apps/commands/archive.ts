/** `archive list|verify|prune|restore`: every CRL ever published, here and in its second place. */
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { FileKeptArchive } from '../../adapters/crl-archive/kept-archive.ts';
import { lockDirectory } from '../../adapters/embedded/directory-lock.ts';
import { FileJournal, readJournal } from '../../adapters/journal/file-journal.ts';
import { systemClock } from '../../adapters/system/clock.ts';
import { judgeSequence, type JournalledCrl, type Sequence } from '../../core/archive/sequence.ts';
import { COMPLETE, type CrlRecord, type CrlScope, type IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import { formatDuration, rfc3339 } from '../../core/time.ts';
import { restoreArchive, type RestoreReport } from '../../flows/archive/archive-restore.ts';
import type { Journal } from '../../ports/journal.ts';
import { openCopies } from '../archive-config.ts';
import { loadConfig, type Loaded } from '../config.ts';
import { archiveOf, auditDir } from '../data-directory.ts';
import { makeLog } from '../log.ts';
import { loadOptions, print, progressOf, table } from './context.ts';

const POLL_MS = 500;

export function archiveCommands(program: Command): void {
  const archive = program.command('archive').description('every CRL ever published, and its copies');
  archive
    .command('list')
    .description('the CRLs of an issuer as an unbroken sequence, or what is missing; exit 1 when it is broken')
    .requiredOption('--issuer <id>', 'issuer, or the tag of one that is not configured any more')
    .option('--shard <name>', 'one shard alone; `complete` for the CRL of the whole issuer')
    .option('--no-journal', 'without a look at what the audit log says of the numbers between')
    .action(list);
  archive
    .command('verify')
    .description(
      'reads everything again, copies included: digests, strict parsing, signatures, sequence; exit 1 when something is wrong',
    )
    .option('--repair', 'mend what is damaged in one place from the other')
    .action(verify);
  archive
    .command('prune')
    .description(
      'says which CRLs the retention of the profile lets go; with --remove their octets go, their records stay',
    )
    .requiredOption('--issuer <id>', 'issuer')
    .option('--remove', 'do it')
    .action(prune);
  archive
    .command('restore')
    .description('brings back what is missing or damaged; needs no running service, and no ledger')
    .option('--out <directory>', 'an archive of its own; default: that of the data directory, while no service runs')
    .action(restore);
}

interface ListedScope extends Sequence {
  readonly scope: CrlScope;
}

async function list(options: { issuer: string; shard?: string; journal: boolean }, command: Command): Promise<void> {
  const { config, issuers } = loadConfig(loadOptions(command));
  const archive = archiveOf(config.dataDir);
  const tag = issuers.find(({ id }) => id === options.issuer)?.issuer.tag ?? options.issuer;
  const scopes = (await archive.scopes(tag as IssuerTag)).filter(
    ({ shard }) => options.shard === undefined || (shard === COMPLETE ? 'complete' : shard) === options.shard,
  );
  if (scopes.length === 0)
    throw new Problem(
      'not-found',
      `no CRL of it is archived; there are ${(await archive.issuers()).join(', ') || 'none'}`,
      {
        field: options.shard === undefined ? '--issuer' : '--shard',
        value: options.shard ?? options.issuer,
      },
    );
  const journalled = options.journal
    ? await journalledCrls(command, auditDir(config), tag)
    : new Map<string, JournalledCrl[]>();
  const listed: ListedScope[] = [];
  for (const scope of scopes) {
    const records: CrlRecord[] = [];
    for await (const record of archive.list(scope)) records.push(record);
    const sequence = judgeSequence(records, journalled.get(scope.shard) ?? []);
    listed.push({ scope, ...sequence });
  }
  if (listed.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
  const gone = new Set<CrlRecord>();
  for (const { rows } of listed)
    for (const { record } of rows) if ((await archive.dropped(record)) !== undefined) gone.add(record);
  print(command, listed.map((one) => listedJson(one, gone)), () => listed.map((one) => listedText(one, gone)).join('\n\n')); // prettier-ignore
}

function listedJson({ scope, rows, missing, verdict }: ListedScope, gone: ReadonlySet<CrlRecord>): object {
  return {
    issuer: scope.issuer,
    shard: scope.shard === COMPLETE ? 'complete' : scope.shard,
    verdict,
    missing,
    crls: rows.map(({ record, link, between }) => ({
      number: record.number.toString(),
      kind: record.kind,
      thisUpdate: rfc3339(record.thisUpdate),
      nextUpdate: rfc3339(record.nextUpdate),
      publishedAt: rfc3339(record.publishedAt),
      entries: record.entries,
      bytes: record.bytes,
      sha256: record.sha256,
      previous: record.previous,
      link,
      ...(gone.has(record) && { dropped: true }),
      ...(between.length > 0 && { between: between.map(({ number, what }) => ({ number: number.toString(), what })) }),
    })),
  };
}

const LINKS = {
  first: 'the first',
  named: 'the one above',
  adjacent: 'not said',
  broken: 'one that is MISSING',
  overtaken: 'never published',
} as const;

function listedText({ scope, rows, missing, verdict }: ListedScope, gone: ReadonlySet<CrlRecord>): string {
  return [
    `issuer ${scope.issuer}, ${scope.shard === COMPLETE ? 'complete CRL' : `shard ${scope.shard}`}`,
    table([
      ['NUMBER', 'THIS UPDATE', 'ENTRIES', 'BYTES', 'REPLACED', 'SHA-256'],
      ...rows.flatMap(({ record, link, between }) => [
        ...between.map(({ number, what }) => [number.toString(), '', '', '', '', what]),
        [
          record.number.toString(),
          rfc3339(record.thisUpdate),
          String(record.entries),
          gone.has(record) ? `${record.bytes} (dropped)` : String(record.bytes),
          LINKS[link],
          record.sha256,
        ],
      ]),
    ]),
    ...missing.map((line) => `MISSING ${line}`),
    verdict,
  ].join('\n');
}

/** By shard. */
async function journalledCrls(
  command: Command,
  dir: string,
  tag: string,
): Promise<ReadonlyMap<string, JournalledCrl[]>> {
  const byShard = new Map<string, JournalledCrl[]>();
  if (!existsSync(dir)) return byShard;
  const progress = progressOf(command, 'archive list', 'audit records');
  try {
    for await (const { seq, type, issuerTag, detail } of readJournal(dir, 0)) {
      if (seq % 1000 === 0) progress.update({ items: seq, done: seq, total: undefined });
      if ((type !== 'crl.published' && type !== 'crl.refused') || issuerTag !== tag) continue;
      const { shard = COMPLETE, number, sha256 } = detail as { shard?: string; number?: string; sha256?: string };
      if (number === undefined || !/^\d{1,49}$/.test(number)) continue;
      const told = byShard.get(shard) ?? [];
      byShard.set(shard, told);
      told.push({
        number: BigInt(number),
        sha256: sha256 ?? '',
        kind: type === 'crl.published' ? 'published' : 'refused',
      });
    }
  } finally {
    progress.end();
  }
  return byShard;
}

interface Job<Report> {
  readonly id: number;
  readonly state: 'running' | 'failed' | 'done';
  readonly why?: string;
  readonly progress: { readonly items: number; readonly done: number; readonly total: number };
  readonly report: Report;
}

/** Begins it where the archive is in use, or here, and waits for its end. */
async function done<Report>(command: Command, what: string, request: object): Promise<Report> {
  const api = await (
    await import('../api.ts')
  ).openApi(loadConfig(loadOptions(command)), makeLog('error'), { archive: true });
  const progress = progressOf(command, what, 'CRLs');
  try {
    let job = (await api.call('POST', '/v1/archive/jobs', request)) as Job<Report>;
    const { id } = job;
    while (job.state === 'running') {
      await sleep(POLL_MS);
      job = (await api.call('GET', '/v1/archive/jobs')) as Job<Report>;
      if (job.id !== id) throw new Problem('unavailable', 'the service was started anew meanwhile: begin again');
      progress.update(job.progress);
    }
    if (job.state === 'failed') throw new Problem('unavailable', job.why ?? 'it failed; the log says why');
    return job.report;
  } finally {
    progress.end();
    await api.close();
  }
}

interface Verified {
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly scopes: number;
  readonly crls: number;
  readonly certificates: number;
  readonly octets: number;
  readonly dropped: number;
  readonly copies?: number;
  readonly repaired: number;
  readonly problems: readonly { where: string; name: string; message: string; rule: string; repaired: boolean }[];
}

async function verify(options: { repair?: boolean }, command: Command): Promise<void> {
  const report = await done<Verified>(command, 'archive verify', { kind: 'verify', repair: options.repair === true });
  const left = report.problems.filter(({ repaired }) => !repaired);
  if (left.length > 0) process.exitCode = 1;
  const copies = report.copies === undefined ? 'no copies are configured' : `${report.copies} copies`;
  print(command, report, () =>
    [
      ...report.problems.map(
        ({ where, name, message, rule, repaired }) =>
          `${repaired ? 'mended' : 'WRONG'}  ${where}  ${name}: ${message} (${rule})`,
      ),
      `${left.length === 0 ? 'verified' : `${left.length} wrong`} ${report.finishedAt}: ${report.crls} CRLs of ${report.scopes} scopes (${report.dropped} dropped by retention), ${report.certificates} certificates, ${copies}; ${report.octets.toLocaleString('en-US')} octets read; ${report.repaired} mended`,
    ].join('\n'),
  );
}

interface Pruned {
  readonly retentionMs?: number;
  readonly kept: number;
  readonly count?: number;
  readonly octets: number;
  readonly prunable?: readonly { shard: string; number: string; thisUpdate: string; bytes: number; since: string }[];
  readonly pruned?: number;
  readonly problems?: readonly string[];
}

async function prune(options: { issuer: string; remove?: boolean }, command: Command): Promise<void> {
  const remove = options.remove === true;
  const report = await done<Pruned>(command, 'archive prune', { kind: 'prune', issuer: options.issuer, remove });
  if ((report.problems ?? []).length > 0) process.exitCode = 1;
  const octets = report.octets.toLocaleString('en-US');
  print(command, report, () => {
    if (remove)
      return [
        ...(report.problems ?? []).map((line) => `STAYS  ${line}`),
        `${report.pruned} CRLs dropped, ${octets} octets; ${report.kept} stay whole; every record stays`,
      ].join('\n');
    const rows = report.prunable ?? [];
    const kept = report.retentionMs === undefined ? 'for ever' : formatDuration(report.retentionMs);
    return [
      ...(rows.length === 0
        ? []
        : [
            table([
              ['SHARD', 'NUMBER', 'THIS UPDATE', 'BYTES', 'MAY GO SINCE'],
              ...rows.map((row) => [row.shard || 'complete', row.number, row.thisUpdate, String(row.bytes), row.since]),
            ]),
          ]),
      `retention ${kept}: ${report.count} CRLs may go, ${octets} octets; ${report.kept} stay. Nothing was removed; --remove does it`,
    ].join('\n');
  });
}

async function restore(options: { out?: string }, command: Command): Promise<void> {
  const loaded = loadConfig(loadOptions(command));
  const { config } = loaded;
  const copies = await openCopies(config.archive);
  if (copies === undefined)
    throw new Problem('config', 'no copies are configured', { field: 'archive.copies', value: config.file });
  const progress = progressOf(command, 'archive restore', 'CRLs');
  const run = (archive: FileKeptArchive): Promise<RestoreReport> =>
    restoreArchive(archive, copies, systemClock, (crls, total) => progress.update({ items: crls, done: crls, total }));
  let report: RestoreReport;
  try {
    report = await (options.out === undefined ? inPlace(loaded, run) : run(new FileKeptArchive(resolve(options.out))));
  } finally {
    progress.end();
    copies.close();
  }
  if (report.problems.length > 0) process.exitCode = 1;
  print(command, report, () =>
    [
      ...report.problems.map((line) => `WRONG  ${line}`),
      `restored ${report.crls} CRLs and ${report.certificates} certificates, ${report.octets.toLocaleString('en-US')} octets; ${report.there} were there and are right; ${report.replaced} damaged files were set aside`,
    ].join('\n'),
  );
}

/** While nothing else works in the data directory. What is done is journalled, unless there is no journal yet: that is to be brought back first. */
async function inPlace(
  loaded: Loaded,
  run: (archive: FileKeptArchive) => Promise<RestoreReport>,
): Promise<RestoreReport> {
  const { config } = loaded;
  const archive = archiveOf(config.dataDir);
  const audit = auditDir(config);
  if (!existsSync(audit) || readdirSync(audit).length === 0) return run(archive);
  if (config.store.kind === 'embedded') {
    const core = await (await import('../core.ts')).openCore(loaded, makeLog('error'));
    try {
      return await journalled(await run(archive), core.journal);
    } finally {
      await core.close();
    }
  }
  const lock = await lockDirectory(config.dataDir);
  try {
    const journal = await FileJournal.open(audit, systemClock);
    try {
      return await journalled(await run(archive), journal);
    } finally {
      await journal.close();
    }
  } finally {
    await lock.release();
  }
}

async function journalled(report: RestoreReport, journal: Journal | undefined): Promise<RestoreReport> {
  const description = `${report.crls} CRLs were brought back from their copies`;
  await journal?.append([{ type: 'archive.restored', actor: 'local shell', description, detail: { ...report } }]);
  return report;
}
