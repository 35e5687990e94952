/** `crl import`: publishes a CRL that another tool has signed, e.g. `openssl ca -gencrl` beside an offline root. */
import type { Command } from 'commander';
import { crlFromFile } from '../../core/crl/crl-reader.ts';
import type { ImportedCrl } from '../../flows/crl/import-crl.ts';
import { MAX_IMPORTED_CRL_OCTETS } from '../intake/offline-schema.ts';
import { readBounded } from '../offline-files.ts';
import { print, withApi } from './context.ts';

/** PEM is a third longer than what it holds. */
const MAX_FILE_OCTETS = Math.ceil(1.4 * MAX_IMPORTED_CRL_OCTETS);

export function addCrlImport(crl: Command): void {
  crl
    .command('import')
    .description(
      'publishes a CRL that was signed elsewhere; revocations that are on it and not recorded are recorded first',
    )
    .argument('<file>', 'DER or PEM')
    .requiredOption('--issuer <id>', 'issuer')
    .action(async (file: string, options: { issuer: string }, command: Command) => {
      const der = Buffer.from(crlFromFile(readBounded(file, MAX_FILE_OCTETS)));
      await withApi(command, async (api) => {
        const done = (await api.call('POST', `/v1/issuers/${encodeURIComponent(options.issuer)}/crl-imports`, {
          crl: der.toString('base64'),
          source: file.slice(-256),
        })) as ImportedCrl;
        print(command, done, () => importedText(done));
      });
    });
}

function importedText({ number, published, entries, learnt, thisUpdate, nextUpdate }: ImportedCrl): string {
  return [
    `${published ? 'published' : 'published before'}: CRL ${number} of ${thisUpdate} with ${entries} entries, until ${nextUpdate}`,
    ...(learnt > 0 ? [`${learnt} revocations were not recorded before`] : []),
  ].join('\n');
}
