/**
 * Rate and memory of reading a large index.txt or CSV file: `node dist/bench/import-rows.js [rows]`.
 * Writes the file to a temporary directory, reads it once, prints one line per format and removes it.
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { readCsv } from '../src/adapters/import-files/csv-file.ts';
import type { ImportFile } from '../src/adapters/import-files/import-file.ts';
import { readIndex } from '../src/adapters/import-files/index-file.ts';
import { startProgress } from '../src/apps/progress.ts';

const rows = Number(process.argv[2] ?? 1_000_000);
const directory = await mkdtemp(join(tmpdir(), 'certstatus-bench-'));
try {
  const index = join(directory, 'index.txt');
  await write(index, '', (serial, place) => {
    const revocation = place % 20 === 0 ? ['R', '261101120000Z,superseded'] : ['V', ''];
    return `${revocation[0]}\t270301120000Z\t${revocation[1]}\t${serial.toUpperCase()}\tunknown\t/C=JP/O=Example/CN=host${place}.example.com\n`;
  });
  await measure('index.txt', index, await readIndex(index));

  const csv = join(directory, 'certificates.csv');
  await write(csv, 'serial,notBefore,notAfter,revokedAt,reason\n', (serial, place) => {
    const revocation = place % 20 === 0 ? '2026-11-01T12:00:00Z,superseded' : ',';
    return `${serial},2026-09-01T12:00:00Z,2027-03-01T12:00:00Z,${revocation}\n`;
  });
  await measure('CSV', csv, await readCsv(csv));
} finally {
  await rm(directory, { recursive: true });
}

async function write(path: string, header: string, line: (serial: string, place: number) => string): Promise<void> {
  const file = createWriteStream(path);
  file.write(header);
  for (let place = 1; place <= rows;) {
    let text = '';
    for (const end = Math.min(rows, place + 4999); place <= end; place++)
      text += line(randomBytes(16).toString('hex'), place);
    if (!file.write(text)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}

async function measure(name: string, path: string, file: ImportFile): Promise<void> {
  const progress = startProgress(`read ${name}`, 'rows');
  const heapBefore = process.memoryUsage().rss;
  const cpuBefore = process.cpuUsage();
  let good = 0;
  let rejected = 0;
  let peak = heapBefore;
  for await (const page of file.pages) {
    for (const item of page) 'row' in item ? good++ : rejected++;
    peak = Math.max(peak, process.memoryUsage().rss);
    progress.update({ items: good + rejected, ...file.progress() });
  }
  progress.end();
  const cpu = process.cpuUsage(cpuBefore);
  const seconds = (cpu.user + cpu.system) / 1e6;
  const size = (await stat(path)).size;
  console.log(
    `${name}: ${good} rows (${rejected} rejected), ${(size / 1e6).toFixed(0)} MB, ${seconds.toFixed(2)} s of CPU, ` +
      `${Math.round((good + rejected) / seconds)} rows per CPU-second, at most ${((peak - heapBefore) / 1e6).toFixed(0)} MB more memory`,
  );
}
