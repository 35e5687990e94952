/**
 * deploy/kubernetes without a cluster: each manifest has the types of the API, names only what there is, locks up what it runs, and lets
 * through the connections of the firewall table in deploy/README.md and no others. Each check has a manifest that it refuses.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { loadConfig, type Config } from '../../src/apps/config.ts';
import { documentsIn, documentsOf, typeErrors, type Document, type Manifest } from './manifests.ts';
import { allowed, type Party, type Port } from './network-matrix.ts';

const DIRECTORY = resolve(import.meta.dirname, '../../../deploy/kubernetes');
const documents = documentsIn(DIRECTORY);
const optional = documentsOf(join(DIRECTORY, 'optional/redis.yaml'));
const all = [...documents, ...optional];
const ROLES = ['responder', 'signer', 'intake', 'monitor'] as const;

const of = (kind: string, among: readonly Document[] = all): readonly Manifest[] =>
  among.map(({ manifest }) => manifest).filter((manifest) => manifest.kind === kind);
const workloads = (among: readonly Document[] = all): readonly Manifest[] => [
  ...of('Deployment', among),
  ...of('StatefulSet', among),
];
const named = (kind: string, name: string): Manifest =>
  of(kind).find(({ metadata }) => metadata.name === name) ?? assert.fail(`no ${kind} ${name}`);
const clone = (manifest: Manifest): Manifest => structuredClone(manifest);

/** certstatus.yaml of a role, read as the process would. */
function configOf(
  role: string,
  text = named('ConfigMap', `certstatus-${role}`).data['certstatus.yaml'] as string,
): Config {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-kubernetes-'));
  try {
    writeFileSync(join(directory, 'certstatus.yaml'), text);
    const name = role === 'intake' ? 'intake-0' : `${role}-0`;
    const env = { CERTSTATUS_NAME: name };
    return loadConfig({ configFile: join(directory, 'certstatus.yaml'), env, nowMs: Date.now() }).config;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('the manifests', () => {
  it('have the types of the API', () => {
    assert.deepEqual(typeErrors(all), []);
  });

  it('a field that there is not, a wrong type and an unknown kind are found', () => {
    const responder = named('Deployment', 'responder');
    const bad: readonly (readonly [(manifest: Manifest) => void, RegExp])[] = [
      [
        (one) => (one.spec.template.spec.containers[0].securityContext.readOnlyRootFileSystem = true),
        /readOnlyRootFileSystem/,
      ],
      [(one) => (one.spec.replicas = '3'), /number/],
      [(one) => (one.kind = 'Deploiment'), /Deploiment/],
      [(one) => (one.apiVersion = 'v1'), /Deployment/],
    ];
    const changed = bad.map(([change]) => {
      const manifest = clone(responder);
      change(manifest);
      return { file: 'bad', manifest };
    });
    const found = typeErrors(changed);
    for (const [, message] of bad)
      assert.ok(
        found.some((line) => message.test(line)),
        `${message}: ${found.join('\n')}`,
      );
    assert.throws(() => documentsOf('twice', 'a: 1\na: 2\n'), /unique/);
  });

  it('are all in kustomization.yaml, with the version that is built', () => {
    const { resources, images, namespace } = parse(
      readFileSync(join(DIRECTORY, 'kustomization.yaml'), 'utf8'),
    ) as Manifest;
    const files = new Set(documents.map(({ file }) => file.slice(DIRECTORY.length + 1)));
    assert.deepEqual([...resources].sort(), [...files].sort());
    const { version } = JSON.parse(readFileSync(resolve(DIRECTORY, '../../package.json'), 'utf8')) as {
      version: string;
    };
    assert.equal(images[0].newTag, version);
    for (const { manifest } of all)
      assert.equal(manifest.metadata.namespace ?? manifest.metadata.name, namespace, manifest.metadata.name);
  });

  it('name each thing once', () => {
    const names = all.map(({ manifest }) => `${manifest.kind} ${manifest.metadata.name}`);
    assert.equal(new Set(names).size, names.length);
  });
});

/** What names what is not there. */
function dangling(among: readonly Document[]): string[] {
  const found: string[] = [];
  const pods = workloads(among);
  const covers = (selector: Record<string, string>, labels: Record<string, string>): boolean =>
    Object.entries(selector).every(([name, value]) => labels[name] === value);
  const selectors: (readonly [string, Record<string, string>])[] = [
    ...of('Service', among).map((one) => [`Service ${one.metadata.name}`, one.spec.selector] as const),
    ...of('PodDisruptionBudget', among).map(
      (one) => [`PDB ${one.metadata.name}`, one.spec.selector.matchLabels] as const,
    ),
    ...of('NetworkPolicy', among).map(
      (one) => [`NetworkPolicy ${one.metadata.name}`, one.spec.podSelector.matchLabels ?? {}] as const,
    ),
  ];
  for (const [what, selector] of selectors)
    if (!pods.some((pod) => covers(selector, pod.spec.template.metadata.labels))) found.push(`${what} selects nothing`);
  for (const pod of pods) {
    const { name } = pod.metadata;
    const { labels } = pod.spec.template.metadata;
    if (!covers(pod.spec.selector.matchLabels, labels)) found.push(`${name} does not select its own pods`);
    const others = pods.filter(
      (other) => other !== pod && covers(pod.spec.selector.matchLabels, other.spec.template.metadata.labels),
    );
    for (const other of others) found.push(`${name} selects the pods of ${other.metadata.name}`);
    const { spec } = pod.spec.template;
    const volumes = new Set([...(spec.volumes ?? []), ...(pod.spec.volumeClaimTemplates ?? []).map((one: Manifest) => one.metadata)].map((one: Manifest) => one.name)); // prettier-ignore
    const used = new Set<string>();
    for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
      for (const { name: volume } of container.volumeMounts) {
        used.add(volume);
        if (!volumes.has(volume)) found.push(`${name} mounts ${volume}, which there is not`);
      }
      const ports = new Set((container.ports ?? []).map((one: Manifest) => one.name));
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
        const port = container[probe]?.httpGet?.port ?? container[probe]?.tcpSocket?.port;
        if (port !== undefined && !ports.has(port))
          found.push(`${name}: ${probe} asks port ${port}, which there is not`);
      }
    }
    for (const volume of volumes) if (!used.has(volume)) found.push(`${name}: nobody mounts ${volume}`);
    if (
      spec.serviceAccountName !== undefined &&
      !of('ServiceAccount', among).some(({ metadata }) => metadata.name === spec.serviceAccountName)
    )
      found.push(`${name}: no ServiceAccount ${spec.serviceAccountName}`);
    if (
      pod.kind === 'StatefulSet' &&
      !of('Service', among).some(
        ({ metadata, spec: service }) =>
          metadata.name === pod.spec.serviceName && (service.clusterIP === 'None' || name === 'redis'),
      )
    )
      found.push(`${name}: no headless Service ${pod.spec.serviceName}`);
  }
  for (const service of of('Service', among))
    for (const { targetPort } of service.spec.ports)
      for (const pod of pods.filter((one) => covers(service.spec.selector, one.spec.template.metadata.labels)))
        if (
          !pod.spec.template.spec.containers.some((one: Manifest) =>
            one.ports.some((port: Manifest) => port.name === targetPort),
          )
        )
          found.push(`Service ${service.metadata.name}: ${pod.metadata.name} has no port ${targetPort}`);
  for (const { spec } of of('HorizontalPodAutoscaler', among))
    if (!pods.some((pod) => pod.kind === spec.scaleTargetRef.kind && pod.metadata.name === spec.scaleTargetRef.name))
      found.push('HPA scales nothing');
  return found;
}

describe('what the manifests name', () => {
  it('is there', () => {
    assert.deepEqual(dangling(all), []);
  });

  for (const [what, kind, name, change] of [
    [
      'a selector',
      'Service',
      'responder',
      (one: Manifest) => (one.spec.selector['app.kubernetes.io/component'] = 'respond'),
    ],
    ['a port', 'Service', 'responder', (one: Manifest) => (one.spec.ports[0].targetPort = 'http')],
    ['a volume', 'StatefulSet', 'intake', (one: Manifest) => one.spec.template.spec.volumes.pop()],
    [
      'a probe',
      'Deployment',
      'monitor',
      (one: Manifest) => (one.spec.template.spec.containers[0].readinessProbe.httpGet.port = 'web'),
    ],
    [
      'a budget',
      'PodDisruptionBudget',
      'signer',
      (one: Manifest) => (one.spec.selector.matchLabels = { app: 'signer' }),
    ],
    [
      'a service account',
      'Deployment',
      'monitor',
      (one: Manifest) => (one.spec.template.spec.serviceAccountName = 'default-2'),
    ],
  ] as const) {
    it(`${what} that is misspelt is found`, () => {
      const changed = all.map(({ file, manifest }) => {
        if (manifest.kind !== kind || manifest.metadata.name !== name) return { file, manifest };
        const copy = clone(manifest);
        change(copy);
        return { file, manifest: copy };
      });
      assert.notDeepEqual(dangling(changed), []);
    });
  }

  it('secrets are referred to, and stand in no manifest', () => {
    assert.deepEqual(of('Secret'), []);
    for (const pod of workloads())
      for (const container of pod.spec.template.spec.containers)
        for (const { name, value } of container.env ?? []) {
          assert.equal(value, undefined, name);
          assert.doesNotMatch(name, /PASSWORD|SECRET|PIN|TOKEN|KEY/i);
        }
  });

  it('each role gets the password of its own user of the Redis, and nobody else a key', () => {
    for (const role of ROLES) {
      const pod = workloads().find(({ metadata }) => metadata.name === role) ?? assert.fail(role);
      const secrets = pod.spec.template.spec.volumes.flatMap((one: Manifest) => one.secret?.secretName ?? []);
      const tls = role === 'intake' || role === 'signer' ? [`${role}-tls`] : [];
      assert.deepEqual(secrets, [`redis-${role}`, ...tls], role);
    }
  });
});

describe('the configuration in the manifests', () => {
  for (const role of ROLES) {
    const pod = workloads().find(({ metadata }) => metadata.name === role) ?? assert.fail(role);
    const { spec } = pod.spec.template;
    const [container] = spec.containers as [Manifest];

    it(`${role}: is one that the program takes, with the ports and files of its pod`, () => {
      const config = configOf(role);
      assert.deepEqual([...config.roles], [role]);
      const { listen, store } = config;
      const wanted = [
        listen.admin.port,
        ...(role === 'responder' ? [listen.public.port, listen.origin?.port] : []),
        ...(role === 'signer' || role === 'intake' ? [listen.intake.port] : []),
      ];
      assert.deepEqual(container.ports.map((one: Manifest) => one.containerPort).sort(), wanted.sort());
      assert.ok(store.kind === 'redis' && store.topology.kind === 'standalone');
      assert.equal(store.topology.host, named('Service', 'redis').metadata.name);
      assert.equal(store.topology.port, named('Service', 'redis').spec.ports[0].port);
      assert.equal(store.username, `certstatus-${role}`);
      const mounted = container.volumeMounts.map((one: Manifest) => one.mountPath as string);
      const files = [store.passwordFile, config.intake?.certificate, config.intake?.key, config.intake?.clientCa];
      for (const file of files.flatMap((one) => one ?? []))
        assert.ok(
          mounted.some((path: string) => file.startsWith(`${path}/`)),
          file,
        );
      const { replicas } = named('StatefulSet', 'intake').spec;
      assert.deepEqual(
        store.intakes,
        Array.from({ length: replicas }, (_, i) => `intake-${i}`),
      );
    });

    it(`${role}: has its name from its pod, and is asked for life and readiness`, () => {
      assert.deepEqual(container.env[0], {
        name: 'CERTSTATUS_NAME',
        valueFrom: { fieldRef: { fieldPath: 'metadata.name' } },
      });
      assert.equal(container.readinessProbe.httpGet.path, '/readyz');
      assert.equal(container.livenessProbe.httpGet.path, '/livez');
      assert.equal(container.startupProbe.httpGet.path, '/livez');
    });

    it(`${role}: a stop has the time that the drain and the rest of it take`, () => {
      const { drainMs } = configOf(role).responder;
      const { periodSeconds, failureThreshold } = container.readinessProbe;
      if (role === 'responder')
        assert.ok(drainMs > 2000 * periodSeconds * failureThreshold, 'the endpoints have heard');
      assert.ok(spec.terminationGracePeriodSeconds * 1000 >= drainMs + 30_000);
    });
  }

  it('one that the program would refuse is found', () => {
    assert.throws(
      () => configOf('intake', 'roles: [intake]\nstore: { redis: { host: redis, intakes: [intake-1] } }\n'),
      /intakes/,
    );
  });
});

/** What the Pod Security Standard `restricted` asks for, and a little more. */
function unlocked(manifest: Manifest): string[] {
  const { spec } = manifest.spec.template;
  const found: string[] = [];
  const want = (what: string, fine: boolean): void => void (fine || found.push(`${manifest.metadata.name}: ${what}`));
  const pod = spec.securityContext ?? {};
  want('runs as root', pod.runAsNonRoot === true && pod.runAsUser > 0);
  want('no seccomp profile', pod.seccompProfile?.type === 'RuntimeDefault');
  want('gets a token of the API', spec.automountServiceAccountToken === false);
  want('is on the network of the machine', !spec.hostNetwork && !spec.hostPID && !spec.hostIPC);
  want('mounts the machine', !(spec.volumes ?? []).some((one: Manifest) => one.hostPath !== undefined));
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const own = container.securityContext ?? {};
    want('may gain rights', own.allowPrivilegeEscalation === false && own.privileged === false);
    want('writes where it likes', own.readOnlyRootFilesystem === true);
    want('has capabilities', JSON.stringify(own.capabilities) === '{"drop":["ALL"]}');
    want(
      'has no bounds',
      container.resources?.limits?.memory !== undefined && container.resources?.requests?.cpu !== undefined,
    );
    want('has no version', /:\d+\.\d+\.\d+$/.test(container.image));
  }
  return found;
}

describe('what the manifests run', () => {
  it('is locked up', () => {
    assert.deepEqual(workloads().flatMap(unlocked), []);
    assert.equal(named('Namespace', 'certstatus').metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
    for (const account of of('ServiceAccount')) assert.equal(account.automountServiceAccountToken, false);
  });

  for (const [what, change] of [
    ['root', (spec: Manifest) => (spec.securityContext.runAsUser = 0)],
    ['a capability', (spec: Manifest) => (spec.containers[0].securityContext.capabilities.add = ['NET_ADMIN'])],
    [
      'a file system that can be written to',
      (spec: Manifest) => delete spec.containers[0].securityContext.readOnlyRootFilesystem,
    ],
    ['a version that moves', (spec: Manifest) => (spec.containers[0].image = 'certstatus:latest')],
    ['a token', (spec: Manifest) => delete spec.automountServiceAccountToken],
    ['memory without end', (spec: Manifest) => delete spec.containers[0].resources.limits],
    ['the machine', (spec: Manifest) => spec.volumes.push({ name: 'x', hostPath: { path: '/' } })],
  ] as const) {
    it(`${what} is found`, () => {
      const changed = clone(named('Deployment', 'responder'));
      change(changed.spec.template.spec);
      assert.equal(unlocked(changed).length, 1);
    });
  }

  it('an update takes no responder away before another is ready, and one signer or intake at most', () => {
    const { spec } = named('Deployment', 'responder');
    assert.deepEqual(spec.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
    assert.ok(
      named('PodDisruptionBudget', 'responder').spec.minAvailable <
        named('HorizontalPodAutoscaler', 'responder').spec.minReplicas,
    );
    for (const role of ['signer', 'intake']) assert.equal(named('PodDisruptionBudget', role).spec.maxUnavailable, 1);
    assert.equal(named('StatefulSet', 'signer').spec.updateStrategy.type, 'OnDelete', 'persons come between');
  });

  it('journals survive their pods', () => {
    for (const role of ['signer', 'intake']) {
      const { spec } = named('StatefulSet', role);
      assert.deepEqual(spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' });
      assert.equal(spec.volumeClaimTemplates[0].metadata.name, 'data');
    }
  });
});

describe('the network policies', () => {
  const policies = of('NetworkPolicy');
  const pod = (name: string): Party => ({
    name,
    namespace: 'certstatus',
    labels: (workloads().find(({ metadata }) => metadata.name === name) ?? assert.fail(name)).spec.template.metadata
      .labels,
  });
  const [responder, signer, intake, monitor, redis] = ['responder', 'signer', 'intake', 'monitor', 'redis'].map(pod) as [Party, Party, Party, Party, Party]; // prettier-ignore
  const names: Party = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  const prometheus: Party = { name: 'prometheus', namespace: 'monitoring', labels: { 'app.kubernetes.io/name': 'prometheus' } }; // prettier-ignore
  const neighbour: Party = { name: 'a neighbour', namespace: 'default', labels: {} };
  const inside: Party = { name: 'a stranger in the namespace', namespace: 'certstatus', labels: { app: 'x' } };
  const impostor: Party = { name: 'prometheus elsewhere', namespace: 'default', labels: { 'app.kubernetes.io/name': 'prometheus' } }; // prettier-ignore
  const world: Party = { name: 'the world', address: '203.0.113.7' };
  const world6: Party = { name: 'the world by IPv6', address: '2001:db8::7' };
  const ca: Party = { name: 'the CA', address: '10.10.0.7' };
  const officer: Party = { name: 'a key officer', address: '10.10.1.7' };
  const hsm: Party = { name: 'the HSM', address: '10.20.0.7' };
  const parties = [
    responder,
    signer,
    intake,
    monitor,
    redis,
    names,
    prometheus,
    neighbour,
    inside,
    impostor,
    world,
    world6,
    ca,
    officer,
    hsm,
  ];
  const PORTS: readonly Port[] = [
    ...[80, 8080, 8081, 8082, 9090, 6379, 26379, 1792, 443, 53].map((port) => ({ port, protocol: 'TCP' as const })),
    { port: 53, protocol: 'UDP' },
  ];
  const flow = (from: Party, to: Party, { port, protocol }: Port): string =>
    `${from.name} → ${to.name} ${port}/${protocol}`;

  /** Connections that begin or end at a pod of ours, and are let through. */
  const matrix = (of: readonly Manifest[]): string[] =>
    parties.flatMap((from) =>
      parties
        .filter((to) => to !== from && [from, to].some((one) => 'namespace' in one && one.namespace === 'certstatus'))
        .flatMap((to) => PORTS.filter((port) => allowed(of, from, to, port)).map((port) => flow(from, to, port))),
    );

  /** The table of deploy/README.md, and names. The world, the CA and officers are addresses: whoever is one of them is of the world too. */
  const table = new Set([
    ...[world, world6, ca, officer, hsm].flatMap((one) => [
      flow(one, responder, { port: 8080, protocol: 'TCP' }),
      flow(one, responder, { port: 8082, protocol: 'TCP' }),
    ]),
    flow(ca, intake, { port: 8081, protocol: 'TCP' }),
    flow(officer, signer, { port: 8081, protocol: 'TCP' }),
    flow(signer, hsm, { port: 1792, protocol: 'TCP' }),
    flow(monitor, responder, { port: 8080, protocol: 'TCP' }),
    ...[responder, signer, intake, monitor].flatMap((one) => [
      flow(one, redis, { port: 6379, protocol: 'TCP' }),
      flow(one, redis, { port: 26379, protocol: 'TCP' }),
      flow(prometheus, one, { port: 9090, protocol: 'TCP' }),
    ]),
    ...[responder, signer, intake, monitor, redis, inside].flatMap((one) => [
      flow(one, names, { port: 53, protocol: 'TCP' }),
      flow(one, names, { port: 53, protocol: 'UDP' }),
    ]),
  ]);

  it('let through exactly what the firewall table has', () => {
    assert.deepEqual(new Set(matrix(policies)), table);
  });

  it('the table is that of deploy/README.md', () => {
    const readme = readFileSync(resolve(DIRECTORY, '../README.md'), 'utf8');
    for (const row of [
      /^\| the world \| responders.*8080, 8082 \|$/m,
      /^\| the CA's issuing systems \| intakes \| 8081/m,
      /^\| key officers' workstations \| signers \| 8081/m,
      /^\| intakes, signers, responders, monitor \| Redis, Sentinels \| 6379, 26379/m,
      /^\| monitoring, operators \| all \| 9090; nobody else \|$/m,
      /^\| monitor \| responders, or what is before them \| 8080 \|$/m,
      /^\| load balancer \| responders: .* \| 9090 \|$/m,
      /^\| signers \| HSM \|/m,
    ])
      assert.match(readme, row);
  });

  for (const name of policies.map(({ metadata }) => metadata.name as string)) {
    it(`without ${name} something else comes through, or does not`, () => {
      const without = policies.filter(({ metadata }) => metadata.name !== name);
      assert.notDeepEqual(new Set(matrix(without)), table);
    });
  }
});
