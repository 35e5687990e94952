/** The real roots that Debian installs, under their presets: CertIDs as computed by others, and refusal where the preset knows better. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { Service } from '../support/service.ts';

const DIRECTORY = '/usr/share/ca-certificates/mozilla';
/** issuerNameHash and issuerKeyHash with SHA-1 and SHA-256: requirements 2.2. */
const ROOTS = [
  {
    preset: 'secom-sc-rootca2',
    file: `${DIRECTORY}/Security_Communication_RootCA2.crt`,
    host: 'repository.secomtrust.net',
    path: '/SC-Root2/SCRoot2ca.cer',
    sha1: ['f20ef3e3718f19d130d9cc7a2dc303161cb29cd0', '0a85a9776505987c4081f80f972c38f10aec3ccf'],
    sha256: [
      'b46c4c6a33058db6efd50ce4ad4d405d8bfb10c41b93de7dd11ec105ab50e0ff',
      '3c65db9ccdacaca9e48aec0641b17cb7b18633b7e779e9f2781865ac424f3ead',
    ],
  },
  {
    preset: 'secom-sc-rootca3',
    file: `${DIRECTORY}/Security_Communication_RootCA3.crt`,
    host: 'repository.secomtrust.net',
    path: '/SC-Root3/SCRoot3ca.cer',
    sha1: ['d15b36ca0236ebff9edd0c41d2e625ed9a00857f', '64147cfc587216a60a2934156f2acbbcfcafa8ab'],
    sha256: [
      'd13bfdcc8f9c8a0096f1f13493ed8adf928476ee3ed5179f7311cc435e4f0265',
      'ed94bc3a0afa4c145d1db08b1fb3d36ca9c5cb6011d8bc2a063ee84b2b44550c',
    ],
  },
  {
    preset: 'secom-sc-ecc-rootca1',
    file: `${DIRECTORY}/Security_Communication_ECC_RootCA1.crt`,
    host: 'repository.secomtrust.net',
    path: '/SC-ECC-Root1/SCECCRoot1ca.cer',
    sha1: ['f5042d4a785f7dab303cd2dc815d90dee6995f09', '861ce7fe2da54a8b08fe2811fabea366f860592f'],
    sha256: [
      '3f769fe0d0db91ee78bc35fe4b93d14bfbf1ce61ed5f4744e1ce41ca17cb64dd',
      '4403d24fb339d9339136815b04ad2011de4e213c404875d12ccd97777437df06',
    ],
  },
] as const;
/** What the CPS leaves to a CP, and the preset therefore to the operator (SR-4.9). */
const TIMING = ['--ocsp-validity', '4d', '--ocsp-refresh-after', '1d', '--crl-period', '30d', '--crl-validity', '60d'];
/** Requests for two subordinate CAs of RootCA2 as OpenSSL makes them (requirements 2.5); the second has a `/` in it. */
const VECTORS = [
  'MFEwTzBNMEswSTAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CECK5saEtkfGBrXp7bb6zjqc=',
  'MEowSDBGMEQwQjAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CCSK5sWSIvOaV/A==',
];

describe('the SECOM roots', existsSync(ROOTS[0].file) ? {} : { skip: 'ca-certificates is not installed' }, () => {
  let service: Service;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
  });
  after(() => service.remove());

  it('are refused without the timing that no document gives', async () => {
    const { code, stderr } = await service.run(
      'issuer',
      'add',
      'root2',
      '--preset',
      ROOTS[0].preset,
      '--ca',
      ROOTS[0].file,
    );
    assert.equal(code, 1);
    assert.match(stderr, /validity/);
  });

  it('are refused under the preset of another', async () => {
    const { code, stderr } = await service.run(
      'issuer',
      'add',
      'wrong',
      '--preset',
      ROOTS[1].preset,
      '--ca',
      ROOTS[0].file,
      ...TIMING,
    );
    assert.equal(code, 1);
    assert.match(stderr, /caCertificates/);
  });

  it('are refused an online CRL key (SR-6.1.7)', async () => {
    const { code, stderr } = await service.run(
      'issuer',
      'add',
      'online',
      '--preset',
      ROOTS[0].preset,
      '--ca',
      ROOTS[0].file,
      '--crl-key',
      '/nowhere/ca.key',
      ...TIMING,
    );
    assert.equal(code, 1);
    assert.match(stderr, /never online/);
  });

  for (const { preset, file, sha1, sha256 } of ROOTS) {
    it(`${preset} loads, with the CertIDs that others computed`, async () => {
      const added = await service.run('issuer', 'add', preset, '--preset', preset, '--ca', file, ...TIMING);
      assert.equal(added.code, 0, added.stderr);
      const shown = (await service.json('issuer', 'show', preset)) as {
        certId: Record<'sha1' | 'sha256', { issuerNameHash: string; issuerKeyHash: string }>;
      };
      for (const [hash, [issuerNameHash, issuerKeyHash]] of [
        ['sha1', sha1],
        ['sha256', sha256],
      ] as const) {
        assert.deepEqual(shown.certId[hash], { issuerNameHash, issuerKeyHash });
      }
    });
  }

  it('serves their certificates at their URLs, and no answer about what it does not know', async () => {
    await service.start();
    for (const { file, host, path } of ROOTS) {
      const { status, headers, body } = await service.get(path, 'public', { host });
      assert.deepEqual([status, headers['content-type']], [200, 'application/pkix-cert']);
      assert.ok(body.equals(new X509Certificate(readFileSync(file)).raw));
    }
    for (const vector of VECTORS) {
      // Clients of a base URL that ends in `/` send two slashes.
      for (const path of [`/${vector}`, `//${vector}`, `/${encodeURIComponent(vector)}`]) {
        const { status, body } = await service.get(path, 'public', { host: 'scrootca2.ocsp.secomtrust.net' });
        assert.deepEqual([status, body.toString('hex')], [200, '30030a0106'], path);
      }
      const explained = (await service.json('explain', vector)) as { answer: string };
      assert.equal(explained.answer, 'unauthorized');
    }
  });
});
