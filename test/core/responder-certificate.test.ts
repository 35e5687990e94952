import assert from 'node:assert/strict';
import { createHash, createPrivateKey } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Extension } from '../../src/core/certificate-reader.ts';
import { type KeyUsageName, OID } from '../../src/core/certificate-extensions.ts';
import * as write from '../../src/core/certificate-writer.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import { loadResponderCertificate } from '../../src/core/responder-certificate.ts';
import { checkCrlKey, checkOcspKey, checkResponderCertificate } from '../../src/core/signer-checks.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import {
  caCertificate,
  CA_NAME,
  ecKey,
  keyIdOf,
  type KeyPair,
  NOW,
  PROFILE,
  responderCertificate,
  responderExtensions,
  rsaKey,
  spkiOf,
} from './sample-pki.ts';

const ca = rsaKey();
const key = rsaKey();
const issuer = loadIssuer([caCertificate(ca)], 'ca');
const CYBERTRUST: Profile = {
  ...PROFILE,
  authorities: [...PROFILE.authorities, 'cybertrust'],
  responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-2048'] },
};

function findings(der: Buffer, profile = CYBERTRUST, nowMs = NOW, of = issuer): string[] {
  return checkResponderCertificate(loadResponderCertificate(der), of, profile, nowMs).map(
    ({ severity, rule }) => `${severity} ${rule}`,
  );
}
const changed = (change: Partial<write.CertificateDraft>, profile?: Profile): string[] =>
  findings(responderCertificate(ca, key, change), profile);
/** The good extensions with one replaced by OID, left out (undefined) or added. */
function extensions(...changes: readonly (Extension | { without: string })[]): Partial<write.CertificateDraft> {
  let list = responderExtensions(ca, key);
  for (const change of changes) {
    if ('without' in change) list = list.filter(({ oid }) => oid !== change.without);
    else list = [...list.filter(({ oid }) => oid !== change.oid), change];
  }
  return { extensions: list };
}

describe('loadResponderCertificate', () => {
  it('gives what the signer needs', () => {
    const der = responderCertificate(ca, key);
    const certificate = loadResponderCertificate(der);
    assert.equal(certificate.id, createHash('sha256').update(der).digest('hex').slice(0, 8));
    assert.deepEqual(certificate.keyHash, keyIdOf(key));
    assert.equal(certificate.keyType, 'RSA-2048');
    assert.equal(certificate.notBefore, NOW - DAY);
    assert.equal(certificate.notAfter, NOW + 89 * DAY - SECOND);
    assert.equal(certificate.delegated, true);
    assert.ok(certificate.publicKey.equals(key.publicKey));
  });
});

describe('checkResponderCertificate', () => {
  it('finds nothing in a certificate of the profile', () => {
    assert.deepEqual(changed({}), []);
    const [ecCa, ecResponder] = [ecKey(), ecKey()];
    const der = responderCertificate(ecCa, ecResponder);
    assert.deepEqual(findings(der, PROFILE, NOW, loadIssuer([caCertificate(ecCa)], 'ca')), []);
  });

  it('counts 125 days inclusively: the 10,800,000th second is the last (SR-6.3.2-b)', () => {
    const lasting = (seconds: number): string[] => changed({ notBefore: NOW, notAfter: NOW + (seconds - 1) * SECOND });
    assert.deepEqual(lasting(10_800_000), ['warning T-21']);
    assert.deepEqual(lasting(10_800_001), ['error SR-6.3.2-a']);
    assert.deepEqual(lasting(90 * 86_400), []);
    assert.deepEqual(lasting(90 * 86_400 + 1), ['warning T-21']);
  });

  it('judges its time: over is an error, not yet is a warning (T-18)', () => {
    const der = responderCertificate(ca, key);
    const { notBefore, notAfter } = loadResponderCertificate(der);
    assert.deepEqual(findings(der, CYBERTRUST, notAfter), []);
    assert.deepEqual(findings(der, CYBERTRUST, notAfter + 1), ['error R-10']);
    assert.deepEqual(findings(der, CYBERTRUST, notBefore), []);
    assert.deepEqual(findings(der, CYBERTRUST, notBefore - 1), ['warning R-11']);
  });

  const serial = (hex: string): Partial<write.CertificateDraft> => ({ serial: hex as Serial });
  const name = (cn: string, o = 'Example'): Buffer =>
    write.writeName([
      ['C', 'JP'],
      ['O', o],
      ['CN', cn],
    ]);
  const utf8Issuer = Buffer.from(CA_NAME);
  utf8Issuer[utf8Issuer.indexOf('Example CA') - 2] = 0x0c;
  const noCheck = (value: string, critical = false): Extension => ({
    oid: OID.ocspNoCheck,
    critical,
    value: Buffer.from(value, 'hex'),
  });
  const usage = write.keyUsageExtension('digitalSignature');
  const constraints = (value: string, critical: boolean): Extension => ({
    oid: OID.basicConstraints,
    critical,
    value: Buffer.from(value, 'hex'),
  });
  const defects: readonly (readonly [string, Partial<write.CertificateDraft>, readonly string[]])[] = [
    ['an issuer of another name', { issuerDer: name('Another CA') }, ['error R-01']],
    ['an issuer name re-encoded as UTF8String', { issuerDer: utf8Issuer }, ['error R-01']],
    ['serial number 0', serial('00'), ['error R-02']],
    ['a serial number of 7 octets', serial('01020304050607'), ['warning R-02']],
    ['nothing in one of 8 octets', serial('0102030405060708'), []],
    [
      'no country in the subject',
      {
        subjectDer: write.writeName([
          ['O', 'Example'],
          ['CN', 'x'],
        ]),
      },
      ['error R-04', 'error CT-B-OCSP-6'],
    ],
    [
      'a subject that is not "<CA> OCSP Responder"',
      { subjectDer: name('Example CA Responder') },
      ['error CT-B-OCSP-6'],
    ],
    ['no nocheck', extensions({ without: OID.ocspNoCheck }), ['error CT-4.9.9-d']],
    ['a critical nocheck', extensions(noCheck('0500', true)), ['error R-05']],
    ['a nocheck that is empty', extensions(noCheck('')), ['error R-05']],
    ['no extKeyUsage', extensions({ without: OID.extKeyUsage }), ['error R-05']],
    ['serverAuth besides OCSPSigning', extensions(write.extKeyUsage('OCSPSigning', 'serverAuth')), ['error R-05']],
    ['serverAuth instead of OCSPSigning', extensions(write.extKeyUsage('serverAuth')), ['error R-05']],
    ['a critical extKeyUsage', extensions({ ...write.extKeyUsage('OCSPSigning'), critical: true }), ['error R-05']],
    ['no keyUsage', extensions({ without: OID.keyUsage }), ['error CT-6.1.7-b']],
    ['a non-critical keyUsage', extensions({ ...usage, critical: false }), ['error CT-6.1.7-b']],
    [
      'cRLSign besides digitalSignature',
      extensions(write.keyUsageExtension('digitalSignature', 'cRLSign')),
      ['error CT-6.1.7-b'],
    ],
    ['non-critical basicConstraints', extensions(constraints('3000', false)), ['error R-08']],
    ['basicConstraints with an explicit FALSE', extensions(constraints('3003010100', true)), ['error R-08']],
    ['no basicConstraints', extensions({ without: OID.basicConstraints }), ['error CT-B-OCSP-8']],
    ['no authorityKeyIdentifier', extensions({ without: OID.authorityKeyIdentifier }), ['error R-05']],
    [
      'the key identifier of another key',
      extensions(write.authorityKeyIdentifierExtension(keyIdOf(key))),
      ['error CT-B-OCSP-12'],
    ],
    ['no subjectKeyIdentifier', extensions({ without: OID.subjectKeyIdentifier }), ['error CT-B-OCSP-13']],
    [
      'a subjectKeyIdentifier of another method',
      extensions(write.subjectKeyIdentifierExtension(Buffer.alloc(20))),
      ['error CT-B-OCSP-13'],
    ],
    ['subjectAltName', extensions(write.subjectAltName(['x.test'])), ['error R-06']],
    ['crlDistributionPoints', extensions(write.crlDistributionPoint('http://x.test/c.crl')), ['error R-06']],
    [
      'nameConstraints',
      extensions({ oid: OID.nameConstraints, critical: true, value: Buffer.from('3000', 'hex') }),
      ['error R-06'],
    ],
    ['authorityInfoAccess', extensions(write.authorityInfoAccess({ ocsp: 'http://x.test' })), ['error CT-B-OCSP-14']],
    [
      'an end after 2049',
      { notBefore: Date.UTC(2049, 11, 31), notAfter: Date.UTC(2050, 0, 2) },
      ['error CT-B-OCSP-5', 'warning R-11'],
    ],
  ];
  for (const [defect, change, expected] of defects) {
    it(`reports ${defect}`, () => assert.deepEqual(changed(change).sort(), [...expected].sort()));
  }

  it('is milder where only the Baseline Requirements speak', () => {
    assert.deepEqual(changed(extensions({ without: OID.basicConstraints }), PROFILE), []);
    assert.deepEqual(changed(extensions({ without: OID.subjectKeyIdentifier }), PROFILE), ['warning R-07']);
    const aia = write.authorityInfoAccess({ ocsp: 'http://x.test' });
    assert.deepEqual(changed(extensions(aia), PROFILE), ['warning R-07']);
    assert.deepEqual(changed(extensions({ ...aia, critical: true }), PROFILE), ['error R-07']);
  });

  it('reports a signature by another key, or of another algorithm than the key has', () => {
    const other = rsaKey();
    const forged = responderCertificate(other, key, { extensions: responderExtensions(ca, key) });
    assert.deepEqual(findings(forged), ['error R-01']);
    const byEc = responderCertificate(ecKey(), key, { extensions: responderExtensions(ca, key) });
    assert.deepEqual(findings(byEc), ['error R-01', 'error CT-B-OCSP-3']);
    const altered = responderCertificate(ca, key);
    altered[altered.length - 1] = (altered.at(-1) as number) ^ 1;
    assert.deepEqual(findings(altered), ['error R-01']);
  });

  it('permits the key types of the profile only (CT-6.1.5-b)', () => {
    const ec = ecKey();
    assert.deepEqual(findings(responderCertificate(ca, ec)), ['error CT-6.1.5-b']);
    assert.deepEqual(findings(responderCertificate(ca, ec), PROFILE), []);
    assert.deepEqual(findings(responderCertificate(ca, rsaKey(3072))), ['error CT-6.1.5-b']);
  });

  it('leaves no OpenSSL error behind when responder and CA have different kinds of key', () => {
    const ec = ecKey();
    const pkcs8 = ec.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const certificate = loadResponderCertificate(responderCertificate(ca, ec));
    const checks = [
      () => checkResponderCertificate(certificate, issuer, PROFILE, NOW),
      () => checkOcspKey(spkiOf(ec), certificate, issuer),
      () => checkCrlKey(spkiOf(ec), issuer),
    ];
    // createPrivateKey reports whatever error it finds waiting.
    for (const check of checks) {
      check();
      assert.doesNotThrow(() => createPrivateKey(pkcs8));
    }
  });

  it('reports a small RSA exponent (SR-6.1.6-a)', () => {
    assert.deepEqual(findings(responderCertificate(ca, rsaKey(2048, 3))), ['warning SR-6.1.6-a']);
  });

  describe('a CA that answers itself (T-20)', () => {
    const caWith = (...uses: readonly KeyUsageName[]): Buffer =>
      caCertificate(ca, { extensions: [write.basicConstraints(true), write.keyUsageExtension(...uses)] });

    it('is refused without digitalSignature', () => {
      const der = caWith('keyCertSign', 'cRLSign');
      assert.deepEqual(findings(der, PROFILE, NOW, loadIssuer([der], 'ca')), ['error T-20']);
    });

    it('is permitted with digitalSignature, where no CPS wants a delegate', () => {
      const der = caWith('digitalSignature', 'keyCertSign', 'cRLSign');
      const direct = loadIssuer([der], 'ca');
      assert.deepEqual(findings(der, PROFILE, NOW, direct), []);
      assert.deepEqual(findings(der, CYBERTRUST, NOW, direct), ['error CT-4.9.9-c']);
      assert.deepEqual(findings(der, { ...PROFILE, authorities: ['secom'] }, NOW, direct), ['error SR-6.1.7-d']);
    });

    it('is refused when the certificate is not one of the issuer, or a delegate shares the CA key', () => {
      const direct = loadIssuer([caWith('digitalSignature', 'keyCertSign', 'cRLSign')], 'ca');
      assert.deepEqual(findings(caCertificate(rsaKey()), PROFILE, NOW, direct), ['error T-20']);
      assert.deepEqual(findings(responderCertificate(ca, ca), PROFILE, NOW, direct), ['error T-20']);
      assert.deepEqual(findings(responderCertificate(ca, ca)), ['error T-20', 'error T-20', 'error CT-4.9.9-c']);
    });
  });
});

describe('keys and purposes (P7)', () => {
  const rules = (list: readonly { rule: string }[]): string[] => list.map(({ rule }) => rule);
  const certificate = loadResponderCertificate(responderCertificate(ca, key));

  it('lets only the CA key sign CRLs, and only with cRLSign', () => {
    assert.deepEqual(checkCrlKey(spkiOf(ca), issuer), []);
    assert.deepEqual(rules(checkCrlKey(spkiOf(key), issuer)), ['CT-6.1.7-a']);
    const certOnly = caCertificate(ca, {
      extensions: [write.basicConstraints(true), write.keyUsageExtension('keyCertSign')],
    });
    assert.deepEqual(rules(checkCrlKey(spkiOf(ca), loadIssuer([certOnly], 'ca'))), ['CT-6.1.7-a']);
  });

  it('lets only the key of the responder certificate sign answers', () => {
    assert.deepEqual(checkOcspKey(spkiOf(key), certificate, issuer), []);
    assert.deepEqual(rules(checkOcspKey(spkiOf(ca), certificate, issuer)), ['CT-6.1.7-a', 'T-20']);
    assert.deepEqual(rules(checkOcspKey(spkiOf(ecKey() satisfies KeyPair), certificate, issuer)), ['CT-6.1.7-a']);
  });
});
