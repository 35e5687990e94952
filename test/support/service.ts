/**
 * The service as its operators run it: a process of its own on free loopback ports, with a data directory that is thrown
 * away, and the commands beside it. Nothing of it runs inside the test.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { Agent, request } from 'node:https';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { localAdminToken } from '../../src/apps/admin/local-secret.ts';
import { exchange, type HttpAnswer } from './http.ts';
import { issuerFromFile, type OcspIssuer } from './ocsp-client.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const START_MS = 60_000;
const COMMAND_MS = 120_000;

export interface Ports {
  readonly public: number;
  readonly origin: number;
  readonly intake: number;
  readonly admin: number;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A client certificate and its key, PEM. */
export interface Credentials {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface ApiAnswer {
  readonly status: number;
  readonly type: string;
  // Tests look at whatever the intake answers.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

export class Service {
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-e2e-'));
  readonly data = join(this.directory, 'data');
  /** Standard error of every run so far. */
  log = '';
  /** Standard output likewise. */
  out = '';
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);
  #agents = new Map<Credentials | undefined, Agent>();
  readonly #env: Readonly<Record<string, string>>;
  readonly ports: Ports;
  /** What `serve` is started with, e.g. `prlimit --nofile=256`. */
  launcher: readonly string[] = [];
  /** What is run: of another version, where a test upgrades (test/support/other-version.ts). */
  program = CLI;
  /** A descriptor of the test's that `serve` gets as its descriptor 3. */
  passed: number | undefined;

  private constructor(ports: Ports, env: Readonly<Record<string, string>>) {
    this.ports = ports;
    this.#env = env;
  }

  /** With an empty data directory and free ports; not started yet. `env` is for every process. */
  static async create(env: Readonly<Record<string, string>> = {}): Promise<Service> {
    const [pub, origin, intake, admin] = await freePorts(4);
    return new Service(
      { public: pub as number, origin: origin as number, intake: intake as number, admin: admin as number },
      env,
    );
  }

  /** `npm start`, on free ports. */
  static async demo(env: Readonly<Record<string, string>> = {}): Promise<Service> {
    const service = await Service.create(env);
    await service.start('--demo');
    return service;
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  /** Starts and waits until it is serving, the demo's certificates included. @throws with its last words when it ends instead. */
  async start(...flags: readonly string[]): Promise<void> {
    const from = this.spawn(...flags);
    const serving = (): boolean =>
      this.log.slice(from.log).includes('"msg":"serving"') &&
      (!flags.includes('--demo') || this.out.slice(from.out).includes('Ctrl-C'));
    let code: number | null | undefined;
    void this.#exited.then((value) => (code = value));
    await until('the service is serving', () => {
      if (code !== undefined) throw new Error(`the service ended with ${code}:\n${this.log.slice(from.log)}`);
      return serving();
    }, START_MS); // prettier-ignore
  }

  /** Starts without waiting; tells where its output begins. */
  spawn(...flags: readonly string[]): { readonly log: number; readonly out: number } {
    const from = { log: this.log.length, out: this.out.length };
    const command = [...this.launcher, process.execPath, this.program, ...this.#global(), 'serve', ...flags];
    const child = spawn(command[0] as string, command.slice(1), {
      cwd: this.directory,
      env: this.#environment(),
      stdio: ['ignore', 'pipe', 'pipe', this.passed ?? 'ignore'],
    });
    child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    this.#child = child;
    this.#exited = new Promise((done) => child.once('close', (code) => done(code)));
    endWithTest(child);
    return from;
  }

  /** The exit code of the process that was started last. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  /** The clean way: exit code. */
  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM');
    return this.#ended();
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended();
  }

  async #ended(): Promise<number | null> {
    const code = await this.#exited;
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
    return code;
  }

  /** Ends everything and removes the data. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** One command, as a person would type it. */
  run(...args: readonly string[]): Promise<Ran> {
    return this.command(args).done;
  }

  /** One command that a test may want to kill, with what it reads from standard input. */
  command(args: readonly string[], input = ''): { readonly child: ChildProcess; readonly done: Promise<Ran> } {
    return runProgram(process.execPath, [this.program, ...this.#global(), ...args], {
      cwd: this.directory,
      env: this.#environment(),
      input,
    });
  }

  /** The data of a command that must succeed. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  async json(...args: readonly string[]): Promise<any> {
    const { code, stdout, stderr } = await this.run('--json', ...args);
    if (code !== 0) throw new Error(`certstatus ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return JSON.parse(stdout);
  }

  url(path: string, listener: keyof Ports = 'public'): string {
    return `http://127.0.0.1:${this.ports[listener]}${path}`;
  }

  get(
    path: string,
    listener: keyof Ports = 'public',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpAnswer> {
    const own = listener === 'admin' ? localBearer(this.data) : {};
    return exchange({ port: this.ports[listener], path, headers: { ...own, ...headers } });
  }

  /** One request to the intake. `as`: null presents no certificate, absent the operator's. Rejects when no answer came. */
  api(method: 'GET' | 'POST', path: string, body?: unknown, as?: Credentials | null): Promise<ApiAnswer> {
    const credentials = as === undefined ? this.operator : (as ?? undefined);
    let agent = this.#agents.get(as === undefined ? undefined : (credentials ?? NOBODY));
    if (agent === undefined) {
      agent = new Agent({
        keepAlive: true,
        ca: readFileSync(join(this.data, 'intake', 'client-ca.pem')),
        ...credentials,
      });
      this.#agents.set(as === undefined ? undefined : (credentials ?? NOBODY), agent);
    }
    const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((done, failed) => {
      const headers =
        payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
      const outgoing = request(
        { agent, host: '127.0.0.1', port: this.ports.intake, method, path, headers, timeout: 30_000 },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', failed);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const type = response.headers['content-type'] ?? '';
            done({ status: response.statusCode ?? 0, type, body: /\bjson\b/.test(type) ? JSON.parse(text) : text });
          });
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer from the intake')));
      outgoing.on('error', failed);
      outgoing.end(payload);
    });
  }

  get operator(): Credentials {
    return {
      cert: readFileSync(join(this.data, 'intake', 'operator.pem')),
      key: readFileSync(join(this.data, 'intake', 'operator.key')),
    };
  }

  /** Files of the demo. */
  get demo(): {
    readonly ca: string;
    readonly valid: string;
    readonly revoked: string;
    readonly expired: string;
    readonly issuer: OcspIssuer;
  } {
    const at = (name: string): string => join(this.data, 'issuers', 'demo', name);
    return {
      ca: at('ca.pem'),
      valid: at('samples/valid.pem'),
      revoked: at('samples/revoked.pem'),
      expired: at('samples/expired.pem'),
      issuer: issuerFromFile(at('ca.pem')),
    };
  }

  #global(): string[] {
    const { ports } = this;
    return ['--data', this.data, ...Object.entries(ports).flatMap(([name, port]) => [`--${name}-port`, String(port)])];
  }

  #environment(): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('CERTSTATUS_'));
    return { ...Object.fromEntries(own), ...this.#env };
  }
}

/** What a script on the machine sends to the admin port; nothing before the service's first start. */
export function localBearer(dataDir: string): Record<string, string> {
  return existsSync(join(dataDir, 'admin', 'secret')) ? { authorization: `Bearer ${localAdminToken(dataDir)}` } : {};
}

const NOBODY: Credentials = { cert: Buffer.alloc(0), key: Buffer.alloc(0) };

/** A program to its end. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
): { readonly child: ChildProcess; readonly done: Promise<Ran> } {
  const { input, ...how } = options;
  const child = spawn(program, args, { ...how, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  endWithTest(child);
  const done = new Promise<Ran>((settle, failed) => {
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const limit = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
    child.once('error', failed);
    child.once('close', (code) => {
      clearTimeout(limit);
      settle({ code, stdout, stderr });
    });
  });
  return { child, done };
}

/**
 * Polls until it is so.
 * @param withinMs a minute at least: what waits shorter finds slow machines, not defects.
 * @throws when it is not in time, or as `isSo` does.
 */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  withinMs = 60_000,
  everyMs = 20,
): Promise<void> {
  const limitMs = Math.max(withinMs, 60_000);
  const deadline = Date.now() + limitMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not in ${limitMs} ms: ${what}`);
    await sleep(everyMs);
  }
}

/** Below the ports that the kernel hands to outgoing connections, so that nobody takes them before the service does. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    if (!ports.includes(port) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server: Server = createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => done(true)));
  });
}

/** Whatever becomes of the test, its processes do not outlive it. */
const children = new Set<ChildProcess>();
function endWithTest(child: ChildProcess): void {
  if (children.size === 0) process.once('exit', () => children.forEach((one) => one.kill('SIGKILL')));
  children.add(child);
}
