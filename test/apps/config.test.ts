import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { checkConfig, configSchema, findConfigFile, loadConfig, type LoadOptions } from '../../src/apps/config.ts';
import { exampleConfig } from '../../src/apps/demo.ts';
import { type NewIssuer, writeIssuer } from '../../src/apps/add-issuer.ts';
import { checkKeys } from '../../src/apps/issuer-keys.ts';
import { deployFile } from '../../src/apps/deploy-file.ts';
import * as write from '../../src/core/certificate-writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import {
  caCertificate,
  ecKey,
  keyIdOf,
  NOW,
  responderCertificate,
  responderExtensions,
  rsaKey,
} from '../core/sample-pki.ts';

const root = mkdtempSync(join(tmpdir(), 'certstatus-config-'));
after(() => rmSync(root, { recursive: true }));

let count = 0;
/** A directory with these files. */
function place(files: Record<string, string>): string {
  const directory = join(root, String((count += 1)));
  mkdirSync(directory);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}
const load = (directory: string, more: Partial<LoadOptions> = {}): ReturnType<typeof loadConfig> =>
  loadConfig({ configFile: join(directory, 'certstatus.yaml'), nowMs: NOW, ...more });
function problem(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    return error as Problem;
  }
  return assert.fail('nothing was refused');
}

const [ca, responder] = [rsaKey(), rsaKey()];
const privatePem = ({ privateKey }: typeof ca): string => privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
const PEM = {
  ca: write.pem('CERTIFICATE', caCertificate(ca)),
  renewed: write.pem('CERTIFICATE', caCertificate(ca, { notBefore: NOW - DAY })),
  otherCa: write.pem('CERTIFICATE', caCertificate(ecKey())),
  responder: write.pem('CERTIFICATE', responderCertificate(ca, responder)),
  next: write.pem(
    'CERTIFICATE',
    responderCertificate(ca, responder, { notBefore: NOW + DAY, notAfter: NOW + 60 * DAY }),
  ),
  expired: write.pem(
    'CERTIFICATE',
    responderCertificate(ca, responder, { notBefore: NOW - 60 * DAY, notAfter: NOW - DAY }),
  ),
};
const ISSUER =
  'preset: baseline\ncaCertificates: [ca.pem]\nresponders: [{ certificate: r.pem, key: r.key }]\ncrl: { key: ca.key }\n';
const issuer = (yaml = ISSUER, files: Record<string, string> = {}): string =>
  place({
    'certstatus.yaml': '',
    'issuers/one/issuer.yaml': yaml,
    'issuers/one/ca.pem': PEM.ca,
    'issuers/one/r.pem': PEM.responder,
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`issuers/one/${name}`, text])),
  });

describe('certstatus.yaml', () => {
  it('may be empty: everything has a default, and data lies beside it', () => {
    const directory = place({ 'certstatus.yaml': '' });
    const { config, issuers } = load(directory);
    assert.deepEqual(issuers, []);
    assert.deepEqual(config.listen, {
      public: { host: '127.0.0.1', port: 8080, hold: 'bare', maxConnections: 15_000 },
      origin: { host: '127.0.0.1', port: 8082, maxConnections: 3000 },
      intake: { host: '127.0.0.1', port: 8081 },
      admin: { host: '127.0.0.1', port: 9090 },
    });
    assert.equal(config.dataDir, directory);
    assert.deepEqual([config.intake, config.cli, config.logLevel], [undefined, undefined, 'info']);
  });

  it('takes paths relative to itself', () => {
    const directory = place({
      'certstatus.yaml':
        'dataDir: store\nintake: { certificate: a, key: /abs/b, clientCa: ../c }\ncli: { certificate: d, key: e, ca: f }',
    });
    const { config } = load(directory);
    assert.equal(config.dataDir, join(directory, 'store'));
    assert.deepEqual(config.intake, {
      certificate: join(directory, 'a'),
      key: '/abs/b',
      clientCa: join(root, 'c'),
      clientCrl: undefined,
      clients: [],
      separation: 'strict',
    });
    assert.equal(config.cli?.ca, join(directory, 'f'));
  });

  it('is overridden by the environment, and that by flags', () => {
    const directory = place({
      'certstatus.yaml': 'dataDir: store\nlisten: { public: { host: 0.0.0.0, port: 1 }, origin: off }',
    });
    const env = {
      CERTSTATUS_CONFIG: join(directory, 'certstatus.yaml'),
      CERTSTATUS_DATA: 'elsewhere',
      CERTSTATUS_PUBLIC_PORT: '2',
      CERTSTATUS_ORIGIN_PORT: '3',
      CERTSTATUS_INTAKE_PORT: '4',
      CERTSTATUS_ADMIN_PORT: '5',
    };
    const { config } = loadConfig({ env, cwd: root, nowMs: NOW });
    assert.equal(config.dataDir, join(root, 'elsewhere'));
    assert.deepEqual(config.listen, {
      public: { host: '0.0.0.0', port: 2, hold: 'bare', maxConnections: 15_000 },
      origin: { host: '127.0.0.1', port: 3, maxConnections: 3000 },
      intake: { host: '127.0.0.1', port: 4 },
      admin: { host: '127.0.0.1', port: 5 },
    });
    const flags = {
      dataDir: 'flag',
      publicPort: 6,
      originPort: 'off',
      intakePort: 7,
      adminPort: 0,
      logLevel: 'warn',
    } as const;
    const flagged = loadConfig({ env, cwd: root, overrides: flags, nowMs: NOW }).config;
    assert.equal(flagged.dataDir, join(root, 'flag'));
    assert.deepEqual(
      [flagged.listen.public.port, flagged.listen.origin, flagged.listen.intake.port, flagged.listen.admin.port],
      [6, undefined, 7, 0],
    );
    assert.equal(flagged.logLevel, 'warn');
    assert.equal(load(directory, { env: { CERTSTATUS_ORIGIN_PORT: 'off' } }).config.listen.origin, undefined);
    assert.equal(load(directory).config.listen.origin, undefined);
    const wrong = problem(() => load(directory, { env: { CERTSTATUS_ADMIN_PORT: '65536' } }));
    assert.deepEqual([wrong.code, wrong.field, wrong.value], ['config', 'CERTSTATUS_ADMIN_PORT', '65536']);
  });

  it('is searched: --config, $CERTSTATUS_CONFIG, the data directory, the working directory', () => {
    const directory = place({ 'certstatus.yaml': '', 'd/certstatus.yaml': '', 'data/certstatus.yaml': '' });
    const found = (options: Omit<LoadOptions, 'nowMs' | 'cwd'>): string =>
      findConfigFile({ cwd: directory, ...options }).slice(directory.length + 1);
    const env = { CERTSTATUS_CONFIG: 'named', CERTSTATUS_DATA: 'd' };
    assert.equal(found({ configFile: 'flag', env, overrides: { dataDir: 'd' } }), 'flag');
    assert.equal(found({ env }), 'named');
    assert.equal(found({ env: { CERTSTATUS_DATA: 'd' } }), 'd/certstatus.yaml');
    assert.equal(found({ env, overrides: {}, configFile: undefined }), 'named');
    assert.equal(found({ overrides: { dataDir: 'd' } }), 'd/certstatus.yaml');
    assert.equal(found({}), 'data/certstatus.yaml');
    assert.equal(found({ env: { CERTSTATUS_DATA: 'none' } }), 'certstatus.yaml');
    const missing = problem(() => findConfigFile({ cwd: place({}), env: {} }));
    assert.match(missing.line, /data\/certstatus\.yaml and .*certstatus init/);
  });

  it('names file, line, key and value of every mistake', () => {
    const directory = place({
      'certstatus.yaml':
        'listen:\n  public:\n    port: 99999\n  origin: on\nlogLevl: info\ncli:\n  certificate: a\n  key: b\n  ca: 7\n',
    });
    const file = join(directory, 'certstatus.yaml');
    const messages = checkConfig({ configFile: file, nowMs: NOW }).map(({ message }) =>
      message.replaceAll(file, 'FILE'),
    );
    assert.equal(messages.length, 4);
    assert.match(messages[0] ?? '', /^FILE:3: listen\.public\.port = 99999: /);
    assert.match(messages[1] ?? '', /^FILE:4: listen\.origin = on: /);
    assert.match(messages[2] ?? '', /^FILE:9: cli\.ca = 7: /);
    assert.equal(messages[3], 'FILE:5: logLevl: no such key');
    assert.match(problem(() => load(directory)).line, /listen\.public\.port = 99999/);
  });

  it('points at a syntax error with line and column', () => {
    const directory = place({ 'certstatus.yaml': 'dataDir: .\nlisten: { public: [\n' });
    const { field, rule } = problem(() => load(directory));
    assert.match(field ?? '', /certstatus\.yaml:[23]:\d+$/);
    assert.equal(rule, 'YAML 1.2');
    const twice = problem(() => load(place({ 'certstatus.yaml': 'dataDir: a\ndataDir: b\n' })));
    assert.match(twice.field ?? '', /certstatus\.yaml:2:1$/);
  });

  it('reports what cannot be read', () => {
    assert.match(problem(() => loadConfig({ configFile: join(root, 'none'), nowMs: NOW })).line, /cannot be read/);
  });

  it('warns of a client of an issuer that is not here', () => {
    const clients = 'clients: [{ name: x, issuers: [twp], may: [read] }]';
    const { warnings } = load(
      place({ 'certstatus.yaml': `intake: { certificate: a, key: b, clientCa: c, ${clients} }` }),
    );
    assert.match(warnings.map(({ message }) => message).join(), /x names twp/);
  });
});

describe('the rights of one person', () => {
  const config = (clients: string, more = ''): string =>
    `intake: { certificate: a, key: b, clientCa: c, clients: [${clients}]${more} }`;
  const client = (...may: string[]): string => `{ name: alice, issuers: ['*'], may: [${may.join(', ')}] }`;
  const refused = (yaml: string): RegExp | undefined => {
    try {
      load(place({ 'certstatus.yaml': yaml }));
      return undefined;
    } catch (error) {
      assert.ok(error instanceof Problem);
      assert.match(error.rule ?? '', /SR-5\.2\.4/);
      return new RegExp(error.message);
    }
  };

  it('are never operating, activating and auditing together (SR-5.2.4, SJ-5.2.4)', () => {
    for (const lax of ['', ', separation: lax']) {
      assert.ok(refused(config(client('operate', 'activate', 'audit'), lax)));
      assert.ok(refused(config(client('activate', 'audit'), lax)));
      for (const fine of [
        ['view', 'audit'],
        ['view', 'operate', 'activate'],
        ['issue', 'revoke', 'read', 'keys', 'operate'],
      ])
        assert.equal(refused(config(client(...fine), lax)), undefined, fine.join());
    }
  });

  it('are operating and auditing only where that is chosen, and then there is a warning', () => {
    assert.ok(refused(config(client('operate', 'audit'))));
    const { warnings } = load(place({ 'certstatus.yaml': config(client('operate', 'audit'), ', separation: lax') }));
    assert.deepEqual(
      warnings.map(({ rule }) => rule),
      ['SJ-5.2.4'],
    );
  });

  it('may stand with several persons', () => {
    const apart = [client('operate'), client('audit').replace('alice', 'bob')].join(', ');
    assert.equal(refused(config(apart)), undefined);
  });

  it('are asked over TLS with the files of the intake, or with its own; without either it is refused', () => {
    const intake = 'intake: { certificate: a, key: b, clientCa: /c }';
    const directory = place({ 'certstatus.yaml': `listen: { admin: { tls: true } }\n${intake}` });
    assert.deepEqual(load(directory).config.admin.tls, {
      certificate: join(directory, 'a'),
      key: join(directory, 'b'),
      clientCa: '/c',
    });
    const own = place({ 'certstatus.yaml': 'listen: { admin: { tls: { certificate: x, key: y, clientCa: z }, metricsToken: { file: t } } }' }); // prettier-ignore
    assert.deepEqual(load(own).config.admin, {
      tls: { certificate: join(own, 'x'), key: join(own, 'y'), clientCa: join(own, 'z') },
      metricsTokenFile: join(own, 't'),
    });
    assert.throws(() => load(place({ 'certstatus.yaml': 'listen: { admin: { tls: true } }' })), /no intake section/);
  });
});

describe('responder.processes', () => {
  const processes = (yaml: string): number => load(place({ 'certstatus.yaml': yaml })).config.responder.processes;

  it('is a number, or one less than there are CPUs', () => {
    assert.equal(processes('{}'), 1);
    assert.equal(processes('responder: { processes: 64 }'), 64);
    assert.equal(processes('responder: { processes: auto }'), Math.min(64, Math.max(1, availableParallelism() - 1)));
  });

  it('has its bounds', () => {
    for (const wrong of ['0', '65', '1.5', 'many'])
      assert.throws(() => processes(`responder: { processes: ${wrong} }`), {
        code: 'config',
        field: /responder.processes/,
      });
  });
});

describe('deploy/certstatus.example.yaml', () => {
  const text = readFileSync(deployFile('certstatus.example.yaml'), 'utf8');
  const example = parse(text) as Record<string, unknown>;

  it('is accepted, and holds the defaults', () => {
    const given = configSchema.parse(example);
    const { dataDir, intake, cli, ...rest } = given;
    const usual: Partial<typeof given> = configSchema.parse({});
    delete usual.dataDir;
    assert.deepEqual(rest, usual);
    assert.ok(dataDir !== undefined && intake !== undefined && cli !== undefined);
  });

  it('shows every key that the schema has', () => {
    const keys = (schema: unknown, path = ''): string[] => {
      const { properties, anyOf, items } = schema as {
        properties?: Record<string, unknown>;
        anyOf?: unknown[];
        items?: unknown;
      };
      const below = Object.entries(properties ?? {}).flatMap(([key, value]) => [
        `${path}${key}`,
        ...keys(value, `${path}${key}.`),
      ]);
      return [
        ...below,
        ...(anyOf ?? []).flatMap((option) => keys(option, path)),
        ...(items === undefined ? [] : keys(items, `${path}0.`)),
      ];
    };
    const all = keys(z.toJSONSchema(configSchema, { io: 'input' }));
    assert.ok(all.length > 20, all.join());
    // Alternatives cannot all be in force: the second example shows some of them in a comment.
    const apart = readFileSync(deployFile('certstatus.apart.example.yaml'), 'utf8');
    const named = (key: string): boolean => new RegExp(`\\b${key.split('.').at(-1)}:`).test(`${apart}${text}`);
    const missing = all.filter(
      (key) =>
        !(
          /^(store|tokens|archive\.copies|intake\.clientCrl|listen\.admin\.(tls|metricsToken))/.test(key) && named(key)
        ) &&
        key
          .split('.')
          .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], example) ===
          undefined,
    );
    assert.deepEqual(missing, []);
  });

  it('has a second part that is accepted', () => {
    const apart = parse(readFileSync(deployFile('certstatus.apart.example.yaml'), 'utf8')) as unknown;
    const { store, tokens, roles } = configSchema.parse(apart);
    assert.ok(typeof store === 'object' && store.redis.silenceLimit === 15 * MINUTE);
    assert.deepEqual([tokens.length, roles], [1, ['signer']]);
  });

  it('keeps its comments when the ports change', () => {
    const other = exampleConfig({ public: 1, origin: 'off', intake: 3, admin: 4 });
    const comments = (yaml: string): string[] => yaml.split('\n').filter((line) => line.trim().startsWith('#'));
    assert.deepEqual(comments(other), comments(text));
    assert.deepEqual(parse(other), {
      ...example,
      listen: {
        public: { host: '127.0.0.1', port: 1, hold: 'bare', maxConnections: 15_000 },
        origin: 'off',
        intake: { host: '127.0.0.1', port: 3 },
        admin: { host: '127.0.0.1', port: 4, tls: false },
      },
    });
  });
});

describe('issuer.yaml', () => {
  it('makes an issuer: certificates, profile, keys by path, URLs by preset', () => {
    const directory = issuer();
    const { issuers, warnings } = load(directory);
    const [setup] = issuers;
    assert.deepEqual(warnings, []);
    assert.equal(setup?.id, 'one');
    assert.equal(setup?.issuer.name, 'C=JP, O=Example, CN=Example CA');
    assert.equal(setup?.profile.preset, 'baseline');
    assert.deepEqual(setup?.crlKeys, [{ kind: 'file', file: join(directory, 'issuers/one/ca.key') }]);
    assert.deepEqual(setup?.responders[0]?.keys, [{ kind: 'file', file: join(directory, 'issuers/one/r.key') }]);
    assert.deepEqual(setup?.urls, {
      ocsp: [{ path: '/' }],
      crl: [{ path: '/one.crl' }],
      caCertificate: [{ path: '/one.crt' }],
    });
  });

  it('overrides timing and URLs', () => {
    const yaml = `${ISSUER.replace('crl: { key: ca.key }', 'crl: { key: /hsm/ca.key, period: 12h }')}ocsp: { validity: 2d, refreshAfter: 12h }\nurls: { crl: [{ host: crl.test, path: /x.crl }] }\n`;
    const [setup] = load(issuer(yaml)).issuers;
    assert.deepEqual(
      [setup?.profile.ocsp.validityMs, setup?.profile.ocsp.refreshAfterMs, setup?.profile.crl.periodMs],
      [2 * DAY, 12 * HOUR, 12 * HOUR],
    );
    assert.deepEqual(setup?.crlKeys, [{ kind: 'file', file: '/hsm/ca.key' }]);
    assert.deepEqual(setup?.urls.crl, [{ host: 'crl.test', path: '/x.crl' }]);
    assert.deepEqual(setup?.urls.ocsp, [{ path: '/' }]);
  });

  it('takes two certificates of one CA, and two responders newest first, during a change-over', () => {
    const yaml =
      'preset: baseline\ncaCertificates: [ca.pem, renewed.pem]\nresponders: [{ certificate: r.pem, key: r.key }, { certificate: next.pem, key: next.key }]\n';
    const { issuers, warnings } = load(issuer(yaml, { 'renewed.pem': PEM.renewed, 'next.pem': PEM.next }));
    assert.equal(issuers[0]?.issuer.certificates.length, 2);
    assert.deepEqual(
      issuers[0]?.responders.map(({ certificate }) => certificate.notBefore),
      [NOW + DAY, NOW - DAY],
    );
    assert.equal(issuers[0]?.crlKeys, undefined);
    assert.deepEqual(
      warnings.map(({ rule }) => rule),
      ['R-11'],
    );
  });

  it('leaves an expired responder certificate out with a warning instead of refusing to start', () => {
    const { issuers, warnings } = load(issuer(ISSUER, { 'r.pem': PEM.expired }));
    assert.deepEqual(issuers[0]?.responders, []);
    assert.match(
      warnings.map(({ rule, message }) => `${rule} ${message}`).join(),
      /^R-10 .*issuer\.yaml:3: responders\.0\.certificate: left out: expired/,
    );
  });

  const SECOM_KEY = 'preset: secom-sc-rootca3\ncaCertificates: [ca.pem]\n';
  const refused: readonly (readonly [string, string, Record<string, string>, RegExp])[] = [
    [
      'an unknown preset',
      'preset: basline\ncaCertificates: [ca.pem]',
      {},
      /issuer\.yaml:1: preset = basline: no such preset/,
    ],
    ['an unknown key', `${ISSUER}color: red`, {}, /issuer\.yaml:5: color: no such key/],
    ['a missing CA certificate', ISSUER.replace('ca.pem', 'none.pem'), {}, /none\.pem: cannot be read/],
    ['no CA certificate', 'preset: baseline', {}, /caCertificates: missing: /],
    [
      'certificates of two CAs',
      ISSUER.replace('ca.pem', 'ca.pem, b.pem'),
      { 'b.pem': PEM.otherCa },
      /issuer\.yaml:2: caCertificates = .*the keys differ/,
    ],
    [
      'a responder of another CA',
      ISSUER.replace('[ca.pem]', '[b.pem]'),
      { 'b.pem': PEM.otherCa },
      /responders\.0\.certificate: signed with sha256WithRSAEncryption, which the ec key of .* cannot have made: another CA of that name has.*R-01/,
    ],
    ['a chain in a responder file', ISSUER, { 'r.pem': PEM.responder + PEM.ca }, /r\.pem: holds 2 certificates.*T-16/],
    [
      'a duration without a unit',
      `${ISSUER}ocsp: { validity: 4 }`,
      {},
      /issuer\.yaml:5: ocsp\.validity = 4: a duration in words/,
    ],
    ['a nonce policy that there is not', `${ISSUER}ocsp: { nonce: echo }`, {}, /ocsp\.nonce/],
    ['a budget of nothing', `${ISSUER}ocsp: { nonce: live, live: { perSecond: 0 } }`, {}, /ocsp\.live\.perSecond/],
    ['a duration in unknown words', `${ISSUER}ocsp: { validity: 4w }`, {}, /ocsp\.validity = 4w: not a duration/],
    [
      'a validity over the limit',
      `${ISSUER}ocsp: { validity: 8d }`,
      {},
      /ocsp\.validity = 8d: must be .*at most 7d.*P-16/,
    ],
    [
      'a relative URL path',
      `${ISSUER}urls: { ocsp: [{ path: ocsp }] }`,
      {},
      /urls\.ocsp\.0\.path = ocsp: an absolute path/,
    ],
    [
      'a SECOM root without timing',
      SECOM_KEY,
      {},
      /preset = secom-sc-rootca3: .*: ocsp\.validity .*, crl\.validity \(--crl-validity\) \(SR-4\.9\)/,
    ],
    [
      'another CA under a preset',
      `${SECOM_KEY}ocsp: { validity: 30d, refreshAfter: 7d }\ncrl: { period: 20d, validity: 30d }`,
      {},
      /caCertificates = .*Example CA: not the CA of preset secom-sc-rootca3.*T-11/,
    ],
  ];
  for (const [defect, yaml, files, expected] of refused) {
    it(`refuses ${defect}`, () => {
      const error = problem(() => load(issuer(yaml, files)));
      assert.equal(error.code, 'config');
      assert.match(error.line, expected);
    });
  }

  it('refuses a root key online (SR-6.7), and reports everything at once in check-config', () => {
    const yaml = `${SECOM_KEY}ocsp: { validity: 30d, refreshAfter: 7d }\ncrl: { key: root.key, period: 20d, validity: 30d }`;
    const findings = checkConfig({ configFile: join(issuer(yaml), 'certstatus.yaml'), nowMs: NOW });
    assert.deepEqual([...new Set(findings.map(({ rule }) => rule))], ['T-11', 'SR-6.1.5', 'SR-6.1.7']);
    assert.ok(findings.every(({ severity }) => severity === 'error'));
  });

  it('refuses two issuers with one name and key, or one CRL URL', () => {
    const directory = issuer();
    for (const name of ['issuer.yaml', 'ca.pem', 'r.pem']) {
      mkdirSync(join(directory, 'issuers/two'), { recursive: true });
      writeFileSync(join(directory, 'issuers/two', name), readFileSync(join(directory, 'issuers/one', name)));
    }
    assert.match(
      problem(() => load(directory)).line,
      /issuers = [0-9a-f]{8}: name and key of both one and two \(T-11\)/,
    );
    writeFileSync(join(directory, 'issuers/two/ca.pem'), PEM.otherCa);
    writeFileSync(
      join(directory, 'issuers/two/issuer.yaml'),
      'preset: baseline\ncaCertificates: [ca.pem]\nurls: { crl: [{ path: /one.crl }] }',
    );
    assert.match(problem(() => load(directory)).line, /issuers = \/one\.crl: URL of both one and two/);
  });

  it('refuses a directory name that is no id', () => {
    const directory = place({
      'certstatus.yaml': '',
      'issuers/One/issuer.yaml': 'preset: baseline\ncaCertificates: [ca.pem]',
      'issuers/One/ca.pem': PEM.ca,
    });
    assert.match(problem(() => load(directory)).line, /= One: an issuer id is/);
  });

  it('loads a Cybertrust issuer whole: name, key identifier, RSA-2048 responder of its profile', () => {
    const name = (cn: string): Buffer =>
      write.writeName([
        ['C', 'JP'],
        ['O', 'Cybertrust Japan Co., Ltd.'],
        ['CN', cn],
      ]);
    const keyId = Buffer.from('62A7D2DADE85B692F185BCF6E8959D75A0FA4E1F', 'hex');
    const subjectDer = name('Cybertrust Japan SureServer CA G4');
    const extensions = [
      write.basicConstraints(true, 0),
      write.keyUsageExtension('keyCertSign', 'cRLSign'),
      write.subjectKeyIdentifierExtension(keyId),
    ];
    const responderPem = (subject: string, notAfter: number): string =>
      write.pem(
        'CERTIFICATE',
        responderCertificate(ca, responder, {
          issuerDer: subjectDer,
          subjectDer: name(subject),
          notBefore: NOW,
          notAfter,
          extensions: responderExtensions(ca, responder).map((extension) =>
            extension.value.includes(keyIdOf(ca)) ? write.authorityKeyIdentifierExtension(keyId) : extension,
          ),
        }),
      );
    const yaml = ISSUER.replace('baseline', 'cybertrust-sureserver-ca-g4');
    const files = {
      'ca.pem': write.pem('CERTIFICATE', caCertificate(ca, { issuerDer: subjectDer, subjectDer, extensions })),
    };
    const good = responderPem('Cybertrust Japan SureServer CA G4 OCSP Responder', NOW + 125 * DAY - SECOND);
    const { issuers, warnings } = load(issuer(yaml, { ...files, 'r.pem': good }));
    assert.equal(issuers[0]?.responders.length, 1);
    assert.deepEqual(
      warnings.map(({ rule }) => rule),
      ['SR-8.6-a', 'T-21'],
    );
    const long = responderPem('Cybertrust Japan SureServer CA G4 OCSP Responder', NOW + 125 * DAY);
    assert.match(
      problem(() => load(issuer(yaml, { ...files, 'r.pem': long }))).line,
      /valid for 125d1s .*SR-6\.3\.2-a/,
    );
    const misnamed = responderPem('Cybertrust Japan SureServer EV CA G3 OCSP Responder', NOW + 90 * DAY - SECOND);
    assert.match(problem(() => load(issuer(yaml, { ...files, 'r.pem': misnamed }))).line, /CT-B-OCSP-6/);
  });
});

describe('writeIssuer', () => {
  const source = place({ 'ca.pem': PEM.ca + PEM.renewed, 'r.pem': PEM.responder, 'other.pem': PEM.otherCa });
  const add = (
    data: string,
    change: Partial<NewIssuer> = {},
    check?: typeof checkKeys,
  ): ReturnType<typeof writeIssuer> =>
    writeIssuer(
      data,
      {
        id: 'new',
        preset: 'baseline',
        caCertificates: [join(source, 'ca.pem')],
        responders: [{ certificate: join(source, 'r.pem'), key: join(source, 'r.key') }],
        crlKey: join(source, 'ca.key'),
        ocsp: { validity: '3d' },
        ...change,
      },
      NOW,
      check,
    );

  it('makes an issuer that loadConfig reads back the same', () => {
    const data = place({ 'certstatus.yaml': '' });
    const { setup, warnings } = add(data);
    assert.deepEqual(warnings, []);
    const [loaded] = load(data).issuers;
    assert.equal(loaded?.issuer.certificates.length, 2);
    assert.deepEqual(loaded?.profile, setup.profile);
    assert.equal(loaded?.profile.ocsp.validityMs, 3 * DAY);
    assert.deepEqual(loaded?.responders[0]?.keys, [{ kind: 'file', file: join(source, 'r.key') }]);
    assert.deepEqual(loaded?.crlKeys, [{ kind: 'file', file: join(source, 'ca.key') }]);
    assert.deepEqual(readdirSync(join(data, 'issuers')), ['new']);
  });

  it('writes timing, URLs and facts down as they were given', () => {
    const data = place({ 'certstatus.yaml': '' });
    const crl = { period: '5d' };
    assert.match(problem(() => add(data, { crl })).line, /crl\.period = 5d: .*B-13/);
    add(data, { crl, everyCertificateNamesOcsp: true, urls: { ocsp: [{ host: 'ocsp.test', path: '/x' }] } });
    const [loaded] = load(data).issuers;
    assert.equal(loaded?.profile.crl.periodMs, 5 * DAY);
    assert.deepEqual(loaded?.urls.ocsp, [{ host: 'ocsp.test', path: '/x' }]);
    assert.deepEqual(loaded?.urls.crl, [{ path: '/new.crl' }]);
  });

  it('changes nothing when anything is wrong', () => {
    const data = place({ 'certstatus.yaml': '' });
    const line = problem(() => add(data, { ocsp: { validity: '30d' } })).line;
    assert.match(line, /^issuer\.yaml: ocsp\.validity = 30d: /);
    assert.match(problem(() => add(data, { caCertificates: [join(source, 'other.pem')] })).line, /R-01/);
    assert.match(
      problem(() => add(data, { caCertificates: [join(source, 'none.pem')] })).line,
      /none\.pem: cannot be read/,
    );
    assert.match(problem(() => add(data, { id: '../x' })).line, /an issuer id is/);
    assert.deepEqual(readdirSync(join(data, 'issuers')), []);
  });

  it('refuses keys that are missing, no keys, or those of something else, before a start does', () => {
    const data = place({ 'certstatus.yaml': '' });
    const keys = place({
      'ca.key': privatePem(ca),
      'r.key': privatePem(responder),
      'garbage.key': 'garbage\n',
    });
    const key = (name: string): string => join(keys, name);
    const added = (ocsp: string, crl: string): ReturnType<typeof writeIssuer> =>
      add(data, { responders: [{ certificate: join(source, 'r.pem'), key: key(ocsp) }], crlKey: key(crl) }, checkKeys);
    assert.match(problem(() => added('none.key', 'ca.key')).line, /none\.key: the key file cannot be read/);
    assert.match(problem(() => added('garbage.key', 'ca.key')).line, /garbage\.key: not an unencrypted private key/);
    assert.match(problem(() => added('ca.key', 'ca.key')).line, /ca\.key: the OCSP key is not the key of responder/);
    assert.match(problem(() => added('r.key', 'r.key')).line, /r\.key: the CRL key is not the key of/);
    assert.deepEqual(readdirSync(join(data, 'issuers')), []);
    added('r.key', 'ca.key');
    const options = { configFile: join(data, 'certstatus.yaml'), nowMs: NOW };
    assert.deepEqual(checkConfig(options, checkKeys), []);
    rmSync(key('r.key'));
    const [finding] = checkConfig(options, checkKeys);
    assert.equal(finding?.severity, 'error');
    assert.match(finding?.message ?? '', /r\.key: the key file cannot be read/);
  });

  it('takes a layout of shards, and refuses one whose URL another file has', () => {
    const data = place({ 'certstatus.yaml': '' });
    const shards = { count: 3, url: 'http://crl.test/{id}/{shard}.crl' };
    const { setup } = add(data, { crl: { shards, complete: false } });
    assert.deepEqual(setup.crls.shards, { count: 3, highest: 3, url: 'http://crl.test/new/{shard}.crl' });
    assert.deepEqual(load(data).issuers[0]?.crls, setup.crls);
    const clash = problem(() =>
      add(place({ 'certstatus.yaml': '' }), {
        crl: { shards },
        urls: { crl: [{ host: 'crl.test', path: '/new/2.crl' }] },
      }),
    );
    assert.match(clash.line, /crl\.test\/new\/2\.crl: URL of both/);
    assert.match(
      problem(() => add(data, { id: 'none', crl: { shards: { count: 0, url: 'x' } } })).line,
      /crl\.shards\.count/,
    );
    assert.match(
      problem(() => add(data, { id: 'many', crl: { shards: { count: 10_001, url: 'x' } } })).line,
      /crl\.shards\.count/,
    );
  });

  it('refuses an id that is taken, and a CA that is registered under another id', () => {
    const data = place({ 'certstatus.yaml': '' });
    add(data);
    assert.equal(
      problem(() => add(data, { caCertificates: [join(source, 'other.pem')], responders: [] })).code,
      'conflict',
    );
    assert.match(problem(() => add(data, { id: 'again' })).line, /name and key of both new and again/);
    assert.deepEqual(readdirSync(join(data, 'issuers')), ['new']);
  });
});

describe('a key that takes one of several forms', () => {
  const said = (yaml: string): string =>
    problem(() => load(place({ 'certstatus.yaml': `${yaml}\n` }))).line.replace(/^.*certstatus\.yaml:1: /, '');

  it('is refused in the words of the form that was meant', () => {
    for (const [yaml, line] of [
      [
        'store: { redis: { host: x, port: a, intakes: [c] } }',
        'store.redis.port = a: Invalid input: expected number, received string',
      ],
      [
        'store: { redis: { host: x } }',
        'store.redis.intakes: missing: Invalid input: expected array, received undefined',
      ],
      [
        'store: { redis: { sentinel: { name: a, sentinels: [{ hosst: b, host: b }] }, intakes: [c] } }',
        'store.redis.sentinel.sentinels.0.hosst: no such key',
      ],
      [
        'listen: { admin: { tls: { certificate: a, key: b } } }',
        'listen.admin.tls.clientCa: missing: Invalid input: expected string, received undefined',
      ],
    ] as const)
      // prettier-ignore
      assert.equal(said(yaml), line);
  });

  it('is refused with what it takes when none was meant', () => {
    for (const [yaml, line] of [
      ['store: redis', 'store = redis: expected embedded or a section of its own'],
      ['listen: { admin: { tls: yes } }', 'listen.admin.tls = yes: expected true or false or a section of its own'],
      ['responder: { processes: two }', 'responder.processes = two: expected auto or a number'],
      [
        'clock: { most: 2 }',
        'clock.most = 2: expected off, else a duration in words is needed, like 90s, 15m, 8h or 4d',
      ],
    ] as const)
      // prettier-ignore
      assert.equal(said(yaml), line);
  });
});
