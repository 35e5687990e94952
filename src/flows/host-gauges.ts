/** Gauges of the process and its machine: what runs, since when, and how much room its disks have. */
import type { MetricSet } from '../core/metric.ts';
import { MINUTE, SECOND } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Host } from '../ports/host.ts';
import type { ChangeFeed, StoreHealth } from '../ports/store.ts';

const LOOK_EVERY_MS = MINUTE / 2;

export interface HostGaugeParts {
  readonly version: string;
  readonly node: string;
  readonly roles: ReadonlySet<string>;
  /** By what lies there: data, audit, crl. */
  readonly directories: ReadonlyMap<string, string>;
  /** Of a store that lies on this machine's disk. */
  readonly storeDirectory: string | undefined;
  readonly health: StoreHealth;
  readonly host: Host;
  readonly clock: Clock;
}

/** Looks at the disks again and again: a scrape does not wait for a disk. */
export class HostGauges {
  readonly #parts: HostGaugeParts;
  readonly #free = new Map<string, number>();
  #storeBytes: number | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(set: MetricSet, parts: HostGaugeParts) {
    this.#parts = parts;
    const { version, node, roles, health, clock } = parts;
    const startedAt = clock.now();
    const labels = { version, node, roles: [...roles].sort().join(',') };
    set.gauge('certstatus_build_info', '1; its labels say what runs here.', () => [[labels, 1]]);
    set.gauge(
      'certstatus_start_time_seconds',
      'When this process was started, in seconds since 1970.',
      () => [[{}, startedAt / SECOND]], // prettier-ignore
    );
    set.gauge(
      'certstatus_disk_free_bytes',
      'Room that the disk of a directory has for this process; absent for one that cannot be looked at.',
      () => [...this.#free].map(([directory, bytes]) => [{ directory }, bytes] as const),
    );
    set.gauge(
      'certstatus_store_bytes',
      'Size of the store: its files, or the memory that Redis uses, all of its masters together.',
      () => {
        const bytes = this.#storeBytes ?? health.bytes;
        return bytes === undefined ? [] : [[{}, bytes]];
      },
    );
  }

  start(): void {
    void this.#look().then(() => {
      if (!this.#stopped) this.#timer = this.#parts.clock.after(LOOK_EVERY_MS, () => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { host, directories, storeDirectory } = this.#parts;
    if (storeDirectory !== undefined) this.#storeBytes = await host.filesBytes(storeDirectory).catch(() => undefined);
    for (const [directory, path] of directories) {
      const bytes = await host.freeBytes(path).catch(() => undefined);
      if (bytes === undefined) this.#free.delete(directory);
      else this.#free.set(directory, bytes);
    }
  }
}

export function registerStoreGauges(set: MetricSet, health: StoreHealth, feed: ChangeFeed): void {
  const gaps = set.counter(
    'certstatus_feed_gaps_total',
    'Times that this process missed changes of an issuer and read again what it knows of it.',
  );
  feed.follow(({ type }) => {
    if (type === 'gap') gaps.value += 1;
  });
  const known = (name: string, help: string, read: () => number | undefined): void =>
    set.gauge(name, help, () => {
      const value = read();
      return value === undefined ? [] : [[{}, value]];
    });
  known(
    'certstatus_store_round_trip_seconds',
    'The longest that Redis took to answer a look at the ledger, of the last minute or two; absent with the embedded store.',
    () => health.roundTripMs && health.roundTripMs / SECOND,
  );
  known(
    'certstatus_feed_lag_seconds',
    'For how long this process has not seen the end of the change feed: what was changed since may not have reached it.',
    () => health.feedLagMs / SECOND,
  );
}
