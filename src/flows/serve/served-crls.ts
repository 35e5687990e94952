/** What is served of an issuer's CRLs, all of its scopes together: one that fails counts for all, because CRLite then drops the issuer (T-39). */
import { COMPLETE, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { scopesOf, type CrlLayout } from '../../core/crl/shards.ts';
import type { EpochMs } from '../../core/time.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { PublicFiles } from './public-files.ts';

export interface ServedCrls {
  readonly scopes: number;
  /** Names of those of which there is none, or one that has run out. */
  readonly missing: readonly string[];
  readonly expired: readonly string[];
  readonly oldestThisUpdate: EpochMs | undefined;
  readonly oldestScheduledAt: EpochMs | undefined;
  readonly leastNextUpdate: EpochMs | undefined;
  /** On the complete CRL, or where there is none on all shards. */
  readonly entries: number | undefined;
  /** Of the largest. */
  readonly bytes: number | undefined;
}

export function servedCrls(issuer: ServedIssuer, files: Pick<PublicFiles, 'crl'>, nowMs: EpochMs): ServedCrls {
  const scopes = knownScopes(issuer);
  const missing: string[] = [];
  const expired: string[] = [];
  let complete: CrlRecord | undefined;
  let found = 0;
  const least = { thisUpdate: Infinity, scheduledAt: Infinity, nextUpdate: Infinity };
  let entries = 0;
  let bytes = 0;
  // In one go: a scrape of a hundred issuers passes ten thousand shards.
  for (const scope of scopes) {
    const record = files.crl(scope);
    if (record === undefined) {
      missing.push(scope.shard);
      continue;
    }
    found += 1;
    if (record.shard === COMPLETE) complete = record;
    if (nowMs > record.nextUpdate) expired.push(scope.shard);
    least.thisUpdate = Math.min(least.thisUpdate, record.thisUpdate);
    least.scheduledAt = Math.min(least.scheduledAt, record.scheduledAt);
    least.nextUpdate = Math.min(least.nextUpdate, record.nextUpdate);
    entries += record.entries;
    bytes = Math.max(bytes, record.bytes);
  }
  const known = (value: number): number | undefined => (found === 0 ? undefined : value);
  return {
    scopes: scopes.length,
    missing,
    expired,
    oldestThisUpdate: known(least.thisUpdate),
    oldestScheduledAt: known(least.scheduledAt),
    leastNextUpdate: known(least.nextUpdate),
    entries: complete?.entries ?? known(entries),
    bytes: known(bytes),
  };
}

/** A layout is replaced as a whole when it changes. Issuers may have one in common, so it is not by layouts that they are kept. */
const scopesByIssuer = new WeakMap<
  ServedIssuer,
  { readonly layout: CrlLayout; readonly scopes: readonly CrlScope[] }
>();

function knownScopes(issuer: ServedIssuer): readonly CrlScope[] {
  const layout = issuer.crls;
  const known = scopesByIssuer.get(issuer);
  if (known?.layout === layout) return known.scopes;
  const scopes = scopesOf(layout, issuer.tag);
  scopesByIssuer.set(issuer, { layout, scopes });
  return scopes;
}

/** For people: the names of a few. */
export function namesOf(shards: readonly string[]): string {
  const names = shards.slice(0, 5).map((shard) => (shard === COMPLETE ? 'the complete one' : `shard ${shard}`));
  return `${names.join(', ')}${shards.length > names.length ? ` and ${shards.length - names.length} more` : ''}`;
}
