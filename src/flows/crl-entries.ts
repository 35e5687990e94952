/** A CRL that is too large to be in memory: what stands around its entries, and the entries in their order, a piece at a time. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CRL_EDGE_OCTETS, endOfElement, locateEntries, readFrame } from '../core/crl/crl-frame.ts';
import type { CrlFrame, CrlRegions } from '../core/crl/crl-frame.ts';
import { CrlEntryReader, type CrlEntryView } from '../core/crl/crl-reader.ts';
import { Problem } from '../core/problem.ts';
import type { CrlSource } from '../ports/crl-archive.ts';

/** Read, hashed and written between two turns of the event loop: half a millisecond of hashing. */
export const PIECE_OCTETS = 512 * 1024;
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
  readonly #source: CrlSource;
  readonly #seen: (octets: Buffer) => void;
  #reader = new CrlEntryReader(this.bytes);
  /** Offset in the file of what is read next, and where the entries end. */
  #next: number;
  readonly #entriesEnd: number;

  /** @param seen is given all octets of the entries once, in order. */
  constructor(source: CrlSource, { entriesAt, entriesEnd }: CrlRegions, seen: (octets: Buffer) => void) {
    this.#source = source;
    this.#next = entriesAt;
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
    return this.at === this.bytes.length && this.#next === this.#entriesEnd;
  }

  /** Whether `fill` must be called before the next entry can be looked at. */
  get short(): boolean {
    return this.bytes.length - this.at < SHORT_OCTETS && this.#next < this.#entriesEnd;
  }

  /** Offset in the file of the next entry. */
  get offset(): number {
    return this.#next - (this.bytes.length - this.at);
  }

  async fill(): Promise<void> {
    const piece = await this.#source.read(this.#next, Math.min(PIECE_OCTETS, this.#entriesEnd - this.#next));
    await nextTurn();
    this.#seen(piece);
    this.bytes = Buffer.concat([this.bytes.subarray(this.at), piece]);
    this.#reader = new CrlEntryReader(this.bytes);
    this.at = 0;
    this.#next += piece.length;
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
    const stop = this.#next < this.#entriesEnd ? bytes.length - SHORT_OCTETS + 1 : bytes.length;
    while (this.at < stop) {
      const order = compareSerial(bytes, this.at, serial);
      if (order >= 0) return order === 0 ? 0 : 1;
      this.skip();
    }
    return undefined;
  }

  /** Reads what is left, so that `seen` has had everything. */
  async drain(): Promise<void> {
    while (this.#next < this.#entriesEnd) {
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
 * @returns undefined when there is none.
 */
export function skipEqual(a: EntryCursor, b: EntryCursor): Stretch | undefined {
  const limit = b.at + equalOctets(a, b);
  const { bytes } = b;
  const start = b.at;
  let at = start;
  let last = at;
  let count = 0;
  for (let end = endOfElement(bytes, at); end <= limit; end = endOfElement(bytes, at)) {
    last = at;
    at = end;
    count += 1;
    if (at === limit) break;
  }
  if (count === 0) return undefined;
  a.at += at - start;
  b.at = at;
  return { count, first: serialAt(bytes, start), last: serialAt(bytes, last) };
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
