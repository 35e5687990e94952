import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openSoftwareKey, softwarePublicKey } from '../../src/adapters/software-key/key-holder.ts';
import type { Problem } from '../../src/core/problem.ts';
import { keyHolderContract } from '../contracts/key-holder.ts';

const directory = mkdtempSync(join(tmpdir(), 'certstatus-key-'));
after(() => rmSync(directory, { recursive: true }));

function keyFile(name: string, contents: string, mode = 0o600): string {
  const file = join(directory, name);
  writeFileSync(file, contents);
  chmodSync(file, mode);
  return file;
}
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string;

let keys = 0;
keyHolderContract('software-key', (key, rsaHash) =>
  openSoftwareKey(keyFile(`contract-${++keys}`, key.export({ type: 'pkcs8', format: 'pem' }) as string), { rsaHash }),
);

describe('openSoftwareKey', () => {
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

  it('makes urgent signatures before all of a batch that have not begun', async () => {
    const key = await openSoftwareKey(keyFile('priorities', rsa));
    const order: string[] = [];
    const tbs = [Buffer.from('to be signed')];
    const bulk = Promise.all(Array.from({ length: 40 }, () => key.sign(tbs, 'bulk').then(() => order.push('bulk'))));
    await key.sign(tbs, 'urgent').then(() => order.push('urgent'));
    await bulk;
    await key.close();
    // Four were under way when it came; its own thread may be slow, so that some more end before it. In its turn it would be the last.
    assert.ok(order.indexOf('urgent') < 30, order.join());
    assert.equal(order.length, 41);
  });

  it('neither waits for a FIFO nor reads a device to its end: the path may have come with a request', async () => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const huge = keyFile('huge', rsa + '\n'.repeat(64 << 10));
    for (const [file, why] of [
      [fifo, /not a regular file/],
      ['/dev/zero', /not a regular file/],
      [directory, /not a regular file/],
      [huge, /more than 65536 octets/],
    ] as const) {
      const refused = (error: Problem): boolean => error.code === 'config' && why.test(error.message);
      await assert.rejects(openSoftwareKey(file), refused);
      assert.throws(() => softwarePublicKey(file), refused);
    }
  });
});
