/** Forecasts of CRL sizes (core/crl/forecast.ts), for the command and the alarms, and how often CRLs are due. */
import type { IssuerTag } from '../../core/certificate.ts';
import { forecast, type Forecast, type ScopeForecast } from '../../core/crl/forecast.ts';
import type { MetricSet } from '../../core/metric.ts';
import { formatDuration, MINUTE, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlShelf } from '../../ports/store.ts';
import type { CrlCensus } from './crl-census.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export interface ForecastView {
  readonly asOf: string;
  readonly scopes: readonly (ScopeForecast & {
    /** Of the CRL that is published; undefined when there is none. */
    readonly octetsNow: number | undefined;
    readonly entriesNow: number | undefined;
  })[];
  /** The shard that would exceed 10 MB first. */
  readonly largest: string | undefined;
  /** So many would do for all of today's certificates. */
  readonly shardsNeeded: number | undefined;
  readonly period: string;
  /** True when a certificate names no OCSP responder (B-13); until when, where that is known. */
  readonly withoutOcsp: boolean;
  readonly withoutOcspUntil: string | undefined;
}

/** As of now, which may take a scan of the ledger. */
export async function viewForecast(
  issuer: ServedIssuer,
  censuses: CrlCensus,
  shelf: Pick<CrlShelf, 'current'>,
  nowMs: EpochMs,
): Promise<ForecastView> {
  const { census, asOf } = await censuses.exact(issuer);
  const { scopes, largest, shardsNeeded } = forecastOf(issuer, censuses, nowMs) as Forecast;
  const shown: ForecastView['scopes'][number][] = [];
  for (const scope of scopes) {
    const current = await shelf.current({ issuer: issuer.tag, shard: scope.shard });
    shown.push({ ...scope, octetsNow: current?.bytes, entriesNow: current?.entries });
  }
  const until = census.withoutOcspUntil;
  const withoutOcsp = census.withoutOcsp(nowMs);
  return {
    asOf: rfc3339(wholeSecond(asOf)),
    scopes: shown,
    largest: largest?.shard,
    shardsNeeded,
    period: formatDuration(censuses.periodMs(issuer)),
    withoutOcsp,
    withoutOcspUntil: withoutOcsp && until !== undefined && Number.isFinite(until) ? rfc3339(until) : undefined,
  };
}

/** From memory; undefined until the ledger has been counted. */
export function forecastOf(issuer: ServedIssuer, censuses: CrlCensus, nowMs: EpochMs): Forecast | undefined {
  const census = censuses.of(issuer.tag);
  return census && forecast(census, issuer.crls, issuer.profile, issuer.issuer.nameDer.length, nowMs);
}

/** One figure per issuer, whatever the number of its shards. */
export function registerForecastGauges(
  set: MetricSet,
  censuses: CrlCensus,
  issuers: readonly ServedIssuer[],
  clock: Clock,
): void {
  /** Ten thousand shards take some milliseconds, and nothing changes within a minute. */
  const made = new Map<IssuerTag, { readonly at: EpochMs; readonly is: Forecast | undefined }>();
  const recent = (issuer: ServedIssuer): Forecast | undefined => {
    const now = clock.now();
    const known = made.get(issuer.tag);
    if (known !== undefined && Math.abs(now - known.at) < MINUTE) return known.is;
    const is = forecastOf(issuer, censuses, now);
    made.set(issuer.tag, { at: now, is });
    return is;
  };
  const each = (name: string, help: string, read: (issuer: ServedIssuer) => number | undefined): void =>
    set.gauge(name, help, function* () {
      for (const issuer of issuers) {
        const value = read(issuer);
        if (value !== undefined) yield [{ issuer: issuer.id }, value] as const;
      }
    });
  each(
    'certstatus_crl_full_revocation_bytes',
    'Size of the largest CRL that certificates name, were every certificate in it revoked. Limit 10 MB (Microsoft 3.2.3); crl forecast has the rest.',
    (issuer) => recent(issuer)?.largest?.octetsIfAllRevoked,
  );
  each(
    'certstatus_crl_shards_over_limit',
    'Number of CRLs that would have 10 MB or more, were every certificate in them revoked.',
    (issuer) => recent(issuer)?.scopes.filter(({ overLimit }) => overLimit).length,
  );
  each(
    'certstatus_crl_period_seconds',
    'Between two scheduled CRLs: at most 4 days once a certificate names no OCSP responder (BR 4.9.7).',
    (issuer) => censuses.periodMs(issuer) / SECOND,
  );
}
