/**
 * Fills the embedded store of a data directory with certificates and published answers, in the middle of their refresh cycle: what
 * a service has after a day of signing, without the day. `node dist/bench/fill-store.js <dataDir> <count> <serials.txt>`.
 * The directory has an issuer `demo` that has answered once (its responder is taken from there), and no process has it open. The
 * signatures are random octets: serving does not look at them, and twenty million real ones take an hour.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { FileCrlArchive } from '../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../src/adapters/embedded/store.ts';
import type { Certificate, IssuerTag, PublishedResponse } from '../src/core/certificate.ts';
import type { Serial } from '../src/core/serial.ts';
import { DAY, SECOND } from '../src/core/time.ts';

/** Of the demo profile. */
const VALIDITY_MS = 4 * DAY;
const REFRESH_MS = DAY;
const PAGE = 1000;
/** Length of a P-256 signature in DER, most often. */
const SIGNATURE_OCTETS = 71;

const [dataDir, countText, serialsFile] = process.argv.slice(2) as [string, string, string];
const count = Number(countText);
const store = await EmbeddedStore.open(dataDir, new FileCrlArchive(`${dataDir}/crl`));
const known = await someAnswer();
const serials = createWriteStream(serialsFile);
const now = Math.floor(Date.now() / SECOND) * SECOND;
const started = performance.now();
for (let at = 0; at < count; at += PAGE) {
  const page = Array.from({ length: Math.min(PAGE, count - at) }, (_, i) => certificate(at + i));
  await store.apply(
    page.map((each) => ({ certificate: each, lane: 'refresh' })),
    known.seq,
  );
  await store.publish(
    page.map((each) => ({
      item: { issuer: each.issuer, serial: each.serial, lane: 'refresh', dueAt: each.recordedAt },
      response: answer(each),
    })),
  );
  if (!serials.write(page.map(({ serial }) => `${serial}\n`).join(''))) await once(serials, 'drain');
  if ((at / PAGE) % 250 === 249)
    process.stderr.write(`${at + PAGE} of ${count}, ${Math.round((performance.now() - started) / 1000)} s\n`);
}
serials.end();
await once(serials, 'finish');
await store.close();

/** Ascending, so that LevelDB has less to merge while it is filled; what lies on the disk in the end is the same. */
function certificate(at: number): Certificate {
  const place = Math.floor(((at + Math.random()) / count) * 2 ** 44);
  const serial = `10${place.toString(16).padStart(11, '0')}${randomBytes(10).toString('hex').slice(1)}`;
  return {
    issuer: known.response.issuer,
    serial: serial as Serial,
    revision: 1,
    notBefore: undefined,
    notAfter: now + 365 * DAY,
    precertificate: false,
    crlShard: undefined,
    revocation: at % 20 === 0 ? { revokedAt: now - 30 * DAY, reason: 'superseded' } : undefined,
    recordedAt: now - REFRESH_MS,
    recordedSeq: known.seq,
  };
}

function answer({ issuer, serial, revocation }: Certificate): PublishedResponse {
  const signedAt = now - Math.floor((Math.random() * REFRESH_MS) / SECOND) * SECOND;
  return {
    issuer,
    serial,
    revision: 1,
    revocation,
    thisUpdate: signedAt,
    nextUpdate: signedAt + VALIDITY_MS - SECOND,
    refreshAt: signedAt + REFRESH_MS,
    publishedAt: signedAt,
    responder: known.response.responder,
    signatures: { sha1: randomBytes(SIGNATURE_OCTETS), sha256: randomBytes(SIGNATURE_OCTETS) },
  };
}

async function someAnswer(): Promise<{ response: PublishedResponse; seq: number }> {
  for await (const [first] of store.published())
    for await (const page of store.certificates(first?.issuer as IssuerTag))
      for (const { issuer, serial } of page) {
        const found = await store.lookup(issuer, serial);
        if (found.kind === 'published') return { response: found.response, seq: await store.appliedSeq() };
      }
  throw new Error('nothing has been signed in this directory yet');
}
