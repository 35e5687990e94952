/** The operators' port: metrics, health, status page. Loopback by default; it has no write path. */
import Fastify, { type FastifyInstance } from 'fastify';
import type { Exporter } from '../../adapters/prometheus/exporter.ts';
import { boundConnections, PRIVATE_PORT } from '../private-port.ts';
import type { Status } from './status.ts';
import { CONTENT_SECURITY_POLICY, type Viewer } from './layout.ts';
import type { PageQuery } from './page.ts';

export interface AdminParts {
  readonly exporter: Exporter;
  /** Resolves when what other processes have counted is in the metrics. */
  readonly counted?: () => Promise<void>;
  readonly status: () => Status;
  readonly statusPage: (viewer: Viewer, query: PageQuery) => string;
  /** Why this process should get no traffic; undefined when it should. */
  readonly notReady: () => string | undefined;
  /** At once. */
  readonly maxConnections: number;
}

export function makeAdmin(parts: AdminParts): FastifyInstance {
  // Nothing here takes a body.
  const app = Fastify({ ...PRIVATE_PORT, bodyLimit: 1024, requestTimeout: 10_000 }) as unknown as FastifyInstance;
  boundConnections(app, parts.maxConnections);
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });
  app.get('/', (request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', CONTENT_SECURITY_POLICY)
      .send(parts.statusPage({ name: 'local', may: ['view'], csrf: '' }, request.query as PageQuery)),
  );
  app.get('/status.json', () => parts.status());
  app.get('/metrics', async (_request, reply) => {
    await parts.counted?.();
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(await parts.exporter.text());
  });
  // Alive: the event loop answers. Anything more here would have a restart "repair" a broken disk.
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reason = parts.notReady();
    return reply
      .code(reason === undefined ? 200 : 503)
      .type('text/plain')
      .send(`${reason ?? 'ok'}\n`);
  });
  return app;
}
