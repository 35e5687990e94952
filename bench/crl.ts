/**
 * What a CRL of many entries costs: `node dist/bench/crl.js [entries …]`. For each size a store is filled, and a process that does nothing
 * else builds: from the index, and from the current CRL after 1000 more revocations. Beside it `openssl dgst -sha256` over the same
 * octets in the same run, one signature, the memory of the process and the longest that its event loop was held up. With `shards` as
 * argument: 128 shards of 10,000 entries that are all due at once.
 */
import { ClassicLevel } from 'classic-level';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { FileCrlArchive } from '../src/adapters/crl-archive/file-archive.ts';
import { APPLIED_SEQ_KEY, entryKey, LAYOUT_KEY, LAYOUT_VERSION, serialKey } from '../src/adapters/embedded/keys.ts';
import { encodeCertificate, encodeEntry } from '../src/adapters/embedded/records.ts';
import { EmbeddedStore } from '../src/adapters/embedded/store.ts';
import { FileJournal } from '../src/adapters/journal/file-journal.ts';
import { openSoftwareKey } from '../src/adapters/software-key/key-holder.ts';
import { systemClock } from '../src/adapters/system/clock.ts';
import { COMPLETE, type Certificate, type CrlRecord, type IssuerTag } from '../src/core/certificate.ts';
import type { Serial } from '../src/core/serial.ts';
import { DAY, SECOND } from '../src/core/time.ts';
import { IssuerCrls } from '../src/flows/crl/issuer-crls.ts';
import type { Journal } from '../src/ports/journal.ts';
import type { KeyHolder, PiecewiseSignature, SignPriority, SignResult } from '../src/ports/key-holder.ts';
import { flowMetrics } from '../src/flows/metrics.ts';
import { makeIssuer, type TestIssuer } from '../test/flows/support-service.ts';
import { ecKey, PROFILE } from '../test/core/sample-pki.ts';

const REVOKED_MORE = 1000;
const SHARDS = 128;
const SHARD_ENTRIES = 10_000;
const BATCH = 5000;
const URL = 'http://crl.example/{shard}.crl';
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined };
/** Half of the certificates are revoked with a reason, as on the CRLs of large CAs. */
const REASONS = ['superseded', undefined] as const;

function inDirectory(run: (dir: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-bench-crl-'));
  try {
    writeFileSync(keyFile(dir), ecKey().privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    run(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** In processes of their own, so that the memory of one is not that of the other. */
function inProcess(...args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, [process.argv[1] as string, ...args], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${args.join(' ')} failed`);
}

function measure(dir: string, count: number): void {
  console.log(`\n${count.toLocaleString('en')} entries`);
  inProcess('fill', dir, String(count), '0');
  inProcess('build', dir, '0');
}

function buildShards(dir: string): void {
  console.log(`\n${SHARDS} shards of ${SHARD_ENTRIES.toLocaleString('en')} entries`);
  inProcess('fill', dir, String(SHARDS * SHARD_ENTRIES), String(SHARDS));
  inProcess('build', dir, String(SHARDS));
}

function keyFile(dir: string): string {
  return join(dir, 'ca.key');
}

function issuer(dir: string): TestIssuer {
  const privateKey = createPrivateKey(readFileSync(keyFile(dir)));
  return makeIssuer({ ca: { privateKey, publicKey: createPublicKey(privateKey) } });
}

function certificate(tag: IssuerTag, serial: Serial, shards: number, at: number, recordedSeq: number): Certificate {
  const revokedAt = Math.floor((Date.now() - 30 * DAY) / SECOND) * SECOND + (at % 1_000_000) * SECOND;
  return {
    issuer: tag,
    serial,
    revision: 2,
    notBefore: Date.now() - 40 * DAY,
    notAfter: Date.now() + 300 * DAY,
    precertificate: false,
    crlShard: shards === 0 ? undefined : String(1 + (at % shards)),
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: { revokedAt, reason: REASONS[at % 2] },
    recordedAt: Date.now(),
    recordedSeq,
  };
}

function serialOf(first: number): Serial {
  const serial = randomBytes(16);
  serial.writeUIntBE(first, 0, 6);
  serial[0] = (serial[0] as number) | 0x40;
  return serial.toString('hex') as Serial;
}

/** As the store writes them, and in the order of their keys. */
async function fill(dir: string, count: number, shards: number): Promise<void> {
  const { tag } = issuer(dir).served;
  const db = new ClassicLevel<Buffer, Buffer>(join(dir, 'store'), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    maxFileSize: 8 << 20,
  });
  await db.batch([
    { type: 'put', key: LAYOUT_KEY, value: Buffer.from(LAYOUT_VERSION) },
    { type: 'put', key: APPLIED_SEQ_KEY, value: Buffer.from('1') },
  ]);
  for (let from = 0; from < count; from += BATCH) {
    const batch = db.batch();
    for (let at = from; at < Math.min(count, from + BATCH); at++) {
      const each = certificate(tag, serialOf(Math.floor((at / count) * 2 ** 46)), shards, at, 1);
      const entry = encodeEntry(each, each.revocation as NonNullable<typeof each.revocation>);
      const shard = each.crlShard ?? COMPLETE;
      batch.put(serialKey('c', tag, each.serial), encodeCertificate(each));
      batch.put(entryKey({ issuer: tag, shard }, each.serial), entry);
    }
    await batch.write();
  }
  await db.compactRange(Buffer.from('a'), Buffer.from('z'));
  await db.close();
}

async function build(dir: string, shards: number): Promise<void> {
  const at = issuer(dir);
  const holder = await openSoftwareKey(keyFile(dir));
  const store = await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl')));
  const journal = await FileJournal.open(join(dir, 'audit'), systemClock);
  const stages = new Stages();
  const failed = (about: object, message: string): void => console.error(message, about);
  const crls =
    shards === 0
      ? at.served.crls
      : { complete: false, completeUrls: [], shards: { count: shards, highest: shards, url: URL }, caUrl: undefined };
  // A revocation is listed when it is asked for, and not by a timer in between.
  const profile = { ...PROFILE, crl: { ...PROFILE.crl, coalesceMs: DAY } };
  const publishers = new IssuerCrls(
    {
      served: { ...at.served, crls, profile },
      keys: { ...at.keys, crl: { holder: stages.watch(holder), publicKey: at.served.issuer.publicKey } },
    },
    store,
    stages.watchJournal(journal),
    systemClock,
    { ...QUIET, error: failed },
    flowMetrics().crl('bench'),
  );
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const signing = await took(async () => void (await holder.sign([Buffer.alloc(100)], 'urgent')));
  console.log(`one signature: ${signing.toFixed(1)} ms`);
  if (shards > 0) {
    const ms = await took(async () => {
      await publishers.start();
      while ([...publishers.publishers.values()].some(({ current }) => current === undefined)) await wait(20);
    });
    console.log(`all of them: ${(ms / SECOND).toFixed(2)} s, ${memory()}, ${held(delay)}`);
  } else {
    const once = async (name: string): Promise<void> => {
      let record: CrlRecord | undefined;
      delay.reset();
      stages.start();
      const before = process.cpuUsage();
      const ms = await took(async () => void (record = await publishers.publishNow()));
      const cpu = cpuMs(before);
      stages.mark('archive');
      if (record === undefined) return;
      const path = join(dir, 'crl', record.issuer, `${record.number}.crl`);
      const octets = readFileSync(path);
      const hashing = process.cpuUsage();
      createHash('sha256').update(octets).digest();
      const hash = cpuMs(hashing);
      const hashed = await took(() => void execFileSync('openssl', ['dgst', '-sha256', path]));
      const size = `${record.entries} entries, ${(record.bytes / 1e6).toFixed(1)} MB`;
      console.log(
        `${name}: ${(ms / SECOND).toFixed(2)} s (${size}); openssl dgst -sha256: ${hashed.toFixed(0)} ms; ratio ${(ms / hashed).toFixed(1)}; CPU ${cpu.toFixed(0)} ms, of the hash alone ${hash.toFixed(0)} ms; ${memory()}; ${held(delay)}; ${stages.text}`,
      );
      await wait(1100);
    };
    await once('from the index, the first');
    await once('again without a change');
    const more = Array.from({ length: REVOKED_MORE }, (_, i) =>
      certificate(at.served.tag, serialOf(Math.floor(Math.random() * 2 ** 46)), 0, i, 2),
    );
    await store.apply(
      more.map((each) => ({ certificate: each, lane: 'revocation' })),
      2,
    );
    await once(`with ${REVOKED_MORE} more`);
  }
  await publishers.stop();
  await journal.close();
  await store.close();
}

/** When a build reaches which stage. */
class Stages {
  #marks: [string, number][] = [];

  start(): void {
    this.#marks = [['', performance.now()]];
  }

  mark(name: string): void {
    this.#marks.push([name, performance.now()]);
  }

  /** The record is written between the gate and the archive. */
  watchJournal(journal: Journal): Journal {
    return {
      head: journal.head,
      failure: undefined,
      owe: (entries) => journal.owe(entries),
      append: (entries) => (this.mark('write, gate'), journal.append(entries)),
      read: (after) => journal.read(after),
      close: () => journal.close(),
    };
  }

  watch(holder: KeyHolder): KeyHolder {
    const begin = (): PiecewiseSignature => {
      this.mark('entries');
      const signature = holder.begin();
      const finish = (priority: SignPriority): Promise<SignResult> => (this.mark('hash'), signature.finish(priority));
      return { update: (octets) => signature.update(octets), finish };
    };
    return { ...holder, algorithm: holder.algorithm, failure: undefined, begin };
  }

  get text(): string {
    return this.#marks
      .slice(1)
      .map(([name, at], i) => `${name} ${(at - (this.#marks[i] as [string, number])[1]).toFixed(0)} ms`)
      .join(', ');
  }
}

async function took(run: () => Promise<void> | void): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function memory(): string {
  return `peak RSS ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`;
}

function held(delay: ReturnType<typeof monitorEventLoopDelay>): string {
  const ms = (value: number): string => (value / 1e6).toFixed(1);
  return `event loop p99 ${ms(delay.percentile(99))} ms, longest ${ms(delay.max)} ms`;
}

const [task, ...rest] = process.argv.slice(2);
if (task === 'fill') await fill(rest[0] as string, Number(rest[1]), Number(rest[2]));
else if (task === 'build') await build(rest[0] as string, Number(rest[1]));
else if (task === 'shards') inDirectory((dir) => buildShards(dir));
else
  for (const count of [task, ...rest].map((text) => Number(text ?? 1_000_000)))
    inDirectory((dir) => measure(dir, count));
