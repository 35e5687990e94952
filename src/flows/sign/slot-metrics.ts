/** What becomes of the signatures of each slot: a token, or all keys in files together. */
import type { Histogram, MetricSet, Slot } from '../../core/metric.ts';
import { SECOND } from '../../core/time.ts';
import type { KeyUse, SlotMeter } from '../../ports/key-holder.ts';

/** The slot of keys in files. */
export const FILES_SLOT = 'files';

/** A session is free within milliseconds; a minute is what a call waits at most (scheduler.ts). */
const WAITS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** @returns the meter of a slot, by its name: that of a token, or FILES_SLOT. */
export function slotMeters(set: MetricSet): (slot: string) => SlotMeter {
  const meters = new Map<string, SlotMetrics>();
  set.gauge(
    'certstatus_sessions',
    'Number of sessions that sign at the same time, by slot: of a token while it is active; of keys in files, threads.',
    () => [...meters].map(([slot, { sessions }]) => [{ slot }, sessions] as const),
  );
  return (slot) => {
    const meter = meters.get(slot) ?? new SlotMetrics(set, slot);
    meters.set(slot, meter);
    return meter;
  };
}

class SlotMetrics implements SlotMeter {
  sessions = 0;
  readonly #signatures: Readonly<Record<KeyUse, Slot>>;
  readonly #failures: Slot;
  readonly #waits: Histogram;
  readonly #busy: Slot;

  constructor(set: MetricSet, slot: string) {
    const signatures = (use: KeyUse): Slot =>
      set.counter(
        'certstatus_signatures_total',
        'Signatures made, by slot and by what their key is for; those that were not published, and those of drills, included.',
        { slot, use },
      );
    this.#signatures = { ocsp: signatures('ocsp'), crl: signatures('crl') };
    this.#failures = set.counter(
      'certstatus_signature_failures_total',
      'Signatures that the slot was to make and did not; a token that is not activated is not asked.',
      { slot },
    );
    this.#waits = set.histogram(
      'certstatus_session_wait_seconds',
      'How long a call for signatures waited for a session to begin with it, by slot.',
      WAITS,
      { slot },
    );
    this.#busy = set.counter(
      'certstatus_session_busy_seconds_total',
      'Time that sessions of the slot have spent signing; a second for each session and second is all they can do.',
      { slot },
    );
  }

  signed(use: KeyUse, count: number): void {
    this.#signatures[use].value += count;
  }

  failed(count: number): void {
    this.#failures.value += count;
  }

  waited(ms: number): void {
    this.#waits.observe(ms / SECOND);
  }

  busy(ms: number): void {
    this.#busy.value += ms / SECOND;
  }
}
