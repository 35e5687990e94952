import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CSV_COLUMNS, readCsvHeader, readCsvRow } from '../../src/core/import/csv-row.ts';
import type { ImportItem, ImportRow } from '../../src/core/import/row.ts';
import { Problem } from '../../src/core/problem.ts';
import { REASON_CODES, type ReasonName } from '../../src/core/reason.ts';

const SEED = 20261121;
/** The columns that the rows below fill in; what else there is comes behind them. */
const HEADER = CSV_COLUMNS.slice(0, 8).join(',');

describe('the header of a CSV file', () => {
  it('names columns in any order', () => {
    assert.deepEqual(readCsvHeader('notAfter,reason,"serial"', 1), ['notAfter', 'reason', 'serial']);
    const row = accepted('2027-02-19T03:07:16Z,,"0A"', 'notAfter,reason,"serial"');
    assert.equal(row.serial, '0a');
    assert.equal(row.notAfter, Date.parse('2027-02-19T03:07:16Z'));
  });

  for (const [text, value, message] of [
    ['serial,notAfter,revokedat', 'revokedat', /not a column/],
    ['serial,notAfter,serial', 'serial', /twice/],
    ['serial,status', 'serial,status', /no column notAfter/],
    ['notAfter', 'notAfter', /no column serial/],
    ['', '', /not a column/],
    ['serial,"notAfter', '"notAfter', /not closed/],
  ] as const) {
    it(`is refused: ${text}`, () => {
      assert.throws(
        () => readCsvHeader(text, 1),
        (error) => {
          assert.ok(error instanceof Problem);
          assert.equal(error.code, 'invalid');
          assert.equal(error.field, 'line 1 header');
          assert.equal(error.value, value);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});

describe('a line of a CSV file', () => {
  it('is a whole certificate', () => {
    const text =
      '0a1b,2026-11-20T00:00:00Z,2027-02-19T00:00:00Z,revoked,2026-11-21T03:15:54.250Z,keyCompromise,true,"g3/1,""a"""';
    assert.deepEqual(accepted(text), {
      line: 7,
      serial: '0a1b',
      notBefore: Date.parse('2026-11-20T00:00:00Z'),
      notAfter: Date.parse('2027-02-19T00:00:00Z'),
      precertificate: true,
      crlShard: 'g3/1,"a"',
      withoutOcsp: false,
      spkiHash: undefined,
      // Whole seconds are all that a CRL entry can say.
      revocation: { revokedAt: Date.parse('2026-11-21T03:15:54Z'), reason: 'keyCompromise' },
    });
  });

  it('is a certificate with nothing but serial and notAfter', () => {
    assert.deepEqual(accepted('ff,,2027-02-19T00:00:00Z,,,,,'), {
      line: 7,
      serial: '00ff',
      notBefore: undefined,
      notAfter: Date.parse('2027-02-19T00:00:00Z'),
      precertificate: false,
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
      revocation: undefined,
    });
  });

  it('is revoked when it has a date of revocation, whatever columns there are', () => {
    const row = accepted('01,2027-02-19T00:00:00Z,2026-11-21T00:00:00Z', 'serial,notAfter,revokedAt');
    assert.deepEqual(row.revocation, { revokedAt: Date.parse('2026-11-21T00:00:00Z'), reason: undefined });
    assert.equal(
      accepted('01,,2027-02-19T00:00:00Z,,2026-11-21T00:00:00Z,unspecified,,').revocation?.reason,
      undefined,
    );
  });

  for (const [text, field, message] of [
    ['01,,2027-02-19T00:00:00Z', 'fields', /3 fields under a header of 8/],
    ['01,,2027-02-19T00:00:00Z,,,,,,', 'fields', /9 fields under a header of 8/],
    [',,2027-02-19T00:00:00Z,,,,,', 'serial', /required/],
    ['xyz,,2027-02-19T00:00:00Z,,,,,', 'serial', /hexadecimal/],
    ['01,,,,,,,', 'notAfter', /required/],
    ['01,,2027-02-29T00:00:00Z,,,,,', 'notAfter', /RFC 3339/],
    ['01,,2027-02-19T00:00:00+09:00,,,,,', 'notAfter', /RFC 3339/],
    ['01,2027-02-20T00:00:00Z,2027-02-19T00:00:00Z,,,,,', 'notBefore', /later than notAfter/],
    ['01,,2027-02-19T00:00:00Z,valid,,,,', 'status', /good or revoked/],
    ['01,,2027-02-19T00:00:00Z,good,2026-11-21T00:00:00Z,,,', 'revokedAt', /status is good/],
    ['01,,2027-02-19T00:00:00Z,revoked,,,,', 'revokedAt', /no date of revocation/],
    ['01,,2027-02-19T00:00:00Z,,,superseded,,', 'reason', /no date of revocation/],
    ['01,,2027-02-19T00:00:00Z,good,,superseded,,', 'reason', /no date of revocation/],
    ['01,,2027-02-19T00:00:00Z,,2026-11-21T00:00:00Z,KeyCompromise,,', 'reason', /not a reason/],
    ['01,,2027-02-19T00:00:00Z,,,,yes,', 'precertificate', /true or false/],
    ['01,,2027-02-19T00:00:00Z,,,,,a b', 'crlShard', /printable/],
    ['01,,2027-02-19T00:00:00Z,,,,,\ufffd', 'crlShard', /printable/],
    ['"01,,2027-02-19T00:00:00Z,,,,,', 'fields', /not closed/],
    ['0"1",,2027-02-19T00:00:00Z,,,,,', 'fields', /not in quotes/],
    ['"01"x,,2027-02-19T00:00:00Z,,,,,', 'fields', /after a closing quote/],
  ] as const) {
    it(`is refused: ${text}`, () => {
      const item = read(text);
      assert.ok(item !== undefined && 'rejected' in item, 'was accepted');
      assert.equal(item.rejected.problem.code, 'invalid');
      assert.equal(item.rejected.problem.field, `line 7 ${field}`);
      assert.match(item.rejected.problem.message, message);
    });
  }

  it('is nothing when empty', () => assert.equal(read(''), undefined));

  it('reads back what was written, quoted or not, in any order of columns', () => {
    const second = fc.integer({ min: 0, max: 4e9 }).map((seconds) => seconds * 1000);
    const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
      fc.option(arbitrary, { nil: undefined });
    const reason = fc.constantFrom(
      ...(Object.keys(REASON_CODES) as ReasonName[]).filter((name) => name !== 'unspecified'),
    );
    const written = fc.record({
      order: fc.shuffledSubarray([...CSV_COLUMNS], { minLength: CSV_COLUMNS.length }),
      quoted: fc.boolean(),
      serial: fc.bigInt({ min: 0n, max: 2n ** 159n - 1n }),
      notAfter: second,
      precertificate: fc.boolean(),
      crlShard: optional(fc.stringMatching(/^[!-~]{1,20}$/)),
      withoutOcsp: fc.boolean(),
      keyHash: optional(fc.stringMatching(/^(?:[0-9a-fA-F]{32}){1,2}$/)),
      revocation: optional(fc.record({ revokedAt: second, reason: optional(reason) })),
    });
    fc.assert(
      fc.property(
        written,
        ({ order, quoted, serial, notAfter, precertificate, crlShard, withoutOcsp, keyHash, revocation }) => {
          const fields = {
            serial: serial.toString(16),
            notBefore: '',
            notAfter: new Date(notAfter).toISOString(),
            status: revocation === undefined ? 'good' : 'revoked',
            revokedAt: revocation === undefined ? '' : new Date(revocation.revokedAt).toISOString(),
            reason: revocation?.reason ?? '',
            precertificate: String(precertificate),
            crlShard: crlShard ?? '',
            namesOcsp: String(!withoutOcsp),
            spkiHash: keyHash ?? '',
          };
          const text = order.map((column) => quote(fields[column], quoted)).join(',');
          const row = accepted(text, order.join(','));
          assert.equal(BigInt(`0x${row.serial}`), serial);
          assert.equal(row.notAfter, notAfter);
          assert.equal(row.precertificate, precertificate);
          assert.equal(row.crlShard, crlShard);
          assert.equal(row.withoutOcsp, withoutOcsp);
          assert.equal(row.spkiHash, keyHash?.slice(0, 32).toLowerCase());
          assert.deepEqual(row.revocation, revocation && { ...revocation });
        },
      ),
      { numRuns: 1000, seed: SEED },
    );
  });

  it('never throws', () => {
    const good =
      '0a1b,2026-11-20T00:00:00Z,2027-02-19T00:00:00Z,revoked,2026-11-21T03:15:54Z,keyCompromise,true,"a""b"';
    const mutated = fc.tuple(fc.nat(good.length), fc.nat(4), fc.string({ unit: 'binary', maxLength: 3 }));
    const text = fc.oneof(
      mutated.map(([at, cut, put]) => good.slice(0, at) + put + good.slice(at + cut)),
      fc.string({ unit: fc.constantFrom('"', ',', '0', 'a', ' ', '\n') }),
    );
    let rejected = 0;
    fc.assert(
      fc.property(text, (line) => {
        const item = read(line);
        if (item !== undefined && 'rejected' in item) rejected++;
      }),
      { numRuns: 10_000, seed: SEED },
    );
    assert.ok(rejected > 1000);
  });
});

function read(text: string, header = HEADER): ImportItem | undefined {
  return readCsvRow(readCsvHeader(header, 1), text, 7);
}

function accepted(text: string, header = HEADER): ImportRow {
  const item = read(text, header);
  assert.ok(item !== undefined, 'nothing was read');
  if ('rejected' in item) assert.fail(item.rejected.problem.line);
  return item.row;
}

/** RFC 4180 §2 rules 5–7, written here on its own. */
function quote(text: string, always: boolean): string {
  return always || /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
