import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../src/apps/cli.js', import.meta.url));

describe('a value of an option that is none', () => {
  for (const [option, value, said] of [
    ['--roles', 'nonsense', /'nonsense' is invalid\. No such role: nonsense; there are intake, signer/],
    ['--public-port', '65536', /'65536' is invalid\. Not a port number/],
  ] as const) {
    it(`is named, with what it should be: ${option} ${value}`, () => {
      const { status, stderr } = spawnSync(process.execPath, [CLI, 'serve', option, value], { encoding: 'utf8' });
      assert.equal(status, 2);
      assert.match(stderr, said);
    });
  }
});
