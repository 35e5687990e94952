/**
 * One process's share of a load, on one event loop: connections that each have at most one request under way.
 *
 * At a fixed rate the k-th request is due at start + k / rate and goes out on the first connection that is free then or later; its
 * latency counts from when it was due. The loop does not sleep while the next one is near, because a timer is a millisecond late.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { LatencyHistogram } from '../../core/latency-histogram.ts';
import type { Expected, Load, LoadResult, Sample } from './load.ts';
import { Questions } from './question-file.ts';
import { type HttpReply, ReplyReader } from './reply.ts';

const REPLY_TIMEOUT_MS = 5000;
const LOOK_MS = 250;
/** After a connection that was refused or broken: a server that is away is not hammered. */
const PAUSE_MS = 100;
/** A timer wakes up to this much too late. */
const TIMER_MS = 2;
const READ_OCTETS = 16_384;
const SAMPLES = 32;
/** Different things that went wrong; from here on they count as one. */
const MAX_FAILURES = 20;

/** @param progress called now and then with the replies so far. */
export function runLoad(load: Load, progress: (done: number) => void): Promise<LoadResult> {
  return new Promise((resolve) => new Run(load, progress, resolve).start());
}

interface Connection {
  socket: Socket | undefined;
  connected: boolean;
  /** Request under way; -1 for none. */
  index: number;
  /** When it was sent, or should have been. */
  from: number;
  /** For its time-out. */
  sentAt: number;
  /** Replies that came on this socket: who closes a connection that was kept may have done so before the request arrived. */
  replies: number;
  readonly reader: ReplyReader;
  readonly buffer: Buffer;
}

class Run {
  readonly #load: Load;
  readonly #progress: (done: number) => void;
  readonly #resolve: (result: LoadResult) => void;
  readonly #questions: Questions;
  readonly #draw: Uint32Array | undefined;
  readonly #check: (reply: HttpReply, serial: Buffer) => string | undefined;
  readonly #connections: Connection[] = [];
  readonly #idle: Connection[] = [];
  readonly #latency = new LatencyHistogram();
  readonly #lateness = new LatencyHistogram();
  readonly #failures = new Map<string, number>();
  readonly #samples: Sample[] = [];
  readonly #interval: number;
  #startedAt = 0;
  #cpu = process.cpuUsage();
  #sent = 0;
  #right = 0;
  #octets = 0;
  #ended = false;
  #look: NodeJS.Timeout | undefined;

  constructor(load: Load, progress: (done: number) => void, resolve: (result: LoadResult) => void) {
    this.#load = load;
    this.#progress = progress;
    this.#resolve = resolve;
    this.#questions = new Questions(load.requests);
    if (load.draw !== undefined) {
      const octets = readFileSync(load.draw);
      this.#draw = new Uint32Array(octets.buffer, octets.byteOffset, octets.length / 4);
    }
    this.#check = checkOf(load.expected);
    this.#interval = load.rate === undefined ? 0 : 1000 / load.rate;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#cpu = process.cpuUsage();
    this.#look = setInterval(() => this.#lookAround(), LOOK_MS);
    for (let i = 0; i < this.#load.connections; i++) {
      const connection: Connection = {
        socket: undefined,
        connected: false,
        index: -1,
        from: 0,
        sentAt: 0,
        replies: 0,
        reader: new ReplyReader(),
        buffer: Buffer.allocUnsafeSlow(READ_OCTETS),
      };
      this.#connections.push(connection);
      this.#free(connection);
    }
    if (this.#load.rate !== undefined) this.#tick();
  }

  /** It has no request under way: it takes the next one that is due, or waits for it. */
  #free(connection: Connection): void {
    if (this.#exhausted()) return this.#finishWhenQuiet();
    const now = performance.now();
    if (this.#load.rate === undefined) return this.#send(connection, now, now);
    const due = this.#startedAt + this.#sent * this.#interval;
    if (due <= now) this.#send(connection, due, now);
    else this.#idle.push(connection);
  }

  /** Sends what is due on connections that are free. */
  #tick(): void {
    if (this.#ended) return;
    const now = performance.now();
    let due = this.#startedAt + this.#sent * this.#interval;
    while (due <= now && this.#idle.length > 0 && !this.#exhausted()) {
      this.#lateness.record((now - due) * 1000);
      this.#send(this.#idle.pop() as Connection, due, now);
      due = this.#startedAt + this.#sent * this.#interval;
    }
    if (this.#exhausted()) return this.#finishWhenQuiet();
    const wait = due - performance.now();
    if (wait > 2 * TIMER_MS) setTimeout(() => this.#tick(), wait - TIMER_MS);
    else setImmediate(() => this.#tick());
  }

  #exhausted(): boolean {
    const { seconds, count, rate } = this.#load;
    if (count !== undefined && this.#sent >= count) return true;
    if (rate !== undefined) return this.#sent * this.#interval >= seconds * 1000;
    return performance.now() - this.#startedAt >= seconds * 1000;
  }

  #send(connection: Connection, from: number, now: number): void {
    const order = this.#load.first + this.#sent;
    this.#sent += 1;
    connection.index = this.#draw === undefined ? order % this.#questions.count : (this.#draw[order % this.#draw.length] as number); // prettier-ignore
    connection.from = from;
    connection.sentAt = now;
    connection.reader.reset();
    // Before it is connected node:net holds the request back.
    (connection.socket ?? this.#connect(connection)).write(this.#questions.request(connection.index));
  }

  #connect(connection: Connection): Socket {
    const { host, port } = this.#load;
    const onData = (octets: number, buffer: Uint8Array): boolean => {
      if (connection.socket === socket) this.#receive(connection, (buffer as Buffer).subarray(0, octets));
      return true;
    };
    const socket = connect({ host, port, noDelay: true, onread: { buffer: connection.buffer, callback: onData } });
    connection.socket = socket;
    connection.connected = false;
    connection.replies = 0;
    let broken: string | undefined;
    socket.once('connect', () => (connection.connected = true));
    socket.once('error', (error: NodeJS.ErrnoException) => (broken = error.code ?? error.message));
    socket.once('close', () => this.#closed(connection, socket, broken));
    return socket;
  }

  #receive(connection: Connection, chunk: Buffer): void {
    if (connection.index === -1) return this.#abandon(connection, 'octets after the reply');
    const read = connection.reader.push(chunk);
    if (read === 'more') return;
    if ('wrong' in read) return this.#abandon(connection, read.wrong);
    this.#replied(connection, read);
    // A server that was told to close closes: it then, and not this side, has to remember the connection (TIME-WAIT).
    if (this.#load.keep && !read.last) this.#free(connection);
  }

  #replied(connection: Connection, reply: HttpReply): void {
    const serial = this.#questions.serial(connection.index);
    connection.index = -1;
    connection.replies += 1;
    connection.sentAt = performance.now();
    const wrong = this.#check(reply, serial);
    if (wrong !== undefined) return this.#fail(wrong);
    this.#latency.record((connection.sentAt - connection.from) * 1000);
    this.#right += 1;
    this.#octets += reply.octets;
    // Each of the right replies is kept with the same probability.
    const place = this.#samples.length < SAMPLES ? this.#samples.length : Math.floor(Math.random() * this.#right);
    if (place < SAMPLES) this.#samples[place] = { serial: Buffer.from(serial), body: Buffer.from(reply.body) };
  }

  #closed(connection: Connection, socket: Socket, broken: string | undefined): void {
    if (connection.socket !== socket) return;
    connection.socket = undefined;
    let pause = false;
    if (connection.index !== -1) {
      const read = connection.reader.end();
      if (read !== undefined && 'status' in read) this.#replied(connection, read);
      else if (read === undefined && connection.replies > 0) {
        // RFC 9110 §9.2.2: it is asked again, once, on a connection of its own.
        this.#connect(connection).write(this.#questions.request(connection.index));
        return;
      } else {
        connection.index = -1;
        pause = true;
        this.#fail(read?.wrong ?? (connection.connected ? `closed without a reply${broken === undefined ? '' : ` (${broken})`}` : `no connection (${broken})`)); // prettier-ignore
      }
    } else if (this.#idle.includes(connection)) return; // It opens another one when a request is due.
    if (pause && !this.#ended) setTimeout(() => this.#free(connection), PAUSE_MS);
    else this.#free(connection);
  }

  /** The connection is of no use any more. */
  #abandon(connection: Connection, failure: string): void {
    this.#fail(failure);
    const { socket } = connection;
    connection.index = -1;
    connection.socket = undefined;
    socket?.destroy();
    const at = this.#idle.indexOf(connection);
    if (at === -1) setTimeout(() => this.#free(connection), PAUSE_MS);
  }

  #fail(what: string): void {
    const key = this.#failures.has(what) || this.#failures.size < MAX_FAILURES ? what : 'something else';
    this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
  }

  #lookAround(): void {
    this.#progress(this.#right);
    const now = performance.now();
    for (const connection of this.#connections) {
      if (connection.socket === undefined || now - connection.sentAt < REPLY_TIMEOUT_MS) continue;
      if (connection.index !== -1) this.#abandon(connection, `no reply within ${REPLY_TIMEOUT_MS / 1000} s`);
      else if (!this.#idle.includes(connection) && !this.#ended) this.#abandon(connection, 'not closed after the last reply'); // prettier-ignore
    }
    if (this.#exhausted()) this.#finishWhenQuiet();
  }

  #finishWhenQuiet(): void {
    if (this.#ended || this.#connections.some(({ index }) => index !== -1)) return;
    this.#ended = true;
    clearInterval(this.#look);
    const used = process.cpuUsage(this.#cpu);
    for (const { socket } of this.#connections) socket?.destroy();
    this.#resolve({
      right: this.#right,
      seconds: (performance.now() - this.#startedAt) / 1000,
      octets: this.#octets,
      failures: this.#failures,
      latency: this.#latency.counts,
      lateness: this.#lateness.counts,
      samples: this.#samples,
      cpuSeconds: (used.user + used.system) / 1e6,
    });
  }
}

/** @returns what is wrong with a reply. */
function checkOf({ status, body }: Expected): (reply: HttpReply, serial: Buffer) => string | undefined {
  const octets = body === 'answer' ? undefined : Buffer.from(body.hex, 'hex');
  const others = body === 'answer' || body.or === undefined ? undefined : Buffer.from(body.or, 'hex');
  return (reply, serial) => {
    if (reply.status !== status) return `HTTP status ${reply.status}`;
    if (octets !== undefined)
      return octets.equals(reply.body) || others?.equals(reply.body) === true
        ? undefined
        : `another body, of ${reply.body.length} octets`;
    return wrongAnswer(reply.body, serial);
  };
}

/** RFC 6960 §4.2.1: SEQUENCE { ENUMERATED successful, … }, somewhere in it the INTEGER that was asked about. Whole ones are checked as samples. */
function wrongAnswer(body: Buffer, serial: Buffer): string | undefined {
  const at = body[1] !== undefined && body[1] > 0x80 ? 2 + (body[1] & 0x7f) : 2;
  if (body[0] !== 0x30 || body[at] !== 0x0a) return `a body that is no OCSPResponse, of ${body.length} octets`;
  if (body[at + 2] !== 0) return `OCSP error ${ERRORS[body[at + 2] as number] ?? body[at + 2]}`;
  return body.includes(serial) ? undefined : 'an answer about another certificate';
}

/** OCSPResponseStatus, RFC 6960 §4.2.1. */
const ERRORS: Readonly<Record<number, string>> = {
  1: 'malformedRequest',
  2: 'internalError',
  3: 'tryLater',
  5: 'sigRequired',
  6: 'unauthorized',
};
