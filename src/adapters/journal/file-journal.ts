/**
 * The journal as files: `<dir>/<first seq, 12 digits>.ndjson`, one record a line (core/journal-record.ts), a new file after
 * SEGMENT_BYTES. Records that are appended while an fsync is under way share the next one.
 *
 * Crash table: a process killed while writing leaves a last line without its newline, or a part of one. Nothing was
 * acknowledged on its strength, because append resolves after the fsync: the tail is cut off at open, kept beside the journal
 * as `.torn`, and the cut is itself a record. A broken line anywhere else is no crash but damage: open refuses.
 */
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { GENESIS_HASH, openRecord, sealRecord, type JournalEntry, type JournalRecord } from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';

const SEGMENT_BYTES = 64 << 20;
/** Of an append that waits: entries per fsync, so that one write stays a few megabytes. */
const MAX_GROUP = 5000;

interface Waiting {
  readonly entries: readonly JournalEntry[];
  readonly resolve: (records: readonly JournalRecord[]) => void;
  readonly reject: (problem: Problem) => void;
}

export class FileJournal implements Journal {
  readonly #dir: string;
  readonly #clock: Clock;
  #head: { seq: number; hash: string };
  #file: FileHandle;
  /** Length of the current file up to the end of the last durable record. */
  #size: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: string | undefined;
  /** True after a failed write, until the file has been cut back to #size. */
  #dirty = false;
  #closed = false;

  private constructor(dir: string, clock: Clock, head: { seq: number; hash: string }, file: FileHandle, size: number) {
    this.#dir = dir;
    this.#clock = clock;
    this.#head = head;
    this.#file = file;
    this.#size = size;
  }

  /**
   * Opens the journal, or begins one. The last file is checked whole; earlier ones by `audit verify`.
   * @throws Problem `corrupt` for a broken chain, `config` when the directory cannot be used.
   */
  static async open(dir: string, clock: Clock): Promise<FileJournal> {
    let segments: string[];
    try {
      await mkdir(dir, { recursive: true, mode: 0o750 });
      segments = await segmentsOf(dir);
    } catch (error) {
      throw new Problem('config', `cannot use the directory: ${(error as Error).message}`, { field: 'audit directory', value: dir });
    }
    const last = segments.at(-1);
    if (last === undefined) {
      return new FileJournal(dir, clock, { seq: 0, hash: GENESIS_HASH }, await open(join(dir, segmentName(1)), 'a', 0o640), 0);
    }
    const path = join(dir, last);
    let { head, size, torn } = await checkSegment(path, segments.length === 1);
    const before = segments.at(-2);
    if (size === 0 && before !== undefined) {
      // Killed between beginning this file and its first record: the chain goes on from the file before.
      head = (await checkSegment(join(dir, before), segments.length === 2)).head;
    }
    if (torn.length > 0) {
      await writeFile(`${path}.torn-${head.seq + 1}`, torn);
      await truncate(path, size);
    }
    const journal = new FileJournal(dir, clock, head, await open(path, 'a', 0o640), size);
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

  get failure(): string | undefined {
    return this.#failure;
  }

  append(entries: readonly JournalEntry[]): Promise<readonly JournalRecord[]> {
    if (this.#closed) return Promise.reject(new Problem('unavailable', 'the journal is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, resolve, reject });
      this.#writing ??= this.#drain().finally(() => (this.#writing = undefined));
    });
  }

  async #drain(): Promise<void> {
    // Whoever appends in this turn of the event loop joins the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      let count = 0;
      let entries = 0;
      while (count < this.#waiting.length && entries < MAX_GROUP) entries += (this.#waiting[count++] as Waiting).entries.length;
      await this.#writeGroup(this.#waiting.splice(0, count));
    }
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const at = new Date(this.#clock.now()).toISOString();
    let { seq, hash } = this.#head;
    const lines: string[] = [];
    const sealed = group.map(({ entries }) =>
      entries.map((entry): JournalRecord => {
        const prev = hash;
        seq += 1;
        const next = sealRecord(entry, seq, at, prev);
        hash = next.hash;
        lines.push(next.line);
        return { ...entry, seq, at, prev, hash };
      }),
    );
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    try {
      if (this.#dirty) {
        await this.#file.truncate(this.#size);
        this.#dirty = false;
      }
      if (this.#size > SEGMENT_BYTES) await this.#beginSegment();
      this.#dirty = true;
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
      this.#dirty = false;
    } catch (error) {
      this.#failure = (error as Error).message;
      // Nothing of the group counts, even if the disk kept a part: it is cut off now, or else before the next write.
      if (this.#dirty) await this.#file.truncate(this.#size).then(() => (this.#dirty = false), () => undefined);
      for (const { reject } of group) {
        reject(new Problem('unavailable', `the audit log cannot be written: ${this.#failure}`, { field: 'audit directory', value: this.#dir, rule: 'CT-5.4.6' }));
      }
      return;
    }
    this.#failure = undefined;
    this.#size += bytes.length;
    this.#head = { seq, hash };
    group.forEach(({ resolve }, i) => resolve(sealed[i] as JournalRecord[]));
  }

  async #beginSegment(): Promise<void> {
    const file = await open(join(this.#dir, segmentName(this.#head.seq + 1)), 'a', 0o640);
    const directory = await open(this.#dir, 'r');
    await directory.sync().finally(() => directory.close());
    await this.#file.close();
    this.#file = file;
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
 * when `after` is 0, which is a full verification.
 */
export async function* readJournal(dir: string, after: number): AsyncGenerator<JournalRecord> {
  const segments = await segmentsOf(dir);
  const first = Math.max(0, segments.findLastIndex((name) => firstSeq(name) <= after + 1));
  let expected: { seq: number; prev: string } | undefined = first === 0 ? { seq: 1, prev: GENESIS_HASH } : undefined;
  for (const name of segments.slice(first)) {
    let number = 0;
    const input = createReadStream(join(dir, name));
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      number += 1;
      const where = `${name} line ${number}`;
      const record = openRecord(line, expected ?? anchor(line, firstSeq(name), where), where);
      expected = { seq: record.seq + 1, prev: record.hash };
      if (record.seq > after) yield record;
    }
  }
}

/** Name of the file that begins with this record. Twelve digits sort as text for longer than any CA lives. */
function segmentName(seq: number): string {
  return `${String(seq).padStart(12, '0')}.ndjson`;
}

function firstSeq(name: string): number {
  return Number(name.slice(0, 12));
}

async function segmentsOf(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => /^\d{12}\.ndjson$/.test(name)).sort();
}

/** What the first record of a later file must be, as far as the file itself can say. */
function anchor(line: string, seq: number, where: string): { seq: number; prev: string } {
  const prev = /"prev":"([0-9a-f]{64})"/.exec(line.slice(0, 200))?.[1];
  if (prev === undefined) throw new Problem('corrupt', 'not a journal record', { field: where, value: line.slice(0, 40) });
  return { seq, prev };
}

async function checkSegment(
  path: string,
  isFirst: boolean,
): Promise<{ head: { seq: number; hash: string }; size: number; torn: Buffer }> {
  const file = await open(path, 'r');
  const bytes = await file.readFile().finally(() => file.close());
  const seq = firstSeq(path.slice(-'000000000000.ndjson'.length));
  let expected: { seq: number; prev: string } | undefined = isFirst ? { seq: 1, prev: GENESIS_HASH } : undefined;
  let size = 0;
  for (let number = 1; ; number++) {
    const end = bytes.indexOf(0x0a, size);
    if (end === -1) break;
    const line = bytes.toString('utf8', size, end);
    const where = `${path} line ${number}`;
    const record = openRecord(line, expected ?? anchor(line, seq, where), where);
    expected = { seq: record.seq + 1, prev: record.hash };
    size = end + 1;
  }
  const head = expected === undefined ? { seq: seq - 1, hash: GENESIS_HASH } : { seq: expected.seq - 1, hash: expected.prev };
  return { head, size, torn: bytes.subarray(size) };
}
