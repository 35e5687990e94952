/** What a change of responder certificates does to issuer.yaml, which belongs to the operator. */
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { responderFiles } from '../../src/apps/responder-files.ts';
import { loadResponderCertificate } from '../../src/core/responder-certificate.ts';
import { DAY } from '../../src/core/time.ts';
import type { ResponderFiles } from '../../src/flows/sign/change-responder.ts';
import { ecKey, responderCertificate } from '../core/sample-pki.ts';
import { START } from '../flows/support-service.ts';

const SPAN = { notBefore: START - DAY, notAfter: START + 60 * DAY };
const [ca, key] = [ecKey(), ecKey()];
const certificate = loadResponderCertificate(responderCertificate(ca, key, SPAN));
const HEAD = 'preset: baseline # ours\ncaCertificates: [ca.pem]\n';

describe('issuer.yaml and responder certificates', () => {
  let data: string;
  let file: string;
  let files: ResponderFiles;

  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), 'certstatus-files-'));
    mkdirSync(join(data, 'issuers', 'a'), { recursive: true });
    file = join(data, 'issuers', 'a', 'issuer.yaml');
    files = responderFiles(data);
  });
  afterEach(() => rmSync(data, { recursive: true }));

  const text = (): string => readFileSync(file, 'utf8');
  const install = (): boolean => {
    files.keep('a', certificate);
    return files.name('a', certificate, ['next.key']);
  };

  it('keeps comments, mode and a symbolic link', () => {
    const real = join(data, 'managed.yaml');
    writeFileSync(real, `${HEAD}responders:\n  # the first one\n  - { certificate: old.pem, key: old.key }\n`);
    chmodSync(real, 0o640);
    symlinkSync(real, file);
    assert.equal(install(), true);
    assert.equal(install(), false);
    files.retire('a', certificate.id, 'answers');
    assert.ok(lstatSync(file).isSymbolicLink(), 'the operator edits what lies behind it');
    assert.equal(statSync(real).mode & 0o777, 0o640);
    assert.match(text(), /# ours[^]*# the first one[^]*old\.pem[^]*responder-[0-9a-f]{8}\.pem[^]*use: answers/);
  });

  it('takes CRLF', () => {
    writeFileSync(
      file,
      `${HEAD}responders:\n  - certificate: old.pem\n    key: old.key # here\n    use: answers\n`.replaceAll(
        '\n',
        '\r\n',
      ),
    );
    assert.equal(install(), true);
    assert.match(text(), /old\.pem[^]*# here[^]*next\.key/);
    assert.equal(install(), false);
  });

  it('retires one that it does not name: the operator took it out already', () => {
    writeFileSync(file, `${HEAD}responders: []\n`);
    const before = text();
    files.retire('a', certificate.id, 'nothing');
    assert.equal(text(), before);
    writeFileSync(file, `${HEAD}responders:\n  - { certificate: gone.pem, key: old.key }\n`);
    assert.throws(() => files.retire('a', certificate.id, 'nothing'), /may be the certificate that is to be retired/);
  });
});
