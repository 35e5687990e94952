/** The completion script for bash, which zsh runs too (bashcompinit). It asks nobody: all but the issuers stands in it. */
import type { CompletedCommand, CompletedOption, ValueKind } from './tree.ts';

export function bashScript(tree: readonly CompletedCommand[]): string {
  const options = tree.flatMap((command) => command.options);
  return `# Completion of certstatus. bash: source <(certstatus completion bash)
_certstatus() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev= at= word= wanted= i=1
  if [ "$COMP_CWORD" -gt 0 ]; then prev=\${COMP_WORDS[COMP_CWORD - 1]}; fi
  # The command so far: options and their values aside.
  while [ "$i" -lt "$COMP_CWORD" ]; do
    word=\${COMP_WORDS[i]}
    case "$word" in
      ${withValue(options).join('|')}) i=$((i + 1)) ;;
      -*) ;;
      *) case "\${at:+$at }$word" in
        ${quoted(tree.map(({ path }) => path).filter((path) => path !== ''))}) at="\${at:+$at }$word" ;;
      esac ;;
    esac
    i=$((i + 1))
  done
  COMPREPLY=()
  case "$at $prev" in
${values(tree)}
  esac
  case "$cur" in
    -*)
      case "$at" in
${tree.map(({ path, options: own }) => `        '${path}') wanted='${longs(own)}' ;;`).join('\n')}
      esac
      COMPREPLY=($(compgen -W "$wanted ${longs(tree[0]?.options ?? [])} --help" -- "$cur"))
      return ;;
  esac
  case "$at" in
${arguments_(tree)}
  esac
}

# Ids of the issuers in the data directory that is meant.
_certstatus_issuers() {
  local data=\${CERTSTATUS_DATA:-} config=\${CERTSTATUS_CONFIG:-} i=1 file ids=
  while [ "$i" -lt "$COMP_CWORD" ]; do
    case "\${COMP_WORDS[i]}" in
      --data) data=\${COMP_WORDS[i + 1]} ;;
      --config) config=\${COMP_WORDS[i + 1]} ;;
    esac
    i=$((i + 1))
  done
  if [ -z "$data" ] && [ -n "$config" ]; then data=$(dirname "$config"); fi
  for file in "\${data:-data}"/issuers/*/issuer.yaml; do
    if [ -f "$file" ]; then
      file=\${file%/issuer.yaml}
      ids="$ids \${file##*/}"
    fi
  done
  COMPREPLY=($(compgen -W "$ids" -- "$cur"))
}

_certstatus_files() {
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$cur"))
}

complete -F _certstatus certstatus
`;
}

/** Of zsh: the same, in its emulation. */
export function zshScript(tree: readonly CompletedCommand[]): string {
  return `# Completion of certstatus. zsh: source <(certstatus completion zsh)
autoload -U +X compinit && { whence compdef >/dev/null || compinit; }
autoload -U +X bashcompinit && bashcompinit
${bashScript(tree)}`;
}

function withValue(options: readonly CompletedOption[]): string[] {
  return [...new Set(options.filter(({ value }) => value !== undefined).map(({ long }) => long))];
}

/** What follows an option: by the command, because `--type` is one thing here and another there; the program's own after any. */
function values([program, ...commands]: readonly CompletedCommand[]): string {
  return [...commands, ...(program === undefined ? [] : [program])]
    .flatMap(({ path, options }) =>
      options.flatMap(({ long, value }) => {
        if (value === undefined) return [];
        return [`    ${path === '' ? `*' ${long}'` : `'${path} ${long}'`}) ${reply(value)} return ;;`];
      }),
    )
    .join('\n');
}

function arguments_(tree: readonly CompletedCommand[]): string {
  return tree
    .flatMap(({ path, subcommands, argument }) => {
      if (subcommands.length > 0)
        return [`    '${path}') ${reply({ choices: subcommands.map(({ name }) => name) })} ;;`];
      return argument === undefined ? [] : [`    '${path}') ${reply(argument)} ;;`];
    })
    .join('\n');
}

function reply(kind: ValueKind): string {
  switch (kind) {
    case 'issuer':
      return '_certstatus_issuers;';
    case 'file':
      return '_certstatus_files -f;';
    case 'directory':
      return '_certstatus_files -d;';
    case 'other':
      return ':;';
    default:
      return `COMPREPLY=($(compgen -W '${kind.choices.join(' ')}' -- "$cur"));`;
  }
}

function longs(options: readonly CompletedOption[]): string {
  return options.map(({ long }) => long).join(' ');
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join('|');
}
