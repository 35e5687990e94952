/**
 * A client that sees octets: sends what it is told in the pieces it is told, and reads replies strictly by
 * Content-Length. It shares nothing with the fronts under test.
 */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { LargeReply, Reply } from '../../src/core/reply.ts';
import { Downloads } from '../../src/flows/serve/downloads.ts';
import type { Answer, Question } from '../../src/ports/front.ts';

export interface Seen {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export class RawClient {
  readonly socket: Socket;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #gone = false;
  #wake: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.#gone = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** Octets that belong to no reply read so far. */
  get rest(): Buffer {
    return this.#received;
  }

  /** Each piece in its own segment, as far as the loopback lets one. */
  async send(...pieces: readonly (string | Buffer)[]): Promise<void> {
    for (const piece of pieces) {
      this.socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
      if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next reply; undefined when the connection ends first. @throws Error when it is not framed by Content-Length. */
  async reply(method = 'GET', withinMs = 5000): Promise<Seen | undefined> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end >= 0) {
        const [statusLine = '', ...lines] = this.#received.toString('latin1', 0, end).split('\r\n');
        const status = Number(/^HTTP\/1\.1 (\d{3}) \S/.exec(statusLine)?.[1] ?? NaN);
        if (Number.isNaN(status)) throw new Error(`not a status line: ${statusLine}`);
        const headers = new Map(
          lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
        );
        if (status === 100) {
          this.#received = this.#received.subarray(end + 4);
          continue;
        }
        const length = method === 'HEAD' || status === 304 ? 0 : Number(headers.get('content-length') ?? NaN);
        if (Number.isNaN(length) || headers.has('transfer-encoding'))
          throw new Error(`no Content-Length: ${lines.join(' | ')}`);
        if (this.#received.length >= end + 4 + length) {
          const body = this.#received.subarray(end + 4, end + 4 + length);
          this.#received = this.#received.subarray(end + 4 + length);
          return { status, headers, body };
        }
      }
      if (this.#gone) return undefined;
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(`no reply within ${withinMs} ms; received: ${this.#received.toString('latin1').slice(0, 200)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

export interface Echo {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** SHA-256 of the body, hex; null without one. */
  readonly body: string | null;
  readonly inm: string | null;
  readonly ims: string | null;
  readonly range: string | null;
  readonly ifRange: string | null;
  readonly ifMatch: string | null;
  readonly ius: string | null;
}

export const bodyHash = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex');

/**
 * Tells each question back. Targets: `/late…` after a few milliseconds (and reads the question only then), `/304…` with a
 * 304, `/big` with 30 MB, `/download` with as much as LargeReply, `/part` with a range of it, `/fixed…` always the same Reply object.
 */
export const echo: Answer = (question) => {
  if (question.target.startsWith('/fixed')) return fixed;
  if (question.target.startsWith('/big')) return big;
  if (question.target.startsWith('/download')) return download;
  if (question.target.startsWith('/part'))
    return download.part('Content-Length: 100000\r\nContent-Type: application/pkix-crl\r\n', Buffer.alloc(100_000, 7));
  if (question.target.startsWith('/304')) {
    return new Reply(304, 'Cache-Control: max-age=1\r\nETag: "a"\r\n', Buffer.alloc(0));
  }
  if (!question.target.startsWith('/late')) return told(question);
  return new Promise((resolve) => setTimeout(() => resolve(told(question)), 1 + (question.target.length % 7)));
};

function told(question: Question): Reply {
  const { method, target, host, body, ifNoneMatch, ifModifiedSince } = question;
  const said: Echo = {
    method,
    target,
    host,
    body: body === undefined ? null : bodyHash(body),
    inm: ifNoneMatch ?? null,
    ims: ifModifiedSince ?? null,
    range: question.range ?? null,
    ifRange: question.ifRange ?? null,
    ifMatch: question.ifMatch ?? null,
    ius: question.ifUnmodifiedSince ?? null,
  };
  return okReply(Buffer.from(JSON.stringify(said)));
}

export function okReply(body: Buffer): Reply {
  const headers = `Content-Length: ${body.length}\r\nContent-Type: application/ocsp-response\r\nETag: "x"\r\n`;
  return new Reply(200, headers, body);
}

const fixed = okReply(Buffer.from('always the same'));
const big = okReply(Buffer.alloc(30_000_000, 7));
export const downloads = new Downloads({ now: () => Date.now() }, setImmediate);
const download = new LargeReply(200, big.headers, big.body, big.body, downloads);
