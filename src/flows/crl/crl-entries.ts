/** A CRL that is too large to be in memory: what stands around its entries, and the entries in their order, a piece at a time. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CRL_EDGE_OCTETS, endOfElement, locateEntries, readFrame } from '../../core/crl/crl-frame.ts';
import type { CrlFrame, CrlRegions } from '../../core/crl/crl-frame.ts';
import { CrlEntryReader, type CrlEntryView } from '../../core/crl/crl-reader.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import type { CrlMark } from './crl-marks.ts';
import { PIECE_OCTETS, ReadAhead } from './read-ahead.ts';

/** Less than this is left of a piece: the next one is read. Larger than any entry, or the CRL is refused. */
const SHORT_OCTETS = 64 * 1024;
/** Compared at once where two CRLs are likely to be equal. */
const BLOCK_OCTETS = 4096;

export interface OpenedCrl {
  readonly source: CrlSource;
  readonly regions: CrlRegions;
  readonly frame: CrlFrame;
  /** The octets before the entries, and those behind. */
  readonly head: Buffer;
  readonly tail: Buffer;
}

/** @throws Problem `corrupt` for what is no CRL. */
export async function openedCrl(source: CrlSource): Promise<OpenedCrl> {
  const edge = await source.read(0, Math.min(CRL_EDGE_OCTETS, source.octets));
  const regions = locateEntries(edge, source.octets);
  const tail = await source.read(regions.entriesEnd, source.octets - regions.entriesEnd);
  const frame = readFrame(edge, regions, tail);
  // The entries are read with their pieces.
  return { source, regions, frame, head: edge.subarray(0, regions.entriesAt), tail };
}

/** Goes through the entries once, from the first to the last. */
export class EntryCursor {
  /** Octets in memory; the next entry begins at `at`, and `end` of them are there. */
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  readonly #pieces: ReadAhead;
  readonly #seen: (octets: Buffer) => void;
  #reader = new CrlEntryReader(this.bytes);
  readonly #entriesAt: number;
  readonly #entriesEnd: number;

  /**
   * @param seen is given all octets of the entries once, in order.
   * @param kept whether what was peeked at must outlive the next `fill`.
   */
  constructor(
    source: CrlSource,
    { entriesAt, entriesEnd }: CrlRegions,
    seen: (octets: Buffer) => void,
    kept: 'kept' | 'passed' = 'passed',
  ) {
    this.#pieces = new ReadAhead(source, entriesAt, entriesEnd, SHORT_OCTETS, kept === 'kept');
    this.#entriesAt = entriesAt;
    this.#entriesEnd = entriesEnd;
    this.#seen = seen;
  }

  /** Of a list without entries. */
  static none(): EntryCursor {
    const read = (): Promise<Buffer> => Promise.resolve(Buffer.alloc(0));
    const nothing = { octets: 0, tbsAt: 0, tbsEnd: 0, listAt: 0, entriesAt: 0, entriesEnd: 0 };
    return new EntryCursor({ octets: 0, read }, nothing, () => undefined);
  }

  /** No entry is left. */
  get done(): boolean {
    return this.at === this.bytes.length && this.#pieces.done;
  }

  /** Whether `fill` must be called before the next entry can be looked at. */
  get short(): boolean {
    return this.bytes.length - this.at < SHORT_OCTETS && !this.#pieces.done;
  }

  /** Offset in the file of the next entry. */
  get offset(): number {
    return this.#pieces.at - (this.bytes.length - this.at);
  }

  /** The same from the first entry on. */
  get place(): number {
    return this.offset - this.#entriesAt;
  }

  async fill(): Promise<void> {
    const octets = await this.#pieces.next();
    await nextTurn();
    this.#seen(octets.subarray(SHORT_OCTETS));
    const rest = this.bytes.length - this.at;
    this.bytes.copy(octets, SHORT_OCTETS - rest, this.at);
    this.#pieces.ahead();
    this.bytes = octets.subarray(SHORT_OCTETS - rest);
    this.#reader = new CrlEntryReader(this.bytes);
    this.at = 0;
  }

  /** To an entry further on, without a look at what lies before. Not with a `seen` that wants everything. */
  async jump(place: number): Promise<void> {
    for (let missing = place - this.place; missing > 0; missing = place - this.place) {
      const there = this.bytes.length - this.at;
      this.at += Math.min(missing, there);
      if (missing <= there) return;
      // A piece that is read ahead already is not read again for its second half.
      if (missing - there < PIECE_OCTETS) await this.fill();
      else {
        this.bytes = this.bytes.subarray(0, 0);
        this.at = 0;
        await this.#pieces.skipTo(this.#entriesAt + place);
      }
    }
  }

  /** The next entry; the cursor stays before it. @throws Problem `corrupt` */
  peek(): CrlEntryView {
    return this.#reader.read(this.at, this.bytes.length);
  }

  /** To behind the next entry. @throws Problem `corrupt` */
  skip(): void {
    const end = endOfElement(this.bytes, this.at);
    if (!(end <= this.bytes.length))
      throw new Problem('corrupt', `CRL: no entry at octet ${this.offset}`, { field: 'revokedCertificates' });
    this.at = end;
  }

  /** The octets of the next entry, which was peeked at. */
  octets(): Buffer {
    return this.bytes.subarray(this.at, endOfElement(this.bytes, this.at));
  }

  /**
   * Moves over the entries in memory whose serial is less, octet by octet.
   * @returns 0 at the entry with this serial, 1 at one with a greater; undefined: more must be read to know.
   */
  seek(serial: Buffer): 0 | 1 | undefined {
    const { bytes } = this;
    // What must not be looked at before the next piece is there. At the end nothing is left to read.
    const stop = this.#pieces.done ? bytes.length : bytes.length - SHORT_OCTETS + 1;
    while (this.at < stop) {
      const order = compareSerial(bytes, this.at, serial);
      if (order >= 0) return order === 0 ? 0 : 1;
      this.skip();
    }
    return undefined;
  }

  /** Reads what is left, so that `seen` has had everything. */
  async drain(): Promise<void> {
    while (!this.#pieces.done) {
      this.at = this.bytes.length;
      await this.fill();
    }
    this.at = this.bytes.length;
  }
}

/** Equal entries, and the serials at both ends. */
export interface Stretch {
  readonly count: number;
  readonly first: string;
  readonly last: string;
}

/**
 * Moves both cursors over the entries in memory that are octet for octet the same. From one entry boundary on, equal octets are
 * equal entries: a boundary in one is a boundary in the other.
 * @param marked gives the marks of `a` from one place to another; up to the last of them no entry is looked at.
 * @param count entries of `a` so far.
 * @returns undefined when there is none.
 */
export function skipEqual(
  a: EntryCursor,
  b: EntryCursor,
  marked: (from: number, to: number) => readonly CrlMark[],
  count: number,
): (Stretch & { readonly marks: readonly CrlMark[] }) | undefined {
  const equal = equalOctets(a, b);
  const { bytes, at: start } = b;
  const { place } = a;
  const marks = marked(place, place + equal);
  const mark = marks.at(-1);
  if (mark !== undefined) {
    a.at += mark.place - place;
    b.at += mark.place - place;
    return { count: mark.count - count, first: serialAt(bytes, start), last: mark.last, marks };
  }
  const limit = start + equal;
  let at = start;
  let last = at;
  let walked = 0;
  for (let end = endOfElement(bytes, at); end <= limit; end = endOfElement(bytes, at)) {
    last = at;
    at = end;
    walked += 1;
    if (at === limit) break;
  }
  if (walked === 0) return undefined;
  a.at += at - start;
  b.at = at;
  return { count: walked, first: serialAt(bytes, start), last: serialAt(bytes, last), marks };
}

function equalOctets(a: EntryCursor, b: EntryCursor): number {
  const most = Math.min(a.bytes.length - a.at, b.bytes.length - b.at);
  let equal = 0;
  while (equal < most) {
    const length = Math.min(BLOCK_OCTETS, most - equal);
    const [atA, atB] = [a.at + equal, b.at + equal];
    if (a.bytes.compare(b.bytes, atB, atB + length, atA, atA + length) !== 0) break;
    equal += length;
  }
  const stop = Math.min(most, equal + BLOCK_OCTETS);
  while (equal < stop && a.bytes[a.at + equal] === b.bytes[b.at + equal]) equal += 1;
  return equal;
}

/** Hex of the serial's content, of an entry that has passed the reader. */
function serialAt(bytes: Buffer, at: number): string {
  const content = (bytes[at + 1] as number) < 0x80 ? at + 2 : at + 2 + ((bytes[at + 1] as number) & 0x7f);
  return bytes.toString('hex', content + 2, content + 2 + (bytes[content + 1] as number));
}

/** As Buffer.compare, of the serial of the entry at `at`. */
function compareSerial(bytes: Buffer, at: number, serial: Buffer): number {
  const content = (bytes[at + 1] as number) < 0x80 ? at + 2 : at + 2 + ((bytes[at + 1] as number) & 0x7f);
  const length = bytes[content + 1] as number;
  const shared = Math.min(length, serial.length);
  for (let i = 0; i < shared; i++) {
    const difference = (bytes[content + 2 + i] as number) - (serial[i] as number);
    if (difference !== 0) return difference;
  }
  return length - serial.length;
}
