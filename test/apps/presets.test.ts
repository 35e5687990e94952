import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  checkIdentity,
  compareFingerprints,
  leftToOperator,
  loadPreset,
  presetIds,
  profileOf,
  type TimingOverrides,
} from '../../src/apps/presets.ts';
import { deployFile } from '../../src/apps/deploy-file.ts';
import { certificatesFromFile } from '../../src/core/certificate-reader.ts';
import * as write from '../../src/core/certificate-writer.ts';
import { type Issuer, loadIssuer } from '../../src/core/issuer.ts';
import { checkProfile } from '../../src/core/policy/limits.ts';
import type { Problem } from '../../src/core/problem.ts';
import { DAY } from '../../src/core/time.ts';
import { presetsPage } from '../support/presets-page.ts';
import { CA_NAME, caCertificate, ecKey, rsaKey } from '../core/sample-pki.ts';

const none = { ocsp: {}, crl: {} };
type Attributes = Parameters<typeof write.writeName>[0];

describe('the presets', () => {
  it('are these sixteen', () => {
    assert.deepEqual(presetIds(), [
      'baseline',
      'code-signing',
      'cybertrust-sureserver-ca-g4',
      'cybertrust-sureserver-ev-ca-g3',
      'demo',
      'offline-root',
      'secom-document-signing-rsa-root-ca-2023',
      'secom-rsa-root-ca-2023',
      'secom-sc-ecc-rootca1',
      'secom-sc-rootca2',
      'secom-sc-rootca3',
      'secom-smime-rsa-root-ca-2024',
      'secom-tls-ecc-root-ca-2024',
      'secom-tls-rsa-root-ca-2024',
      'smime',
      'timestamping',
    ]);
    for (const id of presetIds()) assert.equal(loadPreset(id, 'preset').id, id);
  });

  for (const id of [
    'baseline',
    'code-signing',
    'demo',
    'smime',
    'timestamping',
    'offline-root',
    'cybertrust-sureserver-ca-g4',
    'cybertrust-sureserver-ev-ca-g3',
  ]) {
    it(`${id} keeps every limit of its authorities, without a warning`, () => {
      assert.deepEqual(
        checkProfile(profileOf(loadPreset(id, 'preset'), none, 'preset'), { everyCertificateNamesOcsp: false }),
        [],
      );
    });
  }

  const TIMING = ['ocsp.validity', 'ocsp.refreshAfter', 'crl.period', 'crl.validity'];
  const URLS = ['urls.ocsp', 'urls.crl', 'urls.caCertificate'];
  const given = {
    ocsp: { validity: 30 * DAY, refreshAfter: 7 * DAY },
    crl: { period: 20 * DAY, validity: 30 * DAY },
    urls: { ocsp: [{ path: '/' }], crl: [{ path: '/a.crl' }], caCertificate: [{ path: '/a.crt' }] },
  };
  for (const [id, silentAbout] of [
    ['secom-sc-rootca2', TIMING],
    ['secom-sc-rootca3', TIMING],
    ['secom-sc-ecc-rootca1', TIMING],
    ['secom-rsa-root-ca-2023', [...TIMING, ...URLS]],
    ['secom-document-signing-rsa-root-ca-2023', [...TIMING, ...URLS]],
    ['secom-tls-rsa-root-ca-2024', [...TIMING, ...URLS]],
    ['secom-tls-ecc-root-ca-2024', [...TIMING, ...URLS]],
    ['secom-smime-rsa-root-ca-2024', [...TIMING, ...URLS]],
  ] as const) {
    it(`${id} names all that it refuses to guess, and keeps every limit once it is given (SR-4.9)`, () => {
      const preset = loadPreset(id, 'preset');
      assert.deepEqual(leftToOperator(preset), silentAbout);
      const refused = (overrides: TimingOverrides): string[] => {
        try {
          profileOf(preset, overrides, 'preset');
          return [];
        } catch (error) {
          const { code, rule, message } = error as Problem;
          assert.deepEqual([code, rule], ['config', 'SR-4.9']);
          return [...message.matchAll(/[a-z]+\.[A-Za-z]+ \(--/g)].map(([found]) => found.slice(0, -' (--'.length));
        }
      };
      assert.deepEqual(refused(none), silentAbout);
      assert.deepEqual(refused({ ...given, crl: { period: DAY } }), ['crl.validity']);
      const profile = profileOf(preset, given, 'preset');
      assert.deepEqual(checkProfile(profile, { everyCertificateNamesOcsp: false }), []);
    });
  }

  it('let issuer.yaml override what they give', () => {
    const profile = profileOf(
      loadPreset('baseline', 'preset'),
      { ocsp: { validity: 2 * DAY }, crl: { invalidityDate: 'revocation-date' } },
      'preset',
    );
    assert.equal(profile.ocsp.validityMs, 2 * DAY);
    assert.equal(profile.ocsp.refreshAfterMs, DAY);
    assert.equal(profile.crl.invalidityDate, 'revocation-date');
  });

  it('leave nonces unanswered until issuer.yaml says otherwise (N-08)', () => {
    const of = (ocsp: Parameters<typeof profileOf>[1]['ocsp']): unknown => {
      const { nonce, live } = profileOf(loadPreset('baseline', 'preset'), { ocsp, crl: {} }, 'preset').ocsp;
      return [nonce, live];
    };
    for (const id of presetIds()) assert.equal(loadPreset(id, 'preset').ocsp.nonce, undefined);
    assert.deepEqual(of({}), ['ignore', { perSecond: 20, waiting: 64 }]);
    assert.deepEqual(of({ nonce: 'live', live: { perSecond: 100, waiting: 8 } }), [
      'live',
      { perSecond: 100, waiting: 8 },
    ]);
  });

  it('are refused by any other name, path tricks included', () => {
    for (const id of ['basline', '../presets/baseline', '']) {
      assert.throws(
        () => loadPreset(id, 'preset'),
        (error: Problem) =>
          error.code === 'config' && error.field === 'preset' && /baseline, code-signing, cyber/.test(error.message),
      );
    }
  });
});

describe('the identity in a preset', () => {
  const CYBERTRUST = [
    // SHA-256 of the DER name, from the CA's clients: a second hash that the preset does not hold.
    ['cybertrust-sureserver-ev-ca-g3', '8ad10a296c922878641dd04182b2390b578cd00a9102b9ca3f293bd754ceb586'],
    ['cybertrust-sureserver-ca-g4', '6893a3c887380887f151fbdf933d6f9e514b2dd85f5f22507f180e881b1bbcb2'],
  ] as const;
  const rsa = rsaKey();
  const issuerOf = (subjectDer: Buffer, keyId: string, key = rsa): Issuer => {
    const extensions = [write.basicConstraints(true), write.subjectKeyIdentifierExtension(Buffer.from(keyId, 'hex'))];
    return loadIssuer([caCertificate(key, { issuerDer: subjectDer, subjectDer, extensions })], 'ca');
  };

  for (const [id, sha256] of CYBERTRUST) {
    it(`of ${id} is that of the real CA name`, () => {
      const preset = loadPreset(id, 'preset');
      const { subject, keyId = '', nameHashSha1 } = preset.issuer as NonNullable<typeof preset.issuer>;
      const attributes = Object.entries(subject) as unknown as Attributes;
      const der = write.writeName(attributes);
      assert.equal(createHash('sha1').update(der).digest('hex'), nameHashSha1);
      assert.equal(createHash('sha256').update(der).digest('hex'), sha256);
      assert.deepEqual(checkIdentity(preset, issuerOf(der, keyId), 'ca'), []);

      const fields = (issuer: Issuer): string[] => checkIdentity(preset, issuer, 'ca').map((problem) => problem.line);
      assert.match(
        fields(issuerOf(der, '00'.repeat(20))).join(),
        /^ca = 0{40}: .*subjectKeyIdentifier is [0-9A-F]{40} \(T-11\)$/,
      );
      const reordered = write.writeName([...attributes].reverse());
      assert.match(fields(issuerOf(reordered, keyId)).join(), /its name is C=JP, O=Cybertrust/);
      const utf8 = Buffer.from(der);
      utf8[utf8.indexOf('Cybertrust Japan SureServer') - 2] = 0x0c;
      assert.match(fields(issuerOf(utf8, keyId)).join(), /its issuerNameHash is/);
      assert.deepEqual(fields(issuerOf(der, keyId, ecKey())), [
        'ca = P-256: a CA key of the preset is RSA-2048 (CT-6.1.5-a)',
      ]);
      const [warning] = compareFingerprints(preset, issuerOf(der, keyId));
      assert.match(warning?.message ?? '', /is none of [0-9A-F]{64}, [0-9A-F]{64}: compare/);
    });
  }

  for (const [id, file] of [
    ['secom-sc-rootca2', 'Security_Communication_RootCA2'],
    ['secom-sc-rootca3', 'Security_Communication_RootCA3'],
    ['secom-sc-ecc-rootca1', 'Security_Communication_ECC_RootCA1'],
  ] as const) {
    const path = `/usr/share/ca-certificates/mozilla/${file}.crt`;
    it(`of ${id} fits the real root and no other`, { skip: !existsSync(path) && 'no ca-certificates here' }, () => {
      const issuer = loadIssuer(certificatesFromFile(readFileSync(path)), file);
      assert.deepEqual(checkIdentity(loadPreset(id, 'preset'), issuer, 'ca'), []);
      const other = id === 'secom-sc-rootca2' ? 'secom-sc-rootca3' : 'secom-sc-rootca2';
      assert.ok(checkIdentity(loadPreset(other, 'preset'), issuer, 'ca').length > 0);
      assert.deepEqual(compareFingerprints(loadPreset(id, 'preset'), issuer), []);
    });
  }

  it('of a root names the algorithm that its own certificate is signed with (SR-6.1.5)', () => {
    const preset = loadPreset('secom-tls-ecc-root-ca-2024', 'preset');
    const name = write.writeName(Object.entries(preset.issuer?.subject ?? {}) as unknown as Attributes);
    assert.deepEqual(checkIdentity(preset, issuerOf(name, '01', ecKey('P-384')), 'ca'), []);
    const lines = (key = ecKey('P-256')): string => checkIdentity(preset, issuerOf(name, '01', key), 'ca').join();
    assert.match(lines(), /a CA key of the preset is P-384/);
    const rsa4096 = loadPreset('secom-tls-rsa-root-ca-2024', 'preset');
    const named = write.writeName(Object.entries(rsa4096.issuer?.subject ?? {}) as unknown as Attributes);
    // The writer of the tests signs with SHA-256.
    assert.deepEqual(
      checkIdentity(rsa4096, issuerOf(named, '01', rsaKey(4096)), 'ca').map(({ line }) => line),
      ['ca = sha256WithRSAEncryption: the CA certificate is signed with sha384WithRSAEncryption (SR-6.1.5)'],
    );
  });

  it('says that the fingerprint of the TLS ECC root is printed with a digit too many', () => {
    const preset = loadPreset('secom-tls-ecc-root-ca-2024', 'preset');
    const [about] = compareFingerprints(preset, issuerOf(CA_NAME, '01', ecKey('P-384')));
    assert.match(about?.message ?? '', /6AB2AB75F51CB4F4F0156203FBF6F646.* \(001 §1\.1 prints 65 digits/);
  });

  it('may be absent: any CA', () => {
    assert.deepEqual(
      checkIdentity(loadPreset('baseline', 'preset'), issuerOf(write.writeName([['CN', 'x']]), '01'), 'ca'),
      [],
    );
  });
});

describe('deploy/guide/presets.md', () => {
  it('is what the presets say; node dist/test/support/write-presets-page.js writes it anew', () => {
    assert.equal(readFileSync(deployFile('guide', 'presets.md'), 'utf8'), presetsPage());
  });
});

describe('the URL layout', () => {
  it('of the known CAs is what their certificates name', () => {
    const url = (id: string, kind: 'ocsp' | 'crl' | 'caCertificate'): string =>
      (loadPreset(id, 'preset').urls[kind] ?? []).map(({ host, path }) => `http://${host}${path}`).join();
    assert.equal(url('cybertrust-sureserver-ev-ca-g3', 'ocsp'), 'http://evocsp.cybertrust.ne.jp/OcspServer');
    assert.equal(url('cybertrust-sureserver-ev-ca-g3', 'crl'), 'http://crl.cybertrust.ne.jp/SureServer/evcag3/cdp.crl');
    assert.equal(
      url('cybertrust-sureserver-ev-ca-g3', 'caCertificate'),
      'http://crl.cybertrust.ne.jp/SureServer/evcag3/evcag3.crt',
    );
    assert.equal(url('cybertrust-sureserver-ca-g4', 'ocsp'), 'http://ssocsp.cybertrust.ne.jp/OcspServer');
    assert.equal(url('cybertrust-sureserver-ca-g4', 'crl'), 'http://crl.cybertrust.ne.jp/SureServer/ovcag4/cdp.crl');
    assert.equal(
      url('cybertrust-sureserver-ca-g4', 'caCertificate'),
      'http://crl.cybertrust.ne.jp/SureServer/ovcag4/ovcag4.crt',
    );
    assert.equal(url('secom-sc-rootca2', 'ocsp'), 'http://scrootca2.ocsp.secomtrust.net/');
    assert.equal(url('secom-sc-rootca2', 'crl'), 'http://repository.secomtrust.net/SC-Root2/SCRoot2CRL.crl');
    assert.equal(url('secom-sc-rootca2', 'caCertificate'), 'http://repository.secomtrust.net/SC-Root2/SCRoot2ca.cer');
    assert.equal(url('secom-sc-rootca3', 'crl'), 'http://repository.secomtrust.net/SC-Root3/SCRoot3CRL.crl');
    assert.equal(url('secom-sc-ecc-rootca1', 'ocsp'), 'http://sceccrootca1.ocsp.secomtrust.net/');
    assert.equal(
      url('secom-sc-ecc-rootca1', 'caCertificate'),
      'http://repository.secomtrust.net/SC-ECC-Root1/SCECCRoot1ca.cer',
    );
  });
});
