/**
 * `npm run bench:soak [-- --minutes 10 --rate 300]`: one `certstatus serve` under everything at once, and does it grow? GETs, POSTs,
 * conditional GETs and questions about serials that were never issued over kept connections; broken requests, HTTP/1.0 and `Connection:
 * close` over new ones; certificates issued and revoked; CRLs after revocations and on demand. Memory, descriptors and the delay of the event
 * loop are read from /metrics every two seconds.
 *
 * After the warm-up (the first fifth) RSS and descriptors must be flat: the line through the least value of every tenth of the rest may not
 * rise by more than twice the scatter about that line, nor, where it scatters little, by more than 3 % of the mean. The heap, and the
 * buffers beside it, are saws with teeth of many minutes: they are held against what is left after a full collection, at the end
 * of the warm-up, in the middle and at the end, in a run of its own with `--collect`, because that stops the program for seconds. What may grow is kept from growing: what is asked about is a fixed set.
 */
import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { rawExchange } from '../test/support/http.ts';
import { ocspRequest } from '../test/support/ocsp-client.ts';
import { Service } from '../test/support/service.ts';
import { percentile, steady } from './load/steady.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    rate: { type: 'string', default: '300' },
    collect: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const SAMPLE_MS = 2000;
const EVENT_MS = 250;
const CLOSE_MS = 40;
const CRL_MS = 5000;
const CERTIFICATES = 2000;
const REVOKE_EVERY = 4;
/** What is on a CRL stays there: the list grows, but not beyond what the warm-up made of it by much. */
const MAX_REVOKED = 500;
const NOT_AFTER = '2027-06-01T00:00:00Z';
const WARM_UP = 0.2;
/** For the snapshot to be written, and for what was waiting meanwhile. */
const COLLECTION_MS = 4000;
const PARTS = 10;

/** Name in /metrics, divisor, unit. */
const SERIES = {
  RSS: ['process_resident_memory_bytes', 1 << 20, 'MiB'],
  'heap used': ['nodejs_heap_size_used_bytes', 1 << 20, 'MiB'],
  external: ['nodejs_external_memory_bytes', 1 << 20, 'MiB'],
  descriptors: ['process_open_fds', 1, ''],
  'event loop delay, p99': ['nodejs_eventloop_lag_p99_seconds', 1e-3, 'ms'],
} as const satisfies Record<string, readonly [string, number, string]>;

// Writing a heap snapshot begins with a full collection: the only one that a program outside can ask for.
const service = await Service.demo({ NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' });
const sent: Record<string, number> = {};
const failures = new Map<string, number>();
const afterCollection: Record<string, number>[] = [];
let failed = false;
let revoked = 0;
let events = 0;
let toRevoke: string | undefined;
try {
  const serials = Array.from({ length: CERTIFICATES }, newSerial);
  await issue(serials);
  const requests = serials.map((serial) => ocspRequest(service.demo.issuer, serial));
  // Signed, and in memory: what is asked about does not grow from here on.
  for (const request of requests) await service.get(`/OcspServer/${encodeURIComponent(request.toString('base64'))}`);
  const etags = await etagsOf(requests.slice(0, 200));
  const end = performance.now() + minutes * 60_000;
  const rows: { seconds: number; values: Record<string, number> }[] = [];
  const started = performance.now();
  const [kept] = await Promise.all([
    steady({
      port: service.ports.public,
      perSecond: rate,
      seconds: minutes * 60,
      connections: 16,
      request: () => question(requests, etags),
      check: (head) => (/^HTTP\/1\.1 (200|304)/.test(head) ? undefined : head.slice(0, 60)),
    }),
    every(CLOSE_MS, end, () => closeOne(requests)),
    every(EVENT_MS, end, event),
    every(CRL_MS, end, async () => {
      const { status } = await service.api('POST', '/v1/issuers/demo/crls');
      // 422: its thisUpdate would not be later than that of the last one, which is less than a second old.
      count(`CRL on demand: ${status}`, status === 200 || status === 422);
    }),
    every(
      SAMPLE_MS,
      end,
      async () => void rows.push({ seconds: (performance.now() - started) / 1000, values: await sample() }),
    ),
    collected(WARM_UP * minutes * 60_000),
    collected(0.6 * minutes * 60_000),
  ]);
  await collected(0);
  for (const [why, times] of kept.failures) failures.set(why, (failures.get(why) ?? 0) + times);
  print(rows, kept.latencies);
  if (values.collect) printCollected();
} finally {
  await service.stop();
  await service.remove();
}
if (failures.size > 0) {
  failed = true;
  for (const [why, times] of failures) process.stdout.write(`failed, ${times} times: ${why}\n`);
}
process.exitCode = failed ? 1 : 0;

async function sample(): Promise<Record<string, number>> {
  const text = (await service.get('/metrics', 'admin')).body.toString();
  const row: Record<string, number> = {};
  for (const [name, [metric, divisor]] of Object.entries(SERIES))
    row[name] = Number(new RegExp(`^${metric} (.+)$`, 'm').exec(text)?.[1]) / divisor;
  return row;
}

/** What is left when everything that nobody needs has been collected. */
async function collected(afterMs: number): Promise<void> {
  if (!values.collect) return;
  await sleep(afterMs);
  process.kill(service.pid, 'SIGUSR2');
  await sleep(COLLECTION_MS);
  // While the snapshot is being written nobody is answered, and on a busy machine that takes a while.
  for (;;) {
    const row = await sample().catch(() => undefined);
    if (row !== undefined) return void afterCollection.push(row);
  }
}

function question(requests: readonly Buffer[], etags: readonly string[]): Buffer | string {
  const kind = Math.floor(Math.random() * 10);
  const at = Math.floor(Math.random() * requests.length);
  const request = requests[at] as Buffer;
  const get = (der: Buffer, more = ''): string =>
    `GET /OcspServer/${encodeURIComponent(der.toString('base64'))} HTTP/1.1\r\nHost: ocsp\r\n${more}\r\n`;
  const said = (name: string): void => void (sent[name] = (sent[name] ?? 0) + 1);
  if (kind < 5) return (said('GET'), get(request));
  if (kind < 7) {
    said('POST');
    const head = `POST /OcspServer HTTP/1.1\r\nHost: ocsp\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${request.length}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head), request]);
  }
  if (kind < 9) {
    said('conditional GET');
    const which = at % etags.length;
    return get(requests[which] as Buffer, `If-None-Match: ${etags[which]}\r\n`);
  }
  said('GET, never issued');
  return get(ocspRequest(service.demo.issuer, newSerial()));
}

/** One request on a connection of its own; some are broken. */
async function closeOne(requests: readonly Buffer[]): Promise<void> {
  const der = requests[Math.floor(Math.random() * requests.length)] as Buffer;
  const path = `/OcspServer/${encodeURIComponent(der.toString('base64'))}`;
  const cut = encodeURIComponent(der.subarray(0, 20).toString('base64'));
  const [name, octets, expected] = (
    [
      ['GET, close', `GET ${path} HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\n\r\n`, /^HTTP\/1\.1 200/],
      ['GET, HTTP/1.0', `GET ${path} HTTP/1.0\r\n\r\n`, /^HTTP\/1\.[01] 200/],
      [
        'malformed DER',
        `GET /OcspServer/${cut} HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\n\r\n`,
        /^HTTP\/1\.1 200/,
      ],
      ['malformed HTTP', 'GET \u0001\r\n\r\n', /^HTTP\/1\.1 400/],
      ['CRL', 'GET /SureServer/demo/cdp.crl HTTP/1.1\r\nHost: crl\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 200/],
    ] as const
  )[Math.floor(Math.random() * 5)] as readonly [string, string, RegExp];
  const answer = (await rawExchange(service.ports.public, octets)).toString('latin1', 0, 60);
  count(name, expected.test(answer));
}

async function event(): Promise<void> {
  events += 1;
  if (events % REVOKE_EVERY === 0 && toRevoke !== undefined && revoked < MAX_REVOKED) {
    revoked += 1;
    const { status } = await service.api('POST', '/v1/issuers/demo/revocations', {
      revocations: [{ serial: toRevoke, reason: 'superseded' }],
    });
    return count('revoke', status === 200);
  }
  toRevoke = newSerial();
  await issue([toRevoke]);
}

async function issue(serials: readonly string[]): Promise<void> {
  const { status } = await service.api('POST', '/v1/issuers/demo/certificates', {
    certificates: serials.map((serial) => ({ serial, notAfter: NOT_AFTER })),
  });
  count('issue', status === 200);
}

async function etagsOf(requests: readonly Buffer[]): Promise<string[]> {
  const etags: string[] = [];
  for (const request of requests) {
    const { headers } = await service.get(`/OcspServer/${encodeURIComponent(request.toString('base64'))}`);
    etags.push(headers.etag ?? '"none"');
  }
  return etags;
}

async function every(ms: number, end: number, run: () => Promise<void>): Promise<void> {
  for (let next = performance.now(); next < end; next = Math.max(next + ms, performance.now())) {
    await sleep(Math.max(0, next - performance.now()));
    await run().catch((error: unknown) => count(String(error), false));
  }
}

function count(what: string, good: boolean): void {
  sent[what] = (sent[what] ?? 0) + 1;
  if (!good) failures.set(what, (failures.get(what) ?? 0) + 1);
}

function newSerial(): string {
  return `1${randomBytes(16).toString('hex').slice(1)}`;
}

function print(rows: readonly { seconds: number; values: Record<string, number> }[], latencies: Float64Array): void {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(latencies, share).toFixed(1));
  process.stdout.write(
    `\n${minutes} minutes, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; ` +
      `${rate}/s over kept connections: p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms\n` +
      `${Object.entries(sent)
        .map(([what, times]) => `${what} ${times}`)
        .join(', ')}\n\n` +
      '| | after the warm-up | at the end | line rises by | scatter | |\n|---|---|---|---|---|---|\n',
  );
  const rest = rows.slice(Math.floor(rows.length * WARM_UP));
  for (const [name, [, , unit]] of Object.entries(SERIES)) {
    const parts = Array.from({ length: PARTS }, (_, i) =>
      rest.slice(Math.floor((i * rest.length) / PARTS), Math.floor(((i + 1) * rest.length) / PARTS)),
    );
    const least = parts.map((part) => Math.min(...part.map((row) => row.values[name] as number)));
    const { rise, scatter, mean } = line(least);
    const flat = rise <= Math.max(2 * scatter, 0.03 * mean);
    // A snapshot leaves its own traces in RSS.
    const judged = name === 'descriptors' || (name === 'RSS' && !values.collect);
    if (!flat && judged) failed = true;
    const show = (value: number): string => `${value.toFixed(1)} ${unit}`.trim();
    process.stdout.write(
      `| ${name} | ${show(least[0] as number)} | ${show(least.at(-1) as number)} | ${show(rise)} | ${show(scatter)} | ${!judged ? '' : flat ? 'flat' : 'GROWS'} |\n`,
    );
  }
}

/** Certificates are issued and revoked meanwhile, and the CRL grows: a megabyte, or a tenth, may be theirs. */
function printCollected(): void {
  process.stdout.write('\n| after a full collection | at 20 % | at 60 % | at the end | |\n|---|---|---|---|---|\n');
  for (const name of ['heap used', 'external'] as const) {
    const mib = afterCollection.map((row) => row[name] as number);
    const [first, last] = [mib[0] as number, mib.at(-1) as number];
    const flat = last - first <= Math.max(1, 0.1 * first);
    if (!flat) failed = true;
    process.stdout.write(
      `| ${name} | ${mib.map((value) => `${value.toFixed(1)} MiB`).join(' | ')} | ${flat ? 'flat' : 'GROWS'} |\n`,
    );
  }
}

/** Least squares: what the line rises by from the first point to the last, and the standard deviation about it. */
function line(points: readonly number[]): { rise: number; scatter: number; mean: number } {
  const n = points.length;
  const mean = points.reduce((sum, y) => sum + y, 0) / n;
  const middle = (n - 1) / 2;
  const slope =
    points.reduce((sum, y, x) => sum + (x - middle) * (y - mean), 0) /
    points.reduce((sum, _, x) => sum + (x - middle) ** 2, 0);
  const squares = points.reduce((sum, y, x) => sum + (y - mean - slope * (x - middle)) ** 2, 0);
  return { rise: slope * (n - 1), scatter: Math.sqrt(squares / Math.max(1, n - 2)), mean };
}
