/** Responder certificates over the signer's control interface (right `keys`): requested, installed, retired. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ResponderChanges } from '../../flows/sign/change-responder.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Client, Permission } from './clients.ts';
import { installRequest, parseBody, responderRequest, retireRequest } from './schema.ts';

export function addResponderRoutes(
  app: FastifyInstance,
  changes: ResponderChanges,
  issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client },
): void {
  app.get('/v1/issuers/:issuer/responders', (request) => changes.view(issuerOf(request, 'read').issuer));

  app.post('/v1/issuers/:issuer/responder-requests', (request) => {
    const { issuer, client } = issuerOf(request, 'keys');
    const { key, subject } = parseBody(responderRequest, request.body);
    return changes.request(issuer, [key].flat(), subject, client.actor);
  });

  app.post('/v1/issuers/:issuer/responders', (request) => {
    const { issuer, client } = issuerOf(request, 'keys');
    const { certificate, key } = parseBody(installRequest, request.body);
    return changes.install(issuer, certificate, [key].flat(), client.actor);
  });

  app.post('/v1/issuers/:issuer/responders/:responder/retirement', (request) => {
    const { issuer, client } = issuerOf(request, 'keys');
    const { drop } = parseBody(retireRequest, request.body ?? {});
    return changes.retire(issuer, (request.params as { responder: string }).responder, drop === true, client.actor);
  });
}
