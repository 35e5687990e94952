import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';

const MODULE = resolve(import.meta.dirname, '../../src/apps/private-process.js');

/** In a process of its own, whose limits the kernel has set. */
function ways(limit: string, ...options: readonly string[]): readonly string[] {
  const script = `import(${JSON.stringify(MODULE)}).then(({ waysOutOfMemory }) => console.log(JSON.stringify(waysOutOfMemory())))`;
  const args = [`--core=${limit}`, process.execPath, ...options, '-e', script];
  const { status, stdout, stderr } = spawnSync('prlimit', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as readonly string[];
}

describe('ways out of memory', () => {
  it('are none with LimitCORE=0', () => {
    assert.deepEqual(ways('0:0'), []);
  });

  it('are a core file, as soon as the kernel would write one (CT-6.2.2)', () => {
    assert.match(ways('4096:4096').join(), /^a crash writes .* \(limit 4096\): set LimitCORE=0, or ulimit -c 0$/);
  });

  it('are what Node itself writes on request', () => {
    for (const option of ['--report-on-fatalerror', '--heapsnapshot-signal=SIGUSR2', '--inspect=127.0.0.1:0']) {
      const [way, ...others] = ways('0:0', option);
      assert.deepEqual(others, []);
      assert.ok(way?.includes(`started with ${option}`), way);
    }
    assert.deepEqual(ways('0:0', '--max-old-space-size=512'), []);
  });
});
