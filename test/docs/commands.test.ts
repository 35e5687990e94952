/** Every command of the documentation runs as it is written; what is only mentioned exists. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram } from '../support/service.ts';
import { readPage } from './page.ts';
import { cannotPlay, play } from './play.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..', '..');
const { stdout } = await runProgram('git', ['ls-files', '*.md'], { cwd: REPOSITORY }).done;
const PAGES = stdout.trim().split('\n');

for (const name of PAGES) {
  const page = readPage(join(REPOSITORY, name));
  describe(name, () => {
    for (const [i, scene] of page.scenes.entries())
      it(
        `runs as written: ${scene.name} (line ${scene.blocks[0]?.line}, ${i + 1} of ${page.scenes.length})`,
        {
          skip: cannotPlay,
        },
        async () => {
          await play(name, scene);
        },
      );

    it('names a test for what cannot be run from a page', () => {
      for (const { line, commands, file } of page.elsewhere) {
        const path = join(REPOSITORY, file);
        assert.ok(existsSync(path), `${name}:${line}: there is no ${file}`);
        if (!path.endsWith('.ts')) continue;
        const text = readFileSync(path, 'utf8');
        // The test must at least say the words of each certstatus command.
        for (const [, words = ''] of commands.matchAll(
          /^ *(?:npx )?certstatus(?: --\S+ \S+)* ([a-z-]+(?: [a-z-]+)?)/gm,
        ))
          for (const word of words.split(' '))
            assert.ok(text.includes(word), `${name}:${line}: ${file} does not say ${word}`);
      }
    });
  });
}
