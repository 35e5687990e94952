/** deploy/edge/balance.cfg as an operator runs it, before the responders of a test: its lines for them replaced by theirs. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePorts, until } from './service.ts';

const SHIPPED = resolve(import.meta.dirname, '../../../deploy/edge/balance.cfg');
export const needsHaproxy = spawnSync('haproxy', ['-v']).error === undefined ? false : 'needs haproxy';

export interface Balanced {
  readonly name: string;
  readonly ports: { readonly public: number; readonly admin: number };
}

export class Balancer {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #said = '';

  private constructor(port: number, directory: string, file: string) {
    this.port = port;
    this.#directory = directory;
    const env = { ...process.env, BALANCE_BIND: `127.0.0.1:${port}` };
    this.#child = spawn('haproxy', ['-db', '-f', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    process.once('exit', () => this.#child.kill('SIGKILL'));
  }

  /** Resolves when it takes connections. */
  static async start(responders: readonly Balanced[]): Promise<Balancer> {
    const [port] = (await freePorts(1)) as [number];
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-balance-'));
    const file = join(directory, 'balance.cfg');
    const [above, below] = readFileSync(SHIPPED, 'utf8').split(/^(?: *server .*\n)+/m);
    if (above === undefined || below === undefined) throw new Error('no lines of responders in the shipped file');
    const servers = responders.map(
      ({ name, ports }) => `    server ${name} 127.0.0.1:${ports.public} port ${ports.admin}\n`,
    );
    // The same checks, at a tenth of the intervals: a test has ten of them to wait for.
    const quick = (above + servers.join('') + below).replace('inter 2s fastinter 500ms', 'inter 200ms fastinter 50ms');
    writeFileSync(file, quick);
    const balancer = new Balancer(port, directory, file);
    await until('the balancer listens', () => {
      if (balancer.#child.exitCode !== null) throw new Error(`haproxy ended: ${balancer.#said}`);
      return accepts(port);
    });
    return balancer;
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once('close', done));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}
