/** `crl forecast` and `crl urls`: sizes to come, and what the CCADB must be told. */
import type { Command } from 'commander';
import type { ForecastView } from '../../flows/crl/crl-forecast.ts';
import type { UrlsView } from '../../flows/crl/crl-urls.ts';
import { print, table, withApi } from './context.ts';
import { countTo } from './options.ts';

const path = (issuer: string, rest: string): string => `/v1/issuers/${encodeURIComponent(issuer)}/${rest}`;

export function crlBookCommands(program: Command): void {
  const crl = program.commands.find((command) => command.name() === 'crl') as Command;
  crl
    .command('forecast')
    .description(
      'how large each CRL would be if every certificate were revoked; exit 1 when one would have 10 MB or more',
    )
    .requiredOption('--issuer <id>', 'issuer')
    .action(async (options: { issuer: string }, command: Command) => {
      await withApi(command, async (api) => {
        const view = (await api.call('GET', path(options.issuer, 'crl-forecast'))) as ForecastView;
        print(command, view, () => forecastText(view));
        if (view.scopes.some(({ overLimit }) => overLimit)) process.exitCode = 1;
      });
    });
  crl
    .command('urls')
    .description('the CRL URLs in unexpired certificates, as the CCADB wants them, and what has changed there')
    .requiredOption('--issuer <id>', 'issuer')
    .option('--acknowledge', 'the CCADB has them now: clears what is open')
    .option('--up-to <change>', 'with --acknowledge: up to this change only', countTo(999_999_999))
    .action(async (options: { issuer: string; acknowledge?: boolean; upTo?: number }, command: Command) => {
      if (options.upTo !== undefined && options.acknowledge !== true)
        command.error('error: --up-to goes with --acknowledge');
      await withApi(command, async (api) => {
        if (options.acknowledge === true) {
          const body = { ...(options.upTo !== undefined && { upTo: options.upTo }) };
          const done = (await api.call('POST', path(options.issuer, 'crl-urls/acknowledgement'), body)) as {
            acknowledged: number;
          };
          print(command, done, () => `acknowledged: ${done.acknowledged} changes`);
          return;
        }
        const view = (await api.call('GET', path(options.issuer, 'crl-urls'))) as UrlsView;
        print(command, view, () => urlsText(view));
      });
    });
}

function forecastText(view: ForecastView): string {
  const rows = view.scopes.map(({ shard, certificates, octetsIfAllRevoked, overLimit, octetsNow, entriesNow, url }) => [
    shard === '' ? 'complete' : shard,
    String(certificates),
    octetsNow === undefined ? '-' : `${octetsNow} (${entriesNow})`,
    `${octetsIfAllRevoked}${overLimit ? ' over 10 MB' : ''}`,
    url ?? '',
  ]);
  const needed =
    view.shardsNeeded === undefined
      ? 'More than 10,000 shards'
      : `${view.shardsNeeded} ${view.shardsNeeded === 1 ? 'CRL' : 'shards'}`;
  return [
    table([['SHARD', 'UNEXPIRED', 'OCTETS NOW (ENTRIES)', 'OCTETS IF ALL REVOKED', 'URL'], ...rows]),
    `As of ${view.asOf}. ${needed} would keep each below 10 MB for as many certificates as there are now; a new count is for new certificates alone.`,
    `A CRL is due every ${view.period}.${view.withoutOcsp ? ` At least one certificate names no OCSP responder (BR 4.9.7)${view.withoutOcspUntil === undefined ? '' : `; the last of them ends ${view.withoutOcspUntil}`}.` : ''}`,
  ].join('\n');
}

function urlsText({ ccadb, problems, open }: UrlsView): string {
  return [
    ...Object.entries(ccadb).map(([field, urls]) => `${field}:\n${JSON.stringify(urls)}`),
    ...problems.map((problem) => `warning: ${problem}`),
    ...(open.length === 0 ? ['Nothing has changed that is not acknowledged.'] : ['Not acknowledged:']),
    ...open.map(
      ({ seq, at, change, url, why, dueBy }) =>
        `  ${seq}  ${at}  ${change}  ${url ?? ''}  ${why}${dueBy === undefined ? '' : `; in the CCADB by ${dueBy}`}`,
    ),
  ].join('\n');
}
