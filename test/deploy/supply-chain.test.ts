/** What the program is made of: few packages, each named, locked and permitted, and nothing that runs when they are installed but what is known. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = resolve(import.meta.dirname, '../../..');
interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly license?: string;
  readonly hasInstallScript?: boolean;
}
interface Manifest {
  readonly license?: string | { readonly type: string };
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}
const json = <T>(...path: readonly string[]): T => JSON.parse(readFileSync(join(ROOT, ...path), 'utf8')) as T;
const manifest = json<Manifest>('package.json');
const lock = json<{ lockfileVersion: number; packages: Record<string, Locked> }>('package-lock.json');
const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
/** What runs in production: not a developer's tools. */
const shipped = packages.filter(([, { dev }]) => dev !== true);
const direct = { ...manifest.dependencies, ...manifest.optionalDependencies };

/** Permissive ones, which oblige to no more than a notice. */
const LICENCES = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];
/** When more is wanted, somebody should say why here. */
const MOST_SHIPPED = 125;
const MOST_DIRECT = 20;

describe('the packages', () => {
  it('are locked, each with the digest of its contents', () => {
    assert.equal(lock.lockfileVersion, 3);
    assert.deepEqual(packages.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path), []); // prettier-ignore
  });

  it('are asked for by exact version', () => {
    const asked = { ...direct, ...manifest.devDependencies };
    assert.deepEqual(Object.entries({ ...asked, ...manifest.overrides }).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)), []); // prettier-ignore
    for (const [name, version] of Object.entries(asked))
      assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
  });

  it('come from whatever registry the machine is told to use: none is named in the repository', () => {
    assert.deepEqual(packages.filter(([, { resolved, link }]) => resolved !== undefined || link), []); // prettier-ignore
    assert.equal(existsSync(join(ROOT, '.npmrc')), false);
  });

  it('run nothing when they are installed, but those that are listed', () => {
    const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    assert.deepEqual(
      scripted.map(([path]) => path.replace('node_modules/', '')),
      Object.keys(manifest.allowScripts ?? {}),
    );
  });

  it('are few', () => {
    assert.ok(shipped.length <= MOST_SHIPPED, `${shipped.length} packages`);
    assert.ok(Object.keys(direct).length <= MOST_DIRECT, `${Object.keys(direct).length} asked for`);
  });

  it('are permitted by licences that oblige to no more than a notice, as the lock says and as the packages say', () => {
    for (const [path, { license }] of shipped) {
      assert.ok(license !== undefined && LICENCES.includes(license), `${path}: ${license}`);
      // Those of other platforms are not installed.
      if (!existsSync(join(ROOT, path, 'package.json'))) continue;
      const { license: own } = json<Manifest>(path, 'package.json');
      assert.equal(typeof own === 'object' ? own.type : own, license, path);
    }
  });

  it('that are asked for each have a reason in the documentation', () => {
    const pages = [
      'README.md',
      ...readdirSync(join(ROOT, 'deploy', 'guide'))
        .filter((page) => page.endsWith('.md'))
        .map((page) => join('deploy/guide', page)),
    ];
    const text = pages.map((page) => readFileSync(join(ROOT, page), 'utf8')).join('\n');
    const [, table = ''] = /^\| dependency \| why \|\n\|[-|]+\|\n((?:\|.*\n)+)/m.exec(text) ?? [];
    const rows = table.split('\n').map((row) => row.split('|').slice(1, 3).map((cell) => cell.trim())); // prettier-ignore
    const reasonOf = (name: string): string | undefined =>
      rows.find(([cell = '']) => namesIn(cell).some((named) => (named.endsWith('*') ? name.startsWith(named.slice(0, -1)) : named === name)))?.[1]; // prettier-ignore
    for (const name of Object.keys(direct)) assert.ok((reasonOf(name)?.length ?? 0) > 10, `${name} has no reason`);
  });

  it('make a CycloneDX bill of materials, from the lock alone', () => {
    // All of it: `--omit dev` of npm leaves out what a developer's tool needs too, though it is shipped (debug).
    const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', '--offline'];
    const { status, stdout, stderr } = spawnSync('npm', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
    assert.equal(status, 0, stderr);
    const bill = JSON.parse(stdout) as {
      bomFormat: string;
      components: { name: string; version: string; licenses: unknown[]; hashes?: unknown[] }[];
    };
    assert.equal(bill.bomFormat, 'CycloneDX');
    const listed = new Set(bill.components.map(({ name, version }) => `${name}@${version}`));
    for (const [path, { version }] of shipped)
      assert.ok(listed.has(`${path.split('node_modules/').at(-1)}@${version}`), path);
    for (const { name, licenses } of bill.components) assert.ok(licenses.length > 0, name);
  });
});

/** `a, b`; `@scope/a-x, -y` for @scope/a-x and @scope/a-y; `c (as `d-*`)` for whatever begins with d-. */
function namesIn(cell: string): readonly string[] {
  const names = cell.replaceAll('`', '').match(/@?[a-z-][\w./-]*\*?/gi) ?? [];
  let prefix = '';
  return names.map((name) => {
    if (name.startsWith('-')) return prefix + name;
    prefix = name.slice(0, name.lastIndexOf('-'));
    return name;
  });
}
