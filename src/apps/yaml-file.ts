/**
 * One YAML file read against one schema: every mistake comes out as a Problem that names file, line, key and value.
 * Relative paths in a file are relative to the file.
 */
import { readFileSync } from 'node:fs';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { Problem } from '../core/problem.ts';
import { parseDuration } from '../core/time.ts';
import { fileProblem } from './errors.ts';

export type YamlFile<T> =
  | { readonly ok: true; readonly value: T; readonly at: Locate }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Where a key stands, for a Problem's field: `/etc/certstatus.yaml:12: listen.public.port`. */
export type Locate = (...path: readonly (string | number)[]) => string;

export function readYamlFile<Schema extends z.ZodType>(file: string, schema: Schema): YamlFile<z.output<Schema>> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return {
      ok: false,
      problems: [new Problem('config', `cannot be read: ${fileProblem(error)}`, { field: file })],
    };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  if (document.errors.length > 0) {
    const problems = document.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return new Problem('config', error.message, {
        field: `${file}:${line}:${col}`,
        value: text.split('\n')[line - 1]?.trim() ?? '',
        rule: 'YAML 1.2',
      });
    });
    return { ok: false, problems };
  }
  const at: Locate = (...path) => {
    const line = lineOf(document, path, lines);
    return `${file}${line === undefined ? '' : `:${line}`}${path.length === 0 ? '' : `: ${path.join('.')}`}`;
  };
  const input: unknown = document.toJS({ maxAliasCount: 10 }) ?? {};
  const parsed = schema.safeParse(input);
  if (parsed.success) return { ok: true, value: parsed.data, at };
  return { ok: false, problems: parsed.error.issues.flatMap(meantBy).flatMap((issue) => problemsOf(issue, input, at)) };
}

/** `90s`, `8h`, `4d`: a duration in words, milliseconds afterwards (core/time.ts). */
export const duration = z
  .string({ error: 'a duration in words is needed, like 90s, 15m, 8h or 4d' })
  .transform((text, context) => {
    try {
      return parseDuration(text, '');
    } catch (error) {
      context.issues.push({ code: 'custom', message: (error as Error).message, input: text });
      return z.NEVER;
    }
  });

/**
 * Of a key that takes one of several forms the schema says no more than `Invalid input`: here it is what is wrong in the form that was
 * meant, which is the one of the same kind, or which forms there are.
 */
function meantBy(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input') return [issue];
  const meant = issue.errors.filter((form) => !form.some(isOtherKind)).sort((a, b) => a.length - b.length)[0];
  if (meant !== undefined)
    return meant.flatMap((one) => meantBy({ ...one, path: [...issue.path, ...one.path] } as z.core.$ZodIssue));
  const kinds = issue.errors.flatMap(([first]) => (first === undefined ? [] : kindOf(first)));
  // Where the schema has words of its own, they say it better than the name of a type.
  const own = issue.errors.flatMap(([first]) =>
    first?.message.startsWith('Invalid') === false ? [first.message] : [],
  );
  return [{ ...issue, message: [`expected ${[...new Set(kinds)].join(' or ')}`, ...own].join(', else ') }];
}

function isOtherKind({ code, path }: z.core.$ZodIssue): boolean {
  return path.length === 0 && (code === 'invalid_type' || code === 'invalid_value');
}

function kindOf(issue: z.core.$ZodIssue): readonly string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (issue.code !== 'invalid_type' || !issue.message.startsWith('Invalid')) return [];
  return KINDS[issue.expected] ?? [`a ${issue.expected}`];
}

/** In the words of YAML's readers. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  boolean: ['true', 'false'],
  object: ['a section of its own'],
  array: ['a list'],
  int: ['a whole number'],
};

function problemsOf(issue: z.core.$ZodIssue, input: unknown, at: Locate): readonly Problem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => new Problem('config', 'no such key', { field: at(...path, key) }));
  }
  const value = path.reduce<unknown>(
    (node, part) => (node as Record<string | number, unknown> | undefined)?.[part],
    input,
  );
  const message = value === undefined ? `missing: ${issue.message}` : issue.message;
  return [new Problem('config', message, { field: at(...path), ...(value !== undefined && { value }) })];
}

/** The line of the nearest key on the path that the file has; a missing key is reported at its parent. */
function lineOf(document: Document, path: readonly (string | number)[], lines: LineCounter): number | undefined {
  for (let depth = path.length; depth > 0; depth -= 1) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}
