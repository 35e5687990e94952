/**
 * Which CRLs an issuer has, and which of them speaks of a certificate.
 *
 * A certificate's shard is fixed when it is recorded, for its life (T-38): by the URL in its crlDistributionPoints, or by the event
 * that tells of it; else CA certificates go to their own CRL, and the rest by the hash below, over as many shards as there are then.
 * A later count is for later certificates, and the shards beyond it are published until their last certificate has expired. A
 * certificate without a shard is on the complete CRL alone.
 */
import { createHash } from 'node:crypto';
import { COMPLETE, type Certificate, type CrlScope, type IssuerTag } from '../certificate.ts';
import { Problem } from '../problem.ts';
import { serialBytes, type Serial } from '../serial.ts';

export interface CrlLayout {
  /** Whether there is a complete CRL: without shards always. With it no certificate is on no CRL, whatever is known of it. */
  readonly complete: boolean;
  /** URLs under which the complete CRL is known, as certificates have them; one that begins with `/` is that path on any host. */
  readonly completeUrls: readonly string[];
  readonly shards: ShardLayout | undefined;
  /** A CRL of CA certificates alone (an ARL), beside the shards of the others. Its shard is CA_SHARD. */
  readonly caUrl: string | undefined;
  /**
   * Shards that were published once and are not configured any more, with the URL that their certificates name: they are published
   * until the last of these certificates has expired (T-38).
   */
  readonly former?: ReadonlyMap<string, string>;
}

/** One CRL for all. */
export const COMPLETE_ONLY: CrlLayout = { complete: true, completeUrls: [], shards: undefined, caUrl: undefined };

export interface ShardLayout {
  /** New certificates are spread over shards 1 to count. */
  readonly count: number;
  /** Shards up to this one are published from the start: count, unless there were more. */
  readonly highest: number;
  /** URL of a shard, with `{shard}` where its number stands. The one URI of its CRLs and of its certificates (P-11, X-11). */
  readonly url: string;
}

/** Name of the shard of CA certificates. */
export const CA_SHARD = 'ca';
export const MAX_SHARDS = 10_000;

/** What a shard may be called; anything else in an old journal was a URL that nobody looked at. */
export const SHARD_NAME = /^(?:ca|[1-9]\d{0,4})$/;

/** What an issuance says about the CRL of its certificate. */
export interface ShardClues {
  readonly serial: Serial;
  /** Of the event: name of a shard, or URL of a CRL. */
  readonly crlShard: string | undefined;
  /** Of the certificate itself: the URIs of its crlDistributionPoints. They count before what the event says. */
  readonly crlUrls?: readonly string[] | undefined;
  /** Undefined: not known, and taken for a subscriber's. */
  readonly isCa?: boolean | undefined;
}

/** The URL of a shard's CRL. Undefined for COMPLETE, and where the layout has no such shard. */
export function shardUrl(layout: CrlLayout, shard: string): string | undefined {
  const former = layout.former?.get(shard);
  if (former !== undefined) return former;
  if (shard === CA_SHARD) return layout.caUrl;
  if (layout.shards === undefined || !NUMBER.test(shard)) return undefined;
  return layout.shards.url.replace('{shard}', shard);
}

/** The scopes of which the layout wants a CRL. */
export function scopesOf(layout: CrlLayout, issuer: IssuerTag): readonly CrlScope[] {
  const names = new Set([
    ...(layout.complete ? [COMPLETE] : []),
    ...(layout.caUrl === undefined ? [] : [CA_SHARD]),
    ...Array.from({ length: layout.shards?.highest ?? 0 }, (_, i) => String(i + 1)),
    ...(layout.former?.keys() ?? []),
  ]);
  return [...names].map((shard) => ({ issuer, shard }));
}

export interface Settled {
  readonly layout: CrlLayout;
  /** Scopes that are published although the configuration does not ask for them: certificates may name them. */
  readonly kept: readonly string[];
  /** Shards whose certificates name another URL than is configured now: neither URL would do for all of them (C-17, P-11). */
  readonly moved: readonly { readonly shard: string; readonly was: string; readonly is: string }[];
}

/**
 * The layout as the certificates need it that were recorded under earlier ones: what was published once stays (T-38).
 * @param published scopes of which a CRL was ever published, with the URL in its issuingDistributionPoint, as far as that is known.
 */
export function settleLayout(
  layout: CrlLayout,
  published: Iterable<readonly [shard: string, url: string | undefined]>,
): Settled {
  let { complete, shards } = layout;
  const former = new Map(layout.former);
  const kept: string[] = [];
  const moved: { shard: string; was: string; is: string }[] = [];
  for (const [shard, was] of published) {
    if (shard === COMPLETE) {
      if (!complete) kept.push(shard);
      complete = true;
      continue;
    }
    const is = shardUrl({ ...layout, shards }, shard);
    if (is === undefined) {
      if (was === undefined) continue;
      former.set(shard, was);
      kept.push(shard);
    } else if (was !== undefined && was !== is) moved.push({ shard, was, is });
    else if (shards !== undefined && shard !== CA_SHARD && Number(shard) > shards.highest) {
      kept.push(shard);
      shards = { ...shards, highest: Number(shard) };
    }
  }
  return { layout: { ...layout, complete, shards, former }, kept, moved };
}

/**
 * The shard of a certificate that is recorded now for the first time; undefined: it is on the complete CRL alone.
 * @throws Problem `refused` when it names a CRL that the issuer does not publish (P-05), because nobody could find it revoked, or one
 *   that is for the other kind of certificates (C-19).
 */
export function shardOf(layout: CrlLayout, clues: ShardClues): string | undefined {
  const named = shardNamed(layout, clues);
  if (named !== 'nothing named') return named.shard;
  if (clues.isCa === true) {
    if (layout.caUrl !== undefined) return CA_SHARD;
    if (layout.complete) return undefined;
    // Its shards say onlyContainsUserCerts.
    throw new Problem('refused', 'no CRL of this issuer covers CA certificates: set crl.authorities or crl.complete', {
      field: '/certificate',
      value: clues.serial,
      rule: 'C-19, T-40',
    });
  }
  return layout.shards === undefined ? undefined : hashedShard(clues.serial, layout.shards.count);
}

/**
 * The shard of a certificate that may be recorded already: what is fixed stays, whatever the count is now. One that is known from a CRL
 * alone (no notAfter) and has no shard gets one when the certificate itself is told of.
 * @throws Problem as shardOf, and `conflict` when it names another CRL than it is on.
 */
export function assignShard(
  layout: CrlLayout,
  known: Pick<Certificate, 'crlShard' | 'notAfter'> | undefined,
  clues: ShardClues,
): string | undefined {
  if (known === undefined || (known.crlShard === undefined && known.notAfter === undefined))
    return shardOf(layout, clues);
  const named = shardNamed(layout, clues);
  if (named === 'nothing named' || named.shard === known.crlShard) return known.crlShard;
  // Everything is on the complete CRL: what is learnt of it beyond that takes nothing away.
  if (known.crlShard === undefined) return named.shard;
  // It may be revoked there already, and nothing leaves a CRL before its time (RFC 5280 §3.3).
  throw new Problem(
    'conflict',
    `this serial is recorded on the CRL of shard ${known.crlShard} (${shardUrl(layout, known.crlShard) ?? 'no longer configured'}) for its life`,
    { field: '/crlShard', value: named.as, rule: 'T-38, C-17' },
  );
}

/** 1 + (the first 32 bits of SHA-256 over the octets of the serial's INTEGER content) modulo count. */
export function hashedShard(serial: Serial, count: number): string {
  return String(1 + (createHash('sha256').update(serialBytes(serial)).digest().readUInt32BE() % count));
}

/** Which CRL the certificate names, or else the event. */
function shardNamed(
  layout: CrlLayout,
  { crlShard, crlUrls = [], isCa }: ShardClues,
): { readonly shard: string | undefined; readonly as: string } | 'nothing named' {
  const names = crlUrls.length > 0 ? crlUrls : crlShard === undefined ? [] : [crlShard];
  const [first] = names;
  // Without shards every certificate is on the one CRL there is, wherever else its URL may lead.
  if (first === undefined || !sharded(layout)) return 'nothing named';
  for (const as of names) {
    const shard = lookUp(layout, as);
    if (shard === 'unknown') continue;
    if (shard !== undefined) checkKind(shard, isCa, as);
    return { shard, as };
  }
  if (layout.complete && names.every((name) => name.includes('://') && !ofShards(layout, name)))
    return { shard: undefined, as: first };
  throw new Problem('refused', 'the issuer publishes no such CRL, so nobody could find the certificate revoked', {
    field: '/crlShard',
    value: names.join(' '),
    rule: 'P-05, BR 7.2.2.1',
  });
}

/** @returns undefined for the complete CRL. */
function lookUp(layout: CrlLayout, named: string): string | undefined {
  if (layout.complete && isComplete(layout, named)) return undefined;
  for (const [name, url] of layout.former ?? []) if (named === name || named === url) return name;
  if (layout.caUrl !== undefined && (named === CA_SHARD || named === layout.caUrl)) return CA_SHARD;
  const { shards } = layout;
  if (shards === undefined) return 'unknown';
  const name = NUMBER.test(named) ? named : (inUrl(shards.url, named) ?? '');
  return NUMBER.test(name) && Number(name) <= shards.highest ? name : 'unknown';
}

function isComplete({ completeUrls }: CrlLayout, named: string): boolean {
  const path = /^https?:\/\/[^/]+(\/.*)$/i.exec(named)?.[1];
  return completeUrls.some((url) => url === named || url === path);
}

/** A URL like those of the shards is that of a shard, or of nothing: it is not taken for an old name of the complete CRL. */
function ofShards({ shards }: CrlLayout, named: string): boolean {
  return shards !== undefined && inUrl(shards.url, named) !== undefined;
}

/** What stands in the place of `{shard}`; undefined when it is another URL. */
function inUrl(template: string, url: string): string | undefined {
  const [before, after] = template.split('{shard}') as [string, string];
  if (url.length <= before.length + after.length || !url.startsWith(before) || !url.endsWith(after)) return undefined;
  return url.slice(before.length, url.length - after.length);
}

function checkKind(shard: string, isCa: boolean | undefined, as: string): void {
  if (isCa === undefined || isCa === (shard === CA_SHARD)) return;
  throw new Problem(
    'refused',
    isCa
      ? 'a CA certificate, and its CRL is one of subscriber certificates alone'
      : 'no CA certificate, and its CRL is one of CA certificates alone',
    { field: '/crlShard', value: as, rule: 'C-19, RFC 5280 §5.2.5' },
  );
}

function sharded({ shards, caUrl, former }: CrlLayout): boolean {
  return shards !== undefined || caUrl !== undefined || (former?.size ?? 0) > 0;
}

const NUMBER = /^[1-9]\d{0,4}$/;
