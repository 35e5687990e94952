/**
 * The connection to Redis: one server, the master that the Sentinels name, or a Cluster.
 *
 * What becomes of a command, by what happens to Redis:
 *
 *     not there (refused, reset, killed)      fails at once, until the connection is ready again
 *     there, but silent (paused, cut off)     fails after commandTimeoutMs; the socket is dropped 0.5 s later, then: at once
 *     loading its data set                    fails at once: the connection is ready when the data are
 *     another server is master now            fails (READONLY), and the next one goes to the master
 *     partitioned from the Sentinels          the Sentinels announce the new master, and the connection goes there
 *
 * No command waits in a queue for Redis to come back, and none is sent twice: whoever called knows better whether it is still
 * wanted. Reconnecting never ends; attempts are at most a second apart. Commands of one turn of the event loop share one write
 * (auto-pipelining). Keys, values and replies are octets with the `…Buffer` commands.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { ConnectionOptions } from 'node:tls';
import { Problem } from '../../core/problem.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type Topology =
  | ({ readonly kind: 'standalone' } & Address)
  | {
      readonly kind: 'sentinel';
      /** Of the master, as the Sentinels call it. */
      readonly name: string;
      readonly sentinels: readonly Address[];
      readonly sentinelUsername?: string | undefined;
      readonly sentinelPassword?: string | undefined;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[] };

export interface ConnectionOptionsOfRedis {
  readonly topology: Topology;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM. The servers must prove the name or address by which they are reached, or `servername`. */
  readonly tls?:
    | {
        readonly ca: Buffer;
        readonly certificate?: Buffer | undefined;
        readonly key?: Buffer | undefined;
        readonly servername?: string | undefined;
      }
    | undefined;
  /** Milliseconds until a command without a reply has failed. */
  readonly commandTimeoutMs?: number;
  /** Milliseconds for one attempt to connect. */
  readonly connectTimeoutMs?: number;
  /** Told once when Redis goes and once when it is back, however many attempts that takes. A flow's Log fits. */
  readonly log?: ConnectionLog | undefined;
}

export interface ConnectionLog {
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
}

const COMMAND_TIMEOUT_MS = 2000;
const CONNECT_TIMEOUT_MS = 2000;
/** Longest pause between two attempts. */
const LONGEST_PAUSE_MS = 1000;

/**
 * Starts to connect and returns at once; `whenReady` waits. `disconnect()` or `quit()` ends it. Errors of the connection are
 * told to `log` and never thrown; those of a command reject its promise. A `duplicate()` needs its own 'error' listener.
 */
export function openRedis(options: ConnectionOptionsOfRedis): Redis | Cluster {
  const { topology, log } = options;
  const common = commonOptions(options);
  if (topology.kind === 'cluster') {
    const cluster = new Cluster(topology.nodes.slice(), {
      redisOptions: common,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      clusterRetryStrategy: pause,
      // A responder reads from masters too: a replica may not have heard of a revocation yet (P2).
      scaleReads: 'master',
      // Host names stay what they are, because the servers' certificates hold them.
      dnsLookup: (host, done) => done(null, host),
      slotsRefreshTimeout: common.commandTimeout,
      slotsRefreshInterval: 5000,
      // With the pauses between them these bound the time that a command takes while its shard is failing over.
      maxRedirections: 8,
    });
    tellOutages(cluster, log);
    tellOutagesOfNodes(cluster, log);
    return cluster;
  }
  const single = { ...common, enableOfflineQueue: false, retryStrategy: pause };
  if (topology.kind === 'standalone') {
    const redis = new Redis({ ...single, host: topology.host, port: topology.port });
    tellOutages(redis, log);
    return redis;
  }
  const redis = new Redis({
    ...single,
    name: topology.name,
    sentinels: topology.sentinels.slice(),
    sentinelUsername: topology.sentinelUsername,
    sentinelPassword: topology.sentinelPassword,
    sentinelCommandTimeout: common.commandTimeout,
    sentinelTLS: common.tls,
    enableTLSForSentinelMode: common.tls !== undefined,
    sentinelRetryStrategy: pause,
  });
  tellOutages(redis, log);
  followFailovers(redis, topology, common);
  return redis;
}

/** @throws Problem `unavailable`, with the last error of the connection, when it is not ready in time. */
export function whenReady(redis: Redis | Cluster, withinMs: number): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((done, failed) => {
    let cause = 'no connection';
    const note = (error: Error): void => void (cause = reasonOf(error));
    const ready = (): void => {
      settle();
      done();
    };
    const timer = setTimeout(() => {
      settle();
      failed(new Problem('unavailable', `Redis does not answer: ${cause}`, { field: 'store.redis' }));
    }, withinMs);
    const settle = (): void => {
      clearTimeout(timer);
      redis.off('ready', ready).off('error', note);
    };
    redis.on('ready', ready).on('error', note);
  });
}

function commonOptions(options: ConnectionOptionsOfRedis) {
  const { username, password, tls, commandTimeoutMs = COMMAND_TIMEOUT_MS } = options;
  return {
    username,
    password,
    tls: tls && tlsOptions(tls),
    commandTimeout: commandTimeoutMs,
    // Measured from a command to any reply: a socket that says nothing for so long is dead, whatever TCP believes.
    socketTimeout: commandTimeoutMs + 500,
    connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    disconnectTimeout: 500,
    keepAlive: 10_000,
    // RESP2: replies have the same shape everywhere, and messages never arrive between them.
    protocol: 2 as const,
    enableAutoPipelining: true,
    // What was sent when the connection broke has failed: it may or may not have been done.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: 500,
    // CLIENT SETINFO is unknown to Redis 7.0 and would only fill its error statistics.
    disableClientInfo: true,
    reconnectOnError: isNoMaster,
  } satisfies RedisOptions;
}

function tlsOptions(tls: NonNullable<ConnectionOptionsOfRedis['tls']>): ConnectionOptions {
  const { ca, certificate, key, servername } = tls;
  return {
    ca,
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
  };
}

/**
 * Connections that are made from now on use these files. The options are one object: of this connection and its duplicates, of the
 * nodes of a Cluster, and towards Sentinels.
 */
export function renewTls(redis: Redis | Cluster, tls: NonNullable<ConnectionOptionsOfRedis['tls']>): void {
  const used = redis instanceof Cluster ? redis.options.redisOptions?.tls : redis.options.tls;
  if (used !== undefined) Object.assign(used, tlsOptions(tls));
}

/** 50 ms, doubled up to a second; a little less at random, so that a hundred responders do not come back at once. */
function pause(attempt: number): number {
  const longest = Math.min(50 * 2 ** Math.min(attempt - 1, 10), LONGEST_PAUSE_MS);
  return Math.ceil(longest * (0.75 + Math.random() / 4));
}

/** A master that became a replica: the connection is made anew, by way of the Sentinels. A script passes the word on. */
function isNoMaster(error: Error): boolean {
  return error.message.startsWith('READONLY');
}

/** One line when Redis goes, one when it is back. */
function tellOutages(redis: Redis | Cluster, log: ConnectionLog | undefined): void {
  let away = false;
  const gone = (cause: string): void => {
    if (!away) log?.warn({ cause }, 'Redis does not answer: its commands fail until it does');
    away = true;
  };
  redis.on('error', (error: Error) => gone(reasonOf(error)));
  // Not every end of a connection is an error: the server may have closed it.
  redis.on('reconnecting', () => gone('the connection was closed'));
  redis.on('ready', () => {
    if (away) log?.info({}, 'Redis answers again');
    away = false;
  });
}

/** Of a Cluster, a single node may be away while the rest answers. */
function tellOutagesOfNodes(cluster: Cluster, log: ConnectionLog | undefined): void {
  const away = new Set<string>();
  cluster.on('node error', (error: Error, node: string) => {
    if (!away.has(node)) log?.warn({ node, cause: reasonOf(error) }, 'a node of the Redis Cluster does not answer');
    away.add(node);
  });
  cluster.on('+node', (redis: Redis) => {
    redis.once('ready', () => {
      const node = `${redis.options.host}:${redis.options.port}`;
      if (away.delete(node)) log?.info({ node }, 'the node of the Redis Cluster answers again');
    });
  });
}

/**
 * A master that is cut off from the Sentinels does not know that it has been replaced, and whoever is connected to it would
 * stay: every Sentinel is listened to. ioredis' own failover detector reports its connection errors to the console.
 */
function followFailovers(
  redis: Redis,
  topology: Topology & { kind: 'sentinel' },
  common: ReturnType<typeof commonOptions>,
): void {
  const watchers = topology.sentinels.map(({ host, port }) => {
    const watcher = new Redis({
      ...common,
      host,
      port,
      username: topology.sentinelUsername,
      password: topology.sentinelPassword,
      retryStrategy: pause,
      enableReadyCheck: false,
      // The subscription waits for the Sentinel, as long as that takes.
      maxRetriesPerRequest: null,
      commandTimeout: undefined,
      enableAutoPipelining: false,
    });
    // That no Sentinel answers is told by the main connection when it needs one.
    watcher.on('error', () => undefined);
    watcher.on('message', (_channel: string, announced: string) => {
      const [name, , , newHost, newPort] = announced.split(' ');
      // Only a connection that is ready may be broken off: one that is being made would not be made again.
      if (name !== topology.name || redis.status !== 'ready') return;
      const { remoteAddress, remotePort } = redis.stream;
      if (remoteAddress !== newHost || remotePort !== Number(newPort)) redis.disconnect(true);
    });
    watcher.subscribe('+switch-master').catch(() => undefined);
    return watcher;
  });
  const leave = (): void => watchers.forEach((watcher) => watcher.disconnect());
  redis.once('end', leave);
  // Told to disconnect between two attempts, ioredis makes no further attempt, and emits no 'end' either.
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect = false) => {
    if (!reconnect) leave();
    disconnect(reconnect);
  };
}

/** Without the arguments of the command, which ioredis attaches to some errors. */
function reasonOf(error: Error): string {
  const last = (error as { lastNodeError?: Error | null }).lastNodeError;
  return (last ? `${error.message} ${last.message}` : error.message).trim();
}
