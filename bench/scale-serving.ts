/**
 * `node dist/bench/scale-serving.js --large DIR,SERIALS --small DIR,SERIALS [--rate 500] [--seconds 5] [--rotations 5] [--out FILE]`:
 * does a look-up cost more among many certificates? Two data directories that bench/fill-store has filled are served at the same time
 * by two processes of the shipped program; the same rate of GETs goes to each in turn. Every answer is looked at: 200, and its serial.
 *
 * A question about one of very many certificates is a miss: nobody has asked about it yet, the store is read and the answer assembled.
 * So like is compared with like: hits with hits, and misses with misses of a third process that serves a copy of the small directory with
 * hardly any table. Medians over the rotations, and the server's CPU time per question, because the machine is never quite alone.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { issuerFromFile, ocspRequest } from '../test/support/ocsp-client.ts';
import { freePorts } from '../test/support/service.ts';
import { percentile, steady } from './load/steady.ts';

const { values } = parseArgs({
  options: {
    large: { type: 'string' },
    small: { type: 'string' },
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '5' },
    rotations: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});
const [rate, seconds, rotations] = [Number(values.rate), Number(values.seconds), Number(values.rotations)];
/** Certificates that are asked for again and again: all of them in the responder's memory. */
const HOT = 10_000;
const SERIAL_OCTETS = 16;
/** The least that the configuration takes: some hundred answers. */
const LEAST_TABLE = 1 << 20;
const CLI = join(import.meta.dirname, '../src/apps/cli.js');

const copy = mkdtempSync(join(tmpdir(), 'certstatus-scale-'));

interface Instance {
  readonly name: string;
  readonly child: ChildProcess;
  readonly ports: number[];
  readonly serials: Buffer;
  readonly request: (serial: Buffer) => string;
}

const large = await start('large', values.large as string);
const small = await start('small', values.small as string);
const smallMisses = await start('small, hardly any table', withoutTable(values.small as string));
try {
  const ways = [
    ['small, hits', small, () => any(small, HOT)],
    ['large, hits', large, () => any(large, HOT)],
    ['small, misses', smallMisses, () => any(smallMisses)],
    ['large, misses', large, () => any(large)],
  ] as const;
  for (const instance of [small, large]) await warm(instance);
  await gauges('warm');
  const measured = new Map<string, number[][]>();
  for (let rotation = 0; rotation < rotations; rotation++) {
    for (const [name, instance, pick] of ways) {
      const cpuBefore = cpuMicroseconds(instance);
      const { latencies, failures } = await steady({
        port: instance.ports[0] as number,
        perSecond: rate,
        seconds,
        connections: 32,
        request: () => instance.request(pick()),
        check: (head, body) =>
          !head.startsWith('HTTP/1.1 200')
            ? head.slice(0, 40)
            : body.length < 300
              ? `a body of ${body.length}`
              : undefined,
      });
      const cpu = (cpuMicroseconds(instance) - cpuBefore) / latencies.length;
      const row = [...[0.5, 0.9, 0.99, 0.999].map((share) => percentile(latencies, share)), cpu];
      measured.set(name, [...(measured.get(name) ?? []), row]);
      note({ rotation, name, row, count: latencies.length, failures: Object.fromEntries(failures) });
    }
    await gauges(`rotation ${rotation}`);
  }
  process.stdout.write(`\n| GET, ${rate}/s | p50 | p90 | p99 | p99.9 | server CPU |\n|---|---|---|---|---|---|\n`);
  for (const [name, rows] of measured) {
    const [cpu, ...medians] = [4, 0, 1, 2, 3].map((i) => median(rows.map((row) => row[i] as number)));
    const times = medians.map((ms) => `${ms.toFixed(2)} ms`).join(' | ');
    process.stdout.write(`| ${name} | ${times} | ${(cpu as number).toFixed(0)} µs |\n`);
  }
} finally {
  for (const { child } of [large, small, smallMisses]) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  rmSync(copy, { recursive: true });
}

async function start(name: string, where: string): Promise<Instance> {
  const [dir, file] = where.split(',') as [string, string];
  const ports = await freePorts(4);
  const flags = ['public', 'origin', 'intake', 'admin'].flatMap((each, i) => [`--${each}-port`, String(ports[i])]);
  const serials = Buffer.from(readFileSync(file, 'latin1').replaceAll('\n', ''), 'hex');
  const issuer = issuerFromFile(join(dir, 'issuers/demo/ca.pem'));
  const placeholder = 'a5'.repeat(SERIAL_OCTETS).replace(/^a5/, '15');
  const template = ocspRequest(issuer, placeholder);
  const at = template.indexOf(Buffer.from(placeholder, 'hex'));
  const request = (serial: Buffer): string => {
    serial.copy(template, at);
    return `GET /OcspServer/${encodeURIComponent(template.toString('base64'))} HTTP/1.1\r\nHost: ocsp\r\n\r\n`;
  };
  const started = performance.now();
  const child = spawn(process.execPath, [CLI, '--data', dir, ...flags, 'serve'], { stdio: 'ignore' });
  const since = (): number => Math.round(performance.now() - started) / 1000;
  while (
    !(await fetch(`http://127.0.0.1:${ports[3]}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`${dir}: the service ended`);
    await sleep(20);
  }
  const instance = { name, child, ports, serials, request };
  note({ name, certificates: serials.length / SERIAL_OCTETS, readySeconds: since(), ...memory(instance) });
  while ((await gauge(instance, 'certstatus_freshness_complete')) !== 1) await sleep(200);
  note({ name, countedSeconds: since(), ...memory(instance) });
  return instance;
}

/** A copy of the directory, with a configuration that keeps as few answers in memory as it permits. */
function withoutTable(where: string): string {
  const [dir, file] = where.split(',') as [string, string];
  cpSync(dir, copy, { recursive: true });
  const yaml = join(copy, 'certstatus.yaml');
  writeFileSync(
    yaml,
    readFileSync(yaml, 'utf8').replace(/responseTableBytes: .*/, `responseTableBytes: ${LEAST_TABLE}`),
  );
  return `${copy},${file}`;
}

/** Asks about everything that is to be in memory once. */
async function warm(instance: Instance): Promise<void> {
  const before = memory(instance);
  let i = 0;
  const count = Math.min(HOT, instance.serials.length / SERIAL_OCTETS);
  const { failures } = await steady({
    port: instance.ports[0] as number,
    perSecond: 2000,
    seconds: count / 2000,
    connections: 16,
    request: () => instance.request(serial(instance, i++)),
    check: (head) => (head.startsWith('HTTP/1.1 200') ? undefined : head.slice(0, 40)),
  });
  note({ name: instance.name, warmed: i, before, ...memory(instance), failures: Object.fromEntries(failures) });
}

async function gauges(when: string): Promise<void> {
  for (const instance of [large, small, smallMisses]) {
    const values: Record<string, number> = {};
    for (const name of [
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_eventloop_lag_max_seconds',
      'certstatus_published_certificates',
      'certstatus_response_table_entries',
      'certstatus_response_table_bytes',
    ])
      values[name] = await gauge(instance, name);
    note({ when, name: instance.name, ...memory(instance), ...values });
  }
}

async function gauge(instance: Instance, name: string): Promise<number> {
  const text = await fetch(`http://127.0.0.1:${instance.ports[3]}/metrics`).then((response) => response.text());
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? ([^\\n]+)$`, 'm').exec(text)?.[1] ?? NaN);
}

function memory({ child }: Instance): object {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const kib = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]);
  // Of the files that LevelDB maps, the kernel may take back every page.
  return { rssMiB: kib('VmRSS') >> 10, anonymousMiB: kib('RssAnon') >> 10, peakMiB: kib('VmHWM') >> 10 };
}

/** Of all its threads, so far. */
function cpuMicroseconds({ child }: Instance): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function any(instance: Instance, among = instance.serials.length / SERIAL_OCTETS): Buffer {
  return serial(instance, Math.floor(Math.random() * Math.min(among, instance.serials.length / SERIAL_OCTETS)));
}

function serial({ serials }: Instance, i: number): Buffer {
  return serials.subarray(i * SERIAL_OCTETS, (i + 1) * SERIAL_OCTETS);
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;
}

function note(line: object): void {
  const text = `${JSON.stringify(line)}\n`;
  process.stderr.write(text);
  if (values.out !== undefined) appendFileSync(values.out, text);
}
