/**
 * What an operator does is done through the routes of the intake, in this process and in the operator's name: one set of rules, and
 * the audit records that those routes write. Who acts goes beside the request, not in it, so that nothing in a request can name
 * somebody else.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../../core/problem.ts';
import { settle } from '../api.ts';
import { makeIntake, type IntakeParts } from '../intake/server.ts';
import type { Client, Permission } from '../intake/clients.ts';
import type { Operator } from './sessions.ts';

export class Acting {
  readonly #routes: FastifyInstance;
  readonly #client = new AsyncLocalStorage<Client>();

  constructor(parts: Omit<IntakeParts, 'identify' | 'tls'>) {
    this.#routes = makeIntake({ ...parts, tls: undefined, identify: () => this.#acting() });
  }

  /** @param may what this one request needs, and no more. @throws Problem as the intake says it. */
  async call(
    { name, actor, issuers }: Operator,
    may: readonly Permission[],
    method: 'GET' | 'POST',
    path: string,
    body?: object,
  ): Promise<unknown> {
    const client: Client = { name, actor, issuers, may };
    const { statusCode, payload } = await this.#client.run(client, () =>
      this.#routes.inject({ method, url: path, ...(body !== undefined && { payload: body }) }),
    );
    return new Promise((resolve, reject) => settle(statusCode, payload, resolve, reject));
  }

  close(): Promise<unknown> {
    return this.#routes.close();
  }

  #acting(): Client {
    const client = this.#client.getStore();
    if (client === undefined) throw new Problem('forbidden', 'nobody acts');
    return client;
  }
}
