/** The monitor role: what is really served, seen from outside, and whether ledger, OCSP and CRLs agree. It holds no key. */
import { tcpWire } from '../../adapters/probe-client/wire.ts';
import { steadyClock } from '../../adapters/system/clock.ts';
import type { MetricSet } from '../../core/metric.ts';
import type { PublicUrl } from '../../core/route.ts';
import { COMPLETE, type CrlScope } from '../../core/certificate.ts';
import { shardUrl } from '../../core/crl/shards.ts';
import type { PublicAddress } from '../../flows/monitor/fetch-public.ts';
import type { ProbeBook } from '../../flows/monitor/probe-book.ts';
import { probeUrl } from '../../flows/monitor/probe.ts';
import type { Reconciliations } from '../../flows/monitor/reconciliations.ts';
import { RevocationClock, type WatchedIssuer } from '../../flows/monitor/revocation-clock.ts';
import { probeSeconds, timedWire } from '../../flows/monitor/timed-wire.ts';
import { SampleWatch } from '../../flows/monitor/sample-watch.ts';
import type { Core } from '../core.ts';
import type { IssuerSetup } from '../issuer-files.ts';
import type { Listen } from '../listen-config.ts';

export interface MonitorRole {
  readonly revocations: RevocationClock;
  start(): void;
  stop(): Promise<void>;
}

/**
 * @param listener the public one of this process, where it has one.
 * @param book where what was asked for is noted.
 */
export function openMonitor(
  core: Core,
  reconciliations: Reconciliations,
  listener: Listen | undefined,
  metrics: MetricSet,
  book: ProbeBook | undefined,
): MonitorRole {
  const { config, store, journal, recorder, clock, log } = core;
  const { through, reconcileEveryMs, reconcileShare } = config.monitor;
  const base = through === undefined ? listener && ownAddress(listener) : probeUrl(through);
  const watched = watchedIssuers(core, base);
  const timed = timedWire(tcpWire, steadyClock, probeSeconds(metrics));
  const wire = book === undefined ? timed : book.wire(timed, steadyClock);
  const revocations = new RevocationClock({
    issuers: watched,
    feed: store,
    journal,
    wire,
    clock,
    log,
    metrics,
  });
  if (recorder !== undefined) recorder.told = (record) => revocations.noteCases(record);
  reconciliations.registerGauges(metrics);
  const sample = new SampleWatch({
    issuers: watched,
    ledger: store,
    wire,
    clock,
    log,
    metrics,
    share: reconcileShare,
    noted: (...sample) => book?.sampled(...sample),
  });
  return {
    revocations,
    start() {
      reconciliations.start(reconcileEveryMs);
      sample.start(reconcileEveryMs);
    },
    async stop() {
      await revocations.stop();
      await sample.stop();
    },
  };
}

/** Where outside clients ask about each issuer; through `base` where there is one, else at the hosts of the URLs. */
export function watchedIssuers(
  { setups, issuers }: Pick<Core, 'setups' | 'issuers'>,
  base: Pick<PublicAddress, 'host' | 'port'> | undefined,
): readonly WatchedIssuer[] {
  return setups.flatMap((setup) => {
    const served = issuers.get(setup.id);
    const [ocsp] = setup.urls.ocsp;
    if (served === undefined) return [];
    return {
      served,
      ocsp: ocsp && addressOf(ocsp, base),
      crl: (shard: string) => crlAddress(setup, { issuer: served.tag, shard }, base),
    };
  });
}

function crlAddress(
  { urls, crls }: IssuerSetup,
  { shard }: CrlScope,
  base: Pick<PublicAddress, 'host' | 'port'> | undefined,
): PublicAddress | undefined {
  if (shard === COMPLETE) return urls.crl[0] && addressOf(urls.crl[0], base);
  const url = shardUrl(crls, shard);
  if (url === undefined) return undefined;
  const at = probeUrl(url);
  return { ...at, ...base };
}

function addressOf(
  { host, path }: PublicUrl,
  base: Pick<PublicAddress, 'host' | 'port'> | undefined,
): PublicAddress | undefined {
  if (base !== undefined)
    return { host: base.host, port: base.port, authority: host ?? `${base.host}:${base.port}`, path };
  return host === undefined ? undefined : { host, port: 80, authority: host, path };
}

/** A listener on every address is asked at this machine's own. */
export function ownAddress({ host, port }: Listen): Pick<PublicAddress, 'host' | 'port'> {
  return { host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port };
}
