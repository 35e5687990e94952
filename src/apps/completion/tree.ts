/** The commands as a completion script needs them: what can follow what, and what a value is. */
import type { Command, Option } from 'commander';

export interface CompletedCommand {
  /** As typed after `certstatus`; '' is the program itself. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly CompletedOption[];
  /** Of its first argument. */
  readonly argument: ValueKind | undefined;
}

export interface CompletedOption {
  /** `--issuer` */
  readonly long: string;
  readonly summary: string;
  /** Undefined: it takes no value. */
  readonly value: ValueKind | undefined;
}

/** What Tab offers in a value's place. `other`: nothing. */
export type ValueKind = 'issuer' | 'file' | 'directory' | 'other' | { readonly choices: readonly string[] };

/** The options of the program itself may stand after any command. */
export function completionTree(commands: ReadonlyMap<string, Command>): readonly CompletedCommand[] {
  return [...commands].map(([path, command]) => ({
    path,
    subcommands: [...commands]
      .filter(([other]) => other !== '' && parentOf(other) === path)
      .map(([, sub]) => ({ name: sub.name(), summary: oneLine(sub.summary() || sub.description()) })),
    options: command.options.filter(({ hidden, long }) => !hidden && long !== undefined).map(completed),
    argument: argumentOf(path, command),
  }));
}

function parentOf(path: string): string {
  return path.includes(' ') ? path.slice(0, path.lastIndexOf(' ')) : '';
}

function completed(option: Option): CompletedOption {
  const { long = '', description, argChoices, required, optional, flags } = option;
  const value = !required && !optional ? undefined : argChoices === undefined ? kindOf(flags) : { choices: argChoices };
  return { long, summary: oneLine(description), value };
}

/** By the word in angle brackets, which is the same for the same kind everywhere. */
function kindOf(flags: string): ValueKind {
  const [, word = ''] = /[<[]([a-z-]+)/.exec(flags) ?? [];
  if (flags.startsWith('--issuer ')) return 'issuer';
  if (word === 'file' || word === 'reference') return 'file';
  return word === 'directory' ? 'directory' : 'other';
}

function argumentOf(path: string, { registeredArguments: [first] }: Command): ValueKind | undefined {
  if (first === undefined) return undefined;
  if (first.argChoices !== undefined) return { choices: first.argChoices };
  if (path === 'issuer show') return 'issuer';
  return /^files?$/.test(first.name()) ? 'file' : 'other';
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
