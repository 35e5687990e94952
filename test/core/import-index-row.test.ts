import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { readIndexRow } from '../../src/core/import/index-row.ts';
import type { ImportRow } from '../../src/core/import/row.ts';
import type { Problem } from '../../src/core/problem.ts';
import { isReasonName, type ReasonName } from '../../src/core/reason.ts';
import { OpensslCa } from '../support/openssl-ca.ts';

const SEED = 20261121;

describe('a line of index.txt', () => {
  it('is a valid certificate', () => {
    assert.deepEqual(accepted('V\t270219030716Z\t\t403635AA30E1BD31\tunknown\t/C=JP/CN=leaf'), {
      line: 7,
      serial: '403635aa30e1bd31',
      notBefore: undefined,
      notAfter: Date.parse('2027-02-19T03:07:16Z'),
      precertificate: false,
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
      revocation: undefined,
    });
  });

  it('is an expired certificate: valid, and past notAfter', () => {
    const row = accepted('E\t210101000000Z\t\t01\tunknown\t/CN=leaf');
    assert.equal(row.notAfter, Date.parse('2021-01-01T00:00:00Z'));
    assert.equal(row.revocation, undefined);
  });

  for (const [field, reason] of [
    ['', undefined],
    [',unspecified', undefined],
    [',keyCompromise', 'keyCompromise'],
    [',CACompromise', 'cACompromise'],
    [',affiliationChanged', 'affiliationChanged'],
    [',superseded', 'superseded'],
    [',cessationOfOperation', 'cessationOfOperation'],
    [',certificateHold', 'certificateHold'],
    [',removeFromCRL', 'removeFromCRL'],
    [',privilegeWithdrawn', 'privilegeWithdrawn'],
    [',KEYCOMPROMISE', 'keyCompromise'],
    [',holdInstruction,holdInstructionReject', 'certificateHold'],
    [',holdInstruction,1.2.840.10040.2.2', 'certificateHold'],
    [',holdInstruction,Hold Instruction Call Issuer', 'certificateHold'],
    [',keyTime,20260101000000Z', 'keyCompromise'],
    [',CAkeyTime,20260101000000Z', 'cACompromise'],
  ] as const) {
    it(`is revoked with 261121031554Z${field}`, () => {
      const row = accepted(`R\t270219030716Z\t261121031554Z${field}\t0A\tunknown\t/CN=leaf`);
      // keyTime too: the date that the old CA published stays (B-29, T-30).
      assert.deepEqual(row.revocation, { revokedAt: Date.parse('2026-11-21T03:15:54Z'), reason });
    });
  }

  for (const [written, serial] of [
    ['00', '00'],
    ['7F', '7f'],
    ['80', '0080'],
    ['FF00', '00ff00'],
    ['ABCDEFABCDEF', '00abcdefabcdef'],
    ['0001', '01'],
    [`7F${'FF'.repeat(19)}`, `7f${'ff'.repeat(19)}`],
  ] as const) {
    it(`has the serial ${written}`, () =>
      assert.equal(accepted(`V\t270219030716Z\t\t${written}\tunknown\t/CN=x`).serial, serial));
  }

  for (const [written, instant] of [
    ['500101000000Z', '1950-01-01T00:00:00Z'],
    ['991231235959Z', '1999-12-31T23:59:59Z'],
    ['000229000000Z', '2000-02-29T00:00:00Z'],
    ['491231235959Z', '2049-12-31T23:59:59Z'],
    ['20500101000000Z', '2050-01-01T00:00:00Z'],
    ['99991231235959Z', '9999-12-31T23:59:59Z'],
  ] as const) {
    it(`ends ${written}`, () =>
      assert.equal(accepted(`V\t${written}\t\t01\tunknown\t/CN=x`).notAfter, Date.parse(instant)));
  }

  it('may hold a backslash, an escaped tab or anything else in the subject', () => {
    for (const subject of [
      '/CN=a\\b',
      '/CN=a\\\tb',
      '/CN=a\\\tb\\\tc',
      '/CN=a\\\\',
      '/CN=a,b"c',
      '/CN=\u00e6\u0097\u00a5',
      '',
    ]) {
      assert.equal(accepted(`V\t270219030716Z\t\t01\tunknown\t${subject}`).serial, '01');
    }
  });

  it('is nothing when empty or a comment', () => {
    assert.equal(readIndexRow('', 1), undefined);
    assert.equal(readIndexRow('# V\t270219030716Z', 1), undefined);
  });

  for (const [text, field, message] of REFUSED()) {
    it(`is refused: ${JSON.stringify(text)}`, () => {
      const problem = rejected(text);
      assert.equal(problem.code, 'invalid');
      assert.equal(problem.field, `line 7 ${field}`);
      assert.match(problem.message, message);
      assert.ok(problem.rule);
    });
  }
});

describe('a line of index.txt, next to OpenSSL itself', () => {
  const ca = new OpensslCa();
  after(() => ca.remove());

  /** Whether `openssl ca` takes a database of this one line. */
  function opensslTakes(line: string): boolean {
    writeFileSync(ca.indexFile, `${line}\n`, 'latin1');
    const run = spawnSync('openssl', ['ca', '-config', 'ca.cnf', '-gencrl', '-out', 'probe.pem'], {
      cwd: ca.directory,
    });
    return run.status === 0;
  }

  it('takes what OpenSSL takes', () => {
    for (const line of [
      'V\t270219030716Z\t\t00\tunknown\t/CN=x',
      'V\t270219030716Z\t\tFF00\tunknown\t/CN=a\\\tb\\\tc',
      'E\t19990101000000Z\t\t01\tunknown\t/CN=x',
      'R\t20600101000000Z\t261121031554Z,KEYcompromise\t01\tunknown\t/CN=x',
      'R\t270219030716Z\t261121031554Z,CAkeyTime,20260101000000Z\t01\tunknown\t/CN=x',
      'R\t270219030716Z\t261121031554Z,holdInstruction,holdInstructionReject\t01\tunknown\t/CN=x',
      'R\t270219030716Z\t261121031554Z,holdInstruction,Hold Instruction Call Issuer\t01\tunknown\t/CN=x',
      '# comment',
    ]) {
      assert.ok(opensslTakes(line), `openssl: ${line}`);
      const item = readIndexRow(line, 1);
      assert.ok(item === undefined || 'row' in item, line);
    }
  });

  it('refuses what OpenSSL refuses', () => {
    const refusedByBoth = REFUSED().filter(([, , , openssl]) => openssl === 'refuses');
    assert.ok(refusedByBoth.length >= 10);
    for (const [line] of refusedByBoth) assert.ok(!opensslTakes(line), `openssl: ${line}`);
  });

  it('is stricter than OpenSSL where the list says so, and nowhere else', () => {
    for (const [line, , , openssl] of REFUSED())
      if (openssl === 'takes') assert.ok(opensslTakes(line), `openssl: ${line}`);
  });
});

describe('lines of index.txt in general', () => {
  it('read back what was written', () => {
    const written = fc.record({
      serial: fc.bigInt({ min: 0n, max: 2n ** 159n - 1n }),
      notAfter: fc.date({
        min: new Date('1950-01-01T00:00:00Z'),
        max: new Date('9999-12-31T23:59:59Z'),
        noInvalidDate: true,
      }),
      revocation: fc.option(
        fc.record({
          revokedAt: fc.date({
            min: new Date('1990-01-01T00:00:00Z'),
            max: new Date('2049-12-31T23:59:59Z'),
            noInvalidDate: true,
          }),
          reason: fc.constantFrom(
            undefined,
            'keyCompromise',
            'cACompromise',
            'superseded',
            'certificateHold',
            'aACompromise',
          ),
        }),
        { nil: undefined },
      ),
      subject: fc.string().map((text) => text.replace(/[\t\n\r\0]/g, '')),
    });
    fc.assert(
      fc.property(written, ({ serial, notAfter, revocation, subject }) => {
        const hex = serial.toString(16).toUpperCase();
        const revoked =
          revocation === undefined
            ? ''
            : asn1(revocation.revokedAt) + (revocation.reason === undefined ? '' : `,${revocation.reason}`);
        const row = accepted(
          [
            revoked === '' ? 'V' : 'R',
            asn1(notAfter),
            revoked,
            hex.padStart(hex.length + (hex.length % 2), '0'),
            'unknown',
            subject,
          ].join('\t'),
        );
        assert.equal(BigInt(`0x${row.serial}`), serial);
        assert.equal(row.notAfter, Math.floor(notAfter.getTime() / 1000) * 1000);
        assert.equal(row.revocation?.reason, revocation?.reason);
        assert.equal(row.revocation?.revokedAt, revocation && Math.floor(revocation.revokedAt.getTime() / 1000) * 1000);
      }),
      { numRuns: 2000, seed: SEED },
    );
  });

  it('never throw, and give no row that breaks its own type', () => {
    const good = 'R\t270219030716Z\t261121031554Z,keyTime,20260101000000Z\t403635AA30E1BD31\tunknown\t/CN=leaf';
    const mutated = fc
      .tuple(fc.nat(good.length), fc.nat(4), fc.string({ unit: 'binary', maxLength: 4 }))
      .map(([at, cut, text]) => {
        return good.slice(0, at) + text + good.slice(at + cut);
      });
    const junk = fc.oneof(
      mutated,
      fc.string({ unit: 'binary' }),
      fc.array(fc.string(), { maxLength: 8 }).map((fields) => fields.join('\t')),
    );
    let rows = 0;
    fc.assert(
      fc.property(junk, (text) => {
        const item = readIndexRow(text, 1);
        if (item === undefined) return;
        if ('rejected' in item) {
          assert.equal(item.rejected.problem.code, 'invalid');
          return;
        }
        rows++;
        assert.match(item.row.serial, /^([0-7][0-9a-f]|00[89a-f][0-9a-f])([0-9a-f]{2})*$/);
        assert.ok(Number.isSafeInteger(item.row.notAfter));
        if (item.row.revocation === undefined) return;
        assert.ok(Number.isSafeInteger(item.row.revocation.revokedAt));
        assert.ok(
          item.row.revocation.reason === undefined || isReasonName(item.row.revocation.reason satisfies ReasonName),
        );
      }),
      { numRuns: 20_000, seed: SEED },
    );
    assert.ok(rows > 100, 'the mutations reach past the first check');
  });
});

/** Line, field, message, and what `openssl ca -gencrl` says to the same line. */
function REFUSED(): readonly (readonly [string, string, RegExp, 'takes' | 'refuses'])[] {
  return [
    ['V\t270219030716Z\t\t01\tunknown', 'fields', /six fields/, 'refuses'],
    ['V\t270219030716Z\t\t01\tunknown\t/CN=x\tmore', 'fields', /six fields/, 'refuses'],
    ['V 270219030716Z  01 unknown /CN=x', 'fields', /six fields/, 'refuses'],
    ['S\t270219030716Z\t\t01\tunknown\t/CN=x', 'status', /V \(valid\)/, 'takes'],
    ['\t270219030716Z\t\t01\tunknown\t/CN=x', 'status', /V \(valid\)/, 'takes'],
    ['VV\t270219030716Z\t\t01\tunknown\t/CN=x', 'status', /V \(valid\)/, 'takes'],
    ['V\t270219030716Z\t261121031554Z\t01\tunknown\t/CN=x', 'revocation', /its status is V/, 'refuses'],
    ['E\t270219030716Z\t261121031554Z\t01\tunknown\t/CN=x', 'revocation', /its status is E/, 'refuses'],
    ['R\t270219030716Z\t\t01\tunknown\t/CN=x', 'revocation', /without a revocation date/, 'refuses'],
    ['R\t270219030716Z\tnever\t01\tunknown\t/CN=x', 'revocation', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['R\t270219030716Z\t261121031554Z,bored\t01\tunknown\t/CN=x', 'revocation', /not a reason/, 'refuses'],
    ['R\t270219030716Z\t261121031554Z,\t01\tunknown\t/CN=x', 'revocation', /not a reason/, 'refuses'],
    ['R\t270219030716Z\t261121031554Z,keyTime\t01\tunknown\t/CN=x', 'revocation', /needs a time/, 'refuses'],
    ['R\t270219030716Z\t261121031554Z,keyTime,soon\t01\tunknown\t/CN=x', 'revocation', /not YYMMDDHHMMSSZ/, 'refuses'],
    [
      'R\t270219030716Z\t261121031554Z,holdInstruction\t01\tunknown\t/CN=x',
      'revocation',
      /needs an instruction/,
      'refuses',
    ],
    [
      'R\t270219030716Z\t261121031554Z,superseded,x\t01\tunknown\t/CN=x',
      'revocation',
      /takes nothing after it/,
      'takes',
    ],
    ['V\t270229030716Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t21000229000000Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t270219240000Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t270219006000Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t270219000060Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t270200000000Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t271301000000Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t2702190307Z\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'takes'],
    ['V\t270219030716+0900\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'takes'],
    ['V\t\t\t01\tunknown\t/CN=x', 'expiry', /not YYMMDDHHMMSSZ/, 'refuses'],
    ['V\t270219030716Z\t\t\tunknown\t/CN=x', 'serial', /even count/, 'refuses'],
    ['V\t270219030716Z\t\t123\tunknown\t/CN=x', 'serial', /even count/, 'refuses'],
    ['V\t270219030716Z\t\t0G\tunknown\t/CN=x', 'serial', /hexadecimal digits/, 'refuses'],
    ['V\t270219030716Z\t\t-101\tunknown\t/CN=x', 'serial', /hexadecimal digits/, 'refuses'],
    [`V\t270219030716Z\t\t80${'00'.repeat(19)}\tunknown\t/CN=x`, 'serial', /longer than 20 octets/, 'takes'],
  ];
}

function accepted(text: string): ImportRow {
  const item = readIndexRow(text, 7);
  assert.ok(item !== undefined, 'nothing was read');
  if ('rejected' in item) assert.fail(item.rejected.problem.line);
  return item.row;
}

function rejected(text: string): Problem {
  const item = readIndexRow(text, 7);
  assert.ok(item !== undefined && 'rejected' in item, 'was accepted');
  assert.equal(item.rejected.line, 7);
  return item.rejected.problem;
}

/** As X.509 writes it: UTCTime from 1950 to 2049, GeneralizedTime otherwise. */
function asn1(date: Date): string {
  const digits = date.toISOString().slice(0, 19).replace(/[-T:]/g, '');
  return `${date.getUTCFullYear() < 2050 ? digits.slice(2) : digits}Z`;
}
