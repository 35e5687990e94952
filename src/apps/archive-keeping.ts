/** What looks after the archive, in a process that has one. */
import type { MetricSet } from '../core/metric.ts';
import { ArchiveKeeper } from '../flows/archive/archive-upkeep.ts';
import { openCopies } from './archive-config.ts';
import type { Core } from './core.ts';

/** @throws Problem `config` for a key or CA file of the copies that cannot be read. */
export async function openArchiveKeeper(core: Core, set: MetricSet): Promise<ArchiveKeeper | undefined> {
  const { archive, journal, issuers, store, clock, log, config } = core;
  if (archive === undefined || journal === undefined) return undefined;
  const copies = await openCopies(config.archive);
  return new ArchiveKeeper({ archive, copies, issuers: [...issuers.values()], store, journal, clock, log }, set);
}
