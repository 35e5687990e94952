/** What the CA must know of its CRLs as a whole: their sizes to come, and the URLs that the CCADB must have. */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { viewForecast } from '../../flows/crl/crl-forecast.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { CrlBooks } from '../crl-books.ts';
import type { Core } from '../core.ts';
import type { Client, Permission } from './clients.ts';
import { acknowledgeRequest } from './crl-books-schema.ts';
import { parseBody } from './schema.ts';

export function addCrlBookRoutes(
  app: FastifyInstance,
  { store, clock }: Core,
  { census, urls }: CrlBooks,
  issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client },
): void {
  app.get('/v1/issuers/:issuer/crl-forecast', (request) =>
    viewForecast(issuerOf(request, 'read').issuer, census, store, clock.now()),
  );

  app.get('/v1/issuers/:issuer/crl-urls', (request) => urls.view(issuerOf(request, 'read').issuer));

  app.get('/v1/issuers/:issuer/crl-urls/changes', async (request, reply) => {
    const changes = await urls.changes(issuerOf(request, 'read').issuer);
    const body = changes.map((change) => `${JSON.stringify(change)}\n`).join('');
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    reply.header('etag', etag);
    // RFC 9110 §13.1.2: a list of tags, or `*`.
    const known = request.headers['if-none-match']?.split(',').some((tag) => ['*', etag].includes(tag.trim()));
    if (known === true) return reply.code(304).send();
    // Of a string the framework would say a charset, which this type has not.
    return reply.type('application/x-ndjson').send(Buffer.from(body));
  });

  app.post('/v1/issuers/:issuer/crl-urls/acknowledgement', async (request) => {
    const { issuer, client } = issuerOf(request, 'issue');
    const { upTo } = parseBody(acknowledgeRequest, request.body ?? {});
    return { acknowledged: await urls.acknowledge(issuer, upTo, client.actor) };
  });
}
