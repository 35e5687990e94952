/** The OpenAPI document of the intake, made from the schemas that validate it. */
import { z } from 'zod';
import { archiveJobRequest } from './archive-schema.ts';
import { backupNote } from './backup-schema.ts';
import { acknowledgeRequest } from './crl-books-schema.ts';
import { crlImportRequest, exportRequest, offlineImportRequest } from './offline-schema.ts';
import { compromiseRequest, drillRequest, listRequest, planRequest, startRequest } from './mass-schema.ts';
import {
  activationRequest,
  importRequest,
  installRequest,
  issueRequest,
  keyRequest,
  responderRequest,
  retireRequest,
  revokeRequest,
  shareRequest,
} from './schema.ts';
import { reconcileRequest } from './reconcile-routes.ts';
import { sampleRequest } from './sample-routes.ts';

export function openApi(): object {
  const body = (schema: z.ZodType): object => ({
    required: true,
    content: {
      'application/json': {
        schema: z.toJSONSchema(schema, { target: 'openapi-3.0', unrepresentable: 'any', io: 'input' }),
      },
    },
  });
  const json = (description: string): object => ({ description, content: { 'application/json': {} } });
  const problems = {
    '400': {
      description: 'Bad input; names field, value and rule. Nothing is stored.',
      content: { 'application/problem+json': {} },
    },
    '403': { description: 'This client certificate may not do this.', content: { 'application/problem+json': {} } },
    '404': { description: 'No such issuer, serial or receipt.', content: { 'application/problem+json': {} } },
    '409': { description: 'Contradicts what is recorded.', content: { 'application/problem+json': {} } },
    '413': { description: 'Over a stated limit; send less at a time.', content: { 'application/problem+json': {} } },
    '422': { description: "The profile's document forbids it.", content: { 'application/problem+json': {} } },
    '503': { description: 'Cannot be made durable now; send it again.', content: { 'application/problem+json': {} } },
  };
  const parameter = (name: string, where: string, description: string, required = true): object => ({
    name,
    in: where,
    required,
    description,
    schema: { type: 'string' },
  });
  const token = parameter('token', 'path', "The token's name in the configuration.");
  const reconciliation = parameter('id', 'path', 'As given when it was asked for.');
  const issuer = parameter('issuer', 'path', "The issuer's id in the configuration.");
  const shard = parameter('shard', 'query', 'Name of a shard; without it the complete CRL.', false);
  const plan = parameter('plan', 'path', 'Id of a plan.');
  const move = (summary: string): object => ({
    post: { summary, parameters: [plan], responses: { '200': json('The plan and how far it is'), ...problems } },
  });
  const massPaths = (): object => ({
    '/v1/mass/lists': {
      post: {
        summary: 'Serials for a plan, in pieces',
        requestBody: body(listRequest),
        responses: { '200': json('Id of the list'), ...problems },
      },
    },
    '/v1/mass/plans': {
      get: { summary: 'Plans of mass revocations, newest first', responses: { '200': json('The plans'), ...problems } },
      post: {
        summary: 'Plan a mass revocation; nothing is revoked',
        requestBody: body(planRequest),
        responses: { '200': json('Id of the plan, which is made meanwhile'), ...problems },
      },
    },
    '/v1/mass/plans/{plan}': {
      get: {
        summary: 'The plan, what its figures mean now, and how far it is',
        parameters: [plan],
        responses: { '200': json('The plan'), ...problems },
      },
    },
    '/v1/mass/plans/{plan}/start': {
      post: {
        summary: 'Do what is planned; again changes nothing',
        parameters: [plan],
        requestBody: body(startRequest),
        responses: { '200': json('The plan and how far it is'), ...problems },
      },
    },
    '/v1/mass/plans/{plan}/pause': move('Record nothing more until it is resumed'),
    '/v1/mass/plans/{plan}/resume': move('Go on'),
    '/v1/mass/plans/{plan}/abort': move('End it; what was revoked stays revoked'),
    '/v1/mass/plans/{plan}/discard': move('Remove a plan that was never started'),
    '/v1/mass/plans/{plan}/drill': {
      get: {
        summary: 'The newest drill of the plan',
        parameters: [plan],
        responses: { '200': json('What it found, or that it runs'), ...problems },
      },
      post: {
        summary: 'Rehearse it: signs what is true, publishes nothing',
        parameters: [plan],
        requestBody: body(drillRequest),
        responses: { '200': json('It runs'), ...problems },
      },
    },
    '/v1/mass/plans/{plan}/report': {
      get: {
        summary: 'The nine elements of CT-5.7.1.2-b with the figures there are',
        parameters: [plan],
        responses: { '200': json('The report, also as Markdown'), ...problems },
      },
    },
    '/v1/issuers/{issuer}/compromised-keys': {
      get: {
        summary: 'Keys of certificates revoked for keyCompromise, one JSON object to a line',
        parameters: [issuer],
        responses: { '200': { description: 'The keys', content: { 'application/x-ndjson': {} } }, ...problems },
      },
      post: {
        summary: 'A key is proven or suspected to be compromised; its certificates are counted',
        parameters: [issuer],
        requestBody: body(compromiseRequest),
        responses: { '200': json('How many certificates have it'), ...problems },
      },
    },
  });
  return {
    openapi: '3.0.3',
    info: {
      title: 'certstatus intake',
      version: '1',
      description:
        'Events of a CA: certificates issued, certificates revoked. TLS with a client certificate. A request is taken whole or not at all, may be sent again without harm, and is answered when everything is durable.',
    },
    paths: {
      '/v1/issuers': {
        get: { summary: 'Issuers that this client may see', responses: { '200': json('The issuers') } },
      },
      '/v1/issuers/{issuer}/certificates': {
        post: {
          summary: 'Certificates or precertificates were issued',
          parameters: [issuer],
          requestBody: body(issueRequest),
          responses: { '200': json('Durable; one receipt per certificate'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/revocations': {
        post: {
          summary: 'Certificates were revoked, or the reason of a revocation became keyCompromise',
          parameters: [issuer],
          requestBody: body(revokeRequest),
          responses: {
            '200': json('Durable; one receipt per certificate, with the deadline of the clause'),
            ...problems,
          },
        },
      },
      '/v1/issuers/{issuer}/crl-forecast': {
        get: {
          summary: 'How large each CRL would be if every certificate were revoked, and how often CRLs are due',
          parameters: [issuer],
          responses: { '200': json('Sizes by shard; may take a scan of the ledger'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/crl-urls': {
        get: {
          summary: 'CRL URLs in unexpired certificates as the CCADB wants them, and changes that it was not told of',
          parameters: [issuer],
          responses: { '200': json('Both arrays, what stands in the way, and the open changes'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/crl-urls/changes': {
        get: {
          summary: 'Every change of these URLs, oldest first; with ETag',
          parameters: [issuer],
          responses: {
            '200': { description: 'One JSON object per line', content: { 'application/x-ndjson': {} } },
            '304': { description: 'Nothing has changed since the ETag in If-None-Match' },
            ...problems,
          },
        },
      },
      '/v1/issuers/{issuer}/crl-urls/acknowledgement': {
        post: {
          summary: 'The CCADB has been brought up to date (right issue)',
          parameters: [issuer],
          requestBody: body(acknowledgeRequest),
          responses: { '200': json('How many changes were open'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/import': {
        post: {
          summary: "Rows of an existing CA's records; good rows go in, the others are reported",
          parameters: [issuer],
          requestBody: body(importRequest),
          responses: { '200': json('Counts and rejected rows'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/certificates/{serial}': {
        get: {
          summary: 'What is recorded and published about one certificate',
          parameters: [issuer, parameter('serial', 'path', 'Hex.')],
          responses: { '200': json('Status, revision, times of the published answers, CRL'), ...problems },
        },
      },
      '/v1/receipts/{id}': {
        get: {
          summary: 'How far an acknowledged event has come: recorded, signed, visible',
          parameters: [parameter('id', 'path', 'As given by the acknowledgement.')],
          responses: { '200': json('State and instants'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/crls': {
        get: {
          summary: 'Published CRLs, newest first',
          parameters: [issuer, shard, parameter('limit', 'query', 'At most this many (20).', false)],
          responses: { '200': json('The CRLs'), ...problems },
        },
        post: {
          summary: 'Publish a CRL now',
          parameters: [issuer, shard],
          responses: { '200': json('Its number'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/crls/why': {
        get: {
          summary: 'Why each CRL is the one it is: what waits, when the next is due, what was refused and why',
          parameters: [issuer, parameter('shard', 'query', 'Only this shard; empty: the complete CRL.', false)],
          responses: { '200': json('The CRLs'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/responders': {
        get: {
          summary: 'Responder certificates, newest first, and when a successor is due',
          parameters: [issuer],
          responses: { '200': json('The certificates'), ...problems },
        },
        post: {
          summary: 'Install a responder certificate; it signs without a restart',
          parameters: [issuer],
          requestBody: body(installRequest),
          responses: { '200': json('Its id, and from when on it signs'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/responder-requests': {
        post: {
          summary: 'A certification request (PKCS#10), signed by the key',
          parameters: [issuer],
          requestBody: body(responderRequest),
          responses: { '200': json('The request, PEM'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/responders/{responder}/retirement': {
        post: {
          summary: 'End the use of a responder certificate now: all of its answers are signed again with another',
          parameters: [issuer, parameter('responder', 'path', 'Its id.')],
          requestBody: body(retireRequest),
          responses: { '200': json('How many certificates wait for another answer'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/offline-requests': {
        post: {
          summary: 'What an offline signer is to sign: CRLs, a responder certificate, answers',
          parameters: [issuer],
          requestBody: body(exportRequest),
          responses: { '200': json('The request file'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/crl-imports': {
        post: {
          summary: 'Publish a CRL that was signed elsewhere',
          parameters: [issuer],
          requestBody: body(crlImportRequest),
          responses: { '200': json('Its number, and what was learnt from it'), ...problems },
        },
      },
      '/v1/issuers/{issuer}/offline-imports': {
        post: {
          summary: 'Publish what an offline signer has signed',
          parameters: [issuer],
          requestBody: body(offlineImportRequest),
          responses: { '200': json('What became of each item'), ...problems },
        },
      },
      '/v1/explain': {
        get: {
          summary: 'One OCSP request through every decision',
          parameters: [parameter('request', 'query', 'URL, base64 or hex.')],
          responses: { '200': json('Answer and steps'), ...problems },
        },
      },
      '/v1/tokens': {
        get: {
          summary: 'Tokens of this signer: state, who activated them, whose shares are entered',
          responses: { '200': json('The tokens'), ...problems },
        },
      },
      '/v1/tokens/{token}/shares': {
        post: {
          summary:
            'One share of the PIN; with the last one of the threshold, each by another person, the token is activated',
          parameters: [token],
          requestBody: body(shareRequest),
          responses: { '200': json('The token'), ...problems },
        },
      },
      '/v1/tokens/{token}/activations': {
        post: {
          summary: 'The PIN, for a token whose source is prompt',
          parameters: [token],
          requestBody: body(activationRequest),
          responses: { '200': json('The token'), ...problems },
        },
      },
      '/v1/tokens/{token}/deactivations': {
        post: {
          summary: 'Ask for the end of the activation; as many persons must as have activated it',
          parameters: [token],
          responses: { '200': json('The token'), ...problems },
        },
      },
      '/v1/tokens/{token}/keys': {
        get: {
          summary: 'Key pairs in the token',
          parameters: [token],
          responses: { '200': json('The keys'), ...problems },
        },
        post: {
          summary: 'Make a key pair that never leaves the token',
          parameters: [token],
          requestBody: body(keyRequest),
          responses: { '200': json('The key'), ...problems },
        },
      },
      '/v1/archive/jobs': {
        post: {
          summary: 'Begin to read the archive of CRLs again, or to remove what its retention lets go',
          requestBody: body(archiveJobRequest),
          responses: { '200': json('The job'), ...problems },
        },
        get: {
          summary: 'What is being done to the archive, or was done last',
          responses: { '200': json('The job'), ...problems },
        },
      },
      '/v1/backups': {
        post: {
          summary: 'Begin to copy the store for a backup, as of this moment',
          responses: { '200': json('The copy'), ...problems },
        },
        get: { summary: 'How far the copy is, and where it lies', responses: { '200': json('The copy'), ...problems } },
      },
      '/v1/backups/notes': {
        post: {
          summary: 'Record that a backup was taken, or restored as a drill',
          requestBody: body(backupNote),
          responses: { '200': json('What was noted'), ...problems },
        },
      },
      ...massPaths(),
      '/v1/issuers/{issuer}/samples': {
        post: {
          summary: 'Draw a random sample of the certificates of a quarter; one JSON object to a line',
          parameters: [issuer],
          requestBody: body(sampleRequest),
          responses: {
            '200': {
              description:
                '`looked`: how far it is; `drawn`: seed and population; `certificate`: one; `problem`: the end',
              content: { 'application/x-ndjson': {} },
            },
            ...problems,
          },
        },
      },
      '/v1/reconciliations': {
        post: {
          summary: 'Hold ledger, OCSP and CRLs against each other',
          requestBody: body(reconcileRequest),
          responses: { '200': json('Its id'), ...problems },
        },
      },
      '/v1/reconciliations/{id}': {
        get: {
          summary: 'How far it is, and in the end its report',
          parameters: [reconciliation],
          responses: { '200': json('State, progress, report'), ...problems },
        },
      },
      '/v1/reconciliations/{id}/pause': {
        post: {
          summary: 'Let it wait',
          parameters: [reconciliation],
          responses: { '200': json('Its state'), ...problems },
        },
      },
      '/v1/reconciliations/{id}/resume': {
        post: {
          summary: 'Let it go on',
          parameters: [reconciliation],
          responses: { '200': json('Its state'), ...problems },
        },
      },
      '/v1/audit/head': {
        get: {
          summary: 'Sequence number and hash of the last audit record',
          responses: { '200': json('The head'), ...problems },
        },
      },
    },
  };
}
