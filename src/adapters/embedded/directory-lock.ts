/**
 * One process per data directory, also where the store is elsewhere: two would break the journal's hash chain. It is LevelDB's own
 * lock (fcntl), which the kernel takes away from a process that dies; Node has no lock of its own.
 */
import { ClassicLevel } from 'classic-level';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Problem } from '../../core/problem.ts';

export interface DirectoryLock {
  release(): Promise<void>;
}

/** @throws Problem `unavailable` when another process has it, `config` when the directory cannot be used. */
export async function lockDirectory(dataDir: string): Promise<DirectoryLock> {
  const location = join(dataDir, 'lock');
  const fail = (code: 'unavailable' | 'config', message: string): Problem =>
    new Problem(code, message, { field: 'dataDir', value: dataDir });
  try {
    mkdirSync(location, { recursive: true });
  } catch (error) {
    throw fail('config', `cannot create the directory: ${(error as Error).message}`);
  }
  const db = new ClassicLevel(location, { writeBufferSize: 1 << 16 });
  try {
    await db.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    if (cause?.code === 'LEVEL_LOCKED')
      throw fail('unavailable', 'another certstatus process has this data directory open');
    throw fail('config', `cannot be locked: ${cause?.message ?? (error as Error).message}`);
  }
  return { release: () => db.close() };
}
