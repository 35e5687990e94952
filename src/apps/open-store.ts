/** The store that the configuration names, and what counts its answers. */
import { join } from 'node:path';
import { FileCrlArchive } from '../adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../adapters/embedded/store.ts';
import { FreshnessGauges } from '../flows/freshness-gauges.ts';
import type { Freshness, Store } from '../ports/store.ts';
import type { Config } from './config.ts';

export interface OpenedStore {
  readonly store: Store;
  readonly freshness: Freshness;
  /** Counts what is published already; call it once, before anything publishes. */
  countFreshness(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @throws Problem `unavailable` when another process has the data directory open, `config` when the directory or the server
 *   cannot be used.
 */
export async function openStore(config: Config): Promise<OpenedStore> {
  const store = await EmbeddedStore.open(config.dataDir, new FileCrlArchive(join(config.dataDir, 'crl')));
  const freshness = new FreshnessGauges(store);
  return { store, freshness, countFreshness: () => freshness.load(), close: () => store.close() };
}
