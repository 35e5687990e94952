/**
 * The journal from its end, for people who look at it while the service runs: what was last first, no more read than is looked at, and
 * never more than a piece of a file in memory beside the line itself.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalRecord } from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import { firstSeq, segmentsOf } from './file-journal.ts';

const PIECE_OCTETS = 256 << 10;
const NEWLINE = 0x0a;

export interface NewestLine {
  readonly seq: number;
  /** One record as it lies in the file, without its newline. */
  readonly text: string;
  /** File, for people. */
  readonly file: string;
}

/** Lines with seq < before, newest first. An unfinished last line is none yet. @throws Problem `corrupt`, `unavailable` */
export async function* newestLines(dir: string, before = Infinity): AsyncGenerator<NewestLine> {
  const segments = await segmentsOf(dir);
  for (const name of segments.reverse()) {
    if (firstSeq(name) >= before) continue;
    const file = await open(join(dir, name), 'r');
    try {
      for await (const text of linesFromEnd(file)) {
        const seq = Number(/^\{"seq":(\d+),/.exec(text)?.[1] ?? NaN);
        if (Number.isNaN(seq))
          throw new Problem('corrupt', 'not a journal record', { field: name, value: text.slice(0, 40) });
        if (seq < before) yield { seq, text, file: name };
      }
    } finally {
      await file.close();
    }
  }
}

/** @throws Problem `corrupt` for a line that is no record. */
export function parseLine({ text, file }: NewestLine): JournalRecord {
  try {
    return JSON.parse(text) as JournalRecord;
  } catch {
    throw new Problem('corrupt', 'not a journal record', { field: file, value: text.slice(0, 40) });
  }
}

async function* linesFromEnd(file: FileHandle): AsyncGenerator<string> {
  let at = (await file.stat()).size;
  /** Pieces of the line that begins further ahead, in their order. */
  let rest: Buffer[] = [];
  /** What follows the last newline is no line yet. */
  let ended = false;
  while (at > 0) {
    const length = Math.min(PIECE_OCTETS, at);
    at -= length;
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
    let end = bytesRead;
    for (let newline = lastNewline(buffer, end); newline !== -1; newline = lastNewline(buffer, newline)) {
      const line = Buffer.concat([buffer.subarray(newline + 1, end), ...rest]);
      rest = [];
      end = newline;
      if (ended && line.length > 0) yield line.toString();
      ended = true;
    }
    rest.unshift(buffer.subarray(0, end));
  }
  const first = Buffer.concat(rest);
  if (ended && first.length > 0) yield first.toString();
}

/** Before `end`. */
function lastNewline(buffer: Buffer, end: number): number {
  return end === 0 ? -1 : buffer.lastIndexOf(NEWLINE, end - 1);
}
