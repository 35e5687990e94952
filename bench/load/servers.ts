/**
 * The servers of the bench, each in processes of its own on the first CPU. They are started once and asked in turn, so that what
 * is compared lies seconds apart. Whatever is not installed is left out, with a line that says so.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { CLI, type AnswerSet } from './answers.ts';
import type { ServerName } from './cells.ts';
import { end, freePorts, installed, pinned, run, SERVER_CPU } from './processes.ts';
import type { Sample } from './stub.ts';

export interface Server {
  readonly port: number;
  /** Processes whose CPU time counts, and that of their children. */
  readonly pids: readonly number[];
  /** As its own program says it. */
  readonly version: string;
  readonly stop: () => Promise<void>;
}

/** The shipped program, whole, and its listeners. */
export interface Service {
  readonly public: Server;
  readonly origin: Server | undefined;
}

/** @param heapMiB for a table that Node's own bound is too small for. */
export async function startService(set: AnswerSet, version: string, heapMiB?: number): Promise<Service> {
  const [publicPort, origin, intake, admin] = (await freePorts(4)) as [number, number, number, number];
  const ports = { public: publicPort, origin, intake, admin };
  const flags = Object.entries(ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
  const heap = heapMiB === undefined ? [] : [`--max-old-space-size=${heapMiB}`];
  const child = start(process.execPath, [...heap, CLI, '--data', set.data, ...flags, 'serve'], 'ignore');
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${admin}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) break;
    if (child.exitCode !== null) throw new Error('certstatus serve ended before it was ready');
    await sleep(20);
  }
  const server = (port: number): Server => ({ port, pids: [pidOf(child)], version, stop: () => end(child) });
  return { public: server(publicPort), origin: loadUws().ok ? server(origin) : undefined };
}

/** A reply of the program as the stubs repeat it. */
export async function takeSample(service: Service, target: string): Promise<Sample> {
  const response = await fetch(`http://127.0.0.1:${service.public.port}${target}`);
  const kept = ['content-type', 'cache-control', 'etag', 'expires', 'last-modified'];
  const headers = kept.map((name) => `${name}: ${response.headers.get(name) ?? ''}\r\n`).join('');
  return { headers, body: Buffer.from(await response.arrayBuffer()).toString('base64') };
}

export interface Place {
  /** Scratch directory of this run. */
  readonly work: string;
  readonly set: AnswerSet;
  readonly service: Service;
  /** Path of a GET, and what the program says to it. */
  readonly target: string;
  readonly sample: Sample;
  /** The haproxy.cfg to run. */
  readonly edgeConfig: string;
}

/** @returns why it is left out, when it is. */
export async function startPeer(name: ServerName, place: Place): Promise<Server | string> {
  switch (name) {
    case 'stub': {
      const loaded = loadUws();
      return loaded.ok ? startStub('uws', place) : loaded.reason;
    }
    case 'node-http':
      return startStub('node-http', place);
    case 'edge':
      return startEdge(place);
    case 'nginx':
      return startNginx(place);
    case 'cfssl':
      return startCfssl(place);
    case 'openssl':
      return startOpenssl(place);
    case 'public':
      return place.service.public;
    case 'origin':
      return place.service.origin ?? 'uWebSockets.js does not load here';
  }
}

async function startStub(engine: 'uws' | 'node-http', { work, sample }: Place): Promise<Server> {
  const file = join(work, 'sample.json');
  writeFileSync(file, JSON.stringify(sample));
  const child = spawn(...onServerCpu(process.execPath, [join(import.meta.dirname, 'stub.js'), engine, file]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(line.toString()), pids: [pidOf(child)], version: process.version, stop: () => end(child) };
}

/** Its CPU time includes that of the program behind it. */
async function startEdge({ edgeConfig, service }: Place): Promise<Server | string> {
  if (!(await installed('haproxy', '-v'))) return 'haproxy is not installed (Debian: apt install haproxy)';
  if (!existsSync(edgeConfig)) return `there is no ${edgeConfig}`;
  const [port] = (await freePorts(1)) as [number];
  const child = start('haproxy', ['-db', '-f', edgeConfig], 'inherit', {
    EDGE_BIND: `127.0.0.1:${port}`,
    EDGE_NAME: `certstatus-bench-${port}`,
    ORIGIN: `127.0.0.1:${(service.origin ?? service.public).port}`,
    PUBLIC: `127.0.0.1:${service.public.port}`,
  });
  await listening(child, port);
  const version = /version (\S+)/.exec((await run('haproxy', ['-v'])).stdout)?.[1] ?? '';
  return { port, pids: [pidOf(child), ...service.public.pids], version: `haproxy ${version}`, stop: () => end(child) };
}

/** One worker, files kept open: the best that a file server does. */
async function startNginx({ work, set, sample }: Place): Promise<Server | string> {
  if (!(await installed('nginx', '-v'))) return 'nginx is not installed (Debian: apt install nginx-light)';
  const directory = join(work, 'nginx');
  mkdirSync(directory);
  const [port] = (await freePorts(1)) as [number];
  const fields = sample.headers.match(/^(?:cache-control|expires): .*$/gm) ?? [];
  const conf = join(directory, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; ${process.getuid?.() === 0 ? 'user root; ' : ''}worker_processes 1; pid ${directory}/pid; error_log stderr crit;
    events { worker_connections 4096; }
    http {
      access_log off; sendfile on; tcp_nopush off; keepalive_requests 1000000000; default_type application/ocsp-response;
      open_file_cache max=20000 inactive=10m; open_file_cache_valid 10m;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${directory}/${what};`).join(' ')}
      server { listen 127.0.0.1:${port} backlog=4096; root ${set.peers}/files;
        ${fields.map((field) => `add_header ${field.replace(': ', ' "')}";`).join(' ')} }
    }`,
  );
  const child = start('nginx', ['-c', conf, '-p', directory, '-e', 'stderr'], 'inherit');
  await listening(child, port);
  const version = /nginx\/(\S+)/.exec((await run('nginx', ['-v'])).stderr)?.[1] ?? '';
  return { port, pids: [pidOf(child)], version: `nginx ${version}`, stop: () => end(child) };
}

async function startCfssl({ set }: Place): Promise<Server | string> {
  if (!(await installed('cfssl', 'version'))) return 'cfssl is not installed (Debian: apt install golang-cfssl)';
  const [port] = (await freePorts(1)) as [number];
  const responses = join(set.peers as string, 'responses.txt');
  const flags = ['-address=127.0.0.1', `-port=${port}`, `-responses=${responses}`, '-loglevel=5'];
  const child = start('cfssl', ['ocspserve', ...flags], 'ignore');
  await listening(child, port);
  const version = /Version: (\S+)/.exec((await run('cfssl', ['version'])).stdout)?.[1] ?? '';
  return { port, pids: [pidOf(child)], version: `cfssl ${version}`, stop: () => end(child) };
}

/** Signs each answer while the client waits, with the key and the certificate of our responder; one process. */
async function startOpenssl({ set, target }: Place): Promise<Server | string> {
  if (!(await installed('openssl', 'version'))) return 'openssl is not installed (Debian: apt install openssl)';
  const [port] = (await freePorts(1)) as [number];
  const issuer = join(set.data, 'issuers/demo');
  const ca = ['-CA', join(issuer, 'ca.pem'), '-index', join(set.peers as string, 'index.txt')];
  const signer = ['-rsigner', join(issuer, 'responder.pem'), '-rkey', join(issuer, 'responder.key')];
  const child = start('openssl', ['ocsp', '-port', String(port), ...ca, ...signer, '-ndays', '1'], 'ignore');
  // By a whole question: on a connection that is closed without one it waits for ever, and serves nobody else.
  const answers = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}${target}`).then(
      (response) => response.ok,
      () => false,
    );
  while (child.exitCode === null && !(await answers())) await sleep(20);
  const version = (await run('openssl', ['version'])).stdout.split(' ').slice(0, 2).join(' ');
  return { port, pids: [pidOf(child)], version, stop: () => end(child) };
}

/** Of the memory that this machine has, what a million answers may take. */
export function heapFor(tableBytes: number): number {
  return Math.min(Math.round((tableBytes / (1 << 20)) * 1.5) + 512, Math.floor((totalmem() / (1 << 20)) * 0.6));
}

function start(
  command: string,
  args: readonly string[],
  output: 'ignore' | 'inherit',
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const child = spawn(...onServerCpu(command, args), {
    stdio: ['ignore', 'ignore', output],
    env: { ...process.env, ...env },
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

/** taskset replaces itself with the command, so its id is the server's. */
function onServerCpu(command: string, args: readonly string[]): [string, string[]] {
  return pinned(SERVER_CPU, command, args);
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error(`${child.spawnfile} could not be started`);
  return child.pid;
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')} ended with ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const connected = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (connected) return;
    await sleep(20);
  }
  throw new Error(`nobody listens on port ${port}: ${child.spawnargs.join(' ')}`);
}
