/** LevelDB as the embedded store uses it: opened, of a layout that this version reads, and read in pages. */
import { ClassicLevel } from 'classic-level';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Problem } from '../../core/problem.ts';
import { LAYOUT_KEY, LAYOUT_VERSION } from './keys.ts';
import { pages } from './pages.ts';

export type Database = ClassicLevel<Buffer, Buffer>;
export type Snapshot = ReturnType<Database['snapshot']>;

/** Of every database that holds a store, copies included. */
export const STORE_OPTIONS = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  writeBufferSize: 16 << 20,
  // Ten million certificates are 2.5 GB: files of the default 2 MiB would be more than LevelDB keeps open.
  maxFileSize: 8 << 20,
} as const;

/**
 * Opens or creates `<dataDir>/store`.
 * @throws Problem `unavailable` when another process owns it, `config` when the directory cannot be used or has another layout.
 */
export async function openDatabase(dataDir: string): Promise<Database> {
  const db = await openOwned(dataDir, 'store', 'cannot open the store', (location): Database => {
    return new ClassicLevel<Buffer, Buffer>(location, { ...STORE_OPTIONS, cacheSize: 32 << 20 });
  });
  const layout = await db.get(LAYOUT_KEY);
  if (layout === undefined) await db.put(LAYOUT_KEY, Buffer.from(LAYOUT_VERSION), { sync: true });
  else if (layout.toString() !== LAYOUT_VERSION) {
    await db.close();
    throw new Problem(
      'config',
      `the store has layout ${layout.toString()}; this version reads layout ${LAYOUT_VERSION}: start the version that wrote it`,
      { field: 'dataDir', value: dataDir },
    );
  }
  return db;
}

/**
 * A database in a directory of its own below the data directory; LevelDB lets one process have it.
 * @param failed what a person is told when it cannot be opened for another reason than that.
 * @throws Problem `unavailable` when another process has it, `config` when the directory cannot be used.
 */
export async function openOwned<D extends { open(): Promise<void> }>(
  dataDir: string,
  name: string,
  failed: string,
  make: (location: string) => D,
): Promise<D> {
  const location = join(dataDir, name);
  const fail = (code: 'unavailable' | 'config', message: string): Problem =>
    new Problem(code, message, { field: 'dataDir', value: dataDir });
  try {
    mkdirSync(location, { recursive: true });
  } catch (error) {
    throw fail('config', `cannot create the directory: ${(error as Error).message}`);
  }
  const db = make(location);
  try {
    await db.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    if (cause?.code === 'LEVEL_LOCKED')
      throw fail('unavailable', 'another certstatus process has this data directory open');
    const why = cause?.message ?? (error as Error).message;
    const advice = why.includes('Permission denied') ? '; run this as the user that the service runs as' : '';
    throw fail('config', `${failed}: ${why}${advice}`);
  }
  return db;
}

/** What lies within the bounds, decoded, in pages: of one moment, that of the snapshot or of the call. */
export async function* scan<T>(
  db: Database,
  bounds: { readonly gte: Buffer; readonly lt: Buffer },
  decode: (key: Buffer, value: Buffer) => T,
  snapshot?: Snapshot,
): AsyncGenerator<readonly T[]> {
  const iterator = db.iterator({ ...bounds, ...(snapshot === undefined ? {} : { snapshot }) });
  yield* pages(iterator, ([key, value]) => decode(key, value));
}
