/** Gauges of the CRLs that are served, one figure for each issuer whatever the number of its shards. */
import type { IssuerTag } from '../../core/certificate.ts';
import { oncePerTurn, type MetricSet } from '../../core/metric.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import { issuerGauge } from '../issuer-gauge.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { PublicFiles } from '../serve/public-files.ts';
import { servedCrls, type ServedCrls } from '../serve/served-crls.ts';
import type { CrlCensus } from './crl-census.ts';
import type { IssuerCrls } from './issuer-crls.ts';

export interface CrlGaugeSources {
  readonly issuers: readonly ServedIssuer[];
  readonly files: PublicFiles;
  readonly publishers: ReadonlyMap<IssuerTag, IssuerCrls>;
  /** What the ledger says about CRLs as a whole; undefined in a process that does not sign. */
  readonly census?: CrlCensus | undefined;
  readonly clock: Clock;
}

export function registerCrlGauges(set: MetricSet, sources: CrlGaugeSources): void {
  const { issuers, files, publishers, census, clock } = sources;
  const age = (instant: EpochMs): number => (clock.now() - instant) / SECOND;
  const perIssuer = (name: string, help: string, read: (issuer: ServedIssuer) => number | undefined): void =>
    issuerGauge(set, issuers, name, help, read);
  // Thousands of shards: looked at once for all of these gauges.
  const served = oncePerTurn(
    () => new Map(issuers.map((issuer) => [issuer.tag, servedCrls(issuer, files, clock.now())])),
  );
  const crlsOf = ({ tag }: ServedIssuer): ServedCrls => served().get(tag) as ServedCrls;

  perIssuer(
    'certstatus_crl_age_seconds',
    'Age of the CRL being served; the oldest, where there are shards. Limit 7 days, or 4 (BR 4.9.7).',
    (issuer) => map(crlsOf(issuer).oldestThisUpdate, age),
  );
  perIssuer(
    'certstatus_crl_time_to_next_update_seconds',
    'Time until the CRL being served runs out; the first, where there are shards.',
    (issuer) => map(crlsOf(issuer).leastNextUpdate, (instant) => -age(instant)),
  );
  perIssuer(
    'certstatus_crls_missing',
    'Number of CRLs that are configured, or were once published, and are not served: none is there, or it has run out.',
    (issuer) => crlsOf(issuer).missing.length + crlsOf(issuer).expired.length,
  );
  perIssuer(
    'certstatus_crl_entries',
    'Number of entries on the complete CRL being served, or on all shards where there is none.',
    (issuer) => crlsOf(issuer).entries,
  );
  perIssuer(
    'certstatus_crl_refused',
    'Number of CRLs of which the last one that was signed is kept from being published by what the gate found: certstatus crl show --why says it.',
    ({ tag }) => {
      const all = publishers.get(tag)?.publishers;
      return all && [...all.values()].filter(({ refused }) => refused).length;
    },
  );
  perIssuer(
    'certstatus_crl_bytes',
    'Size of the CRL being served, the largest where there are several. Above 10 MB it must be sharded (Microsoft 3.1.10).',
    (issuer) => crlsOf(issuer).bytes,
  );
  set.gauge(
    'certstatus_certificates',
    'Number of recorded certificates that have not expired, by status; counted to the week of their end, and anew once a day.',
    function* () {
      for (const { id, tag } of issuers) {
        const counted = census?.of(tag)?.unexpired(clock.now());
        if (counted === undefined) continue;
        yield [{ issuer: id, status: 'good' }, counted.all - counted.revoked] as const;
        yield [{ issuer: id, status: 'revoked' }, counted.revoked] as const;
      }
    },
  );
}

function map(instant: EpochMs | undefined, read: (instant: EpochMs) => number): number | undefined {
  return instant === undefined ? undefined : read(instant);
}
