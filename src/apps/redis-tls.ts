/** TLS to Redis. When its files are replaced, connections that are made from then on use the new ones; those that are open stay. */
import type { Cluster, Redis } from 'ioredis';
import { renewTls, type ConnectionOptionsOfRedis } from '../adapters/redis/connection.ts';
import { rfc3339, type EpochMs } from '../core/time.ts';
import type { Log } from '../flows/log.ts';
import type { Clock } from '../ports/clock.ts';
import { FileWatch } from './file-watch.ts';
import type { RedisConfig } from './store-config.ts';
import { endOf, redisFiles, reviewTls, sameMaterial, type TlsMaterial } from './tls-files.ts';

type Section = NonNullable<RedisConfig['tls']>;

export class RedisTls {
  readonly #section: Section;
  readonly #clock: Clock;
  readonly #log: Log;
  #inUse: TlsMaterial;
  #watch: FileWatch | undefined;
  #redis: Redis | Cluster | undefined;
  #failure: { readonly line: string; readonly since: EpochMs } | undefined;

  /** @throws Problem `config` for files that no connection could be made with. */
  constructor(section: Section, clock: Clock, log: Log) {
    this.#section = section;
    this.#clock = clock;
    this.#log = log;
    const { material, unusable, refusing } = reviewTls(redisFiles(section), clock.now());
    if (material === undefined) throw unusable[0] as Error;
    for (const { problem } of refusing) log.error({ field: problem.field }, problem.line);
    this.#inUse = material;
  }

  get options(): NonNullable<ConnectionOptionsOfRedis['tls']> {
    const { ca, cert: certificate, key } = this.#inUse;
    return { ca, certificate, key, servername: this.#section.servername };
  }

  /** Of the certificate that Redis is shown; undefined without one. */
  get notAfter(): EpochMs | undefined {
    return endOf(this.#inUse);
  }

  /** Why the files are not used that are there; undefined when they are. */
  get failure(): { readonly line: string; readonly since: EpochMs } | undefined {
    return this.#failure;
  }

  /** Every process does this by itself: a responder process too, which no signal reaches. */
  follow(redis: Redis | Cluster): void {
    const files = Object.values(redisFiles(this.#section)).flatMap((one) => one?.file ?? []);
    this.#redis = redis;
    this.#watch = new FileWatch(this.#clock, () => files, () => this.renew()); // prettier-ignore
    this.#watch.start();
  }

  /** Never throws. */
  renew(): void {
    this.#watch?.note();
    const { material, unusable, refusing } = reviewTls(redisFiles(this.#section), this.#clock.now());
    if (material !== undefined && sameMaterial(material, this.#inUse)) {
      this.#failure = undefined;
      return;
    }
    const problem = unusable[0] ?? refusing[0]?.problem;
    if (material === undefined || problem !== undefined) {
      const line = problem?.line ?? '';
      this.#failure = { line, since: this.#failure?.since ?? this.#clock.now() };
      this.#log.error({ field: problem?.field }, `not reloaded, what was in use stays in use: ${line}`);
      return;
    }
    this.#failure = undefined;
    this.#inUse = material;
    if (this.#redis !== undefined) renewTls(this.#redis, this.options);
    const until = this.notAfter === undefined ? '' : ` (until ${rfc3339(this.notAfter)})`;
    this.#log.info({}, `reloaded: TLS to Redis${until}; connections that are open stay`);
  }

  stop(): void {
    this.#watch?.stop();
  }
}
