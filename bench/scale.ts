/**
 * `npm run bench:scale [-- rows]`: an existing CA of 1,000,000 certificates (index.txt) is imported, served, stopped and started
 * again, with the shipped commands as processes of their own. Prints a Markdown table: rate, time to the first correct answer, time
 * until ready, peak memory. Ports are free ones on loopback; everything lies in a temporary directory.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';

const rows = Number(process.argv[2] ?? 1_000_000);
const cli = join(import.meta.dirname, '../src/apps/cli.js');
const dir = mkdtempSync(join(tmpdir(), 'certstatus-scale-'));
const data = join(dir, 'data');
const index = join(dir, 'index.txt');
const table: [string, string][] = [];

try {
  await writeIndex();
  const ports = await freePorts(4);
  const flags = [
    '--data',
    data,
    ...['public', 'origin', 'intake', 'admin'].flatMap((name, i) => [`--${name}-port`, String(ports[i])]),
  ];
  execFileSync(process.execPath, [cli, ...flags, 'init', '--demo']);

  const imported = await run([...flags, 'import', 'index', '--issuer', 'demo', index]);
  table.push([
    'import, service stopped',
    `${imported.seconds.toFixed(1)} s, ${Math.round(rows / imported.seconds).toLocaleString('en')} rows/s, peak ${imported.peakMiB} MiB`,
  ]);

  let service = await serve(flags, ports);
  table.push(['first start after the import: ready', `${service.readySeconds.toFixed(1)} s`]);
  table.push([
    'first answer about an imported certificate (signed on demand)',
    `${firstAnswer(ports[0] as number)} ms, openssl's own start included`,
  ]);
  await stop(service.child);
  service = await serve(flags, ports);
  table.push([`restart with ${rows.toLocaleString('en')} certificates: ready`, `${service.readySeconds.toFixed(1)} s`]);
  const before = await published(ports[3] as number);
  await new Promise((resolve) => setTimeout(resolve, 20_000));
  const after = await published(ports[3] as number);
  table.push([
    'backlog worked off (both CertID hashes signed, verified, linted)',
    `${Math.round((after - before) / 20).toLocaleString('en')} certificates/s`,
  ]);
  table.push(['service memory while signing the backlog', `peak ${peakMiB(service.child.pid as number)} MiB`]);
  await stop(service.child);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
process.stdout.write(
  `\n${rows.toLocaleString('en')} certificates, 5 % revoked; Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}\n\n| what | measured |\n|---|---|\n`,
);
for (const [what, measured] of table) process.stdout.write(`| ${what} | ${measured} |\n`);

async function writeIndex(): Promise<void> {
  const file = createWriteStream(index);
  for (let i = 0; i < rows; i++) {
    // A first octet below 80, as a CA that avoids the sign bit issues it.
    const serial = `1${randomBytes(16).toString('hex').slice(1)}`.toUpperCase();
    const line =
      i % 20 === 0
        ? `R\t380101000000Z\t261101000000Z,superseded\t${serial}\tunknown\t/CN=${i}\n`
        : `V\t380101000000Z\t\t${serial}\tunknown\t/CN=${i}\n`;
    if (!file.write(line)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

async function run(args: string[]): Promise<{ seconds: number; peakMiB: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, peakMiB(child.pid as number))), 200);
  const [code] = (await once(child, 'exit')) as [number];
  clearInterval(watch);
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`);
  return { seconds: (performance.now() - started) / 1000, peakMiB: peak };
}

async function serve(flags: string[], ports: number[]): Promise<{ child: ChildProcess; readySeconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, ...flags, 'serve'], { stdio: 'ignore' });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${ports[3]}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return { child, readySeconds: (performance.now() - started) / 1000 };
    if (child.exitCode !== null) throw new Error('the service ended');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Milliseconds until `openssl ocsp` says good about the last imported certificate. */
function firstAnswer(port: number): number {
  const last = readFileSync(index, 'latin1').trimEnd().split('\n').at(-1) as string;
  const ca = join(data, 'issuers/demo/ca.pem');
  const started = performance.now();
  const said = execFileSync(
    'openssl',
    [
      'ocsp',
      '-issuer',
      ca,
      '-CAfile',
      ca,
      '-serial',
      `0x${last.split('\t')[3]}`,
      '-url',
      `http://127.0.0.1:${port}/`,
      '-no_nonce',
    ],
    { encoding: 'utf8' },
  );
  if (!said.includes(': good')) throw new Error(`openssl ocsp said: ${said}`);
  return Math.round(performance.now() - started);
}

async function published(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^certstatus_published_certificates\{issuer="demo"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  await once(child, 'exit');
}

function peakMiB(pid: number): number {
  try {
    return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
