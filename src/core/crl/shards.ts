/**
 * Which CRLs an issuer has, and which of them speaks of a certificate.
 *
 * A certificate's shard is fixed when it is recorded, for its life (T-38): by the URL in its crlDistributionPoints, or by the event
 * that tells of it; else by the hash below, over as many shards as there are then. A later count is for later certificates, and the
 * shards beyond it are published until their last certificate has expired. A certificate without a shard is on the complete CRL.
 */
import { createHash } from 'node:crypto';
import { COMPLETE, type CrlScope, type IssuerTag } from '../certificate.ts';
import { Problem } from '../problem.ts';
import { serialBytes, type Serial } from '../serial.ts';

export interface CrlLayout {
  /** Whether there is a complete CRL: without shards always. With it no certificate is on no CRL, whatever is known of it. */
  readonly complete: boolean;
  /** URLs under which the complete CRL is known, as certificates have them. */
  readonly completeUrls: readonly string[];
  readonly shards: ShardLayout | undefined;
  /** A CRL of CA certificates alone (an ARL), beside the shards of the others. Its shard is CA_SHARD. */
  readonly caUrl: string | undefined;
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

/** What an issuance says about the CRL of its certificate. */
export interface ShardClues {
  readonly serial: Serial;
  /** Name of a shard, or URL of a CRL. */
  readonly crlShard: string | undefined;
  readonly isCa: boolean;
}

/** The URL of a shard's CRL. Undefined for COMPLETE, and where the layout has no such shard. */
export function shardUrl(layout: CrlLayout, shard: string): string | undefined {
  if (shard === CA_SHARD) return layout.caUrl;
  if (layout.shards === undefined || !/^[1-9]\d{0,4}$/.test(shard)) return undefined;
  return layout.shards.url.replace('{shard}', shard);
}

/** The scopes of which the layout wants a CRL; an issuer may have older ones beside them. */
export function scopesOf(layout: CrlLayout, issuer: IssuerTag): readonly CrlScope[] {
  const names = [
    ...(layout.complete ? [COMPLETE] : []),
    ...(layout.caUrl === undefined ? [] : [CA_SHARD]),
    ...Array.from({ length: layout.shards?.highest ?? 0 }, (_, i) => String(i + 1)),
  ];
  return names.map((shard) => ({ issuer, shard }));
}

/**
 * The shard of a certificate that is recorded now; undefined: it is on the complete CRL alone.
 * @throws Problem `refused` when it names a CRL that the issuer does not publish (P-05): nobody could find it revoked.
 */
export function shardOf(layout: CrlLayout, { serial, crlShard, isCa }: ShardClues): string | undefined {
  if (crlShard !== undefined) return namedShard(layout, crlShard);
  if (isCa && layout.caUrl !== undefined) return CA_SHARD;
  return layout.shards === undefined ? undefined : hashedShard(serial, layout.shards.count);
}

/** 1 + (the first 32 bits of SHA-256 over the octets of the serial's INTEGER content) modulo count. */
export function hashedShard(serial: Serial, count: number): string {
  return String(1 + (createHash('sha256').update(serialBytes(serial)).digest().readUInt32BE() % count));
}

function namedShard(layout: CrlLayout, named: string): string | undefined {
  const sharded = layout.shards !== undefined || layout.caUrl !== undefined;
  // Without shards every certificate is on the one CRL there is, wherever else its URL may lead.
  if (!sharded || layout.completeUrls.includes(named)) return undefined;
  if (named === layout.caUrl || (named === CA_SHARD && layout.caUrl !== undefined)) return CA_SHARD;
  const { shards } = layout;
  if (shards !== undefined) {
    const [before, after] = shards.url.split('{shard}') as [string, string];
    const inUrl =
      named.startsWith(before) && named.endsWith(after) && named.slice(before.length, named.length - after.length);
    const name = /^[1-9]\d{0,4}$/.test(named) ? named : inUrl;
    if (name !== false && /^[1-9]\d{0,4}$/.test(name) && Number(name) <= shards.highest) return name;
  }
  throw new Problem('refused', 'the issuer publishes no such CRL, so nobody could find the certificate revoked', {
    field: '/crlShard',
    value: named,
    rule: 'P-05, BR 7.2.2.1',
  });
}
