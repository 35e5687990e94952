/** `crl list|publish|show`. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { crlFromFile, readCrl } from '../../core/crl/crl-reader.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339 } from '../../core/time.ts';
import { fileProblem } from '../errors.ts';
import type { ExplainedCrl } from '../../flows/crl/explain-crl.ts';
import { print, table, whileWaiting, withApi } from './context.ts';
import { addCrlImport } from './crl-import.ts';
import { countTo, shardName } from './options.ts';

interface ListedCrl {
  readonly number: string;
  readonly kind: string;
  readonly thisUpdate: string;
  readonly nextUpdate: string;
  readonly entries: number;
  readonly bytes: number;
  readonly sha256: string;
}

export function crlCommands(program: Command): void {
  const crl = program.command('crl').description('CRLs and their archive');
  crl
    .command('list')
    .description('published CRLs, newest first')
    .requiredOption('--issuer <id>', 'issuer')
    .option('--shard <name>', 'a shard; default: the complete CRL', shardName, '')
    .option('--limit <count>', 'at most this many, up to 1000', countTo(1000), 20)
    .action(async (options: { issuer: string; shard: string; limit: number }, command: Command) => {
      await withApi(command, async (api) => {
        const { crls } = (await api.call('GET', `${crlsOf(options)}&limit=${options.limit}`)) as { crls: ListedCrl[] };
        print(command, crls, () =>
          table([
            ['NUMBER', 'KIND', 'THIS UPDATE', 'NEXT UPDATE', 'ENTRIES', 'BYTES', 'SHA-256'],
            ...crls.map((item) => [
              item.number,
              item.kind,
              item.thisUpdate,
              item.nextUpdate,
              String(item.entries),
              String(item.bytes),
              item.sha256,
            ]),
          ]),
        );
      });
    });
  addCrlImport(crl);
  crl
    .command('publish')
    .description('publishes a CRL now, on top of the schedule (needs the running service, which has the key)')
    .requiredOption('--issuer <id>', 'issuer')
    .option('--shard <name>', 'a shard; default: the complete CRL', shardName, '')
    .action(async (options: { issuer: string; shard: string }, command: Command) => {
      await withApi(command, async (api) => {
        const building = api.call('POST', crlsOf(options), {}, PUBLISH_MS);
        const published = (await whileWaiting(command, () => 'crl publish: the CRL is being made', building)) as {
          number: string;
          thisUpdate: string;
          entries: number;
        };
        print(
          command,
          published,
          () => `published: CRL ${published.number} of ${published.thisUpdate} with ${published.entries} entries`,
        );
      });
    });
  crl
    .command('show')
    .description('what a CRL file says; without a file, the CRLs that are published')
    .argument('[file]', 'DER or PEM; default: what is published')
    .option('--entries', 'of a file: lists the entries')
    .option('--issuer <id>', 'of what is published: this issuer alone')
    .option('--shard <name>', 'of what is published: this shard alone, or complete', shardName)
    .option('--why', 'what waits, when the next is due, what was refused and by which rule')
    .action(async (file: string | undefined, options: ShowOptions, command: Command) => {
      if (file === undefined) return showPublished(options, command);
      if (options.issuer !== undefined || options.why === true || options.shard !== undefined)
        return command.error('error: a file, or --issuer, --shard and --why, not both');
      showFile(file, options, command);
    });
}

interface ShowOptions {
  readonly entries?: boolean;
  readonly why?: boolean;
  readonly issuer?: string;
  readonly shard?: string;
}

function showFile(file: string, options: ShowOptions, command: Command): void {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Problem('invalid', fileProblem(error), { field: 'file', value: file });
  }
  const view = readCrl(crlFromFile(bytes));
  const entries = [...view.entries()];
  const shown = {
    number: view.number?.toString(),
    thisUpdate: rfc3339(view.thisUpdate),
    nextUpdate: view.nextUpdate === undefined ? undefined : rfc3339(view.nextUpdate),
    entries: entries.length,
    ...(options.entries && {
      revoked: entries.map(({ serial, revocationDate, reason }) => ({
        serial,
        revokedAt: rfc3339(revocationDate),
        reason,
      })),
    }),
  };
  print(command, shown, () =>
    [
      `number       ${shown.number ?? 'none'}`,
      `thisUpdate   ${shown.thisUpdate}`,
      `nextUpdate   ${shown.nextUpdate ?? 'none'}`,
      `entries      ${shown.entries}`,
      ...(shown.revoked ?? []).map(({ serial, revokedAt, reason }) => `${serial}  ${revokedAt}  ${reason ?? ''}`),
    ].join('\n'),
  );
}

async function showPublished({ issuer, shard, why }: ShowOptions, command: Command): Promise<void> {
  await withApi(command, async (api, { issuers }) => {
    const only = shard === undefined ? '' : `?shard=${encodeURIComponent(shard)}`;
    const shown: (ExplainedCrl & { readonly issuer: string })[] = [];
    for (const id of issuer === undefined ? issuers.map((one) => one.id) : [issuer]) {
      const path = `/v1/issuers/${encodeURIComponent(id)}/crls/why${only}`;
      const { crls } = (await api.call('GET', path)) as { crls: readonly ExplainedCrl[] };
      for (const { signing, ...crl } of crls) shown.push({ issuer: id, ...crl, ...(why === true && { signing }) });
    }
    print(command, shown, () => shown.map((crl) => whyText(crl, why === true)).join('\n\n') || NO_CRL);
  });
}

const NO_CRL = 'no CRL was ever published; certstatus crl publish, or crl import, makes the first';

function whyText(
  { issuer, shard, url, current, signing }: ExplainedCrl & { readonly issuer: string },
  why: boolean,
): string {
  const line = (name: string, value: string): string => `${name.padEnd(13)}${value}`;
  const failure = signing?.lastFailure;
  const named = failure?.number === undefined ? '' : `CRL ${failure.number}: `;
  const rule = failure?.rule === undefined ? '' : ` (${failure.rule})`;
  return [
    line('crl', `${issuer}, ${shard === '' ? 'complete' : `shard ${shard}`}`),
    ...(url === undefined ? [] : [line('url', url)]),
    current === undefined
      ? line('current', 'none was ever published')
      : line(
          'current',
          `${current.number}, ${current.kind}, with ${current.entries} entries and ${current.bytes} octets`,
        ),
    ...(current === undefined
      ? []
      : [
          line('thisUpdate', `${current.thisUpdate}, ${current.ageSeconds} s ago`),
          line('nextUpdate', `${current.nextUpdate}${current.expired ? ': it has run out' : ''}`),
        ]),
    ...(signing === undefined
      ? why
        ? [line('signing', 'not by this process: ask the one that has the key')]
        : []
      : [
          line(
            'waiting',
            signing.oldestWaiting === undefined
              ? 'nothing'
              : `${signing.waiting} recorded changes, the oldest since ${signing.oldestWaiting}`,
          ),
          line(
            'next',
            signing.building ? 'is being built' : `${signing.nextTry}, scheduled ${signing.scheduled ?? 'now'}`,
          ),
          line('key', signing.keyFailure ?? 'can be used'),
          line('claim', signing.claim),
          ...(failure === undefined
            ? []
            : [line(signing.refused ? 'refused' : 'failed', `${failure.at}: ${named}${failure.message}${rule}`)]),
        ]),
  ].join('\n');
}

/** To make a CRL of ten million entries, with a key holder that is slow. */
const PUBLISH_MS = 600_000;

function crlsOf({ issuer, shard }: { readonly issuer: string; readonly shard: string }): string {
  return `/v1/issuers/${encodeURIComponent(issuer)}/crls?shard=${encodeURIComponent(shard)}`;
}
