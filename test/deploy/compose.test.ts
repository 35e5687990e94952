/** deploy/compose.yaml and deploy/Dockerfile name only what there is: files, commands, roles, users, ports, volumes, networks. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { loadConfig, type Config } from '../../src/apps/config.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const DEPLOY = join(ROOT, 'deploy');
const SITE = '${CERTSTATUS_SITE}/';

interface Process {
  readonly command: readonly string[];
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly ports?: readonly string[];
}
interface Compose {
  readonly services: Readonly<Record<string, Process>>;
  readonly volumes: object;
  readonly networks: object;
}

const compose = parse(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8'), { merge: true }) as Compose;
const processes = Object.entries(compose.services).filter(([name]) => name !== 'redis');

/** certstatus.yaml as the process of this name gets it. */
function configOf(name: string, { volumes, environment = {} }: Process): Config {
  const [file] = (volumes.find((mount) => mount.includes(':/data/certstatus.yaml')) as string).split(':');
  return loadConfig({ configFile: resolve(DEPLOY, file as string), env: environment, nowMs: Date.now() }).config;
}

describe('compose.yaml', () => {
  it('has the whole set-up', () => {
    const names = ['intake-1', 'intake-2', 'signer-1', 'signer-2', 'responder-1', 'responder-2', 'responder-3', 'monitor-1']; // prettier-ignore
    assert.deepEqual(processes.map(([name]) => name).sort(), names.sort());
  });

  for (const [name, service] of processes) {
    it(`${name}: has a configuration with its role, its name and its user of the Redis`, () => {
      const config = configOf(name, service);
      const [role] = name.split('-') as [string];
      assert.deepEqual([config.name, ...config.roles], [name, role]);
      assert.ok(config.store.kind === 'redis' && config.store.topology.kind === 'standalone');
      assert.ok(config.store.topology.host in compose.services);
      const intakes = Object.keys(compose.services).filter((other) => other.startsWith('intake-'));
      assert.deepEqual(config.store.intakes, intakes);
      const users = readFileSync(join(DEPLOY, 'redis', 'users.acl'), 'utf8');
      assert.match(users, new RegExp(`^user ${config.store.username} `, 'm'));
      const wanted = [config.store.passwordFile, config.intake?.key, config.cli?.key].flatMap((file) => file ?? []);
      for (const file of wanted) {
        const inContainer = file.replace(`${join(DEPLOY, 'compose')}/`, '/data/');
        const mounted = service.volumes.map((mount) => mount.split(':')[1] as string);
        assert.ok(
          mounted.some((mount) => inContainer === mount || inContainer.startsWith(`${mount}/`)),
          inContainer,
        );
      }
    });

    it(`${name}: publishes ports that its role listens on`, () => {
      const { listen, roles } = configOf(name, service);
      const open = [
        listen.admin,
        ...(roles.has('responder') ? [listen.public, listen.origin] : []),
        ...(roles.has('intake') || roles.has('signer') ? [listen.intake] : []),
      ].flatMap((one) => (one?.host === '0.0.0.0' ? one.port : []));
      for (const mapping of service.ports ?? []) assert.ok(open.includes(Number(mapping.split(':').at(-1))), mapping);
    });

    it(`${name}: runs a command that there is, from an image that can be built`, () => {
      const [command = ''] = service.command;
      const cli = join(ROOT, 'dist/src/apps/cli.js');
      assert.equal(spawnSync(process.execPath, [cli, command, '--help']).status, 0, command);
      assert.ok(existsSync(resolve(DEPLOY, service.build?.context ?? '-', service.build?.dockerfile ?? '-')));
    });

    it(`${name}: shares its directory with nobody`, () => {
      const own = service.volumes.filter((mount) => mount.endsWith(':/data'));
      const keeps = name.startsWith('intake') || name.startsWith('signer');
      assert.deepEqual(own, keeps ? [`${name}:/data`] : []);
      assert.equal(service.tmpfs?.includes('/data'), !keeps);
    });
  }

  it('only signers get key files (P7)', () => {
    for (const [name, { volumes }] of processes) {
      const own = volumes.filter((mount) => mount.includes(':/data/issuers'));
      assert.deepEqual(
        own,
        name.startsWith('signer') ? [`${SITE}${name}/issuers:/data/issuers`] : [`${SITE}issuers:/data/issuers:ro`],
      );
    }
  });

  it('names files, volumes and networks that there are', () => {
    for (const [name, { volumes, networks }] of Object.entries(compose.services)) {
      for (const mount of volumes) {
        const [from] = mount.replace(SITE, '/site/').split(':') as [string];
        if (from.startsWith('.')) assert.ok(existsSync(resolve(DEPLOY, from)), `${name}: ${from}`);
        else assert.ok(from.startsWith('/site/') || from in compose.volumes, `${name}: ${from}`);
      }
      for (const network of networks) assert.ok(network in compose.networks, `${name}: ${network}`);
    }
    const named = new Set(processes.map(([, service]) => service.volumes.find((mount) => mount.startsWith('./compose/')) ?? '')); // prettier-ignore
    assert.equal(named.size, readdirSync(join(DEPLOY, 'compose')).length);
  });
});

describe('Dockerfile', () => {
  const lines = readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8').split('\n');

  it('copies what there is', () => {
    for (const line of lines.filter((one) => one.startsWith('COPY '))) {
      const words = line.split(' ').slice(1, -1);
      const sources = words
        .filter((word) => !word.startsWith('--'))
        .map((word) => word.replace('/opt/certstatus/', ''));
      for (const source of sources) assert.ok(existsSync(join(ROOT, source)), source);
    }
  });

  it('starts the program of package.json', () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: { certstatus: string } };
    assert.ok(
      lines.some((line) => line.startsWith('ENTRYPOINT') && line.includes(`/opt/certstatus/${bin.certstatus}`)),
    );
  });
});
