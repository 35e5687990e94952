/**
 * `import index|csv|certs|crl`: the records of an existing CA. Rows stream through in pages; good ones go in, rejected ones are
 * reported with line and reason; an interrupted import is simply run again.
 */
import type { Command } from 'commander';
import { readCertificates, type CertificateReader } from '../../adapters/import-files/certificate-files.ts';
import { readCrl } from '../../adapters/import-files/crl-file.ts';
import { readCsv } from '../../adapters/import-files/csv-file.ts';
import type { ImportFile } from '../../adapters/import-files/import-file.ts';
import { readIndex } from '../../adapters/import-files/index-file.ts';
import { readCertificate } from '../../core/certificate-reader.ts';
import {
  crlDistributionPoints,
  isCertificateAuthority,
  isPrecertificate,
  namesNoOcsp,
} from '../../core/certificate-extensions.ts';
import { partitionUrl } from '../../core/crl/idp.ts';
import { readCrl as readCrlDer, type CrlView } from '../../core/crl/crl-reader.ts';
import { mustListOwn, ownEntries, type OwnEntry } from '../../core/crl/own-entries.ts';
import type { ImportRow } from '../../core/import/row.ts';
import { isSignedBy, type Issuer } from '../../core/issuer.ts';
import { Problem } from '../../core/problem.ts';
import { spkiHash } from '../../core/spki-hash.ts';
import { mustBeSignedBy } from '../../flows/crl/signed-by.ts';
import type { Api, ImportAnswer } from '../api.ts';
import { print, progressOf, setupOf, withApi } from './context.ts';

/** Rows per request: one fsync, a few milliseconds of the service's time. */
const BATCH = 1000;
/** Requests under way: while one batch is being made durable the next is being read. */
const IN_FLIGHT = 3;
/** Of the rejected rows, how many are printed; all are counted, and all are printed with --all-rejected. */
const SHOWN_REJECTED = 20;

export function importCommands(program: Command): void {
  const command = program
    .command('import')
    .description("bulk-loads an existing CA's records; may be interrupted and run again");
  subcommand(command, 'index <file>', "OpenSSL's index.txt", (path) => readIndex(path as string));
  subcommand(
    command,
    'csv <file>',
    'CSV with a header: serial, notAfter and any of notBefore, status, revokedAt, reason, precertificate, crlShard, namesOcsp, spkiHash',
    (path) => readCsv(path as string),
  );
  subcommand(
    command,
    'certs <files...>',
    'certificates and precertificates: PEM bundles, DER files, directories',
    (paths, issuer) => readCertificates(paths as string[], certificateOf(issuer)),
  );
  subcommand(command, 'crl <file>', 'a CRL of this CA, DER or PEM: what it lists is revoked', async (path, issuer) => {
    const file = await readCrl(path as string, importableCrl);
    await mustBeSignedBy(issuer, file.crl.view);
    return file;
  });
}

function subcommand(
  parent: Command,
  usage: string,
  description: string,
  open: (path: string | string[], issuer: Issuer) => Promise<ImportFile>,
): void {
  const [name = '', argument = ''] = usage.split(' ');
  parent
    .command(name)
    .description(description)
    .argument(argument, 'or - for standard input')
    .requiredOption('--issuer <id>', 'issuer')
    .option('--all-rejected', 'print every rejected row')
    .action(async (path: string | string[], options: { issuer: string; allRejected?: boolean }, command: Command) => {
      await withApi(command, async (api, loaded) => {
        const setup = setupOf(loaded, options.issuer);
        const source = `${command.name()} ${[path].flat().join(' ')}`.slice(0, 256);
        const totals = await importFile(
          command,
          await open(path, setup.issuer),
          api,
          options.issuer,
          source,
          command.name(),
          options.allRejected ?? false,
        );
        print(command, totals, () => totalsText(totals));
        if (totals.rejected > 0) process.exitCode = 1;
      });
    });
}

interface Totals {
  rows: number;
  accepted: number;
  unchanged: number;
  rejected: number;
  readonly rejectedRows: { readonly line: number; readonly problem: string }[];
}

async function importFile(
  command: Command,
  file: ImportFile,
  api: Api,
  issuer: string,
  source: string,
  label: string,
  all: boolean,
): Promise<Totals> {
  const totals: Totals = { rows: 0, accepted: 0, unchanged: 0, rejected: 0, rejectedRows: [] };
  const progress = progressOf(command, `import ${label}`, 'rows');
  const reject = (rejected: ImportAnswer['rejected']): void => {
    totals.rejected += rejected.length;
    for (const row of rejected) if (all || totals.rejectedRows.length < SHOWN_REJECTED) totals.rejectedRows.push(row);
  };
  const send = async (rows: readonly ImportRow[]): Promise<void> => {
    const answer = await api.importRows(issuer, source, rows);
    totals.accepted += answer.accepted;
    totals.unchanged += answer.unchanged;
    reject(answer.rejected);
    progress.update({ items: totals.rows, ...file.progress() });
  };
  const sending = new Set<Promise<void>>();
  /** The first failed request: nothing more is sent after it. */
  let failure: unknown;
  let batch: ImportRow[] = [];
  const flush = async (): Promise<void> => {
    const rows = batch;
    batch = [];
    const sent: Promise<void> = send(rows)
      .catch((error: unknown) => (failure ??= error))
      .then(() => void sending.delete(sent));
    sending.add(sent);
    if (sending.size >= IN_FLIGHT) await Promise.race(sending);
  };
  try {
    for await (const page of file.pages) {
      for (const item of page) {
        totals.rows += 1;
        if ('rejected' in item) reject([{ line: item.rejected.line, problem: item.rejected.problem.line }]);
        else if (batch.push(item.row) >= BATCH) await flush();
      }
      if (failure !== undefined) break;
    }
    if (batch.length > 0 && failure === undefined) await flush();
    await Promise.all(sending);
  } finally {
    progress.end();
  }
  if (failure !== undefined) {
    process.stderr.write(
      `certstatus: stopped after ${totals.accepted + totals.unchanged} rows went in; run the same command again to continue\n`,
    );
    throw failure instanceof Error ? failure : new Error('the import failed');
  }
  totals.rejectedRows.sort((a, b) => a.line - b.line);
  return totals;
}

function totalsText({ rows, accepted, unchanged, rejected, rejectedRows }: Totals): string {
  const lines = [`${rows} rows: ${accepted} accepted, ${unchanged} already known, ${rejected} rejected`];
  for (const { line, problem } of rejectedRows) lines.push(`  ${line}: ${problem}`);
  if (rejectedRows.length < rejected)
    lines.push(`  … and ${rejected - rejectedRows.length} more; --all-rejected prints them`);
  return lines.join('\n');
}

/** Only what this issuer signed becomes one of its serials (P3): its name, and its key where one name has several (T-19). */
function certificateOf(issuer: Issuer): CertificateReader {
  return (der) => {
    const fields = readCertificate(der);
    const { serial, notBefore, notAfter, issuerDer } = fields;
    if (!issuerDer.equals(issuer.nameDer))
      throw new Problem('refused', `issued by another CA than ${issuer.name}`, {
        field: 'issuer',
        value: serial,
        rule: 'RFC 6960 §4.1.1',
      });
    if (!isSignedBy(issuer, der))
      throw new Problem('refused', `not signed with the key of ${issuer.name}`, {
        field: 'signature',
        value: serial,
        rule: 'RFC 5280 §6.1.3',
      });
    return {
      serial,
      notBefore,
      notAfter,
      precertificate: isPrecertificate(fields),
      crlUrls: crlDistributionPoints(fields),
      isCa: isCertificateAuthority(fields),
      withoutOcsp: namesNoOcsp(fields),
      spkiHash: spkiHash(fields.spkiDer),
    };
  };
}

/** @throws Problem at an entry that is none of this CA's, or cannot be read: half a CRL is never imported. */
function importableCrl(der: Buffer): {
  readonly view: CrlView;
  readonly url: string | undefined;
  entries(): Iterable<OwnEntry>;
} {
  const view = readCrlDer(der);
  mustListOwn(view);
  return { view, url: partitionUrl(view.crlExtensions), entries: () => ownEntries(view) };
}
