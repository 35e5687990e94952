/**
 * Writes DER from the last octet to the first, so that every length is known when its header is written and nothing is
 * computed twice or moved. One writer keeps one buffer for its whole life; `finish` copies the result out and starts over.
 *
 * Usage: remember `length`, write the content back to front, then `wrap` everything written since.
 */
import { Problem } from '../problem.ts';
import type { EpochMs } from '../time.ts';
import type { Serial } from '../serial.ts';
import { GENERALIZED_TIME_OCTETS, putGeneralizedTime } from './time.ts';

export class DerWriter {
  #buffer: Buffer;
  /** First octet written so far; everything from here to the end of the buffer is output. */
  #at: number;

  constructor(capacity = 1024) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity);
    this.#at = capacity;
  }

  /** Octets written so far: the mark to hand to `wrap`. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  /** Octets that are DER already. */
  raw(octets: Uint8Array): void {
    this.#reserve(octets.length);
    this.#at -= octets.length;
    this.#buffer.set(octets, this.#at);
  }

  octet(value: number): void {
    this.#reserve(1);
    this.#buffer[--this.#at] = value;
  }

  /** Puts tag and minimal length in front of everything written since the mark. */
  wrap(tag: number, mark: number): void {
    const length = this.length - mark;
    this.#reserve(6);
    const buffer = this.#buffer;
    let at = this.#at;
    if (length < 0x80) {
      buffer[--at] = length;
    } else {
      let octets = 0;
      for (let rest = length; rest > 0; rest >>>= 8) {
        buffer[--at] = rest & 0xff;
        octets++;
      }
      buffer[--at] = 0x80 | octets;
    }
    buffer[--at] = tag;
    this.#at = at;
  }

  /** GeneralizedTime with its header: `18 0F` and fifteen digits. */
  generalizedTime(ms: EpochMs): void {
    this.#reserve(2 + GENERALIZED_TIME_OCTETS);
    this.#at -= GENERALIZED_TIME_OCTETS;
    putGeneralizedTime(this.#buffer, this.#at, ms);
    this.#buffer[--this.#at] = GENERALIZED_TIME_OCTETS;
    this.#buffer[--this.#at] = 0x18;
  }

  /** INTEGER with the serial's content octets as the certificate wrote them (T-12). */
  serial(serial: Serial): void {
    const octets = serial.length >> 1;
    this.#reserve(2 + octets);
    this.#at -= octets;
    this.#buffer.write(serial, this.#at, 'hex');
    this.#buffer[--this.#at] = octets;
    this.#buffer[--this.#at] = 0x02;
  }

  /** The DER written, in a buffer of its own. The writer is empty again. */
  finish(): Buffer {
    return Buffer.from(this.draft());
  }

  /** The DER written, where it was written: what is written next goes over it. The writer is empty again. */
  draft(): Buffer {
    const der = this.#buffer.subarray(this.#at);
    this.#at = this.#buffer.length;
    return der;
  }

  #reserve(octets: number): void {
    if (octets <= this.#at) return;
    const used = this.length;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, used + octets));
    this.#buffer.copy(grown, grown.length - used, this.#at);
    this.#at = grown.length - used;
    this.#buffer = grown;
  }
}

/** One element: tag, minimal length, the parts. For start-up and files; answering uses DerWriter. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([header(tag, length), ...parts]);
}

/** Tag and minimal length (X.690 §10.1) of an element whose content is `length` octets, below 2^31. */
export function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.of(tag, length);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) octets.unshift(rest & 0xff);
  return Buffer.of(tag, 0x80 | octets.length, ...octets);
}

/** INTEGER of a non-negative number. @throws Problem `invalid` for a negative one. */
export function integer(value: bigint): Buffer {
  if (value < 0n) throw new Problem('invalid', 'a negative INTEGER is not written here', { value: String(value) });
  const hex = value.toString(16);
  const even = hex.length % 2 ? `0${hex}` : hex;
  return tlv(0x02, Buffer.from(parseInt(even.slice(0, 2), 16) & 0x80 ? `00${even}` : even, 'hex'));
}

/** Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE (so absent, C-31), extnValue OCTET STRING }. */
export function extension(oid: Uint8Array, critical: boolean, value: Uint8Array): Buffer {
  const parts = [tlv(0x06, oid)];
  if (critical) parts.push(Buffer.from([0x01, 0x01, 0xff]));
  return tlv(0x30, ...parts, tlv(0x04, value));
}
