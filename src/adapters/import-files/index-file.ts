/** OpenSSL's index.txt, line by line. */
import { readIndexRow } from '../../core/import/index-row.ts';
import { linePages } from './lines.ts';
import { openSource, type ImportFile } from './import-file.ts';

/**
 * Opens an index.txt, or standard input for `-`.
 * @throws Problem `invalid` when the path cannot be read.
 */
export async function readIndex(path: string): Promise<ImportFile> {
  const source = await openSource(path);
  return {
    // Only the subject can hold more than ASCII, and it is not looked at.
    pages: linePages(source.chunks, readIndexRow, 'latin1'),
    progress: () => ({ done: source.done, total: source.total, unit: 'bytes' }),
  };
}
