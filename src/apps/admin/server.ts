/**
 * The operators' port: status page, certificates, audit log, what operators do, metrics and health. Loopback by default. Who may see
 * what is decided in access.ts.
 */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import type { Exporter } from '../../adapters/prometheus/exporter.ts';
import type { MetricSet } from '../../core/metric.ts';
import { Problem } from '../../core/problem.ts';
import type { IntakeClient } from '../intake-config.ts';
import type { Core } from '../core.ts';
import { HTTP_STATUS } from '../http-status.ts';
import { boundConnections, PRIVATE_PORT, PRIVATE_TLS, tlsOptions } from '../private-port.ts';
import type { TlsMaterial } from '../tls-files.ts';
import { Access, SignedOut, type RouteNeeds } from './access.ts';
import { addActions } from './actions.ts';
import type { Acting } from './acting.ts';
import { addActivate } from './activate-page.ts';
import { addAuditPage } from './audit-page.ts';
import { addCertificatePage } from './certificate-page.ts';
import { document, escape, type Viewer } from './layout.ts';
import type { PageQuery } from './page.ts';
import { AccessRecords } from './records.ts';
import { Sessions } from './sessions.ts';
import { addSignIn } from './sign-in.ts';
import type { Status } from './status.ts';

export interface AdminParts {
  readonly core: Core;
  readonly exporter: Exporter;
  readonly metrics: MetricSet;
  /** Resolves when what other processes have counted is in the metrics. */
  readonly counted?: () => Promise<void>;
  readonly status: () => Status;
  readonly statusPage: (viewer: Viewer, query: PageQuery) => string;
  /** Why this process should get no traffic; undefined when it should. */
  readonly notReady: () => string | undefined;
  /** The routes of the intake, for whoever is signed in. */
  readonly acting: Acting;
  /** Undefined where none can be kept: then nobody signs in by a link. */
  readonly secret: Buffer | undefined;
  readonly clients: () => readonly IntakeClient[];
  readonly metricsDigest: () => Buffer | undefined;
  readonly tls: TlsMaterial | undefined;
  /** At once. */
  readonly maxConnections: number;
}

/** Of a form: a certificate with its chain. */
const BODY_LIMIT = 64 << 10;

export function makeAdmin(parts: AdminParts): FastifyInstance {
  const { core } = parts;
  const { clock, log, journal } = core;
  const app = Fastify({
    ...PRIVATE_PORT,
    bodyLimit: BODY_LIMIT,
    requestTimeout: 10_000,
    // A certificate is asked for, not demanded: probes and scrapers have none, and links work over TLS too.
    ...(parts.tls && {
      https: {
        ...PRIVATE_PORT.http,
        ...PRIVATE_TLS,
        ...tlsOptions(parts.tls),
        rejectUnauthorized: false,
      },
    }),
  }) as unknown as FastifyInstance;
  boundConnections(app, parts.maxConnections);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
    done(null, new URLSearchParams(body as string)),
  );

  const sessions = new Sessions(clock);
  const records = new AccessRecords(journal, clock, log);
  const denied = (who: string, what: string): void => records.denied(who, what);
  const access = new Access({ ...parts, sessions, clock, denied });
  access.guard(app);
  addSignIn(app, {
    ...{ access, sessions, clock, denied, secret: parts.secret, metrics: parts.metrics },
    granted: ({ actor, may }) =>
      records.write({ type: 'access.granted', actor, description: `signed in on the admin port: ${may.join(', ')}` }),
    ended: ({ actor }) => records.write({ type: 'access.ended', actor, description: 'signed out of the admin port' }),
  });
  addOpenRoutes(app, parts);
  app.get('/', { config: needs('view') }, (request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .send(parts.statusPage(access.askerOf(request).viewer, request.query as PageQuery)),
  );
  app.get('/status.json', { config: { needs: 'view', data: true } satisfies RouteNeeds }, () => parts.status());
  const { acting } = parts;
  addActions(app, { access, acting, core });
  addActivate(app, { access, acting });
  addCertificatePage(app, { access, acting, core, records });
  addAuditPage(app, { access, core, records });

  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('no such page\n'));
  app.setErrorHandler((error: FastifyError | Problem, request, reply) => {
    const route = request.routeOptions.config as unknown as RouteNeeds | undefined;
    const { status, problem } = refusal(error);
    if (status === 500) log.error({ err: error }, 'the admin port could not answer');
    reply.code(status);
    if (status === 401) reply.header('www-authenticate', 'Bearer');
    if (route?.data === true || route?.needs === 'scraper') return sendProblem(reply, status, problem);
    const viewer = status === 401 ? undefined : access.sessionOf(request)?.session;
    return reply.type('text/html; charset=utf-8').send(
      document({
        title: 'Not done',
        viewer: viewer && { name: viewer.operator.name, may: viewer.operator.may, csrf: viewer.csrf },
        path: '',
        body: `<h1>Not done</h1>\n<p class="failing" role="alert">${escape(problem.line)}</p>\n${status === 401 ? '<p><a href="/sign-in">Sign in</a></p>' : '<p><a href="/">Status page</a></p>'}`,
      }),
    );
  });
  return app;
}

/** For whoever reaches the port. */
function addOpenRoutes(app: FastifyInstance, parts: AdminParts): void {
  app.get('/metrics', { config: { needs: 'scraper' } satisfies RouteNeeds }, async (_request, reply) => {
    await parts.counted?.();
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(await parts.exporter.text());
  });
  // Alive: the event loop answers. Anything more here would have a restart "repair" a broken disk.
  app.get('/livez', { config: needs('nobody') }, (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', { config: needs('nobody') }, (_request, reply) => {
    const reason = parts.notReady();
    return reply
      .code(reason === undefined ? 200 : 503)
      .type('text/plain')
      .send(`${reason ?? 'ok'}\n`);
  });
}

const needs = (of: RouteNeeds['needs']): RouteNeeds => ({ needs: of });

function refusal(error: FastifyError | Problem): { status: number; problem: Problem } {
  if (error instanceof SignedOut)
    return { status: 401, problem: new Problem('forbidden', 'nobody is signed in; certstatus sign-in prints a link') };
  if (error instanceof Problem) return { status: HTTP_STATUS[error.code], problem: error };
  const { statusCode: status } = error as FastifyError;
  if (status === 413) return { status, problem: new Problem('too-large', 'over 64 kB', { field: 'body' }) };
  if (status !== undefined && status < 500)
    return { status, problem: new Problem('invalid', error.message, { field: 'body' }) };
  return { status: 500, problem: new Problem('corrupt', 'an internal error; it is in the log') };
}

/** RFC 9457. */
function sendProblem(reply: FastifyReply, status: number, { code, message, field }: Problem): FastifyReply {
  return reply
    .type('application/problem+json')
    .send({ type: `/problems/${code}`, title: code, status, detail: message, ...(field !== undefined && { field }) });
}
