/** The gauges: what is true now, computed when the scraper asks. Instants become ages, so that an alert needs no clock. */
import type { IssuerTag } from '../core/certificate.ts';
import type { MetricSet } from '../core/metric.ts';
import type { EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { MeasuredJournal } from '../ports/journal.ts';
import type { ProcessView } from '../ports/processes.ts';
import type { Freshness, RefreshQueue, Reliance } from '../ports/store.ts';
import { registerCertificateGauges, type CertificateGaugeSources } from './certificate-gauges.ts';
import type { CrlCensus } from './crl/crl-census.ts';
import { registerCrlGauges } from './crl/crl-gauges.ts';
import type { CrlUrls } from './crl/crl-urls.ts';
import type { IssuerCrls } from './crl/issuer-crls.ts';
import { registerFreshnessGauges } from './freshness-gauges.ts';
import type { ServedIssuer } from './issuer-setup.ts';
import { registerJournalGauges } from './journal-gauges.ts';
import type { MassView } from './mass/mass-revocation.ts';
import type { ClockWatch } from './monitor/clock-watch.ts';
import type { OfflineWatch } from './offline/offline-watch.ts';
import type { MissBudget } from './serve/miss-budget.ts';
import type { PublicFiles } from './serve/public-files.ts';
import type { ResponseTable } from './serve/response-table.ts';
import { servedCrls } from './serve/served-crls.ts';
import { registerServingGauges } from './serve/serving-gauges.ts';
import type { LaneRates } from './sign/lane-rates.ts';
import type { SignerIssuer } from './sign/sign.ts';
import { registerSigningGauges, type UsedToken } from './sign/signing-gauges.ts';

export interface GaugeSources {
  readonly issuers: readonly ServedIssuer[];
  readonly store: RefreshQueue & Reliance;
  readonly freshness: Freshness;
  readonly files: PublicFiles;
  /** Undefined in a process that serves nobody. */
  readonly table: ResponseTable | undefined;
  readonly misses: MissBudget | undefined;
  /** Connections by the name of the listener; undefined in a process that serves nobody. */
  readonly connections: (() => ReadonlyMap<string, number>) | undefined;
  /** Those that serve beside this one; undefined where there are none. */
  readonly processes?: (() => readonly ProcessView[]) | undefined;
  /** Undefined in a process that records nothing. */
  readonly journal: MeasuredJournal | undefined;
  readonly publishers: ReadonlyMap<IssuerTag, IssuerCrls>;
  /** The id of the responder certificate that signs now; undefined in a process that does not sign. */
  readonly signsWith?: (issuer: IssuerTag) => string | undefined;
  /** How fast the lanes drain; undefined in a process that does not sign. */
  readonly lanes?: LaneRates | undefined;
  /** Whether the machine's clock is right. */
  readonly clocks?: Pick<ClockWatch, 'fault' | 'offsets'> | undefined;
  /** The service's own TLS certificates. */
  readonly tls?: CertificateGaugeSources['tls'];
  readonly notReloaded?: CertificateGaugeSources['notReloaded'];
  /** What this process signs for; nothing where it has no keys. */
  readonly signers: readonly SignerIssuer[];
  /** The mass revocation under way, in a process that records events. */
  readonly mass?: () => MassView | undefined;
  readonly tokens: () => readonly UsedToken[];
  /** What the ledger says about CRLs as a whole; undefined in a process that does not sign. */
  readonly census?: CrlCensus | undefined;
  readonly urls?: CrlUrls | undefined;
  /** Of what is signed offline; undefined in a process that records nothing. */
  readonly offline?: OfflineWatch | undefined;
  readonly clock: Clock;
}

/** When the first published answer or CRL of the issuers runs out. */
export function servedUntil(
  issuers: readonly ServedIssuer[],
  freshness: Freshness,
  files: PublicFiles,
): EpochMs | undefined {
  const ends = issuers.flatMap((issuer) =>
    [freshness.of(issuer.tag).leastNextUpdate ?? [], servedCrls(issuer, files, -Infinity).leastNextUpdate ?? []].flat(),
  );
  return ends.length === 0 ? undefined : Math.min(...ends);
}

export function registerGauges(set: MetricSet, sources: GaugeSources): void {
  const { issuers, freshness, files, journal, clock } = sources;
  registerFreshnessGauges(set, issuers, freshness, clock);
  registerSigningGauges(set, sources);
  registerCertificateGauges(set, sources);
  registerCrlGauges(set, sources);
  registerServingGauges(set, { ...sources, downloads: files.downloads }, sources.processes);
  if (journal !== undefined) registerJournalGauges(set, journal, clock);
}
