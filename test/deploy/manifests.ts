/** Manifests as Kubernetes reads them: the documents of a directory, and each held against the types of its API by the TypeScript compiler. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';

const ROOT = resolve(import.meta.dirname, '../../..');

// A manifest is whatever its file says, until the compiler has looked at it.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Manifest = any;

export interface Document {
  readonly file: string;
  readonly manifest: Manifest;
}

/** @throws for YAML that is none, and for a key that stands twice. */
export function documentsOf(file: string, text = readFileSync(file, 'utf8')): readonly Document[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    if (!('errors' in document)) throw new Error(`${file} is empty`);
    if (document.errors[0] !== undefined) throw new Error(`${file}: ${document.errors[0].message}`);
    return { file, manifest: document.toJS() as Manifest };
  });
}

export function documentsIn(directory: string): readonly Document[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    .flatMap((name) => documentsOf(join(directory, name)));
}

/** What the API's own types say against it: a field that there is not, a value of the wrong type, an unknown kind. */
export function typeErrors(documents: readonly Document[]): readonly string[] {
  const name = join(ROOT, 'test/deploy/manifests-as-types.ts');
  const source = documents.map(({ manifest }, i) => {
    const { apiVersion, kind } = manifest as { apiVersion: string; kind: string };
    const module = apiVersion === 'v1' ? 'core/v1' : apiVersion.replace('.k8s.io', '');
    return `import type { ${kind} as K${i} } from 'kubernetes-types/${module}';\nexport const k${i}: K${i} = ${JSON.stringify(manifest)};\n`;
  });
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  const text = source.join('');
  host.fileExists = (file) => file === name || fileExists(file);
  host.readFile = (file) => (file === name ? text : readFile(file));
  host.getSourceFile = (file, ...how) =>
    file === name ? ts.createSourceFile(file, text, ts.ScriptTarget.ES2023) : getSourceFile(file, ...how);
  const program = ts.createProgram([name], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0 }) => {
    const index = Math.floor((text.slice(0, start).split('\n').length - 1) / 2);
    const { file, manifest } = documents[index] as Document;
    const what = `${manifest.kind} ${manifest.metadata?.name}`;
    return `${file}: ${what}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
