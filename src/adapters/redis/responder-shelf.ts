/** Responder certificates of one issuer: a set of DER, and what has become of those that are retired. */
import { createHash } from 'node:crypto';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import { encodeEvents, type FeedEvent } from './feed.ts';
import type { IssuerLedger } from './issuer-ledger.ts';
import { scripts, type Argument, type Connection, type Script } from './scripts.ts';
import { changing, unavailable } from './watch.ts';

type Retired = Exclude<ResponderUse, 'signing'>;

export class IssuerResponders {
  readonly #ledger: IssuerLedger;
  readonly #redis: Connection;

  constructor(ledger: IssuerLedger, redis: Connection) {
    this.#ledger = ledger;
    this.#redis = redis;
  }

  all(): Promise<readonly Buffer[]> {
    return this.#read((keys) => this.#redis.smembersBuffer(keys.responders));
  }

  add(der: Buffer): Promise<void> {
    return this.#tell(scripts.addResponder, [der], { type: 'responder', der });
  }

  async retire(responder: string, use: Retired): Promise<void> {
    const leaving = use === 'nothing' ? (await this.all()).filter((der) => idOf(der) === responder) : [];
    await this.#tell(scripts.retireResponder, [responder, use], { type: 'responder-retired', responder, use }, leaving);
  }

  async retired(): Promise<ReadonlyMap<string, Retired>> {
    const found = await this.#read((keys) => this.#redis.hgetall(keys.retired));
    return new Map(Object.entries(found)) as ReadonlyMap<string, Retired>;
  }

  async #tell(
    script: Script,
    args: readonly Argument[],
    event: FeedEvent,
    more: readonly Argument[] = [],
  ): Promise<void> {
    const { watch, feedLength } = this.#ledger;
    const { instance } = await watch.trusted();
    const payload = encodeEvents([event]);
    const outcome = await this.#ledger.script(script, [instance, ...args, feedLength, payload, ...more]);
    if (String(outcome) !== 'done') throw changing();
    await this.#ledger.replicated();
    watch.wake();
  }

  /** From the ledger that is relied on, before and after: it is read seldom. */
  async #read<T>(read: (keys: IssuerLedger['watch']['keys']) => Promise<T>): Promise<T> {
    const { watch } = this.#ledger;
    const { instance } = await watch.trusted();
    let found: T;
    try {
      found = await read(watch.keys);
    } catch (error) {
      throw unavailable(error);
    }
    if ((await watch.confirmed()).instance !== instance) throw changing();
    return found;
  }
}

/** As answers name their responder (core/certificate.ts). */
function idOf(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex').slice(0, 8);
}
