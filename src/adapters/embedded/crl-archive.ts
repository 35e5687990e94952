/**
 * Every CRL ever published, as `<dir>/<issuer tag>/<number>.crl` (CT-5.5.1-3). Write-once: a file that is there is never
 * overwritten with other bytes.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CrlRecord } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';

export class CrlArchive {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  path(record: Pick<CrlRecord, 'issuer' | 'number'>): string {
    return join(this.#dir, record.issuer, `${record.number}.crl`);
  }

  /** Durable when it resolves: file, then name, then directory. */
  async write(record: CrlRecord, der: Buffer): Promise<void> {
    const path = this.path(record);
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.part`;
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.writeFile(der);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  async read(record: CrlRecord): Promise<Buffer> {
    const path = this.path(record);
    let der: Buffer;
    try {
      der = await readFile(path);
    } catch (error) {
      throw new Problem('corrupt', `the archived CRL cannot be read: ${(error as Error).message}`, { field: path, value: `number ${record.number}` });
    }
    if (createHash('sha256').update(der).digest('hex') !== record.sha256) {
      throw new Problem('corrupt', 'the archived CRL is not the one that was published: its SHA-256 differs', { field: path, value: `number ${record.number}` });
    }
    return der;
  }
}
