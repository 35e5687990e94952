import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileDigest } from '../../src/adapters/crl-archive/file-digest.ts';
import { Problem } from '../../src/core/problem.ts';

const SMALL = 300_001;
const LARGE = 5_000_003;

describe('fileDigest', () => {
  let dir: string;
  before(() => (dir = mkdtempSync(join(tmpdir(), 'certstatus-digest-'))));
  after(() => rmSync(dir, { recursive: true }));

  it('is what OpenSSL says, on this thread and on its own, of several files at once', async () => {
    const sizes = [0, 1, SMALL, LARGE, LARGE + 1];
    const digests = await Promise.all(
      sizes.map(async (size) => {
        const path = join(dir, String(size));
        writeFileSync(path, randomBytes(size));
        const file = await open(path, 'r');
        const digest = await fileDigest(file, path, size).finally(() => file.close());
        const told = execFileSync('openssl', ['dgst', '-sha256', '-r', path], { encoding: 'utf8' });
        return digest === told.slice(0, 64);
      }),
    );
    assert.deepEqual(
      digests,
      sizes.map(() => true),
    );
  });

  it('names a file that is shorter, and goes on with the next', async () => {
    const path = join(dir, 'short');
    writeFileSync(path, randomBytes(LARGE));
    const file = await open(path, 'r');
    for (const size of [LARGE + 1, 2 * LARGE])
      await assert.rejects(
        fileDigest(file, path, size),
        (error) => error instanceof Problem && error.code === 'corrupt' && error.field === path,
      );
    assert.match(await fileDigest(file, path, LARGE), /^[0-9a-f]{64}$/);
    await file.close();
  });
});
