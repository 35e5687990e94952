/** DER objects that follow one another in a stream. Only the outer length is looked at; the reader of each checks the rest. */
import { Problem } from '../../core/problem.ts';

/**
 * Whether a file begins like a DER certificate or CRL rather than like text: SEQUENCE, long form of length. The second
 * octet is no ASCII character, so no PEM file can begin so.
 */
export function isDer(start: Buffer): boolean {
  return start[0] === SEQUENCE && ((start[1] ?? 0) & 0x80) !== 0;
}

/**
 * The objects of each chunk, in order. After a Problem the stream has lost its step and ends.
 * @param maxBytes of one object; also bounds the memory.
 */
export async function* derObjects(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<readonly (Buffer | Problem)[]> {
  let carry: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
    const objects: (Buffer | Problem)[] = [];
    let at = 0;
    while (at < bytes.length) {
      const length = objectLength(bytes, at);
      if (length === undefined) break;
      if (length === 'not DER' || length > maxBytes) {
        const message =
          length === 'not DER'
            ? 'not a DER certificate'
            : `a DER object of ${length} bytes; at most ${maxBytes} are read`;
        yield [...objects, new Problem('invalid', message, { rule: 'X.690 §10.1' })];
        return;
      }
      if (at + length > bytes.length) break;
      objects.push(bytes.subarray(at, at + length));
      at += length;
    }
    carry = bytes.subarray(at);
    if (objects.length > 0) yield objects;
  }
  if (carry.length > 0)
    yield [new Problem('invalid', 'the file ends in the middle of a DER object', { rule: 'X.690 §8.1.3' })];
}

/** Octets of the object, header included; undefined when the header is not all there yet. */
function objectLength(bytes: Buffer, at: number): number | 'not DER' | undefined {
  if (bytes[at] !== SEQUENCE) return 'not DER';
  const first = bytes[at + 1];
  if (first === undefined) return undefined;
  // Shorter than 128 octets is no certificate; 0x80 is BER's indefinite length; over four octets of length is no file.
  const octets = first & 0x7f;
  if (first <= 0x80 || octets > 4) return 'not DER';
  if (at + 2 + octets > bytes.length) return undefined;
  return 2 + octets + bytes.readUIntBE(at + 2, octets);
}

const SEQUENCE = 0x30;
