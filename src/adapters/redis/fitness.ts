/**
 * Whether a Redis is fit to hold the ledger, looked at before it is used. What could lose or evict a status is refused; what
 * costs memory, time or safety is a warning. Settings are read by CONFIG GET and, where the user may not do that, by INFO, which
 * does not know all of them: what stays unknown is said. In a Cluster every master is looked at. deploy/redis/redis.conf passes.
 */
import { Cluster, type Redis } from 'ioredis';
import type { Finding } from '../../core/lint/finding.ts';
import { Problem } from '../../core/problem.ts';

/** The `setting` of redis.conf, or the field of INFO, that was judged, and what stood there. */
export interface FitnessFinding extends Finding {
  readonly setting: string;
  readonly value: string;
}

/** Fields of a listpack with 64 certificates, and with four times as many where the estimate was low (keys.ts). */
const LEAST_LISTPACK_ENTRIES = 512;
/** Octets of the largest record that is to stay in a listpack: two answers signed by an RSA-4096 key. */
const LEAST_LISTPACK_VALUE = 1100;

/** The rule of what no promise hangs on, but the bill or the night's sleep. */
const OPERATION = 'operation';

/** What the rules look at: one server as this process sees it. */
interface Server {
  /** `host:port`. */
  readonly address: string;
  readonly info: ReadonlyMap<string, string>;
  /** Undefined where CONFIG GET is forbidden. */
  readonly config: ReadonlyMap<string, string> | undefined;
  readonly inCluster: boolean;
  readonly role: 'writer' | 'reader';
  readonly encrypted: boolean;
  readonly loopback: boolean;
  readonly login: 'none' | 'password' | 'user';
}

/** What was found, or undefined when all is well. */
type Rule = (server: Server) => FitnessFinding | undefined;

/**
 * @returns warnings and notices, each once, with the servers of a Cluster that it is about.
 * @throws Problem `config` naming the first setting that must be changed, its value and what to set; `unavailable` when a server
 * does not answer.
 */
export async function checkFitness(
  redis: Redis | Cluster,
  { role }: { readonly role: 'writer' | 'reader' },
): Promise<readonly FitnessFinding[]> {
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  const found = new Map<string, { readonly finding: FitnessFinding; readonly addresses: string[] }>();
  for (const node of nodes) {
    const server = await lookAt(node, role, redis instanceof Cluster);
    for (const finding of RULES.map((rule) => rule(server)).filter((one) => one !== undefined)) {
      const key = `${finding.setting} ${finding.message}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, { finding, addresses: [server.address] });
      else known.addresses.push(server.address);
    }
  }
  const findings = [...found.values()].map(({ finding, addresses }) =>
    nodes.length === 1 ? finding : { ...finding, message: `${finding.message} (on ${addresses.join(', ')})` },
  );
  const error = findings.find(({ severity }) => severity === 'error');
  if (error !== undefined)
    throw new Problem('config', error.message, {
      field: error.setting,
      value: error.value,
      rule: error.rule,
    });
  return findings;
}

const RULES: readonly Rule[] = [
  (server) => {
    const version = server.info.get('redis_version') ?? '0';
    // 7.0 brought read-only scripts (EVALSHA_RO) and listpacks.
    return Number(version.split('.')[0]) >= 7
      ? undefined
      : error('redis_version', version, 'P1', 'must be 7.0 or later');
  },
  (server) =>
    server.info.get('cluster_enabled') === '1' && !server.inCluster
      ? error('cluster-enabled', 'yes', 'P1', 'is a node of a Cluster: name it under store.redis.cluster')
      : undefined,
  (server) =>
    server.info.get('role') === 'master'
      ? undefined
      : // A replica lags behind: it would answer good for what is revoked already, and forgets what it is given.
        error('role', server.info.get('role') ?? '', 'P2', 'is a replica: name the master, or its Sentinels'),
  (server) => {
    const policy = server.info.get('maxmemory_policy') ?? '';
    return policy === 'noeviction'
      ? undefined
      : error('maxmemory-policy', policy, 'P1', 'would throw statuses away when memory is short: set noeviction');
  },
  (server) =>
    server.info.get('aof_enabled') === '1'
      ? undefined
      : error('appendonly', 'no', 'P1', 'would forget everything when it is restarted: set appendonly yes'),
  (server) =>
    server.config?.get('appendfsync') === 'no'
      ? error('appendfsync', 'no', 'P1', 'leaves it to the kernel when data reach the disk: set everysec or always')
      : undefined,

  (server) => {
    const status = server.info.get('aof_last_write_status') ?? 'ok';
    return status === 'ok'
      ? undefined
      : warning('aof_last_write_status', status, 'P1', 'could not write its append-only file: is the disk full?');
  },
  atLeast('hash-max-listpack-entries', LEAST_LISTPACK_ENTRIES),
  atLeast('hash-max-listpack-value', LEAST_LISTPACK_VALUE),
  (server) =>
    Number(server.info.get('connected_slaves') ?? 0) > 0 && !server.info.has('min_slaves_good_slaves')
      ? // What a master takes while it is cut off from its replicas is lost when one of them replaces it.
        warning('min-replicas-to-write', '0', 'P1', 'goes on taking writes when it is cut off from its replicas: set 1')
      : undefined,
  (server) =>
    server.config?.get('no-appendfsync-on-rewrite') === 'yes'
      ? warning(
          'no-appendfsync-on-rewrite',
          'yes',
          'P1',
          'does not sync while it rewrites its append-only file: set no',
        )
      : undefined,
  (server) =>
    server.config?.get('auto-aof-rewrite-percentage') === '0'
      ? warning(
          'auto-aof-rewrite-percentage',
          '0',
          OPERATION,
          'never shortens its append-only file, which fills the disk: set 100',
        )
      : undefined,
  (server) => {
    const [used, most] = [Number(server.info.get('used_memory')), Number(server.info.get('maxmemory'))];
    return most > 0 && used > 0.8 * most
      ? warning(
          'maxmemory',
          String(most),
          OPERATION,
          `has ${Math.round((100 * used) / most)} % of it in use: at 100 % it takes no event`,
        )
      : undefined;
  },
  (server) =>
    server.inCluster && server.config?.get('cluster-require-full-coverage') === 'yes'
      ? warning('cluster-require-full-coverage', 'yes', OPERATION, 'refuses all issuers when one shard is away: set no')
      : undefined,
  (server) =>
    server.login === 'none'
      ? warning(
          'requirepass',
          '',
          'P7',
          'lets in everybody who reaches its port, to do everything: see deploy/redis/users.acl',
        )
      : undefined,
  (server) =>
    server.encrypted || server.loopback
      ? undefined
      : warning('tls-port', '0', 'CT-6.7-b', 'is reached over a network without TLS: set store.redis.tls'),

  (server) =>
    server.login === 'password'
      ? notice('requirepass', '(set)', 'P7', 'has one password for everything: see deploy/redis/users.acl')
      : undefined,
  (server) =>
    server.config?.get('appendfsync') === 'everysec'
      ? notice('appendfsync', 'everysec', 'P1', "may lose a second with the power: the intakes' journals bring it back")
      : undefined,
  (server) => {
    const points = server.config?.get('save') ?? '';
    return points === ''
      ? undefined
      : notice(
          'save',
          points,
          OPERATION,
          'writes snapshots beside the append-only file, which costs time and memory: set save ""',
        );
  },
  (server) =>
    server.info.get('maxmemory') === '0'
      ? notice(
          'maxmemory',
          '0',
          OPERATION,
          'is ended by the kernel when memory is short, instead of refusing writes: set a limit',
        )
      : undefined,
  (server) =>
    server.config === undefined
      ? // A responder's user may not do it; whoever writes has looked.
        (server.role === 'reader' ? notice : warning)(
          'appendfsync',
          '',
          'P1',
          'does not let this user CONFIG GET: appendfsync, hash-max-listpack-entries and -value and the rewriting of the ' +
            'append-only file were not looked at',
        )
      : undefined,
];

/** A hash beyond either limit becomes a table, which takes several times the memory. */
function atLeast(setting: string, least: number): Rule {
  return (server) => {
    const value = server.config?.get(setting);
    return value !== undefined && Number(value) < least
      ? warning(setting, value, OPERATION, `keeps certificates in a form that takes more memory: set at least ${least}`)
      : undefined;
  };
}

const finding =
  (severity: Finding['severity']) =>
  (setting: string, value: string, rule: string, message: string): FitnessFinding => ({
    severity,
    rule,
    citation: 'deploy/redis/redis.conf',
    setting,
    value,
    message: `Redis ${message}`,
  });
const error = finding('error');
const warning = finding('warning');
const notice = finding('notice');

/** One by one, because a pattern would bring passwords along. */
const SETTINGS = [
  'appendfsync',
  'auto-aof-rewrite-percentage',
  'cluster-require-full-coverage',
  'hash-max-listpack-entries',
  'hash-max-listpack-value',
  'no-appendfsync-on-rewrite',
  'save',
];

async function lookAt(node: Redis, role: Server['role'], inCluster: boolean): Promise<Server> {
  const address = `${node.options.host}:${node.options.port}`;
  try {
    const info = fieldsOf(await node.info());
    return {
      address,
      info,
      config: await settingsOf(node),
      inCluster,
      role,
      encrypted: node.options.tls !== undefined && node.options.tls !== null,
      loopback: /^(::ffff:)?127\.|^::1$/.test(node.stream.remoteAddress ?? ''),
      login: node.options.username ? 'user' : node.options.password ? 'password' : 'none',
    };
  } catch (cause) {
    throw new Problem('unavailable', `Redis does not answer: ${(cause as Error).message}`, {
      field: 'store.redis',
      value: address,
    });
  }
}

async function settingsOf(node: Redis): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const reply = (await node.config('GET', ...(SETTINGS as [string, ...string[]]))) as readonly string[];
    return new Map(reply.flatMap((name, at) => (at % 2 === 0 ? [[name, reply[at + 1] as string] as const] : [])));
  } catch (cause) {
    // Forbidden by ACL, renamed away, or (before 7.0) not knowing several names at once: INFO says which version it is.
    if (/^(NOPERM|ERR)/.test((cause as Error).message)) return undefined;
    throw cause;
  }
}

/** The lines `field:value` of INFO. */
function fieldsOf(info: string): ReadonlyMap<string, string> {
  return new Map(
    info
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  );
}
