/** deploy/compose.yaml names only what there is (files, commands, roles, users, ports, volumes, networks), and locks it up. */
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
  readonly image: string;
  readonly networks: readonly string[];
  readonly secrets?: readonly Secret[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly healthcheck?: object;
  readonly stop_grace_period?: string;
  readonly tmpfs?: readonly string[];
  readonly ports?: readonly string[];
}
interface Secret {
  readonly source: string;
  readonly target: string;
}
interface Compose {
  readonly services: Readonly<Record<string, Process>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: object;
  readonly networks: object;
}

const compose = parse(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8'), { merge: true }) as Compose;
const OTHERS = ['redis', 'prometheus'];
const processes = Object.entries(compose.services).filter(([name]) => !OTHERS.includes(name));

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
        const mounted = [
          ...service.volumes.map((mount) => mount.split(':')[1] as string),
          ...(service.secrets ?? []).map(({ target }) => `/run/secrets/${target}`),
        ];
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
      assert.equal(
        service.tmpfs?.some((one) => one.startsWith('/data:')),
        !keeps,
      );
      for (const one of service.tmpfs ?? []) assert.match(one, /:size=\d+m/, 'memory that is bounded');
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
        // The rules of deploy/prometheus have a test of their own.
        if (from.startsWith('./prometheus/')) continue;
        if (from.startsWith('.')) assert.ok(existsSync(resolve(DEPLOY, from)), `${name}: ${from}`);
        else assert.ok(from.startsWith('/site/') || from in compose.volumes, `${name}: ${from}`);
      }
      for (const network of networks) assert.ok(network in compose.networks, `${name}: ${network}`);
    }
    const named = new Set(processes.map(([, service]) => service.volumes.find((mount) => mount.startsWith('./compose/')) ?? '')); // prettier-ignore
    const files = readdirSync(join(DEPLOY, 'compose')).filter((name) => name.endsWith('.yaml'));
    assert.equal(named.size, files.length);
  });

  it('gives each process the password of its role alone, and no secret in the environment', () => {
    for (const [name, { secrets = [], environment = {} }] of processes) {
      const [role] = name.split('-') as [string];
      assert.deepEqual(
        secrets.map(({ source }) => source),
        [`redis-${role}`],
        name,
      );
      assert.equal(compose.secrets[`redis-${role}`]?.file, `${SITE}passwords/${role}`);
      for (const variable of Object.keys(environment)) assert.doesNotMatch(variable, /PASSWORD|SECRET|PIN|TOKEN/i);
    }
  });

  it('locks everything up: no writing but where it must, no capability, no new rights; images by version', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      assert.equal(service.read_only, true, name);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.match(service.image, /:(v?\d+\.\d+\.\d+|\$\{CERTSTATUS_VERSION:-\d+\.\d+\.\d+\})$/, name);
      // The processes' own is in the image.
      if (OTHERS.includes(name)) assert.ok(service.healthcheck !== undefined, name);
    }
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    for (const [, { image }] of processes) assert.ok(image.includes(`:-${version}}`), 'the version that is built');
  });

  it('gives a stop the time that the drain and the rest of it take', () => {
    for (const [name, service] of processes) {
      const seconds = Number(/^(\d+)s$/.exec(service.stop_grace_period ?? '')?.[1]);
      assert.ok(seconds * 1000 >= configOf(name, service).responder.drainMs + 30_000, name);
    }
  });

  it('Prometheus looks at every process, by a network that all are on and that leads nowhere', () => {
    const targets = parse(readFileSync(join(DEPLOY, 'compose/prometheus/targets.yml'), 'utf8')) as readonly {
      readonly targets: readonly string[];
      readonly labels: { readonly instance: string; readonly role: string };
    }[];
    const wanted = processes.map(([name, service]) => `${name}:${configOf(name, service).listen.admin.port}`);
    assert.deepEqual(targets.flatMap((one) => one.targets).sort(), [...wanted].sort());
    for (const {
      targets: [at],
      labels,
    } of targets)
      assert.equal(at, `${labels.instance}:9090`);
    for (const [name, { networks }] of [
      ...processes,
      ['prometheus', compose.services['prometheus'] as Process] as const,
    ])
      assert.ok(networks.includes('metrics'), name);
    assert.deepEqual((compose.networks as Record<string, unknown>)['metrics'], { internal: true });
  });

  it('the store is reached by those who use it alone, and the monitor asks a responder by a network they share', () => {
    for (const [name, { networks }] of Object.entries(compose.services))
      assert.equal(networks.includes('store'), name !== 'prometheus', name);
    const monitor = compose.services['monitor-1'] as Process;
    const { through } = configOf('monitor-1', monitor).monitor;
    const { hostname, port } = new URL(through ?? '');
    const asked = compose.services[hostname] as Process;
    assert.equal(Number(port), configOf(hostname, asked).listen.public.port);
    assert.ok(
      asked.networks.some(
        (network) => network !== 'store' && network !== 'metrics' && monitor.networks.includes(network),
      ),
    );
  });
});
