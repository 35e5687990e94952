import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AsnIntegerBigIntConverter, AsnObjectIdentifierConverter } from '@peculiar/asn1-schema';
import { DerCursor, isMinimalInteger } from '../../src/core/der/reader.ts';
import { DerWriter, extension, integer, tlv } from '../../src/core/der/writer.ts';
import { dottedOid, OID } from '../../src/core/der/oid.ts';
import { encodeTime, putGeneralizedTime, readGeneralizedTime, readUtcTime } from '../../src/core/der/time.ts';
import { Problem } from '../../src/core/problem.ts';

const SEED = 960_2019;
const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');

describe('DerCursor', () => {
  for (const [name, der, fault] of [
    ['no octets', '', 'truncated'],
    ['a tag alone', '30', 'truncated'],
    ['content cut off', '30 03 02 01', 'truncated'],
    ['length octets cut off', '30 82 01', 'truncated'],
    ['indefinite length', '30 80 00 00', 'indefinite length'],
    ['long form for a short length', '30 81 02 05 00', 'length not minimal'],
    ['long form for the longest short length', `30 81 7f ${'00'.repeat(127)}`, 'length not minimal'],
    ['leading zero in the length', '30 82 00 80', 'length not minimal'],
    ['length of five octets', '30 85 01 00 00 00 00', 'too long'],
    ['length over 2^31', '30 84 80 00 00 00', 'too long'],
    ['reserved length octet', '30 ff 00', 'too long'],
    ['end-of-contents', '00 00', 'reserved or multi-octet tag'],
    ['multi-octet tag', '3f 81 01 00', 'reserved or multi-octet tag'],
  ] as const) {
    it(`refuses ${name}`, () => {
      const cursor = new DerCursor(hex(der));
      assert.equal(cursor.any(), false);
      assert.equal(cursor.fault, fault);
      assert.equal(cursor.position, 0);
    });
  }

  it('refuses another tag than the one asked for, and what an element holds beyond what was read', () => {
    const cursor = new DerCursor(hex('30 05 02 01 07 05 00'));
    assert.equal(cursor.next(0x31), false);
    assert.equal(cursor.fault, 'unexpected tag');
    const outer = cursor.enter(0x30);
    assert.equal(outer, 7);
    assert.ok(cursor.next(0x02));
    assert.deepEqual([...cursor.content()], [7]);
    assert.equal(cursor.leave(outer), false);
    assert.equal(cursor.fault, 'trailing octets');
    assert.ok(cursor.any());
    assert.ok(cursor.leave(outer));
    assert.ok(cursor.atEnd);
  });

  it('does not read past the element it is in', () => {
    const cursor = new DerCursor(hex('30 03 04 05 00 00 00 00 00'));
    cursor.enter(0x30);
    assert.equal(cursor.any(), false);
    assert.equal(cursor.fault, 'truncated');
  });

  it('knows a minimal INTEGER', () => {
    for (const good of ['00', '01', '7f', '80', 'ff', '0080', 'ff7f', '0100'])
      assert.ok(isMinimalInteger(hex(good)), good);
    for (const bad of ['', '0000', '007f', 'ff80', 'ffff']) assert.ok(!isMinimalInteger(hex(bad)), bad);
  });
});

describe('DerWriter', () => {
  it('writes the lengths that DerCursor and openssl read back', () => {
    for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 200_000]) {
      const der = tlv(0x04, Buffer.alloc(size, 0xab));
      const cursor = new DerCursor(der);
      assert.ok(cursor.next(0x04));
      assert.equal(cursor.length, size);
      const dump = execFileSync('openssl', ['asn1parse', '-inform', 'DER'], { input: der, encoding: 'utf8' });
      assert.match(dump, new RegExp(`l= *${size} prim: OCTET STRING`));
    }
  });

  it('starts over after finish, whatever grew before', () => {
    const writer = new DerWriter(4);
    writer.raw(Buffer.alloc(1000, 1));
    writer.wrap(0x04, 0);
    assert.equal(writer.finish().length, 1004);
    assert.equal(writer.length, 0);
    writer.octet(5);
    writer.wrap(0x02, 0);
    assert.equal(writer.finish().toString('hex'), '020105');
  });

  it('writes INTEGERs as another library does', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 170n }), (value) => {
        const theirs = Buffer.from(AsnIntegerBigIntConverter.toASN(value).toBER());
        assert.equal(integer(value).toString('hex'), theirs.toString('hex'));
      }),
      { seed: SEED, numRuns: 300 },
    );
    assert.throws(() => integer(-1n), Problem);
  });

  it('leaves critical FALSE out of an extension', () => {
    assert.equal(extension(OID.reasonCode, false, hex('0a0101')).toString('hex'), '300a0603551d1504030a0101');
    assert.equal(extension(OID.reasonCode, true, hex('0a0101')).toString('hex'), '300d0603551d150101ff04030a0101');
  });
});

describe('OID', () => {
  const dotted: Record<keyof typeof OID, string> = {
    sha1: '1.3.14.3.2.26',
    sha256: '2.16.840.1.101.3.4.2.1',
    ocspBasic: '1.3.6.1.5.5.7.48.1.1',
    nonce: '1.3.6.1.5.5.7.48.1.2',
    crlReference: '1.3.6.1.5.5.7.48.1.3',
    acceptableResponses: '1.3.6.1.5.5.7.48.1.4',
    noCheck: '1.3.6.1.5.5.7.48.1.5',
    archiveCutoff: '1.3.6.1.5.5.7.48.1.6',
    serviceLocator: '1.3.6.1.5.5.7.48.1.7',
    preferredSignatureAlgorithms: '1.3.6.1.5.5.7.48.1.8',
    extendedRevoke: '1.3.6.1.5.5.7.48.1.9',
    cRLNumber: '2.5.29.20',
    reasonCode: '2.5.29.21',
    invalidityDate: '2.5.29.24',
    deltaCRLIndicator: '2.5.29.27',
    issuingDistributionPoint: '2.5.29.28',
    certificateIssuer: '2.5.29.29',
    authorityKeyIdentifier: '2.5.29.35',
    freshestCRL: '2.5.29.46',
    expiredCertsOnCRL: '2.5.29.60',
    caIssuers: '1.3.6.1.5.5.7.48.2',
    authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  };

  it('is what another library encodes', () => {
    for (const [name, content] of Object.entries(OID)) {
      const text = dotted[name as keyof typeof OID];
      const theirs = Buffer.from(AsnObjectIdentifierConverter.toASN(text).toBER());
      assert.equal(tlv(0x06, content).toString('hex'), theirs.toString('hex'), name);
      assert.equal(dottedOid(content), text);
    }
  });

  it('is shown dotted, or as invalid', () => {
    assert.equal(dottedOid(hex('883703')), '2.999.3');
    for (const bad of ['', '2b80', '2b8001']) assert.match(dottedOid(hex(bad)), /^invalid/);
  });
});

describe('time', () => {
  const write = (ms: number): string => {
    const octets = Buffer.alloc(15);
    putGeneralizedTime(octets, 0, ms);
    return octets.toString('latin1');
  };
  const generalized = (text: string) => readGeneralizedTime(Buffer.from(text, 'latin1'), 0, text.length);
  const utc = (text: string) => readUtcTime(Buffer.from(text, 'latin1'), 0, text.length);
  const instants = fc.integer({
    min: Date.UTC(2001, 0, 1) / 1000 - 2000 * 365 * 86_400,
    max: Date.UTC(9999, 11, 31) / 1000,
  });

  it('writes and reads every instant as Date does', () => {
    fc.assert(
      fc.property(instants, (seconds) => {
        const iso = new Date(seconds * 1000).toISOString();
        const text = `${iso.slice(0, 19).replace(/[-T:]/g, '')}Z`;
        assert.equal(write(seconds * 1000), text);
        assert.equal(generalized(text), seconds * 1000);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it('knows the days around the ends of February', () => {
    for (const day of [
      '19000228',
      '19000301',
      '20000229',
      '20231231',
      '20240229',
      '20240301',
      '21000228',
      '00010101',
      '99991231',
    ]) {
      const text = `${day}235959Z`;
      const ms = generalized(text);
      assert.ok(ms !== undefined, text);
      assert.equal(write(ms), text);
    }
  });

  it('cuts a fraction off', () => {
    assert.equal(write(1999), '19700101000001Z');
    assert.equal(write(-1), '19691231235959Z');
  });

  for (const [name, text] of [
    ['fraction', '20261120080000.5Z'],
    ['no seconds', '202611200800Z'],
    ['an offset', '20261120080000+0900'],
    ['local time', '20261120080000'],
    ['30 February', '20260230000000Z'],
    ['29 February of a common year', '21000229000000Z'],
    ['month 13', '20261301000000Z'],
    ['month 0', '20260001000000Z'],
    ['day 0', '20260100000000Z'],
    ['hour 24', '20261120240000Z'],
    ['leap second', '20261231235960Z'],
    ['minute 60', '20261120086000Z'],
    ['year 0', '00000101000000Z'],
    ['letters', '2026112008000oZ'],
    ['lower-case z', '20261120080000z'],
    ['a sign', '2026112008+100Z'],
  ] as const) {
    it(`refuses ${name}`, () => assert.equal(generalized(text), undefined));
  }

  it('splits UTCTime at 2049/2050 (C-07)', () => {
    assert.equal(encodeTime(Date.UTC(2049, 11, 31, 23, 59, 59)).toString('latin1'), '\x17\x0d491231235959Z');
    assert.equal(encodeTime(Date.UTC(2050, 0, 1)).toString('latin1'), '\x18\x0f20500101000000Z');
    assert.equal(encodeTime(Date.UTC(1950, 0, 1)).toString('latin1'), '\x17\x0d500101000000Z');
    assert.throws(() => encodeTime(Date.UTC(1949, 11, 31)), Problem);
    assert.throws(() => encodeTime(NaN), Problem);
    assert.throws(() => write(Date.UTC(10_000, 0, 1)), Problem);
    assert.equal(utc('491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59));
    assert.equal(utc('500101000000Z'), Date.UTC(1950, 0, 1));
    assert.equal(utc('5001010000Z'), undefined);
    assert.equal(utc('500101000000+0000'), undefined);
  });
});
