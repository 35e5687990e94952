/** Completion as the shells themselves do it: bash, zsh and fish source the script and are asked what Tab would offer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../src/apps/cli.js', import.meta.url));
const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** What is typed before Tab, and what must and must not be offered. */
const OFFERED: readonly (readonly [words: readonly string[], offered: readonly string[], not: readonly string[]])[] = [
  [[''], ['serve', 'crl', 'overview', 'completion'], ['list']],
  [
    ['crl', ''],
    ['list', 'publish', 'show'],
    ['serve', 'activate'],
  ],
  [['crl', 'li'], ['list'], ['publish']],
  [['--data', 'data', 'crl', ''], ['list'], ['serve']],
  [['crl', 'list', '--'], ['--issuer', '--shard', '--limit'], ['--token']],
  [['key', 'generate', '--type', ''], ['P-256', 'RSA-2048'], ['--label']],
  [['status', '--issuer', ''], ['demo', 'other'], ['half']],
  [['status', '--issuer', 'de'], ['demo'], ['other']],
  [['--data', 'elsewhere', 'issuer', 'show', ''], ['third'], ['demo']],
  [['lint', '--ca', 'ca'], ['ca.pem'], ['data']],
  [['completion', ''], ['bash', 'zsh', 'fish'], ['tcsh']],
];

describe('completion', () => {
  let directory: string;
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LANG: 'C.UTF-8' };
  const script = (shell: Shell): string => join(directory, `certstatus.${shell}`);

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'certstatus-completion-'));
    for (const issuer of ['data/issuers/demo', 'data/issuers/other', 'elsewhere/issuers/third']) {
      mkdirSync(join(directory, issuer), { recursive: true });
      writeFileSync(join(directory, issuer, 'issuer.yaml'), '');
    }
    // Not taken in: it was never finished.
    mkdirSync(join(directory, 'data/issuers/half'));
    writeFileSync(join(directory, 'ca.pem'), '');
    for (const shell of SHELLS) {
      const { stdout, status } = spawnSync(process.execPath, [CLI, 'completion', shell], { encoding: 'utf8' });
      assert.equal(status, 0);
      writeFileSync(script(shell), stdout);
    }
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** In the words of each shell: set what is on the line, and run what Tab runs. */
  const ask: Readonly<Record<Shell, (words: readonly string[]) => readonly string[]>> = {
    bash: (words) => [
      'bash',
      '-c',
      `source ${script('bash')}; COMP_WORDS=(certstatus "$@"); COMP_CWORD=$#; _certstatus; printf '%s\\n' "\${COMPREPLY[@]}"`,
      'bash',
      ...words,
    ],
    zsh: (words) => [
      'zsh',
      '-f',
      '-c',
      // As bashcompinit calls it.
      `source ${script('zsh')}; run() { emulate -L sh; setopt kshglob noshglob braceexpand; COMP_WORDS=(certstatus "$@"); COMP_CWORD=$#; _certstatus; printf '%s\\n' "\${COMPREPLY[@]}"; }; run "$@"`,
      'zsh',
      ...words,
    ],
    fish: (words) => ['fish', '--no-config', '-c', `source ${script('fish')}; complete -C "certstatus ${words.join(' ')}"`],
  }; // prettier-ignore

  for (const shell of SHELLS) {
    const missing = spawnSync(shell, ['-c', ':']).error === undefined ? false : `${shell} is not installed`;
    describe(shell, { skip: missing }, () => {
      for (const [words, offered, not] of OFFERED) {
        it(`certstatus ${words.join(' ')}<Tab>`, () => {
          const [program = '', ...rest] = ask[shell](words);
          const { stdout, stderr, status } = spawnSync(program, rest, { encoding: 'utf8', cwd: directory, env });
          assert.equal(status, 0, stderr);
          // fish puts the description behind a tab.
          const found = stdout.split('\n').map((line) => line.split('\t')[0]);
          for (const word of offered) assert.ok(found.includes(word), `${word} is among ${found.join(' ')}${stderr}`);
          // zsh itself leaves out what does not begin so; its completion functions need not.
          if (shell === 'zsh' && words.at(-1) !== '') return;
          for (const word of not) assert.ok(!found.includes(word), `${word} is not among ${found.join(' ')}`);
        });
      }
    });
  }

  it('needs no other program than the shell to find issuers', () => {
    const { stdout } = spawnSync('bash', ['-c', `source ${script('bash')}; PATH=; COMP_WORDS=(certstatus status --issuer ''); COMP_CWORD=3; _certstatus; echo "\${COMPREPLY[@]}"`], { encoding: 'utf8', cwd: directory }); // prettier-ignore
    assert.equal(stdout.trim(), 'demo other');
  });
});
