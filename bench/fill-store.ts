/**
 * Fills the embedded store of a data directory with certificates and published answers, in the middle of their refresh cycle: what
 * a service has after a day of signing, without the day. `node dist/bench/fill-store.js <dataDir> <count> <serials.txt>`.
 * The directory has an issuer `demo` that has answered once (its responder is taken from there), and no process has it open. The
 * records are written as the store writes them, one kind after the other in the order of their keys, so that LevelDB has nothing to
 * merge; the signatures are random octets, because serving does not look at them and twenty million real ones take an hour.
 */
import { ClassicLevel } from 'classic-level';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { entryKey, queueKey, range, serialKey, serialOf } from '../src/adapters/embedded/keys.ts';
import {
  decodeCertificate,
  decodeResponse,
  encodeCertificate,
  encodeEntry,
  encodeResponse,
} from '../src/adapters/embedded/records.ts';
import { completeCrl, type Certificate, type PublishedResponse } from '../src/core/certificate.ts';
import type { Serial } from '../src/core/serial.ts';
import { DAY, HOUR, SECOND } from '../src/core/time.ts';

/** Of the demo profile. */
const VALIDITY_MS = 4 * DAY;
const REFRESH_MS = DAY;
/** Nothing is due so soon: what is to be measured is serving, not catching up. */
const QUIET_MS = 3 * HOUR;
const BATCH = 2000;
/** Length of a P-256 signature in DER, most often. */
const SIGNATURE_OCTETS = 71;
const SERIAL_OCTETS = 16;
const NOTHING = Buffer.alloc(0);

const [dataDir, countText, serialsFile, firstText = '0'] = process.argv.slice(2) as [string, string, string, string?];
const count = Number(countText);
const first = Number(firstText);
const now = Math.floor(Date.now() / SECOND) * SECOND;
const db = new ClassicLevel<Buffer, Buffer>(join(dataDir, 'store'), {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  writeBufferSize: 64 << 20,
  maxFileSize: 8 << 20,
});
const { issuer, responder, recordedSeq } = await someAnswer();

/** Ascending. */
const serials = Buffer.alloc((count - first) * SERIAL_OCTETS);
/** When each was signed, in seconds. */
const signedAt = new Float64Array(count - first);
for (let i = 0; i < signedAt.length; i++) {
  randomBytes(SERIAL_OCTETS).copy(serials, i * SERIAL_OCTETS);
  serials[i * SERIAL_OCTETS] = 0x10;
  serials.writeUIntBE(Math.floor(((first + i + Math.random()) / count) * 2 ** 48), i * SERIAL_OCTETS + 1, 6);
  signedAt[i] = now / SECOND - Math.floor((Math.random() * (REFRESH_MS - QUIET_MS)) / SECOND);
}

await put('certificates', (i) => {
  const each = certificate(i);
  return [serialKey('c', issuer, each.serial), encodeCertificate(each)];
});
await put('answers', (i) => {
  const each = answer(i);
  return [serialKey('o', issuer, each.serial), encodeResponse(each)];
});
const bySignedAt = new Uint32Array(signedAt.length).map((_, i) => i);
bySignedAt.sort((a, b) => (signedAt[a] as number) - (signedAt[b] as number));
await put('queue', (i) => {
  const at = bySignedAt[i] as number;
  const dueAt = (signedAt[at] as number) * SECOND + REFRESH_MS;
  return [queueKey({ lane: 'refresh', dueAt, issuer, serial: serial(at) }), NOTHING];
});
await put('revoked', (i) => {
  const each = certificate(i);
  return each.revocation && [entryKey(completeCrl(issuer), each.serial), encodeEntry(each, each.revocation)];
});
await db.close();

const file = createWriteStream(serialsFile, { flags: 'a' });
for (let i = 0; i < signedAt.length; i++) if (!file.write(`${serial(i)}\n`)) await once(file, 'drain');
file.end();
await once(file, 'finish');

async function put(what: string, entry: (i: number) => [Buffer, Buffer] | undefined): Promise<void> {
  const started = performance.now();
  for (let at = 0; at < signedAt.length; at += BATCH) {
    const batch = db.batch();
    for (let i = at; i < Math.min(signedAt.length, at + BATCH); i++) {
      const pair = entry(i);
      if (pair !== undefined) batch.put(...pair);
    }
    await batch.write();
  }
  process.stderr.write(`${what}: ${Math.round((performance.now() - started) / 1000)} s\n`);
}

function serial(i: number): Serial {
  return serials.toString('hex', i * SERIAL_OCTETS, (i + 1) * SERIAL_OCTETS) as Serial;
}

function certificate(i: number): Certificate {
  return {
    issuer,
    serial: serial(i),
    revision: 1,
    notBefore: undefined,
    notAfter: now + 365 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: i % 20 === 0 ? { revokedAt: now - 30 * DAY, reason: 'superseded' } : undefined,
    recordedAt: now - REFRESH_MS,
    recordedSeq,
  };
}

function answer(i: number): PublishedResponse {
  const thisUpdate = (signedAt[i] as number) * SECOND;
  return {
    issuer,
    serial: serial(i),
    revision: 1,
    revocation: certificate(i).revocation,
    thisUpdate,
    nextUpdate: thisUpdate + VALIDITY_MS - SECOND,
    refreshAt: thisUpdate + REFRESH_MS,
    publishedAt: thisUpdate,
    responder,
    signatures: { sha1: randomBytes(SIGNATURE_OCTETS), sha256: randomBytes(SIGNATURE_OCTETS) },
  };
}

async function someAnswer(): Promise<Pick<PublishedResponse, 'issuer' | 'responder'> & { recordedSeq: number }> {
  const [found] = await db.iterator({ ...range('o'), limit: 1 }).all();
  if (found === undefined) throw new Error('nothing has been signed in this directory yet');
  const { issuer: tag, serial: known } = serialOf(found[0]);
  const recorded = (await db.get(serialKey('c', tag, known))) as Buffer;
  return { ...decodeResponse(tag, known, found[1]), recordedSeq: decodeCertificate(tag, known, recorded).recordedSeq };
}
