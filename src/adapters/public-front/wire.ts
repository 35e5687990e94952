/**
 * Replies as they go over the wire. A reply that fits one segment or a few stands there whole (core/reply.ts), with only the Date to be
 * set when the second has changed: a hit then costs one write and no concatenation.
 */
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { MAX_IMAGE_BODY, type DateOfSecond, type LargeReply } from '../../core/reply.ts';
import type { Reply } from '../../ports/front.ts';

/**
 * Writes the reply; Content-Length is in its headers, so nothing is chunked.
 * @returns whether all of it has left for the kernel already.
 */
export function writeReply(socket: Socket, reply: Reply, keepAlive: boolean): boolean {
  const image = reply.image(keepAlive, dateNow());
  if (reply.bodyLength <= MAX_IMAGE_BODY) socket.write(image);
  else {
    socket.cork();
    socket.write(image);
    socket.write(reply.body);
    socket.uncork();
  }
  if (socket.writableLength === 0) return true;
  reply.leave();
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

let current: DateOfSecond & { readonly text: string } = { second: 0, text: '', octets: Buffer.alloc(0) };

/** The Date of this second, as octets and as text. */
export function dateNow(): DateOfSecond & { readonly text: string } {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== current.second) {
    const text = new Date(now).toUTCString();
    current = { second, text, octets: Buffer.from(text, 'latin1') };
  }
  return current;
}
