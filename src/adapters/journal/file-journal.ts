/**
 * The journal as files: `<dir>/<first seq, 12 digits>.ndjson`, one record a line (core/journal-record.ts), a new file after
 * SEGMENT_BYTES. Records that are appended while an fsync is under way share the next one.
 *
 * Crash table: a process killed while writing leaves a last line without its newline, or a part of one. Nothing was
 * acknowledged on its strength, because append resolves after the fsync: the tail is cut off at open, kept beside the journal
 * as `.torn`, and the cut is itself a record. A broken line anywhere else is no crash but damage: open refuses.
 *
 * A file that was moved or deleted while it is open would take every write and lose it (P1), so after each fsync its name is
 * looked up again; while another file or none has that name, nothing is acknowledged.
 */
import { mkdir, open, readdir, stat, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  GENESIS_HASH,
  openRecord,
  sealRecord,
  type JournalEntry,
  type JournalRecord,
} from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import type { EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { MeasuredJournal } from '../../ports/journal.ts';

const SEGMENT_BYTES = 64 << 20;
/** Of an append that waits: entries per fsync, so that one write stays a few megabytes. */
const MAX_GROUP = 5000;

interface Waiting {
  readonly entries: readonly JournalEntry[];
  readonly resolve: (records: readonly JournalRecord[]) => void;
  readonly reject: (problem: Problem) => void;
}

/** Of what is owed. */
const NOBODY = { resolve: () => undefined, reject: () => undefined };

export class FileJournal implements MeasuredJournal {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #segmentBytes: number;
  #head: { seq: number; hash: string };
  #file: FileHandle;
  /** Where #file must be found. */
  #path: string;
  /** Length of the current file up to the end of the last durable record. */
  #size: number;
  /** Of the files before the current one. */
  #sizeBefore: number;
  #headAt: EpochMs | undefined;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: string | undefined;
  /** What is to be written before anything else. */
  #owed: JournalEntry[] = [];
  /** True after a failed write, until the file has been cut back to #size. */
  #dirty = false;
  #closed = false;

  private constructor(
    dir: string,
    clock: Clock,
    segmentBytes: number,
    head: { seq: number; hash: string },
    path: string,
    file: FileHandle,
    size: number,
    before: { readonly bytes: number; readonly headAt: EpochMs | undefined } = { bytes: 0, headAt: undefined },
  ) {
    this.#dir = dir;
    this.#clock = clock;
    this.#segmentBytes = segmentBytes;
    this.#head = head;
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.#sizeBefore = before.bytes;
    this.#headAt = before.headAt;
  }

  /**
   * Opens the journal, or begins one. The last file is checked whole; earlier ones by `audit verify`.
   * @param segmentBytes a new file is begun when the current one is longer.
   * @throws Problem `corrupt` for a broken chain, `config` when the directory cannot be used.
   */
  static async open(dir: string, clock: Clock, segmentBytes = SEGMENT_BYTES): Promise<FileJournal> {
    let segments: string[];
    try {
      await mkdir(dir, { recursive: true, mode: 0o750 });
      segments = await segmentsOf(dir);
    } catch (error) {
      throw new Problem('config', `cannot use the directory: ${(error as Error).message}`, {
        field: 'audit directory',
        value: dir,
      });
    }
    const last = segments.at(-1);
    if (last === undefined) {
      const file = await beginFile(dir, 1);
      await syncDirectory(dirname(dir));
      return new FileJournal(
        dir,
        clock,
        segmentBytes,
        { seq: 0, hash: GENESIS_HASH },
        join(dir, segmentName(1)),
        file,
        0,
      );
    }
    const path = join(dir, last);
    let { head, size, torn, lastAt } = await checkSegment(path, segments.length === 1);
    const before = segments.at(-2);
    if (size === 0 && before !== undefined) {
      // Killed between beginning this file and its first record: the chain goes on from the file before, which was whole.
      const previous = await checkSegment(join(dir, before), segments.length === 2);
      if (previous.torn.length > 0 || previous.head.seq !== head.seq) {
        throw new Problem('corrupt', `record ${previous.head.seq + 1} is missing`, { field: before, value: last });
      }
      head = previous.head;
      lastAt = previous.lastAt;
    }
    if (torn.length > 0) {
      await writeFile(`${path}.torn-${head.seq + 1}`, torn);
      await truncate(path, size);
    }
    let bytes = 0;
    for (const name of segments.slice(0, -1)) bytes += (await stat(join(dir, name))).size;
    const headAt = lastAt === undefined ? undefined : Date.parse(lastAt);
    const file = await open(path, 'a', 0o640);
    const journal = new FileJournal(dir, clock, segmentBytes, head, path, file, size, { bytes, headAt });
    if (torn.length > 0) {
      await journal.append([
        {
          type: 'journal.recovered',
          actor: 'journal',
          description: `an unfinished record of ${torn.length} bytes was cut off; it had not been acknowledged`,
        },
      ]);
    }
    return journal;
  }

  get head(): { readonly seq: number; readonly hash: string } {
    return this.#head;
  }

  get headAt(): EpochMs | undefined {
    return this.#headAt;
  }

  get bytes(): number {
    return this.#sizeBefore + this.#size;
  }

  get failure(): string | undefined {
    return this.#failure ?? (this.#owed.length === 0 ? undefined : 'signatures are still to be recorded');
  }

  owe(entries: readonly JournalEntry[]): void {
    this.#owed.push(...entries);
  }

  append(entries: readonly JournalEntry[]): Promise<readonly JournalRecord[]> {
    if (this.#closed) return Promise.reject(new Problem('unavailable', 'the journal is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    // Whoever appends in this turn of the event loop joins the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      let count = 0;
      let entries = 0;
      while (count < this.#waiting.length && entries < MAX_GROUP)
        entries += (this.#waiting[count++] as Waiting).entries.length;
      await this.#writeGroup(this.#waiting.splice(0, count));
    }
    // In the same turn as the last look at #waiting: an append that comes any later begins anew.
    this.#writing = undefined;
  }

  async #writeGroup(waiting: readonly Waiting[]): Promise<void> {
    const from = this.#head;
    const owed = this.#owed.slice();
    const group = owed.length === 0 ? waiting : [{ ...NOBODY, entries: owed }, ...waiting];
    let sealed: readonly SealedEntries[];
    let bytes: Buffer;
    try {
      sealed = sealGroup(group, from, new Date(this.#clock.now()).toISOString());
      bytes = Buffer.from(sealed.map(({ text }) => text).join(''));
      if (this.#dirty) {
        await this.#file.truncate(this.#size);
        this.#dirty = false;
      }
      if (this.#size > this.#segmentBytes) await this.#beginSegment();
      this.#dirty = true;
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
      await this.#requireInPlace();
      this.#dirty = false;
    } catch (error) {
      this.#failure = (error as Error).message;
      // Nothing of the group counts, even if the disk kept a part: it is cut off now, or else before the next write.
      if (this.#dirty) {
        await this.#file.truncate(this.#size).then(
          () => (this.#dirty = false),
          () => undefined,
        );
      }
      for (const { reject } of group) {
        reject(
          new Problem('unavailable', `the audit log cannot be written: ${this.#failure}`, {
            field: 'audit directory',
            value: this.#dir,
            rule: 'CT-5.4.6',
          }),
        );
      }
      return;
    }
    this.#failure = undefined;
    this.#owed.splice(0, owed.length);
    this.#size += bytes.length;
    const last = sealed.flatMap(({ records }) => records).at(-1);
    if (last !== undefined) {
      this.#head = { seq: last.seq, hash: last.hash };
      this.#headAt = Date.parse(last.at);
    }
    group.forEach(({ resolve }, i) => resolve((sealed[i] as SealedEntries).records));
  }

  /** @throws Error when what was written is not what the name leads to. */
  async #requireInPlace(): Promise<void> {
    const [held, named] = await Promise.all([this.#file.stat(), stat(this.#path).catch(() => undefined)]);
    if (named !== undefined && named.ino === held.ino && named.dev === held.dev) return;
    throw new Error(`${this.#path} was moved or deleted while the service runs; put it back`);
  }

  async #beginSegment(): Promise<void> {
    const path = join(this.#dir, segmentName(this.#head.seq + 1));
    // A file that is gone must not be left behind for a new one: its records would be missing from the chain.
    await this.#requireInPlace();
    const file = await beginFile(this.#dir, this.#head.seq + 1);
    await this.#file.close();
    this.#file = file;
    this.#path = path;
    this.#sizeBefore += this.#size;
    this.#size = 0;
  }

  read(after: number): AsyncIterable<JournalRecord> {
    return readJournal(this.#dir, after);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#file.close();
  }
}

/**
 * Records with seq > after. The chain is checked from the beginning of the file that holds the first of them; from record 1
 * when `after` is 0, which is a full verification. An unfinished last line of the last file is a record that is being written,
 * or was when the process died: it is none yet.
 */
export async function* readJournal(dir: string, after: number): AsyncGenerator<JournalRecord> {
  const segments = await segmentsOf(dir);
  const first = Math.max(
    0,
    segments.findLastIndex((name) => firstSeq(name) <= after + 1),
  );
  let expected: { seq: number; prev: string } | undefined = first === 0 ? { seq: 1, prev: GENESIS_HASH } : undefined;
  for (const name of segments.slice(first)) {
    let number = 0;
    for await (const { line, ended } of linesOf(join(dir, name))) {
      number += 1;
      const where = `${name} line ${number}`;
      if (!ended) {
        if (name === segments.at(-1)) return;
        throw new Problem('corrupt', 'the file ends within a record', { field: where });
      }
      const record = openRecord(line, expected ?? anchor(line, firstSeq(name), where), where);
      expected = { seq: record.seq + 1, prev: record.hash };
      if (record.seq > after) yield record;
    }
  }
}

/** Unlike node:readline, tells whether the last line was ended, and takes nothing but a newline for an end. */
async function* linesOf(path: string): AsyncGenerator<{ readonly line: string; readonly ended: boolean }> {
  const file = await open(path, 'r');
  try {
    let rest: Buffer[] = [];
    for await (const chunk of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        yield { line: Buffer.concat([...rest, chunk.subarray(start, end)]).toString(), ended: true };
        rest = [];
        start = end + 1;
      }
      if (start < chunk.length) rest.push(chunk.subarray(start));
    }
    if (rest.length > 0) yield { line: Buffer.concat(rest).toString(), ended: false };
  } finally {
    await file.close();
  }
}

const NEWLINE = 0x0a;

interface SealedEntries {
  readonly records: readonly JournalRecord[];
  readonly text: string;
}

function sealGroup(
  group: readonly { readonly entries: readonly JournalEntry[] }[],
  from: { readonly seq: number; readonly hash: string },
  at: string,
): readonly SealedEntries[] {
  let { seq, hash } = from;
  return group.map(({ entries }) => {
    let text = '';
    const records = entries.map((entry): JournalRecord => {
      const prev = hash;
      seq += 1;
      const sealed = sealRecord(entry, seq, at, prev);
      hash = sealed.hash;
      text += `${sealed.line}\n`;
      return { ...entry, seq, at, prev, hash };
    });
    return { records, text };
  });
}

/** A file whose name is durable: one that vanished with the power would take acknowledged records along (P1). */
async function beginFile(dir: string, seq: number): Promise<FileHandle> {
  const file = await open(join(dir, segmentName(seq)), 'a', 0o640);
  try {
    await syncDirectory(dir);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}

/** Name of the file that begins with this record. Twelve digits sort as text for longer than any CA lives. */
function segmentName(seq: number): string {
  return `${String(seq).padStart(12, '0')}.ndjson`;
}

export function firstSeq(name: string): number {
  return Number(name.slice(0, 12));
}

export async function segmentsOf(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    throw new Problem('unavailable', `the audit log cannot be read: ${(error as Error).message}`, { field: dir });
  });
  return names.filter((name) => /^\d{12}\.ndjson$/.test(name)).sort();
}

/** What the first record of a later file must be, as far as the file itself can say. */
function anchor(line: string, seq: number, where: string): { seq: number; prev: string } {
  const prev = /"prev":"([0-9a-f]{64})"/.exec(line.slice(0, 200))?.[1];
  if (prev === undefined)
    throw new Problem('corrupt', 'not a journal record', { field: where, value: line.slice(0, 40) });
  return { seq, prev };
}

async function checkSegment(
  path: string,
  isFirst: boolean,
): Promise<{ head: { seq: number; hash: string }; size: number; torn: Buffer; lastAt: string | undefined }> {
  const file = await open(path, 'r');
  const bytes = await file.readFile().finally(() => file.close());
  const seq = firstSeq(path.slice(-'000000000000.ndjson'.length));
  let expected: { seq: number; prev: string } | undefined = isFirst ? { seq: 1, prev: GENESIS_HASH } : undefined;
  let size = 0;
  let lastAt: string | undefined;
  for (let number = 1; ; number++) {
    const end = bytes.indexOf(NEWLINE, size);
    if (end === -1) break;
    const line = bytes.toString('utf8', size, end);
    const where = `${path} line ${number}`;
    const record = openRecord(line, expected ?? anchor(line, seq, where), where);
    expected = { seq: record.seq + 1, prev: record.hash };
    lastAt = record.at;
    size = end + 1;
  }
  const head =
    expected === undefined ? { seq: seq - 1, hash: GENESIS_HASH } : { seq: expected.seq - 1, hash: expected.prev };
  return { head, size, torn: bytes.subarray(size), lastAt };
}
