/** The player itself: what does not end as the page says is a failure that names its line. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readPage, type DocPage } from './page.ts';
import { cannotPlay, play } from './play.ts';

function pageOf(...lines: readonly string[]): DocPage {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-page-'));
  try {
    writeFileSync(join(directory, 'page.md'), lines.join('\n'));
    return readPage(join(directory, 'page.md'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const playAll = async (page: DocPage): Promise<string> => {
  let said = '';
  for (const scene of page.scenes) said += await play('page.md', scene);
  return said;
};
const SCENE = '<!-- scene: clone -->';

describe('a page of the documentation', () => {
  it('is commands where it says sh or nothing, and reading matter elsewhere', () => {
    const page = pageOf(
      SCENE,
      '',
      '```sh',
      'true',
      '```',
      '```text',
      'what it prints',
      '```',
      'and `certstatus crl list` too',
    );
    assert.deepEqual(page.scenes, [
      { name: 'clone', blocks: [{ line: 4, commands: 'true', until: undefined, exits: 0 }] },
    ]);
    assert.deepEqual(page.mentioned, [{ line: 9, words: ['certstatus', 'crl', 'list'] }]);
  });

  it('has no commands before a scene', () => {
    assert.throws(() => pageOf('```', 'true', '```'), /page\.md:2: commands before any scene/);
  });

  it('gives a comment to the block that follows at once, and to no other', () => {
    const page = pageOf(SCENE, '<!-- exits 3 -->', '', 'Words.', '```', 'true', '```');
    assert.equal(page.scenes[0]?.blocks[0]?.exits, 0);
  });
});

describe('the player', { skip: cannotPlay }, () => {
  it('keeps directory, variables and files from block to block', async () => {
    const page = pageOf(
      SCENE,
      '```',
      'A=kept; mkdir -p sub; cd sub',
      '```',
      '```',
      '[ "$A" = kept ]; echo "$(basename "$PWD")"',
      '```',
    );
    assert.match(await playAll(page), /^sub$/m);
  });

  it('fails with the line of the block', async () => {
    const page = pageOf(SCENE, '```', 'true', '```', '', '```', 'echo before; false; echo after', '```');
    await assert.rejects(playAll(page), ({ message }: Error) => {
      assert.match(message, /^page\.md:7: exit 1/);
      return message.includes('before') && !message.includes('after');
    });
  });

  it('holds a block to the exit code that the page states', async () => {
    await playAll(pageOf(SCENE, '<!-- exits 3 -->', '```', '(exit 3)', '```'));
    await assert.rejects(playAll(pageOf(SCENE, '<!-- exits 3 -->', '```', 'true', '```')), /exit 0, not 3/);
  });

  it('ends what a page leaves running', async () => {
    const page = pageOf(SCENE, '```', 'sleep 4711 & echo started', '```');
    assert.match(await playAll(page), /started/);
  });

  it('knows the programs of a checkout, and no others', async () => {
    await playAll(pageOf(SCENE, '```', 'npx certstatus --version', '```'));
    await assert.rejects(playAll(pageOf(SCENE, '```', 'npx something', '```')), /is not played/);
  });
});
