/**
 * The public listener: one port for every client, HTTP/1.0 and 1.1, without native code (design §5).
 *
 * A node:net server answers the request that arrives whole in one chunk itself, from bytes prepared per reply. Every
 * other connection goes to node:http with its unread octets and stays there, so framing in all its forms is decided by
 * node:http alone. Replies leave in the order of the requests: while one waits, what follows on its connection waits too.
 *
 * Bounded: connections, octets per request (ports/front.ts), time without a request, time for a request to arrive, time
 * without progress while a reply is read, and for the whole of it. When all places are taken, those who have not used theirs for
 * longest make room for newcomers, so a client that opens connections and says nothing keeps nobody out for longer than it takes
 * to notice. Clients' addresses are not kept (design decision 13), so no address has a share of its own.
 */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Problem } from '../../core/problem.ts';
import {
  LEAST_OCTETS_PER_SECOND,
  LONGEST_REPLY_MS,
  STALLED_MS,
  type Answer,
  type Front,
  type Shed,
} from '../../ports/front.ts';
import { acceptBare, BareConnection, canBeBare, type BareHost } from './bare-connection.ts';
import { Connection, type Limits } from './connection.ts';
import { Fallback } from './fallback.ts';

export interface PublicFrontOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly answer: Answer;
  /**
   * Where several processes accept from the port: a listening socket from another of them, or one of each (Node 22.12). Also one from the
   * service manager: `{ fd }`.
   */
  readonly shared?: { readonly handle: object | undefined } | undefined;
  /** Beyond it the longest idle are closed; where none is idle, the newcomer is, unanswered. Keep it below the limit of open files. Default 15000. */
  readonly maxConnections?: number;
  /** How long a kept connection may stay idle, in ms. Default 15 s. */
  readonly idleMs?: number;
  /** How long a request, head and body, may take to arrive, in ms. Default 10 s. */
  readonly requestMs?: number;
  /** How long a reply may wait for a reader that takes nothing, in ms. Default 20 s. */
  readonly writeMs?: number;
  /** The same for a large reply. */
  readonly stalledMs?: number;
  /**
   * How connections are held: `bare` (default) without a net.Socket while they are plain, see bare-connection.ts, or
   * `socket` always. Bare is about twice as fast for one request per connection (bench/README.md).
   */
  readonly hold?: 'bare' | 'socket';
  /** Told of each connection that is ended before its client ends it. */
  readonly shed?: ((reason: Shed) => void) | undefined;
}

/** @throws Problem `config` naming host and port when it cannot listen there. */
export async function openPublicFront(options: PublicFrontOptions): Promise<Front> {
  const listener = new Listener(options);
  await listener.listen(options);
  return listener;
}

class Listener implements Front, BareHost {
  readonly engine = 'node';
  readonly limits: Limits;
  readonly answer: Answer;
  readonly fallback: Fallback;
  readonly shed: (reason: Shed) => void;
  closing = false;
  tick = 0;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #bare = new Set<BareConnection>();
  readonly #maxConnections: number;
  /** Set by close(): called when the last connection is gone. */
  #emptied: () => void = () => undefined;
  readonly #sweeper: NodeJS.Timeout;
  #accepted = 0;

  constructor(options: PublicFrontOptions) {
    const { answer, maxConnections = 15_000, idleMs = 15_000, requestMs = 10_000, writeMs = 20_000 } = options;
    const { stalledMs = STALLED_MS } = options;
    const sweepMs = Math.max(10, Math.min(1000, Math.min(idleMs, requestMs) / 4));
    const [idleTicks, requestTicks, writeTicks] = [idleMs, requestMs, writeMs].map((ms) => Math.ceil(ms / sweepMs));
    this.answer = answer;
    const octetsPerTick = (LEAST_OCTETS_PER_SECOND * sweepMs) / 1000;
    const longestTicks = Math.ceil(LONGEST_REPLY_MS / sweepMs);
    this.limits = { idleTicks, requestTicks, writeTicks, writeMs, stalledMs, octetsPerTick, longestTicks } as Limits;
    this.shed = options.shed ?? (() => undefined);
    this.fallback = new Fallback(answer, { idleMs, requestMs, writeMs, stalledMs, sweepMs }, this.shed);
    this.#maxConnections = maxConnections;
    let settled = options.hold === 'socket';
    // allowHalfOpen: a client may say that it is done sending and still wait for the reply.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#accepted++;
      if (!this.#hasRoom()) return void socket.destroy();
      this.#connections.add(new Connection(socket, this));
      // The first connection that is answered shows how this Node holds one; later ones are bare if all is as expected.
      if (settled) return;
      canBeBare(socket, (tools) => {
        if (settled) return;
        settled = true;
        acceptBare(this.#server, (handle) => {
          this.#accepted++;
          if (!this.#hasRoom()) return void handle.close();
          this.#bare.add(new BareConnection(handle, tools, this));
        });
      });
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  get connections(): number {
    return this.#connections.size + this.#bare.size;
  }

  /** Is there a place for one more connection, if need be one that somebody else has not used for long? */
  #hasRoom(): boolean {
    if (this.connections < this.#maxConnections || this.#makeRoom()) return true;
    this.shed('full');
    return false;
  }

  /**
   * Many at once, so that looking through all of them is seldom. First whoever owes us a request or the rest of it, then whoever has
   * been taking a reply for longest; a client whose request is being answered stays.
   */
  #makeRoom(): boolean {
    const most = Math.max(1, Math.floor(this.#maxConnections / 20));
    const idle = (one: Connection | BareConnection): boolean => (one instanceof Connection ? one.spare : one.idle);
    const all = [...this.#bare, ...this.#connections];
    const spare = all.filter(idle).sort((a, b) => a.expiresAtTick - b.expiresAtTick);
    const slow = spare.length > 0 ? [] : [...this.#connections].filter(({ slow }) => slow);
    for (const one of [...spare, ...slow].slice(0, most)) {
      this.shed('room');
      if (one instanceof Connection) one.socket.destroy();
      else one.close();
      // A socket says only later that it is closed; its place is free now.
      this.gone(one);
    }
    return this.connections < this.#maxConnections;
  }

  gone(connection: Connection | BareConnection): void {
    if (connection instanceof Connection) this.#connections.delete(connection);
    else this.#bare.delete(connection);
    if (this.connections === 0) this.#emptied();
  }

  /** A connection that is bare no longer. */
  adopt(connection: Connection): void {
    this.#connections.add(connection);
  }

  get address(): { readonly host: string; readonly port: number } {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  listen({ host, port, shared }: PublicFrontOptions): Promise<void> {
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
      const own = { host, port, backlog: BACKLOG, ...(shared !== undefined && { exclusive: true, reusePort: true }) };
      this.#server.listen(shared?.handle ?? own, ...(shared?.handle === undefined ? [] : [BACKLOG]), () => {
        this.#server.removeAllListeners('error');
        // From now on an error is one accept() that failed (out of files): its client is lost, the others are not.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  drain(): void {
    this.closing = true;
    this.fallback.closing = true;
  }

  async close(graceMs: number): Promise<void> {
    this.drain();
    const kill = setTimeout(() => this.#destroyAll(), graceMs);
    // Connections that the kernel has set up but not handed over would be reset with the port: take them in first.
    for (let turn = 0, before = -1; turn < 50 && before !== this.#accepted; turn++) {
      before = this.#accepted;
      // The second callback comes after the event loop has polled once more.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    const closed = new Promise((resolve) => this.#server.close(resolve));
    const emptied = new Promise<void>((resolve) => (this.#emptied = resolve));
    if (this.#connections.size + this.#bare.size === 0) this.#emptied();
    // An idle connection may have a request on its way: it is answered, with `Connection: close`, if it comes soon.
    const linger = setTimeout(() => this.#closeIdle(), Math.min(graceMs, LINGER_MS));
    await Promise.all([closed, emptied]);
    clearTimeout(linger);
    clearTimeout(kill);
    clearInterval(this.#sweeper);
    this.fallback.close();
  }

  #closeIdle(): void {
    for (const connection of this.#connections) if (connection.idle) connection.socket.destroy();
    for (const connection of this.#bare) if (connection.idle) connection.close();
    this.fallback.closeIdle();
  }

  #destroyAll(): void {
    for (const connection of this.#connections) connection.socket.destroy();
    for (const connection of this.#bare) connection.close();
  }

  #sweep(): void {
    this.tick++;
    for (const connection of this.#connections) {
      if (connection.expiresAtTick >= this.tick || !(connection.idle || connection.writing)) continue;
      this.shed(connection.idle ? 'idle' : 'slow-reader');
      connection.socket.destroy();
    }
    for (const connection of this.#bare) {
      if (connection.expiresAtTick >= this.tick) continue;
      this.shed(connection.idle ? 'idle' : 'slow-reader');
      connection.close();
    }
  }
}

/** Connections that the kernel has set up and nobody has taken. */
const BACKLOG = 4096;
/**
 * How long requests already on their way to an idle connection are waited for when the front closes: the way around the world and
 * back, and a client that is slow to begin. What comes later is reset, and lost where the client does not ask again.
 */
const LINGER_MS = 1000;
