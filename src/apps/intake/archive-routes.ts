/** The archive over the signer's control interface: work of minutes is begun by one request and asked after by others. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../core/problem.ts';
import { rfc3339 } from '../../core/time.ts';
import type { ArchiveJob, ArchiveKeeper } from '../../flows/archive/archive-upkeep.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import { archiveJobRequest } from './archive-schema.ts';
import { authorise, type Client } from './clients.ts';
import { parseBody } from './schema.ts';

/** Of a plan or report: the rest is counted. */
const SHOWN = 1000;

export function addArchiveRoutes(
  app: FastifyInstance,
  keeper: ArchiveKeeper,
  issuers: ReadonlyMap<string, ServedIssuer>,
  identify: (request: FastifyRequest) => Client,
): void {
  app.post('/v1/archive/jobs', (request) => {
    const client = identify(request);
    const job = parseBody(archiveJobRequest, request.body);
    if (job.kind === 'verify') {
      // What is mended is put in the place of something: not for those who may only look.
      authorise(client, job.repair === true ? 'keys' : 'read', undefined);
      return jobView(keeper.verify(client.actor, job.repair === true));
    }
    authorise(client, job.remove === true ? 'keys' : 'read', job.issuer);
    const served = issuers.get(job.issuer);
    if (served === undefined)
      throw new Problem('not-found', 'no such issuer; what is archived of others stays (SR-hist-6.03)', {
        field: '/issuer',
        value: job.issuer,
      });
    return jobView(keeper.prune(served, client.actor, job.remove === true));
  });

  app.get('/v1/archive/jobs', (request) => {
    authorise(identify(request), 'read', undefined);
    return keeper.job === undefined ? {} : jobView(keeper.job);
  });
}

function jobView(job: ArchiveJob): object {
  const about = { ...job, startedAt: rfc3339(job.startedAt) };
  if (job.state !== 'done') return about;
  const { report } = job;
  if ('prunable' in report) {
    const shown = report.prunable.slice(0, SHOWN).map(({ record, since }) => ({
      shard: record.shard,
      number: record.number.toString(),
      thisUpdate: rfc3339(record.thisUpdate),
      bytes: record.bytes,
      since: rfc3339(since),
    }));
    const octets = report.prunable.reduce((sum, { record }) => sum + record.bytes, 0);
    return { ...about, report: { ...report, prunable: shown, count: report.prunable.length, octets } };
  }
  if (!('startedAt' in report)) return { ...about, report };
  const dates = { startedAt: rfc3339(report.startedAt), finishedAt: rfc3339(report.finishedAt) };
  return { ...about, report: { ...report, ...dates } };
}
