import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keyMaterial, readManifest } from '../../src/core/backup/manifest.ts';

const FILE = { path: 'crl/0a/1.crl', octets: 3, sha256: 'ab'.repeat(32) };
const GOOD = { format: 1, version: '1', name: 'x', takenAt: '2026-11-21T00:00:00Z', files: [FILE], leftOut: [] };
const reading = (change: object) => () => readManifest(JSON.stringify({ ...GOOD, ...change }));

describe('the manifest of a backup', () => {
  it('is read as it was written', () => {
    assert.deepEqual(readManifest(JSON.stringify(GOOD)), GOOD);
  });

  it('is refused in another format, or damaged', () => {
    assert.throws(reading({ format: 2 }), /has format 2; this version reads format 1/);
    assert.throws(() => readManifest('{'), /is no JSON/);
    assert.throws(() => readManifest('null'), /has format undefined/);
    assert.throws(reading({ files: undefined }), /lists no files/);
    assert.throws(reading({ files: [{ ...FILE, sha256: 'AB' }] }), /no size and digest for crl\/0a\/1\.crl/);
    assert.throws(reading({ files: [{ ...FILE, octets: -0.5 }] }), /no size and digest/);
  });

  it('names no file outside the backup', () => {
    for (const path of ['/etc/passwd', '../x', 'a/../../x', 'a//b', './a', 'a/./b', '', 'a\\b', 7])
      assert.throws(reading({ files: [{ ...FILE, path }] }), /names a file outside the backup/, String(path));
  });
});

describe('what never is in a backup (CT-6.2.5)', () => {
  it('are private keys, by name or contents', () => {
    const pem = Buffer.from('-----BEGIN EC PRIVATE KEY-----\n');
    assert.match(keyMaterial('issuers/a/ca.pem', pem) ?? '', /by its contents/);
    assert.match(
      keyMaterial('issuers/a/ca.pem', Buffer.concat([Buffer.alloc(5000, 0x41), pem])) ?? '',
      /by its contents/,
    );
    for (const name of ['a.key', 'b/C.KEY', 'x.p12', 'x.pfx', 'x.p8'])
      assert.match(keyMaterial(name, Buffer.alloc(0)) ?? '', /by its name/);
    assert.equal(keyMaterial('issuers/a/ca.pem', Buffer.from('-----BEGIN CERTIFICATE-----\n')), undefined);
  });
});
