/** What every process that serves shows of itself, and the processes beside this one. */
import type { MetricSet, Sample } from '../../core/metric.ts';
import { SECOND } from '../../core/time.ts';
import type { ProcessTold, ProcessView } from '../../ports/processes.ts';
import type { Reliance } from '../../ports/store.ts';
import { DOWNLOAD_BOUNDS, type Downloads } from './downloads.ts';
import type { MissBudget } from './miss-budget.ts';
import type { ResponseTable } from './response-table.ts';

/** What every process that serves has of its own; undefined in one that does not. */
export interface ServingSources {
  readonly store: Reliance;
  readonly table: ResponseTable | undefined;
  readonly misses: MissBudget | undefined;
  /** Connections by the name of the listener. */
  readonly connections: (() => ReadonlyMap<string, number>) | undefined;
  readonly downloads: Downloads | undefined;
}

/** @param processes that serve in place of this one: theirs come with a label each. */
export function registerServingGauges(
  set: MetricSet,
  { store, table, misses, connections, downloads }: ServingSources,
  processes?: () => readonly ProcessView[],
): void {
  const each = (name: string, help: string, own: (() => Iterable<Sample>) | undefined): void => {
    if (own === undefined && processes === undefined) return;
    set.gauge(name, help, function* () {
      if (own !== undefined) yield* own();
      for (const { index, told } of processes?.() ?? [])
        for (const [said, , labels, value] of told?.changes.gauges ?? [])
          if (said === name) yield [{ ...labels, process: String(index) }, value] as const;
    });
  };
  const one = (read: () => number) => (): Iterable<Sample> => [[{}, read()]];
  each(
    'certstatus_store_usable',
    '0 while nothing can be read from the store or written to it, and answers come from memory alone.',
    one(() => (store.failure === undefined ? 1 : 0)),
  );
  each(
    'certstatus_feed_silent_seconds',
    'For how long nothing has proved that changes made by other processes reach this one. Beyond store.redis.silenceLimit no good is served.',
    one(() => store.silentMs() / SECOND),
  );
  each(
    'certstatus_response_table_entries',
    'OCSP answers held in memory by this process.',
    table && one(() => table.size),
  );
  each(
    'certstatus_response_table_bytes',
    'Bytes of the OCSP answers held in memory by this process.',
    table && one(() => table.bytes),
  );
  each(
    'certstatus_issued_filter_serials',
    'Serials that this process knows to be issued, and looks up before others when look-ups are short.',
    misses && one(() => misses.known.count),
  );
  each('certstatus_issued_filter_bytes', 'Memory that these serials take.', misses && one(() => misses.known.bytes));
  each(
    'certstatus_connections',
    'Connections that a listener holds.',
    connections && (() => [...connections()].map(([listener, count]): Sample => [{ listener }, count])),
  );
  each(
    'certstatus_downloads',
    `Large CRLs on their way to somebody. At ${DOWNLOAD_BOUNDS.places} in a process the next one gets 503.`,
    downloads && one(() => downloads.count),
  );
  each(
    'certstatus_download_held_bytes',
    'Memory of CRLs that were replaced and are still being read by somebody.',
    downloads && one(() => downloads.heldOctets),
  );
}

/** The processes themselves. */
export function registerProcessGauges(set: MetricSet, processes: () => readonly ProcessView[]): void {
  set.gauge('certstatus_responder_processes', 'Responder processes, by state; all of them should serve.', function* () {
    const views = processes();
    for (const state of ['serving', 'starting', 'waiting'] as const)
      yield [{ state }, views.filter((view) => view.state === state).length] as const;
  });
  const each = (name: string, help: string, read: (told: ProcessTold) => number): void =>
    set.gauge(name, help, function* () {
      for (const { index, told } of processes())
        if (told !== undefined) yield [{ process: String(index) }, read(told)] as const;
    });
  each(
    'certstatus_responder_process_resident_bytes',
    'Memory of a responder process.',
    ({ residentBytes }) => residentBytes,
  );
  each(
    'certstatus_responder_process_cpu_seconds',
    'CPU time of a responder process since it was started.',
    ({ cpuSeconds }) => cpuSeconds,
  );
}
