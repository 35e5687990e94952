/** The store that the configuration names, and what counts its answers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory } from '../adapters/embedded/directory-lock.ts';
import { EmbeddedStore } from '../adapters/embedded/store.ts';
import { openRedis, whenReady } from '../adapters/redis/connection.ts';
import { checkFitness } from '../adapters/redis/fitness.ts';
import { RedisStore } from '../adapters/redis/store.ts';
import { systemClock } from '../adapters/system/clock.ts';
import type { IssuerTag } from '../core/certificate.ts';
import { Problem } from '../core/problem.ts';
import { SECOND } from '../core/time.ts';
import { FreshnessGauges } from '../flows/freshness-gauges.ts';
import type { Log } from '../flows/log.ts';
import type { KeptArchive } from '../ports/archive-upkeep.ts';
import type { Freshness, Relay, Store, StoreCopies, StoreHealth } from '../ports/store.ts';
import type { Config } from './config.ts';
import { archiveOf } from './data-directory.ts';
import { fileProblem } from './errors.ts';
import { RedisTls } from './redis-tls.ts';
import type { RedisConfig } from './store-config.ts';

export interface OpenedStore {
  readonly store: Store;
  /** Undefined for a shared one, which every process opens itself. */
  readonly relay: Relay | undefined;
  /** Likewise. */
  readonly copies: StoreCopies | undefined;
  /** Of a process that signs. */
  readonly archive: KeptArchive | undefined;
  readonly freshness: Freshness;
  readonly health: StoreHealth;
  /** Of a store that lies on this machine's disk. */
  readonly directory: string | undefined;
  /** Of a shared one that is reached by TLS. */
  readonly tls: RedisTls | undefined;
  /** Counts what is published already; call it once, before anything publishes. */
  countFreshness(): Promise<void>;
  close(): Promise<void>;
}

/** How long a start waits for Redis. Then it fails: whoever keeps the service running starts it again. */
const READY_MS = 10 * SECOND;

/**
 * @throws Problem `unavailable` when another process has the data directory open or Redis does not answer, `config` when the
 *   directory cannot be used, or the server could lose or evict what it is given.
 */
export function openStore(config: Config, issuers: readonly IssuerTag[], log: Log): Promise<OpenedStore> {
  return config.store.kind === 'embedded' ? openEmbedded(config) : openShared(config, config.store, issuers, log);
}

async function openEmbedded({ dataDir }: Config): Promise<OpenedStore> {
  const archive = archiveOf(dataDir);
  const store = await EmbeddedStore.open(dataDir, archive);
  const freshness = new FreshnessGauges(store);
  let counting = Promise.resolve();
  return {
    store,
    relay: store,
    copies: store,
    archive,
    freshness,
    health: { roundTripMs: undefined, bytes: undefined, clockAheadMs: undefined, feedLagMs: 0 },
    directory: join(dataDir, 'store'),
    tls: undefined,
    countFreshness: () => (counting = freshness.load()),
    async close() {
      freshness.stop();
      await counting.catch(() => undefined);
      await store.close();
    },
  };
}

async function openShared(
  { name, roles, dataDir }: Config,
  shared: RedisConfig,
  issuers: readonly IssuerTag[],
  log: Log,
): Promise<OpenedStore> {
  const signs = roles.has('signer');
  const writes = signs || roles.has('intake');
  const tls = shared.tls && new RedisTls(shared.tls, systemClock, log);
  const redis = openRedis({
    topology: shared.topology,
    username: shared.username,
    password: shared.passwordFile === undefined ? undefined : passwordIn(shared.passwordFile),
    tls: tls?.options,
    log,
  });
  tls?.follow(redis);
  const undo: (() => Promise<unknown> | void)[] = [() => redis.disconnect(), () => tls?.stop()];
  try {
    // Two processes with one journal would break its chain; a process without one shares nothing but its directory.
    if (writes) {
      const lock = await lockDirectory(dataDir);
      undo.push(() => lock.release());
    }
    await whenReady(redis, READY_MS);
    for (const { severity, rule, message } of await checkFitness(redis, { role: writes ? 'writer' : 'reader' }))
      log[severity === 'warning' ? 'warn' : 'info']({ rule }, message);
    const archive = signs ? archiveOf(dataDir) : undefined;
    const store = await RedisStore.open({
      redis,
      name,
      intakes: shared.intakes,
      journals: roles.has('intake'),
      issuers,
      archive,
      certificates: shared.certificates,
      replicas: shared.replicas,
      log,
    });
    undo.push(() => store.close());
    return {
      store,
      relay: undefined,
      copies: undefined,
      archive,
      freshness: store.freshness,
      health: store.health,
      directory: undefined,
      tls,
      countFreshness: () => Promise.resolve(),
      close: () => inReverse(undo),
    };
  } catch (error) {
    await inReverse(undo);
    throw error;
  }
}

async function inReverse(steps: readonly (() => Promise<unknown> | void)[]): Promise<void> {
  for (const step of [...steps].reverse()) await step();
}

/** One trailing newline is the editor's. */
function passwordIn(file: string): string {
  return fileOf('store.redis.passwordFile', file)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

function fileOf(field: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Problem('config', `cannot be read: ${fileProblem(error)}`, { field, value: file });
  }
}
