/** `completion bash|zsh|fish`: a script for the shell. Commands and options stand in it; issuers are looked up when Tab is pressed. */
import { Argument, type Command } from 'commander';
import { bashScript, zshScript } from '../completion/bash.ts';
import { fishScript } from '../completion/fish.ts';
import { completionTree } from '../completion/tree.ts';
import { commandsOf } from '../manual/teach.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;
type Shell = keyof typeof SCRIPTS;

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .description('prints a script that completes commands, options and issuers when Tab is pressed')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SCRIPTS)))
    .action((shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](completionTree(commandsOf(program))));
    });
}
