/** `reconcile`: ledger = OCSP = CRLs, or the list of differences. */
import { Option, type Command } from 'commander';
import { summary, type ReconcileReport } from '../../core/reconcile/report.ts';
import { Problem } from '../../core/problem.ts';
import { formatDuration } from '../../core/time.ts';
import type { ReconciliationView } from '../../flows/monitor/reconciliations.ts';
import { print, progressOf, table, withApi } from './context.ts';
import { collect, countTo } from './options.ts';

const POLL_MS = 200;

interface ReconcileOptions {
  readonly issuer?: readonly string[];
  readonly limit: number;
  readonly pause?: string;
  readonly resume?: string;
}

export function reconcileCommand(program: Command): void {
  program
    .command('reconcile')
    .description('holds ledger, OCSP answers and CRLs against each other; exit 1 with the list when they differ')
    .option('--issuer <id>', 'this issuer alone; again for more', collect)
    .option('--limit <count>', 'differences that are listed, up to 10000', countTo(10_000), 100)
    .addOption(new Option('--pause <id>', 'of one that runs: wait').conflicts(['issuer', 'resume']))
    .addOption(new Option('--resume <id>', 'of one that waits: go on').conflicts('issuer'))
    .action(async (options: ReconcileOptions, command: Command) => {
      await withApi(command, async (api) => {
        const turned = options.pause ?? options.resume;
        if (turned !== undefined) {
          const verb = options.pause === undefined ? 'resume' : 'pause';
          const view = (await api.call('POST', `/v1/reconciliations/${encodeURIComponent(turned)}/${verb}`)) as ReconciliationView; // prettier-ignore
          print(command, view, () => `${view.state}: ${view.progress.certificates.toLocaleString('en')} certificates`);
          return;
        }
        const asked = { ...(options.issuer && { issuers: options.issuer }), limit: options.limit };
        let view = (await api.call('POST', '/v1/reconciliations', asked)) as ReconciliationView;
        const progress = progressOf(command, `reconcile ${view.id}`, 'certificates');
        try {
          while (view.report === undefined) {
            if (view.state === 'failed') throw new Problem('unavailable', view.problem ?? 'it could not be finished');
            await new Promise((resolve) => setTimeout(resolve, POLL_MS));
            view = (await api.call('GET', `/v1/reconciliations/${view.id}`)) as ReconciliationView;
            const { certificates, expected } = view.progress;
            progress.update({ items: certificates, done: certificates, total: expected });
          }
        } finally {
          progress.end();
        }
        const { report } = view;
        print(command, report, () => text(report));
        if (report.differences > 0) process.exitCode = 1;
      });
    });
}

function text(report: ReconcileReport): string {
  const { ocsp, crl } = report.pending;
  const waiting = (channel: string, { count: waits, oldestMs }: typeof ocsp): string[] =>
    waits === 0 ? [] : [`pending    ${channel}: ${waits}, the oldest for ${formatDuration(oldestMs)}`];
  const left = report.differences - report.listed.length;
  return [
    summary(report),
    ...report.issuers.flatMap(({ id, fingerprints, certificates, answerable, revoked, unanswered, crls }) => [
      `issuer     ${id}: ${certificates} certificates, ${answerable} answered for, ${revoked} revoked${unanswered === 0 ? '' : `, ${unanswered} of an issuer that signs no answers`}`,
      ...fingerprints.map((fingerprint) => `CA         ${fingerprint}`),
      ...crls.map(
        ({ shard, number, thisUpdate, entries }) =>
          `CRL        ${shard === '' ? 'complete' : `shard ${shard}`}: number ${number} of ${thisUpdate}, ${entries} entries`,
      ),
    ]),
    ...waiting('OCSP', ocsp),
    ...waiting('CRL', crl),
    ...(report.head === undefined ? [] : [`audit log  record ${report.head.seq}, hash ${report.head.hash}`]),
    ...(report.listed.length === 0
      ? []
      : [
          table([
            ['ISSUER', 'CHANNEL', 'SERIAL OR CRL', 'DIFFERENCE'],
            ...report.listed.map(({ issuer, channel, shard, serial, message, rule }) => [
              issuer,
              channel,
              serial ?? (shard === undefined || shard === '' ? 'complete' : `shard ${shard}`),
              `${message} (${rule})`,
            ]),
          ]),
        ]),
    ...(left === 0 ? [] : [`and ${left} more: --limit`]),
  ].join('\n');
}
