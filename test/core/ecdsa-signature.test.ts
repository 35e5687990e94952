import assert from 'node:assert/strict';
import { sign, verify } from 'node:crypto';
import { describe, it } from 'node:test';
import { derToRaw, rawToDer } from '../../src/core/ecdsa-signature.ts';
import { seedFrom } from '../support/random.ts';
import { ecKey } from './sample-pki.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const { seed, random } = seedFrom('ECDSA_SEED');
console.log(`ECDSA_SEED=${seed}`);

describe('ECDSA-Sig-Value', () => {
  for (const [curve, octets, hash] of [
    ['P-256', 32, 'sha256'],
    ['P-384', 48, 'sha384'],
    ['P-521', 66, 'sha512'],
  ] as const) {
    it(`is what OpenSSL makes of ${curve}, both ways`, () => {
      const key = ecKey(curve);
      // Among these are INTEGERs with and without 00 before them, and shorter ones.
      for (let i = 0; i < 300; i++) {
        const tbs = random.bytes(20);
        const der = sign(hash, tbs, { key: key.privateKey, dsaEncoding: 'der' });
        const raw = derToRaw(der, octets);
        assert.ok(raw !== undefined && raw.length === 2 * octets);
        assert.ok(verify(hash, tbs, { key: key.publicKey, dsaEncoding: 'ieee-p1363' }, raw));
        assert.deepEqual(rawToDer(raw), der);
      }
    });
  }

  it('writes minimal INTEGERs', () => {
    for (const [raw, der] of [
      ['01 02', '3006 0201 01 0201 02'],
      ['80 7f', '3007 0202 0080 0201 7f'],
      ['0001 0080', '3007 0201 01 0202 0080'],
      ['00ff 0100', '3008 0202 00ff 0202 0100'],
    ] as const) {
      assert.deepEqual(rawToDer(hex(raw)), hex(der));
      assert.deepEqual(derToRaw(hex(der), hex(raw).length / 2), hex(raw));
    }
    const longest = Buffer.alloc(132, 0xff);
    const der = rawToDer(longest) as Buffer;
    assert.deepEqual(der.subarray(0, 3), hex('3081 8a'));
    assert.deepEqual(derToRaw(der, 66), longest);
  });

  it('is undefined for anything else', () => {
    for (const raw of ['', '01', '010203', '00 01', '01 00', '0000 0001', '01'.repeat(134)])
      assert.equal(rawToDer(hex(raw)), undefined, raw);
    for (const der of [
      '',
      '30',
      '3000',
      '3003 020101',
      '3006 020101 020100', // s = 0
      '3006 020100 020101',
      '3006 020181 020101', // negative
      '3007 02020001 020101', // not minimal
      '3006 020101 020101 00', // something behind it
      '3007 020101 020101 00', // something within it
      '3005 020101 020101',
      '3006 020101 020201', // cut off
      '3081 06 020101 020101', // length not minimal
      '3106 020101 020101',
      '3006 030101 020101',
      '3080 020101 020101 0000',
      '3009 0204 01020304 0201 01', // does not fit
      '3007 0200 0203 010101',
    ])
      assert.equal(derToRaw(hex(der), 2), undefined, der);
  });

  it('never throws, and reads only what it would write', () => {
    for (let i = 0; i < 20_000; i++) {
      const der = hex('3006 020101 020101');
      for (let n = random.below(3); n >= 0; n--) der[random.below(der.length)] = random.below(256);
      const raw = derToRaw(der.subarray(0, 1 + random.below(der.length)), 1 + random.below(3));
      if (raw !== undefined) assert.deepEqual(rawToDer(raw), der);
      rawToDer(random.bytes(random.below(6)));
    }
  });
});
