/**
 * A hostile client, as a process of its own: it has as many files as the service, and the service's memory is not its own. What it
 * does comes as JSON in its first argument; what it has seen goes to standard output, one JSON line every quarter of a second. It
 * ends with its standard input.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** Ways to hold a connection. */
export type Held =
  /** Says nothing. */
  | 'silent'
  /** Asks once, and keeps the connection. */
  | 'kept'
  /** Sends its head, or its body, an octet a second. */
  | 'slow-head'
  | 'slow-body'
  /** Asks for `path` many times over, and reads nothing. */
  | 'reader'
  /** Sends half a request and ends its side. */
  | 'half-closed';

export interface Plan {
  readonly port: number;
  /** Of each kind so many connections, which are opened anew for as long as the process lives if `again` is set. */
  readonly hold?: Readonly<Partial<Record<Held, number>>>;
  readonly again?: boolean;
  readonly path?: string;
  /** Requests about serials that nobody issued, over so many connections. */
  readonly flood?: {
    readonly connections: number;
    /** A request of the issuer, base64, and where in it sixteen octets of serial stand. */
    readonly request: string;
    readonly serialAt: number;
    readonly path: string;
    readonly count: number;
    /** A Host, a header name and a query of its own in each. */
    readonly variety?: boolean;
  };
}

export interface Report {
  /** Connections that were established, are open, and were ended by the other side. */
  readonly opened: number;
  readonly open: number;
  readonly ended: number;
  /** Answers of the flood by the OCSP error, `signed`, `other`, or `none` when the connection was closed first. */
  readonly answers: Readonly<Record<string, number>>;
  /** The flood has sent everything and has all answers. */
  readonly done: boolean;
}

/** The process, seen from the test. */
export class Abuser {
  report: Report = { opened: 0, open: 0, ended: 0, answers: {}, done: false };
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(plan: Plan) {
    const command = [...setpriv, process.execPath, fileURLToPath(import.meta.url), JSON.stringify(plan)];
    const child = spawn(command[0] as string, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    let rest = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() as string;
      const last = lines.at(-1);
      if (last !== undefined) this.report = JSON.parse(last) as Report;
    });
    this.#exited = new Promise((done) => child.once('close', () => done()));
    this.#child = child;
  }

  /** From now on it opens none anew. */
  relent(): void {
    this.#child.stdin?.write('\n');
  }

  /** All its connections go. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.#exited;
  }
}

const setpriv = spawnSync('setpriv', ['--version']).error === undefined ? ['setpriv', '--pdeathsig', 'KILL'] : [];

const seen = { opened: 0, open: 0, ended: 0, answers: {} as Record<string, number>, done: false };
const sockets = new Set<Socket>();

function open(port: number, connected: (socket: Socket) => void): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  sockets.add(socket);
  let established = false;
  socket.once('connect', () => {
    established = true;
    seen.opened += 1;
    seen.open += 1;
    connected(socket);
  });
  socket.on('error', () => undefined);
  socket.once('close', () => {
    sockets.delete(socket);
    if (!established) return;
    seen.open -= 1;
    seen.ended += 1;
  });
  return socket;
}

function hold(port: number, kind: Held, path: string): Socket {
  return open(port, (socket) => {
    const drip = (octets: string): void => {
      let at = 0;
      const timer = setInterval(() => socket.write(octets[at++ % octets.length] as string), 1000);
      socket.once('close', () => clearInterval(timer));
    };
    switch (kind) {
      case 'silent':
        return void socket.resume();
      case 'kept':
        socket.write(`GET ${path} HTTP/1.1\r\nHost: abuse\r\n\r\n`);
        return void socket.resume();
      case 'slow-head':
        socket.write('GET / HTTP/1.1\r\nHost: a');
        socket.resume();
        return drip('buse');
      case 'slow-body':
        socket.write('POST / HTTP/1.1\r\nHost: abuse\r\nContent-Length: 4000\r\n\r\n');
        socket.resume();
        return drip('0');
      case 'reader':
        socket.pause();
        return void socket.write(`GET ${path} HTTP/1.1\r\nHost: abuse\r\n\r\n`.repeat(64));
      case 'half-closed':
        socket.end('GET / HTTP/1.1\r\nHos');
        return void socket.resume();
    }
  });
}

/** In waves, so that the kernel's queue takes them all. */
let relenting = false;
async function holdAll({ port, hold: counts = {}, again = false, path = '/' }: Plan): Promise<void> {
  const kinds = Object.entries(counts).flatMap(([kind, count]) => Array<Held>(count).fill(kind as Held));
  // Every kind from the beginning on.
  const mixed = kinds.map((kind, i) => ({ kind, order: (i * 7919) % kinds.length })).sort((a, b) => a.order - b.order);
  const keep = (kind: Held): void => {
    const socket = hold(port, kind, path);
    if (again) socket.once('close', () => setTimeout(() => void (relenting || keep(kind)), 250));
  };
  for (let i = 0; i < mixed.length; i += 100) {
    for (const { kind } of mixed.slice(i, i + 100)) keep(kind);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const STATUS: Readonly<Record<number, string>> = { 1: 'malformedRequest', 2: 'internalError', 3: 'tryLater', 6: 'unauthorized' }; // prettier-ignore

function floodFrom({ port, flood }: Plan): void {
  if (flood === undefined) return;
  const { connections, path, count, variety = false } = flood;
  const request = Buffer.from(flood.request, 'base64');
  let [sent, answered] = [0, 0];
  const next = (socket: Socket): boolean => {
    if (sent >= count) return false;
    sent += 1;
    // Positive, and no octet to be left out.
    const serial = randomBytes(16);
    serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
    serial.copy(request, flood.serialAt);
    const own = variety ? randomBytes(8).toString('hex') : '';
    const target = variety && sent % 3 === 0 ? `${path}?${own}` : path;
    const fields = variety ? `Host: ${own}.example\r\nX-${own}: ${own}\r\n` : 'Host: abuse\r\n';
    socket.write(`POST ${target} HTTP/1.1\r\n${fields}Content-Length: ${request.length}\r\n\r\n`, 'latin1');
    socket.write(Buffer.from(request));
    return true;
  };
  const tally = (what: string): void => {
    seen.answers[what] = (seen.answers[what] ?? 0) + 1;
    answered += 1;
    if (answered === count) seen.done = true;
  };
  const start = (): void => {
    open(port, (socket) => {
      socket.setNoDelay(true);
      let waits = next(socket);
      socket.once('close', () => {
        if (waits) tally('none');
        if (sent < count) start();
      });
      let received: Buffer = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const end = received.indexOf('\r\n\r\n');
        if (end === -1) return;
        const head = received.toString('latin1', 0, end);
        const length = Number(/content-length: *(\d+)/i.exec(head)?.[1]);
        if (received.length < end + 4 + length) return;
        const body = received.subarray(end + 4, end + 4 + length);
        const what = !head.includes(' 200 ') ? 'other' : length === 5 ? (STATUS[body[4] as number] ?? 'other') : 'signed'; // prettier-ignore
        received = received.subarray(end + 4 + length);
        tally(what);
        waits = next(socket);
      });
    });
  };
  for (let i = 0; i < connections; i++) start();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const plan = JSON.parse(process.argv[2] as string) as Plan;
  const tell = (): void => void process.stdout.write(`${JSON.stringify(seen)}\n`);
  setInterval(tell, 250);
  process.stdin.on('data', () => (relenting = true));
  process.stdin.once('end', () => {
    tell();
    process.exit();
  });
  void holdAll(plan);
  floodFrom(plan);
}
