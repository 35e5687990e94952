/**
 * SHA-256 of a file. That of a large one is made by a thread of its own: nothing waits on the event loop for it, and where there is
 * another core it costs no time beside a build that hashes and compares meanwhile.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { Problem } from '../../core/problem.ts';

/** Smaller files are hashed where they are asked for: to wake the thread would take as long. */
const THREAD_FROM_OCTETS = 4 << 20;
const PIECE = 256 * 1024;

export interface DigestAsked {
  readonly id: number;
  readonly fd: number;
  readonly octets: number;
}

export type DigestTold =
  { readonly id: number; readonly sha256: string } | { readonly id: number; readonly failure: string };

/**
 * Hex SHA-256 of the first `octets` of the file as it lies there. The file must stay open until it is told.
 * @param path to name in a Problem.
 * @throws Problem `corrupt` when there are not so many.
 */
export async function fileDigest(file: FileHandle, path: string, octets: number): Promise<string> {
  if (octets >= THREAD_FROM_OCTETS) return (thread ??= new DigestThread()).digest(file.fd, path, octets);
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(Math.min(PIECE, octets));
  for (let at = 0; at < octets;) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, octets - at), at);
    if (bytesRead === 0) throw new Problem('corrupt', `ends at ${at}`, { field: path });
    hash.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash.digest('hex');
}

/** One for the process. It begins with the first large file, and keeps no process from ending. */
let thread: DigestThread | undefined;

class DigestThread {
  readonly #worker = new Worker(new URL('digest-thread.js', import.meta.url));
  readonly #asked = new Map<number, (told: DigestTold) => void>();
  #last = 0;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (told: DigestTold) => this.#asked.get(told.id)?.(told));
    const gone = (why: string): void => {
      if (thread === this) thread = undefined;
      for (const [id, tell] of this.#asked) tell({ id, failure: why });
    };
    this.#worker.on('error', (error) => gone(error.message));
    this.#worker.on('exit', () => gone('the thread that hashes has ended'));
  }

  async digest(fd: number, path: string, octets: number): Promise<string> {
    const id = ++this.#last;
    this.#worker.ref();
    const told = await new Promise<DigestTold>((resolve) => {
      this.#asked.set(id, resolve);
      this.#worker.postMessage({ id, fd, octets } satisfies DigestAsked);
    });
    this.#asked.delete(id);
    if (this.#asked.size === 0) this.#worker.unref();
    if ('sha256' in told) return told.sha256;
    throw new Problem('corrupt', told.failure, { field: path });
  }
}
