/** A random sample is drawn over the private interface; whoever asked for it then asks the public URLs about each. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { Problem, type ProblemCode } from '../../core/problem.ts';
import { quarterOf } from '../../core/reconcile/sample.ts';
import { rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
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

/** A line of the answer: how far the drawing is, then the terms, then the certificates; or what went wrong, as the last one. */
export interface SampleLine {
  readonly looked?: number;
  readonly drawn?: object;
  readonly certificate?: {
    readonly serial: string;
    readonly crlShard?: string;
    readonly revokedAt?: string;
    readonly reason?: string;
  };
  readonly problem?: { readonly code: ProblemCode; readonly message: string; readonly field?: string };
}

/** Of its time, while it draws. */
const SHARE = 0.5;
const PROGRESS_MS = SECOND;

export function addSampleRoutes(
  app: FastifyInstance,
  core: Core,
  issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client },
): void {
  app.post('/v1/issuers/:issuer/samples', (request, reply) => {
    const { issuer, client } = issuerOf(request, 'read');
    const asked = parseBody(sampleRequest, request.body);
    const { from, to } = quarterOf(asked.quarter, '/quarter');
    const lines = linesOf(core, issuer, client.actor, asked, { from, to });
    return reply.type('application/x-ndjson').send(Readable.from(lines));
  });
}

/** Line by line, because the ledger is gone through twice: of ten million certificates that is longer than a silent request may take. */
async function* linesOf(
  core: Core,
  issuer: ServedIssuer,
  actor: string,
  { quarter, seed = randomBytes(16).toString('hex'), percent, minimum }: z.output<typeof sampleRequest>,
  window: { readonly from: EpochMs; readonly to: EpochMs },
): AsyncGenerator<string> {
  const now = core.clock.now();
  let looked = 0;
  const drawing = drawSample(core.store, issuer, { seed, percent, minimum, ...window }, now, new Pace(core.clock, SHARE), (count) => (looked += count)); // prettier-ignore
  // Looked at below; a failure while a line is being read is not unhandled.
  drawing.catch(() => undefined);
  try {
    while (!(await settledWithin(drawing, core))) yield line({ looked });
    const { population, certificates } = await drawing;
    const drawn = { quarter, seed, percent, minimum, population, sampled: certificates.length };
    // Before anybody looks at it: a sample that does not please cannot be drawn again unseen.
    await core.journal?.append([
      {
        type: 'sample.drawn',
        actor,
        issuer: issuer.id,
        issuerTag: issuer.tag,
        description: `a sample of ${certificates.length} of ${population} certificates of ${quarter}`,
        detail: drawn,
      },
    ]);
    yield line({ drawn: { ...drawn, at: rfc3339(now) } });
    for (const { serial, crlShard, revocation } of certificates)
      yield line({
        certificate: {
          serial,
          ...(crlShard !== undefined && { crlShard }),
          ...(revocation !== undefined && { revokedAt: rfc3339(revocation.revokedAt) }),
          ...(revocation?.reason !== undefined && { reason: revocation.reason }),
        },
      });
  } catch (error) {
    // The answer has begun: what went wrong is its last line.
    const { code, message, field } =
      error instanceof Problem ? error : new Problem('unavailable', (error as Error).message);
    yield line({ problem: { code, message, ...(field !== undefined && { field }) } });
  }
}

function settledWithin(work: Promise<unknown>, { clock }: Core): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(PROGRESS_MS, () => resolve(false));
    const settled = (): void => {
      timer.cancel();
      resolve(true);
    };
    work.then(settled, settled);
  });
}

function line(data: SampleLine): string {
  return `${JSON.stringify(data)}\n`;
}
