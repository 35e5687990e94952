/** `audit verify|export|show`: the journal as evidence. Reads the files; works beside a running service. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readJournal } from '../../adapters/journal/file-journal.ts';
import { recordsAbout } from '../../core/certificate-history.ts';
import type { JournalRecord } from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex } from '../../core/serial.ts';
import { parseRfc3339, type EpochMs } from '../../core/time.ts';
import type { Api } from '../api.ts';
import { loadConfig, type Loaded } from '../config.ts';
import { auditDir } from '../data-directory.ts';
import { makeLog } from '../log.ts';
import { draftFile } from '../durable-files.ts';
import { loadOptions, print, progressOf } from './context.ts';
import { mayWrite, serialOf, serialOption, yesOption } from './options.ts';

export function auditCommands(program: Command): void {
  const audit = program.command('audit').description('the audit log: hash chain, content, export');
  audit
    .command('verify')
    .description(
      'checks every record and the chain; exit 1 naming the first record that was altered, removed or reordered',
    )
    .option('--offline', 'check the files alone, without asking ledger or service for the last record')
    .action(async (options: { offline?: boolean }, command: Command) => {
      const loaded = loadConfig(loadOptions(command));
      const dir = auditDir(loaded.config);
      // Asked first: records that are added meanwhile only make the log longer.
      const expected = options.offline ? undefined : await lastRecord(loaded);
      const progress = progressOf(command, 'audit verify', 'records');
      let last: JournalRecord | undefined;
      let at: JournalRecord | undefined;
      const activations: Activated[] = [];
      try {
        for await (const record of readJournal(dir, 0)) {
          last = record;
          if (record.type === 'token.activated') activations.push(activated(record));
          if (record.seq === expected?.seq) at = record;
          if (record.seq % 1000 === 0) progress.update({ items: record.seq, done: record.seq, total: expected?.seq });
        }
      } finally {
        progress.end();
      }
      // The chain cannot show that its end was cut off; the ledger, which remembers the last record, can.
      if (expected !== undefined && expected.seq > (last?.seq ?? 0)) {
        throw new Problem(
          'corrupt',
          `the log ends at record ${last?.seq ?? 0}, but record ${expected.seq} was written: records are missing at the end`,
          { field: dir },
        );
      }
      if (expected?.hash !== undefined && at !== undefined && at.hash !== expected.hash) {
        throw new Problem('corrupt', `record ${expected.seq} is not the one that was written: the log was rewritten`, {
          field: dir,
        });
      }
      const result = {
        records: last?.seq ?? 0,
        head: last?.hash,
        until: last?.at,
        files: readdirSync(dir)
          .filter((name) => name.endsWith('.ndjson'))
          .map((name) => join(dir, name)),
        activations,
      };
      print(command, result, () =>
        [
          `verified: ${result.records} records, none altered, missing or reordered; last ${result.until ?? 'none'}, hash ${result.head ?? 'none'}`,
          ...activations.map(
            ({ seq, at, token, persons }) => `${at}  #${seq}  token ${token} activated by ${persons.join(', ')}`,
          ),
        ].join('\n'),
      );
    });
  audit
    .command('export')
    .description('writes records as JSON lines, chain included')
    .option('--from <instant>', 'records from this RFC 3339 instant on')
    .option('--to <instant>', 'records before this instant')
    .option('--type <type>', 'records of one type, e.g. crl.published')
    .option('--out <file>', 'writes them there instead of printing them')
    .addOption(yesOption())
    .action(async (options: ExportOptions, command: Command) => {
      const from = instant(options.from, '--from') ?? -Infinity;
      const to = instant(options.to, '--to') ?? Infinity;
      if (options.out !== undefined) await mayWrite(options.out, options.yes);
      const { config } = loadConfig(loadOptions(command));
      const out = options.out === undefined ? undefined : draftFile(options.out);
      const progress = progressOf(command, 'audit export', 'records');
      let written = 0;
      try {
        for await (const record of readJournal(auditDir(config), 0)) {
          if (record.seq % 1000 === 0) progress.update({ items: record.seq, done: record.seq, total: undefined });
          const at = Date.parse(record.at);
          if (at < from) continue;
          if (at >= to) break;
          if (options.type !== undefined && record.type !== options.type) continue;
          written += 1;
          const line = `${JSON.stringify(record)}\n`;
          if (out !== undefined) out.write(line);
          else if (!process.stdout.write(line)) await new Promise((resolve) => process.stdout.once('drain', resolve));
        }
        out?.keep();
      } finally {
        out?.discard();
        progress.end();
      }
      if (options.out === undefined) return;
      print(command, { file: options.out, records: written }, () => `written: ${options.out}, ${written} records`);
    });
  audit
    .command('show')
    .description('everything that was recorded, signed and published about one certificate')
    .addOption(serialOption())
    .option('--cert <file>', 'or: the certificate, PEM or DER')
    .option('--issuer <id>', 'issuer, where several have the serial')
    .option('--at <instant>', 'only what was so at this RFC 3339 instant or before')
    .action(async (options: { serial?: string; cert?: string; issuer?: string; at?: string }, command: Command) => {
      const { config } = loadConfig(loadOptions(command));
      const serial = serialFromHex(serialOf(options, command), '--serial');
      const until = instant(options.at, '--at') ?? Infinity;
      const events: { at: string; seq: number; issuer: string | undefined; what: string; actor: string }[] = [];
      for await (const record of readJournal(auditDir(config), 0)) {
        if (Date.parse(record.at) > until) break;
        if (options.issuer !== undefined && record.issuer !== options.issuer) continue;
        for (const what of recordsAbout(record, serial))
          events.push({ at: record.at, seq: record.seq, issuer: record.issuer, what, actor: record.actor });
      }
      print(
        command,
        events,
        () =>
          events
            .map(({ at, seq, issuer, what, actor }) => `${at}  #${seq}  ${issuer ?? ''}  ${what}  by ${actor}`)
            .join('\n') || `nothing is recorded about serial ${serial}`,
      );
    });
}

interface ExportOptions {
  readonly from?: string;
  readonly to?: string;
  readonly type?: string;
  readonly out?: string;
  readonly yes?: boolean;
}

/** Who had the keys of a token used from when on (CT-6.2.8). */
interface Activated {
  readonly seq: number;
  readonly at: string;
  readonly token: string;
  readonly persons: readonly string[];
}

function activated({ seq, at, detail }: JournalRecord): Activated {
  const { token, persons } = detail as { token: string; persons: readonly string[] };
  return { seq, at, token, persons };
}

function instant(text: string | undefined, flag: string): EpochMs | undefined {
  return text === undefined ? undefined : parseRfc3339(text, flag);
}

/**
 * As ledger or service remember it. Undefined over a shared store while this process is not running: its ledger keeps count of what
 * changed certificates, not of every record.
 */
export async function lastRecord(loaded: Loaded): Promise<{ seq: number; hash: string } | undefined> {
  let api: Api;
  try {
    api = await (await import('../api.ts')).openApi(loaded, makeLog('error'));
  } catch (error) {
    if (loaded.config.store.kind === 'embedded' || !(error instanceof Problem)) throw error;
    return undefined;
  }
  try {
    return (await api.call('GET', '/v1/audit/head')) as { seq: number; hash: string };
  } finally {
    await api.close();
  }
}
