/** The Wire over plain TCP. */
import { connect } from 'node:net';
import { Problem } from '../../core/problem.ts';
import type { Received, Sent, Wire } from '../../ports/wire.ts';

/** Between connecting and the last octet. BR 4.10.2: an answer takes at most 10 seconds. */
const PATIENCE_MS = 10_000;
/** More than any answer has; what goes on for ever is cut off. */
const MOST_OCTETS = 1 << 20;

export const tcpWire: Wire = { exchange };

function exchange({ host, port, octets, isWhole, closeWithinMs }: Sent): Promise<Received> {
  return new Promise((done, failed) => {
    const socket = connect({ host, port });
    let received: Buffer = Buffer.alloc(0);
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
      else fail(`no answer within ${PATIENCE_MS / 1000} s`);
    }, PATIENCE_MS);
    let lingering: NodeJS.Timeout | undefined;
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length > MOST_OCTETS) return end(false);
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
