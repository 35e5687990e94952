/**
 * Certificates with answers of the real kind: a demo CA in a data directory of the shipped program, whose embedded store is
 * written through its port. Signing 1,000,000 takes a minute, so a set is kept in the scratch directory and used again until its
 * answers come due: signing while something is measured would be measured, too.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadConfig, type Loaded } from '../../src/apps/config.ts';
import { openCore } from '../../src/apps/core.ts';
import { startProgress } from '../../src/apps/progress.ts';
import type { Certificate } from '../../src/core/certificate.ts';
import type { Issuer } from '../../src/core/issuer.ts';
import { writeRequest } from '../../src/core/ocsp/request-writer.ts';
import { planResponse } from '../../src/core/policy/freshness.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, wholeSecond } from '../../src/core/time.ts';
import type { ServedIssuer } from '../../src/flows/issuer-setup.ts';
import type { Store } from '../../src/ports/store.ts';
import type { SignedPage } from './sign-page.ts';

/** What another version of this file would write differently goes into another directory. */
const LAYOUT = 2;
/** The demo profile signs anew after a day, less a fifth. */
const LONGEST_USE_MS = 12 * HOUR;
export const SERIAL_OCTETS = 16;
const PAGE = 1000;

export const CLI = join(import.meta.dirname, '../../src/apps/cli.js');

export interface AnswerSet {
  readonly count: number;
  /** Data directory of the shipped program. */
  readonly data: string;
  /** SERIAL_OCTETS for each certificate, in the order in which they are asked about. */
  readonly serials: Buffer;
  /** Of a set with peers: `index.txt`, `responses.txt` (base64 lines, as cfssl reads them), `files/<base64>`. */
  readonly peers: string | undefined;
}

export interface SetOptions {
  readonly count: number;
  /** Also what the peers serve from. Then no request has a slash in its base64, because no file can have one in its name. */
  readonly peers: boolean;
  /** Bound of the responder's table, in bytes. */
  readonly tableBytes: number;
}

/** Makes the set below `scratch`, or finds it there. Says what it does on standard error. */
export async function prepareSet(scratch: string, options: SetOptions): Promise<AnswerSet> {
  const root = join(scratch, `set-v${LAYOUT}-${options.count}${options.peers ? '-peers' : ''}`);
  const made = join(root, 'made');
  const usable = existsSync(made) && Date.now() - Number(readFileSync(made, 'utf8')) < LONGEST_USE_MS;
  if (!usable) {
    rmSync(root, { recursive: true, force: true });
    const building = `${root}-building`;
    rmSync(building, { recursive: true, force: true });
    mkdirSync(building, { recursive: true, mode: 0o755 });
    const startedAt = Date.now();
    await make(building, options);
    writeFileSync(join(building, 'made'), String(startedAt));
    renameSync(building, root);
  }
  const data = join(root, 'data');
  const config = join(data, 'certstatus.yaml');
  const text = readFileSync(config, 'utf8');
  writeFileSync(config, text.replace(/responseTableBytes: \d+/, `responseTableBytes: ${options.tableBytes}`));
  return {
    count: options.count,
    data,
    serials: readFileSync(join(root, 'serials')),
    peers: options.peers ? join(root, 'peers') : undefined,
  };
}

export function serialAt(serials: Buffer, index: number): Serial {
  return serials.toString('hex', index * SERIAL_OCTETS, (index + 1) * SERIAL_OCTETS) as Serial;
}

async function make(root: string, { count, peers }: SetOptions): Promise<void> {
  const data = join(root, 'data');
  let loaded = makeDemo(data);
  // The hashes of the issuer come before the serial: with a slash in them every request has one.
  while (peers && hashesOf(loaded).includes('/')) {
    rmSync(data, { recursive: true });
    loaded = makeDemo(data);
  }
  const silent = { debug: nothing, info: nothing, warn: nothing, error: console.error };
  const core = await openCore(loaded, silent);
  try {
    const [setup] = core.setups;
    const issuer = core.issuers.get('demo');
    const [key] = setup?.responders[0]?.keys ?? [];
    if (issuer === undefined || key?.kind !== 'file') throw new Error('the demo has no responder key in a file');
    const serials = makeSerials(issuer.issuer, count, peers);
    writeFileSync(join(root, 'serials'), serials);
    const to = peers ? join(root, 'peers') : undefined;
    if (to !== undefined) mkdirSync(join(to, 'files'), { recursive: true, mode: 0o755 });
    await publishAll(core.store, issuer, key.file, serials, to);
  } finally {
    await core.close();
  }
}

function makeDemo(data: string): Loaded {
  execFileSync(process.execPath, [CLI, '--data', data, 'init', '--demo'], { stdio: ['ignore', 'ignore', 'inherit'] });
  return loadConfig({ env: {}, overrides: { dataDir: data }, nowMs: Date.now() });
}

/** Of a request the base64 that does not depend on the serial. */
function hashesOf({ issuers: [setup] }: Loaded): string {
  if (setup === undefined) throw new Error('the demo has no issuer');
  const request = writeRequest(setup.issuer.hashes, '00'.repeat(SERIAL_OCTETS) as Serial);
  return request.subarray(0, -SERIAL_OCTETS).toString('base64').replace(/=+$/, '').slice(0, -1);
}

/** Random ones, as BR 7.1 has it: positive, without padding. */
function makeSerials(issuer: Issuer, count: number, noSlash: boolean): Buffer {
  const serials = randomBytes(count * SERIAL_OCTETS);
  for (let i = 0; i < count; i++) {
    const octets = serials.subarray(i * SERIAL_OCTETS, (i + 1) * SERIAL_OCTETS);
    do {
      if (noSlash) octets.set(randomBytes(SERIAL_OCTETS));
      octets[0] = ((octets[0] as number) & 0x3f) | 0x40;
    } while (noSlash && writeRequest(issuer.hashes, serialAt(serials, i)).toString('base64').includes('/'));
  }
  return serials;
}

/** Pages are signed by as many threads as there are CPUs, while this one writes tbs and store. */
async function publishAll(
  store: Store,
  issuer: ServedIssuer,
  keyFile: string,
  serials: Buffer,
  peers: string | undefined,
): Promise<void> {
  const count = serials.length / SERIAL_OCTETS;
  const progress = startProgress(`sign and store ${count.toLocaleString('en')}`, 'certificates');
  const workers = Array.from(
    { length: availableParallelism() },
    () => new Worker(join(import.meta.dirname, 'sign-page.js'), { workerData: { keyFile } }),
  );
  const seq = await store.appliedSeq();
  let done = 0;
  let next = 0;
  try {
    await Promise.all(
      // Two pages for each worker: one is being signed while the other is written.
      [...workers, ...workers].map(async (worker, lane) => {
        for (;;) {
          const first = next;
          if (first >= count) return;
          next += PAGE;
          const page: Serial[] = [];
          for (let i = first; i < Math.min(first + PAGE, count); i++) page.push(serialAt(serials, i));
          await publishPage(store, issuer, { worker, lane }, page, seq, peers);
          done += page.length;
          progress.update({ items: done, done, total: count });
        }
      }),
    );
  } finally {
    progress.end();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

async function publishPage(
  store: Store,
  { tag, profile, responders, issuer }: ServedIssuer,
  signer: { readonly worker: Worker; readonly lane: number },
  page: readonly Serial[],
  seq: number,
  peers: string | undefined,
): Promise<void> {
  const [responder] = responders.list;
  if (responder === undefined) throw new Error('the demo has no responder certificate');
  const now = Date.now();
  const certificates = page.map((serial): Certificate => ({
    issuer: tag,
    serial,
    revision: 1,
    notBefore: wholeSecond(now) - HOUR,
    notAfter: wholeSecond(now) + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: undefined,
    recordedAt: now,
    recordedSeq: seq,
  }));
  const planned = page.map((serial) => {
    const times = planResponse(profile, responder.certificate, { issuer: tag, serial }, now);
    if (times === undefined) throw new Error('the responder certificate has run out');
    return { serial, times, answer: { revocation: undefined, ...times } };
  });
  const tbs = planned.flatMap(({ serial, answer }) =>
    (['sha1', 'sha256'] as const).map((hash) => responder.template.tbs(hash, serial, answer)),
  );
  const signing = signPage(signer, tbs);
  await store.replay(
    certificates.map((certificate) => ({ certificate, lane: 'issue' as const })),
    seq,
  );
  const signatures = await signing;
  const answers = planned.map(({ serial, times }, i) => ({
    item: { issuer: tag, serial, lane: 'issue' as const, dueAt: now },
    response: {
      issuer: tag,
      serial,
      revision: 1,
      revocation: undefined,
      ...times,
      publishedAt: now,
      responder: responder.certificate.id,
      signatures: { sha1: signatures[2 * i] as Buffer, sha256: signatures[2 * i + 1] as Buffer },
    },
  }));
  const outcomes = await store.publish(answers);
  if (outcomes.some((outcome) => outcome !== 'published')) throw new Error('an answer was not published');
  if (peers === undefined) return;
  let index = '';
  let lines = '';
  for (const { response } of answers) {
    const { serial } = response;
    const body = responder.template.assemble('sha1', serial, response, response.signatures.sha1);
    writeFileSync(join(peers, 'files', writeRequest(issuer.hashes, serial).toString('base64')), body);
    index += `V\t391231235959Z\t\t${serial.toUpperCase()}\tunknown\t/CN=${serial}\n`;
    lines += `${body.toString('base64')}\n`;
  }
  writeFileSync(join(peers, 'index.txt'), index, { flag: 'a' });
  writeFileSync(join(peers, 'responses.txt'), lines, { flag: 'a' });
}

/** Signatures in the order of `tbs`. */
function signPage(
  { worker, lane }: { readonly worker: Worker; readonly lane: number },
  tbs: readonly Buffer[],
): Promise<readonly Buffer[]> {
  return new Promise((resolve, reject) => {
    const onMessage = (page: SignedPage): void => {
      if (page.lane !== lane) return;
      worker.off('message', onMessage).off('error', reject);
      resolve(page.signatures.map((signature) => Buffer.from(signature)));
    };
    worker.on('message', onMessage).once('error', reject);
    worker.postMessage({ lane, tbs });
  });
}

const nothing = (): void => undefined;
