/** The completion script for fish, with a line of help beside each word. */
import type { CompletedCommand, CompletedOption, ValueKind } from './tree.ts';

export function fishScript(tree: readonly CompletedCommand[]): string {
  const withValue = [...new Set(tree.flatMap(({ options }) => options).filter(({ value }) => value !== undefined).map(({ long }) => long))]; // prettier-ignore
  return `# Completion of certstatus. fish: certstatus completion fish | source
# Whether the command that stands there is this one: options and their values aside.
function __certstatus_at
  set -l at
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- $word ${withValue.join(' ')}
      set skip 1
    else if not string match -q -- '-*' $word
      contains -- (string join ' ' $at $word) ${tree.map(({ path }) => quote(path)).filter((path) => path !== "''").join(' ')}
      and set at (string join ' ' $at $word)
    end
  end
  test "$at" = "$argv[1]"
end

# Ids of the issuers in the data directory that is meant.
function __certstatus_issuers
  set -l data data
  set -q CERTSTATUS_CONFIG; and set data (dirname $CERTSTATUS_CONFIG)
  set -q CERTSTATUS_DATA; and set data $CERTSTATUS_DATA
  set -l words (commandline -opc)
  for i in (seq (count $words))
    test $words[$i] = --config; and set data (dirname $words[(math $i + 1)])
  end
  for i in (seq (count $words))
    test $words[$i] = --data; and set data $words[(math $i + 1)]
  end
  for file in $data/issuers/*/issuer.yaml
    basename (dirname $file)
  end
end

complete -c certstatus -f
${tree.flatMap(linesOf).join('\n')}
`;
} // prettier-ignore

function linesOf({ path, subcommands, options, argument }: CompletedCommand): string[] {
  const here = path === '' ? '' : `-n ${quote(`__certstatus_at '${path}'`)} `;
  const at = `-n ${quote(`__certstatus_at '${path}'`)} `;
  return [
    ...subcommands.map(({ name, summary }) => `complete -c certstatus ${at}-a ${name} -d ${quote(summary)}`),
    ...options.map((option) => `complete -c certstatus ${here}${flagsOf(option)} -d ${quote(option.summary)}`),
    ...(argument === undefined || argument === 'other' ? [] : [`complete -c certstatus ${at}${valuesOf(argument)}`]),
  ];
}

function flagsOf({ long, value }: CompletedOption): string {
  const flag = `-l ${long.slice(2)}`;
  return value === undefined ? flag : `${flag} -r ${valuesOf(value)}`.trimEnd();
}

function valuesOf(kind: ValueKind): string {
  switch (kind) {
    case 'issuer':
      return "-a '(__certstatus_issuers)'";
    case 'file':
      return '-F';
    case 'directory':
      return "-a '(__fish_complete_directories)'";
    case 'other':
      return '';
    default:
      return `-a ${quote(kind.choices.join(' '))}`;
  }
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
