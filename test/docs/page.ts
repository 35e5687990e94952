/**
 * The commands of a page of the documentation, as a reader would paste them.
 *
 * A fenced block without a language, or with `sh`, is commands; any other language is for reading (`text` for what a command prints). A
 * comment right before a block says what cannot be seen in it:
 *
 *     <!-- scene: NAME -->            from here on: what is there beforehand (scenes.ts); what ran before is ended
 *     <!-- until URL -->              the block does not end by itself: it goes on once URL answers,
 *     <!-- until WORDS -->            or once it has printed these words
 *     <!-- exits N -->                the last command of the block ends with N
 *     <!-- run by: FILE -->           it needs what no scene has (persons, a second machine); FILE is the test that does it
 */
import { readFileSync } from 'node:fs';

export interface Block {
  /** Of its first command. */
  readonly line: number;
  readonly commands: string;
  readonly until: string | undefined;
  readonly exits: number;
}

export interface Scene {
  readonly name: string;
  readonly blocks: readonly Block[];
}

export interface Elsewhere {
  readonly line: number;
  readonly commands: string;
  readonly file: string;
}

export interface DocPage {
  readonly scenes: readonly Scene[];
  readonly elsewhere: readonly Elsewhere[];
  /** `certstatus …` in running text and tables. */
  readonly mentioned: readonly { readonly line: number; readonly words: readonly string[] }[];
}

/** @throws Error naming the line of a comment that this does not know, or of commands before any scene. */
export function readPage(path: string): DocPage {
  const lines = readFileSync(path, 'utf8').split('\n');
  const scenes: { name: string; blocks: Block[] }[] = [];
  const elsewhere: Elsewhere[] = [];
  const mentioned: { line: number; words: string[] }[] = [];
  let said = new Map<string, string>();
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const fence = /^( *)```(\S*)$/.exec(line);
    const comment = /^ *<!-- (scene:|until|exits|run by:) ?(.*?) -->$/.exec(line);
    if (comment !== null) said.set(comment[1] as string, comment[2] as string);
    else if (fence === null) {
      for (const [, code = ''] of line.matchAll(/`([^`]+)`/g))
        if (/^(npx )?certstatus /.test(code))
          mentioned.push({ line: i + 1, words: code.replace(/^npx /, '').split(' ') });
      if (line.trim() !== '') said = keepScene(said);
    } else {
      const from = i + 1;
      do i++;
      while (i < lines.length && (lines[i] as string).trim() !== '```');
      if (fence[2] !== '' && fence[2] !== 'sh') {
        said = keepScene(said);
        continue;
      }
      const commands = lines.slice(from, i).join('\n');
      const scene = said.get('scene:');
      const file = said.get('run by:');
      if (scene !== undefined) scenes.push({ name: scene, blocks: [] });
      if (file !== undefined) elsewhere.push({ line: from + 1, commands, file });
      else {
        const current = scenes.at(-1);
        if (current === undefined) throw new Error(`${path}:${from + 1}: commands before any scene`);
        current.blocks.push({
          line: from + 1,
          commands,
          until: said.get('until'),
          exits: Number(said.get('exits') ?? 0),
        });
      }
      said = new Map();
    }
  }
  return { scenes: scenes.filter(({ blocks }) => blocks.length > 0), elsewhere, mentioned };
}

/** A scene may be set some paragraphs before its first commands; the rest belongs to the block that follows at once. */
function keepScene(said: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...said].filter(([what]) => what === 'scene:'));
}
