/**
 * A backup of a data directory, taken while the service runs or is stopped, and put back.
 *
 * Order, and why: the store first, as of one moment; then the CRLs, so that the one which the store calls current is there; the journal
 * last, so that it is never behind the store (a ledger catches up with a longer journal, and a ledger ahead of its journal is refused).
 * Whatever is cut off before the manifest is written is no backup: `.part` in its name, and check and restore refuse it.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkTree, copyTree, sizeOf } from '../../adapters/backup-files/tree.ts';
import { readJournal } from '../../adapters/journal/file-journal.ts';
import { BACKED_UP, readManifest, type BackedUpFile, type Manifest } from '../../core/backup/manifest.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, wholeSecond } from '../../core/time.ts';
import type { StoreCopy } from '../../flows/backup/store-copy.ts';
import type { Api } from '../api.ts';
import type { Config } from '../config.ts';
import { writeFileDurably } from '../durable-files.ts';
import type { ProgressLine } from '../progress.ts';
import { VERSION } from '../version.ts';

const MANIFEST = 'manifest.json';
const POLL_MS = 200;

export interface Taken {
  readonly manifest: Manifest;
  /** Hex: what an auditor writes down. */
  readonly sha256: string;
  readonly octets: number;
}

/**
 * @param api of the process that has the store open; undefined over a shared store, which is no part of a backup: the journals are the
 *   truth.
 * @param out a directory that is not there yet.
 * @throws Problem; then nothing of that name is there.
 */
export async function takeBackup(
  config: Config,
  api: Api | undefined,
  out: string,
  nowMs: number,
  progress: ProgressLine,
): Promise<Taken> {
  const target = resolve(out);
  if (existsSync(target)) throw new Problem('conflict', 'it is there already', { field: '--out', value: target });
  const part = `${target}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true, mode: 0o750 });
  try {
    const store = api && (await copyStore(api, join(part, 'store'), progress));
    const total = await sizeOf(config.dataDir, BACKED_UP);
    let done = 0;
    const told = (octets: number): void => {
      done += octets;
      progress.update({ items: done, done, total });
    };
    const copied = [];
    for (const name of BACKED_UP) copied.push(await copyTree(config.dataDir, name, part, told));
    if (!existsSync(join(part, 'certstatus.yaml'))) {
      // It stands elsewhere (--config): its paths are relative to that place, so that whoever restores has to look at it.
      writeFileDurably(join(part, 'certstatus.yaml'), readFileSync(config.file), 0o640);
      copied.push({ files: [describe(part, 'certstatus.yaml')], leftOut: [] });
    }
    if (store !== undefined)
      copied.push({ files: filesIn(part, 'store').map((path) => describe(part, path)), leftOut: [] });
    const manifest: Manifest = {
      format: 1,
      version: VERSION,
      name: config.name,
      takenAt: rfc3339(wholeSecond(nowMs)),
      journal: await journalHead(join(part, 'audit')),
      store,
      files: copied.flatMap(({ files }) => files),
      leftOut: [...copied.flatMap(({ leftOut }) => leftOut), ...strangers(config.dataDir)],
    };
    if (store !== undefined && store.appliedSeq > (manifest.journal?.seq ?? 0))
      throw new Problem('corrupt', `the store has seen record ${store.appliedSeq}, and the journal ends before it`, {
        field: 'audit',
        value: String(manifest.journal?.seq ?? 0),
      });
    const text = `${JSON.stringify(manifest, null, 1)}\n`;
    writeFileDurably(join(part, MANIFEST), text, 0o640);
    renameSync(part, target);
    return { manifest, sha256: sha256(text), octets: manifest.files.reduce((sum, { octets }) => sum + octets, 0) };
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    throw error;
  }
}

/** @returns what is wrong with it, one line each. @throws Problem when it is no backup at all. */
export async function checkBackup(
  directory: string,
  progress: ProgressLine,
): Promise<Taken & { readonly problems: readonly string[] }> {
  const { manifest, sha256: digest } = manifestOf(directory);
  const total = manifest.files.reduce((sum, { octets }) => sum + octets, 0);
  let done = 0;
  const problems = [
    ...(await checkTree(directory, manifest, (octets) => {
      done += octets;
      progress.update({ items: done, done, total });
    })),
  ];
  try {
    const head = await journalHead(join(directory, 'audit'));
    if (head?.hash !== manifest.journal?.hash)
      problems.push(`the journal ends with record ${head?.seq ?? 0}, not with ${manifest.journal?.seq ?? 0}`);
  } catch (error) {
    problems.push(error instanceof Problem ? error.line : (error as Error).message);
  }
  return { manifest, sha256: digest, octets: total, problems };
}

/**
 * Puts a backup where no data directory is. @returns what was left out, and has to be brought from elsewhere.
 * @throws Problem when anything in the backup is wrong; then nothing is there.
 */
export async function restoreBackup(directory: string, dataDir: string, progress: ProgressLine): Promise<Manifest> {
  const target = resolve(dataDir);
  if (existsSync(target) && readdirSync(target).length > 0)
    throw new Problem('conflict', 'the directory is not empty: a backup goes into a new one', {
      field: '--data',
      value: target,
    });
  const { manifest, problems } = await checkBackup(directory, progress);
  if (problems.length > 0)
    throw new Problem('corrupt', `the backup is damaged: ${problems.slice(0, 3).join('; ')}`, {
      field: 'backup',
      value: directory,
    });
  const part = `${target}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true, mode: 0o750 });
  try {
    for (const name of [...BACKED_UP, 'store']) await copyTree(directory, name, part);
    rmSync(target, { recursive: true, force: true });
    renameSync(part, target);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    throw error;
  }
  return manifest;
}

async function copyStore(api: Api, to: string, progress: ProgressLine): Promise<Manifest['store']> {
  let copy = (await api.call('POST', '/v1/backups')) as StoreCopy;
  while (copy.state === 'running') {
    await new Promise((done) => setTimeout(done, POLL_MS));
    copy = (await api.call('GET', '/v1/backups')) as StoreCopy;
    progress.update({ items: copy.entries, done: copy.entries, total: undefined });
  }
  if (copy.state === 'failed' || copy.appliedSeq === undefined)
    throw new Problem('unavailable', `the store could not be copied: ${copy.why ?? 'see the log of the service'}`);
  if (!existsSync(copy.directory))
    throw new Problem('unavailable', 'the copy of the store is on the machine of the service: take the backup there', {
      field: 'backup',
      value: copy.directory,
    });
  try {
    renameSync(copy.directory, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    await cp(copy.directory, to, { recursive: true });
    rmSync(copy.directory, { recursive: true, force: true });
  }
  for (const path of filesIn(to, '.')) chmodSync(join(to, path), 0o640);
  return { entries: copy.entries, appliedSeq: copy.appliedSeq };
}

function filesIn(root: string, name: string): readonly string[] {
  return readdirSync(join(root, name))
    .sort()
    .map((file) => `${name}/${file}`);
}

/** Of what lies there already: files of the store are a few megabytes each. */
function describe(root: string, path: string): BackedUpFile {
  const octets = readFileSync(join(root, path));
  return { path, octets: octets.length, sha256: sha256(octets) };
}

/** What is in the data directory and in no backup. */
function strangers(dataDir: string): Manifest['leftOut'] {
  const known = new Set<string>([...BACKED_UP, 'store', 'backup', 'admin']);
  return readdirSync(dataDir)
    .filter((name) => !known.has(name) && !name.startsWith('.'))
    .map((path) => ({ path, why: 'not of this program, or a secret of this machine' }));
}

/** Of the whole chain, which is verified on the way. */
async function journalHead(directory: string): Promise<Manifest['journal']> {
  if (!existsSync(directory)) return undefined;
  let head: Manifest['journal'];
  for await (const { seq, hash } of readJournal(directory, 0)) head = { seq, hash };
  return head;
}

function manifestOf(directory: string): { readonly manifest: Manifest; readonly sha256: string } {
  const path = join(directory, MANIFEST);
  if (!existsSync(path))
    throw new Problem('not-found', 'no backup: it has no manifest.json', { field: 'backup', value: directory });
  const text = readFileSync(path, 'utf8');
  return { manifest: readManifest(text), sha256: sha256(text) };
}

function sha256(octets: Uint8Array | string): string {
  return createHash('sha256').update(octets).digest('hex');
}
