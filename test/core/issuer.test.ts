import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { certificatesFromFile } from '../../src/core/certificate-reader.ts';
import * as write from '../../src/core/certificate-writer.ts';
import { isSignedBy, loadIssuer } from '../../src/core/issuer.ts';
import type { Problem } from '../../src/core/problem.ts';
import { DAY } from '../../src/core/time.ts';
import { caCertificate, CA_NAME, ecKey, keyIdOf, NOW, responderCertificate, rsaKey, spkiOf } from './sample-pki.ts';

const BUNDLE = '/usr/share/ca-certificates/mozilla';
/** Name and key hashes as the CAs' clients compute them; the fingerprints as the CPS prints them. */
const SECOM = [
  {
    file: 'Security_Communication_RootCA2.crt',
    name: 'C=JP, O=SECOM Trust Systems CO.,LTD., OU=Security Communication RootCA2',
    serial: '00',
    fingerprint: '513B2CECB810D4CDE5DD85391ADFC6C2DD60D87BB736D2B521484AA47A0EBEF6',
    sha1: { name: 'f20ef3e3718f19d130d9cc7a2dc303161cb29cd0', key: '0a85a9776505987c4081f80f972c38f10aec3ccf' },
    sha256: {
      name: 'b46c4c6a33058db6efd50ce4ad4d405d8bfb10c41b93de7dd11ec105ab50e0ff',
      key: '3c65db9ccdacaca9e48aec0641b17cb7b18633b7e779e9f2781865ac424f3ead',
    },
  },
  {
    file: 'Security_Communication_RootCA3.crt',
    name: 'C=JP, O=SECOM Trust Systems CO.,LTD., CN=Security Communication RootCA3',
    serial: '00e17c3740fd1bfe67',
    fingerprint: '24A55C2AB051442D0617766541239A4AD032D7C55175AA34FFDE2FBC4F5C5294',
    sha1: { name: 'd15b36ca0236ebff9edd0c41d2e625ed9a00857f', key: '64147cfc587216a60a2934156f2acbbcfcafa8ab' },
    sha256: {
      name: 'd13bfdcc8f9c8a0096f1f13493ed8adf928476ee3ed5179f7311cc435e4f0265',
      key: 'ed94bc3a0afa4c145d1db08b1fb3d36ca9c5cb6011d8bc2a063ee84b2b44550c',
    },
  },
  {
    file: 'Security_Communication_ECC_RootCA1.crt',
    name: 'C=JP, O=SECOM Trust Systems CO.,LTD., CN=Security Communication ECC RootCA1',
    serial: '00d65d9bb378812eeb',
    fingerprint: 'E74FBDA55BD564C473A36B441AA799C8A68E077440E8288B9FA1E50E4BBACA11',
    sha1: { name: 'f5042d4a785f7dab303cd2dc815d90dee6995f09', key: '861ce7fe2da54a8b08fe2811fabea366f860592f' },
    sha256: {
      name: '3f769fe0d0db91ee78bc35fe4b93d14bfbf1ce61ed5f4744e1ce41ca17cb64dd',
      key: '4403d24fb339d9339136815b04ad2011de4e213c404875d12ccd97777437df06',
    },
  },
] as const;

describe('loadIssuer', () => {
  for (const root of SECOM) {
    const path = `${BUNDLE}/${root.file}`;
    it(
      `accepts ${root.file} with the CertID hashes that clients send`,
      { skip: !existsSync(path) && 'no ca-certificates here' },
      () => {
        const issuer = loadIssuer(certificatesFromFile(readFileSync(path)), root.file);
        assert.equal(issuer.name, root.name);
        assert.equal(issuer.certificates[0]?.serial, root.serial);
        assert.equal(issuer.certificates[0]?.fingerprint, root.fingerprint);
        for (const hash of ['sha1', 'sha256'] as const) {
          assert.equal(issuer.hashes[hash].name.toString('hex'), root[hash].name);
          assert.equal(issuer.hashes[hash].key.toString('hex'), root[hash].key);
        }
        assert.equal(issuer.subjectKeyIdentifier.toString('hex'), root.sha1.key);
        assert.deepEqual(issuer.keyUsage, { crlSign: true, digitalSignature: false });
        const tag = createHash('sha256')
          .update(Buffer.from(root.sha256.name + root.sha256.key, 'hex'))
          .digest('hex')
          .slice(0, 8);
        assert.equal(issuer.tag, tag);
      },
    );
  }

  it('takes two certificates of one name and key as one issuer', () => {
    const key = rsaKey();
    const older = caCertificate(key, { notBefore: NOW - 2000 * DAY, notAfter: NOW + 100 * DAY });
    const newer = caCertificate(key, { notBefore: NOW - 100 * DAY, notAfter: NOW + 900 * DAY });
    const issuer = loadIssuer([older, newer], 'ca');
    assert.equal(issuer.certificates.length, 2);
    assert.equal(issuer.notAfter, NOW + 900 * DAY);
    assert.equal(issuer.tag, loadIssuer([newer], 'ca').tag);
    assert.deepEqual(issuer.certificates[0]?.der, older);
  });

  it('takes the key identifier of the newest certificate, else SHA-1 of the key', () => {
    const key = ecKey();
    const other = Buffer.alloc(20, 9);
    const extensions = [write.basicConstraints(true), write.subjectKeyIdentifierExtension(other)];
    const older = caCertificate(key, { notBefore: NOW - 900 * DAY });
    assert.deepEqual(loadIssuer([older], 'ca').subjectKeyIdentifier, keyIdOf(key));
    assert.deepEqual(loadIssuer([older, caCertificate(key, { extensions })], 'ca').subjectKeyIdentifier, other);
    const bare = caCertificate(key, { extensions: [write.basicConstraints(true)] });
    assert.deepEqual(loadIssuer([bare], 'ca').subjectKeyIdentifier, keyIdOf(key));
    assert.deepEqual(loadIssuer([bare], 'ca').keyUsage, { crlSign: true, digitalSignature: true });
  });

  it('refuses one name with two keys, and one key with two names, naming both', () => {
    const [key, second] = [ecKey(), ecKey()];
    const refused = (wrong: Buffer, what: string) => (error: Problem) =>
      error.code === 'config' &&
      error.field === 'ca' &&
      error.message.includes(what) &&
      (error.value ?? '').includes('Example CA') &&
      wrong.length > 0;
    const otherKey = caCertificate(second);
    assert.throws(
      () => loadIssuer([caCertificate(key), otherKey], 'ca'),
      refused(otherKey, keyIdOf(second).toString('hex')),
    );
    const name = write.writeName([['CN', 'Another CA']]);
    const otherName = caCertificate(key, { issuerDer: name, subjectDer: name });
    assert.throws(() => loadIssuer([caCertificate(key), otherName], 'ca'), refused(otherName, 'Another CA'));
  });

  it('compares names as bytes: UTF8String is not PrintableString (T-15)', () => {
    const key = ecKey();
    const utf8 = Buffer.from(CA_NAME);
    utf8[utf8.indexOf('Example CA') - 2] = 0x0c;
    const encodedDifferently = caCertificate(key, { issuerDer: utf8, subjectDer: utf8 });
    assert.throws(() => loadIssuer([caCertificate(key), encodedDifferently], 'ca'), /names differ/);
  });

  it('refuses what is no CA certificate, no certificate, or nothing', () => {
    const key = ecKey();
    const leaf = caCertificate(key, { extensions: [write.basicConstraints(false)] });
    assert.throws(
      () => loadIssuer([leaf], 'ca'),
      (error: Problem) => error.code === 'config' && error.rule === 'RFC 5280 §4.2.1.9',
    );
    // Its CRLs would name nobody (C-06).
    assert.throws(
      () => loadIssuer([caCertificate(key, { subjectDer: Buffer.from('3000', 'hex') })], 'ca'),
      (error: Problem) => error.code === 'config' && error.rule === 'RFC 5280 §4.1.2.6',
    );
    assert.throws(
      () => loadIssuer([Buffer.from('3000', 'hex')], 'ca'),
      (error: Problem) => error.code === 'invalid' && error.field === 'ca',
    );
    assert.throws(
      () => loadIssuer([], 'ca'),
      (error: Problem) => error.code === 'config',
    );
  });

  it('refuses a key whose point is not on its curve (SR-6.1.6-b)', () => {
    const key = ecKey();
    const spkiDer = spkiOf(key);
    spkiDer[spkiDer.length - 1] = (spkiDer.at(-1) as number) ^ 1;
    assert.throws(
      () => loadIssuer([caCertificate(key, { spkiDer })], 'ca'),
      (error: Problem) => error.rule === 'SR-6.1.6-b',
    );
  });
});

describe('isSignedBy', () => {
  const ca = ecKey();
  const issuer = loadIssuer([caCertificate(ca)], 'test');

  it('tells one key of a name from another (T-19)', () => {
    assert.equal(isSignedBy(issuer, responderCertificate(ca, ecKey())), true);
    assert.equal(isSignedBy(issuer, responderCertificate(ecKey(), ecKey())), false);
  });

  it('takes no altered certificate, and throws at none that OpenSSL cannot read', () => {
    const der = responderCertificate(ca, ecKey());
    for (let at = 0; at < der.length; at++) {
      const altered = Buffer.from(der);
      altered.writeUInt8((der[at] as number) ^ 0x1f, at);
      assert.equal(isSignedBy(issuer, altered), false, `octet ${at}`);
    }
  });
});
