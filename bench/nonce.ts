/**
 * The nonce bench: `node dist/bench/nonce.js [--seconds 3] [--rotations 3] [--flood 2000]`.
 *
 * What a flood of requests with a nonce does to those who ask for pre-signed answers by GET, on one process of the whole shipped
 * program: without the flood, with nonces ignored, and with an answer signed for each as long as the budget lasts. Once with GETs
 * as fast as they go, once with few of them, for their latency. One flood comes at a rate that the server can bear, another as
 * fast as it goes. The ways take turns within a rotation; given is the best of the rotations, because what else runs on the
 * machine only takes away. All requests per CPU-second of the server (GETs and flood together) is what to trust. The server runs on
 * the first CPU, wrk on the last. Ends every process that it starts.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { parseDocument } from 'yaml';
import { getPath, ocspRequest } from '../test/support/ocsp-client.ts';
import { Service } from '../test/support/service.ts';

const run = promisify(execFile);
const CERTIFICATES = 2000;
const CONNECTIONS = 32;
/** Pause after each reply for the latency run: about 3,000 GETs a second. */
const PAUSE_MS = 10;

interface Way {
  readonly name: string;
  /** Undefined: nonces are ignored. */
  readonly perSecond?: number;
  readonly flood: 'none' | 'rate' | 'full';
}

const WAYS: readonly Way[] = [
  { name: 'no flood', flood: 'none' },
  { name: 'flood, nonces ignored', flood: 'rate' },
  { name: 'flood, live 20/s', flood: 'rate', perSecond: 20 },
  { name: 'flood, live 500/s', flood: 'rate', perSecond: 500 },
  { name: 'full flood, nonces ignored', flood: 'full' },
  { name: 'full flood, live 20/s', flood: 'full', perSecond: 20 },
];

interface Figures {
  readonly gets: number;
  readonly p99Ms: number;
  /** GETs and flood together, per CPU-second of the server. */
  readonly perCpuSecond: number;
  /** Per second, answered at all and signed for their nonce. */
  readonly nonced: number;
  readonly signed: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '3' },
      rotations: { type: 'string', default: '3' },
      flood: { type: 'string', default: '2000' },
    },
  });
  const service = await Service.create();
  try {
    await prepare(service, Number(values.flood));
    const figures = new Map<Way, Figures[]>();
    for (let rotation = 0; rotation < Number(values.rotations); rotation++) {
      for (const way of WAYS) {
        configure(service.data, way);
        await service.start();
        if (cpus().length > 1) await run('taskset', ['-a', '-p', '-c', '0', String(service.pid)]);
        figures.set(way, [...(figures.get(way) ?? []), await measure(service, way, Number(values.seconds))]);
        await service.stop();
      }
    }
    const machine = `${cpus()[0]?.model}, ${cpus().length} CPUs; Node ${process.version}`;
    say(`${machine}; ${new Date().toISOString().slice(0, 10)}; public listener, ${CONNECTIONS} connections each;`);
    say(`${values.seconds} s each, flood of ${values.flood}/s, best of ${values.rotations} rotations.\n`);
    for (const line of table(figures)) say(line);
  } finally {
    await service.remove();
  }
}

/** A demo CA with certificates that are imported, and wrk's scripts: requests prepared once, sent in turn. */
async function prepare(service: Service, flood: number): Promise<void> {
  await service.run('init', '--demo');
  const serials = Array.from({ length: CERTIFICATES }, (_, i) => `7f${String(i * 7_919_317).padStart(30, '0')}`);
  const rows = serials.map((serial) => `V\t391231235959Z\t\t${serial.toUpperCase()}\tunknown\t/CN=bench\n`);
  const index = join(service.directory, 'index.txt');
  writeFileSync(index, rows.join(''));
  const { code, stderr } = await service.run('import', 'index', '--issuer', 'demo', index);
  if (code !== 0) throw new Error(stderr);
  const { issuer } = service.demo;
  const gets = serials.map((serial) => {
    const path = getPath('/OcspServer', ocspRequest(issuer, serial));
    return `GET ${path} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n`;
  });
  const posts = serials.map((serial, i) => {
    const nonce = Buffer.alloc(32, 1);
    nonce.writeUInt32BE(i);
    const octets = ocspRequest(issuer, serial, 'sha1', nonce);
    const body = [...octets].map((octet) => `\\${String(octet).padStart(3, '0')}`).join('');
    const fields = `Content-Type: application/ocsp-request\\r\\nContent-Length: ${octets.length}\\r\\n`;
    return `POST /OcspServer HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n${fields}\\r\\n${body}`;
  });
  const scripts = {
    full: lua(gets, 0),
    paced: lua(gets, PAUSE_MS),
    'flood-full': lua(posts, 0),
    'flood-rate': lua(posts, Math.round((CONNECTIONS / flood) * 1000)),
  };
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(service.directory, `${name}.lua`), text);
}

function configure(data: string, { perSecond }: Way): void {
  const file = join(data, 'issuers', 'demo', 'issuer.yaml');
  const document = parseDocument(readFileSync(file, 'utf8'));
  document.setIn(['ocsp', 'nonce'], perSecond === undefined ? 'ignore' : 'live');
  document.setIn(['ocsp', 'live'], { perSecond: perSecond ?? 20 });
  writeFileSync(file, document.toString());
}

async function measure({ directory, ports, pid }: Service, { flood }: Way, seconds: number): Promise<Figures> {
  const wrk = async (script: string, duration: number): Promise<string> => {
    const args = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${duration}s`, '--latency'];
    const what = ['-s', join(directory, `${script}.lua`), `http://127.0.0.1:${ports.public}`];
    const pinned = cpus().length > 1 ? ['taskset', '-c', String(cpus().length - 1), 'wrk'] : ['wrk'];
    return (await run(pinned[0] as string, [...pinned.slice(1), ...args, ...what])).stdout;
  };
  const flooded = async (
    script: string,
  ): Promise<{ own: string; flood: string; signed: number; perCpuSecond: number }> => {
    const [signed, cpu] = [await signatures(ports.admin), cpuSeconds(pid)];
    const flooding = flood === 'none' ? Promise.resolve('') : wrk(`flood-${flood}`, seconds + 1);
    // The flood is there before, and ends after.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const own = await wrk(script, seconds);
    const text = await flooding;
    const requests = [own, text].reduce((sum, printed) => sum + field(printed, /(\d+) requests in/), 0);
    return {
      own,
      flood: text,
      signed: ((await signatures(ports.admin)) - signed) / (seconds + 1),
      perCpuSecond: requests / (cpuSeconds(pid) - cpu),
    };
  };
  // Everything into memory.
  await wrk('full', 2);
  const full = await flooded('full');
  const paced = await flooded('paced');
  return {
    gets: field(full.own, /Requests\/sec:\s*([\d.]+)/),
    p99Ms: milliseconds(paced.own),
    perCpuSecond: full.perCpuSecond,
    nonced: field(paced.flood, /Requests\/sec:\s*([\d.]+)/),
    signed: paced.signed,
  };
}

async function signatures(admin: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return field(text, /^certstatus_live_signatures_total (\d+)$/m);
}

/** User and system time of all its threads. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // USER_HZ is 100 on every Linux that Node runs on.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function milliseconds(printed: string): number {
  const [, number, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(printed) ?? [];
  return Number(number) * (unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1);
}

function field(text: string, pattern: RegExp): number {
  // A reply other than 2xx would be a bench of refusals.
  if (/Non-2xx/.test(text)) throw new Error(`replies other than 200:\n${text}`);
  return Number(pattern.exec(text)?.[1] ?? 0);
}

function table(figures: ReadonlyMap<Way, readonly Figures[]>): string[] {
  const [first] = WAYS as [Way];
  const best = (way: Way, figure: keyof Figures): number => {
    const all = (figures.get(way) ?? []).map((one) => one[figure]);
    return figure === 'p99Ms' ? Math.min(...all) : Math.max(...all);
  };
  const whole = (number: number): string => Math.round(number).toLocaleString('en');
  const lines = [
    '| way | GET/s | × of first | GET p99 ms | × of first | all req/CPU-s | × of first | nonced/s | signed/s |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  for (const way of WAYS) {
    const ratio = (figure: keyof Figures): string => (best(way, figure) / best(first, figure)).toFixed(2);
    const cells = [
      whole(best(way, 'gets')),
      ratio('gets'),
      best(way, 'p99Ms').toFixed(2),
      ratio('p99Ms'),
      whole(best(way, 'perCpuSecond')),
      ratio('perCpuSecond'),
      whole(best(way, 'nonced')),
      whole(best(way, 'signed')),
    ];
    lines.push(`| ${way.name} | ${cells.join(' | ')} |`);
  }
  return lines;
}

function lua(requests: readonly string[], pauseMs: number): string {
  const delay = pauseMs > 0 ? `function delay() return ${pauseMs} end\n` : '';
  return `local requests = {\n${requests.map((request) => `"${request}"`).join(',\n')}\n}
local next = 0
function request() next = next % #requests + 1; return requests[next] end\n${delay}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
