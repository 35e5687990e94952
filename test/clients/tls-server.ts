/** TLS servers of the matrix: one process of each program, with a port of its own for each certificate. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { runProgram, until } from '../support/service.ts';

export class TlsServer {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #logFile: string | undefined;
  #said = '';

  private constructor(child: ChildProcess, logFile: string | undefined) {
    this.#child = child;
    this.#logFile = logFile;
    child.stdout?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    this.#ended = new Promise((done) => child.once('close', () => done()));
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('close', () => process.off('exit', kill));
  }

  /** Returns when it listens. @throws with its last words when it ends instead. */
  static async start(program: string, args: readonly string[], port: number, logFile?: string): Promise<TlsServer> {
    const server = new TlsServer(spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] }), logFile);
    await until(`${program} is up`, () => {
      if (server.#child.exitCode !== null) throw new Error(`${program} ended: ${server.log}`);
      return canConnect(port);
    });
    return server;
  }

  /** What it wrote to its error log, or said. */
  get log(): string {
    return this.#logFile === undefined ? this.#said : this.#said + readFileSync(this.#logFile, 'utf8');
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}

/** What a visitor is shown who asks for the status: that of the certificate, or of the response, or that there was none. */
export async function visit(
  port: number,
  ca: string,
): Promise<{ readonly staple: string | undefined; readonly said: string }> {
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-status', '-CAfile', ca];
  const { stdout, stderr } = await runProgram('openssl', args, { input: '' }).done;
  const said = stdout + stderr;
  if (!stdout.includes('Verify return code: 0 (ok)') && !stdout.includes('Verification: OK'))
    throw new Error(`no handshake: ${said}`);
  const response = /OCSP Response Status: (\w+)/.exec(stdout)?.[1];
  const certificate = /Cert Status: (\w+)/.exec(stdout)?.[1];
  return { staple: response === 'successful' ? certificate : response === 'trylater' ? 'tryLater' : response, said };
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (open: boolean): void => {
      socket.destroy();
      done(open);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
