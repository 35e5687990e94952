/** `report revocations`: the clock of each revocation, from the audit log. Reads the files; works beside a running service. */
import type { Command } from 'commander';
import { readJournal } from '../../adapters/journal/file-journal.ts';
import { RevocationReport, totals, type ClauseTotal, type RevocationLine } from '../../core/revocation-report.ts';
import { formatDuration, parseRfc3339, rfc3339, SECOND } from '../../core/time.ts';
import { loadConfig } from '../config.ts';
import { auditDir } from '../data-directory.ts';
import { complianceCommand } from './compliance.ts';
import { loadOptions, print, table } from './context.ts';

interface Options {
  readonly issuer?: string;
  readonly from?: string;
  readonly to?: string;
  readonly audit?: readonly string[];
  readonly totals?: boolean;
}

export function reportCommands(program: Command): void {
  const report = program
    .command('report')
    .description('every duty of the CA with its verdict, figures and worst case; exit 1 when one is not met');
  complianceCommand(report);
  report
    .command('revocations')
    .description('aware, recorded, seen by OCSP and on the CRL, against the limits; exit 1 when one is broken')
    .option('--issuer <id>', 'issuer')
    .option('--from <instant>', 'recorded from this RFC 3339 instant on')
    .option('--to <instant>', 'recorded before this instant')
    .option('--audit <directory...>', 'audit logs of other processes of the service, e.g. of the monitor')
    .option('--totals', 'no line per revocation')
    .action(async (options: Options, command: Command) => {
      const { config, issuers } = loadConfig(loadOptions(command));
      const from = options.from === undefined ? -Infinity : parseRfc3339(options.from, '--from');
      const to = options.to === undefined ? Infinity : parseRfc3339(options.to, '--to');
      const collected = new RevocationReport({ issuer: options.issuer, from, to });
      const audits = [auditDir(config), ...(options.audit ?? [])];
      // Revocations are recorded before anybody can see them, but not in the same log.
      for (const types of [['mass.planned', 'certificates.revoked'], ['revocation.observed']]) {
        for (const audit of audits) {
          for await (const record of readJournal(audit, 0)) if (types.includes(record.type)) collected.add(record);
        }
      }
      const at = Date.now();
      const lines = collected.lines(at);
      const perClause = totals(lines);
      const { unwatched } = collected;
      const fingerprints = issuers
        .filter(({ id }) => options.issuer === undefined || id === options.issuer)
        .flatMap(({ issuer }) => issuer.certificates.map(({ fingerprint }) => fingerprint));
      const shown = options.totals ? [] : lines;
      const data = { at: rfc3339(at), fingerprints, revocations: shown, totals: perClause, unwatched };
      print(command, data, () => text(shown, perClause, fingerprints, unwatched));
      if (perClause.some(({ late }) => late > 0)) process.exitCode = 1;
    });
}

function text(
  lines: readonly RevocationLine[],
  perClause: readonly ClauseTotal[],
  fingerprints: readonly string[],
  unwatched: number,
): string {
  const worst = Math.min(...perClause.map(({ leastMarginMs }) => leastMarginMs));
  return [
    ...fingerprints.map((fingerprint) => `CA  ${fingerprint}`),
    ...(lines.length === 0
      ? []
      : [
          table([
            ['ISSUER', 'SERIAL', 'CLAUSE', 'REASON', 'AWARE', 'RECORDED', 'OCSP SEEN', 'CRL SEEN', 'LIMIT', 'MARGIN'],
            ...lines.map((line) => [
              line.issuer,
              line.serial,
              line.clause ?? '-',
              line.reason ?? '-',
              line.awareAt,
              line.recordedAt,
              line.ocspSeenAt ?? 'not yet',
              line.crlSeenAt ?? 'not yet',
              line.limit,
              duration(line.marginMs),
            ]),
          ]),
          '',
        ]),
    table([
      ['CLAUSE', 'REVOCATIONS', 'SEEN', 'LATE', 'LEAST MARGIN'],
      ...perClause.map(({ clause, revocations, seen, late, leastMarginMs }) => [
        clause,
        String(revocations),
        String(seen),
        String(late),
        duration(leastMarginMs),
      ]),
    ]),
    perClause.length === 0 ? 'no revocation was recorded' : `worst case: ${duration(worst)} before its limit`,
    ...(unwatched === 0 ? [] : [`${unwatched} revocations were not watched, because too many came at once`]),
  ].join('\n');
}

function duration(ms: number): string {
  const text = formatDuration(Math.floor(Math.abs(ms) / SECOND) * SECOND);
  return ms < 0 ? `-${text}` : text;
}
