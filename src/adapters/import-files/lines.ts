/**
 * Splits chunks of bytes into lines, and lines into pages of rows. Lines end in LF or CRLF; the last one needs no end; a
 * UTF-8 byte order mark before the first is skipped. What cannot be a line of text (over MAX_LINE_BYTES, or with a NUL)
 * is rejected by its number, and the lines after it are read.
 */
import { Problem } from '../../core/problem.ts';
import type { ImportItem } from '../../core/import/row.ts';

export const MAX_LINE_BYTES = 64 * 1024;

/** What one line holds; undefined when it holds nothing to report. @throws Problem to refuse the whole file. */
export type LineReader = (text: string, line: number) => ImportItem | undefined;

/** @param encoding `latin1` where only ASCII fields are looked at (twice as fast), else `utf8`. */
export async function* linePages(
  chunks: AsyncIterable<Buffer>,
  readLine: LineReader,
  encoding: 'latin1' | 'utf8',
): AsyncGenerator<readonly ImportItem[]> {
  const lines = new LineSplitter(readLine, encoding);
  for await (const chunk of chunks) {
    const page = lines.push(chunk);
    if (page.length > 0) yield page;
  }
  const last = lines.end();
  if (last.length > 0) yield last;
}

class LineSplitter {
  readonly #readLine: LineReader;
  readonly #encoding: 'latin1' | 'utf8';
  /** The number of the line that is being read, from 1. */
  #line = 1;
  /** The unfinished line at the end of the last chunk; at most MAX_LINE_BYTES. */
  #carry: Buffer = EMPTY;
  /** True while the rest of an over-long line is being skipped. */
  #skipping = false;

  constructor(readLine: LineReader, encoding: 'latin1' | 'utf8') {
    this.#readLine = readLine;
    this.#encoding = encoding;
  }

  push(chunk: Buffer): readonly ImportItem[] {
    const page: ImportItem[] = [];
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      this.#finish(bytes, start, end, page);
      start = end + 1;
    }
    if (bytes.length - start > MAX_LINE_BYTES) {
      if (!this.#skipping) page.push(this.#reject(`a line longer than ${MAX_LINE_BYTES} bytes`));
      this.#skipping = true;
      this.#carry = EMPTY;
    } else {
      this.#carry = bytes.subarray(start);
    }
    return page;
  }

  end(): readonly ImportItem[] {
    const page: ImportItem[] = [];
    if (this.#carry.length > 0) this.#finish(this.#carry, 0, this.#carry.length, page);
    this.#carry = EMPTY;
    return page;
  }

  #finish(bytes: Buffer, from: number, end: number, page: ImportItem[]): void {
    const item = this.#read(bytes, from, end);
    if (item !== undefined) page.push(item);
    this.#line++;
  }

  #read(bytes: Buffer, from: number, end: number): ImportItem | undefined {
    if (this.#skipping) {
      this.#skipping = false;
      return undefined;
    }
    const start = this.#line === 1 && bytes.subarray(from, from + 3).equals(BYTE_ORDER_MARK) ? from + 3 : from;
    if (end - start > MAX_LINE_BYTES) return this.#reject(`a line longer than ${MAX_LINE_BYTES} bytes`);
    const stop = end > start && bytes[end - 1] === CR ? end - 1 : end;
    const text = bytes.toString(this.#encoding, start, stop);
    if (text.includes('\0')) return this.#reject('a NUL byte: not text in ASCII or UTF-8');
    return this.#readLine(text, this.#line);
  }

  #reject(message: string): ImportItem {
    return {
      rejected: { line: this.#line, problem: new Problem('invalid', message, { field: `line ${this.#line}` }) },
    };
  }
}

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
