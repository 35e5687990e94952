/** Certificates as CSV: a header line, then one certificate per line (core/import/csv-row.ts). */
import { readCsvHeader, readCsvRow, type CsvHeader } from '../../core/import/csv-row.ts';
import { Problem } from '../../core/problem.ts';
import type { ImportItem } from '../../core/import/row.ts';
import { linePages } from './lines.ts';
import { openSource, type ByteSource, type ImportFile } from './import-file.ts';

/**
 * Opens a CSV file, or standard input for `-`. A header that cannot be used surfaces from `pages`, before any row.
 * @throws Problem `invalid` when the path cannot be read.
 */
export async function readCsv(path: string): Promise<ImportFile> {
  const source = await openSource(path);
  return { pages: csvPages(source), progress: () => ({ done: source.done, total: source.total, unit: 'bytes' }) };
}

async function* csvPages(source: ByteSource): AsyncGenerator<readonly ImportItem[]> {
  let header: CsvHeader | undefined;
  const readLine = (text: string, line: number): ImportItem | undefined => {
    if (header !== undefined) return readCsvRow(header, text, line);
    header = readCsvHeader(text, line);
    return undefined;
  };
  for await (const page of linePages(source.chunks, readLine, 'utf8')) {
    // The first line was rejected before it could be read as a header: no column of any later line is known.
    if (header === undefined) throw (page[0] as { rejected: { problem: Problem } }).rejected.problem;
    yield page;
  }
  if (header === undefined)
    throw new Problem('invalid', 'the file is empty: there is no header line', { field: source.name });
}
