/**
 * Serial numbers, in one canonical form: the content octets of the certificate's DER INTEGER as lower-case hex.
 *
 * RFC 5280 §4.1.2.2: positive, at most 20 octets of content (a leading 00 counts). Compared as integers, written as the
 * certificate wrote them (T-12), so the only accepted value is minimal and non-negative. Never a JavaScript number.
 */
import { Problem } from './problem.ts';

declare const serialBrand: unique symbol;
/** Lower-case hex of the minimal, non-negative INTEGER content: `01`, `00ff`, at most 40 digits. */
export type Serial = string & { readonly [serialBrand]: true };

/** RFC 5280 §4.1.2.2: "not longer than 20 octets", the leading 00 included. */
export const MAX_SERIAL_OCTETS = 20;

/** The serial with these INTEGER content octets; undefined when they are empty, negative, not minimal or too long. */
export function serialFromInteger(content: Uint8Array): Serial | undefined {
  const first = content[0];
  if (first === undefined || content.length > MAX_SERIAL_OCTETS) return undefined;
  if (first & 0x80) return undefined; // negative: RFC 5280 §4.1.2.2 wants a positive integer
  if (first === 0 && content.length > 1 && !((content[1] as number) & 0x80)) return undefined; // X.690 §8.3.2: minimal
  const octets = content instanceof Buffer ? content : Buffer.from(content.buffer, content.byteOffset, content.length);
  return octets.toString('hex') as Serial;
}

/**
 * The serial that a person or a program wrote as hex: any case, with or without leading zeros or `0x`, colons between
 * octets allowed. `ff` and `00ff` are the same serial, because a negative one cannot exist.
 * @throws Problem `invalid` naming the text.
 */
export function serialFromHex(text: string, field = 'serial'): Serial {
  if (text.length > 128)
    throw new Problem('invalid', 'longer than any serial number', { field, value: text, rule: 'RFC 5280 §4.1.2.2' });
  const digits = text.replace(/^0x/i, '').replace(/:/g, '').toLowerCase();
  if (!/^[0-9a-f]+$/.test(digits)) {
    throw new Problem('invalid', 'a serial number is written in hexadecimal digits', {
      field,
      value: text,
      rule: 'RFC 5280 §4.1.2.2',
    });
  }
  const magnitude = digits.replace(/^0+/, '');
  const even = magnitude.length === 0 ? '00' : magnitude.length % 2 ? `0${magnitude}` : magnitude;
  const content = parseInt(even.slice(0, 2), 16) & 0x80 ? `00${even}` : even;
  if (content.length > 2 * MAX_SERIAL_OCTETS) {
    throw new Problem('invalid', `longer than ${MAX_SERIAL_OCTETS} octets`, {
      field,
      value: text,
      rule: 'RFC 5280 §4.1.2.2',
    });
  }
  return content as Serial;
}

/** The INTEGER content octets. */
export function serialBytes(serial: Serial): Buffer {
  return Buffer.from(serial, 'hex');
}
