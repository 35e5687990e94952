/** A CRL made from the one before it, from mark to mark: the same octets, and the same judgement, as without marks. */
import assert from 'node:assert/strict';
import { createHash, sign, verify } from 'node:crypto';
import { describe, it } from 'node:test';
import { COMPLETE, type CrlRecord } from '../../src/core/certificate.ts';
import { CrlBuilder, assembleCrl, type CrlParts, type ListedEntry } from '../../src/core/crl/crl.ts';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import { Problem } from '../../src/core/problem.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { entriesFromCrl, writeCrl } from '../../src/flows/crl/build-crl.ts';
import { checkCrl, type PassedCrl } from '../../src/flows/crl/crl-gate.ts';
import type { CrlDraft, CrlFile } from '../../src/ports/crl-archive.ts';
import { makeRandom } from '../support/random.ts';
import { ecKey } from '../core/sample-pki.ts';
import { makeIssuer, START } from './support-service.ts';

const ca = ecKey();
const { served } = makeIssuer({ ca });
const algorithm = algorithmFor(ca.publicKey, 'key');
const scope = { issuer: served.tag, shard: COMPLETE };

const entryAt = (i: number): ListedEntry => ({
  serial: serialFromHex((0x40000000 + i * 977).toString(16).padEnd(32, '5a')),
  revokedAt: START - DAY,
  reason: i % 2 ? 'superseded' : undefined,
});

const partsOf = (number: bigint): CrlParts => ({
  issuerName: served.issuer.nameDer,
  authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
  algorithm,
  thisUpdate: START + Number(number) * SECOND,
  nextUpdate: START + DAY,
  number,
  invalidityDate: 'omit',
});

/** Whole, by the builder that holds everything in memory. */
function tbsOf(list: readonly ListedEntry[], number: bigint): Buffer {
  const builder = new CrlBuilder(partsOf(number));
  for (const entry of list) builder.add(entry);
  return builder.tbs();
}

const signed = (tbs: Buffer): Buffer =>
  assembleCrl(tbs, algorithm, sign(algorithm.hash, tbs, { key: ca.privateKey, dsaEncoding: 'der' }));

const sha256 = (octets: Buffer): string => createHash('sha256').update(octets).digest('hex');

const fileOf = (der: Buffer): CrlFile => ({
  octets: der.length,
  read: (at, length) => Promise.resolve(Buffer.from(der.subarray(at, at + length))),
  digest: () => Promise.resolve(sha256(der)),
  close: () => Promise.resolve(),
});

function recordOf(der: Buffer, entries: number, number: bigint): CrlRecord {
  const { thisUpdate, nextUpdate } = partsOf(number);
  const times = { thisUpdate, nextUpdate, publishedAt: START, scheduledAt: START };
  return { ...scope, number, ...times, kind: 'scheduled', scheduledAsOfSeq: 0, entries, bytes: der.length, sha256: sha256(der), asOfSeq: 0 }; // prettier-ignore
}

function check(
  next: Buffer,
  count: number,
  number: bigint,
  previous: { readonly der: Buffer; readonly record: CrlRecord } | undefined,
  previousPassed: PassedCrl | undefined,
): Promise<PassedCrl> {
  const about = { scope, kind: 'revocation' as const, expected: { number, entries: count }, asOfSeq: 1 };
  return checkCrl(fileOf(next), about, previous?.record, {
    served: { ...served, profile: { ...served.profile, reasons: { ...served.profile.reasons, hold: 'allow' } } },
    publicKey: ca.publicKey,
    // Holds that were released: each may leave. What is changed has changed since.
    store: {
      find: (issuer, serials) =>
        Promise.resolve(
          serials.map((serial) => ({
            ...{ issuer, serial, revision: 3, notBefore: START, notAfter: START + DAY, precertificate: false },
            ...{ crlShard: undefined, withoutOcsp: false, spkiHash: undefined, revocation: undefined },
            ...{ recordedAt: START, recordedSeq: 2 },
          })),
        ),
      openCrl: () => Promise.resolve(fileOf(previous?.der as Buffer)),
    },
    nowMs: START + 60 * SECOND,
    idp: undefined,
    previousPassed,
    lookUpNew: false,
  });
}

async function octetsOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(Buffer.from(piece));
  return Buffer.concat(all);
}

describe('marks of a CRL', () => {
  it('lead to the same octets and the same judgement, over generations of changes by chance', async () => {
    const random = makeRandom(1977);
    const listed = new Map(Array.from({ length: 20_000 }, (_, i) => [2 * i, entryAt(2 * i)]));
    const list = (): ListedEntry[] => [...listed].sort(([a], [b]) => a - b).map(([, entry]) => entry);
    let der = signed(tbsOf(list(), 1n));
    let record = recordOf(der, listed.size, 1n);
    let passed = await check(der, listed.size, 1n, undefined, undefined);
    assert.ok(passed.marks.length > 40);
    for (let number = 2n; number < 8n; number++) {
      const changed = new Map<number, ListedEntry | undefined>();
      // At the ends, in runs, and alone; also what is there already.
      const first = random.below(40_000);
      const places = [0, 39_998, 39_999, ...Array.from({ length: 300 }, (_, i) => first + i)];
      for (let i = 0; i < Number(number) * 20; i++) places.push(random.below(40_000));
      for (const i of places)
        changed.set(
          i,
          random.below(3) === 0 ? undefined : { ...entryAt(i), revokedAt: START - random.below(99) * SECOND },
        );
      const changes = [...changed]
        .sort(([a], [b]) => a - b)
        .map(([i, entry]) => ({ serial: entryAt(i).serial, revocation: entry, recordedSeq: 2 }));
      for (const [i, entry] of changed) if (entry === undefined) listed.delete(i); else listed.set(i, entry); // prettier-ignore
      const tbs = tbsOf(list(), number);
      const whole = signed(tbs);
      for (const marks of [passed.marks, []]) {
        const entries = await entriesFromCrl(fileOf(der), record, changes, 'omit', marks);
        assert.equal(entries.count, listed.size);
        const octets = await octetsOf(entries.pieces());
        const at = tbs.indexOf(octets.subarray(0, 100));
        assert.ok(octets.equals(tbs.subarray(at, at + octets.length)), `CRL ${number}`);
      }
      const previous = { der, record };
      const byMarks = await check(whole, listed.size, number, previous, passed);
      const byEntries = await check(whole, listed.size, number, previous, undefined);
      const told = ({ entries, added, changed, removed }: PassedCrl): object => ({ entries, added, changed, removed });
      assert.deepEqual(told(byMarks), told(byEntries));
      // A mark is where an entry begins, with the count and the serial that another reader finds.
      const entries = [...readCrl(whole).entries()];
      const begins = new Map(entries.map(({ offset }, i) => [offset - (entries[0]?.offset ?? 0), i]));
      for (const marks of [byMarks.marks, byEntries.marks])
        for (const { place, count, last } of marks) {
          assert.equal(begins.get(place), count);
          assert.equal(entries[count - 1]?.serial, last);
        }
      assert.ok(byMarks.marks.length > 40);
      await assert.rejects(check(whole, listed.size + 1, number, previous, passed), Problem, 'a count that is not so');
      [der, record, passed] = [whole, recordOf(whole, listed.size, number), byMarks];
    }
  });

  it('hide no octet that is not as it was signed', async () => {
    const list = Array.from({ length: 20_000 }, (_, i) => entryAt(i));
    const der = signed(tbsOf(list.slice(0, -1), 1n));
    const previous = { der, record: recordOf(der, list.length - 1, 1n) };
    const passed = await check(der, list.length - 1, 1n, undefined, undefined);
    const next = signed(tbsOf(list, 2n));
    await check(next, list.length, 2n, previous, passed);
    const random = makeRandom(355);
    for (let i = 0; i < 40; i++) {
      const at = random.below(next.length);
      const flipped = Buffer.from(next);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x08, at);
      await assert.rejects(check(flipped, list.length, 2n, previous, passed), Problem, `octet ${at}`);
      const rotten = Buffer.from(der);
      rotten.writeUInt8(rotten.readUInt8(at % der.length) ^ 0x08, at % der.length);
      await assert.rejects(check(next, list.length, 2n, { ...previous, der: rotten }, passed), Problem, `octet ${at}`);
    }
  });
});

describe('writeCrl', () => {
  it('writes a CRL of any length, also where the length of its header depends on the signature', async () => {
    // Around the lengths at which the outer header grows by an octet: 128, 256 and 65536.
    for (const count of [0, 1, 2, 3, 1500, ...Array.from({ length: 40 }, (_, i) => 1540 + i)]) {
      const list = Array.from({ length: count }, (_, i) => entryAt(i));
      const der = signed(tbsOf(list, 1n));
      const entries = await entriesFromCrl(fileOf(der), recordOf(der, count, 1n), [], 'omit');
      const draft = new MemoryDraft();
      let octets = Buffer.alloc(0);
      const begin = () => ({
        update: (piece: Uint8Array) => void (octets = Buffer.concat([octets, piece])),
        finish: () =>
          Promise.resolve({ ok: true as const, signature: sign(algorithm.hash, octets, { key: ca.privateKey, dsaEncoding: 'der' }) }), // prettier-ignore
      });
      const accounting = { before: () => Promise.resolve(), after: () => undefined };
      const written = await writeCrl(entries, partsOf(2n), { begin }, draft, accounting);
      const crl = readCrl(draft.bytes);
      assert.equal(written.bytes, draft.bytes.length);
      assert.ok(verify(algorithm.hash, crl.tbs, ca.publicKey, crl.signatureValue), `${count} entries`);
      assert.ok(tbsOf(list, 2n).equals(crl.tbs));
    }
  });
});

class MemoryDraft implements CrlDraft {
  bytes: Buffer = Buffer.alloc(0);

  get octets(): number {
    return this.bytes.length;
  }

  write(octets: Uint8Array, at = this.octets): Promise<void> {
    this.bytes = Buffer.concat([this.bytes.subarray(0, at), octets, this.bytes.subarray(at + octets.length)]);
    return Promise.resolve();
  }

  read(at: number, length: number): Promise<Buffer> {
    return Promise.resolve(Buffer.from(this.bytes.subarray(at, at + length)));
  }

  digest(): Promise<string> {
    return Promise.resolve(sha256(this.bytes));
  }

  discard(): Promise<void> {
    return Promise.resolve();
  }
}
