/**
 * The thread that hashes files (file-digest.ts): of a descriptor that is open in this process, so that it reads what lies there without
 * looking for a name. One file after the other.
 */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { DigestAsked, DigestTold } from './file-digest.ts';

const piece = Buffer.allocUnsafeSlow(1 << 20);

parentPort?.on('message', ({ id, fd, octets }: DigestAsked) => parentPort?.postMessage(digested(id, fd, octets)));

function digested(id: number, fd: number, octets: number): DigestTold {
  const hash = createHash('sha256');
  try {
    for (let at = 0; at < octets;) {
      const length = readSync(fd, piece, 0, Math.min(piece.length, octets - at), at);
      if (length === 0) return { id, failure: `ends at ${at}` };
      hash.update(piece.subarray(0, length));
      at += length;
    }
    return { id, sha256: hash.digest('hex') };
  } catch (error) {
    return { id, failure: (error as Error).message };
  }
}
