/** Tests of pages: every command runs as it is written, and what cannot be run from a page names the test that runs it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram } from '../support/service.ts';
import { readPage } from './page.ts';
import { cannotPlay, play } from './play.ts';

export const REPOSITORY = join(import.meta.dirname, '..', '..', '..');

const listed = await runProgram('git', ['ls-files', '*.md'], { cwd: REPOSITORY }).done;
export const PAGES: readonly string[] = listed.stdout.trim().split('\n');

/** @param part which of them: each file of tests has a part, so that they run beside each other and within its time. */
export function testPages(part: (page: string) => boolean): void {
  for (const name of PAGES.filter(part)) {
    const page = readPage(join(REPOSITORY, name));
    describe(name, () => {
      for (const [i, scene] of page.scenes.entries())
        it(`runs as written: ${scene.name} (line ${scene.blocks[0]?.line}, ${i + 1} of ${page.scenes.length})`, {
          skip: cannotPlay,
        }, async () => {
          await play(name, scene);
        }); // prettier-ignore

      it('names a test for what cannot be run from a page', () => {
        for (const { line, commands, file } of page.elsewhere) {
          const path = join(REPOSITORY, file);
          assert.ok(existsSync(path), `${name}:${line}: there is no ${file}`);
          if (!path.endsWith('.ts')) continue;
          const text = readFileSync(path, 'utf8');
          const words = /^ *(?:npx )?certstatus(?: --\S+ \S+)* ([a-z-]+(?: [a-z-]+)?)/gm;
          for (const [, command = ''] of commands.matchAll(words))
            for (const word of command.split(' '))
              assert.ok(text.includes(word), `${name}:${line}: ${file} does not say ${word}`);
        }
      });
    });
  }
}
