/** What is watched in every process that serves or signs: its machine's clock and disks. */
import { join } from 'node:path';
import { sntpSource } from '../adapters/sntp/client.ts';
import { steadyClock } from '../adapters/system/clock.ts';
import { systemHost } from '../adapters/system/host.ts';
import type { MetricSet } from '../core/metric.ts';
import { HostGauges } from '../flows/host-gauges.ts';
import { ClockWatch } from '../flows/monitor/clock-watch.ts';
import type { Core } from './core.ts';
import { auditDir } from './data-directory.ts';
import { VERSION } from './version.ts';

export function openClockWatch({ config, health, journal, clock, log }: Core, set: MetricSet): ClockWatch {
  const { ntp, everyMs, mostMs } = config.clock;
  return new ClockWatch(set, {
    clock,
    steady: steadyClock,
    source: ntp && sntpSource({ ...ntp, clock, steady: steadyClock }),
    everyMs,
    mostMs,
    aheadOfStoreMs: () => health.clockAheadMs,
    journal,
    log,
  });
}

export function openHostGauges(
  { config, health, directory, clock, archive, journal }: Core,
  set: MetricSet,
): HostGauges {
  const { dataDir, roles } = config;
  const directories = new Map([['data', dataDir]]);
  if (journal !== undefined) directories.set('audit', auditDir(config));
  if (archive !== undefined) directories.set('crl', join(dataDir, 'crl'));
  return new HostGauges(set, {
    version: VERSION,
    node: process.versions.node,
    roles,
    directories,
    storeDirectory: directory,
    health,
    host: systemHost,
    clock,
  });
}
