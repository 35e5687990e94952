/** The parts of the machine: tokens, slots, stores, disks, and what the monitor has found. Figures are those of /metrics. */
import { rfc3339, SECOND, wholeSecond } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { UsedToken } from '../../flows/sign/signing-gauges.ts';
import type { Figures } from './figures.ts';

export interface TokenStatus {
  readonly name: string;
  readonly describe: string;
  readonly state: string;
  /** How many persons activate it; undefined where the PIN comes from one place. */
  readonly threshold: number | undefined;
  readonly activatedAt: string | undefined;
  readonly activatedBy: readonly string[];
  /** Persons whose share waits for others. */
  readonly sharesOf: readonly string[];
  /** Persons who have asked for the end of the activation, and wait for others. */
  readonly deactivationBy: readonly string[];
  readonly issuers: readonly string[];
}

export function tokenStatus({ view, issuers }: UsedToken): TokenStatus {
  return {
    name: view.name,
    describe: view.describe,
    state: view.state,
    threshold: view.threshold,
    activatedAt: view.activated && rfc3339(wholeSecond(view.activated.at)),
    activatedBy: view.activated?.persons ?? [],
    sharesOf: view.shares?.persons ?? [],
    deactivationBy: view.deactivation?.persons ?? [],
    issuers: issuers.map(({ id }) => id),
  };
}

/** Where keys are used: a token, or `files`. Totals are since the start. */
export interface SlotStatus {
  readonly slot: string;
  readonly sessions: number | undefined;
  readonly signatures: number;
  readonly failures: number;
  /** Of all its sessions, since the start. */
  readonly busySeconds: number | undefined;
}

export function slotStatus(figures: Figures): readonly SlotStatus[] {
  const names = new Set(
    ['certstatus_sessions', 'certstatus_signatures_total', 'certstatus_signature_failures_total'].flatMap((name) =>
      figures.all(name).flatMap(({ labels }) => labels['slot'] ?? []),
    ),
  );
  return [...names].sort().map((slot) => ({
    slot,
    sessions: figures.one('certstatus_sessions', { slot }),
    signatures: figures.sum('certstatus_signatures_total', { slot }) ?? 0,
    failures: figures.sum('certstatus_signature_failures_total', { slot }) ?? 0,
    busySeconds: figures.one('certstatus_session_busy_seconds_total', { slot }),
  }));
}

export interface StoreStatus {
  readonly usable: boolean;
  readonly failure: string | undefined;
  /** Since something proved that changes made elsewhere reach this process; 0 in a store of one process. */
  readonly silentSeconds: number;
  readonly lagSeconds: number | undefined;
  readonly gaps: number | undefined;
  readonly roundTripSeconds: number | undefined;
  readonly bytes: number | undefined;
  /** Answers in memory. */
  readonly tableEntries: number | undefined;
  readonly tableBytes: number | undefined;
}

export function storeStatus({ store, table }: GaugeSources, figures: Figures): StoreStatus {
  return {
    usable: store.failure === undefined,
    failure: store.failure,
    silentSeconds: store.silentMs() / SECOND,
    lagSeconds: figures.max('certstatus_feed_lag_seconds'),
    gaps: figures.sum('certstatus_feed_gaps_total'),
    roundTripSeconds: figures.max('certstatus_store_round_trip_seconds'),
    bytes: figures.sum('certstatus_store_bytes'),
    tableEntries: table?.size ?? figures.sum('certstatus_response_table_entries'),
    tableBytes: table?.bytes ?? figures.sum('certstatus_response_table_bytes'),
  };
}

export interface DiskStatus {
  readonly directory: string;
  readonly freeBytes: number;
}

export function diskStatus(figures: Figures): readonly DiskStatus[] {
  return figures
    .all('certstatus_disk_free_bytes')
    .map(({ labels, value }) => ({ directory: labels['directory'] ?? '', freeBytes: value }));
}

export interface MonitorStatus {
  /** Ledger, OCSP and CRLs held against each other; undefined until it was done once. */
  readonly reconcile: { readonly differences: number; readonly ageSeconds: number } | undefined;
  /** Public URLs as outsiders see them. */
  readonly probes: readonly { readonly url: string; readonly findings: number; readonly ageSeconds: number }[];
  /** Random samples of what is served. */
  readonly samples: readonly { readonly issuer: string; readonly wrong: number; readonly ageSeconds: number }[];
  readonly clockOffsetSeconds: readonly { readonly against: string; readonly seconds: number }[];
}

export function monitorStatus(figures: Figures): MonitorStatus {
  const differences = figures.one('certstatus_reconcile_differences');
  const paired = (value: string, age: string, label: string): { name: string; value: number; ageSeconds: number }[] =>
    figures.all(value).map(({ labels, value: found }) => {
      const name = labels[label] ?? '';
      return { name, value: found, ageSeconds: figures.one(age, { [label]: name }) ?? 0 };
    });
  return {
    reconcile:
      differences === undefined
        ? undefined
        : { differences, ageSeconds: figures.one('certstatus_reconcile_age_seconds') ?? 0 },
    probes: paired('certstatus_probe_findings', 'certstatus_probe_age_seconds', 'url').map(
      ({ name, value, ageSeconds }) => ({ url: name, findings: value, ageSeconds }),
    ),
    samples: paired('certstatus_sample_wrong', 'certstatus_sample_age_seconds', 'issuer').map(
      ({ name, value, ageSeconds }) => ({ issuer: name, wrong: value, ageSeconds }),
    ),
    clockOffsetSeconds: figures
      .all('certstatus_clock_offset_seconds')
      .map(({ labels, value }) => ({ against: labels['against'] ?? '', seconds: value })),
  };
}
