/**
 * A file of an existing CA, open for import: pages of rows, and how far the reading has come.
 * Memory is bounded by one page, whatever the size of the file (a CRL excepted: it is one signed object).
 */
import { open, type FileHandle } from 'node:fs/promises';
import { Problem } from '../../core/problem.ts';
import type { ImportItem } from '../../core/import/row.ts';

export interface ImportFile {
  /** Once through, in file order. Pages are never empty. @throws Problem `invalid` when the file as a whole cannot be used. */
  readonly pages: AsyncIterable<readonly ImportItem[]>;
  /** How far the reading has come. */
  progress(): ReadProgress;
}

export interface ReadProgress {
  readonly done: number;
  /** Undefined for a pipe, whose length nobody knows. */
  readonly total: number | undefined;
  readonly unit: 'bytes' | 'entries';
}

/** An open file or pipe, read once in chunks. */
export interface ByteSource {
  readonly name: string;
  /** Bytes in all; undefined for a pipe. */
  readonly total: number | undefined;
  /** Bytes handed out so far. */
  readonly done: number;
  /** Once through; closes the file when it ends, whichever way. */
  readonly chunks: AsyncIterable<Buffer>;
}

/**
 * Opens a file, or standard input for `-`.
 * @throws Problem `invalid` naming the path when there is no such readable file.
 */
export async function openSource(path: string): Promise<ByteSource> {
  if (path === '-') return new StreamSource('standard input', process.stdin);
  try {
    const handle = await open(path, 'r');
    const stat = await handle.stat();
    if (stat.isDirectory()) {
      await handle.close();
      throw new Problem('invalid', 'is a directory, not a file', { field: path });
    }
    return new FileSource(path, handle, stat.isFile() ? stat.size : undefined);
  } catch (error) {
    throw unreadable(error, path);
  }
}

/** The Problem that says why a path cannot be read. */
export function unreadable(error: unknown, path: string): Problem {
  if (error instanceof Problem) return error;
  return new Problem('invalid', `cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, {
    field: path,
  });
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly total: number | undefined;
  done = 0;
  readonly #handle: FileHandle;

  constructor(name: string, handle: FileHandle, total: number | undefined) {
    this.name = name;
    this.#handle = handle;
    this.total = total;
  }

  get chunks(): AsyncIterable<Buffer> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        // A fresh buffer each time: rows may be slices of what a chunk held.
        const { bytesRead, buffer } = await this.#handle.read(
          Buffer.allocUnsafeSlow(CHUNK_BYTES),
          0,
          CHUNK_BYTES,
          null,
        );
        if (bytesRead === 0) return;
        this.done += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } catch (error) {
      throw unreadable(error, this.name);
    } finally {
      await this.#handle.close();
    }
  }
}

class StreamSource implements ByteSource {
  readonly name: string;
  readonly total = undefined;
  done = 0;
  readonly #stream: AsyncIterable<Buffer>;

  constructor(name: string, stream: AsyncIterable<Buffer>) {
    this.name = name;
    this.#stream = stream;
  }

  get chunks(): AsyncIterable<Buffer> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Buffer> {
    for await (const chunk of this.#stream) {
      this.done += chunk.length;
      yield chunk;
    }
  }
}

/** One chunk makes one page: about 2,000 lines of index.txt, a few milliseconds of work between two awaits. */
const CHUNK_BYTES = 256 * 1024;
