/**
 * `npm run bench:visible [-- certificates]`: from acknowledged to visible on every responder, while the refresh lane is never
 * empty. A fleet of real processes on one machine (Redis, 2 intakes, 2 signers, 3 responders; keys in files) imports
 * 100,000 certificates and signs them; meanwhile certificates are issued and revoked one after the other, and three responders are
 * asked about each until all say so. Prints a Markdown table. At most six minutes; goal: p99 below 1 s.
 *
 * The clock of one certificate starts when the intake has answered and stops when the last responder has; asking costs a few
 * milliseconds, which are in the figures.
 */
import { mkdtempSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fleet } from '../test/support/fleet.ts';
import type { Member } from '../test/support/member.ts';
import { ask } from '../test/support/ocsp-client.ts';
import { startRedis } from '../test/support/redis.ts';
import { freePorts } from '../test/support/service.ts';

const certificates = Number(process.argv[2] ?? 100_000);
/** Of each kind; and not fewer than this while there is refreshing to be done. */
const SAMPLES = 250;
const STREAMS = 2;
const PAUSE_MS = 150;
const LIMIT_MS = 240_000;
const ROWS = 1000;
/** Less than this left to sign: more is imported. */
const REFILL = 20_000;
/** Beyond it something is wrong, and the figure would hide it. */
const LOST_MS = 30_000;
const NOT_AFTER = '2027-06-01T00:00:00Z';

const redis = await startRedis();
const fleet = await Fleet.create({
  directory: mkdtempSync(join(tmpdir(), 'certstatus-visible-')),
  ports: await freePorts(3 * Fleet.names().length),
  store: () => ({ host: '127.0.0.1', port: redis.port, certificates: Math.max(1000, certificates) }),
});
try {
  await fleet.start();
  const measured = await measure();
  print(measured);
} finally {
  await fleet.kill();
  await redis.remove();
  fleet.remove();
}

interface Measured {
  readonly issued: readonly number[];
  readonly revoked: readonly number[];
  /** Of `revoked`, how many while the refresh lane had work. */
  readonly busy: number;
  readonly signed: number;
  readonly seconds: number;
}

async function measure(): Promise<Measured> {
  const startedAt = performance.now();
  const over = (): boolean => performance.now() - startedAt > LIMIT_MS;
  let importing = true;
  let imported = 0;
  const issued: number[] = [];
  const revoked: number[] = [];
  let [busy, waiting] = [0, NaN];
  const imports = (async (): Promise<void> => {
    while (!over() && (imported < certificates || revoked.length < SAMPLES)) {
      // All of them at once, and then again and again some more, until enough has been measured.
      if (imported >= certificates && waiting > REFILL) await sleep(100);
      else {
        await importRows();
        imported += ROWS;
      }
    }
    importing = false;
  })();
  const look = async (): Promise<void> => {
    waiting = (await lane('refresh')) ?? NaN;
    const seconds = (performance.now() - startedAt) / 1000;
    process.stderr.write(`visible: ${revoked.length} measured, ${imported} imported, ${waiting} to be signed, ${seconds.toFixed(0)} s\n`); // prettier-ignore
  };
  // Not before there is something to be refreshed.
  while (!(waiting > ROWS) && !over()) await look().then(() => sleep(200));
  let measuring = true;
  const watching = (async (): Promise<void> => {
    while (measuring) await look().then(() => sleep(2000));
  })();
  const stream = async (place: number): Promise<void> => {
    const intake = fleet.intakes[place % fleet.intakes.length] as Member;
    while (!over() && (revoked.length < SAMPLES || importing || waiting > 0)) {
      const serial = `4${randomBytes(16).toString('hex').slice(1)}`;
      issued.push(await visible(intake, 'certificates', { certificates: [{ serial, notAfter: NOT_AFTER }] }, serial, 'good')); // prettier-ignore
      const underLoad = waiting > 0;
      revoked.push(await visible(intake, 'revocations', { revocations: [{ serial, reason: 'superseded' }] }, serial, 'revoked')); // prettier-ignore
      if (underLoad) busy += 1;
      await sleep(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: STREAMS }, (_, place) => stream(place)));
  const seconds = (performance.now() - startedAt) / 1000;
  measuring = false;
  await Promise.all([imports, watching]);
  return { issued, revoked, busy, signed: imported - waiting, seconds };
}

/** Milliseconds from the acknowledgement until every responder says so. */
async function visible(
  intake: Member,
  path: string,
  body: object,
  serial: string,
  wanted: 'good' | 'revoked',
): Promise<number> {
  const { status, body: said } = await fleet.api(intake, 'POST', `/v1/issuers/demo/${path}`, body);
  if (status !== 200) throw new Error(`${intake.name} says ${status}: ${JSON.stringify(said)}`);
  const acknowledgedAt = performance.now();
  const seen = fleet.responders.map(async ({ name, ports }) => {
    for (;;) {
      const answer = await ask(fleet.issuer, serial, { port: ports.public, path: '/OcspServer', method: 'GET' });
      const after = performance.now() - acknowledgedAt;
      if (answer.status === wanted) return after;
      if (after > LOST_MS) throw new Error(`${name} says ${answer.status} of ${serial} after ${after.toFixed(0)} ms`);
      await sleep(5);
    }
  });
  return Math.max(...(await Promise.all(seen)));
}

async function importRows(): Promise<void> {
  const rows = Array.from({ length: ROWS }, (_, i) => ({ line: i + 1, serial: `5${randomBytes(16).toString('hex').slice(1)}`, notAfter: NOT_AFTER })); // prettier-ignore
  const [intake] = fleet.intakes as [Member];
  const { status, body } = await fleet.api(intake, 'POST', '/v1/issuers/demo/import', { source: 'bench', rows });
  if (status !== 200) throw new Error(`import: ${status} ${JSON.stringify(body)}`);
}

async function lane(name: string): Promise<number | undefined> {
  const status = await (fleet.signers[0] as Member).status();
  return status?.lanes.find((one) => one.lane === name)?.waiting;
}

function print({ issued, revoked, busy, signed, seconds }: Measured): void {
  const at = (all: readonly number[], part: number): string => {
    const sorted = [...all].sort((a, b) => a - b);
    return `${(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] as number).toFixed(0)} ms`;
  };
  const row = (what: string, all: readonly number[]): string =>
    `| ${what} | ${all.length} | ${[0.5, 0.9, 0.99, 1].map((part) => at(all, part)).join(' | ')} |`;
  process.stdout.write(`
Redis, 2 intakes, 2 signers (P-256 in files), 3 responders and the clients on ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.versions.node};
${signed.toLocaleString('en')} certificates signed by both hashes in ${seconds.toFixed(0)} s beside it, ${busy} of the ${revoked.length} revocations while that went on

| acknowledged until all 3 responders say | n | p50 | p90 | p99 | max |
|---|---|---|---|---|---|
${row('good (issued)', issued)}
${row('revoked', revoked)}
`);
}
