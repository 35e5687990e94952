/**
 * Every CRL ever published, as `<dir>/<issuer tag>/<number>.crl`, those of a shard as `<dir>/<issuer tag>/<shard>/<number>.crl`
 * (CT-5.5.1-3). Write-once: a file that is there is never overwritten with other bytes. Its record lies beside it, as `<number>.json`:
 * so a store that has forgotten can be told.
 *
 * A crash while a draft is written: a file `draft-….part`, removed before the next draft of the scope. After the CRL and before its
 * record: archived, but not found as the newest; it was not published yet either.
 */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { recordFromText, recordText } from '../../core/archive/record-text.ts';
import { COMPLETE, type CrlRecord, type CrlScope, type IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlArchive, CrlDraft, CrlFile } from '../../ports/crl-archive.ts';
import { fileDigest } from './file-digest.ts';

/** Read at once where a whole file is gone through. */
const PIECE = 1 << 20;

export class FileCrlArchive implements CrlArchive {
  readonly #dir: string;
  /** Directories that are there, and whose drafts of an earlier process are gone. */
  readonly #swept = new Map<string, Promise<void>>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  path(record: Pick<CrlRecord, 'issuer' | 'shard' | 'number'>): string {
    return join(this.#directory(record), `${record.number}.crl`);
  }

  async draft(scope: CrlScope): Promise<CrlDraft> {
    const directory = this.#directory(scope);
    let swept = this.#swept.get(directory);
    if (swept === undefined) {
      swept = sweep(directory);
      this.#swept.set(directory, swept);
      swept.catch(() => this.#swept.delete(directory));
    }
    await swept;
    return FileDraft.begin(join(directory, `draft-${randomUUID()}.part`));
  }

  /** File, then name, then directory. */
  async keep(record: CrlRecord, draft: CrlDraft): Promise<void> {
    if (!(draft instanceof FileDraft)) throw new Error('a draft of another archive');
    const path = this.path(record);
    await draft.seal(record);
    try {
      // Unlike rename, link never replaces what is there.
      await link(draft.path, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // The same bytes: a publication that was cut short after this step is made again.
      if ((await digestAt(path)) !== record.sha256) throw otherOneThere(path);
    }
    await draft.discard();
    // What is recorded of a CRL that is archived already may differ (restored, or followed by another process): the first stays.
    await writeOnce(recordPath(path), Buffer.from(recordText(record)));
    await syncDirectory(dirname(path));
  }

  async write(record: CrlRecord, der: Buffer): Promise<void> {
    const draft = await this.draft(record);
    try {
      await draft.write(der);
      await this.keep(record, draft);
    } finally {
      await draft.discard();
    }
  }

  /** In pieces, between which the event loop goes on: to hash half a gigabyte at once would hold up every answer for a second. */
  async read(record: CrlRecord): Promise<Buffer> {
    const file = await this.open(record);
    const hash = createHash('sha256');
    const der = Buffer.allocUnsafeSlow(file.octets);
    try {
      for (let at = 0; at < der.length; at += PIECE) {
        const end = Math.min(at + PIECE, der.length);
        hash.update(await file.read(at, end - at, der.subarray(at, end)));
      }
    } finally {
      await file.close();
    }
    if (hash.digest('hex') === record.sha256) return der;
    throw new Problem('corrupt', 'the archived CRL is not the one that was published: its SHA-256 differs', {
      field: this.path(record),
      value: `number ${record.number}`,
    });
  }

  async open(record: CrlRecord): Promise<OpenedFile> {
    const path = this.path(record);
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      throw unreadable(path, record, (error as Error).message);
    }
    const { size } = await file.stat();
    if (size !== record.bytes) {
      await file.close();
      throw unreadable(path, record, `it has ${size} octets, not ${record.bytes}`);
    }
    return new OpenedFile(file, path, size);
  }

  async newest(scope: CrlScope): Promise<CrlRecord | undefined> {
    const numbers = await this.numbers(scope);
    const newest = numbers.at(-1);
    return newest === undefined ? undefined : this.record(scope, newest);
  }

  async scopes(issuer: IssuerTag): Promise<readonly CrlScope[]> {
    const scopes: CrlScope[] = [];
    if ((await this.numbers({ issuer, shard: COMPLETE })).length > 0) scopes.push({ issuer, shard: COMPLETE });
    for (const { name } of (await entriesOf(join(this.#dir, issuer))).filter((entry) => entry.isDirectory()))
      if ((await this.numbers({ issuer, shard: name })).length > 0) scopes.push({ issuer, shard: name });
    return scopes;
  }

  async *list(scope: CrlScope): AsyncIterable<CrlRecord> {
    for (const number of await this.numbers(scope)) yield await this.record(scope, number);
  }

  #directory({ issuer, shard }: CrlScope): string {
    return shard === COMPLETE ? join(this.#dir, issuer) : join(this.#dir, issuer, shard);
  }

  /** Of every record, ascending. */
  async numbers(scope: CrlScope): Promise<readonly bigint[]> {
    const numbers = (await entriesOf(this.#directory(scope))).flatMap(({ name }) => {
      const number = /^(\d{1,49})\.json$/.exec(name)?.[1];
      return number === undefined ? [] : [BigInt(number)];
    });
    return numbers.sort((a, b) => (a < b ? -1 : 1));
  }

  /** @throws Problem `corrupt` when it is not there, or cannot be read. */
  async record(scope: CrlScope, number: bigint): Promise<CrlRecord> {
    const path = recordPath(this.path({ ...scope, number }));
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      throw unreadable(path, { number }, (error as Error).message);
    }
    return recordFromText(text, path);
  }
}

class OpenedFile implements CrlFile {
  readonly octets: number;
  readonly #file: FileHandle;
  readonly #path: string;
  #digest: Promise<string> | undefined;

  constructor(file: FileHandle, path: string, octets: number) {
    this.#file = file;
    this.#path = path;
    this.octets = octets;
  }

  read(at: number, length: number, into?: Buffer): Promise<Buffer> {
    return readAt(this.#file, this.#path, at, length, into);
  }

  digest(): Promise<string> {
    return (this.#digest ??= fileDigest(this.#file, this.#path, this.octets));
  }

  /** Not under the one who hashes: its number may be another file's a moment later. */
  async close(): Promise<void> {
    await this.#digest?.catch(() => undefined);
    await this.#file.close();
  }
}

class FileDraft implements CrlDraft {
  readonly path: string;
  octets = 0;
  readonly #file: FileHandle;
  #digest: Promise<string> | undefined;
  #synced: Promise<void> | undefined;
  #open = true;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async begin(path: string): Promise<FileDraft> {
    return new FileDraft(path, await open(path, 'wx+', 0o644));
  }

  async write(octets: Uint8Array, at = this.octets): Promise<void> {
    this.#digest = undefined;
    this.#synced = undefined;
    let written = 0;
    while (written < octets.length) {
      const rest = octets.subarray(written);
      written += (await this.#file.write(rest, 0, rest.length, at + written)).bytesWritten;
    }
    this.octets = Math.max(this.octets, at + octets.length);
  }

  /** Everything is written: it goes to the disk while others look at it. */
  digest(): Promise<string> {
    if (this.#synced === undefined) {
      this.#synced = this.#file.datasync();
      this.#synced.catch(() => undefined);
    }
    return (this.#digest ??= fileDigest(this.#file, this.path, this.octets));
  }

  read(at: number, length: number, into?: Buffer): Promise<Buffer> {
    return readAt(this.#file, this.path, at, length, into);
  }

  /** Durable, and what the record says it is. */
  async seal(record: CrlRecord): Promise<void> {
    if ((await this.digest()) !== record.sha256 || this.octets !== record.bytes) {
      throw new Problem('corrupt', 'what was written is not the CRL of the record', {
        field: this.path,
        value: `number ${record.number}`,
      });
    }
    await this.#synced;
  }

  async discard(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await Promise.allSettled([this.#digest, this.#synced]);
    await this.#file.close().catch(() => undefined);
    // Also when the disk is full: each try has another number, and what they left would keep it full.
    await rm(this.path, { force: true }).catch(() => undefined);
  }
}

function recordPath(path: string): string {
  return path.replace(/crl$/, 'json');
}

async function readAt(
  file: FileHandle,
  path: string,
  at: number,
  length: number,
  into: Buffer = Buffer.allocUnsafeSlow(length),
): Promise<Buffer> {
  let have = 0;
  while (have < length) {
    const { bytesRead } = await file.read(into, have, length - have, at + have);
    if (bytesRead === 0) throw new Problem('corrupt', `ends at ${at + have}`, { field: path });
    have += bytesRead;
  }
  return into.length === length ? into : into.subarray(0, length);
}

/** Nothing, when there is no such directory. */
export async function entriesOf(path: string): ReturnType<typeof readEntries> {
  try {
    return await readEntries(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const readEntries = (path: string) => readdir(path, { withFileTypes: true });

async function digestAt(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    return await fileDigest(file, path, (await file.stat()).size);
  } finally {
    await file.close();
  }
}

/** Names are durable with their directory: from the scope's own up to the first that was there before. */
export async function makeDurable(directory: string): Promise<void> {
  const made = await mkdir(directory, { recursive: true });
  if (made === undefined) return;
  for (let dir = directory; dir.length >= made.length; dir = dirname(dir)) await syncDirectory(dirname(dir));
}

/** Once per directory and process, before its first draft: whatever else is there no process writes any more. */
async function sweep(directory: string): Promise<void> {
  await makeDurable(directory);
  for (const name of await readdir(directory))
    if (/^draft-.*\.part$/.test(name)) await rm(join(directory, name), { force: true });
}

/** What is there stays. */
export async function writeOnce(path: string, bytes: Buffer): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  const temporary = `${path}.part`;
  try {
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.writeFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

function unreadable(path: string, record: Pick<CrlRecord, 'number'>, why: string): Problem {
  return new Problem('corrupt', `the archived CRL cannot be read: ${why}`, {
    field: path,
    value: `number ${record.number}`,
  });
}

function otherOneThere(path: string): Problem {
  return new Problem('conflict', 'another CRL with this number is archived', {
    field: path,
    value: basename(path).replace(/^(\d+)\..*$/, 'number $1'),
    rule: 'C-10, CT-5.5.1-3',
  });
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}
