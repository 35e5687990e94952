/**
 * Reads a request that lies whole in one chunk: a GET, or a POST with its body, of HTTP/1.0 or 1.1. That is what every
 * OCSP client known sends (peers.md Part 2 §4.5). Anything unusual — a second request behind it, a missing byte, a field
 * that changes the framing or the connection, a field twice, an octet outside printable ASCII — is not refused here but
 * left to node:http, so this reader decides nothing that node:http would decide otherwise (RFC 9112 §2 to §6).
 */
import { MAX_BODY_BYTES, MAX_HEAD_BYTES, type Question } from '../../ports/front.ts';

/** @returns undefined when node:http shall see the chunk. The chunk must stay unchanged while the request is in use. */
export function readWhole(chunk: Buffer): WholeRequest | undefined {
  const request = new WholeRequest(chunk);
  return chunk.length <= MAX_HEAD_BYTES && request.read() ? request : undefined;
}

/** Fields are cut out of the chunk when they are asked for. */
class WholeRequest implements Question {
  readonly #chunk: Buffer;
  method: 'GET' | 'POST' = 'GET';
  httpVersion: '1.0' | '1.1' = '1.1';
  target = '';
  body: Uint8Array | undefined = undefined;
  /** Whether the client wants the connection kept. Never with HTTP/1.0: nginx waits for the end (peers.md Part 2 §4.2). */
  keepAlive = true;
  // Where values begin and end; 0 is "not there", since the request line comes first.
  #hostAt = 0;
  #hostEnd = 0;
  #matchAt = 0;
  #matchEnd = 0;
  #sinceAt = 0;
  #sinceEnd = 0;

  constructor(chunk: Buffer) {
    this.#chunk = chunk;
  }

  get host(): string {
    return this.#chunk.toString('latin1', this.#hostAt, this.#hostEnd);
  }

  get ifNoneMatch(): string | undefined {
    return this.#matchAt === 0 ? undefined : this.#chunk.toString('latin1', this.#matchAt, this.#matchEnd);
  }

  get ifModifiedSince(): string | undefined {
    return this.#sinceAt === 0 ? undefined : this.#chunk.toString('latin1', this.#sinceAt, this.#sinceEnd);
  }

  /** @returns false when the chunk is not one whole plain request. */
  read(): boolean {
    const chunk = this.#chunk;
    let at = matches(chunk, 0, GET) ? GET.length : matches(chunk, 0, POST) ? POST.length : 0;
    if (at === 0 || chunk[at] !== SLASH) return false;
    if (at === POST.length) this.method = 'POST';
    const targetAt = at;
    while (KIND[chunk[at] as number] === VISIBLE || KIND[chunk[at] as number] === TOKEN) at++;
    const targetEnd = at;
    if (!matches(chunk, at, VERSION)) return false;
    at += VERSION.length;
    const minor = chunk[at++];
    if (minor === ZERO) this.httpVersion = '1.0';
    else if (minor !== ZERO + 1) return false;
    if (chunk[at] !== CR || chunk[at + 1] !== LF) return false;
    at = this.#readFields(at + 2);
    if (at === 0) return false;
    // RFC 9112 §3.2: 400 to HTTP/1.1 without Host. node:http gives it.
    if (this.#hostAt === 0 && this.httpVersion === '1.1') return false;
    this.target = chunk.toString('latin1', targetAt, targetEnd);
    if (this.httpVersion === '1.0') this.keepAlive = false;
    return true;
  }

  /** @returns the end of the request; 0 when it is not plain or does not end with the chunk. */
  #readFields(start: number): number {
    const chunk = this.#chunk;
    let at = start;
    let connectionSeen = false;
    let contentLength = -1;
    while (chunk[at] !== CR) {
      const nameAt = at;
      while (KIND[chunk[at] as number] === TOKEN) at++;
      const nameLength = at - nameAt;
      if (nameLength === 0 || chunk[at] !== COLON) return 0;
      do at++;
      while (chunk[at] === SPACE || chunk[at] === TAB);
      const valueAt = at;
      while (KIND[chunk[at] as number] !== undefined && KIND[chunk[at] as number] !== CONTROL) at++;
      if (chunk[at] !== CR || chunk[at + 1] !== LF) return 0;
      let valueEnd = at;
      while (valueEnd > valueAt && (chunk[valueEnd - 1] === SPACE || chunk[valueEnd - 1] === TAB)) valueEnd--;
      at += 2;
      switch (nameLength) {
        case 2:
          if (matchesName(chunk, nameAt, TE)) return 0;
          break;
        case 4:
          if (!matchesName(chunk, nameAt, HOST)) break;
          if (this.#hostAt !== 0) return 0;
          this.#hostAt = valueAt;
          this.#hostEnd = valueEnd;
          break;
        case 5:
          // This and what goes with it is for downloads; node:http hands it on.
          if (matchesName(chunk, nameAt, RANGE)) return 0;
          break;
        case 6:
          if (matchesName(chunk, nameAt, EXPECT)) return 0;
          break;
        case 7:
          if (matchesName(chunk, nameAt, UPGRADE) || matchesName(chunk, nameAt, TRAILER)) return 0;
          break;
        case 8:
          if (matchesName(chunk, nameAt, IF_MATCH) || matchesName(chunk, nameAt, IF_RANGE)) return 0;
          break;
        case 10:
          if (!matchesName(chunk, nameAt, CONNECTION)) break;
          if (connectionSeen) return 0;
          connectionSeen = true;
          if (valueEnd - valueAt === CLOSE.length && matchesName(chunk, valueAt, CLOSE)) this.keepAlive = false;
          else if (valueEnd - valueAt !== KEEP_ALIVE.length || !matchesName(chunk, valueAt, KEEP_ALIVE)) return 0;
          break;
        case 13:
          if (!matchesName(chunk, nameAt, IF_NONE_MATCH)) break;
          if (this.#matchAt !== 0) return 0;
          this.#matchAt = valueAt;
          this.#matchEnd = valueEnd;
          break;
        case 14:
          if (!matchesName(chunk, nameAt, CONTENT_LENGTH)) break;
          if (contentLength !== -1) return 0;
          contentLength = readLength(chunk, valueAt, valueEnd);
          if (contentLength === -1) return 0;
          break;
        case 17:
          if (matchesName(chunk, nameAt, TRANSFER_ENCODING)) return 0;
          if (!matchesName(chunk, nameAt, IF_MODIFIED_SINCE)) break;
          if (this.#sinceAt !== 0) return 0;
          this.#sinceAt = valueAt;
          this.#sinceEnd = valueEnd;
          break;
        case 19:
          if (matchesName(chunk, nameAt, IF_UNMODIFIED_SINCE)) return 0;
          break;
        default:
      }
    }
    if (chunk[at + 1] !== LF) return 0;
    at += 2;
    if (this.method === 'POST') {
      if (contentLength === -1) return 0;
      this.body = chunk.subarray(at, at + contentLength);
      at += contentLength;
    } else if (contentLength !== -1) return 0;
    return at === chunk.length ? at : 0;
  }
}

/** One to four digits, at most MAX_BODY_BYTES; -1 for anything else. */
function readLength(chunk: Buffer, at: number, end: number): number {
  if (end === at || end - at > 4) return -1;
  let length = 0;
  for (let i = at; i < end; i++) {
    const digit = (chunk[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= MAX_BODY_BYTES ? length : -1;
}

function matches(chunk: Buffer, at: number, expected: Buffer): boolean {
  for (let i = 0; i < expected.length; i++) if (chunk[at + i] !== expected[i]) return false;
  return true;
}

/** `expected` is in lower case. The octets at hand are known to be printable, where only a letter's case is bit 0x20. */
function matchesName(chunk: Buffer, at: number, expected: Buffer): boolean {
  for (let i = 0; i < expected.length; i++) if (((chunk[at + i] as number) | 0x20) !== expected[i]) return false;
  return true;
}

const [TAB, LF, CR, SPACE, SLASH, ZERO, COLON] = [0x09, 0x0a, 0x0d, 0x20, 0x2f, 0x30, 0x3a];
const [GET, POST, VERSION] = [Buffer.from('GET '), Buffer.from('POST '), Buffer.from(' HTTP/1.')];
const [TE, HOST, EXPECT, UPGRADE, TRAILER] = ['te', 'host', 'expect', 'upgrade', 'trailer'].map((name) =>
  Buffer.from(name),
) as [Buffer, Buffer, Buffer, Buffer, Buffer];
const [CONNECTION, CLOSE, KEEP_ALIVE] = ['connection', 'close', 'keep-alive'].map((name) => Buffer.from(name)) as [
  Buffer,
  Buffer,
  Buffer,
];
const [IF_NONE_MATCH, IF_MODIFIED_SINCE] = [Buffer.from('if-none-match'), Buffer.from('if-modified-since')];
const [RANGE, IF_MATCH, IF_RANGE] = [Buffer.from('range'), Buffer.from('if-match'), Buffer.from('if-range')];
const IF_UNMODIFIED_SINCE = Buffer.from('if-unmodified-since');
const [CONTENT_LENGTH, TRANSFER_ENCODING] = [Buffer.from('content-length'), Buffer.from('transfer-encoding')];

/** What an octet can be part of. Names are kept to letters, digits and `-`; other tokens are for node:http. */
const [CONTROL, BLANK, VISIBLE, TOKEN] = [0, 1, 2, 3];
const KIND: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) => {
  if (octet === TAB || octet === SPACE) return BLANK;
  if (octet < 0x21 || octet > 0x7e) return CONTROL;
  return /[A-Za-z0-9-]/.test(String.fromCharCode(octet)) ? TOKEN : VISIBLE;
});
