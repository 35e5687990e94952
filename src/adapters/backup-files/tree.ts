/** Files of a backup: copied with their digests, and looked at again. Sizes are unbounded, so nothing is read whole. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { BackedUpFile, LeftOut, Manifest } from '../../core/backup/manifest.ts';
import { keyMaterial } from '../../core/backup/manifest.ts';
import { Problem } from '../../core/problem.ts';

const PIECE = 1 << 20;

export interface Copied {
  readonly files: readonly BackedUpFile[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Copies a file, or a directory with all below it, durably. Names that begin with `.` are drafts of somebody and are passed over, as is
 * a file that goes away meanwhile. A journal's last file ends with its last whole record: what is being appended is not acknowledged.
 * @param root paths are told from there on.
 * @param told octets, as they are copied.
 */
export async function copyTree(
  root: string,
  name: string,
  to: string,
  told: (octets: number) => void = () => undefined,
): Promise<Copied> {
  const files: BackedUpFile[] = [];
  const leftOut: LeftOut[] = [];
  for await (const path of filesBelow(join(root, name))) {
    const about = relative(root, path).split(sep).join('/');
    const from = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (from === undefined) continue;
    try {
      const head = await from.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, 0);
      const why = keyMaterial(about, head.buffer.subarray(0, head.bytesRead));
      if (why !== undefined) leftOut.push({ path: about, why });
      else files.push({ path: about, ...(await copyFile(from, join(to, about), about.endsWith('.ndjson'), told)) });
    } finally {
      await from.close();
    }
  }
  return { files, leftOut };
}

/** Octets below the names, for a progress that has a total. */
export async function sizeOf(root: string, names: readonly string[]): Promise<number> {
  let octets = 0;
  for (const name of names)
    for await (const path of filesBelow(join(root, name)))
      octets += (await stat(path).catch(() => undefined))?.size ?? 0;
  return octets;
}

/** Every file of the backup against its manifest. @returns what is wrong, one line each; nothing is repaired. */
export async function checkTree(
  root: string,
  { files }: Pick<Manifest, 'files'>,
  told: (octets: number) => void = () => undefined,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const { path, octets, sha256 } of files) {
    try {
      const hash = createHash('sha256');
      let size = 0;
      for await (const piece of createReadStream(join(root, path), { highWaterMark: PIECE })) {
        hash.update(piece as Buffer);
        size += (piece as Buffer).length;
        told((piece as Buffer).length);
      }
      if (size !== octets) problems.push(`${path} has ${size} octets, not ${octets}`);
      else if (hash.digest('hex') !== sha256) problems.push(`${path} has been altered: its SHA-256 is another`);
    } catch (error) {
      problems.push(`${path} cannot be read: ${(error as Error).message}`);
    }
  }
  const known = new Set(files.map(({ path }) => path));
  for await (const path of filesBelow(root)) {
    const about = relative(root, path).split(sep).join('/');
    if (about !== 'manifest.json' && !known.has(about)) problems.push(`${about} is not in the manifest`);
  }
  return problems;
}

async function* filesBelow(path: string): AsyncGenerator<string> {
  const about = await stat(path).catch(() => undefined);
  if (about?.isFile() === true) yield path;
  if (about?.isDirectory() !== true) return;
  for (const name of (await readdir(path)).sort()) if (!name.startsWith('.')) yield* filesBelow(join(path, name));
}

/** @param whole ends with the last newline. */
async function copyFile(
  from: FileHandle,
  to: string,
  whole: boolean,
  told: (octets: number) => void,
): Promise<{ octets: number; sha256: string }> {
  await mkdir(dirname(to), { recursive: true, mode: 0o750 });
  const file = await open(to, 'wx', 0o640);
  try {
    const hash = createHash('sha256');
    const end = whole ? await endOfLastLine(from) : (await from.stat()).size;
    const piece = Buffer.alloc(PIECE);
    let at = 0;
    while (at < end) {
      const { bytesRead } = await from.read(piece, 0, Math.min(PIECE, end - at), at);
      if (bytesRead === 0)
        throw new Problem('unavailable', 'the file became shorter while it was copied', { field: to });
      await writeWhole(file, hash, piece.subarray(0, bytesRead));
      told(bytesRead);
      at += bytesRead;
    }
    await file.datasync();
    return { octets: at, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

async function writeWhole(file: FileHandle, hash: Hash, octets: Buffer): Promise<void> {
  hash.update(octets);
  await file.appendFile(octets);
}

async function endOfLastLine(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const piece = Buffer.alloc(PIECE);
  for (let end = size; end > 0; end -= PIECE) {
    const from = Math.max(0, end - PIECE);
    const { bytesRead } = await file.read(piece, 0, end - from, from);
    const at = piece.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (at >= 0) return from + at + 1;
  }
  return 0;
}
