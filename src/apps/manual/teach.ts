/** Puts the lessons into `--help`: groups by what one wants, what a command is for, examples, what it prints, where to read more. */
import { Command } from 'commander';
import { BACKUP_LESSONS } from './backup.ts';
import { CRL_LESSONS } from './crls.ts';
import { EVENT_LESSONS } from './events.ts';
import { KEY_LESSONS } from './keys.ts';
import type { Lesson, Lessons } from './lesson.ts';
import { LOOK_LESSONS } from './look.ts';
import { MASS_LESSONS } from './mass.ts';
import { OFFLINE_LESSONS } from './offline.ts';
import { PROOF_LESSONS } from './proof.ts';
import { RUN_LESSONS } from './run.ts';

export const LESSONS: Lessons = {
  ...RUN_LESSONS,
  ...EVENT_LESSONS,
  ...MASS_LESSONS,
  ...CRL_LESSONS,
  ...BACKUP_LESSONS,
  ...KEY_LESSONS,
  ...OFFLINE_LESSONS,
  ...PROOF_LESSONS,
  ...LOOK_LESSONS,
};

/** In the order in which `certstatus --help` shows them. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'Set up and run:': ['serve', 'init', 'issuer', 'check-config', 'size', 'completion'],
  'Tell it what the CA does:': ['issue', 'revoke', 'wait', 'import', 'revoke-many', 'mass', 'drill', 'compromised-key'],
  'CRLs:': ['crl', 'archive'],
  'Backups:': ['backup'],
  'Keys and HSMs:': ['key'],
  'A CA whose key is never online:': ['offline'],
  'Prove:': ['audit', 'report', 'reconcile', 'sample', 'lint'],
  'Look:': ['overview', 'sign-in', 'status', 'explain', 'probe', 'bench'],
};

/** Groups that have no plural. */
const IN_ONE_FORM = ['import', 'mass', 'offline', 'audit', 'compromised-key'];

const FIRST_STEPS = `
Examples:
  certstatus serve --demo        a demo CA, served at once
  certstatus overview            is everything all right, and what to do if not
  certstatus revoke --help       what it does, with examples to paste

Options may stand anywhere. Exit 0: done; 1: failed, or something is wrong; 2:
wrong usage. With --json data is printed as JSON on standard output, an error as
one JSON object on standard error. Tab: certstatus completion --help`;

/** @param program with all of its commands. */
export function teach(program: Command): void {
  const order = Object.values(GROUPS).flat();
  (program.commands as Command[]).sort((a, b) => order.indexOf(a.name()) - order.indexOf(b.name()));
  for (const [heading, names] of Object.entries(GROUPS))
    for (const name of names) program.commands.find((command) => command.name() === name)?.helpGroup(heading);
  program
    .addHelpCommand(new Command('help').argument('[command]').description('the help of a command').helpGroup('Look:'))
    .addHelpText('after', FIRST_STEPS)
    .configureHelp({ subcommandTerm: (command) => [command.name(), ...places(command)].join(' ') });
  // Nobody has to remember whether it is `key list` or `keys list`.
  for (const group of program.commands)
    if (group.commands.length > 0 && !IN_ONE_FORM.includes(group.name())) group.alias(`${group.name()}s`);
  for (const [path, command] of commandsOf(program)) {
    const json = process.argv.includes('--json');
    if (path !== '') command.helpCommand(false);
    command
      .helpOption('-h, --help', 'print this')
      .showHelpAfterError(json ? false : `Try: certstatus ${path}${path === '' ? '' : ' '}--help`)
      .configureOutput({
        outputError: (text, write) => {
          const message = text
            .replace(/^error: /, '')
            .trimEnd()
            .replaceAll('\n', ' ');
          write(json ? `${JSON.stringify({ code: 'usage', message })}\n` : `certstatus: ${message}\n`);
        },
      });
    const lesson = LESSONS[path];
    if (lesson === undefined) {
      if (path !== '') command.addHelpText('after', `\ncertstatus ${path} <command> --help teaches each.`);
      continue;
    }
    // How it ends stands in the lesson.
    command
      .summary(command.description().replace(/; exit 1 .*$/, ''))
      .description(`${lesson.about}\n\n${lesson.when}`)
      .addHelpText('after', () => afterHelp(lesson));
  }
}

/** Every command with the words that a person types, the program itself as ''. Those that are hidden are left out. */
export function commandsOf(program: Command): ReadonlyMap<string, Command> {
  const found = new Map<string, Command>([['', program]]);
  const walk = (parent: Command, before: string): void => {
    for (const command of parent.createHelp().visibleCommands(parent)) {
      if (command.name() === 'help') continue;
      const path = `${before}${command.name()}`;
      found.set(path, command);
      walk(command, `${path} `);
    }
  };
  walk(program, '');
  return found;
}

function afterHelp({ examples, prints, exits, more }: Lesson): string {
  return [
    '',
    'Examples:',
    ...examples.flatMap(({ run, does }) => [
      ...(does === undefined ? [] : [`  # ${does}`]),
      ...run.split('\n').map((line) => `  ${line}`),
    ]),
    '',
    `Prints:  ${prints}`,
    `Exit:    ${exits ?? '0 done, 1 failed, 2 wrong usage'}`,
    'Also:    --json, --config, --data and ports: certstatus --help',
    ...(more === undefined ? [] : [`More:    ${more}`]),
  ].join('\n');
}

function places(command: Command): string[] {
  return command.registeredArguments.map((argument) => {
    const name = argument.name() + (argument.variadic ? '...' : '');
    return argument.required ? `<${name}>` : `[${name}]`;
  });
}
