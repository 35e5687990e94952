/** The feed as NDJSON files, `<directory>/<issuer>.ndjson`: for people, scripts and backups. */
import { mkdir, open, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { UrlChange } from '../../core/crl/ccadb.ts';
import { Problem } from '../../core/problem.ts';
import type { UrlFeed } from '../../ports/url-feed.ts';

export class FileUrlFeed implements UrlFeed {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(issuer: string): Promise<readonly UrlChange[]> {
    const file = this.#file(issuer);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new Problem('unavailable', (error as Error).message, { field: file });
    }
    const whole = text.lastIndexOf('\n') + 1;
    // A line that a crash cut off was never told to anybody, and must not run into the next one.
    if (whole < text.length) await truncate(file, Buffer.byteLength(text.slice(0, whole)));
    return text
      .slice(0, whole)
      .split('\n')
      .filter((line) => line !== '')
      .map((line, i) => parse(line, `${file} line ${i + 1}`));
  }

  async append(issuer: string, changes: readonly UrlChange[]): Promise<void> {
    const file = this.#file(issuer);
    try {
      await mkdir(this.#directory, { recursive: true });
      const handle = await open(file, 'a', 0o640);
      try {
        await handle.writeFile(changes.map((change) => `${JSON.stringify(change)}\n`).join(''));
        await handle.sync();
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw new Problem('unavailable', (error as Error).message, { field: file });
    }
  }

  #file(issuer: string): string {
    return join(this.#directory, `${issuer}.ndjson`);
  }
}

function parse(line: string, field: string): UrlChange {
  try {
    return JSON.parse(line) as UrlChange;
  } catch {
    throw new Problem('corrupt', 'not a change of a CRL URL', { field, value: line });
  }
}
