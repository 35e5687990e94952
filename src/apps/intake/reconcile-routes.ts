/** Reconciliations over the private interface: asked for, looked at until they have ended. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Reconciliations } from '../../flows/monitor/reconciliations.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { Problem } from '../../core/problem.ts';
import { authorise, type Client } from './clients.ts';
import { parseBody } from './schema.ts';

export const reconcileRequest = z.strictObject({
  issuers: z.array(z.string()).min(1).max(1000).optional().describe('Issuer ids; all without it.'),
  limit: z.int().min(0).max(10_000).default(100).describe('Differences that are listed; the rest is counted.'),
});

export function addReconcileRoutes(
  app: FastifyInstance,
  identify: (request: FastifyRequest) => Client,
  issuers: ReadonlyMap<string, ServedIssuer>,
  reconciliations: Reconciliations,
): void {
  const idOf = (request: FastifyRequest): string => (request.params as { id: string }).id;
  // A report speaks of every issuer that it was asked for, and may be looked at by whoever has its id and may read at all.
  const reader = (request: FastifyRequest): Client => {
    const client = identify(request);
    authorise(client, 'read', undefined);
    return client;
  };

  app.post('/v1/reconciliations', (request) => {
    const client = identify(request);
    const { issuers: asked = [...issuers.keys()], limit } = parseBody(reconcileRequest, request.body ?? {});
    const chosen = asked.map((id) => {
      authorise(client, 'read', id);
      const issuer = issuers.get(id);
      if (issuer === undefined) throw new Problem('not-found', 'no such issuer', { field: '/issuers', value: id });
      return issuer;
    });
    return reconciliations.ask(chosen, limit, client.actor);
  });
  app.get('/v1/reconciliations/:id', (request) => {
    reader(request);
    return reconciliations.view(idOf(request));
  });
  for (const [verb, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(`/v1/reconciliations/:id/${verb}`, (request) => {
      reader(request);
      return reconciliations.pause(idOf(request), paused);
    });
  }
}
