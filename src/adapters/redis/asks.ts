/**
 * Calls for an answer, from responders that cannot sign to whoever can: published on one channel and heard by every signer. The first to
 * claim a call signs; a call that nobody hears is lost, and whoever waits calls again.
 */
import type { Cluster, Redis } from 'ioredis';
import type { IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND } from '../../core/time.ts';
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
  #ear: Connection | undefined;

  constructor(redis: Connection, issuers: readonly IssuerTag[], log: Log | undefined) {
    this.#redis = redis;
    this.#issuers = new Set(issuers);
    this.#log = log;
  }

  ask(issuer: IssuerTag, serial: Serial): void {
    this.#redis.publish(ASK_CHANNEL, issuer + serial).catch(() => undefined);
  }

  /** On a connection of its own: one that is subscribed does nothing else. */
  onAsk(listener: (issuer: IssuerTag, serial: Serial) => void): void {
    this.#ear ??= this.#listen();
    this.#ear.on('message', (_channel: string, message: string) => {
      const issuer = message.slice(0, TAG_DIGITS) as IssuerTag;
      const serial = message.slice(TAG_DIGITS) as Serial;
      if (!this.#issuers.has(issuer) || !/^([0-9a-f]{2}){1,20}$/.test(serial)) return;
      this.#claim(issuer, serial).then(
        (mine) => mine && listener(issuer, serial),
        () => undefined,
      );
    });
  }

  close(): void {
    this.#redis.off('ready', this.#listenAnew);
    this.#ear?.disconnect();
  }

  #listen(): Connection {
    const ear = duplicate(this.#redis);
    ear.on('error', () => undefined);
    // What is called while there is no connection is lost.
    ear.on('ready', () => {
      ear.subscribe(ASK_CHANNEL).catch((error: unknown) => {
        this.#log?.warn({ err: error }, 'calls for answers are not heard: those who wait are answered later');
      });
    });
    this.#redis.on('ready', this.#listenAnew);
    return ear;
  }

  /** After a failover the ear may still be at the server that was master. */
  readonly #listenAnew = (): void => {
    if (this.#ear?.status === 'ready') this.#ear.disconnect(true);
  };

  async #claim(issuer: IssuerTag, serial: Serial): Promise<boolean> {
    return (await this.#redis.set(new Keys(issuer).asked(serial), '1', 'PX', CLAIM_MS, 'NX')) === 'OK';
  }
}

function duplicate(redis: Connection): Connection {
  return redis.isCluster ? (redis as Cluster).duplicate() : (redis as Redis).duplicate({ protocol: 2 });
}
