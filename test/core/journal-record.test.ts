import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LANES, type Certificate, type IssuerTag } from '../../src/core/certificate.ts';
import {
  changesOf,
  GENESIS_HASH,
  journalChange,
  openRecord,
  sealRecord,
  type JournalEntry,
} from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Serial } from '../../src/core/serial.ts';
import { NOW } from './sample-pki.ts';

const ENTRY: JournalEntry = {
  type: 'certificates.revoked',
  actor: 'CN=ra-1 "é\u2028"',
  issuer: 'ev',
  issuerTag: 'a1b2c3d4',
  description: '1 revoked',
  changes: [
    { serial: '0a01', revision: 2, revokedAt: '2026-11-20T08:00:00Z', reason: 'superseded', lane: 'revocation' },
  ],
};
const AT = '2026-11-20T08:00:00.123Z';
const FIRST = { seq: 1, prev: GENESIS_HASH };

function corrupt(line: string, expected: { seq: number; prev: string }, message: RegExp): void {
  assert.throws(
    () => openRecord(line, expected, 'a line'),
    (error) => {
      assert.ok(error instanceof Problem, String(error));
      assert.deepEqual([error.code, error.field], ['corrupt', 'a line']);
      assert.match(error.message, message);
      return true;
    },
  );
}

describe('sealRecord', () => {
  it('hashes the line without its hash member, as anybody can check with sha256sum', () => {
    const { line, hash } = sealRecord(ENTRY, 1, AT, GENESIS_HASH);
    const covered = line.replace(/,"hash":"[0-9a-f]{64}"\}$/, '}');
    assert.notEqual(covered, line);
    assert.equal(createHash('sha256').update(covered).digest('hex'), hash);
    assert.deepEqual(JSON.parse(line), { seq: 1, at: AT, prev: GENESIS_HASH, ...ENTRY, hash });
    assert.ok(!line.includes('\n'));
  });
});

describe('openRecord', () => {
  const { line, hash } = sealRecord(ENTRY, 1, AT, GENESIS_HASH);

  it('reads back what was sealed', () => {
    assert.deepEqual(openRecord(line, FIRST, 'a line'), { seq: 1, at: AT, prev: GENESIS_HASH, ...ENTRY, hash });
  });

  it('notices any character that was changed, removed, doubled or added (CT-5.4.1)', () => {
    for (let i = 0; i < line.length; i++) {
      const flipped = String.fromCharCode(line.charCodeAt(i) ^ 1);
      corrupt(line.slice(0, i) + flipped + line.slice(i + 1), FIRST, /altered|not a journal record/);
      corrupt(line.slice(0, i) + line.slice(i + 1), FIRST, /altered|not a journal record/);
      corrupt(line.slice(0, i + 1) + line.slice(i), FIRST, /altered|not a journal record/);
    }
    for (const other of [`${line} `, ` ${line}`, `${line}\r`, '', '{}', 'null', '[]', '5', '"text"', line.repeat(2)]) {
      corrupt(other, FIRST, /altered|not a journal record/);
    }
  });

  it('names the record that is missing, and one that follows another', () => {
    const second = sealRecord(ENTRY, 2, AT, hash);
    openRecord(second.line, { seq: 2, prev: hash }, 'a line');
    corrupt(second.line, FIRST, /^record 1 is missing or out of order$/);
    corrupt(second.line, { seq: 3, prev: hash }, /^record 3 is missing or out of order$/);
    corrupt(second.line, { seq: 2, prev: GENESIS_HASH }, /does not follow/);
  });
});

describe('changesOf', () => {
  it('brings back exactly the certificates that were journalled, for any certificate', () => {
    const second = fc.integer({ min: -6e8, max: 2.5e11 }).map((s) => s * 1000);
    const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });
    const certificates = fc.record({
      serial: fc.constant('0a01' as Serial),
      revision: fc.integer({ min: 1, max: 5 }),
      notBefore: optional(second),
      notAfter: optional(second),
      precertificate: fc.boolean(),
      crlShard: optional(fc.constantFrom('ca', '1', '10000')),
      withoutOcsp: fc.boolean(),
      spkiHash: optional(fc.constant('0f'.repeat(16))),
      revocation: optional(
        fc
          .tuple(second, fc.constantFrom(undefined, 'keyCompromise' as const, 'certificateHold' as const))
          .map(([revokedAt, reason]) => ({ revokedAt, reason })),
      ),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(certificates, fc.constantFrom(undefined, ...LANES))), (list) => {
        const expected = list.map(([certificate, lane]) => ({
          certificate: {
            ...certificate,
            issuer: 'a1b2c3d4' as IssuerTag,
            recordedAt: NOW + 123,
            recordedSeq: 7,
          } satisfies Certificate,
          lane,
        }));
        const changes = expected.map(({ certificate, lane }) => journalChange(certificate, lane));
        const { line } = sealRecord({ ...ENTRY, changes }, 7, AT, GENESIS_HASH);
        assert.deepEqual(changesOf(openRecord(line, { seq: 7, prev: GENESIS_HASH }, 'a line')), expected);
      }),
      { numRuns: 300, seed: 20261121 },
    );
  });
});
