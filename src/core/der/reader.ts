/**
 * A strict DER cursor over octets that somebody else wrote (X.690 §10: definite and minimal lengths, nothing after the
 * end). It never throws and never copies: each step says whether it succeeded, and `fault` says what was wrong, so that the
 * request path pays for no exception and the file readers can name the offset.
 *
 * Tags are single octets (no type that we speak has a tag number over 30) and elements are at most 2^31 octets long.
 */
export type DerFault =
  | 'truncated' // the element runs past the end of what contains it
  | 'unexpected tag'
  | 'indefinite length' // X.690 §10.1
  | 'length not minimal' // X.690 §10.1
  | 'too long'
  | 'reserved or multi-octet tag'
  | 'trailing octets'; // T-56

export class DerCursor {
  readonly bytes: Uint8Array;
  /** Where the next element starts. */
  position: number;
  /** Where the element that contains the cursor ends. */
  end: number;
  /** The element read last: first octet of its header, first octet of its content, octet after its content. */
  header = 0;
  start = 0;
  stop = 0;
  /** Why the last step failed. `position` stays at the element that failed. */
  fault: DerFault | undefined = undefined;

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** Tag octet of the next element, or -1 at the end. */
  get tag(): number {
    return this.position < this.end ? (this.bytes[this.position] as number) : -1;
  }

  get atEnd(): boolean {
    return this.position === this.end;
  }

  /** Reads one element that must have this tag octet, and moves behind it. */
  next(tag: number): boolean {
    if (this.position < this.end && this.bytes[this.position] !== tag) return this.#fail('unexpected tag');
    return this.any();
  }

  /** Reads one element with any tag, and moves behind it. Its content is not looked at. */
  any(): boolean {
    const { bytes, end } = this;
    const at = this.position;
    if (at + 2 > end) return this.#fail('truncated');
    const tag = bytes[at] as number;
    if (tag === 0 || (tag & 0x1f) === 0x1f) return this.#fail('reserved or multi-octet tag');
    let length = bytes[at + 1] as number;
    let start = at + 2;
    if (length > 0x7f) {
      if (length === 0x80) return this.#fail('indefinite length');
      const octets = length & 0x7f;
      if (octets > 4) return this.#fail('too long');
      if (start + octets > end) return this.#fail('truncated');
      if (bytes[start] === 0) return this.#fail('length not minimal');
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + (bytes[start + i] as number);
      if (length < 0x80) return this.#fail('length not minimal');
      if (length > 0x7fff_ffff) return this.#fail('too long');
      start += octets;
    }
    if (length > end - start) return this.#fail('truncated');
    this.header = at;
    this.start = start;
    this.stop = start + length;
    this.position = this.stop;
    return true;
  }

  /** Steps into one element with this tag. Returns the outer end to hand to `leave`, or -1. */
  enter(tag: number): number {
    if (!this.next(tag)) return -1;
    const outer = this.end;
    this.position = this.start;
    this.end = this.stop;
    return outer;
  }

  /** Steps out again; false when the element holds more than was read. */
  leave(outer: number): boolean {
    if (this.position !== this.end) return this.#fail('trailing octets');
    this.end = outer;
    return true;
  }

  /** Content of the element read last, as a view. */
  content(): Uint8Array {
    return this.bytes.subarray(this.start, this.stop);
  }

  /** The element read last with its header, as a view. */
  element(): Uint8Array {
    return this.bytes.subarray(this.header, this.stop);
  }

  /** Whether the content of the element read last equals these octets. */
  contentIs(octets: Uint8Array): boolean {
    return equalAt(this.bytes, this.start, this.stop, octets);
  }

  /** Length of the element read last's content. */
  get length(): number {
    return this.stop - this.start;
  }

  #fail(fault: DerFault): false {
    this.fault = fault;
    return false;
  }
}

/** Whether `bytes[start..stop)` equals `octets`. A loop, because the runs compared here are 3 to 40 octets. */
export function equalAt(bytes: Uint8Array, start: number, stop: number, octets: Uint8Array): boolean {
  const length = octets.length;
  if (stop - start !== length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== octets[i]) return false;
  return true;
}

/** X.690 §8.3.2: an INTEGER or ENUMERATED has content, and its first nine bits are not all equal. */
export function isMinimalInteger(content: Uint8Array): boolean {
  const [first, second] = content;
  if (first === undefined) return false;
  if (second === undefined) return true;
  return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
}

/** X.690 §8.19.2: an OBJECT IDENTIFIER has content, ends with a whole subidentifier, and none begins with 80. */
export function isObjectIdentifier(content: Uint8Array): boolean {
  let begins = true;
  for (const octet of content) {
    if (begins && octet === 0x80) return false;
    begins = octet < 0x80;
  }
  return begins && content.length > 0;
}
