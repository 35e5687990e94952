/** What pages only mention exists: commands and their options, links, files. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../../src/apps/program.ts';
import { PARTS } from './parts.ts';
import { readPage } from './page.ts';
import { PAGES, REPOSITORY } from './test-pages.ts';

const program = makeProgram();

/** Why these words are no command line; undefined when they are one. `…`, capitals and `<…>` stand for something. */
function wrongWith(words: readonly string[]): string | undefined {
  let command: Command = program;
  const options = new Map(program.options.map((option) => [option.long, option]));
  for (let i = 1; i < words.length; i++) {
    const word = words[i] as string;
    if (word.startsWith('--')) {
      const name = (word.split('=')[0] as string).replace(/[.,;:)]+$/, '');
      for (const option of command.options) options.set(option.long, option);
      const option = options.get(name);
      if (option === undefined && name !== '--help') return `there is no option ${name} of ${command.name()}`;
      if (option?.required === true && !word.includes('=')) i += 1;
      continue;
    }
    if (command.commands.length === 0 || !/^[a-z|-]+$/.test(word)) continue;
    const found = word.split('|').map((name) => command.commands.find((one) => one.name() === name));
    if (found.some((one) => one === undefined)) return `there is no command ${word} of ${command.name()}`;
    command = found[0] as Command;
  }
  return undefined;
}

/** As GitHub makes it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

const anchorsIn = (file: string): ReadonlySet<string> =>
  new Set([...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading)));

describe('the documentation', () => {
  it('mentions commands and options that exist', () => {
    const wrong = PAGES.flatMap((name) =>
      readPage(join(REPOSITORY, name)).mentioned.flatMap(({ line, words }) => {
        const why = wrongWith(words);
        return why === undefined ? [] : [`${name}:${line}: ${words.join(' ')}: ${why}`];
      }),
    );
    assert.deepEqual(wrong, []);
    assert.match(wrongWith(['certstatus', 'crl', 'lst']) ?? '', /no command lst/);
    assert.match(wrongWith(['certstatus', 'crl', 'list', '--nothing']) ?? '', /no option --nothing/);
  });

  it('links to files and headings that are there', () => {
    const wrong = PAGES.flatMap((name) => {
      const file = join(REPOSITORY, name);
      return [...readFileSync(file, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
        if (/^https?:/.test(target)) return [];
        const [path = '', anchor] = target.split('#');
        const to = path === '' ? file : join(dirname(file), path);
        if (!existsSync(to)) return [`${name}: ${target}`];
        return anchor !== undefined && to.endsWith('.md') && !anchorsIn(to).has(anchor) ? [`${name}: ${target}`] : [];
      });
    });
    assert.deepEqual(wrong, []);
  });

  it('has each page in exactly one part that is tested', () => {
    for (const name of PAGES) assert.equal(Object.values(PARTS).filter((part) => part(name)).length, 1, name);
  });
});
