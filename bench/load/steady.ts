/**
 * Questions at a fixed rate over kept connections, one at a time on each. A question's time runs from the instant at which it was to be
 * sent, whether or not a connection was free then: a server that stalls is charged for everything that had to wait.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SteadyLoad {
  readonly port: number;
  readonly perSecond: number;
  readonly seconds: number;
  readonly connections: number;
  /** The next request, whole. */
  readonly request: () => Buffer | string;
  /** @returns why the answer is wrong; undefined when it is right. */
  readonly check: (head: string, body: Buffer) => string | undefined;
}

export interface SteadyResult {
  /** Milliseconds, ascending. */
  readonly latencies: Float64Array;
  readonly failures: ReadonlyMap<string, number>;
  /** Connections that the server had closed, as it may after an idle while, and that were opened anew. */
  readonly reopened: number;
}

export async function steady(load: SteadyLoad): Promise<SteadyResult> {
  const total = Math.floor(load.perSecond * load.seconds);
  const latencies: number[] = [];
  const failures = new Map<string, number>();
  const idle: Connection[] = [];
  const all: Connection[] = [];
  /** Intended instants of questions that wait for a connection. */
  const waiting: number[] = [];
  const ask = (connection: Connection, at: number): void =>
    connection.ask(load.request(), (head, body) => {
      latencies.push(performance.now() - at);
      const why = load.check(head, body);
      if (why !== undefined) failures.set(why, (failures.get(why) ?? 0) + 1);
      const next = waiting.shift();
      if (next === undefined) idle.push(connection);
      else ask(connection, next);
    });
  for (let i = 0; i < load.connections; i++) all.push(await Connection.open(load.port));
  idle.push(...all);
  const started = performance.now();
  for (let sent = 0; sent < total;) {
    for (; sent < total && started + (sent * 1000) / load.perSecond <= performance.now(); sent++) {
      const at = started + (sent * 1000) / load.perSecond;
      const connection = idle.pop();
      if (connection === undefined) waiting.push(at);
      else ask(connection, at);
    }
    await sleep(1);
  }
  for (const end = performance.now() + 10_000; latencies.length < total && performance.now() < end;) await sleep(5);
  for (const connection of all) connection.close();
  const lost = total - latencies.length;
  if (lost > 0) failures.set('no answer', lost);
  const reopened = all.reduce((sum, connection) => sum + connection.reopened, 0);
  return { latencies: Float64Array.from(latencies).sort(), failures, reopened };
}

/** @param share 0.99 for p99. */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

class Connection {
  readonly #port: number;
  #socket: Socket;
  #received: Buffer[] = [];
  #asked: Buffer | string | undefined;
  #done: ((head: string, body: Buffer) => void) | undefined;
  #closing = false;
  reopened = 0;

  private constructor(port: number) {
    this.#port = port;
    this.#socket = this.#connect();
  }

  static async open(port: number): Promise<Connection> {
    const connection = new Connection(port);
    await once(connection.#socket, 'connect');
    return connection;
  }

  ask(request: Buffer | string, done: (head: string, body: Buffer) => void): void {
    this.#asked = request;
    this.#done = done;
    this.#socket.write(request);
  }

  close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  #connect(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.#received.push(chunk);
      this.#read();
    });
    // Like any client: what was asked on a connection that was being closed is asked again.
    socket.on('close', () => {
      if (this.#closing) return;
      this.reopened += 1;
      this.#received = [];
      this.#socket = this.#connect();
      if (this.#asked !== undefined) this.#socket.write(this.#asked);
    });
    return socket;
  }

  #read(): void {
    const bytes = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received);
    const end = bytes.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = bytes.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (bytes.length < end + 4 + length) return;
    this.#received = [];
    this.#asked = undefined;
    this.#done?.(head, bytes.subarray(end + 4));
  }
}
