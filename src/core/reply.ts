/** An HTTP reply as it is decided: what a front (ports/front.ts) puts on the wire. */

export type ReplyStatus = 200 | 206 | 304 | 400 | 404 | 405 | 408 | 412 | 413 | 416 | 417 | 431 | 503;

/**
 * All replies are made here, of one shape, with which the fronts are quickest. Status line, fields and body stand in one piece of
 * memory, once, as they go over the wire, and what fronts need of them are views that are made when they are asked for: a million
 * answers are held so, each costs the collector what it has of objects, and a hit on one of many thousand costs mostly the time
 * that memory takes (bench/README.md).
 */
export class Reply<Status extends ReplyStatus = ReplyStatus> {
  readonly status: Status;
  /** Octets of the body. */
  readonly bodyLength: number;
  /**
   * Status line, CLOSE, Date, fields, blank line, body. CLOSE gives way to the status line where the connection is kept: then that stands
   * right before the Date, and the reply begins with it. A body above MAX_IMAGE_BODY is not in it.
   */
  #octets: Buffer;
  /** Does the status line stand before CLOSE? */
  #closes = true;
  /** Of the Date in it. */
  #second = 0;
  #kept: Buffer | undefined = undefined;
  #body: Buffer | undefined = undefined;
  #fields: Buffer | undefined = undefined;

  /**
   * @param headers whole lines (`Name: value\r\n`…) without Date, Connection or the blank line. Content-Length is the first, then
   *   Content-Type. A 304 has neither, and Cache-Control is its first.
   * @param body up to MAX_IMAGE_BODY copied; a larger one is shared between requests, and never changed. A 304, and the reply to a HEAD,
   *   are sent without it.
   * @param allocate where it is to lie.
   */
  constructor(status: Status, headers: string, body: Uint8Array, allocate: Allocate = Buffer.allocUnsafe) {
    this.status = status;
    this.bodyLength = body.length;
    this.#octets = lay(status, headers, body, allocate);
    if (body.length > MAX_IMAGE_BODY) this.#body = Buffer.from(body.buffer, body.byteOffset, body.length);
  }

  get body(): Buffer {
    return (this.#body ??= this.#octets.subarray(this.#headLength));
  }

  /** As they were given. */
  get headers(): string {
    return this.#octets.toString('latin1', HEADERS_AT[this.status], this.#headLength - 2);
  }

  /** For the origin front: the fields without Content-Length, which its library writes, and without the name of the first. */
  get fields(): Buffer {
    if (this.#fields !== undefined) return this.#fields;
    const octets = this.#octets;
    const at = HEADERS_AT[this.status];
    const first = this.status === 304 ? at : octets.indexOf('\n', at) + 1;
    return (this.#fields = octets.subarray(octets.indexOf(':', first) + 2, this.#headLength - 4));
  }

  /**
   * The whole reply as it goes over the wire, of a body above MAX_IMAGE_BODY only the head; changed by the next call. Whoever has not
   * sent it by then calls `leave`.
   */
  image(keepAlive: boolean, date: DateOfSecond): Buffer {
    const octets = this.#octets;
    if (this.#second !== date.second) {
      octets.set(date.octets, HEADERS_AT[this.status] - DATE_OCTETS - 2);
      this.#second = date.second;
    }
    if (this.#closes === keepAlive) {
      if (keepAlive) octets.write(STATUS_LINES[this.status], CLOSE.length, 'latin1');
      else octets.write(LAST_TOPS[this.status], 'latin1');
      this.#closes = !keepAlive;
    }
    return keepAlive ? (this.#kept ??= octets.subarray(CLOSE.length)) : octets;
  }

  /** To be called while an image is still to be sent: it must not change under way, so it is left to that connection. */
  leave(): void {
    this.#replace(Buffer.from(this.#octets));
  }

  /** For its owner: with these headers from now on. What fronts are sending stays as it is. */
  renew(headers: string, allocate: Allocate): void {
    this.#replace(lay(this.status, headers, this.body, allocate));
    this.#closes = true;
    this.#second = 0;
  }

  get #headLength(): number {
    return this.#octets.length - (this.bodyLength > MAX_IMAGE_BODY ? 0 : this.bodyLength);
  }

  #replace(octets: Buffer): void {
    this.#octets = octets;
    this.#kept = undefined;
    this.#fields = undefined;
    if (this.bodyLength <= MAX_IMAGE_BODY) this.#body = undefined;
  }
}

type Allocate = (octets: number) => Buffer;

/** As it ends a connection, and without a Date as yet. */
function lay(status: ReplyStatus, headers: string, body: Uint8Array, allocate: Allocate): Buffer {
  const head = `${LAST_TOPS[status]}${NO_DATE}${headers}\r\n`;
  const inside = body.length <= MAX_IMAGE_BODY;
  const octets = allocate(head.length + (inside ? body.length : 0));
  octets.write(head, 'latin1');
  if (inside) octets.set(body, head.length);
  return octets;
}

/**
 * Memory for replies that stay. Buffer's own pool puts them between what is gone a moment later, which then stays with them.
 */
export function lasting(octets: number): Buffer {
  if (octets > SLAB / 4) return Buffer.allocUnsafeSlow(octets);
  if (free + octets > slab.byteLength) {
    slab = new ArrayBuffer(SLAB);
    free = 0;
  }
  const at = free;
  // V8 copies fastest from and to whole words.
  free = (at + octets + 7) & ~7;
  return Buffer.from(slab, at, octets);
}

const SLAB = 16_384;
let slab = new ArrayBuffer(0);
let free = 0;

/**
 * A reply whose body is larger than LARGE_BODY: a CRL, or a range of one. Its front sends it in pieces, each in its turn, so that no
 * number of them holds up an answer of a few hundred octets (flows/serve/downloads.ts).
 */
export class LargeReply extends Reply<200 | 206> {
  readonly #downloads: DownloadDesk;
  /** What the body is, or is cut out of: that, and not the piece, is what a reader keeps in memory. */
  readonly #whole: Buffer;

  constructor(status: 200 | 206, headers: string, body: Buffer, whole: Buffer, downloads: DownloadDesk) {
    super(status, headers, body);
    this.#whole = whole;
    this.#downloads = downloads;
  }

  /** 206: a piece of the same body, which may be small. */
  part(headers: string, body: Buffer): Reply {
    return body.length > LARGE_BODY
      ? new LargeReply(206, headers, body, this.#whole, this.#downloads)
      : new Reply(206, headers, body);
  }

  /** Whether one more may begin. May end another one that makes no use of its place. */
  hasRoom(): boolean {
    return this.#downloads.hasRoom();
  }

  /** For the front that begins to send the body. @param cut ends the connection, then and there. */
  begin(cut: () => void): Transfer {
    return this.#downloads.begin(this.#whole, cut);
  }
}

/** Where large bodies that are on their way are known. */
export interface DownloadDesk {
  hasRoom(): boolean;
  begin(whole: Buffer, cut: () => void): Transfer;
}

/** One large body on its way to one reader. */
export interface Transfer {
  /**
   * The connection can take more: `go` is called later, once, with how many octets it may be given then. Not called after `end`.
   * The next turn is asked for when those are with the kernel.
   */
  turn(go: (octets: number) => void): void;
  /** The body is out, or will never be. Again does nothing. */
  end(): void;
}

/** A body above it is sent as LargeReply; smaller ones fit into what the kernel takes at once. */
export const LARGE_BODY = 65_536;

/** One above it is not copied for the sake of one write. */
export const MAX_IMAGE_BODY = 16_384;

/** RFC 9110 §6.6.1, H-01. */
export interface DateOfSecond {
  /** Since 1970. */
  readonly second: number;
  /** IMF-fixdate. */
  readonly octets: Buffer;
}

/** What follows the status code in a status line. */
export const REASON_PHRASES: Readonly<Record<ReplyStatus, string>> = {
  200: 'OK',
  206: 'Partial Content',
  304: 'Not Modified',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
};

/** Ours is HTTP/1.1 to HTTP/1.0 as well (RFC 9110 §2.5). With its end of line. */
export const STATUS_LINES = eachStatus((status) => `HTTP/1.1 ${status} ${REASON_PHRASES[status]}\r\n`);

const CLOSE = 'Connection: close\r\n';
const LAST_TOPS = eachStatus((status) => STATUS_LINES[status] + CLOSE);
const DATE_OCTETS = 'Sun, 06 Nov 1994 08:49:37 GMT'.length;
const NO_DATE = `Date: ${' '.repeat(DATE_OCTETS)}\r\n`;
const HEADERS_AT = eachStatus((status) => LAST_TOPS[status].length + NO_DATE.length);

function eachStatus<Value>(make: (status: ReplyStatus) => Value): Readonly<Record<ReplyStatus, Value>> {
  const statuses = Object.keys(REASON_PHRASES).map(Number) as ReplyStatus[];
  return Object.fromEntries(statuses.map((status) => [status, make(status)])) as Record<ReplyStatus, Value>;
}
