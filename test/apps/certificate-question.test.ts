import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { decimalOf, readQuestion, withColons } from '../../src/apps/admin/certificate-question.ts';
import { Problem } from '../../src/core/problem.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';

const SEED = 412;

describe('what somebody pastes', () => {
  let ca: OpensslCa;
  let one: IssuedFile;
  before(() => {
    ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Asked CA', key: 'P-256' });
    [one] = ca.issue({ count: 1 }) as [IssuedFile];
  });
  after(() => ca?.remove());

  const serials = (text: string): readonly string[] => {
    const question = readQuestion(text);
    return question.kind === 'serial' ? question.candidates : [];
  };

  it('is a certificate as PEM, with text around it and others behind, or as base64 of its DER', () => {
    const pem = readFileSync(one.file, 'utf8');
    const chain = `subject=x\n${pem}\n${readFileSync(ca.certificateFile, 'utf8')}`;
    const der = execFileSync('openssl', ['x509', '-in', one.file, '-outform', 'DER']);
    for (const [text, more] of [
      [pem, 0],
      [chain, 1],
      [der.toString('base64'), 0],
      [der.toString('base64').replace(/.{64}/g, '$&\n '), 0],
    ] as const) {
      // prettier-ignore
      const question = readQuestion(text);
      assert.ok(question.kind === 'certificate');
      assert.deepEqual(question.certificate.der, der);
      assert.equal(question.more, more);
    }
  });

  it('is a serial number as openssl prints it, or any tool', () => {
    const printed = execFileSync('openssl', ['x509', '-in', one.file, '-noout', '-serial']).toString();
    assert.deepEqual(serials(printed), [one.serial.toLowerCase()]);
    const text = execFileSync('openssl', ['x509', '-in', one.file, '-noout', '-text']).toString();
    const [, colons] = /Serial Number:\s*([0-9a-f:]{20,})/.exec(text) ?? [];
    assert.ok(colons !== undefined);
    assert.deepEqual(serials(colons), [one.serial.toLowerCase()]);
    assert.deepEqual(serials('0x0A1B'), ['0a1b']);
    assert.deepEqual(serials(' 0a 1b\n'), ['0a1b']);
  });

  it(`in hex, or in decimal where that is what it can be (seed ${SEED})`, () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: (1n << 158n) - 1n }), (number) => {
        const serial = serialFromHex(number.toString(16));
        assert.ok(serials(`0x${number.toString(16)}`).includes(serial));
        assert.ok(serials(withColons(serial)).includes(serial));
        assert.ok(serials(number.toString()).includes(serial), 'decimal');
        assert.equal(decimalOf(serial), number.toString());
      }),
      { numRuns: 300, seed: SEED },
    );
    assert.deepEqual(serials('12'), ['12', '0c'], 'both, where it can be either');
    assert.deepEqual(serials('7'), ['07'], 'one, where both are the same');
  });

  it('is refused when it is nothing of that, and said what would be', () => {
    for (const text of ['', '  ', 'hello', '0x', '-5', '1'.repeat(200), 'f'.repeat(41), '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----', `MI${'A'.repeat(200)}`]) // prettier-ignore
      assert.throws(() => readQuestion(text), (error) => error instanceof Problem && ['invalid', 'too-large'].includes(error.code), text); // prettier-ignore
  });
});
