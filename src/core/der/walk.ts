/**
 * DER by offsets: definite, minimal lengths, single-octet tags. For structures of which a reader wants slices here and there, as
 * certificates are; what is read field by field is read with DerDocument.
 */
import { Problem } from '../problem.ts';

export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;

export interface Element {
  readonly tag: number;
  /** Offset of the tag, of the content, and of what follows. */
  readonly from: number;
  readonly start: number;
  readonly end: number;
}

/** The elements of one buffer. Each method throws Problem `invalid`, naming the field and the offset. */
export class Walk {
  readonly bytes: Buffer;
  readonly #field: string;

  constructor(bytes: Buffer, field: string) {
    this.bytes = bytes;
    this.#field = field;
  }

  refuse(offset: number, message: string, rule = 'X.690 §10'): never {
    throw new Problem('invalid', `${message}, at octet ${offset}`, { field: this.#field, rule });
  }

  any(from: number, limit: number): Element {
    const tag = this.bytes[from];
    let length = this.bytes[from + 1];
    if (tag === undefined || length === undefined) this.refuse(from, 'ends too early');
    let start = from + 2;
    if (length >= 0x80) {
      const octets = length & 0x7f;
      // 80 is the indefinite form; four octets would be a certificate of more than 16 MB.
      if (octets === 0 || octets > 3 || start + octets > limit) this.refuse(from, 'length is indefinite or too large');
      length = this.bytes.readUIntBE(start, octets);
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) this.refuse(from, 'length is not minimal');
      start += octets;
    }
    if (start + length > limit) this.refuse(from, 'is longer than what contains it');
    return { tag, from, start, end: start + length };
  }

  next(from: number, limit: number, tag: number): Element {
    const element = this.any(from, limit);
    if (element.tag !== tag) this.refuse(from, `expected tag ${tag.toString(16)}, found ${element.tag.toString(16)}`);
    return element;
  }

  only(from: number, limit: number, tag: number): Element {
    const element = this.next(from, limit, tag);
    if (element.end !== limit) this.refuse(element.end, 'unexpected octets after it');
    return element;
  }

  members(parent: Element): readonly Element[] {
    const members: Element[] = [];
    for (let at = parent.start; at < parent.end; at = (members.at(-1) as Element).end)
      members.push(this.any(at, parent.end));
    return members;
  }

  /** The octets of a BIT STRING that uses all its bits, as keys and signatures do. */
  bits(element: Element): Buffer {
    if (this.bytes[element.start] !== 0) this.refuse(element.start, 'a BIT STRING with unused bits, or empty');
    return this.bytes.subarray(element.start + 1, element.end);
  }
}
