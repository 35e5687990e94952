/**
 * Every CRL ever published, as `<dir>/<issuer tag>/<number>.crl` (CT-5.5.1-3). Write-once: a file that is there is never
 * overwritten with other bytes. Its record lies beside it, as `<number>.json`: so a store that has forgotten can be told.
 *
 * A crash after the CRL and before its record: archived, but not found as the newest; it was not published yet either.
 */
import { createHash } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CrlRecord, IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlArchive } from '../../ports/crl-archive.ts';

export class FileCrlArchive implements CrlArchive {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  path(record: Pick<CrlRecord, 'issuer' | 'number'>): string {
    return join(this.#dir, record.issuer, `${record.number}.crl`);
  }

  /** File, then name, then directory. */
  async write(record: CrlRecord, der: Buffer): Promise<void> {
    const path = this.path(record);
    const made = await mkdir(dirname(path), { recursive: true });
    if (made !== undefined) {
      // Names are durable with their directory: from the issuer's own up to the first that was there before.
      for (let dir = dirname(path); dir.length >= made.length; dir = dirname(dir)) await syncDirectory(dirname(dir));
    }
    await writeOnce(path, der);
    // What is recorded of a CRL that is archived already may differ (restored, or followed by another process): the first stays.
    await writeOnce(
      recordPath(path),
      Buffer.from(JSON.stringify({ ...record, number: record.number.toString() })),
    ).catch((error: unknown) => {
      if (!(error instanceof Problem)) throw error;
    });
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

  async newest(issuer: IssuerTag): Promise<CrlRecord | undefined> {
    let newest: bigint | undefined;
    const names = await readdir(join(this.#dir, issuer)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) {
      const number = /^(\d{1,49})\.json$/.exec(name)?.[1];
      if (number !== undefined && (newest === undefined || BigInt(number) > newest)) newest = BigInt(number);
    }
    if (newest === undefined) return undefined;
    const path = recordPath(this.path({ issuer, number: newest }));
    try {
      const record = JSON.parse(await readFile(path, 'utf8')) as Omit<CrlRecord, 'number'> & { number: string };
      return { ...record, number: BigInt(record.number) };
    } catch (error) {
      throw new Problem('corrupt', `the record of an archived CRL cannot be read: ${(error as Error).message}`, {
        field: path,
        value: `number ${newest}`,
      });
    }
  }
}

function recordPath(path: string): string {
  return path.replace(/crl$/, 'json');
}

/** @throws Problem `conflict` when other bytes are there. */
async function writeOnce(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.part`;
  try {
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.writeFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    // Unlike rename, link never replaces what is there.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // The same bytes: a publication that was cut short after this step is made again.
    if (!(await readFile(path)).equals(bytes)) {
      throw new Problem('conflict', 'another CRL with this number is archived', {
        field: path,
        value: basename(path).replace(/^(\d+)\..*$/, 'number $1'),
        rule: 'C-10, CT-5.5.1-3',
      });
    }
  } finally {
    // Also when the disk is full: each try has another number, and what they left would keep it full.
    await rm(temporary, { force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}
