/**
 * How large an issuer's CRLs would be if every certificate were revoked: the size that a mass revocation makes, and the one that the
 * 10 MB of Microsoft's program are about (P-17), because a shard cannot be divided once its certificates are out (T-38).
 */
import { COMPLETE } from '../certificate.ts';
import type { Profile } from '../policy/profile.ts';
import type { EpochMs } from '../time.ts';
import type { Census } from './census.ts';
import { type CrlLayout, MAX_SHARDS, shardUrl } from './shards.ts';

/** Microsoft 3.1.10, 3.2.3: a CRL is smaller, where certificates name no OCSP responder. */
export const CRL_OCTETS_LIMIT = 10_000_000;

export interface ScopeForecast {
  readonly shard: string;
  readonly url: string | undefined;
  /** Unexpired certificates, to the week. */
  readonly certificates: number;
  /** Of the CRL if all of them were revoked. */
  readonly octetsIfAllRevoked: number;
  /** Only of a CRL that certificates name: a complete one beside shards is downloaded by nobody who could choose a shard. */
  readonly overLimit: boolean;
}

export interface Forecast {
  readonly scopes: readonly ScopeForecast[];
  /** Of those whose CRL a certificate names: the one that would be largest. */
  readonly largest: ScopeForecast | undefined;
  /**
   * So many shards keep each of them below the limit, were all of today's certificates spread over them; undefined when more than
   * MAX_SHARDS would be needed. New certificates alone are spread anew.
   */
  readonly shardsNeeded: number | undefined;
}

export function forecast(
  census: Census,
  layout: CrlLayout,
  profile: Profile,
  issuerNameOctets: number,
  nowMs: EpochMs,
): Forecast {
  const shell = SHELL_OCTETS + issuerNameOctets;
  const entry = (serialOctets: number): number =>
    ENTRY_OCTETS + serialOctets + (profile.crl.invalidityDate === 'omit' ? 0 : INVALIDITY_OCTETS);
  const isNamed = (shard: string): boolean => shard !== COMPLETE || census.isNamed(undefined, nowMs);
  const scopes = [...census.shards].sort(inOrder).map((shard): ScopeForecast => {
    const figures = census.of(shard);
    const certificates = figures.unexpired(nowMs);
    const octetsIfAllRevoked = Math.ceil(shell + certificates * entry(figures.serialOctets));
    const overLimit = isNamed(shard) && octetsIfAllRevoked >= CRL_OCTETS_LIMIT;
    return { shard, url: shardUrl(layout, shard), certificates, octetsIfAllRevoked, overLimit };
  });
  const all = census.of(COMPLETE);
  const named = scopes.filter(({ shard }) => isNamed(shard));
  const largest = named.reduce<ScopeForecast | undefined>(
    (most, one) => (most === undefined || one.octetsIfAllRevoked > most.octetsIfAllRevoked ? one : most),
    undefined,
  );
  const entries = Math.floor((CRL_OCTETS_LIMIT - 1 - shell) / entry(all.serialOctets));
  return { scopes, largest, shardsNeeded: shardsFor(all.unexpired(nowMs), entries) };
}

/** The hash fills shards unevenly: four standard deviations above the mean must fit, which none of 10,000 shards is likely to exceed. */
function shardsFor(certificates: number, entriesPerShard: number): number | undefined {
  for (let count = Math.max(1, Math.ceil(certificates / entriesPerShard)); count <= MAX_SHARDS; count++) {
    const mean = certificates / count;
    if (mean + (count === 1 ? 0 : 4 * Math.sqrt(mean)) <= entriesPerShard) return count;
  }
  return undefined;
}

/** COMPLETE, then by number, then the rest. */
function inOrder(a: string, b: string): number {
  return (Number(a) || (a === COMPLETE ? 0 : Infinity)) - (Number(b) || (b === COMPLETE ? 0 : Infinity)) || 0;
}

/** SEQUENCE 2, INTEGER header 2, UTCTime 15, reasonCode in its extensions 14; the serial number comes on top. */
const ENTRY_OCTETS = 33;
const INVALIDITY_OCTETS = 26;
/** Everything else: times, extensions with a long URL, two AlgorithmIdentifiers, an RSA-4096 signature. The name comes on top. */
const SHELL_OCTETS = 1000;
