/**
 * The load bench: `node dist/bench/load.js [--seconds 3] [--rotations 3] [--connections 64] [--modes keep-alive,close]`.
 *
 * Each server runs in its own process, on the first CPU; wrk loads it from the last one, with 10,000 different requests. The
 * listeners are those of the whole shipped program, `certstatus serve`, with ledger, signer, intake and all.
 * Servers take turns within a rotation, and figures are compared within their rotation only, because a shared machine
 * drifts. Given are the medians of the rotations. Requests per CPU-second (of the server: user and system time) is what
 * to trust; requests per second depends on what else runs. Ends every process that it starts.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { loadUws } from '../src/adapters/origin-front/uws.ts';
import { end, freePorts, prepare, serve, type Sample } from './load/responses.ts';

const run = promisify(execFile);

interface Running {
  readonly port: number;
  /** All processes whose CPU time counts. */
  readonly pids: readonly number[];
  readonly stop: () => Promise<void>;
}

interface Figures {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

const MODES = ['keep-alive', 'close', 'post', 'http10'] as const;
type Mode = (typeof MODES)[number];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '3' },
      rotations: { type: 'string', default: '3' },
      connections: { type: 'string', default: '64' },
      modes: { type: 'string', default: 'keep-alive,close' },
    },
  });
  const modes = MODES.filter((mode) => values.modes.split(',').includes(mode));
  if (!(await works('wrk', ['--version'])))
    return say('wrk is not installed (Debian: apt install wrk): no load, no figures.');
  const work = mkdtempSync(join(tmpdir(), 'load-'));
  try {
    const { samples: all, data } = await prepare(work);
    for (const mode of modes) writeFileSync(join(work, `${mode}.lua`), lua(mode, all));
    const servers = await installed(work, data, all);
    const figures = new Map<string, Figures[]>();
    for (let rotation = 0; rotation < Number(values.rotations); rotation++) {
      for (const [name, start] of servers) {
        const server = await start();
        try {
          for (const mode of modes.filter((mode) => serves(name, mode))) {
            const key = `${name} ${mode}`;
            const script = join(work, `${mode}.lua`);
            const measured = await load(server, script, values.connections, Number(values.seconds));
            figures.set(key, [...(figures.get(key) ?? []), measured]);
          }
        } finally {
          await server.stop();
        }
      }
    }
    say(
      `${cpus()[0]?.model}, ${cpus().length} CPUs; Node ${process.version}; ${new Date().toISOString().slice(0, 10)};`,
    );
    say(`${values.connections} connections, ${values.seconds} s each, median of ${values.rotations} rotations.\n`);
    for (const line of table([...servers.keys()], modes, figures)) say(line);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The servers that can run here, in the order of a rotation. The first is what the others are compared with. */
async function installed(
  work: string,
  data: string,
  all: readonly Sample[],
): Promise<Map<string, () => Promise<Running>>> {
  const servers = new Map<string, () => Promise<Running>>();
  const uws = loadUws();
  if (uws.ok) {
    servers.set('bare uWebSockets.js', () => startStub('uws-stub', work));
    servers.set('certstatus, origin listener', () => startService('origin', data));
  } else say(`No origin listener: ${uws.reason}.`);
  servers.set('certstatus, public listener', () => startService('public', data));
  servers.set('node:http stub', () => startStub('node-stub', work));
  if (await works('nginx', ['-v'])) servers.set('nginx, static files', await nginx(work, all));
  else say('No nginx here (Debian: apt install nginx-light): its row is missing.');
  return servers;
}

/** Neither speaks HTTP/1.0 to a client, nor do files take POST. */
function serves(name: string, mode: Mode): boolean {
  if (mode === 'http10') return !/uWebSockets|origin/.test(name);
  return mode !== 'post' || !name.startsWith('nginx');
}

async function startService(listener: 'public' | 'origin', data: string): Promise<Running> {
  const ports = await freePorts();
  const [command, args] = pinned(0, process.execPath, []);
  const child = await serve(data, ports, command, args);
  return { port: ports[listener], pids: [child.pid as number], stop: () => end(child) };
}

async function startStub(engine: string, work: string): Promise<Running> {
  const script = join(import.meta.dirname, 'load', 'server.js');
  const child = spawn(...pinned(0, process.execPath, [script, engine, join(work, 'samples.json')]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')) as [Buffer];
  const stop = async (): Promise<void> => {
    const ended = once(child, 'exit');
    child.stdin?.end();
    await ended;
  };
  // taskset replaces itself with the command, so its id is the server's.
  return { port: Number(line.toString()), pids: [child.pid as number], stop };
}

/** One worker, files kept open: the best that a file server does. */
async function nginx(work: string, all: readonly Sample[]): Promise<() => Promise<Running>> {
  const root = join(work, 'files');
  const files = join(root, 'OcspServer');
  mkdirSync(files, { recursive: true, mode: 0o755 });
  for (const { file, body } of all) writeFileSync(join(files, file), Buffer.from(body, 'base64'));
  const port = 20_000 + (process.pid % 10_000);
  const fields = (all[0] as Sample).headers.match(/^(?:cache-control|expires): .*$/gm) ?? [];
  const conf = join(work, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; user root; worker_processes 1; pid ${work}/nginx.pid; error_log stderr crit;
    events { worker_connections 4096; }
    http {
      access_log off; sendfile on; tcp_nopush off; keepalive_requests 1000000000; default_type application/ocsp-response;
      open_file_cache max=20000 inactive=10m; open_file_cache_valid 10m;
      server { listen 127.0.0.1:${port} backlog=4096; root ${root};
        ${fields.map((field) => `add_header ${field.replace(': ', ' "')}";`).join(' ')} }
    }`,
  );
  return async () => {
    const child = spawn(...pinned(0, 'nginx', ['-c', conf, '-p', work]), { stdio: ['ignore', 'ignore', 'inherit'] });
    let workers: number[] = [];
    for (let i = 0; i < 100 && workers.length === 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const children = `/proc/${child.pid}/task/${child.pid}/children`;
      workers = readFileSync(children, 'latin1').trim().split(' ').filter(Boolean).map(Number);
    }
    const stop = async (): Promise<void> => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    };
    return { port, pids: [child.pid as number, ...workers], stop };
  };
}

async function load({ port, pids }: Running, script: string, connections: string, seconds: number): Promise<Figures> {
  const wrk = async (duration: number): Promise<string> => {
    const args = ['-t', '1', '-c', connections, '-d', `${duration}s`, '-s', script, `http://127.0.0.1:${port}`];
    return (await run(...pinned(cpus().length - 1, 'wrk', args))).stdout;
  };
  await wrk(1);
  const before = cpuSeconds(pids);
  const printed = await wrk(seconds);
  const used = cpuSeconds(pids) - before;
  const field = (pattern: RegExp): number => Number(pattern.exec(printed)?.[1] ?? 0);
  // One per line, as wrk prints them; a reply other than 2xx would be a bench of refusals.
  if (field(/Non-2xx or 3xx responses: (\d+)/) > 0) throw new Error(`replies other than 200:\n${printed}`);
  return { perSecond: field(/Requests\/sec:\s*([\d.]+)/), perCpuSecond: field(/(\d+) requests in/) / used };
}

function cpuSeconds(pids: readonly number[]): number {
  let clockTicks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [utime, stime] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    clockTicks += Number(utime) + Number(stime);
  }
  // USER_HZ is 100 on every Linux that Node runs on.
  return clockTicks / 100;
}

function table(
  names: readonly string[],
  modes: readonly Mode[],
  figures: ReadonlyMap<string, readonly Figures[]>,
): string[] {
  const columns = modes.flatMap((mode) => [`${mode}: req/s`, '× of first', 'req/CPU-s', '× of first']);
  const lines = [`| server | ${columns.join(' | ')} |`, `|---${'|---'.repeat(columns.length)}|`];
  for (const name of names) {
    const cells = modes.flatMap((mode) => {
      const own = figures.get(`${name} ${mode}`);
      if (own === undefined) return ['–', '–', '–', '–'];
      return (['perSecond', 'perCpuSecond'] as const).flatMap((figure) => {
        const ratios = own.flatMap((one, i) => {
          const first = figures.get(`${names[0]} ${mode}`)?.[i];
          return first === undefined ? [] : [one[figure] / first[figure]];
        });
        const count = Math.round(median(own.map((one) => one[figure])) / 100) * 100;
        return [count.toLocaleString('en'), ratios.length === 0 ? '–' : median(ratios).toFixed(2)];
      });
    });
    lines.push(`| ${name} | ${cells.join(' | ')} |`);
  }
  return lines;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** wrk's script: requests prepared once, sent in turn. */
function lua(mode: Mode, all: readonly Sample[]): string {
  const requests = all.map(({ target, request }) => {
    if (mode === 'http10') return `GET ${target} HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n\\r\\n`;
    const fields = `Host: 127.0.0.1\\r\\n${mode === 'close' ? 'Connection: close\\r\\n' : ''}`;
    if (mode !== 'post') return `GET ${target} HTTP/1.1\\r\\n${fields}\\r\\n`;
    const octets = Buffer.from(request, 'hex');
    const body = [...octets].map((octet) => `\\${String(octet).padStart(3, '0')}`).join('');
    const length = `Content-Type: application/ocsp-request\\r\\nContent-Length: ${octets.length}\\r\\n`;
    return `POST /OcspServer HTTP/1.1\\r\\n${fields}${length}\\r\\n${body}`;
  });
  return `local requests = {\n${requests.map((request) => `"${request}"`).join(',\n')}\n}
local next = 0
function request() next = next % #requests + 1; return requests[next] end\n`;
}

function pinned(cpu: number, command: string, args: readonly string[]): [string, string[]] {
  return cpus().length > 1 && hasTaskset ? ['taskset', ['-c', String(cpu), command, ...args]] : [command, [...args]];
}

async function works(command: string, args: readonly string[]): Promise<boolean> {
  try {
    await run(command, args);
    return true;
  } catch (error) {
    // wrk --version ends with 1; only ENOENT means that it is not there.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const hasTaskset = await works('taskset', ['--version']);
await main();
