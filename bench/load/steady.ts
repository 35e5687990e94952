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
  return { latencies: Float64Array.from(latencies).sort(), failures };
}

/** @param share 0.99 for p99. */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

class Connection {
  readonly #socket: Socket;
  #received: Buffer[] = [];
  #done: ((head: string, body: Buffer) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.#received.push(chunk);
      this.#read();
    });
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    return new Connection(socket);
  }

  ask(request: Buffer | string, done: (head: string, body: Buffer) => void): void {
    this.#done = done;
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(): void {
    const bytes = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received);
    const end = bytes.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = bytes.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (bytes.length < end + 4 + length) return;
    this.#received = [];
    this.#done?.(head, bytes.subarray(end + 4));
  }
}
