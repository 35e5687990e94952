/** An HTTP reply as it is decided: what a front (ports/front.ts) puts on the wire. */

export type ReplyStatus = 200 | 206 | 304 | 400 | 404 | 405 | 408 | 412 | 413 | 416 | 417 | 431 | 503;

/**
 * All replies are made here, of one shape, with which the fronts are quickest. What a front makes of a reply for its wire stands in
 * the reply, and flat: a hit on one of many thousand costs mostly the time that memory takes, and each object on the way is
 * one more wait for it (bench/README.md).
 */
export class Reply<Status extends ReplyStatus = ReplyStatus> {
  readonly status: Status;
  /**
   * Prebuilt: whole lines (`Name: value\r\n`…), Content-Type and Content-Length included and without Date, Connection or the blank
   * line. Content-Type is the first, and Cache-Control in a 304, which has no Content-Length of its own. A 304, and the reply to a
   * HEAD, are sent without the body.
   */
  headers: string;
  /** Shared between requests, and never changed. */
  readonly body: Buffer;
  /** Public front: head and body as they go over a connection that is kept, and the second of the Date in it. */
  keptImage: Buffer | undefined = undefined;
  keptSecond = 0;
  /** The same for the last reply of a connection. */
  lastImage: Buffer | undefined = undefined;
  lastSecond = 0;
  /** Origin front: the fields after the first one's name, Content-Length left out. */
  originFields: Buffer | undefined = undefined;

  constructor(status: Status, headers: string, body: Buffer) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  /** For its owner. What fronts are sending stays as it is. */
  renew(headers: string): void {
    this.headers = headers;
    this.keptImage = undefined;
    this.lastImage = undefined;
    this.originFields = undefined;
  }
}

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
