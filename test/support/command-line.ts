/** Whether a line that somebody reads names commands and options that there are. */
import type { Command } from 'commander';

/** @param line without `certstatus`; it may go on with an argument or the rest of a sentence. */
export function namesCommand(program: Command, line: string): boolean {
  let command = program;
  for (const [i, word] of line.split(' ').entries()) {
    if (word.startsWith('--')) {
      if (word !== '--help' && !command.options.some(({ long }) => long === word)) return false;
      continue;
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) return i > 0;
    command = next;
  }
  return true;
}
