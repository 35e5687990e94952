/**
 * An eslint rule: no file under src imports itself by way of others, types included. Two files in a circle are read as one, whatever
 * their names say; what both need has a place of its own.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** What each file imports, read once per run. */
const imports = new Map();

export const noCircles = {
  meta: { type: 'problem', schema: [], messages: { circle: 'a circle: {{ files }}' } },
  create(context) {
    const check = (node) => {
      if (!node.source?.value.startsWith('.')) return;
      const target = resolve(dirname(context.filename), node.source.value);
      const way = wayTo(context.filename, target);
      if (way !== undefined)
        context.report({ node, messageId: 'circle', data: { files: way.map(fromSource).join(' → ') } });
    };
    return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check };
  },
};

/** The files by which `from` leads to `to`, both included; undefined when none do. */
function wayTo(to, from) {
  const before = new Map([[from, undefined]]);
  // A Map is walked in the order of insertion, what is added meanwhile included: so the shortest way is found first.
  for (const file of before.keys()) {
    if (file === to) {
      const way = [];
      for (let at = file; at !== undefined; at = before.get(at)) way.unshift(at);
      return way;
    }
    for (const next of importsOf(file)) if (!before.has(next)) before.set(next, file);
  }
  return undefined;
}

function importsOf(file) {
  let found = imports.get(file);
  if (found === undefined) {
    const text = file.endsWith('.ts') ? readFileSync(file, 'utf8') : '';
    const named = text.matchAll(/^(?:import|export)\b[^;']*? from '(\.[^']+)';$/gm);
    found = [...named].map(([, name]) => resolve(dirname(file), name));
    imports.set(file, found);
  }
  return found;
}

function fromSource(file) {
  return file.slice(file.lastIndexOf('/src/') + 1);
}
