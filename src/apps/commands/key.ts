/** `key …`: keys and responder certificates. */
import type { Command } from 'commander';
import { addKeyLife } from './key-life.ts';

export function keyCommands(program: Command): void {
  addKeyLife(program.command('key').description('keys and responder certificates'));
}
