/** What every command has in common: help that teaches, and options that are spelled alike. Their examples run in e2e/manual.test.ts. */
import assert from 'node:assert/strict';
import type { Command } from 'commander';
import { describe, it } from 'node:test';
import { commandsOf, LESSONS } from '../../src/apps/manual/teach.ts';
import { makeProgram } from '../../src/apps/program.ts';

const program = makeProgram();
const commands = commandsOf(program);
const leaves = [...commands].filter(([path, { commands: below }]) => path !== '' && below.length === 0);
/** As a person sees it. */
const helpOf = (command: Command): string => {
  let text = '';
  command.configureOutput({ writeOut: (piece) => (text += piece) });
  command.outputHelp();
  return text;
};

describe('the help of a command', () => {
  for (const [path, command] of leaves) {
    it(`teaches ${path}`, () => {
      const lesson = LESSONS[path];
      assert.ok(lesson, `add a lesson for "${path}" in src/apps/manual/`);
      assert.ok(lesson.examples.length > 0, 'it has an example');
      // Two sentences, and a third at most.
      assert.match(lesson.about, /^[A-Z][^]+\.$/);
      const sentences = lesson.about.split(/[.;:?] /).length;
      assert.ok(sentences >= 2 && sentences <= 6, `about is two sentences: ${lesson.about}`);
      assert.match(lesson.when, /^(Use it|Only)[^]+\.$/);
      for (const { run, apart } of lesson.examples) {
        assert.match(run, new RegExp(`certstatus (--\\w+ \\S+ )*${path}\\b`), 'the example is of this command');
        if (apart !== undefined) assert.ok(apart.length > 5, 'what is not run has a reason');
      }
      const help = helpOf(command);
      for (const heading of ['Usage:', 'Examples:', 'Prints:', 'Exit:']) assert.match(help, new RegExp(`^${heading}`, 'm'));
      for (const { description, flags } of command.options.filter(({ hidden }) => !hidden)) assert.ok(description.length > 0, `${flags} has a description`);
      for (const argument of command.registeredArguments)
        assert.ok(argument.description !== '', `<${argument.name()}> has a description`);
    }); // prettier-ignore
  }

  it('has no lesson for a command that is not there', () => {
    const known = leaves.map(([path]) => path);
    assert.deepEqual(Object.keys(LESSONS).filter((path) => !known.includes(path)), []);
  }); // prettier-ignore

  it('of the program has every command, in groups', () => {
    const help = helpOf(program);
    for (const { name } of program.commands.map((command) => ({ name: command.name() })))
      assert.match(help, new RegExp(`^  ${name}\\b`, 'm'));
    // What stands below this heading belongs to no group.
    assert.doesNotMatch(help, /^Commands:/m);
  });
});

describe('options', () => {
  /** What is meant by a value, wherever the option stands. */
  const MEANS: Readonly<Record<string, readonly string[]>> = {
    '--issuer': ['<id>'],
    '--serial': ['<hex>'],
    '--cert': ['<file>'],
    '--ca': ['<file>'],
    '--out': ['<file>', '<directory>'],
    '--from': ['<instant>'],
    '--to': ['<instant>'],
    '--at': ['<instant>'],
    '--shard': ['<name>'],
    '--token': ['<name>'],
    '--clause': ['<id>'],
    '--requested-by': ['<who>'],
    '--yes': [''],
    '--wait': [''],
  };
  for (const [path, command] of commands) {
    it(`are spelled as everywhere: ${path === '' ? 'certstatus' : path}`, () => {
      for (const { long, flags, description } of command.options) {
        assert.match(long ?? '', /^--[a-z][a-z0-9-]+$/);
        const value = flags.replace(/^.*--[a-z0-9-]+ ?/, '');
        const means = MEANS[long ?? ''];
        if (means !== undefined) assert.ok(means.includes(value), `${long} takes ${means.join(' or ')}, not ${value}`);
        assert.doesNotMatch(description, /\.$/, 'a phrase, without a full stop');
      }
      // Who writes a file may be asked whether it may be replaced.
      const files = command.options.some(({ flags }) => flags === '--out <file>');
      assert.equal(
        command.options.some(({ long }) => long === '--yes') || !files,
        true,
        '--out <file> goes with --yes',
      );
    });
  }
});
