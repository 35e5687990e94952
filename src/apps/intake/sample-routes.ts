/** A random sample is drawn over the private interface; whoever asked for it then asks the public URLs about each. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { quarterOf } from '../../core/reconcile/sample.ts';
import { rfc3339 } from '../../core/time.ts';
import { drawSample } from '../../flows/monitor/draw-sample.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { Pace } from '../../flows/pace.ts';
import type { Core } from '../core.ts';
import type { Client, Permission } from './clients.ts';
import { parseBody } from './schema.ts';

export const sampleRequest = z.strictObject({
  quarter: z.string().describe('Of issue, e.g. 2026Q4.'),
  percent: z.number().gt(0).max(100).default(3),
  minimum: z.int().min(1).max(100_000).default(1),
  seed: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'is not 16 octets in lower-case hex')
    .optional()
    .describe('Of a sample that is to be drawn again; without it a new one.'),
});

/** Of its time, while it draws. */
const SHARE = 0.5;

export function addSampleRoutes(
  app: FastifyInstance,
  core: Core,
  issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client },
): void {
  app.post('/v1/issuers/:issuer/samples', async (request) => {
    const { issuer, client } = issuerOf(request, 'read');
    const {
      quarter,
      seed = randomBytes(16).toString('hex'),
      percent,
      minimum,
    } = parseBody(sampleRequest, request.body);
    const { from, to } = quarterOf(quarter, '/quarter');
    const now = core.clock.now();
    const terms = { seed, from, to, percent, minimum };
    const { population, certificates } = await drawSample(core.store, issuer, terms, now, new Pace(core.clock, SHARE));
    const drawn = { quarter, seed, percent, minimum, population, sampled: certificates.length };
    // Before anybody looks at it: a sample that does not please cannot be drawn again unseen.
    await core.journal?.append([
      {
        type: 'sample.drawn',
        actor: client.actor,
        issuer: issuer.id,
        issuerTag: issuer.tag,
        description: `a sample of ${certificates.length} of ${population} certificates of ${quarter}`,
        detail: drawn,
      },
    ]);
    return {
      ...drawn,
      at: rfc3339(now),
      certificates: certificates.map(({ serial, crlShard, revocation }) => ({
        serial,
        ...(crlShard !== undefined && { crlShard }),
        ...(revocation !== undefined && { revokedAt: rfc3339(revocation.revokedAt) }),
        ...(revocation?.reason !== undefined && { reason: revocation.reason }),
      })),
    };
  });
}
