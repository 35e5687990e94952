/** Certificates that openssl has signed in every way, and what is made of their signatures here. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readCertificate, type CertificateFields } from '../../src/core/certificate-reader.ts';
import { publicKeyOf } from '../../src/core/issuer.ts';
import { isPermittedAlgorithm } from '../../src/core/lint/cabf.ts';
import { algorithmOf, signatureName, verifierOf } from '../../src/core/signature-algorithm.ts';

const directory = mkdtempSync(join(tmpdir(), 'certstatus-signatures-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const EC = (curve: string): string[] => ['ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];
const RSA = ['rsa', '-pkeyopt', 'rsa_keygen_bits:2048'];
const RSA_PSS = ['rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048'];
const PSS = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-1'];
const WAYS: readonly (readonly [why: string, key: string[], signed: string[], name: string | undefined])[] = [
  ['RSA, SHA-256', RSA, ['-sha256'], 'sha256WithRSAEncryption'],
  ['RSA, SHA-384', RSA, ['-sha384'], 'sha384WithRSAEncryption'],
  ['RSA, SHA-512', RSA, ['-sha512'], 'sha512WithRSAEncryption'],
  ['RSA, PSS with SHA-256', RSA, ['-sha256', ...PSS], 'RSASSA-PSS with sha256'],
  ['RSA, PSS with SHA-384', RSA, ['-sha384', ...PSS], 'RSASSA-PSS with sha384'],
  ['RSA, PSS with SHA-512', RSA, ['-sha512', ...PSS], 'RSASSA-PSS with sha512'],
  ['a key for PSS alone', RSA_PSS, ['-sha256', ...PSS], 'RSASSA-PSS with sha256'],
  ['P-256', EC('prime256v1'), ['-sha256'], 'ecdsa-with-SHA256'],
  ['P-384', EC('secp384r1'), ['-sha384'], 'ecdsa-with-SHA384'],
  ['P-521', EC('secp521r1'), ['-sha512'], 'ecdsa-with-SHA512'],
  ['RSA, SHA-1 (B-35)', RSA, ['-sha1'], undefined],
  ['RSA, PSS with another salt (BR 7.1.3.2.1)', RSA, ['-sha256', PSS[0] as string, PSS[1] as string, '-sigopt', 'rsa_pss_saltlen:20'], undefined],
  ['P-256, SHA-1', EC('prime256v1'), ['-sha1'], undefined],
  ['Ed25519', ['ed25519'], [], undefined],
  ['Ed448', ['ed448'], [], undefined],
]; // prettier-ignore

function certificateOf([, key, signed]: (typeof WAYS)[number], place: number): CertificateFields {
  const [keyFile, file] = [join(directory, `${place}.key`), join(directory, `${place}.der`)];
  const run = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  run('genpkey', '-algorithm', ...key, '-out', keyFile);
  run('req', '-x509', '-new', '-key', keyFile, ...signed, '-subj', '/C=JP/O=Test/CN=A', '-outform', 'DER', '-out', file); // prettier-ignore
  return readCertificate(readFileSync(file));
}

describe('the signature of a certificate', () => {
  const made = WAYS.map(certificateOf);
  for (const [place, [why, , , name]] of WAYS.entries()) {
    it(`${name === undefined ? 'is not known' : 'is known, and verifies'}: ${why}`, () => {
      const fields = made[place] as CertificateFields;
      const { signatureAlgorithm, signature, tbsDer } = fields;
      const found = algorithmOf(signatureAlgorithm);
      assert.equal(found && signatureName(found), name);
      assert.equal(isPermittedAlgorithm(signatureAlgorithm), name !== undefined);
      const by = verifierOf(signatureAlgorithm, publicKeyOf(fields, 'key'));
      assert.equal(by !== undefined, name !== undefined);
      if (by === undefined) return;
      assert.ok(verify(by.hash, tbsDer, by.key, signature));
      const other = Buffer.from(tbsDer);
      other[20] = (other[20] as number) ^ 1;
      assert.ok(!verify(by.hash, other, by.key, signature));
    });
  }

  it('is of none of the other keys, whatever their kind', () => {
    const x25519 = generateKeyPairSync('x25519').publicKey;
    for (const [place, { signatureAlgorithm, signature, tbsDer }] of made.entries()) {
      const others = [...made.filter((_, i) => i !== place).map((other) => publicKeyOf(other, 'key')), x25519];
      for (const key of others) {
        const by = verifierOf(signatureAlgorithm, key);
        assert.ok(by === undefined || !verify(by.hash, tbsDer, by.key, signature), key.asymmetricKeyType);
      }
    }
  });
});
