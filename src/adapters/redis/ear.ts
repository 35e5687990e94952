/**
 * Hears one channel, on a connection of its own: one that is subscribed does nothing else. What is published while there is no
 * connection is lost.
 */
import type { Cluster, Redis } from 'ioredis';
import type { Connection } from './scripts.ts';
import type { Log } from './watch.ts';

export class Ear {
  readonly #redis: Connection;
  readonly #ear: Connection;
  /** Resolves when the channel is heard for the first time. */
  readonly listening: Promise<void>;

  /** @param without what a failure to subscribe means, for the log. */
  constructor(
    redis: Connection,
    channel: string,
    log: Log | undefined,
    without: string,
    heard: (message: string) => void,
  ) {
    this.#redis = redis;
    this.#ear = redis.isCluster ? (redis as Cluster).duplicate() : (redis as Redis).duplicate({ protocol: 2 });
    this.#ear.on('error', () => undefined);
    this.listening = new Promise((resolve) => {
      this.#ear.on('ready', () => {
        this.#ear.subscribe(channel).then(
          () => resolve(),
          (error: unknown) => log?.warn({ err: error }, without),
        );
      });
    });
    this.#ear.on('message', (_channel: string, message: string) => heard(message));
    redis.on('ready', this.#listenAnew);
  }

  close(): void {
    this.#redis.off('ready', this.#listenAnew);
    this.#ear.disconnect();
  }

  /** After a failover the ear may still be at the server that was master. */
  readonly #listenAnew = (): void => {
    if (this.#ear.status === 'ready') this.#ear.disconnect(true);
  };
}
