import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openSoftwareKey } from '../../src/adapters/software-key/key-holder.ts';
import type { Problem } from '../../src/core/problem.ts';

const directory = mkdtempSync(join(tmpdir(), 'certstatus-key-'));
after(() => rmSync(directory, { recursive: true }));

function keyFile(name: string, contents: string, mode = 0o600): string {
  const file = join(directory, name);
  writeFileSync(file, contents);
  chmodSync(file, mode);
  return file;
}
const ec = (namedCurve: string): string =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'sec1', format: 'pem' }) as string;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string;

/** OpenSSL decides whether the signature holds. */
function opensslAccepts(spki: Buffer, hash: string, tbs: Buffer, signature: Buffer): boolean {
  const [key, sig, message] = ['spki.pem', 'sig', 'tbs'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(
    key,
    createPublicKey({ key: spki, format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' }),
  );
  writeFileSync(sig, signature);
  writeFileSync(message, tbs);
  try {
    return /Verified OK/.test(
      execFileSync('openssl', ['dgst', `-${hash}`, '-verify', key, '-signature', sig, message], {
        stdio: 'pipe',
      }).toString(),
    );
  } catch {
    return false;
  }
}

describe('openSoftwareKey', () => {
  for (const [name, pem, rsaHash, algorithm, hash] of [
    ['rsa', rsa, undefined, 'sha256WithRSAEncryption', 'sha256'],
    ['rsa-384', rsa, 'sha384', 'sha384WithRSAEncryption', 'sha384'],
    ['p256', ec('P-256'), undefined, 'ecdsa-with-SHA256', 'sha256'],
    ['p384', ec('P-384'), undefined, 'ecdsa-with-SHA384', 'sha384'],
  ] as const) {
    it(`signs with ${name} in order, as OpenSSL verifies`, async () => {
      const holder = await openSoftwareKey(keyFile(name, pem), rsaHash && { rsaHash });
      assert.equal(holder.algorithm.name, algorithm);
      const items = Array.from({ length: 5 }, (_, index) => Buffer.from(`to be signed ${index}`));
      const results = await holder.sign(items, 'bulk');
      assert.equal(results.length, items.length);
      for (const [index, result] of results.entries()) {
        assert.ok(result.ok);
        assert.ok(opensslAccepts(holder.publicKey, hash, items[index] as Buffer, result.signature));
        assert.ok(!opensslAccepts(holder.publicKey, hash, Buffer.from('something else'), result.signature));
      }
      await holder.close();
      await assert.rejects(holder.sign(items, 'bulk'), (error: Problem) => error.code === 'unavailable');
    });
  }

  it('says that it is for development, and warns of a file that others can read, but opens it', async () => {
    const warnings: string[] = [];
    const warn = (message: string): number => warnings.push(message);
    await (await openSoftwareKey(keyFile('closed', rsa, 0o600), { warn })).close();
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /development only/);
    const open = keyFile('open', rsa, 0o644);
    await (await openSoftwareKey(open, { warn })).close();
    assert.equal(warnings.length, 3);
    assert.ok(warnings[2]?.includes(open) && warnings[2].includes('644'));
  });

  it('names the file when it cannot be used, and never shows what is in it', async () => {
    const refused = (file: string) => (error: Problem) =>
      error.code === 'config' && error.field === file && !error.line.includes('SECRET');
    const missing = join(directory, 'missing');
    await assert.rejects(openSoftwareKey(missing), refused(missing));
    const garbage = keyFile('garbage', '-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n');
    await assert.rejects(openSoftwareKey(garbage), refused(garbage));
    const encrypted = keyFile(
      'encrypted',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-128-cbc',
        passphrase: 'x',
      }) as string,
    );
    await assert.rejects(openSoftwareKey(encrypted), refused(encrypted));
    const ed25519 = keyFile(
      'ed25519',
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    );
    await assert.rejects(openSoftwareKey(ed25519), refused(ed25519));
  });
});
