/** Issuers whose key is never online: what is to be signed goes out, what was signed comes in (right `import`; `keys` for responders). */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { crlFromFile } from '../../core/crl/crl-reader.ts';
import { parseRfc3339 } from '../../core/time.ts';
import type { ResponderChanges } from '../../flows/sign/change-responder.ts';
import { importCrl } from '../../flows/crl/import-crl.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { exportOffline } from '../../flows/offline/offline-export.ts';
import { importOffline } from '../../flows/offline/offline-import.ts';
import type { Recorder } from '../../flows/record.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Core } from '../core.ts';
import { materialFromJson, requestToJson } from '../offline-files.ts';
import type { Client, Permission } from './clients.ts';
import { crlImportRequest, exportRequest, MAX_OFFLINE_BODY_BYTES, offlineImportRequest } from './offline-schema.ts';
import { parseBody } from './schema.ts';

export interface OfflineParts {
  readonly core: Core;
  readonly journal: Journal;
  readonly recorder: Recorder;
  /** Undefined in a process that does not sign. */
  readonly responders: ResponderChanges | undefined;
}

export function addOfflineRoutes(
  app: FastifyInstance,
  { core, journal, recorder, responders }: OfflineParts,
  issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client },
): void {
  const { store, clock } = core;
  const parts = { store, journal, recorder, clock, responders };
  const bodyLimit = MAX_OFFLINE_BODY_BYTES;

  app.post('/v1/issuers/:issuer/offline-requests', async (request) => {
    const { issuer, client } = issuerOf(request, 'import');
    const { crl, ocsp, responder, thisUpdate, nextUpdate } = parseBody(exportRequest, request.body);
    if (responder !== undefined) issuerOf(request, 'keys');
    const asked = {
      crl,
      ocsp,
      responder: responder && { key: responder.key, subject: responder.subject, validityMs: responder.validity },
      thisUpdate: thisUpdate === undefined ? undefined : parseRfc3339(thisUpdate, '/thisUpdate'),
      nextUpdate: nextUpdate === undefined ? undefined : parseRfc3339(nextUpdate, '/nextUpdate'),
    };
    return requestToJson(await exportOffline(issuer, asked, client.actor, parts));
  });

  app.post('/v1/issuers/:issuer/crl-imports', { bodyLimit }, (request) => {
    const { issuer, client } = issuerOf(request, 'import');
    const { crl, source } = parseBody(crlImportRequest, request.body);
    const der = crl.includes('-----BEGIN') ? crlFromFile(Buffer.from(crl, 'latin1')) : Buffer.from(crl, 'base64');
    return importCrl(issuer, Buffer.from(der), client.actor, source, parts);
  });

  app.post('/v1/issuers/:issuer/offline-imports', { bodyLimit }, async (request) => {
    const { issuer, client } = issuerOf(request, 'import');
    const { material, source } = parseBody(offlineImportRequest, request.body);
    if (material.items.some(({ kind }) => kind === 'responder')) issuerOf(request, 'keys');
    return { items: await importOffline(issuer, materialFromJson(material), client.actor, source, parts) };
  });
}
