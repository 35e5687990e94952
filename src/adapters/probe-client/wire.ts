/** The Wire over plain TCP. */
import { connect } from 'node:net';
import { Problem } from '../../core/problem.ts';
import type { Received, Sent, Wire } from '../../ports/wire.ts';

/** Between connecting and the last octet. BR 4.10.2: an answer takes at most 10 seconds. */
const PATIENCE_MS = 10_000;
const FIRST_ROOM = 64 << 10;
/** More than any answer has; what goes on for ever is cut off. */
const MOST_OCTETS = 1 << 20;

export const tcpWire: Wire = { exchange };

function exchange({ host, port, octets, isWhole, closeWithinMs, ...bounds }: Sent): Promise<Received> {
  return new Promise((done, failed) => {
    const socket = connect({ host, port });
    const { mostOctets = MOST_OCTETS, withinMs = PATIENCE_MS } = bounds;
    let room = Buffer.allocUnsafe(FIRST_ROOM);
    let received: Buffer = room.subarray(0, 0);
    const settle = (act: () => void): void => {
      clearTimeout(patience);
      clearTimeout(lingering);
      socket.destroy();
      act();
    };
    const end = (closed: boolean): void => settle(() => done({ octets: received, closed }));
    const fail = (why: string): void =>
      settle(() => failed(new Problem('unavailable', why, { field: 'url', value: `${host}:${port}` })));
    const patience = setTimeout(() => {
      if (received.length > 0) end(false);
      else fail(`no answer within ${withinMs / 1000} s`);
    }, withinMs);
    let lingering: NodeJS.Timeout | undefined;
    socket.on('data', (chunk: Buffer) => {
      // Twice the room each time: a CRL of many megabytes comes in thousands of pieces.
      const length = received.length + chunk.length;
      if (length > room.length) {
        const larger = Buffer.allocUnsafe(2 * length);
        received.copy(larger);
        room = larger;
      }
      chunk.copy(room, received.length);
      received = room.subarray(0, length);
      if (received.length > mostOctets) return end(false);
      if (lingering !== undefined || !isWhole(received)) return;
      if (closeWithinMs === 0) return end(false);
      lingering = setTimeout(() => end(false), closeWithinMs);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // What came before a reset is an answer still.
      if (received.length > 0) end(true);
      else fail(`cannot be asked: ${error.message}`);
    });
    socket.on('end', () => end(true));
    socket.write(octets);
  });
}
