/** What is served of an issuer's CRLs, all of its scopes together: one that fails counts for all, because CRLite then drops the issuer (T-39). */
import { COMPLETE, type CrlRecord } from '../../core/certificate.ts';
import { scopesOf } from '../../core/crl/shards.ts';
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

export function servedCrls({ tag, crls }: ServedIssuer, files: Pick<PublicFiles, 'crl'>, nowMs: EpochMs): ServedCrls {
  const scopes = scopesOf(crls, tag);
  const missing: string[] = [];
  const expired: string[] = [];
  const records: CrlRecord[] = [];
  for (const scope of scopes) {
    const record = files.crl(scope);
    if (record === undefined) missing.push(scope.shard);
    else records.push(record);
    if (record !== undefined && nowMs > record.nextUpdate) expired.push(scope.shard);
  }
  const extreme = (choose: (a: number, b: number) => number, of: (record: CrlRecord) => number): number | undefined =>
    records.length === 0 ? undefined : records.map(of).reduce((a, b) => choose(a, b));
  const complete = records.find(({ shard }) => shard === COMPLETE);
  return {
    scopes: scopes.length,
    missing,
    expired,
    oldestThisUpdate: extreme(Math.min, ({ thisUpdate }) => thisUpdate),
    oldestScheduledAt: extreme(Math.min, ({ scheduledAt }) => scheduledAt),
    leastNextUpdate: extreme(Math.min, ({ nextUpdate }) => nextUpdate),
    entries:
      complete?.entries ??
      extreme(
        (a, b) => a + b,
        ({ entries }) => entries,
      ),
    bytes: extreme(Math.max, ({ bytes }) => bytes),
  };
}

/** For people: the names of a few. */
export function namesOf(shards: readonly string[]): string {
  const names = shards.slice(0, 5).map((shard) => (shard === COMPLETE ? 'the complete one' : `shard ${shard}`));
  return `${names.join(', ')}${shards.length > names.length ? ` and ${shards.length - names.length} more` : ''}`;
}
