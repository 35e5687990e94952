import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeRecord,
  decodeRevokedMember,
  encodeRecord,
  revokedMemberStamped,
  withStamp,
  type StoredRecord,
} from '../../src/adapters/redis/records.ts';
import { decodeEvents, encodeEvents, type FeedEvent } from '../../src/adapters/redis/feed.ts';
import { bucketCount, bucketOf } from '../../src/adapters/redis/keys.ts';
import { LANES, type Certificate, type Revocation } from '../../src/core/certificate.ts';
import { rawToDer } from '../../src/core/ecdsa-signature.ts';
import type { Reason } from '../../src/core/reason.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { NOW } from '../core/sample-pki.ts';
import { certificate, response, TAG } from '../contracts/store-records.ts';

const SEED = 20261121;
const RUNS = 2000;

const instant = fc.oneof(
  fc.integer({ min: Date.UTC(1950, 0, 1), max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) }),
  fc.integer({ min: -400, max: 400 }).map((days) => NOW + days * DAY),
  fc.constantFrom(0, -1, 999, Date.UTC(1950, 0, 1), Date.UTC(9999, 11, 31, 23, 59, 59)),
);
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const PLAIN = { noNullPrototype: true };
const revocation: fc.Arbitrary<Revocation> = fc.record(
  {
    revokedAt: instant,
    reason: fc.constantFrom<Reason | undefined>('keyCompromise', 'superseded', 'certificateHold', undefined),
  },
  PLAIN,
);
const octets = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes));
const ecdsa = fc.constantFrom(64, 96, 132).chain((length) => octets(length).map((raw) => rawToDer(raw) ?? raw));
const signature = fc.oneof(
  ecdsa,
  fc.constantFrom(0, 1, 70, 256, 512).chain(octets),
  octets(72).map((bytes) => Buffer.concat([Buffer.of(0x30, 70, 2, 33), bytes.subarray(4)])),
);
const serial = fc
  .integer({ min: 1, max: 20 })
  .chain(octets)
  .map((bytes) => bytes.toString('hex') as Serial);
const certificates: fc.Arbitrary<Certificate> = fc.record(
  {
    issuer: fc.constant(TAG),
    serial,
    revision: fc.integer({ min: 1, max: 0xffffff }),
    notBefore: optional(instant),
    notAfter: optional(instant),
    precertificate: fc.boolean(),
    crlShard: optional(fc.string({ unit: 'binary', maxLength: 300 }).map((text) => Buffer.from(text).toString())),
    withoutOcsp: fc.boolean(),
    spkiHash: optional(fc.constant('0f'.repeat(16))),
    revocation: optional(revocation),
    recordedAt: instant,
    recordedSeq: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
  },
  PLAIN,
);
const records: fc.Arbitrary<StoredRecord> = certificates.chain((of) =>
  fc
    .record({
      due: optional(instant),
      refreshAt: optional(instant),
      times: optional(fc.tuple(instant, instant, instant)),
      same: fc.boolean(),
      other: optional(revocation),
      responder: octets(4),
      sha1: signature,
      sha256: signature,
    })
    .map(({ due, refreshAt, times, same, other, responder, sha1, sha256 }): StoredRecord => {
      if (times === undefined) return { certificate: of, answer: undefined, due };
      const [thisUpdate, nextUpdate, publishedAt] = times;
      const answer = {
        ...response(of, thisUpdate),
        nextUpdate,
        publishedAt,
        refreshAt: refreshAt ?? due ?? thisUpdate,
        revocation: same ? of.revocation : other,
        responder: responder.toString('hex'),
        signatures: { sha1, sha256 },
      };
      return { certificate: of, answer, due };
    }),
);

describe('records in Redis', () => {
  it(`come back field for field, whatever they hold (seed ${SEED})`, () => {
    fc.assert(
      fc.property(records, (record) => {
        const { issuer, serial: of } = record.certificate;
        assert.deepEqual(decodeRecord(issuer, of, encodeRecord(record)), record);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  it('are stamped in place, as the scripts do', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 2 ** 40 - 1 }), (record, seq) => {
        const { issuer, serial: of } = record.certificate;
        const stamped = decodeRecord(issuer, of, withStamp(encodeRecord(record), seq));
        assert.deepEqual(stamped, { ...record, certificate: { ...record.certificate, recordedSeq: seq } });
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  it('keep entries of the revoked index, in the order of serials', () => {
    fc.assert(
      fc.property(certificates, certificates, revocation, (a, b, revoked) => {
        const [first, second] = [a, b].map((of) => revokedMemberStamped(of, revoked)) as [Buffer, Buffer];
        const { serial: of, notAfter, recordedAt, recordedSeq } = a;
        assert.deepEqual(decodeRevokedMember(first), { serial: of, ...revoked, notAfter, recordedAt, recordedSeq });
        if (a.serial !== b.serial) assert.equal(Math.sign(first.compare(second)), a.serial < b.serial ? -1 : 1);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  it('take no more than 50 octets beside serial and signatures of a good P-256 certificate', () => {
    const raw = Buffer.alloc(64, 0x81);
    const signed = rawToDer(raw) as Buffer;
    const of = certificate(1, 123456, { recordedAt: NOW + 123, notBefore: NOW - DAY, notAfter: NOW + 89 * DAY });
    const answer = response(of, NOW + 30 * DAY, {
      publishedAt: NOW + 5 * SECOND + 77,
      signatures: { sha1: signed, sha256: signed },
    });
    const bytes = encodeRecord({ certificate: of, answer, due: answer.refreshAt });
    assert.ok(bytes.length <= 128 + 50, `${bytes.length}`);
  });
});

describe('the change feed', () => {
  it('tells what was put into it, or a gap for what it cannot hold', () => {
    const events: FeedEvent[] = LANES.flatMap((lane, n) => [
      { type: 'recorded', change: { certificate: certificate(n, 7, { crlShard: 'é' }), lane } },
      { type: 'recorded', change: { certificate: certificate(n, 7), lane: undefined } },
      { type: 'answered', serial: certificate(n, 1).serial, revision: 0xffffff },
    ]);
    assert.deepEqual(decodeEvents(TAG, encodeEvents(events), 7), events);
    const retired: FeedEvent = { type: 'responder-retired', responder: 'c0ffee00', use: 'nothing' };
    assert.deepEqual(decodeEvents(TAG, encodeEvents([retired]), 0), [retired]);
    assert.equal(encodeEvents([]).length, 0);
    const many = Array.from({ length: 20_000 }, () => events).flat();
    assert.deepEqual(decodeEvents(TAG, encodeEvents(many), 7), [{ type: 'gap' }]);
    const huge = { ...certificate(1, 7), crlShard: 'x'.repeat(70_000) };
    const told = encodeEvents([{ type: 'recorded', change: { certificate: huge, lane: 'issue' } }]);
    assert.deepEqual(decodeEvents(TAG, told, 7), [{ type: 'gap' }]);
    assert.deepEqual(decodeEvents(TAG, Buffer.from('?what a newer version tells'), 0), [{ type: 'gap' }]);
  });
});

describe('buckets', () => {
  it('hold about 64 certificates each', () => {
    for (const expected of [1, 64, 100, 5000, 1e6, 1e7]) {
      const count = bucketCount(expected);
      assert.equal(Math.log2(count) % 1, 0);
      assert.ok(expected < 91 || (expected / count >= 45 && expected / count <= 91), `${expected} in ${count}`);
    }
    const filled = new Array<number>(64).fill(0);
    for (let n = 0; n < 64 * 64; n++) {
      const at = bucketOf(Buffer.from(n.toString(16).padStart(8, '0'), 'hex'), 64);
      filled[at] = (filled[at] as number) + 1;
    }
    assert.ok(Math.max(...filled) < 110 && Math.min(...filled) > 25);
  });
});
