/**
 * The CRL URLs that a CA tells the CCADB (Policy 2.1 §6.2, P-09 to P-13), and how they change.
 *
 * The CCADB wants every distinct URL in the crlDistributionPoints of certificates that have not expired, exactly as it stands there, in
 * two arrays of a CA certificate's record: URLs of the full CRL, and URLs of partitioned ones. Whoever issues nothing yet writes `[""]`.
 * A new URL must be there 7 days after the first certificate with it, or 4 hours after the first such certificate was revoked, whichever
 * is earlier; browsers do not look at a CRL that is not there.
 */
import { DAY, HOUR, type EpochMs } from '../time.ts';
import type { Census } from './census.ts';
import { CA_SHARD, type CrlLayout, shardUrl } from './shards.ts';

export interface NamedUrl {
  readonly url: string;
  readonly kind: 'full' | 'partitioned';
  /** The last notAfter of a certificate that names it; Infinity when one is not known. */
  readonly until: EpochMs;
  /** When the first revocation of a certificate that names it was recorded; Infinity when there is none. */
  readonly firstRevokedAt: EpochMs;
}

/** The URLs in unexpired certificates, those of shards in the order of their numbers. */
export function namedUrls(census: Census, layout: CrlLayout, nowMs: EpochMs): readonly NamedUrl[] {
  const { alone } = census;
  const full = alone.until < nowMs ? [] : wholeUrls(layout);
  const shards = [...census.shards].sort((a, b) => order(a) - order(b));
  return [
    ...full.map((url): NamedUrl => ({ url, kind: 'full', until: alone.until, firstRevokedAt: alone.firstRevokedAt })),
    ...shards.flatMap((shard): NamedUrl[] => {
      const { until, firstRevokedAt } = census.of(shard);
      const url = shardUrl(layout, shard);
      return url === undefined || until < nowMs ? [] : [{ url, kind: 'partitioned', until, firstRevokedAt }];
    }),
  ];
}

export interface CcadbFields {
  readonly 'JSON Array of all Full CRL URLs': readonly string[];
  readonly 'JSON Array of Partitioned CRLs': readonly string[];
}

/** What is to be pasted into the record of the CA certificate, or sent by the CCADB's interface. */
export function ccadbFields(urls: readonly NamedUrl[]): CcadbFields {
  const of = (kind: NamedUrl['kind']): readonly string[] =>
    urls.filter((one) => one.kind === kind).map(({ url }) => url);
  return {
    'JSON Array of all Full CRL URLs': of('full'),
    // P-13: not `[]`, which the CCADB takes for a field that nobody has filled in.
    'JSON Array of Partitioned CRLs': urls.length === 0 ? [''] : of('partitioned'),
  };
}

/** What stands in the way of pasting it. */
export function ccadbProblems(urls: readonly NamedUrl[], census: Census, layout: CrlLayout, nowMs: EpochMs): readonly string[] {
  const problems: string[] = [];
  if (census.alone.until >= nowMs && wholeUrls(layout).length === 0)
    problems.push('certificates name the complete CRL, whose URL has no host here: set the host of urls.crl (P-09)');
  if (new Set(urls.map(({ kind }) => kind)).size > 1)
    problems.push(
      'unexpired certificates name the full CRL and partitioned ones: the CCADB takes both only for a time of transition (Policy §6.2)',
    );
  return problems;
}

/** One line of the feed: what changed, and by when the CCADB must know. */
export interface UrlChange {
  readonly seq: number;
  /** RFC 3339. */
  readonly at: string;
  readonly change: 'added' | 'removed' | 'acknowledged';
  /** Absent for `acknowledged`, which is about every change up to `upTo`. */
  readonly url?: string;
  readonly kind?: NamedUrl['kind'];
  readonly why: string;
  readonly upTo?: number;
}

export interface UrlBooks {
  /** URLs that were added and not removed since. */
  readonly listed: ReadonlySet<string>;
  /** Changes that nobody has said are in the CCADB. */
  readonly open: readonly UrlChange[];
  readonly lastSeq: number;
}

export function booksOf(changes: readonly UrlChange[]): UrlBooks {
  const listed = new Set<string>();
  let open: UrlChange[] = [];
  for (const change of changes) {
    if (change.change === 'acknowledged') open = open.filter(({ seq }) => seq > (change.upTo ?? 0));
    else {
      if (change.change === 'added') listed.add(change.url as string);
      else listed.delete(change.url as string);
      open.push(change);
    }
  }
  return { listed, open, lastSeq: changes.at(-1)?.seq ?? 0 };
}

/** What has changed against the books, in the order of the URLs; seq and time are the caller's. */
export function changesSince(
  { listed }: UrlBooks,
  urls: readonly NamedUrl[],
): readonly Pick<UrlChange, 'change' | 'url' | 'kind' | 'why'>[] {
  const now = new Set(urls.map(({ url }) => url));
  return [
    ...urls
      .filter(({ url }) => !listed.has(url))
      .map(({ url, kind }) => ({ change: 'added' as const, url, kind, why: 'an unexpired certificate names it' })),
    ...[...listed]
      .filter((url) => !now.has(url))
      .map((url) => ({ change: 'removed' as const, url, why: 'no unexpired certificate names it any more' })),
  ];
}

/**
 * By when an added URL must be in the CCADB (P-09). Only a URL that is missing there has a deadline: one too many harms nobody, as long
 * as it is published.
 */
export function dueBy(change: UrlChange, named: Pick<NamedUrl, 'firstRevokedAt'> | undefined): EpochMs | undefined {
  if (change.change !== 'added') return undefined;
  return Math.min(Date.parse(change.at) + 7 * DAY, (named?.firstRevokedAt ?? Infinity) + 4 * HOUR);
}

function wholeUrls({ completeUrls }: CrlLayout): readonly string[] {
  return completeUrls.filter((url) => !url.startsWith('/'));
}

function order(shard: string): number {
  return shard === CA_SHARD ? Infinity : Number(shard);
}
