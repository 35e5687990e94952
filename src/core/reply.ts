/** An HTTP reply as it is decided: what a front (ports/front.ts) puts on the wire. */

export type ReplyStatus = 200 | 304 | 400 | 404 | 405 | 408 | 413 | 417 | 431 | 503;

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

/** What follows the status code in a status line. */
export const REASON_PHRASES: Readonly<Record<ReplyStatus, string>> = {
  200: 'OK',
  304: 'Not Modified',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
};
