/**
 * One process of a fleet: certstatus with one or more roles in a directory of its own, over a shared store. The kernel kills it
 * when the process that started it dies, whatever that dies of (PR_SET_PDEATHSIG by `setpriv`).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync, type WriteStream } from 'node:fs';
import { Agent, request } from 'node:https';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { exchange } from './http.ts';
import { localBearer, runProgram, until, type ApiAnswer, type Credentials, type Ran } from './service.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const START_MS = 30_000;
const setpriv = spawnSync('setpriv', ['--version']).error === undefined ? ['setpriv', '--pdeathsig', 'KILL'] : [];

export type MemberRole = 'intake' | 'signer' | 'responder' | 'monitor';

export interface MemberPorts {
  readonly public: number;
  readonly intake: number;
  readonly admin: number;
}

export interface MemberOptions {
  readonly name: string;
  readonly role: MemberRole;
  readonly directory: string;
  readonly ports: MemberPorts;
  /** All of certstatus.yaml but name, roles and ports. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly env?: NodeJS.ProcessEnv;
}

/** The parts of /status.json that are asked for. */
export interface MemberStatus {
  readonly verdict: 'ok' | 'warning' | 'failing';
  readonly problems: readonly { readonly what: string; readonly todo: string }[];
  readonly storeFailure?: string;
  readonly lanes: readonly { readonly lane: string; readonly waiting: number }[];
}

export class Member {
  readonly name: string;
  readonly role: MemberRole;
  readonly directory: string;
  readonly ports: MemberPorts;
  readonly configFile: string;
  /** What the next start runs: of another version, where a test upgrades (test/support/other-version.ts). */
  program = CLI;
  /** Standard error of every run so far. */
  log = '';
  readonly #env: NodeJS.ProcessEnv;
  readonly #agents = new Map<Credentials, Agent>();
  #logFile: WriteStream | undefined;
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);

  /** Writes certstatus.yaml; not started yet. */
  constructor({ name, role, directory, ports, config, env = {} }: MemberOptions) {
    this.name = name;
    this.role = role;
    this.directory = directory;
    this.ports = ports;
    this.configFile = join(directory, 'certstatus.yaml');
    const own = Object.entries(process.env).filter(([variable]) => !variable.startsWith('CERTSTATUS_'));
    this.#env = { ...Object.fromEntries(own), ...env };
    mkdirSync(directory, { recursive: true });
    const listen = {
      public: { port: ports.public },
      origin: 'off',
      intake: { port: ports.intake },
      admin: { port: ports.admin },
    };
    writeFileSync(this.configFile, stringify({ name, roles: [role], ...config, listen }));
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when its listeners are open; whether the store is relied on by then is another question. */
  async start(): Promise<void> {
    const from = this.log.length;
    this.#logFile ??= createWriteStream(join(this.directory, 'log.ndjson'), { flags: 'a' });
    const command = [...setpriv, process.execPath, this.program, '--config', this.configFile, 'serve'];
    // In a process group of its own: Ctrl-C is for whoever started the fleet, who stops it in order.
    const child = spawn(command[0] as string, command.slice(1), {
      cwd: this.directory,
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    endWithTest(child);
    child.stderr.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
      this.#logFile?.write(chunk);
    });
    this.#child = child;
    let code: number | null | undefined;
    this.#exited = new Promise((done) => child.once('close', (ended) => done((code = ended))));
    await until(
      `${this.name} is serving`,
      () => {
        const said = this.log.slice(from);
        if (code !== undefined) throw new Error(`${this.name} ended with ${code}:\n${said}`);
        return said.includes('"msg":"serving"');
      },
      START_MS,
    );
  }

  /** The clean way: exit code. */
  async stop(): Promise<number | null> {
    this.resume();
    this.#child?.kill('SIGTERM');
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), START_MS);
    const code = await this.#ended();
    clearTimeout(late);
    return code;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended();
  }

  /** SIGSTOP: it knows nothing of the time that passes. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** A command beside it, as a person would type it in its directory. */
  run(...args: readonly string[]): Promise<Ran> {
    return runProgram(process.execPath, [this.program, '--config', this.configFile, ...args], {
      cwd: this.directory,
      env: this.#env,
    }).done;
  }

  /** Undefined when it does not answer. */
  async status(): Promise<MemberStatus | undefined> {
    try {
      const headers = localBearer(this.directory);
      const { status, body } = await exchange({ port: this.ports.admin, path: '/status.json', headers });
      return status === 200 ? (JSON.parse(body.toString()) as MemberStatus) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Resolves when it relies on the store. */
  async whenReliable(withinMs = START_MS): Promise<void> {
    let last: MemberStatus | undefined;
    const reliable = async (): Promise<boolean> => {
      last = await this.status();
      return last !== undefined && last.storeFailure === undefined;
    };
    await until(`${this.name} relies on the store`, reliable, withinMs, 50).catch((error: Error) => {
      throw new Error(`${error.message}; it says ${last?.storeFailure ?? 'nothing'}\n${this.log.slice(-2000)}`);
    });
  }

  /** One request to its intake port. Rejects when no answer came. */
  api(
    method: 'GET' | 'POST',
    path: string,
    as: Credentials & { readonly ca: Buffer },
    body?: unknown,
  ): Promise<ApiAnswer> {
    let agent = this.#agents.get(as);
    if (agent === undefined) this.#agents.set(as, (agent = new Agent({ keepAlive: true, ...as })));
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((done, failed) => {
      const headers =
        payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
      const outgoing = request(
        { agent, host: '127.0.0.1', port: this.ports.intake, method, path, headers, timeout: 15_000 },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', failed);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const type = response.headers['content-type'] ?? '';
            done({ status: response.statusCode ?? 0, type, body: type.includes('json') ? JSON.parse(text) : text });
          });
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`${this.name} did not answer in time`)));
      outgoing.on('error', failed);
      outgoing.end(payload);
    });
  }

  async #ended(): Promise<number | null> {
    const code = await this.#exited;
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
    this.#logFile?.end();
    this.#logFile = undefined;
    return code;
  }
}

/** `setpriv` sees to it when this process is killed; this when it ends in good order with processes still running. */
const children = new Set<ChildProcess>();
function endWithTest(child: ChildProcess): void {
  if (children.size === 0) process.once('exit', () => children.forEach((one) => one.kill('SIGKILL')));
  children.add(child);
  child.once('exit', () => children.delete(child));
}
