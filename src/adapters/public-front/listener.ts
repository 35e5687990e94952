/**
 * The public listener: one port for every client, HTTP/1.0 and 1.1, without native code (design §5).
 *
 * A node:net server answers the request that arrives whole in one chunk itself, from bytes prepared per reply. Every
 * other connection goes to node:http with its unread octets and stays there, so framing in all its forms is decided by
 * node:http alone. Replies leave in the order of the requests: while one waits, what follows on its connection waits too.
 *
 * Bounded: connections, octets per request (ports/front.ts), time without a request, time for a request to arrive, time
 * without progress while a reply is read. Clients' addresses are not kept (design decision 13).
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Problem } from '../../core/problem.ts';
import type { Answer, Front, Reply } from '../../ports/front.ts';
import { Fallback } from './fallback.ts';
import { readWhole } from './request.ts';
import { writeReply } from './wire.ts';

export interface PublicFrontOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly answer: Answer;
  /** Connections above are closed unanswered. Keep it below the limit of open files. Default 15000. */
  readonly maxConnections?: number;
  /** How long a kept connection may stay idle, in ms. Default 15 s. */
  readonly idleMs?: number;
  /** How long a request, head and body, may take to arrive, in ms. Default 10 s. */
  readonly requestMs?: number;
  /** How long a reply may wait for a reader that takes nothing, in ms. Default 20 s. */
  readonly writeMs?: number;
}

/** @throws Problem `config` naming host and port when it cannot listen there. */
export async function openPublicFront(options: PublicFrontOptions): Promise<Front> {
  const listener = new Listener(options);
  await listener.listen(options.host, options.port);
  return listener;
}

class Listener implements Front {
  readonly engine = 'node';
  readonly limits: Limits;
  readonly answer: Answer;
  readonly fallback: Fallback;
  readonly connections = new Set<Connection>();
  closing = false;
  /** Counts sweeps: the clock of time-outs, which a step of the wall clock cannot disturb and a hit need not read. */
  tick = 0;
  readonly #server: Server;
  readonly #sweeper: NodeJS.Timeout;
  #accepted = 0;

  constructor(options: PublicFrontOptions) {
    const { answer, maxConnections = 15_000, idleMs = 15_000, requestMs = 10_000, writeMs = 20_000 } = options;
    const sweepMs = Math.max(10, Math.min(1000, Math.min(idleMs, requestMs) / 4));
    this.answer = answer;
    this.limits = { idleTicks: Math.ceil(idleMs / sweepMs), requestTicks: Math.ceil(requestMs / sweepMs), writeMs };
    this.fallback = new Fallback(answer, { idleMs, requestMs, writeMs, sweepMs });
    // allowHalfOpen: a client may say that it is done sending and still wait for the reply.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#accepted++;
      this.connections.add(new Connection(socket, this));
    });
    this.#server.maxConnections = maxConnections;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  get address(): { readonly host: string; readonly port: number } {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => {
        clearInterval(this.#sweeper);
        this.fallback.close();
        reject(
          new Problem('config', `cannot listen: ${error.message}`, {
            field: 'public listener',
            value: `${host}:${port}`,
          }),
        );
      });
      this.#server.listen({ host, port, backlog: 4096 }, () => {
        this.#server.removeAllListeners('error');
        // From now on an error is one accept() that failed (out of files): its client is lost, the others are not.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  async close(graceMs: number): Promise<void> {
    this.closing = true;
    this.fallback.closing = true;
    const closed = new Promise((resolve) => this.#server.once('close', resolve));
    const kill = setTimeout(() => this.#destroyAll(), graceMs);
    // Connections that the kernel has set up but not handed over would be reset with the port: take them in first.
    for (let turn = 0, before = -1; turn < 50 && before !== this.#accepted; turn++) {
      before = this.#accepted;
      // The second callback comes after the event loop has polled once more.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    this.#server.close();
    // An idle connection may have a request on its way: it is answered, with `Connection: close`, if it comes soon.
    const linger = setTimeout(() => this.#closeIdle(), Math.min(graceMs, LINGER_MS));
    await closed;
    clearTimeout(linger);
    clearTimeout(kill);
    clearInterval(this.#sweeper);
    this.fallback.close();
  }

  #closeIdle(): void {
    for (const connection of this.connections) if (connection.idle) connection.socket.destroy();
    this.fallback.closeIdle();
  }

  #destroyAll(): void {
    for (const connection of this.connections) connection.socket.destroy();
  }

  #sweep(): void {
    this.tick++;
    for (const connection of this.connections) {
      if (connection.idle && connection.expiresAtTick < this.tick) connection.socket.destroy();
    }
  }
}

interface Limits {
  readonly idleTicks: number;
  readonly requestTicks: number;
  readonly writeMs: number;
}

class Connection {
  readonly socket: Socket;
  readonly #listener: Listener;
  /** Until when a request must have come; renewed with each reply. */
  expiresAtTick: number;
  #state: 'reading' | 'answering' | 'writing' | 'handed over' = 'reading';
  /** What came while a reply was under way. */
  #waiting: Buffer | undefined;
  #ended = false;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;

  constructor(socket: Socket, listener: Listener) {
    this.socket = socket;
    this.#listener = listener;
    this.expiresAtTick = listener.tick + listener.limits.requestTicks;
    this.#onData = (chunk) => this.#read(chunk);
    this.#onEnd = () => this.#end();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    // A client that goes away is its own affair; 'close' follows.
    socket.on('error', ignore);
    socket.on('close', () => listener.connections.delete(this));
  }

  /** Nothing of a request is here, and no reply is under way. */
  get idle(): boolean {
    return this.#state === 'reading';
  }

  #read(chunk: Buffer): void {
    if (this.#state !== 'reading') {
      this.#waiting = this.#waiting === undefined ? chunk : Buffer.concat([this.#waiting, chunk]);
      this.socket.pause();
      return;
    }
    const request = readWhole(chunk);
    if (request === undefined) return this.#handOver(chunk);
    const reply = this.#listener.answer(request);
    if (!(reply instanceof Promise)) return this.#reply(reply, request.keepAlive);
    this.#state = 'answering';
    void reply.then((late) => this.#reply(late, request.keepAlive));
  }

  #reply(reply: Reply, wanted: boolean): void {
    const { socket } = this;
    if (socket.destroyed) return;
    const keepAlive = wanted && !this.#ended && !this.#listener.closing;
    const flushed = writeReply(socket, reply, keepAlive);
    if (keepAlive && flushed) return this.#next();
    this.#state = 'writing';
    if (flushed) {
      // All is with the kernel, which sends it before the end: no shutdown() is needed, and close() says the same.
      socket.destroy();
      return;
    }
    socket.setTimeout(this.#listener.limits.writeMs, () => socket.destroy());
    if (!keepAlive) return socket.destroySoon();
    socket.once('drain', () => {
      socket.setTimeout(0);
      this.#next();
    });
  }

  /** The reply is out, the connection stays. */
  #next(): void {
    const { tick, limits } = this.#listener;
    this.#state = 'reading';
    this.expiresAtTick = tick + limits.idleTicks;
    const waiting = this.#waiting;
    if (waiting === undefined) {
      if (this.#ended) this.socket.end();
      return;
    }
    this.#waiting = undefined;
    this.socket.resume();
    this.#read(waiting);
  }

  #handOver(chunk: Buffer): void {
    const { socket } = this;
    this.#state = 'handed over';
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.setNoDelay(true);
    this.#listener.fallback.take(socket, chunk);
  }

  #end(): void {
    this.#ended = true;
    if (this.#state === 'reading') this.socket.destroy();
  }
}

function ignore(): void {
  // See where it is registered.
}

/** How long requests already on their way to an idle connection are waited for when the front closes. */
const LINGER_MS = 100;
