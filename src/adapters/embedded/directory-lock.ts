/**
 * One process per data directory, also where the store is elsewhere: two would break the journal's hash chain. It is LevelDB's own
 * lock (fcntl), which the kernel takes away from a process that dies; Node has no lock of its own.
 */
import { ClassicLevel } from 'classic-level';
import { openOwned } from './database.ts';

export interface DirectoryLock {
  release(): Promise<void>;
}

/** @throws Problem `unavailable` when another process has it, `config` when the directory cannot be used. */
export async function lockDirectory(dataDir: string): Promise<DirectoryLock> {
  const db = await openOwned(dataDir, 'lock', 'cannot be locked', (location) => {
    return new ClassicLevel(location, { writeBufferSize: 1 << 16 });
  });
  return { release: () => db.close() };
}
