/** One connection, octet by octet: for requests that no HTTP client would send. Answers are framed as RFC 9112 §6.3 says. */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Content-Type; empty when there is none. */
  readonly type: string;
  readonly body: Buffer;
  /** The other side closes after it. */
  readonly last: boolean;
}

const TIMEOUT_MS = 10_000;

export class RawConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  readonly #timeoutMs: number;
  /** Looks at what has come. */
  #look: () => void = () => undefined;

  /** @param timeoutMs how long an answer may take. */
  constructor(port: number, timeoutMs = TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#look();
    });
    const end = (): void => {
      this.#ended = true;
      this.#look();
    };
    this.#socket.on('end', end);
    this.#socket.on('error', end);
    this.#socket.on('close', end);
  }

  get closed(): boolean {
    return this.#ended;
  }

  /** Sends a request, and waits for its answer. Rejects when none comes, or more than one. */
  ask(octets: Buffer, isHead: boolean): Promise<RawAnswer> {
    return new Promise((done, failed) => {
      const settle = (): void => {
        clearTimeout(patience);
        this.#look = () => undefined;
      };
      const patience = setTimeout(() => {
        settle();
        failed(
          new Error(`no answer within ${this.#timeoutMs} ms, but ${JSON.stringify(this.#received.toString('latin1'))}`),
        );
      }, this.#timeoutMs);
      this.#look = () => {
        try {
          const answer = this.#take(isHead);
          if (answer === undefined) return;
          settle();
          done(answer);
        } catch (error) {
          settle();
          failed(error as Error);
        }
      };
      this.#socket.write(octets);
    });
  }

  end(): void {
    this.#ended = true;
    this.#socket.destroy();
  }

  #take(isHead: boolean): RawAnswer | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd === -1) {
      if (this.#ended)
        throw new Error(`closed without an answer: ${JSON.stringify(this.#received.toString('latin1'))}`);
      return undefined;
    }
    const head = this.#received.toString('latin1', 0, headEnd);
    const [, version, status] = /^HTTP\/1\.([01]) (\d{3})/.exec(head) ?? [];
    if (status === undefined) throw new Error(`not HTTP: ${JSON.stringify(head)}`);
    const length = /^content-length: *(\d+)\r?$/im.exec(head)?.[1];
    const hasBody = !isHead && status !== '304' && status !== '204';
    const from = headEnd + 4;
    let to = from;
    if (hasBody && length === undefined) {
      // RFC 9112 §6.3: then the body ends with the connection.
      if (!this.#ended) return undefined;
      to = this.#received.length;
    } else if (hasBody) to = from + Number(length);
    if (this.#received.length < to) {
      if (this.#ended) throw new Error(`closed in the middle of a body: ${JSON.stringify(head)}`);
      return undefined;
    }
    const body = Buffer.from(this.#received.subarray(from, to));
    this.#received = this.#received.subarray(to);
    const last = this.#ended || version === '0' || /^connection: *close/im.test(head) || Number(status) === 505;
    // What cannot be read as HTTP is refused before its method is known, so a refused HEAD may get a body; it is the last then.
    if (this.#received.length > 0 && !(isHead && last)) {
      throw new Error(`octets behind the answer: ${JSON.stringify(this.#received.toString('latin1'))}`);
    }
    return { status: Number(status), type: /^content-type: *([^\r\n]*)/im.exec(head)?.[1] ?? '', body, last };
  }
}
