/**
 * The proxies of deploy/edge as their operators run them: the shipped file, with addresses of this machine in place of those
 * in its marked lines, and the real program in the foreground. And what stands behind them when the test wants to see what
 * they pass on.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePorts, until } from './service.ts';

const EDGE = resolve(import.meta.dirname, '../../../deploy/edge');
export type EdgeName = 'haproxy' | 'nginx' | 'varnish';
export const EDGES: readonly EdgeName[] = ['haproxy', 'nginx', 'varnish'];

/** Why this one cannot be tested here, or false. */
export function edgeMissing(name: EdgeName): string | false {
  const program = name === 'varnish' ? 'varnishd' : name;
  const wanted = name === 'varnish' ? [program, 'cc'] : [program];
  const absent = wanted.filter((one) => spawnSync('sh', ['-c', `command -v ${one}`]).status !== 0);
  return absent.length > 0 && `needs ${absent.join(', ')}`;
}

export class Edge {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #said = '';

  private constructor(port: number, directory: string, { program, args, env = {} }: Command) {
    this.port = port;
    this.#directory = directory;
    this.#child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    if (running.size === 0) process.once('exit', () => running.forEach((edge) => edge.#child.kill('SIGTERM')));
    running.add(this);
  }

  /** Resolves when it accepts connections. `change` is for a test that breaks the file on purpose. */
  static async start(
    name: EdgeName,
    behind: { readonly origin: number; readonly public: number },
    change = (text: string): string => text,
  ): Promise<Edge> {
    const [port] = (await freePorts(1)) as [number];
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-edge-'));
    const edge = new Edge(port, directory, commands[name](port, directory, behind, change));
    await until(`${name} listens`, () => {
      const { exitCode } = edge.#child;
      if (exitCode !== null) throw new Error(`${name} ended with ${exitCode}: ${edge.#said}`);
      return accepts(port);
    });
    return edge;
  }

  /** Ends it, its workers included. */
  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once('close', done));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      await ended;
    }
    running.delete(this);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const running = new Set<Edge>();

interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const commands: Record<
  EdgeName,
  (
    port: number,
    directory: string,
    behind: { readonly origin: number; readonly public: number },
    change: (text: string) => string,
  ) => Command
> = {
  haproxy(port, directory, behind, change) {
    const file = join(directory, 'haproxy.cfg');
    writeFileSync(file, change(shipped('haproxy.cfg')));
    const env = {
      EDGE_BIND: `127.0.0.1:${port}`,
      ORIGIN: `127.0.0.1:${behind.origin}`,
      PUBLIC: `127.0.0.1:${behind.public}`,
      EDGE_CACHE_MB: '16',
      EDGE_NAME: `certstatus-edge-${port}`,
    };
    return { program: 'haproxy', args: ['-db', '-f', file], env };
  },
  nginx(port, directory, behind, change) {
    const file = join(directory, 'nginx.conf');
    const text = replaceAll(shipped('nginx.conf'), {
      'server 127.0.0.1:8082;': `server 127.0.0.1:${behind.origin};`,
      'server 127.0.0.1:8080 backup;': `server 127.0.0.1:${behind.public} backup;`,
      'listen 80 ': `listen 127.0.0.1:${port} `,
      'worker_processes auto;': 'worker_processes 2;',
    });
    writeFileSync(file, change(text));
    // Started as root it would change to a user who may not enter the scratch directory.
    const user = process.getuid?.() === 0 ? ' user root;' : '';
    return { program: 'nginx', args: ['-p', directory, '-c', file, '-e', 'stderr', '-g', `daemon off;${user}`] };
  },
  varnish(port, directory, behind, change) {
    const file = join(directory, 'varnish.vcl');
    const text = replaceAll(shipped('varnish.vcl'), {
      '.port = "8082";': `.port = "${behind.origin}";`,
      '.port = "8080";': `.port = "${behind.public}";`,
    });
    writeFileSync(file, change(text));
    const work = join(directory, 'work');
    mkdirSync(work);
    const where = ['-F', '-j', 'none', '-n', work, '-a', `127.0.0.1:${port}`, '-f', file];
    return { program: 'varnishd', args: [...where, '-s', 'malloc,32m', '-p', 'backend_idle_timeout=8'] };
  },
};

function shipped(name: string): string {
  return readFileSync(join(EDGE, name), 'utf8');
}

/** @throws when the shipped file no longer has what is to be replaced. */
function replaceAll(text: string, changes: Readonly<Record<string, string>>): string {
  let changed = text;
  for (const [from, to] of Object.entries(changes)) {
    if (changed.split(from).length !== 2) throw new Error(`not once in the shipped file: ${from}`);
    changed = changed.replace(from, to);
  }
  return changed;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** What reached the other side of a proxy. */
export interface Arrived {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  readonly version: string;
  readonly host: string | undefined;
  readonly body: string;
}

/** Stands where the listeners stand, and remembers what arrives there; health checks (`GET /`) aside. */
export class Recorder {
  readonly arrived: Arrived[] = [];
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** @param reply writes the answer; `count` is how many questions came before, health checks aside. */
  static async start(
    reply: (count: number, question: IncomingMessage, response: ServerResponse) => void,
  ): Promise<Recorder> {
    const server = createServer((question, response) => {
      const chunks: Buffer[] = [];
      question.on('data', (chunk: Buffer) => chunks.push(chunk));
      question.on('end', () => {
        if (question.method === 'GET' && question.url === '/') return void response.end('alive');
        recorder.arrived.push({
          method: question.method ?? '',
          target: question.url ?? '',
          version: question.httpVersion,
          host: question.headers.host,
          body: Buffer.concat(chunks).toString('latin1'),
        });
        reply(recorder.arrived.length, question, response);
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const recorder = new Recorder(server, (server.address() as AddressInfo).port);
    return recorder;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
