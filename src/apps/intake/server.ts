/**
 * The private HTTP interface (design §6), in groups: events for the intake role, tokens and keys for the signer's. JSON in and out, OpenAPI at /openapi.json. A request is taken whole or not at all,
 * sending it again changes nothing, and the answer is sent when everything is durable. Served over TLS with client
 * certificates; the command line of the same machine uses it in process (`inject`), so that there is one way in.
 */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { ImportRow } from '../../core/import/row.ts';
import { applyClause } from '../../core/policy/clause.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex } from '../../core/serial.ts';
import { spkiHashFromHex } from '../../core/spki-hash.ts';
import type { Issuance, RevocationEvent } from '../../core/status.ts';
import { parseRfc3339, rfc3339, type EpochMs } from '../../core/time.ts';
import type { ResponderChanges } from '../../flows/sign/change-responder.ts';
import { explain } from '../../flows/serve/explain.ts';
import { viewCertificate, viewReceipt } from '../../flows/monitor/inspect.ts';
import type { ArchiveKeeper } from '../../flows/archive/archive-upkeep.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { Reconciliations } from '../../flows/monitor/reconciliations.ts';
import type { IssuerCrls } from '../../flows/crl/issuer-crls.ts';
import type { Receipt, Recorder, RevocationCase } from '../../flows/record.ts';
import type { Core } from '../core.ts';
import type { CrlBooks } from '../crl-books.ts';
import { addCrlBookRoutes } from './crl-books-routes.ts';
import type { MassRole } from '../mass.ts';
import { authorise, type Client, type Permission } from './clients.ts';
import { issuerCertificateFields } from './certificate.ts';
import { addMassRoutes } from './mass-routes.ts';
import { openApi } from './openapi.ts';
import { addArchiveRoutes } from './archive-routes.ts';
import { addBackupRoutes } from './backup-routes.ts';
import { addCrlRoutes } from './crl-routes.ts';
import { addOfflineRoutes } from './offline-routes.ts';
import { addReconcileRoutes } from './reconcile-routes.ts';
import { addSampleRoutes } from './sample-routes.ts';
import { addResponderRoutes } from './responder-routes.ts';
import { HTTP_STATUS } from '../http-status.ts';
import { boundConnections, PRIVATE_PORT, PRIVATE_TLS, tlsOptions } from '../private-port.ts';
import type { TlsMaterial } from '../tls-files.ts';
import { addTokenRoutes, type TokenParts } from './token-routes.ts';
import { importRequest, issueRequest, MAX_BODY_BYTES, parseBody, revokeRequest } from './schema.ts';

export interface IntakeParts {
  readonly core: Core;
  readonly identify: (request: FastifyRequest) => Client;
  /** By issuer id. Undefined for an issuer whose CRLs are not signed in this process. */
  readonly publisherOf: (issuer: string) => IssuerCrls | undefined;
  /** Undefined in a process that does not sign. */
  readonly responders: ResponderChanges | undefined;
  /** Undefined in a command that found no service running: then one of its own, which need not wait for anybody. */
  readonly reconciliations?: Reconciliations;
  /** Undefined in a process without an archive, which is one that does not sign. */
  readonly archive?: ArchiveKeeper | undefined;
  /** Undefined in a process that neither signs nor is a command's. */
  readonly books?: CrlBooks | undefined;
  /** Of a process with keys. */
  readonly tokens: TokenParts | undefined;
  /** Of a process that records events. */
  readonly mass: MassRole | undefined;
  readonly tls: TlsMaterial | undefined;
  /** At once; of a server that listens. */
  readonly maxConnections?: number;
}

export function makeIntake(parts: IntakeParts): FastifyInstance {
  const { core } = parts;
  const app = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: 512 },
    ...PRIVATE_PORT,
    // The one place where a client is kept out before it has said anything (CT-4.9.5, NS-02).
    ...(parts.tls && {
      https: {
        ...PRIVATE_PORT.http,
        ...PRIVATE_TLS,
        ...tlsOptions(parts.tls),
        rejectUnauthorized: true,
      },
    }),
  }) as unknown as FastifyInstance;
  if (parts.maxConnections !== undefined) boundConnections(app, parts.maxConnections);

  if (parts.tls !== undefined) recordRefusedHandshakes(app, core);
  const issuerOf: IssuerOf = (request, permission) => {
    const { issuer: id } = request.params as { issuer: string };
    const client = parts.identify(request);
    // Authorisation before existence: who may not ask does not learn which issuers there are.
    authorise(client, permission, id);
    return { issuer: issuerNamed(core.issuers, id), client };
  };
  addQuestionRoutes(app, parts, issuerOf);
  if (core.recorder !== undefined) addEventRoutes(app, core, core.recorder, issuerOf);
  if (parts.responders !== undefined) addResponderRoutes(app, parts.responders, issuerOf);
  if (parts.archive !== undefined) addArchiveRoutes(app, parts.archive, core.issuers, parts.identify);
  if (parts.books !== undefined) addCrlBookRoutes(app, core, parts.books, issuerOf);
  if (core.recorder !== undefined && core.journal !== undefined) {
    const { recorder, journal } = core;
    addOfflineRoutes(app, { core, journal, recorder, responders: parts.responders }, issuerOf);
  }
  if (parts.mass !== undefined) addMassRoutes(app, core, parts.mass, parts.identify);
  addBackupRoutes(app, core, parts.identify);
  if (parts.tokens !== undefined) addTokenRoutes(app, parts.identify, parts.tokens);

  const issuers = [...core.issuers.values()];
  const reconciliations =
    parts.reconciliations ?? new Reconciliations({ ...core, issuers, share: 1, expected: () => undefined });
  addSampleRoutes(app, core, issuerOf);
  addReconcileRoutes(app, parts.identify, core.issuers, reconciliations);

  app.get('/openapi.json', () => openApi());

  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new Problem('not-found', 'no such resource; see /openapi.json', { field: 'path', value: request.url }),
    ),
  );
  app.setErrorHandler((error: FastifyError | Problem, request, reply) => {
    const problem = error instanceof Problem ? error : ofFramework(error);
    if (problem === undefined) {
      core.log.error({ err: error }, 'the intake could not answer');
      return sendProblem(reply, new Problem('corrupt', 'an internal error; it is in the log'));
    }
    // Without the query: nothing belongs there that is a secret, but somebody may put it there.
    if (problem.code === 'forbidden') void denied(core, problem, `${request.method} ${request.url.split('?')[0]}`);
    return sendProblem(reply, problem);
  });
  return app;
}

/** Who asks, and about which issuer. @throws Problem `forbidden` or `not-found` */
type IssuerOf = (
  request: FastifyRequest,
  permission: Permission,
) => { readonly issuer: ServedIssuer; readonly client: Client };

/** What the CA has done: only where there is a journal to take it. */
function addEventRoutes(app: FastifyInstance, core: Core, recorder: Recorder, issuerOf: IssuerOf): void {
  app.post('/v1/issuers/:issuer/certificates', async (request) => {
    const { issuer, client } = issuerOf(request, 'issue');
    const { certificates } = parseBody(issueRequest, request.body);
    const events = certificates.map((item, i): Issuance => {
      const field = `/certificates/${i}`;
      if ('certificate' in item)
        return issuerCertificateFields(item.certificate, issuer.issuer, `${field}/certificate`);
      return {
        serial: serialFromHex(item.serial, `${field}/serial`),
        notBefore: instant(item.notBefore, `${field}/notBefore`),
        notAfter: parseRfc3339(item.notAfter, `${field}/notAfter`),
        precertificate: item.precertificate === true,
        crlShard: item.crlShard,
        withoutOcsp: item.namesOcsp === false,
        spkiHash: keyHash(item.spkiHash, `${field}/spkiHash`),
      };
    });
    return accepted(await recorder.issue(issuer, events, client.actor));
  });

  app.post('/v1/issuers/:issuer/revocations', async (request) => {
    const { issuer, client } = issuerOf(request, 'revoke');
    const { revocations } = parseBody(revokeRequest, request.body);
    const now = core.clock.now();
    const deadlines: (EpochMs | undefined)[] = [];
    const events = revocations.map((item, i): RevocationEvent & { about: RevocationCase } => {
      const field = `/revocations/${i}`;
      const awareAt = instant(item.awareAt, `${field}/awareAt`) ?? now;
      if (awareAt > now)
        throw new Problem('refused', 'lies in the future', {
          field: `${field}/awareAt`,
          value: item.awareAt,
          rule: 'CT-4.9.1.1',
        });
      const { reason, deadline } = byClause(item.clause, item.reason, awareAt, field);
      deadlines.push(deadline);
      const about: RevocationCase = {
        clause: item.clause,
        requestedBy: item.requestedBy,
        awareAt: item.awareAt,
        deadline: deadline === undefined ? undefined : rfc3339(deadline),
      };
      return {
        serial: serialFromHex(item.serial, `${field}/serial`),
        reason,
        revokedAt: instant(item.revokedAt, `${field}/revokedAt`),
        about,
      };
    });
    return accepted(await recorder.revoke(issuer, events, client.actor), deadlines);
  });

  app.post('/v1/issuers/:issuer/import', async (request) => {
    const { issuer, client } = issuerOf(request, 'import');
    const { source, rows } = parseBody(importRequest, request.body);
    const parsed = rows.map((row, i): ImportRow => {
      const field = `/rows/${i}`;
      const revokedAt = instant(row.revokedAt, `${field}/revokedAt`);
      return {
        line: row.line,
        serial: serialFromHex(row.serial, `${field}/serial`),
        notBefore: instant(row.notBefore, `${field}/notBefore`),
        notAfter: instant(row.notAfter, `${field}/notAfter`),
        precertificate: row.precertificate === true,
        crlShard: row.crlShard,
        crlUrls: row.crlUrls,
        isCa: row.isCa,
        withoutOcsp: row.namesOcsp === false,
        spkiHash: keyHash(row.spkiHash, `${field}/spkiHash`),
        revocation: revokedAt === undefined ? undefined : { revokedAt, reason: row.reason },
      };
    });
    const { accepted: count, unchanged, rejected } = await recorder.import(issuer, parsed, client.actor, source);
    return {
      accepted: count,
      unchanged,
      rejected: rejected.map(({ line, problem }) => ({ line, problem: problem.line })),
    };
  });
}

/** What is known of certificates, receipts and CRLs. */
function addQuestionRoutes(app: FastifyInstance, parts: IntakeParts, issuerOf: IssuerOf): void {
  const { core } = parts;
  const { store, issuers } = core;

  app.get('/v1/issuers', (request) => {
    const client = parts.identify(request);
    const visible = [...issuers.values()].filter(
      ({ id }) => client.issuers.includes('*') || client.issuers.includes(id),
    );
    return {
      issuers: visible.map(({ id, tag, issuer, profile }) => ({
        id,
        tag,
        name: issuer.name,
        preset: profile.preset,
        notAfter: rfc3339(issuer.notAfter),
      })),
    };
  });

  app.get('/v1/issuers/:issuer/certificates/:serial', (request) => {
    const { issuer } = issuerOf(request, 'read');
    return viewCertificate(issuer, serialFromHex((request.params as { serial: string }).serial), store);
  });

  app.get('/v1/receipts/:id', (request) => {
    const { id } = request.params as { id: string };
    authorise(parts.identify(request), 'read', id.split('.')[0]);
    return viewReceipt(id, issuers, store, core.clock.now());
  });

  const { clock, log, journal } = core;
  addCrlRoutes(app, { store, clock, log, journal, publisherOf: parts.publisherOf, issuerOf });

  app.get('/v1/explain', (request) => {
    const client = parts.identify(request);
    authorise(client, 'read', undefined);
    const { request: asked } = request.query as { request?: string };
    if (typeof asked !== 'string') throw new Problem('invalid', 'is missing', { field: 'request' });
    return explain(asked, [...issuers.values()], core.urls, store, core.clock.now());
  });

  app.get('/v1/audit/head', (request) => {
    authorise(parts.identify(request), 'read', undefined);
    return core.journal?.head ?? {};
  });
}

function issuerNamed(issuers: ReadonlyMap<string, ServedIssuer>, id: string): ServedIssuer {
  const issuer = issuers.get(id);
  if (issuer === undefined)
    throw new Problem('not-found', `no such issuer; configured: ${[...issuers.keys()].join(', ') || 'none'}`, {
      field: 'issuer',
      value: id,
    });
  return issuer;
}

function instant(text: string | undefined, field: string): EpochMs | undefined {
  return text === undefined ? undefined : parseRfc3339(text, field);
}

function keyHash(text: string | undefined, field: string): string | undefined {
  return text === undefined ? undefined : spkiHashFromHex(text, field);
}

function byClause(
  clause: string | undefined,
  reason: RevocationEvent['reason'],
  awareAt: EpochMs,
  field: string,
): { reason: RevocationEvent['reason']; deadline: EpochMs | undefined } {
  if (clause === undefined) return { reason, deadline: undefined };
  try {
    return applyClause(clause, reason, awareAt);
  } catch (error) {
    throw error instanceof Problem ? error.within(`${field}/`) : error;
  }
}

function accepted(receipts: readonly Receipt[], deadlines: readonly (EpochMs | undefined)[] = []): object {
  return {
    accepted: receipts.length,
    receipts: receipts.map((receipt, i) => ({
      ...receipt,
      ...(deadlines[i] !== undefined && { deadline: rfc3339(deadlines[i]) }),
    })),
  };
}

/** A connection without an acceptable client certificate never becomes a request; it is an access attempt all the same. */
const HANDSHAKE_RECORD_MS = 10_000;

function recordRefusedHandshakes(app: FastifyInstance, core: Core): void {
  let refused = 0;
  let last = '';
  app.server.on('tlsClientError', (error: Error) => {
    refused += 1;
    last = error.message;
    // One record for a burst, so that a port scan does not fill the audit log.
    if (refused > 1) return;
    core.clock.after(HANDSHAKE_RECORD_MS, () => {
      const problem = new Problem(
        'forbidden',
        `${refused} TLS connections to the intake were refused; the last: ${last}`,
      );
      refused = 0;
      void denied(core, problem, 'TLS handshake');
    });
  });
}

/** CT-5.4.1-c: an unsuccessful access attempt is an audit record. */
async function denied(core: Core, problem: Problem, what: string): Promise<void> {
  await core.journal
    ?.append([{ type: 'access.denied', actor: problem.value ?? 'unknown', description: `${what}: ${problem.message}` }])
    .catch((error: unknown) => core.log.error({ err: error }, 'a denied access could not be recorded'));
}

function ofFramework(error: FastifyError): Problem | undefined {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Problem('too-large', 'the body is larger than this request may be', { field: 'body' });
  if (error.statusCode !== undefined && error.statusCode < 500)
    return new Problem('invalid', error.message, { field: 'body' });
  return undefined;
}

/** RFC 9457. */
function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const status = HTTP_STATUS[problem.code];
  return reply
    .code(status)
    .headers(problem.code === 'unavailable' ? { 'retry-after': '5' } : {})
    .type('application/problem+json')
    .send({
      type: `/problems/${problem.code}`,
      title: problem.code,
      status,
      detail: problem.message,
      ...(problem.field !== undefined && { field: problem.field }),
      ...(problem.value !== undefined && { value: problem.value }),
      ...(problem.rule !== undefined && { rule: problem.rule }),
    });
}
