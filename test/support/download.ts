/** A client that downloads: over a connection of its own, at its own pace, as far as it likes. */
import { connect } from 'node:net';

export interface Got {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Manner {
  readonly method?: 'GET' | 'HEAD';
  /** It goes away once it has so much of the body. */
  readonly breakOffAt?: number;
  /** It pauses so long after each chunk. */
  readonly pauseMs?: number;
}

/** @returns what has come when the server ends the connection. @throws Error when that is not what Content-Length says. */
export function getUntilEnd(
  port: number,
  target: string,
  fields: readonly string[] = [],
  { method = 'GET', breakOffAt = Infinity, pauseMs }: Manner = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    let head: Omit<Got, 'body'> | undefined;
    let octets = 0;
    socket.write([`${method} ${target} HTTP/1.1`, 'Host: h', 'Connection: close', ...fields, '', ''].join('\r\n'));
    const done = (): void => {
      socket.destroy();
      const body = Buffer.concat(chunks);
      if (head === undefined) return reject(new Error('ended without a head'));
      const length = method === 'HEAD' || head.status === 304 ? 0 : Number(head.headers['content-length']);
      if (body.length !== length && breakOffAt === Infinity)
        reject(new Error(`${body.length} octets of ${length} have come`));
      else resolve({ ...head, body });
    };
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      octets += chunk.length;
      if (head === undefined) {
        const all = Buffer.concat(chunks);
        const end = all.indexOf('\r\n\r\n');
        if (end === -1) return;
        head = readHead(all.toString('latin1', 0, end));
        octets = all.length - end - 4;
        chunks.splice(0, chunks.length, all.subarray(end + 4));
      }
      if (octets >= breakOffAt) return done();
      if (pauseMs === undefined) return;
      socket.pause();
      setTimeout(() => socket.resume(), pauseMs);
    });
    socket.on('end', done);
    socket.on('error', reject);
  });
}

function readHead(text: string): Omit<Got, 'body'> {
  const [first = '', ...lines] = text.split('\r\n');
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  return { status: Number(first.split(' ')[1]), headers: Object.fromEntries(headers) as Record<string, string> };
}
