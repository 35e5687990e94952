/**
 * deploy/Dockerfile: what may be said of it without a registry. It is read stage by stage; the commands of its build that need no network
 * are run on a clean copy; and what comes out is started as the image starts it: by its number of a user without rights, on a file
 * system that cannot be written to, with /data and /tmp alone.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exchange } from '../support/http.ts';
import { freePorts, until } from '../support/service.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const FILE = join(ROOT, 'deploy/Dockerfile');
const IGNORED = join(ROOT, 'deploy/Dockerfile.dockerignore');

interface Instruction {
  readonly name: string;
  readonly text: string;
}
interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

/** Stages in order; ARG before the first is put in where it is used. */
function stagesOf(text: string): readonly Stage[] {
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const globals = new Map<string, string>();
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? assert.fail(`not an instruction: ${line}`);
    if (name === 'FROM') {
      const [, from = '', as] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
      const base = from.replace(/^\$\{(\w+)\}$/, (_all, arg: string) => globals.get(arg) ?? '');
      stages.push({ name: as ?? 'last', from: base, instructions: [] });
    } else if (stages.length === 0 && name === 'ARG') globals.set(...(rest.split('=') as [string, string]));
    else stages.at(-1)?.instructions.push({ name, text: rest.trim() });
  }
  return stages;
}

/** What a stage is made of, those that it is built on first. */
function chain(stages: readonly Stage[], name: string): readonly Instruction[] {
  const stage = stages.find((one) => one.name === name);
  return stage === undefined ? [] : [...chain(stages, stage.from), ...stage.instructions];
}

/** What speaks against an image. */
function faults(text: string): string[] {
  const stages = stagesOf(text);
  const found: string[] = [];
  for (const { name, from } of stages) {
    const isStage = stages.some((stage) => stage.name === from);
    if (!isStage && !/:\d+\.\d+\.\d+(-[a-z-]+)?(@sha256:[0-9a-f]{64})?$/.test(from))
      found.push(`${name}: ${from} is not pinned`);
  }
  for (const last of ['last', 'without-pkcs11']) {
    const of = chain(stages, last);
    const value = (name: string): string | undefined => of.findLast((one) => one.name === name)?.text;
    if (!/^[1-9]\d*:[1-9]\d*$/.test(value('USER') ?? '')) found.push(`${last}: USER is no number, or root`);
    if (value('HEALTHCHECK') === undefined) found.push(`${last}: no HEALTHCHECK`);
    if (!/org\.opencontainers\.image\.revision/.test(value('LABEL') ?? '')) found.push(`${last}: no LABEL`);
    for (const { name, text: what } of of)
      if (name === 'RUN' && /apt-get|npm (ci|install|rebuild)|g\+\+/.test(what))
        found.push(`${last}: built with ${what}`);
      else if (name === 'ADD') found.push(`${last}: ADD fetches and unpacks`);
  }
  for (const { text: what } of stages.flatMap(({ instructions }) => instructions))
    if (/npm (ci|install)/.test(what) && !/--ignore-scripts/.test(what))
      found.push(`scripts of packages are run: ${what}`);
  return found;
}

const text = readFileSync(FILE, 'utf8');
const stages = stagesOf(text);

describe('Dockerfile', () => {
  it('is pinned, ends with a user without rights and without compilers, and says what it is', () => {
    assert.deepEqual(faults(text), []);
  });

  for (const [what, from, to] of [
    ['a base without a version', 'node:24.21.0-bookworm-slim\n', 'node:latest\n'],
    ['root', 'USER 10001:10001', 'USER root'],
    ['a user by name, which Kubernetes cannot judge', 'USER 10001:10001', 'USER node'],
    ['a compiler in the image', 'FROM ${NODE} AS base\n', 'FROM ${NODE} AS base\nRUN apt-get install g++\n'],
    ['scripts of every package', 'npm ci --ignore-scripts', 'npm ci'],
    ['no health check', /^HEALTHCHECK[^]*?\n {2}CMD.*\n/m, ''],
  ] as const) {
    it(`the check finds ${what}`, () => {
      const changed = text.replace(from, to);
      assert.notEqual(changed, text);
      assert.notEqual(faults(changed).length, 0);
    });
  }

  it('copies what there is, and leaves out what must not be in an image', () => {
    for (const { instructions } of stages)
      for (const { name, text: what } of instructions) {
        if (name !== 'COPY' || what.startsWith('--from')) continue;
        for (const source of what.split(' ').slice(0, -1)) assert.ok(existsSync(join(ROOT, source)), source);
      }
    const ignored = readFileSync(IGNORED, 'utf8').split('\n');
    for (const one of ['.git', 'node_modules', 'dist', 'data*', '**/*.key', '**/.npmrc'])
      assert.ok(ignored.includes(one), one);
  });

  it('both kinds of image are the same but for the native module', () => {
    const of = (name: string): string[] =>
      chain(stages, name).map((one) => `${one.name} ${one.text.replace(/--from=\w+/, '')}`);
    assert.deepEqual(of('last'), of('without-pkcs11'));
  });
});

const may = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
describe('what the Dockerfile builds', { skip: may ? false : 'needs root and mount namespaces' }, () => {
  const work = mkdtempSync(join(tmpdir(), 'certstatus-image-'));
  const image = join(work, 'opt/certstatus');
  const data = join(work, 'data');
  const user = Number(
    chain(stages, 'last')
      .findLast(({ name }) => name === 'USER')
      ?.text.split(':')[0],
  );
  after(() => rmSync(work, { recursive: true, force: true }));

  /** A command in the container: its own mounts, nothing to write to but /data and /tmp, no rights, no capabilities. */
  function contained(command: readonly string[]): readonly string[] {
    const mounts = [
      'mount --make-rprivate /',
      'mount -t tmpfs tmpfs /opt && mkdir -p /opt/certstatus',
      `mount --bind ${image} /opt/certstatus`,
      `mount --bind ${join(ROOT, 'node_modules')} /opt/certstatus/node_modules`,
      `mount --bind ${data} /mnt`,
      'mount -t tmpfs -o mode=1777 tmpfs /tmp',
      'mount -o remount,bind,ro /opt/certstatus && mount -o remount,bind,ro /opt/certstatus/node_modules && mount -o remount,ro /opt',
      'mount -o remount,bind,ro / || true',
    ].join(' && ');
    const rights = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all', '--pdeathsig=KILL']; // prettier-ignore
    return ['unshare', '-m', 'sh', '-c', `${mounts} && cd / && exec "$@"`, 'sh', ...rights, 'env', '-i', 'PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp', 'NODE_ENV=production', ...command]; // prettier-ignore
  }
  /** /data is /mnt here: the machine has no /data, and its root is not ours to make one in. */
  const entry = (): string[] => {
    const words = JSON.parse(
      chain(stages, 'last').findLast(({ name }) => name === 'ENTRYPOINT')?.text ?? '[]',
    ) as string[];
    return [process.execPath, ...words.slice(1).map((word) => word.replace('/data/', '/mnt/'))];
  };

  before(() => {
    const build = join(work, 'build');
    for (const { text: what } of chain(stages, 'sources').filter(({ name }) => name === 'COPY')) {
      const words = what.split(' ');
      const to = words.at(-1) as string;
      for (const from of words.slice(0, -1))
        cpSync(join(ROOT, from), join(build, to.endsWith('/') ? join(to, from) : to), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(build, 'node_modules'));
    // npm ci and npm prune need a registry, and what they make is here already.
    const compile = chain(stages, 'sources').filter(({ name, text: run }) => name === 'RUN' && run.includes('tsc'));
    // The types were checked when this test was built.
    const [run] = compile.map(({ text: what }) =>
      what.replace(/&& npm prune.*$/, '').replace('tsc ', 'tsc --noCheck '),
    );
    const { status, stdout, stderr } = spawnSync('sh', ['-ec', run as string], { cwd: build, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    for (const { text: what } of chain(stages, 'last').filter(({ name }) => name === 'COPY')) {
      const [, from = '', to = ''] = what.split(' ');
      const source = join(build, from.replace('/opt/certstatus/', ''));
      const target = join(image, to.endsWith('/') ? join(to, 'package.json') : to);
      mkdirSync(dirname(target), { recursive: true });
      if (to === 'node_modules') mkdirSync(target);
      else cpSync(source, target, { recursive: true });
    }
    mkdirSync(data);
    chownSync(data, user, user);
  });

  it('has no tests, and no sources but what is read', () => {
    assert.ok(!existsSync(join(image, 'dist/test')) && !existsSync(join(image, 'test')));
    assert.ok(existsSync(join(image, 'src/adapters/redis/lua/commit.lua')));
    assert.ok(!existsSync(join(image, 'src/core')));
  });

  it('serves as a user without rights on a file system that is read-only, is healthy, and stops cleanly', async (t) => {
    const [pub, origin, intake, admin] = (await freePorts(4)) as [number, number, number, number];
    const ports = ['--public-port', pub, '--origin-port', origin, '--intake-port', intake, '--admin-port', admin].map(
      String,
    );
    const run = (...args: string[]): ReturnType<typeof spawnSync> => {
      const [program = '', ...rest] = contained([...entry().slice(0, 2), '--data', '/mnt', ...args]);
      return spawnSync(program, rest, { encoding: 'utf8' });
    };
    const made = run(...ports, 'init', '--demo');
    assert.equal(made.status, 0, String(made.stderr));
    const [program = '', ...rest] = contained([...entry(), ...ports, 'serve']);
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise<number | null>((done) => child.once('close', done));
    t.after(() => child.kill('SIGKILL'));
    await until('it serves', () => {
      assert.equal(child.exitCode, null, said);
      return said.includes('"msg":"serving"');
    });
    assert.equal((await exchange({ port: admin, path: '/readyz' })).status, 200);

    const health = chain(stages, 'last').findLast(({ name }) => name === 'HEALTHCHECK')?.text ?? '';
    const [, ...check] = JSON.parse(/CMD (.*)$/.exec(health)?.[1] ?? '[]') as string[];
    const healthy = (port: number): number | null =>
      spawnSync(
        process.execPath,
        check.map((word) => word.replace('9090', String(port))),
      ).status;
    assert.equal(healthy(admin), 0);
    assert.equal(healthy(pub), 1, 'and the check can fail');

    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    assert.match(status, new RegExp(`^Uid:\\t${user}\\t${user}`, 'm'));
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(status, /^CapBnd:\t0+$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
    const [shell = '', ...words] = contained(['sh', '-c', 'touch /opt/certstatus/x || touch /etc/x || touch /x']);
    const written = spawnSync(shell, words, { encoding: 'utf8' });
    assert.notEqual(written.status, 0);
    assert.match(written.stderr, /\/opt\/certstatus\/x'?: Read-only file system/);

    child.kill('SIGTERM');
    assert.equal(await ended, 0, said);
  });
});
