/** `crl list|publish|show`. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { crlFromFile, readCrl } from '../../core/crl/crl-reader.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339 } from '../../core/time.ts';
import { print, table, withApi } from './context.ts';
import { addCrlImport } from './crl-import.ts';

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
    .option('--limit <count>', 'at most this many, up to 1000', count, 20)
    .action(async (options: { issuer: string; limit: number }, command: Command) => {
      await withApi(command, async (api) => {
        const { crls } = (await api.call(
          'GET',
          `/v1/issuers/${encodeURIComponent(options.issuer)}/crls?limit=${options.limit}`,
        )) as { crls: ListedCrl[] };
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
    .action(async (options: { issuer: string }, command: Command) => {
      await withApi(command, async (api) => {
        const published = (await api.call('POST', `/v1/issuers/${encodeURIComponent(options.issuer)}/crls`)) as {
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
    .description('what a CRL file says')
    .argument('<file>', 'DER or PEM')
    .option('--entries', 'list the entries')
    .action((file: string, options: { entries?: boolean }, command: Command) => {
      let bytes: Buffer;
      try {
        bytes = readFileSync(file);
      } catch (error) {
        throw new Problem('invalid', (error as Error).message, { field: 'file', value: file });
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
    });
}

function count(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text) || Number(text) > 1000)
    throw new InvalidArgumentError('Not a number from 1 to 1000.');
  return Number(text);
}
