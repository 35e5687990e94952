import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  certificateName,
  crlName,
  droppedName,
  readCertificateName,
  readCrlName,
  recordName,
} from '../../src/core/archive/copy-name.ts';
import { recordFromText, recordText } from '../../src/core/archive/record-text.ts';
import { judgeSequence, type JournalledCrl } from '../../src/core/archive/sequence.ts';
import { COMPLETE, type CrlRecord, type IssuerTag } from '../../src/core/certificate.ts';
import { LEAST_RETENTION_MS, mayGoFrom, RelianceTable } from '../../src/core/policy/retention.ts';
import { Problem } from '../../src/core/problem.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { NOW } from './sample-pki.ts';

const digest = (number: bigint): string => number.toString(16).padStart(64, '0');

function record(number: bigint, previous?: CrlRecord): CrlRecord {
  const thisUpdate = NOW + Number(number) * SECOND;
  return {
    issuer: 'a1b2c3d4' as IssuerTag,
    shard: COMPLETE,
    number,
    ...(previous && { previous: { number: previous.number.toString(), sha256: previous.sha256 } }),
    thisUpdate,
    nextUpdate: thisUpdate + 7 * DAY,
    publishedAt: thisUpdate,
    kind: 'scheduled',
    scheduledAt: thisUpdate,
    scheduledAsOfSeq: 0,
    entries: 0,
    bytes: 500,
    sha256: digest(number),
    asOfSeq: 0,
  };
}

/** Numbers with gaps, each naming the one before. */
function chain(...numbers: readonly bigint[]): CrlRecord[] {
  const records: CrlRecord[] = [];
  for (const number of numbers) records.push(record(number, records.at(-1)));
  return records;
}
const told = (number: bigint, kind: JournalledCrl['kind'] = 'published'): JournalledCrl => ({
  number,
  sha256: digest(number),
  kind,
});

describe('judgeSequence', () => {
  it('proves a sequence whose numbers have gaps', () => {
    const { verdict, missing, rows } = judgeSequence(chain(1n, 5n, 9n), [told(1n), told(5n), told(9n)]);
    assert.deepEqual(missing, []);
    assert.match(verdict, /^unbroken: 3 CRLs from \S+Z to \S+Z$/);
    assert.deepEqual(
      rows.map(({ link }) => link),
      ['first', 'named', 'named'],
    );
  });

  it('finds each one that is taken out of the middle, whichever it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 30 }), fc.integer({ min: 0, max: 27 }), (length, at) => {
        const whole = chain(...Array.from({ length }, (_, i) => BigInt(3 * i + 1)));
        const gone = 1 + (at % (length - 2));
        const { missing } = judgeSequence(whole.filter((_, i) => i !== gone), []); // prettier-ignore
        assert.equal(missing.length, 1);
        assert.match(
          missing[0] as string,
          new RegExp(`^CRL ${whole[gone]?.number}, which CRL ${whole[gone + 1]?.number} replaced`),
        );
      }),
      { seed: 20261121, numRuns: 200 },
    );
  });

  it('finds one that was put in the place of another', () => {
    const [first, second, third] = chain(1n, 2n, 3n) as [CrlRecord, CrlRecord, CrlRecord];
    const { missing } = judgeSequence([first, { ...second, sha256: digest(77n) }, third], [told(2n)]);
    assert.equal(missing.length, 2, missing.join('\n'));
  });

  it('explains the numbers between by the journal, and misses what it says was published', () => {
    const [first, second, third] = chain(1n, 4n, 9n) as [CrlRecord, CrlRecord, CrlRecord];
    const { rows, missing } = judgeSequence([first, second, third], [told(2n, 'refused'), told(3n), told(12n)]);
    assert.deepEqual(
      rows[1]?.between.map(({ number, what }) => [number, what]),
      [
        [2n, 'signed, refused by the gate, never published'],
        [3n, 'signed, overtaken before it was published'],
      ].map(([number, what]) => [number, what]),
    );
    // Only one that is not named by what follows can have been current.
    assert.deepEqual(missing.length, 1);
    assert.match(missing[0] as string, /^CRL 12: /);
  });

  it('knows one that was archived and overtaken before it was published', () => {
    const [first, second] = chain(1n, 2n) as [CrlRecord, CrlRecord];
    const third = record(5n, first);
    const { rows, missing, verdict } = judgeSequence([first, second, third], [told(2n), told(5n)]);
    assert.deepEqual(missing, []);
    assert.deepEqual(
      rows.map(({ link }) => link),
      ['first', 'overtaken', 'named'],
    );
    assert.match(verdict, /^unbroken: 2 CRLs/);
  });

  it('counts those of before by adjacency', () => {
    const { rows, missing } = judgeSequence([record(1n), record(2n), record(5n, record(2n))], []);
    assert.deepEqual(missing, []);
    assert.deepEqual(
      rows.map(({ link }) => link),
      ['first', 'adjacent', 'named'],
    );
    const old = judgeSequence([record(1n), record(4n)], [told(2n)]);
    assert.match(old.missing.join(), /^CRL 2: .* not archived$/);
  });

  it('has nothing to say of nothing', () => {
    assert.match(judgeSequence([], []).verdict, /^empty/);
  });
});

describe('retention', () => {
  const issued = (from: number, days: number) => ({ notBefore: NOW + from * DAY, notAfter: NOW + (from + days) * DAY });

  it('counts from the end of the last certificate that can have relied on the CRL', () => {
    const reliance = new RelianceTable(0);
    reliance.add(issued(-300, 398));
    reliance.add(issued(-10, 90));
    // Issued after the CRL had run out: it never relied on it.
    reliance.add(issued(20, 398));
    const crl = { nextUpdate: NOW + 7 * DAY };
    assert.equal(mayGoFrom(crl, reliance, LEAST_RETENTION_MS), NOW + 98 * DAY + LEAST_RETENTION_MS);
    assert.equal(mayGoFrom({ nextUpdate: NOW + 21 * DAY }, reliance, 0), NOW + 418 * DAY);
  });

  it('never ends before two years after nextUpdate, without a retention, or with a certificate of no known end', () => {
    const crl = { nextUpdate: NOW };
    assert.equal(mayGoFrom(crl, new RelianceTable(0), LEAST_RETENTION_MS), NOW + LEAST_RETENTION_MS);
    assert.equal(mayGoFrom(crl, new RelianceTable(0), undefined), Infinity);
    const signed = new RelianceTable(3653 * DAY);
    signed.add({ notBefore: NOW - DAY, notAfter: NOW + DAY });
    assert.equal(mayGoFrom(crl, signed, LEAST_RETENTION_MS), NOW + DAY + 3653 * DAY + LEAST_RETENTION_MS, 'CS-01');
    const reliance = new RelianceTable(0);
    reliance.add({ notBefore: undefined, notAfter: undefined });
    assert.equal(mayGoFrom(crl, reliance, LEAST_RETENTION_MS), Infinity);
  });
});

describe('names and records of copies', () => {
  it('say what they stand for, and nothing else is one', () => {
    for (const shard of [COMPLETE, '17', 'ca']) {
      const about = { ...record(10n ** 40n), shard };
      for (const [name, kind] of [
        [crlName(about), 'crl'],
        [recordName(about), 'json'],
        [droppedName(about), 'dropped.json'],
      ] as const) {
        const { issuer, number, sha256 } = about;
        assert.deepEqual(readCrlName(name), { issuer, shard, number, sha256, kind });
        for (const other of [`x${name}`, `${name}.part`, name.toUpperCase(), name.replace('/', '/../')])
          assert.equal(readCrlName(other), undefined, other);
      }
    }
    const named = { issuer: 'a1b2c3d4' as IssuerTag, sha256: digest(3n) };
    assert.deepEqual(readCertificateName(certificateName(named.issuer, named.sha256)), named);
    assert.equal(readCertificateName('certificates/a1b2c3d4/x.cer'), undefined);
  });

  it('come back as they were, and are refused when they cannot', () => {
    const [, second] = chain(10n ** 40n, 10n ** 40n + 1n) as [CrlRecord, CrlRecord];
    assert.deepEqual(recordFromText(recordText(second), 'x'), second);
    // Of before there were shards.
    const { shard, ...old } = second;
    assert.deepEqual(recordFromText(JSON.stringify({ ...old, number: '5' }), 'x'), { ...old, shard, number: 5n });
    for (const text of ['', 'null', '[]', '{}', recordText(second).replace('"number":"1', '"number":"-1')])
      assert.throws(() => recordFromText(text, 'x'), (error) => error instanceof Problem && error.code === 'corrupt', text); // prettier-ignore
  });
});
