/**
 * What the running service has found in its ledger about an issuer, for those who cannot open the ledger: `check-config` and `issuer
 * show`. A copy: the service itself derives it anew at each start (flows/crl/crl-census.ts).
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasFourDayRule } from '../core/policy/freshness.ts';
import { Problem } from '../core/problem.ts';
import { DAY, formatDuration, parseRfc3339, rfc3339, type EpochMs } from '../core/time.ts';
import type { CrlCensus } from '../flows/crl/crl-census.ts';
import type { Log } from '../flows/log.ts';
import type { IssuerSetup } from './issuer-files.ts';

/** Writes it whenever it changes. */
export function keepCrlFacts(census: CrlCensus, dataDir: string, log: Log): void {
  const kept = new Map<string, string>();
  census.onChange(({ id, tag }) => {
    const until = census.of(tag)?.withoutOcspUntil;
    const withoutOcspUntil = until === undefined ? null : Number.isFinite(until) ? rfc3339(until) : UNKNOWN_END;
    const text = `${JSON.stringify({ withoutOcspUntil })}\n`;
    if (kept.get(id) === text) return;
    const file = fileOf(dataDir, id);
    try {
      mkdirSync(join(dataDir, 'crl-urls'), { recursive: true });
      // Small, and changed a few times in the life of a CA: nobody waits for it.
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
      kept.set(id, text);
    } catch (error) {
      log.warn({ err: error, issuer: id }, 'what check-config should know of the certificates could not be written');
    }
  });
}

/** Until when an unexpired certificate without OCSP URL is known; undefined when none is, or no service has run. */
export function withoutOcspUntil(dataDir: string, id: string, nowMs: EpochMs): string | undefined {
  try {
    const { withoutOcspUntil: until } = JSON.parse(readFileSync(fileOf(dataDir, id), 'utf8')) as Facts;
    return until !== null && parseRfc3339(until, 'withoutOcspUntil') >= nowMs ? until : undefined;
  } catch {
    return undefined;
  }
}

/** A period that the certificates do not permit: the service does with 4 days, and the operator should know (B-13, T-42). */
export function checkCrlPeriod({ id, profile }: IssuerSetup, dataDir: string, nowMs: EpochMs): readonly Problem[] {
  const until = withoutOcspUntil(dataDir, id, nowMs);
  const { periodMs } = profile.crl;
  if (until === undefined || !hasFourDayRule(profile) || periodMs <= 4 * DAY) return [];
  return [
    new Problem(
      'config',
      `a certificate that ends ${until} names no OCSP responder: must be at most 4d, and is taken for it`,
      {
        field: `issuers/${id}/issuer.yaml crl.period`,
        value: formatDuration(periodMs),
        rule: 'B-13, BR 4.9.7',
      },
    ),
  ];
}

interface Facts {
  readonly withoutOcspUntil: string | null;
}

/** Of a certificate that is known from a CRL alone. */
const UNKNOWN_END = '9999-12-31T23:59:59Z';

function fileOf(dataDir: string, id: string): string {
  return join(dataDir, 'crl-urls', `${id}.facts.json`);
}
