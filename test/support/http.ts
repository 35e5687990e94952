/** A plain HTTP client for tests: what came back, and nothing hidden by an agent's cleverness. */
import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpQuestion {
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/** One request over a kept connection; rejects when no whole answer came. */
export function exchange({ port, path, method = 'GET', headers = {}, body }: HttpQuestion): Promise<HttpAnswer> {
  return new Promise((done, failed) => {
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const outgoing = request(
      { agent, host: '127.0.0.1', port, path, method, headers: { ...length, ...headers }, timeout: 20_000 },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', failed);
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', failed);
    outgoing.end(body);
  });
}

/** Octets out, octets in, until the other side closes or `quietMs` pass without any. */
export function rawExchange(port: number, octets: string | Uint8Array, quietMs = 5000): Promise<Buffer> {
  return new Promise((done, failed) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const chunks: Buffer[] = [];
    const end = (): void => {
      socket.destroy();
      done(Buffer.concat(chunks));
    };
    socket.setTimeout(quietMs, end);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', failed);
    socket.on('end', end);
    socket.write(octets);
  });
}
