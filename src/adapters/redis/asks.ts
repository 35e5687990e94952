/**
 * Calls for an answer, from responders that cannot sign to whoever can: published on one channel and heard by every signer. The first to
 * claim a call signs; a call that nobody hears is lost, and whoever waits calls again.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
import { Ear } from './ear.ts';
import { ASK_CHANNEL, Keys } from './keys.ts';
import type { Connection } from './scripts.ts';
import type { Log } from './watch.ts';

/** How long a call is the one's who claimed it: as long as a client waits. */
const CLAIM_MS = 2 * SECOND;
const TAG_DIGITS = 8;

export class AskChannel {
  readonly #redis: Connection;
  readonly #issuers: ReadonlySet<string>;
  readonly #log: Log | undefined;
  readonly #listeners: ((issuer: IssuerTag, serial: Serial) => void)[] = [];
  #ear: Ear | undefined;

  constructor(redis: Connection, issuers: readonly IssuerTag[], log: Log | undefined) {
    this.#redis = redis;
    this.#issuers = new Set(issuers);
    this.#log = log;
  }

  ask(issuer: IssuerTag, serial: Serial): void {
    this.#redis.publish(ASK_CHANNEL, issuer + serial).catch(() => undefined);
  }

  onAsk(listener: (issuer: IssuerTag, serial: Serial) => void): void {
    this.#listeners.push(listener);
    const without = 'calls for answers are not heard: those who wait are answered later';
    this.#ear ??= new Ear(this.#redis, ASK_CHANNEL, this.#log, without, (message) => this.#heard(message));
  }

  close(): void {
    this.#ear?.close();
  }

  #heard(message: string): void {
    const issuer = message.slice(0, TAG_DIGITS) as IssuerTag;
    const serial = message.slice(TAG_DIGITS) as Serial;
    if (!this.#issuers.has(issuer) || !/^([0-9a-f]{2}){1,20}$/.test(serial)) return;
    claimCall(this.#redis, issuer, serial).then(
      (mine) => mine && this.#listeners.forEach((listener) => listener(issuer, serial)),
      () => undefined,
    );
  }
}

/** True for one of those who heard the call. @param name what tells it from others of the issuer. */
export async function claimCall(redis: Connection, issuer: IssuerTag, name: string): Promise<boolean> {
  return (await redis.set(new Keys(issuer).asked(name), '1', 'PX', CLAIM_MS, 'NX')) === 'OK';
}
