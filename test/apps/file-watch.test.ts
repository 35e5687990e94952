import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FileWatch, LOOK_MS } from '../../src/apps/file-watch.ts';
import { TurnedClock } from '../flows/clock.ts';

describe('FileWatch', () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-watch-'));
  after(() => rmSync(directory, { recursive: true }));

  function watching(...names: readonly string[]): { look: () => number; watch: FileWatch } {
    const clock = new TurnedClock(0);
    let changes = 0;
    const files = names.map((name) => join(directory, name));
    const watch = new FileWatch(clock, () => files, () => void (changes += 1)); // prettier-ignore
    watch.start();
    return { look: () => (clock.turn(LOOK_MS), changes), watch };
  }

  it('tells of a change once, when it is over', () => {
    writeFileSync(join(directory, 'a.pem'), 'one');
    writeFileSync(join(directory, 'a.key'), 'one');
    const { look } = watching('a.pem', 'a.key');
    assert.deepEqual([look(), look()], [0, 0]);
    writeFileSync(join(directory, 'a.pem'), 'second');
    assert.equal(look(), 0, 'the key may be about to follow');
    writeFileSync(join(directory, 'a.key'), 'second');
    assert.equal(look(), 0, 'it did');
    assert.deepEqual([look(), look(), look()], [1, 1, 1]);
  });

  it('sees a link that leads elsewhere, as Kubernetes swaps a secret', () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(directory, version));
      writeFileSync(join(directory, version, 'tls.crt'), 'same size');
    }
    symlinkSync('v1', join(directory, '..data'));
    symlinkSync('..data/tls.crt', join(directory, 'tls.crt'));
    const { look } = watching('tls.crt');
    assert.equal(look(), 0);
    symlinkSync('v2', join(directory, '..new'));
    renameSync(join(directory, '..new'), join(directory, '..data'));
    assert.deepEqual([look(), look(), look()], [0, 1, 1]);
  });

  it('sees a file that goes, and one that comes back', () => {
    writeFileSync(join(directory, 'b'), 'b');
    const { look } = watching('b');
    rmSync(join(directory, 'b'));
    assert.deepEqual([look(), look()], [0, 1]);
    writeFileSync(join(directory, 'b'), 'b');
    assert.deepEqual([look(), look()], [1, 2]);
  });

  it('does not tell of what is known, nor after its end', () => {
    writeFileSync(join(directory, 'c'), 'c');
    const { look, watch } = watching('c');
    writeFileSync(join(directory, 'c'), 'longer');
    watch.note();
    assert.deepEqual([look(), look()], [0, 0]);
    writeFileSync(join(directory, 'c'), 'longer still');
    watch.stop();
    assert.deepEqual([look(), look()], [0, 0]);
  });
});
