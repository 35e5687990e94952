/**
 * Reads HTTP replies off a connection, one at a time (nothing is pipelined). Stricter than a browser, as OCSP clients are: a body
 * has a Content-Length or ends with the connection (peers.md Part 2 §4.2); chunks are refused, because several clients do.
 */

/** More than any head or OCSP response has: what a server may make this process hold for one connection. */
const MAX_REPLY_OCTETS = 65_536;
const HEAD_END = '\r\n\r\n';

export interface HttpReply {
  readonly status: number;
  /** A view, valid until the next chunk arrives. */
  readonly body: Buffer;
  /** Of head and body. */
  readonly octets: number;
  /** The connection is not to be used again (RFC 9112 §9.3). */
  readonly last: boolean;
}

/** A reply; why it is none; or `more` when its end has not arrived. */
export type Read = HttpReply | { readonly wrong: string } | 'more';

interface Head {
  readonly octets: number;
  readonly status: number;
  /** Undefined: until the connection ends. */
  readonly bodyOctets: number | undefined;
  readonly last: boolean;
}

export class ReplyReader {
  #held: Buffer = EMPTY;
  #head: Head | undefined;

  /** Ready for the reply to the next request. */
  reset(): void {
    this.#held = EMPTY;
    this.#head = undefined;
  }

  /** @param chunk viewed only during the call. */
  push(chunk: Buffer): Read {
    const octets = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    if (octets.length > MAX_REPLY_OCTETS) return { wrong: `a reply of more than ${MAX_REPLY_OCTETS} octets` };
    if (this.#head === undefined) {
      const end = octets.indexOf(HEAD_END);
      if (end === -1) return this.#wait(octets, chunk);
      const head = readHead(octets.toString('latin1', 0, end), end + HEAD_END.length);
      if ('wrong' in head) return head;
      this.#head = head;
    }
    const { octets: start, status, bodyOctets, last } = this.#head;
    if (bodyOctets === undefined || octets.length < start + bodyOctets) return this.#wait(octets, chunk);
    if (octets.length > start + bodyOctets)
      return { wrong: `${octets.length - start - bodyOctets} octets after the reply` };
    return { status, body: octets.subarray(start), octets: octets.length, last };
  }

  /** The server has closed. Undefined when it had not begun a reply. */
  end(): Exclude<Read, 'more'> | undefined {
    if (this.#held.length === 0) return undefined;
    if (this.#head === undefined || this.#head.bodyOctets !== undefined) return { wrong: 'a reply that was cut off' };
    const { octets, status } = this.#head;
    return { status, body: this.#held.subarray(octets), octets: this.#held.length, last: true };
  }

  #wait(octets: Buffer, chunk: Buffer): 'more' {
    // The chunk is the caller's; what was concatenated is ours already.
    this.#held = octets === chunk ? Buffer.from(octets) : octets;
    return 'more';
  }
}

function readHead(text: string, octets: number): Head | { readonly wrong: string } {
  const line = /^HTTP\/1\.([01]) (\d{3})/.exec(text);
  if (line === null) return { wrong: `no HTTP/1.0 or 1.1 reply: ${JSON.stringify(text.slice(0, 40))}` };
  if (/\r\ntransfer-encoding:/i.test(text)) return { wrong: 'a chunked reply' };
  const status = Number(line[2]);
  const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(text);
  const connection = /\r\nconnection:[ \t]*([^\r]*)/i.exec(text)?.[1]?.toLowerCase() ?? '';
  const last = line[1] === '0' ? !connection.includes('keep-alive') : connection.includes('close');
  // RFC 9110 §15.4.5, §15.3.5: neither has a body, whatever its fields say.
  const bodyOctets = status === 304 || status === 204 ? 0 : length === null ? undefined : Number(length[1]);
  return { octets, status, bodyOctets, last: last || bodyOctets === undefined };
}

const EMPTY = Buffer.alloc(0);
