import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseKeyReference, shownReference } from '../../src/core/key-reference.ts';
import { Problem } from '../../src/core/problem.ts';

describe('key references', () => {
  it('repeat no PIN, wherever and however wrongly it stands there', () => {
    for (const text of [
      'pkcs11:token=a;object=x?pin-value=S3CRET',
      'pkcs11:token=a;object=x;pin-value=S3CRET',
      'pkcs11:token=a?module-path=/m.so&pin-value=S3;CR?ET S3CRET',
      'pkcs11:pin-source=/S3CRET;token=a',
      ' PKCS11:token=a;object=x?PIN-value=S3CRET',
    ]) {
      const refused = (error: Problem): boolean => error instanceof Problem && !/S3|CRET/.test(error.line);
      assert.throws(() => parseKeyReference(text, 'key'), refused);
      assert.doesNotMatch(shownReference(text), /S3|CRET/);
    }
    assert.equal(parseKeyReference('pkcs11:token=a;object=pin-value', 'key').kind, 'pkcs11');
    assert.equal(shownReference('pkcs11:token=a;object=x'), 'pkcs11:token=a;object=x');
  });
});
