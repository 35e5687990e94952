/**
 * Real Redis servers: standalone, under Sentinels, as a Cluster; on free loopback ports, in directories that are thrown away.
 * The kernel kills every one of them when the test process dies, whatever it dies of (PR_SET_PDEATHSIG by `setpriv`).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster, Redis } from 'ioredis';
import { openRedis, whenReady, type ConnectionOptionsOfRedis } from '../../src/adapters/redis/connection.ts';
import { freePorts, until } from './service.ts';

const START_MS = 15_000;

/** False: the tests that need it skip themselves with `{ skip: needsRedis }`. */
export const hasRedis = ['redis-server', 'redis-cli', 'setpriv'].every(
  (program) => spawnSync(program, ['--version']).error === undefined,
);
/** For `{ skip }` of node:test. */
export const needsRedis: string | false = hasRedis ? false : 'needs redis-server';

export interface RedisServerOptions {
  readonly port?: number;
  /** Lines of redis.conf by their first word; they win over the defaults. An empty value leaves the default out. */
  readonly config?: Readonly<Record<string, string>>;
  /** A users.acl. */
  readonly acl?: string;
  /** PEM files. The port then speaks TLS only, and wants a client certificate of the same CA if `clients` says so. */
  readonly tls?: {
    readonly ca: string;
    readonly certificate: string;
    readonly key: string;
    readonly clients?: boolean;
  };
  /** A whole redis.conf in place of the defaults; `config` is appended to it. */
  readonly configFile?: string;
  /** Where its data lies, and stays. Without it: a directory that goes with remove(). */
  readonly directory?: string;
}

/** What the product asks of a server (adapters/redis/fitness.ts), and little else. */
const DEFAULTS: Readonly<Record<string, string>> = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  save: '""',
  'maxmemory-policy': 'noeviction',
  'hash-max-listpack-entries': '512',
  'hash-max-listpack-value': '1100',
  'repl-diskless-sync-delay': '0',
};

/** One redis-server. */
export class RedisServer {
  readonly port: number;
  readonly directory: string;
  readonly #keeps: boolean;
  readonly url: string;
  /** What it has said so far. */
  log = '';
  readonly #args: readonly string[];
  readonly #tls: RedisServerOptions['tls'];
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  readonly #clients: (Redis | Cluster)[] = [];

  /** Not started yet. @param args after the configuration file, e.g. `--sentinel`. */
  constructor(port: number, options: RedisServerOptions = {}, args: readonly string[] = []) {
    const { tls } = options;
    this.port = port;
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'certstatus-redis-'));
    this.#keeps = options.directory !== undefined;
    this.#tls = tls;
    this.url = `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`;
    const settings: Record<string, string> = {
      ...(options.configFile === undefined && !args.includes('--sentinel') ? DEFAULTS : {}),
      bind: '127.0.0.1',
      dir: this.directory,
      daemonize: 'no',
      logfile: '""',
      ...(tls === undefined ? { port: String(port) } : tlsSettings(port, tls)),
      ...(options.acl === undefined ? {} : { aclfile: options.acl }),
      ...options.config,
    };
    const own = Object.entries(settings).filter(([, value]) => value !== '');
    const file = join(this.directory, 'redis.conf');
    writeFileSync(file, options.configFile === undefined ? '' : `${readFileSync(options.configFile, 'utf8')}\n`);
    appendFileSync(file, own.map(([name, value]) => `${name} ${value}\n`).join(''));
    this.#args = [file, ...args];
  }

  /** Starts and waits until it takes commands. @throws with its last words when it ends instead. */
  async start(): Promise<void> {
    const from = this.log.length;
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'redis-server', ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endWithTest(child);
    let ended = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    this.#child = child;
    this.#exited = new Promise<void>((done) => child.once('close', () => done())).then(() => (ended = true));
    await until(
      `redis-server on port ${this.port} takes commands`,
      () => {
        const said = this.log.slice(from);
        if (ended) throw new Error(`redis-server ended:\n${said}`);
        return /Ready to accept connections|Sentinel ID is/.test(said);
      },
      START_MS,
      10,
    );
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  /** How the product connects to it. */
  get topology(): ConnectionOptionsOfRedis['topology'] {
    return { kind: 'standalone', host: '127.0.0.1', port: this.port };
  }

  /** A connection that is ready; ended with the server. */
  async client(options: Partial<ConnectionOptionsOfRedis> = {}): Promise<Redis> {
    const tls = this.#tls && { ca: readFileSync(this.#tls.ca) };
    const redis = openRedis({ topology: this.topology, tls, ...options }) as Redis;
    this.#clients.push(redis);
    await whenReady(redis, START_MS);
    return redis;
  }

  /** SIGTERM: it writes what it has and ends. */
  async stop(): Promise<void> {
    this.resume();
    this.#child?.kill('SIGTERM');
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), START_MS);
    await this.#exited;
    clearTimeout(late);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** Ends it, if it has not ended, and starts it again on the same port: with its data, or as if it had never had any. */
  async restart({ empty = false }: { readonly empty?: boolean } = {}): Promise<void> {
    await (empty ? this.kill() : this.stop());
    if (empty)
      for (const name of ['appendonlydir', 'dump.rdb'])
        rmSync(join(this.directory, name), { recursive: true, force: true });
    await this.start();
  }

  /** SIGSTOP: connections stay, nothing answers. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it and its clients, and removes the data. */
  async remove(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.kill();
    if (!this.#keeps) rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = new RedisServer(options.port ?? (await freePort()), options);
  await server.start();
  return server;
}

/** A master, replicas and three Sentinels that agree in about a second that a master is dead. */
export class RedisSentinel {
  readonly name = 'certstatus';
  /** The first was the first master. A dead one may be started again: it becomes a replica. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  readonly #clients: (Redis | Cluster)[] = [];

  private constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  /** @param options of the master and the replicas; @param sentinel of the Sentinels of this master, which they call `certstatus`. */
  static async start(
    options: Omit<RedisServerOptions, 'port'> = {},
    replicas = 1,
    sentinel: (masterPort: number) => RedisServerOptions = sentinelOf,
  ): Promise<RedisSentinel> {
    const ports = await freePorts(4 + replicas);
    const [masterPort] = ports as [number];
    const servers = ports.slice(0, 1 + replicas).map((port, place) => {
      const follow: Record<string, string> = place === 0 ? {} : { replicaof: `127.0.0.1 ${masterPort}` };
      return new RedisServer(port, { ...options, config: { ...options.config, ...follow } });
    });
    const sentinels = ports
      .slice(1 + replicas)
      .map((port) => new RedisServer(port, sentinel(masterPort), ['--sentinel']));
    const own = new RedisSentinel(servers, sentinels);
    try {
      for (const server of [...servers, ...sentinels]) await server.start();
      await until('the Sentinels know the replicas and each other', () => own.#isComplete(), START_MS, 50);
    } catch (error) {
      await own.remove();
      throw error;
    }
    return own;
  }

  get topology(): ConnectionOptionsOfRedis['topology'] {
    const sentinels = this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    return { kind: 'sentinel', name: this.name, sentinels };
  }

  /** A connection to the master that is ready; ended with the servers. */
  async client(options: Partial<ConnectionOptionsOfRedis> = {}): Promise<Redis> {
    const redis = openRedis({ topology: this.topology, ...options }) as Redis;
    this.#clients.push(redis);
    await whenReady(redis, START_MS);
    return redis;
  }

  /** What the Sentinels call the master now. */
  async master(): Promise<RedisServer> {
    const [, port] = redisCli(this.#alive().port, 'SENTINEL', 'get-master-addr-by-name', this.name);
    return this.servers.find((server) => server.port === Number(port)) as RedisServer;
  }

  /** A planned change of the master: resolves when another server is master; the old one may not know it for a moment. */
  async failover(): Promise<RedisServer> {
    const before = await this.master();
    await until(
      'a Sentinel takes the order',
      () => {
        const [said] = redisCli(this.#alive().port, 'SENTINEL', 'FAILOVER', this.name);
        return said === 'OK';
      },
      START_MS,
      200,
    );
    await until('another server is master', async () => (await this.#promoted())?.port !== before.port, START_MS, 50);
    return this.master();
  }

  /** `kill -9` of the master; the Sentinels will choose another. Returns the dead one. */
  async killMaster(): Promise<RedisServer> {
    const master = await this.master();
    await master.kill();
    return master;
  }

  async remove(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.remove()));
  }

  #alive(): RedisServer {
    return this.sentinels[0] as RedisServer;
  }

  async #promoted(): Promise<RedisServer | undefined> {
    const master = await this.master();
    return redisCli(master.port, 'ROLE')[0] === 'master' ? master : undefined;
  }

  #isComplete(): boolean {
    return this.sentinels.every(({ port }) => {
      const said = redisCli(port, 'SENTINEL', 'MASTER', this.name);
      const field = (name: string): string | undefined => said[said.indexOf(name) + 1];
      return (
        field('num-other-sentinels') === String(this.sentinels.length - 1) &&
        field('num-slaves') === String(this.servers.length - 1)
      );
    });
  }
}

export const startSentinel = (...how: Parameters<typeof RedisSentinel.start>): Promise<RedisSentinel> =>
  RedisSentinel.start(...how);

/** Three masters that share the slots; one that is away takes only its own slots along. */
export class RedisCluster {
  readonly servers: readonly RedisServer[];
  readonly #clients: (Redis | Cluster)[] = [];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  static async start(options: Omit<RedisServerOptions, 'port'> = {}): Promise<RedisCluster> {
    const ports = await freePorts(6);
    const servers = ports.slice(0, 3).map((port, place) => {
      const config = {
        'cluster-enabled': 'yes',
        'cluster-port': String(ports[3 + place]),
        'cluster-node-timeout': '2000',
        'cluster-require-full-coverage': 'no',
        ...options.config,
      };
      return new RedisServer(port, { ...options, config });
    });
    const own = new RedisCluster(servers);
    try {
      for (const server of servers) await server.start();
      own.#join(ports.slice(3));
      await until('every node knows the whole Cluster', () => own.#isComplete(), START_MS, 50);
    } catch (error) {
      await own.remove();
      throw error;
    }
    return own;
  }

  get topology(): ConnectionOptionsOfRedis['topology'] {
    return { kind: 'cluster', nodes: this.servers.map(({ port }) => ({ host: '127.0.0.1', port })) };
  }

  /** A connection that is ready; ended with the servers. */
  async client(options: Partial<ConnectionOptionsOfRedis> = {}): Promise<Cluster> {
    const redis = openRedis({ topology: this.topology, ...options }) as Cluster;
    this.#clients.push(redis);
    await whenReady(redis, START_MS);
    return redis;
  }

  /** The server that has the slot of `key`. */
  serverOf(key: string): RedisServer {
    const [slot] = redisCli((this.servers[0] as RedisServer).port, 'CLUSTER', 'KEYSLOT', key);
    return this.servers[Math.floor((Number(slot) * 3) / SLOTS)] as RedisServer;
  }

  async remove(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all(this.servers.map((server) => server.remove()));
  }

  /** What `redis-cli --cluster create` does, without its questions and pauses. */
  #join(busPorts: readonly number[]): void {
    const [first] = this.servers as readonly [RedisServer];
    this.servers.forEach(({ port }, place) => {
      const [from, end] = [Math.ceil((place * SLOTS) / 3), Math.ceil(((place + 1) * SLOTS) / 3)];
      redisCli(port, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(end - 1));
      // Different from the start, or the nodes would have to settle which claim is newer.
      redisCli(port, 'CLUSTER', 'SET-CONFIG-EPOCH', String(place + 1));
      if (place > 0) redisCli(first.port, 'CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPorts[place]));
    });
  }

  #isComplete(): boolean {
    return this.servers.every(({ port }) => {
      const said = redisCli(port, 'CLUSTER', 'INFO');
      // A node may know the others before it knows their slots, and a client that asks it then has nowhere to send a key.
      return ['cluster_state:ok', 'cluster_known_nodes:3', `cluster_slots_ok:${SLOTS}`].every((line) => said.includes(line)); // prettier-ignore
    });
  }
}

const SLOTS = 16_384;

export const startCluster = (options: Omit<RedisServerOptions, 'port'> = {}): Promise<RedisCluster> =>
  RedisCluster.start(options);

/** One command by redis-cli; the lines of its reply. Only for servers without TLS and passwords. */
export function redisCli(port: number, ...command: readonly string[]): readonly string[] {
  const { stdout, error } = spawnSync('redis-cli', ['-h', '127.0.0.1', '-p', String(port), ...command], {
    encoding: 'utf8',
    timeout: START_MS,
  });
  if (error !== undefined) throw error;
  return stdout.split(/\r?\n/);
}

function tlsSettings(port: number, tls: NonNullable<RedisServerOptions['tls']>): Record<string, string> {
  return {
    port: '0',
    'tls-port': String(port),
    'tls-ca-cert-file': tls.ca,
    'tls-cert-file': tls.certificate,
    'tls-key-file': tls.key,
    'tls-auth-clients': tls.clients === true ? 'yes' : 'no',
  };
}

function sentinelOf(masterPort: number): RedisServerOptions {
  return {
    config: {
      'sentinel monitor': `certstatus 127.0.0.1 ${masterPort} 2`,
      'sentinel down-after-milliseconds': 'certstatus 1000',
      'sentinel failover-timeout': 'certstatus 2000',
      'sentinel parallel-syncs': 'certstatus 1',
    },
  };
}

async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}

/** `setpriv` sees to it when this process is killed; this when it ends in good order with servers still running. */
const children = new Set<ChildProcess>();
function endWithTest(child: ChildProcess): void {
  if (children.size === 0) process.once('exit', () => children.forEach((one) => one.kill('SIGKILL')));
  children.add(child);
  child.once('exit', () => children.delete(child));
}
