/** The embedded store, as of one moment, into a directory of its own, while it goes on being written. */
import { ClassicLevel } from 'classic-level';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { STORE_OPTIONS, type Database, type Snapshot } from './database.ts';
import { pages } from './pages.ts';

/**
 * @param breathe between two pages, so that nobody else waits for this.
 * @returns entries. @throws whatever LevelDB says (no space, a directory that is there); the directory is removed then.
 */
export async function copyDatabase(
  from: Database,
  snapshot: Snapshot,
  location: string,
  breathe: (entries: number) => Promise<void>,
): Promise<number> {
  const to: Database = new ClassicLevel<Buffer, Buffer>(location, { ...STORE_OPTIONS, errorIfExists: true });
  let entries = 0;
  try {
    await to.open();
    const iterator = from.iterator({ snapshot, highWaterMarkBytes: 256 * 1024 });
    for await (const page of pages(iterator, (entry) => entry)) {
      await to.batch(page.map(([key, value]) => ({ type: 'put' as const, key, value })));
      entries += page.length;
      await breathe(entries);
    }
    // An empty write that is synced brings what was written before it to the disk.
    await to.batch([], { sync: true });
    await to.close();
    // What they say is of the machine that wrote them.
    for (const name of ['LOCK', 'LOG', 'LOG.old']) await rm(join(location, name), { force: true });
    return entries;
  } catch (error) {
    await to.close().catch(() => undefined);
    await rm(location, { recursive: true, force: true });
    throw error;
  }
}
