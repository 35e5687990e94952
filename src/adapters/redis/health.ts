/** How the connection to Redis fares: what its looks (watch.ts) took, and what the server's memory holds. */
import type { Redis } from 'ioredis';
import type { Connection } from './scripts.ts';

/** The longest of this span and of the one before is told. */
const SPAN_MS = 60_000;
const MEMORY_EVERY_MS = 30_000;

export class RoundTrips {
  #since = -Infinity;
  #longest: number | undefined;
  #longestBefore: number | undefined;

  /** @param nowMs monotonic. */
  took(ms: number, nowMs: number): void {
    if (nowMs - this.#since > SPAN_MS) {
      this.#longestBefore = this.#longest;
      this.#longest = undefined;
      this.#since = nowMs;
    }
    this.#longest = Math.max(ms, this.#longest ?? 0);
  }

  get longestMs(): number | undefined {
    return this.#longest === undefined ? undefined : Math.max(this.#longest, this.#longestBefore ?? 0);
  }
}

/** What all masters together have in use, asked for now and then. */
export class RedisMemory {
  bytes: number | undefined;
  readonly #redis: Connection;
  readonly #timer: NodeJS.Timeout;

  constructor(redis: Connection) {
    this.#redis = redis;
    this.#timer = setInterval(() => void this.look(), MEMORY_EVERY_MS);
    this.#timer.unref();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const nodes: readonly Redis[] = 'nodes' in this.#redis ? this.#redis.nodes('master') : [this.#redis];
    const used = await Promise.all(nodes.map((node) => usedBy(node)));
    this.bytes = used.includes(undefined) ? undefined : used.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

async function usedBy(node: Redis): Promise<number | undefined> {
  try {
    const [, used] = /^used_memory:(\d+)/m.exec(await node.info('memory')) ?? [];
    return used === undefined ? undefined : Number(used);
  } catch {
    return undefined;
  }
}
