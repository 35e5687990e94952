/**
 * `npm run bench:downloads [-- --megabytes 10,50 --readers 20 --rate 200 --seconds 5 --rotations 3 --processes 1,2]`: does an OCSP client
 * notice that CRLs are being downloaded? GETs at a fixed rate, of answers that are ready, without downloads and beside them, one after the
 * other in each rotation; on both listeners of the shipped program. The readers are another process: some at the pace of a link of
 * 1.6 Mbit/s each, or all of them as fast as they can, which is as much as this machine's loopback carries.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { EmbeddedStore } from '../src/adapters/embedded/store.ts';
import { FileCrlArchive } from '../src/adapters/crl-archive/file-archive.ts';
import { completeCrl, type IssuerTag } from '../src/core/certificate.ts';
import { DAY, SECOND } from '../src/core/time.ts';
import { getPath, ocspRequest } from '../test/support/ocsp-client.ts';
import { Service, until } from '../test/support/service.ts';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpuUse, residentMiB } from './load/processes.ts';
import { percentile, steady } from './load/steady.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '10,50' },
    readers: { type: 'string', default: '20' },
    rate: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '5' },
    rotations: { type: 'string', default: '3' },
    processes: { type: 'string', default: '1,2' },
  },
});
const PACE_OCTETS_PER_SECOND = 200_000;
const CRL_PATH = '/SureServer/demo/cdp.crl';
const SERIAL = '5e0badc0ffee5e0badc0ffee';
const WAYS = ['none', 'paced', 'full'] as const;
type Way = (typeof WAYS)[number];

interface Cell {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly gigabytesPerHour: number;
  readonly cpu: number;
  readonly residentMiB: number;
  readonly failures: number;
}

if (process.send === undefined) await bench();
else await readCrls();

async function bench(): Promise<void> {
  say(`${cpus()[0]?.model}, ${cpus().length} CPUs; Node ${process.version}; ${new Date().toISOString().slice(0, 10)};`);
  say(
    `GET at ${values.rate}/s, ${values.readers} readers, ${values.seconds} s each, medians of ${values.rotations} rotations.\n`,
  );
  say('| CRL | processes | listener | downloads | GB/hour | OCSP p50 | p99 | longest | server CPU | memory |');
  say('|---|---|---|---|---|---|---|---|---|---|');
  const service = await Service.demo();
  try {
    const notAfter = new Date(Date.now() + 30 * DAY).toISOString();
    const issue = ['issue', '--issuer', 'demo', '--serial', SERIAL, '--not-after', notAfter, '--wait'];
    const { code, stderr } = await service.run(...issue);
    if (code !== 0) throw new Error(stderr);
    await service.stop();
    for (const megabytes of values.megabytes.split(',').map(Number)) {
      await publish(service, megabytes * 1_000_000);
      for (const processes of values.processes.split(',').map(Number)) {
        const file = join(service.data, 'certstatus.yaml');
        const yaml = readFileSync(file, 'utf8');
        writeFileSync(file, yaml.replace(/^( +processes:).*$/m, `$1 ${processes}`));
        await service.start();
        await measureAll(service, megabytes, processes);
        await service.stop();
        writeFileSync(file, yaml);
      }
    }
  } finally {
    await service.remove();
  }
}

async function measureAll(service: Service, megabytes: number, processes: number): Promise<void> {
  const listeners = ['public', 'origin'] as const;
  const cells = new Map<string, Cell[]>();
  for (let rotation = 0; rotation < Number(values.rotations); rotation++) {
    for (const listener of listeners) {
      for (const way of WAYS) {
        const name = `${listener} | ${way}`;
        cells.set(name, [...(cells.get(name) ?? []), await measure(service, listener, way)]);
      }
    }
  }
  for (const [name, list] of cells) {
    const median = (read: (cell: Cell) => number): number =>
      [...list].map(read).sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;
    const ms = (read: (cell: Cell) => number): string => `${median(read).toFixed(2)} ms`;
    const row = [ms(({ p50 }) => p50), ms(({ p99 }) => p99), ms(({ max }) => max)];
    const failed = list.reduce((sum, { failures }) => sum + failures, 0);
    say(
      `| ${megabytes} MB | ${processes} | ${name} | ${median((cell) => cell.gigabytesPerHour).toFixed(0)} | ${row.join(' | ')} | ${(100 * median(({ cpu }) => cpu)).toFixed(0)} % | ${median((cell) => cell.residentMiB)} MiB |${failed === 0 ? '' : ` ${failed} failures`}`,
    );
  }
}

async function measure(service: Service, listener: 'public' | 'origin', way: Way): Promise<Cell> {
  const [port, seconds] = [service.ports[listener], Number(values.seconds)];
  const path = getPath('/OcspServer', ocspRequest(service.demo.issuer, SERIAL));
  let readers: ChildProcess | undefined;
  let octets = 0;
  if (way !== 'none') {
    readers = fork(import.meta.filename, [...process.argv.slice(2)], {
      env: { ...process.env, PORT: String(port), WAY: way },
    });
    readers.on('message', (read) => (octets = Number(read)));
    await until('octets come', () => octets > 0);
  }
  await sleep(500);
  const [octetsBefore, cpuBefore, from] = [octets, cpuUse([service.pid]).busy, performance.now()];
  const { latencies, failures } = await steady({
    port,
    perSecond: Number(values.rate),
    seconds,
    connections: 8,
    request: () => `GET ${path} HTTP/1.1\r\nHost: ocsp\r\n\r\n`,
    check: (head, body) => (head.startsWith('HTTP/1.1 200') && body.length > 300 ? undefined : head.slice(0, 40)),
  });
  const took = (performance.now() - from) / 1000;
  const [read, cpu] = [octets - octetsBefore, cpuUse([service.pid]).busy - cpuBefore];
  const memory = residentMiB([service.pid]);
  if (readers !== undefined) {
    readers.kill('SIGKILL');
    await once(readers, 'exit');
  }
  return {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    max: latencies.at(-1) ?? NaN,
    gigabytesPerHour: (read / took / 1e9) * 3600,
    cpu: cpu / took,
    residentMiB: memory,
    failures: [...failures.values()].reduce((sum, count) => sum + count, 0),
  };
}

/** The child: reads the CRL again and again on each of its connections, and tells how many octets it has read. */
async function readCrls(): Promise<void> {
  let octets = 0;
  const paced = process.env['WAY'] === 'paced';
  for (let i = 0; i < Number(values.readers); i++) {
    const begin = (): void => {
      const socket = connect({ port: Number(process.env['PORT']), host: '127.0.0.1' });
      socket.write(`GET ${CRL_PATH} HTTP/1.1\r\nHost: crl\r\nConnection: close\r\n\r\n`);
      socket.on('data', (chunk) => {
        octets += chunk.length;
        if (!paced) return;
        socket.pause();
        setTimeout(() => socket.resume(), (chunk.length / PACE_OCTETS_PER_SECOND) * 1000);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => setTimeout(begin, 10));
    };
    begin();
  }
  for (;;) {
    await sleep(50);
    process.send?.(octets);
  }
}

/** What a signer would have published; serving does not look into it. */
async function publish(service: Service, bytes: number): Promise<void> {
  const archive = new FileCrlArchive(join(service.data, 'crl'));
  const store = await EmbeddedStore.open(service.data, archive);
  const [tag] = readdirSync(join(service.data, 'crl')) as [IssuerTag];
  const scope = completeCrl(tag);
  const current = await store.current(scope);
  if (current === undefined) throw new Error('the demo has published no CRL');
  const now = Math.floor(Date.now() / SECOND) * SECOND;
  const der = randomBytes(bytes);
  const draft = await store.draftCrl(scope);
  await draft.write(der);
  const number = await store.reserveNumber(scope, current.number + 1n);
  const record = {
    ...current,
    number,
    ...{ thisUpdate: now, nextUpdate: now + 4 * DAY, publishedAt: now, scheduledAt: now, kind: 'scheduled' as const },
    ...{ bytes, sha256: createHash('sha256').update(der).digest('hex') },
  };
  if (!(await store.publishCrl(record, draft, current.number))) throw new Error('the CRL was not published');
  await store.close();
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
