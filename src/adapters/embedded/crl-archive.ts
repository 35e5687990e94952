/**
 * Every CRL ever published, as `<dir>/<issuer tag>/<number>.crl` (CT-5.5.1-3). Write-once: a file that is there is never
 * overwritten with other bytes.
 */
import { createHash } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
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

  /**
   * Durable when it resolves: file, then name, then directory.
   * @throws Problem `conflict` when another CRL is archived under this number.
   */
  async write(record: CrlRecord, der: Buffer): Promise<void> {
    const path = this.path(record);
    const made = await mkdir(dirname(path), { recursive: true });
    if (made !== undefined) {
      // Names are durable with their directory: from the issuer's own up to the first that was there before.
      for (let dir = dirname(path); dir.length >= made.length; dir = dirname(dir)) await syncDirectory(dirname(dir));
    }
    const temporary = `${path}.part`;
    try {
      const file = await open(temporary, 'w', 0o644);
      try {
        await file.writeFile(der);
        await file.datasync();
      } finally {
        await file.close();
      }
      // Unlike rename, link never replaces what is there.
      await link(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // The same bytes: a publication that was cut short after this step is made again.
      if (!(await readFile(path)).equals(der)) {
        throw new Problem('conflict', 'another CRL with this number is archived', {
          field: path,
          value: `number ${record.number}`,
          rule: 'C-10, CT-5.5.1-3',
        });
      }
    } finally {
      // Also when the disk is full: each try has another number, and what they left would keep it full.
      await rm(temporary, { force: true });
    }
    await syncDirectory(dirname(path));
  }

  async read(record: CrlRecord): Promise<Buffer> {
    const path = this.path(record);
    let der: Buffer;
    try {
      der = await readFile(path);
    } catch (error) {
      throw new Problem('corrupt', `the archived CRL cannot be read: ${(error as Error).message}`, {
        field: path,
        value: `number ${record.number}`,
      });
    }
    if (createHash('sha256').update(der).digest('hex') !== record.sha256) {
      throw new Problem('corrupt', 'the archived CRL is not the one that was published: its SHA-256 differs', {
        field: path,
        value: `number ${record.number}`,
      });
    }
    return der;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}
