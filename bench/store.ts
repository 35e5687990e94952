/**
 * `npm run bench:store [-- --certificates 1000000 --seconds 3 --rotations 3]`: the Redis store on a redis-server of its own, with
 * the settings of deploy/redis/redis.conf. Prints two Markdown tables.
 *
 * Memory: used_memory per certificate whose answers in both CertID hashes are published, written through the store's own methods,
 * against 1.4 × (serial + signatures + 12 octets). RSA-2048 with a quarter of the certificates.
 *
 * Misses: questions whose answers are in no memory, 64 at a time, each about another certificate: decoded, looked up in Redis,
 * assembled, given headers. Against the raw client, with the same connection options and concurrency and values of the same size,
 * in turns within a rotation; ratios are taken within a rotation, and given are the medians. Per CPU-second of this process is what
 * to trust on a machine that does other work, too.
 *
 * Writing ends after 70 s per key type at most, with the certificates that are there then.
 */
import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Redis } from 'ioredis';
import { bucketOf, Keys } from '../src/adapters/redis/keys.ts';
import { RedisStore } from '../src/adapters/redis/store.ts';
import { systemClock } from '../src/adapters/system/clock.ts';
import { startProgress } from '../src/apps/progress.ts';
import type { Certificate, PublishedResponse } from '../src/core/certificate.ts';
import { rawToDer } from '../src/core/ecdsa-signature.ts';
import { planResponse } from '../src/core/policy/freshness.ts';
import { serialFromHex, type Serial } from '../src/core/serial.ts';
import { DAY, HOUR } from '../src/core/time.ts';
import { makeAnswer } from '../src/flows/serve/answer.ts';
import { flowMetrics } from '../src/flows/metrics.ts';
import { PublicFiles } from '../src/flows/serve/public-files.ts';
import { ResponseTable } from '../src/flows/serve/response-table.ts';
import type { Answer, Question } from '../src/ports/front.ts';
import { makeIssuer, OCSP_PATH } from '../test/flows/support-service.ts';
import { hasRedis, startRedis, type RedisServer } from '../test/support/redis.ts';
import { writeRequest } from '../src/core/ocsp/request-writer.ts';

const PAGE = 1000;
const SERIAL_OCTETS = 16;
const CONCURRENCY = 64;
const LONGEST_WRITE_MS = 70_000;
/** Certificates that are asked for in turn: many times what the responder's table holds. */
const ASKED = 200_000;
const TABLE_BYTES = 64 << 10;

interface KeyType {
  readonly name: string;
  /** Octets that a signature must take: r and s of an ECDSA signature without their DER. */
  readonly signatureOctets: number;
  readonly signature: () => Buffer;
}

const P256: KeyType = {
  name: 'P-256',
  signatureOctets: 64,
  signature: () => rawToDer(randomBytes(64)) as Buffer,
};
const RSA2048: KeyType = { name: 'RSA-2048', signatureOctets: 256, signature: () => randomBytes(256) };

interface Written {
  readonly key: KeyType;
  readonly count: number;
  readonly seconds: number;
  readonly bytesPerCertificate: number;
  /** Of these. The feed keeps a number of entries, whatever the number of certificates. */
  readonly feedBytesPerCertificate: number;
}

const now = Date.now();
const { served } = makeIssuer({ responders: [{ notBefore: now - DAY, notAfter: now + 89 * DAY }] });

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      certificates: { type: 'string', default: '1000000' },
      seconds: { type: 'string', default: '3' },
      rotations: { type: 'string', default: '3' },
    },
  });
  if (!hasRedis) return say('redis-server is not installed (Debian: apt install redis-server): no store, no figures.');
  const certificates = Number(values.certificates);
  say(`Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}`);

  const rsa = await withStore(Math.ceil(certificates / 4), async (open) => {
    return (await write(open, RSA2048, Math.ceil(certificates / 4))).written;
  });
  await withStore(certificates, async (open) => {
    const { written, serials } = await write(open, P256, certificates);
    say(memoryTable([written, rsa]));
    say(await missTable(open, serials, Number(values.seconds) * 1000, Number(values.rotations)));
  });
}

interface Open {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly store: RedisStore;
}

async function withStore<T>(certificates: number, work: (open: Open) => Promise<T>): Promise<T> {
  const server = await startRedis({
    configFile: join(import.meta.dirname, '../../deploy/redis/redis.conf'),
    config: { aclfile: '""', maxmemory: '0' },
  });
  const redis = await server.client();
  const store = await RedisStore.open({
    redis,
    name: 'bench',
    intakes: ['bench'],
    journals: true,
    issuers: [served.tag],
    certificates,
    replicas: 0,
  });
  try {
    await store.appliedSeq();
    await store.vouch();
    return await work({ server, redis, store });
  } finally {
    await store.close();
    await server.remove();
  }
}

/** As an import writes and a signer publishes: pages of a thousand, recorded first. */
async function write(
  { redis, store }: Open,
  key: KeyType,
  count: number,
): Promise<{ readonly written: Written; readonly serials: readonly Serial[] }> {
  const before = await usedMemory(redis);
  const progress = startProgress(`write ${key.name}`, 'certificates');
  const started = performance.now();
  const serials: Serial[] = [];
  for (let seq = 1; serials.length < count && performance.now() - started < LONGEST_WRITE_MS; seq++) {
    const page = Array.from({ length: Math.min(PAGE, count - serials.length) }, certificate);
    await store.apply(page.map((one) => ({ certificate: one, lane: 'refresh' })), seq, new Map()); // prettier-ignore
    const items = page.map(({ issuer: tag, serial }) => ({ issuer: tag, serial, lane: 'asked', dueAt: 0 }) as const);
    await store.publish(items.map((item) => ({ item, response: response(item.serial, key) })));
    for (const { serial } of page) serials.push(serial);
    progress.update({ items: serials.length, done: serials.length, total: count });
  }
  progress.end();
  const seconds = (performance.now() - started) / 1000;
  const bytesPerCertificate = ((await usedMemory(redis)) - before) / serials.length;
  const feed = Number(await redis.memory('USAGE', `cs1:{${served.tag}}:feed`, 'SAMPLES', 0));
  const feedBytesPerCertificate = feed / serials.length;
  return { written: { key, count: serials.length, seconds, bytesPerCertificate, feedBytesPerCertificate }, serials };
}

function certificate(): Certificate {
  const octets = randomBytes(SERIAL_OCTETS);
  // A positive INTEGER without padding.
  octets[0] = ((octets[0] as number) & 0x7f) | 0x40;
  const now = Date.now();
  return {
    issuer: served.tag,
    serial: serialFromHex(octets.toString('hex')),
    revision: 1,
    notBefore: Math.floor(now / 1000) * 1000 - HOUR,
    notAfter: Math.floor(now / 1000) * 1000 + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: undefined,
    recordedAt: now,
    recordedSeq: 0,
  };
}

const [responder] = served.responders.list;
function response(serial: Serial, key: KeyType): PublishedResponse {
  if (responder === undefined) throw new Error('the issuer has no responder certificate');
  const now = Date.now();
  const times = planResponse(served.profile, responder.certificate, { issuer: served.tag, serial }, now);
  if (times === undefined) throw new Error('the responder certificate has run out');
  return {
    issuer: served.tag,
    serial,
    revision: 1,
    revocation: undefined,
    ...times,
    publishedAt: now,
    responder: responder.certificate.id,
    signatures: { sha1: key.signature(), sha256: key.signature() },
  };
}

function memoryTable(all: readonly Written[]): string {
  const rows = all.map(({ key, count, seconds, bytesPerCertificate, feedBytesPerCertificate }) => {
    const goal = 1.4 * (SERIAL_OCTETS + 2 * key.signatureOctets + 12);
    return [
      key.name,
      thousands(count),
      `${thousands(count / seconds)}/s`,
      bytesPerCertificate.toFixed(0),
      feedBytesPerCertificate.toFixed(0),
      goal.toFixed(0),
      (bytesPerCertificate / goal).toFixed(2),
    ];
  });
  return table(
    ['key', 'certificates', 'recorded and published', 'bytes per certificate', 'of these the feed', 'goal', 'ratio'],
    rows,
  );
}

/** One kind of look-up, with everything that it needs prepared. */
interface Way {
  readonly name: string;
  readonly ask: (n: number) => Promise<unknown>;
}

async function missTable(open: Open, serials: readonly Serial[], ms: number, rotations: number): Promise<string> {
  const asked = serials.slice(0, ASKED);
  const ways = [
    await rawHget(open, asked),
    await rawGet(open, asked),
    lookupWay(open, asked),
    await responderWay(open, asked),
  ];
  const rates = new Map<Way, Rate[]>(ways.map((way) => [way, []]));
  for (let rotation = 0; rotation < rotations; rotation++)
    for (const way of ways) {
      await drive(way, asked.length, 300);
      rates.get(way)?.push(await drive(way, asked.length, ms));
    }
  const [first] = ways as [Way];
  const rows = ways.map((way) => {
    const own = rates.get(way) as Rate[];
    return [
      way.name,
      ...(['perSecond', 'perCpuSecond'] as const).flatMap((figure) => {
        const ratios = own.map((rate, rotation) => rate[figure] / (rates.get(first)?.[rotation] as Rate)[figure]);
        return [thousands(median(own.map((rate) => rate[figure]))), median(ratios).toFixed(2)];
      }),
    ];
  });
  return table([`${CONCURRENCY} at a time`, 'per second', '× of first', 'per CPU-second', '× of first'], rows);
}

/** The very records that the store reads, by the raw client. */
async function rawHget({ server, redis }: Open, serials: readonly Serial[]): Promise<Way> {
  const raw = await server.client();
  const keys = new Keys(served.tag);
  const buckets = Number(await redis.hget(keys.meta, 'buckets'));
  const places = serials.map((serial) => {
    const field = Buffer.from(serial, 'hex');
    return { key: keys.bucket(bucketOf(field, buckets)), field };
  });
  const ask = async (n: number): Promise<void> => {
    const { key, field } = places[n] as { key: string; field: Buffer };
    if ((await raw.hgetBuffer(key, field)) === null) throw new Error('a record is missing');
  };
  return { name: 'raw ioredis, HGETBUFFER of the same records', ask };
}

/** Values of the same size under plain keys. */
async function rawGet({ server, redis }: Open, serials: readonly Serial[]): Promise<Way> {
  const raw = await server.client();
  const keys = new Keys(served.tag);
  const buckets = Number(await redis.hget(keys.meta, 'buckets'));
  const sample = Buffer.from(serials[0] as string, 'hex');
  const size = await redis.hstrlen(keys.bucket(bucketOf(sample, buckets)), sample);
  const names = serials.map((serial) => Buffer.concat([Buffer.from('raw:'), Buffer.from(serial, 'hex')]));
  for (let at = 0; at < names.length; at += PAGE)
    await Promise.all(names.slice(at, at + PAGE).map((name) => raw.set(name, randomBytes(size))));
  const ask = async (n: number): Promise<void> => {
    if ((await raw.getBuffer(names[n] as Buffer)) === null) throw new Error('a value is missing');
  };
  return { name: `raw ioredis, GETBUFFER of ${size} octets`, ask };
}

/** Of the miss, the store's part: found, read, relied on. */
function lookupWay({ store }: Open, serials: readonly Serial[]): Way {
  const ask = async (n: number): Promise<void> => {
    const { kind } = await store.lookup(served.tag, serials[n] as Serial);
    if (kind !== 'published') throw new Error(`an answer is ${kind}`);
  };
  return { name: 'lookup of the store', ask };
}

async function responderWay({ store }: Open, serials: readonly Serial[]): Promise<Way> {
  const answer = await makeResponder(store);
  const questions = serials.map((serial): Question => {
    const request = writeRequest(served.issuer.hashes, serial).toString('base64');
    return {
      method: 'GET',
      target: `${OCSP_PATH}/${encodeURIComponent(request)}`,
      host: '127.0.0.1',
      body: undefined,
      ifNoneMatch: undefined,
      ifModifiedSince: undefined,
      httpVersion: '1.1',
    };
  });
  const ask = async (n: number): Promise<void> => {
    const { status, body } = await answer(questions[n] as Question);
    // An error of OCSP has five octets; a bench of refusals would be fast.
    if (status !== 200 || body.length < 200) throw new Error(`no answer: ${status} ${body.toString('hex')}`);
  };
  return { name: 'certstatus responder', ask };
}

async function makeResponder(store: RedisStore): Promise<Answer> {
  const silent = { debug: nothing, info: nothing, warn: nothing, error: console.error };
  return makeAnswer({
    issuers: [served],
    ocspUrls: [{ path: OCSP_PATH }],
    files: [],
    publicFiles: await PublicFiles.open([served], store, Date.now(), nothing, undefined),
    table: new ResponseTable([served], store, TABLE_BYTES, undefined, { silenceLimitMs: 900_000 }),
    ask: undefined,
    clock: systemClock,
    log: silent,
    metrics: flowMetrics().answer,
  });
}
const nothing = (): void => undefined;

/** Of this process: what Redis spends is not in it. To trust on a machine that others use as well. */
interface Rate {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

/** Questions, each about the next certificate. */
async function drive(way: Way, count: number, ms: number): Promise<Rate> {
  let done = 0;
  const started = performance.now();
  const cpu = process.cpuUsage();
  const worker = async (): Promise<void> => {
    while (performance.now() < started + ms) {
      await way.ask(next++ % count);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  const used = process.cpuUsage(cpu);
  return {
    perSecond: (done * 1000) / (performance.now() - started),
    perCpuSecond: (done * 1e6) / (used.user + used.system),
  };
}
let next = 0;

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return ['', line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

const thousands = (value: number): string => Math.round(value).toLocaleString('en');

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
