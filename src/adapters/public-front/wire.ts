/**
 * Replies as they go over the wire. A reply that fits one segment or a few is kept whole, head and body in one buffer
 * with only the Date to be set when the second has changed: a hit then costs one write and no concatenation.
 */
import type { Socket } from 'node:net';
import type { Reply } from '../../ports/front.ts';

/**
 * Writes the reply; Content-Length is in its headers, so nothing is chunked.
 * @returns whether all of it has left for the kernel already.
 */
export function writeReply(socket: Socket, reply: Reply, keepAlive: boolean): boolean {
  if (reply.body.length > MAX_IMAGE_BODY) {
    socket.cork();
    socket.write(head(reply, keepAlive, httpDateNow()), 'latin1');
    socket.write(reply.body);
    socket.uncork();
    return socket.writableLength === 0;
  }
  socket.write(image(reply, keepAlive));
  if (socket.writableLength === 0) return true;
  forgetImage(reply, keepAlive);
  return false;
}

/** The whole reply with the Date of now. Not for a body above MAX_IMAGE_BODY. Changed by the next call for the same reply. */
export function image(reply: Reply, keepAlive: boolean): Buffer {
  let images = imagesOf.get(reply);
  if (images === undefined) imagesOf.set(reply, (images = { keep: undefined, close: undefined }));
  const found = (keepAlive ? images.keep : images.close) ?? makeImage(images, reply, keepAlive);
  const date = dateNow();
  if (found.second !== date.second) {
    found.bytes.set(date.octets, found.dateAt);
    found.second = date.second;
  }
  return found.bytes;
}

/** To be called while an image is still to be sent: its Date must not change under way, so it is left to that connection. */
export function forgetImage(reply: Reply, keepAlive: boolean): void {
  const images = imagesOf.get(reply);
  if (images !== undefined) images[keepAlive ? 'keep' : 'close'] = undefined;
}

/** Head of a reply, blank line included. */
export function head(reply: Reply, keepAlive: boolean, date: string): string {
  return `${statusLine(reply.status)}Date: ${date}\r\n${reply.headers}${keepAlive ? '' : 'Connection: close\r\n'}\r\n`;
}

/** Status line with its end of line: ours is HTTP/1.1 to HTTP/1.0 as well (RFC 9110 §2.5). */
export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\n`;
}

/** The Date of this second (RFC 9110 §6.6.1, H-01). */
export function httpDateNow(): string {
  return dateNow().text;
}

interface Images {
  keep: Image | undefined;
  close: Image | undefined;
}

interface Image {
  readonly bytes: Buffer;
  readonly dateAt: number;
  /** Which second its Date tells. */
  second: number;
}

/** By identity of the reply, and gone with it. */
const imagesOf = new WeakMap<Reply, Images>();

function makeImage(images: Images, reply: Reply, keepAlive: boolean): Image {
  const { text, second } = dateNow();
  const top = head(reply, keepAlive, text);
  const bytes = Buffer.allocUnsafe(top.length + reply.body.length);
  bytes.write(top, 'latin1');
  bytes.set(reply.body, top.length);
  const made = { bytes, dateAt: statusLine(reply.status).length + 'Date: '.length, second };
  if (keepAlive) images.keep = made;
  else images.close = made;
  return made;
}

interface DateOfSecond {
  readonly second: number;
  readonly text: string;
  readonly octets: Buffer;
}

let current: DateOfSecond = { second: 0, text: '', octets: Buffer.alloc(0) };

function dateNow(): DateOfSecond {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== current.second) {
    const text = new Date(now).toUTCString();
    current = { second, text, octets: Buffer.from(text, 'latin1') };
  }
  return current;
}

/** A CRL is not copied for the sake of one write. */
export const MAX_IMAGE_BODY = 16_384;

const REASONS: Readonly<Record<number, string>> = {
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
