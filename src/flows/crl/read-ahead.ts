/** A stretch of a source piece by piece: while one is worked on the next is read already, on a thread of the pool. */
import type { CrlSource } from '../../ports/crl-archive.ts';

/** Read, hashed and written between two turns of the event loop: half a millisecond of hashing. */
export const PIECE_OCTETS = 512 * 1024;

export class ReadAhead {
  readonly #source: CrlSource;
  readonly #to: number;
  readonly #room: number;
  readonly #memory: [Buffer, Buffer] | undefined;
  #turn = 0;
  #next: number;
  #ahead: Promise<Buffer> | undefined;

  /**
   * @param room octets to leave free before each piece.
   * @param kept whether pieces stay as they are; else the memory of one is used again for the next but one, because memory that is
   *   taken and given back piece by piece costs more than reading.
   */
  constructor(source: CrlSource, from: number, to: number, room = 0, kept = false) {
    this.#source = source;
    this.#next = from;
    this.#to = to;
    this.#room = room;
    const octets = room + Math.max(0, Math.min(PIECE_OCTETS, to - from));
    this.#memory = kept ? undefined : [Buffer.allocUnsafeSlow(octets), Buffer.allocUnsafeSlow(octets)];
  }

  /** Offset in the source of what `next` gives. */
  get at(): number {
    return this.#next;
  }

  get done(): boolean {
    return this.#next >= this.#to;
  }

  /** The next piece, with the room in front of it. @throws Problem `corrupt` */
  async next(): Promise<Buffer> {
    const octets = await (this.#ahead ?? this.#read());
    this.#ahead = undefined;
    this.#turn ^= 1;
    this.#next += octets.length - this.#room;
    return octets;
  }

  /** Begins to read what follows, into the memory of the piece before this one. */
  ahead(): void {
    if (this.done || this.#ahead !== undefined) return;
    this.#ahead = this.#read();
    // Who wants it is told.
    this.#ahead.catch(() => undefined);
  }

  /** What lies before is not wanted. */
  async skipTo(offset: number): Promise<void> {
    if (offset <= this.#next) return;
    // It must not reach the memory later.
    await this.#ahead;
    this.#ahead = undefined;
    this.#next = offset;
  }

  async #read(): Promise<Buffer> {
    const length = Math.min(PIECE_OCTETS, this.#to - this.#next);
    const target = this.#memory?.[this.#turn as 0 | 1] ?? Buffer.allocUnsafeSlow(this.#room + length);
    const into = target.subarray(this.#room, this.#room + length);
    const octets = await this.#source.read(this.#next, length, into);
    if (octets.buffer !== into.buffer || octets.byteOffset !== into.byteOffset) octets.copy(into);
    return target.subarray(0, this.#room + length);
  }
}
