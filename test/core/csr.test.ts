/** Certification requests, read back by the real `openssl req`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { nameText } from '../../src/core/name.ts';
import { pem } from '../../src/core/certificate-writer.ts';
import { assembleRequest, parseSubject, requestToBeSigned } from '../../src/core/csr.ts';
import { Problem } from '../../src/core/problem.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { ecKey, type KeyPair, RESPONDER_NAME, rsaKey } from './sample-pki.ts';

function request(key: KeyPair, subject: Buffer, extensions?: []): string {
  const tbs = requestToBeSigned(subject, key.publicKey, extensions);
  const algorithm = algorithmFor(key.publicKey, 'key');
  const signature = sign(algorithm.hash, tbs, { key: key.privateKey, dsaEncoding: 'der' });
  return pem('CERTIFICATE REQUEST', assembleRequest(tbs, algorithm, signature));
}

function openssl(csr: string): string {
  const { status, stdout, stderr } = spawnSync('openssl', ['req', '-verify', '-noout', '-text'], { input: csr });
  assert.equal(status, 0, stderr.toString());
  assert.match(stderr.toString() + stdout.toString(), /verify OK/);
  return stdout.toString();
}

describe('certification request', { skip: spawnSync('openssl', ['version']).error ? 'needs openssl' : false }, () => {
  for (const [name, key] of [
    ['P-256', ecKey()],
    ['P-384', ecKey('P-384')],
    ['RSA-2048', rsaKey()],
  ] as const) {
    it(`of a ${name} key is verified by openssl, with what BR 7.1.2.8 asks for`, () => {
      const text = openssl(request(key, RESPONDER_NAME));
      assert.match(text, /Version: 1 \(0x0\)/);
      assert.match(text, /Subject: C\s?=\s?JP, O\s?=\s?Example, CN\s?=\s?Example CA OCSP Responder/);
      assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
      assert.match(text, /Extended Key Usage:\s+OCSP Signing\n/);
      assert.match(text, /OCSP No Check/);
    });
  }

  it('may ask for nothing', () => {
    assert.doesNotMatch(openssl(request(ecKey(), RESPONDER_NAME, [])), /Key Usage/);
  });
});

describe('parseSubject', () => {
  it('reads what openssl reads', () => {
    assert.equal(
      nameText(parseSubject('/C=JP/O=A\\/B, Ltd./CN=日本 = x', 'subject')),
      'C=JP, O=A/B, Ltd., CN=日本 = x',
    );
  });

  it('refuses what is no subject, naming it', () => {
    for (const text of ['', 'CN=x', '/', '/CN', '/CN=', '/XX=a', '/C=jp', '/C=JPN', `/CN=${'x'.repeat(129)}`, '/CN=a/'])
      assert.throws(
        () => parseSubject(text, '/subject'),
        (error) => error instanceof Problem && error.code === 'invalid' && error.field === '/subject',
        text,
      );
  });
});
