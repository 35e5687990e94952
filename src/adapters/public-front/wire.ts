/**
 * Replies as they go over the wire. A reply that fits one segment or a few is kept whole, head and body in one buffer
 * with only the Date to be set when the second has changed: a hit then costs one write and no concatenation.
 */
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { REASON_PHRASES, type LargeReply, type ReplyStatus } from '../../core/reply.ts';
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

/**
 * Sends the body of a large reply, whose head is written, in pieces, each in its turn and once the one before is with the kernel: a
 * reader that is slow keeps none of it but the one that all share.
 * @param cut ends the connection. @param done called when everything is with the kernel; not when the connection ends before.
 */
export function sendLarge(to: Writable, reply: LargeReply, cut: () => void, done: () => void): void {
  const { body } = reply;
  const transfer = reply.begin(cut);
  const over = (): void => transfer.end();
  to.once('close', over);
  let at = 0;
  const next = (error?: Error | null): void => {
    if (error) return;
    if (at < body.length) {
      transfer.turn((octets) => to.write(body.subarray(at, (at += octets)), next));
      return;
    }
    transfer.end();
    to.off('close', over);
    done();
  };
  next();
}

/** The whole reply with the Date of now. Not for a body above MAX_IMAGE_BODY. Changed by the next call for the same reply. */
export function image(reply: Reply, keepAlive: boolean): Buffer {
  const date = dateNow();
  if (keepAlive) {
    const made = (reply.keptImage ??= makeImage(reply, true));
    if (reply.keptSecond !== date.second) made.set(date.octets, dateAt(reply));
    reply.keptSecond = date.second;
    return made;
  }
  const made = (reply.lastImage ??= makeImage(reply, false));
  if (reply.lastSecond !== date.second) made.set(date.octets, dateAt(reply));
  reply.lastSecond = date.second;
  return made;
}

/** To be called while an image is still to be sent: its Date must not change under way, so it is left to that connection. */
export function forgetImage(reply: Reply, keepAlive: boolean): void {
  if (keepAlive) reply.keptImage = undefined;
  else reply.lastImage = undefined;
}

/** Head of a reply, blank line included. */
export function head(reply: Reply, keepAlive: boolean, date: string): string {
  return `${statusLine(reply.status)}Date: ${date}\r\n${reply.headers}${keepAlive ? '' : 'Connection: close\r\n'}\r\n`;
}

/** Status line with its end of line: ours is HTTP/1.1 to HTTP/1.0 as well (RFC 9110 §2.5). */
export function statusLine(status: ReplyStatus): string {
  return `HTTP/1.1 ${status} ${REASON_PHRASES[status]}\r\n`;
}

/** The Date of this second (RFC 9110 §6.6.1, H-01). */
export function httpDateNow(): string {
  return dateNow().text;
}

function makeImage(reply: Reply, keepAlive: boolean): Buffer {
  const top = head(reply, keepAlive, dateNow().text);
  const bytes = Buffer.allocUnsafe(top.length + reply.body.length);
  bytes.write(top, 'latin1');
  bytes.set(reply.body, top.length);
  return bytes;
}

function dateAt({ status }: Reply): number {
  return status === 200 ? DATE_AT_200 : statusLine(status).length + DATE.length;
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

const DATE = 'Date: ';
const DATE_AT_200 = statusLine(200).length + DATE.length;

/** A CRL is not copied for the sake of one write. */
export const MAX_IMAGE_BODY = 16_384;
