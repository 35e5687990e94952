/** Brings the CRL layout of each issuer up to what its certificates rely on: everything that was published once (T-38). */
import { COMPLETE, type CrlScope } from '../core/certificate.ts';
import { readCrl } from '../core/crl/crl-reader.ts';
import { partitionUrl } from '../core/crl/idp.ts';
import { settleLayout, shardUrl } from '../core/crl/shards.ts';
import { Problem } from '../core/problem.ts';
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import type { Log } from '../flows/log.ts';
import type { CrlArchive } from '../ports/crl-archive.ts';
import type { ChangeFeed, CrlShelf, Reliance } from '../ports/store.ts';
import type { IssuerSetup } from './issuer-files.ts';

type PublishedCrls = Pick<CrlShelf, 'scopes' | 'current' | 'body'>;
type Shelf = PublishedCrls & Pick<Reliance, 'failureOf'> & ChangeFeed;

/**
 * At once, or, of a store that cannot be read yet, as soon as it says that it can.
 * @throws Problem `config` when shards would get another URL than their certificates name.
 */
export async function settleCrls(issuers: readonly ServedIssuer[], store: Shelf, log: Log): Promise<void> {
  store.follow((event) => {
    const issuer = event.type === 'gap' ? issuers.find(({ tag }) => tag === event.issuer) : undefined;
    if (issuer === undefined) return;
    void settle(issuer, store, log).catch((error: unknown) =>
      log.error({ err: error, issuer: issuer.id }, 'the CRL layout is as configured'),
    );
  });
  for (const issuer of issuers) if (store.failureOf(issuer.tag) === undefined) await settle(issuer, store, log);
}

async function settle(issuer: ServedIssuer, store: Shelf, log: Log): Promise<void> {
  const { id } = issuer;
  const { layout, kept, moved } = settleLayout(issuer.crls, await publishedScopes(issuer, store));
  const problem = movedProblem(id, moved);
  if (problem !== undefined) throw problem;
  issuer.crls = layout;
  if (kept.length === 0) return;
  const names = kept.map((shard) => (shard === COMPLETE ? 'the complete one' : shard));
  log.warn(
    { issuer: id, shards: names.slice(0, 20), count: kept.length },
    'CRLs are published beyond crl.shards.highest: certificates were recorded for them (T-38)',
  );
}

/** For check-config, from the archive alone: what `serve` would refuse at its start. */
export async function checkCrlUrls(
  { id, issuer, crls }: IssuerSetup,
  archive: CrlArchive,
): Promise<Problem | undefined> {
  const shelf: PublishedCrls = {
    scopes: (tag) => archive.scopes(tag),
    current: (scope) => archive.newest(scope),
    body: (record) => archive.read(record),
  };
  return movedProblem(id, settleLayout(crls, await publishedScopes({ tag: issuer.tag, crls }, shelf)).moved);
}

async function publishedScopes(
  { tag, crls }: Pick<ServedIssuer, 'tag' | 'crls'>,
  store: PublishedCrls,
): Promise<readonly [shard: string, url: string | undefined][]> {
  const published: [shard: string, url: string | undefined][] = [];
  let looked = false;
  for (const scope of await store.scopes(tag)) {
    // All shards of a layout have one template, so one of them tells; those without a URL each have their own.
    const look: boolean = scope.shard !== COMPLETE && (!looked || shardUrl(crls, scope.shard) === undefined);
    looked ||= look;
    published.push([scope.shard, look ? await urlOf(scope, store) : undefined]);
  }
  return published;
}

function movedProblem(id: string, [first]: ReturnType<typeof settleLayout>['moved']): Problem | undefined {
  if (first === undefined) return undefined;
  return new Problem(
    'config',
    `certificates in shard ${first.shard} name ${first.was}, and no other URL can be that of their CRL: keep it, or name new shards`,
    { field: `issuers/${id}/issuer.yaml crl.shards.url`, value: first.is, rule: 'T-38, P-11' },
  );
}

/** Undefined where the archive does not hold what was published: that is said where it is served, and must not keep OCSP from it. */
async function urlOf(scope: CrlScope, store: PublishedCrls): Promise<string | undefined> {
  const record = await store.current(scope);
  if (record === undefined) return undefined;
  try {
    return partitionUrl(readCrl(await store.body(record)).crlExtensions);
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}
