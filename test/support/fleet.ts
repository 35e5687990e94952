/**
 * certstatus as many processes of one machine: intakes, signers, responders and a monitor over one store, with the demo CA of
 * `certstatus init --demo`. Everything lies below one directory and can be started again from there.
 *
 *   demo/      the CA with its sample certificates, and the TLS material of the intakes
 *   people/    client certificates: operator (events), alice, bob, carol (each one share of the PIN)
 *   <name>/    of each process: certstatus.yaml, issuers/, journal, CRL archive, log.ndjson
 */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { createDemo } from '../../src/apps/demo.ts';
import { Member, type MemberRole } from './member.ts';
import { issuerFromFile, type OcspIssuer } from './ocsp-client.ts';
import { type ApiAnswer, type Credentials } from './service.ts';

export interface FleetOptions {
  /** Kept; made when it is not there. */
  readonly directory: string;
  /** Three for each process, in the order of `names`. */
  readonly ports: readonly number[];
  /** Of `store.redis`, for one user each; without `intakes`. */
  readonly store: (role: MemberRole, directory: string) => Readonly<Record<string, unknown>>;
  readonly intakes?: number;
  readonly signers?: number;
  readonly responders?: number;
  readonly monitor?: boolean;
  /** Over how many shards the demo CA spreads its CRLs, beside the complete one; none without it. */
  readonly shards?: number;
  /** Section `responder` of the responders. */
  readonly responder?: Readonly<Record<string, unknown>>;
  /** Moves the keys of this directory (ca.key, responder.key) into a token, once, and says how each signer opens it. */
  readonly token?: (keys: string) => Promise<FleetToken>;
}

export interface FleetToken {
  /** One entry of `tokens` in certstatus.yaml. */
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
  /** What its module needs in the environment. */
  readonly env: NodeJS.ProcessEnv;
}

export const PEOPLE = ['operator', 'alice', 'bob', 'carol'] as const;
export type Person = (typeof PEOPLE)[number];

const CRL_PATH = '/SureServer/demo/cdp.crl';
const SHARD_PATH = '/SureServer/demo/shards/{shard}.crl';

export class Fleet {
  readonly directory: string;
  readonly intakes: readonly Member[];
  readonly signers: readonly Member[];
  readonly responders: readonly Member[];
  readonly monitors: readonly Member[];
  readonly issuer: OcspIssuer;
  /** Names of the shards. */
  readonly shards: readonly string[];

  private constructor(directory: string, members: readonly Member[], shards: number) {
    this.directory = directory;
    this.shards = Array.from({ length: shards }, (_, i) => String(i + 1));
    const of = (role: MemberRole): readonly Member[] => members.filter((member) => member.role === role);
    this.intakes = of('intake');
    this.signers = of('signer');
    this.responders = of('responder');
    this.monitors = of('monitor');
    this.issuer = issuerFromFile(this.demoFile('ca.pem'));
  }

  /** The names of the processes, in the order in which they take their ports. */
  static names(counts: Pick<FleetOptions, 'intakes' | 'signers' | 'responders' | 'monitor'> = {}): readonly string[] {
    const { intakes = 2, signers = 2, responders = 3, monitor = false } = counts;
    const of = (role: MemberRole, count: number): string[] =>
      Array.from({ length: count }, (_, i) => `${role}-${i + 1}`);
    return [
      ...of('intake', intakes),
      ...of('signer', signers),
      ...of('responder', responders),
      ...of('monitor', monitor ? 1 : 0),
    ];
  }

  /** Writes what is missing; starts nothing. */
  static async create(options: FleetOptions): Promise<Fleet> {
    const { directory, ports } = options;
    const demo = join(directory, 'demo');
    const names = Fleet.names(options);
    const firstResponder = ports[names.findIndex((name) => name.startsWith('responder')) * 3] as number;
    await createDemo(demo, { public: firstResponder, origin: 'off', intake: 8081, admin: 9090 }, Date.now());
    makePeople(directory);
    const token = await options.token?.(join(demo, 'issuers', 'demo'));
    const intakes = names.filter((name) => name.startsWith('intake'));
    const members = names.map((name, i) => {
      const role = name.split('-')[0] as MemberRole;
      const home = join(directory, name);
      const [pub, intake, admin] = ports.slice(3 * i, 3 * i + 3) as [number, number, number];
      mkdirSync(home, { recursive: true });
      layOutIssuer(demo, home, role, token, options.shards);
      const controlled = role === 'intake' || role === 'signer';
      return new Member({
        name,
        role,
        directory: home,
        ports: { public: pub, intake, admin },
        config: {
          store: { redis: { ...options.store(role, home), intakes } },
          ...(role === 'signer' && token !== undefined && { tokens: [token.config] }),
          ...(controlled && { intake: intakeSection(demo, role) }),
          ...(role === 'responder' && options.responder !== undefined && { responder: options.responder }),
          cli: credentialFiles(directory, 'operator'),
        },
        ...(role === 'signer' && token !== undefined && { env: token.env }),
      });
    });
    return new Fleet(directory, members, options.shards ?? 0);
  }

  /** Where responders serve it; the complete one without a name. */
  crlPathOf(shard?: string): string {
    return shard === undefined ? CRL_PATH : SHARD_PATH.replace('{shard}', shard);
  }

  get members(): readonly Member[] {
    return [...this.intakes, ...this.signers, ...this.responders, ...this.monitors];
  }

  demoFile(name: string): string {
    return join(this.directory, 'demo', 'issuers', 'demo', name);
  }

  /** Of one of the demo's certificates; hex, as commands take it. */
  serialOf(name: string): string {
    return new X509Certificate(readFileSync(this.demoFile(name))).serialNumber.toLowerCase();
  }

  /** Everybody at once: each waits for what it needs. */
  async start(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
    await this.whenReliable();
  }

  /** Resolves when every process relies on the store. */
  async whenReliable(withinMs?: number): Promise<void> {
    await Promise.all(this.members.filter(({ running }) => running).map((member) => member.whenReliable(withinMs)));
  }

  /** The public side first, so that nobody is told of an outage while it stops. */
  async stop(): Promise<void> {
    for (const members of [[...this.responders, ...this.monitors], this.signers, this.intakes])
      await Promise.all(members.filter(({ running }) => running).map((member) => member.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }

  credentials(person: Person): Credentials & { readonly ca: Buffer } {
    const known = this.#credentials.get(person);
    if (known !== undefined) return known;
    const files = credentialFiles(this.directory, person);
    const read = {
      cert: readFileSync(files.certificate),
      key: readFileSync(files.key),
      ca: readFileSync(files.ca),
    };
    this.#credentials.set(person, read);
    return read;
  }
  readonly #credentials = new Map<Person, Credentials & { readonly ca: Buffer }>();

  /** One request of the operator to an intake. Rejects when no answer came. */
  api(intake: Member, method: 'GET' | 'POST', path: string, body?: unknown): Promise<ApiAnswer> {
    return intake.api(method, path, this.credentials('operator'), body);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What `cli` in certstatus.yaml and the options of `key activate` name. */
export function credentialFiles(
  directory: string,
  person: Person,
): { readonly certificate: string; readonly key: string; readonly ca: string } {
  const people = join(directory, 'people');
  return {
    certificate: join(people, `${person}.pem`),
    key: join(people, `${person}.key`),
    ca: join(directory, 'demo', 'intake', 'client-ca.pem'),
  };
}

/** Client certificates from the demo's own CA for clients, by openssl. */
function makePeople(directory: string): void {
  const people = join(directory, 'people');
  if (existsSync(people)) return;
  const draft = `${people}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const ca = join(directory, 'demo', 'intake', 'client-ca');
  writeFileSync(
    join(draft, 'client.ext'),
    'basicConstraints = CA:FALSE\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = clientAuth\n',
  );
  for (const person of PEOPLE) {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${person}.key`];
    openssl(draft, 'req', '-new', ...key, '-subj', `/CN=${person}`, '-out', `${person}.csr`);
    const sign = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-days', '397', '-extfile', 'client.ext'];
    openssl(draft, 'x509', '-req', '-in', `${person}.csr`, ...sign, '-out', `${person}.pem`);
  }
  cpSync(draft, people, { recursive: true });
  rmSync(draft, { recursive: true });
}

/** The same issuers in every process; keys only where they are used (P7). What a signer has changed since stays. */
function layOutIssuer(
  demo: string,
  home: string,
  role: MemberRole,
  token: FleetToken | undefined,
  shards: number | undefined,
): void {
  const [from, to] = [join(demo, 'issuers', 'demo'), join(home, 'issuers', 'demo')];
  if (existsSync(to)) return;
  mkdirSync(to, { recursive: true });
  const keys = role === 'signer' && token === undefined ? ['ca.key', 'responder.key'] : [];
  for (const name of ['ca.pem', 'responder.pem', ...keys]) cpSync(join(from, name), join(to, name));
  const document = parseDocument(readFileSync(join(from, 'issuer.yaml'), 'utf8'));
  if (token !== undefined) {
    const at = (label: string): string => `pkcs11:token=${token.config.name};object=${label}`;
    document.setIn(['responders', 0, 'key'], at('responder'));
    document.setIn(['crl', 'key'], at('ca'));
  }
  // A URL as certificates name it: whoever serves it, on whatever port, serves the path.
  if (shards !== undefined) document.setIn(['crl', 'shards'], { count: shards, url: `http://crl.test${SHARD_PATH}` });
  writeFileSync(join(to, 'issuer.yaml'), document.toString());
}

function intakeSection(demo: string, role: 'intake' | 'signer'): object {
  const file = (name: string): string => join(demo, 'intake', name);
  const may = role === 'intake' ? ['issue', 'revoke', 'import', 'read'] : ['read', 'keys', 'revoke'];
  const officers = PEOPLE.filter((person) => person !== 'operator');
  return {
    certificate: file('server.pem'),
    key: file('server.key'),
    clientCa: file('client-ca.pem'),
    clients: [
      { name: 'operator', issuers: ['*'], may },
      ...officers.map((name) => ({ name, issuers: ['*'], may: ['read', 'activate'] })),
    ],
  };
}

function openssl(cwd: string, ...args: readonly string[]): void {
  const { status, error, stderr } = spawnSync('openssl', args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
}
