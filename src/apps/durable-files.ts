/** Files and directories that are there whole or not at all, also after a power loss. For commands; nothing here is fast. */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Directory that is being made. Written to a name beginning with `.`, which every reader of the parent skips. */
export interface DirectoryDraft {
  readonly path: string;
  /** Mode of keys: 0o600. Subdirectories are made as needed. */
  write(name: string, contents: string | Uint8Array, mode?: number): void;
}

/** Fills a new directory and then gives it its name, in one rename. Throws what `fill` throws, and leaves nothing behind then. */
export function makeDirectory<T>(target: string, fill: (draft: DirectoryDraft) => T): T {
  const parent = dirname(target);
  mkdirSync(parent, { recursive: true });
  const path = mkdtempSync(join(parent, `.${basename(target)}-`));
  try {
    // mkdtemp makes it for its owner alone, but the responder role may run as another user: keys have their own mode (P7).
    chmodSync(path, 0o755);
    const result = fill({
      path,
      write: (name, contents, mode = 0o644) => {
        mkdirSync(dirname(join(path, name)), { recursive: true });
        writeSynced(join(path, name), contents, mode);
      },
    });
    syncDirectory(path);
    renameSync(path, target);
    syncDirectory(parent);
    return result;
  } catch (error) {
    rmSync(path, { recursive: true, force: true });
    throw error;
  }
}

/** Writes a file under another name first and then gives it its name. */
export function writeFileDurably(file: string, contents: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  const draft = join(dirname(file), `.${basename(file)}-${process.pid}`);
  writeSynced(draft, contents, mode);
  renameSync(draft, file);
  syncDirectory(dirname(file));
}

/** A file that is written piece by piece, and is there when it is kept. */
export interface FileDraft {
  write(text: string): void;
  keep(): void;
  /** Removes what was not kept. */
  discard(): void;
}

/** Beside the file that it becomes. A signal that ends the process leaves nothing behind that looks like the file. */
export function draftFile(file: string, mode = 0o644): FileDraft {
  const draft = join(dirname(file), `.${basename(file)}-${process.pid}`);
  const descriptor = openSync(draft, 'w', mode);
  let open = true;
  return {
    write: (text) => writeAll(descriptor, Buffer.from(text)),
    keep() {
      fsyncSync(descriptor);
      closeSync(descriptor);
      open = false;
      renameSync(draft, file);
      syncDirectory(dirname(file));
    },
    discard() {
      if (!open) return;
      closeSync(descriptor);
      rmSync(draft, { force: true });
    },
  };
}

function writeSynced(file: string, contents: string | Uint8Array, mode: number): void {
  const descriptor = openSync(file, 'w', mode);
  try {
    writeAll(descriptor, typeof contents === 'string' ? Buffer.from(contents) : contents);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
}

/** A rename is durable when its directory is. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
