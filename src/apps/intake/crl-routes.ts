/** CRLs over the private API: which there are, why, and one more now. `shard` names a shard; without it the complete CRL is meant. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { COMPLETE, type CrlScope } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import { explainCrl, explainState } from '../../flows/crl/explain-crl.ts';
import type { IssuerCrls } from '../../flows/crl/issuer-crls.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Log } from '../../flows/log.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { CrlShelf } from '../../ports/store.ts';
import type { Client, Permission } from './clients.ts';

export interface CrlRouteParts {
  readonly store: Pick<CrlShelf, 'list' | 'current' | 'scopes'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'append'> | undefined;
  /** By issuer id. Undefined for an issuer whose CRLs are not signed in this process. */
  readonly publisherOf: (issuer: string) => IssuerCrls | undefined;
  readonly issuerOf: (request: FastifyRequest, permission: Permission) => { issuer: ServedIssuer; client: Client };
}

export function addCrlRoutes(app: FastifyInstance, parts: CrlRouteParts): void {
  const { store, clock, log, journal, publisherOf, issuerOf } = parts;

  app.get('/v1/issuers/:issuer/crls', async (request) => {
    const { issuer } = issuerOf(request, 'read');
    const { limit } = request.query as { limit?: string };
    const most = Math.min(Math.max(Number(limit ?? 20) || 20, 1), 1000);
    const scope = { issuer: issuer.tag, shard: shardOf(request) ?? COMPLETE };
    const crls: object[] = [];
    for await (const crl of store.list(scope)) {
      crls.push({
        number: crl.number.toString(),
        kind: crl.kind,
        thisUpdate: rfc3339(crl.thisUpdate),
        nextUpdate: rfc3339(crl.nextUpdate),
        publishedAt: rfc3339(crl.publishedAt),
        entries: crl.entries,
        bytes: crl.bytes,
        sha256: crl.sha256,
      });
      if (crls.length === most) break;
    }
    const { shard } = scope;
    if (crls.length === 0 && publisherOf(issuer.id)?.publishers.has(shard) === false) throw noSuchCrl(shard);
    return { crls };
  });

  app.get('/v1/issuers/:issuer/crls/why', async (request) => {
    const { issuer } = issuerOf(request, 'read');
    const wanted = shardOf(request);
    const now: EpochMs = clock.now();
    const publishers = publisherOf(issuer.id)?.publishers;
    const known: readonly Pick<CrlScope, 'shard'>[] =
      publishers === undefined ? await store.scopes(issuer.tag) : [...publishers.keys()].map((shard) => ({ shard }));
    const shards = known.map(({ shard }) => shard).filter((shard) => wanted === undefined || shard === wanted);
    if (wanted !== undefined && shards.length === 0) throw noSuchCrl(wanted);
    const crls = shards.map(async (shard) => {
      const publisher = publishers?.get(shard);
      return publisher === undefined
        ? explainCrl(shard, await store.current({ issuer: issuer.tag, shard }), now)
        : explainState(publisher.state, now);
    });
    return { crls: await Promise.all(crls) };
  });

  app.post('/v1/issuers/:issuer/crls', async (request) => {
    const { issuer, client } = issuerOf(request, 'revoke');
    const publisher = publisherOf(issuer.id);
    if (publisher === undefined)
      throw new Problem('unavailable', 'CRLs of this issuer are not signed by this process', {
        field: 'issuer',
        value: issuer.id,
      });
    const shard = shardOf(request);
    // SR-5.2.1-d: who had it issued; the CRL itself is the publisher's record.
    await journal?.append([
      {
        type: 'crl.requested',
        actor: client.actor,
        issuer: issuer.id,
        issuerTag: issuer.tag,
        description: `a CRL beside the schedule${shard ? `, of shard ${shard}` : ''}`,
      },
    ]);
    const record = await publisher.publishNow(shard).catch((error: unknown) => {
      if (error instanceof Problem) throw error;
      // Of the file system, mostly: whoever asks sees "no space left on device", and not that something went wrong.
      log.error({ err: error, issuer: issuer.id }, 'no CRL was published; the previous one stays');
      throw new Problem('unavailable', `no CRL was published: ${(error as Error).message}`, { field: 'issuer', value: issuer.id }); // prettier-ignore
    });
    return { number: record.number.toString(), thisUpdate: rfc3339(record.thisUpdate), entries: record.entries };
  });
}

function noSuchCrl(shard: string): Problem {
  return new Problem('not-found', 'the issuer has no such CRL', { field: 'shard', value: shard });
}

/** @throws Problem `invalid` */
function shardOf(request: FastifyRequest): string | undefined {
  const { shard } = request.query as { shard?: unknown };
  if (shard === undefined) return undefined;
  if (typeof shard === 'string' && /^[a-z0-9]{0,16}$/.test(shard)) return shard;
  throw new Problem('invalid', 'not the name of a shard', { field: 'shard', value: shard });
}
