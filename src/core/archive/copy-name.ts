/**
 * Names of archived objects in the second place:
 *
 *     crl/<issuer tag>/<shard, or `complete`>/<number>-<SHA-256 of the CRL>.crl     the octets
 *     crl/<issuer tag>/<shard, or `complete`>/<number>-<SHA-256 of the CRL>.json    what is recorded of them, written last
 *     crl/<issuer tag>/<shard, or `complete`>/<number>-<SHA-256 of the CRL>.dropped.json    why the octets are gone
 *     certificates/<issuer tag>/<SHA-256>.cer
 */
import { COMPLETE, type CrlRecord, type CrlScope, type IssuerTag } from '../certificate.ts';

/** Longer than any shard's name would be mistaken for: shards are numbers, or `ca`. */
const COMPLETE_NAME = 'complete';

export const CRLS = 'crl/';
export const CERTIFICATES = 'certificates/';

type Named = Pick<CrlRecord, 'issuer' | 'shard' | 'number' | 'sha256'>;

export const crlName = (record: Named): string => `${scopeName(record)}${record.number}-${record.sha256}.crl`;
export const recordName = (record: Named): string => `${scopeName(record)}${record.number}-${record.sha256}.json`;
export const droppedName = (record: Named): string =>
  `${scopeName(record)}${record.number}-${record.sha256}.dropped.json`;
export const certificateName = (issuer: IssuerTag, sha256: string): string => `${CERTIFICATES}${issuer}/${sha256}.cer`;

export function scopeName({ issuer, shard }: CrlScope): string {
  return `${CRLS}${issuer}/${shard === COMPLETE ? COMPLETE_NAME : shard}/`;
}

/** Of which CRL an object tells; undefined for a name that is none of ours. */
export function readCrlName(name: string): (Named & { readonly kind: 'crl' | 'json' | 'dropped.json' }) | undefined {
  const found = /^crl\/([0-9a-f]{8})\/([0-9a-z]{1,16})\/(\d{1,49})-([0-9a-f]{64})\.(crl|json|dropped\.json)$/.exec(
    name,
  );
  if (found === null) return undefined;
  const [issuer, shard, number, sha256, kind] = found.slice(1) as [string, string, string, string, 'crl'];
  return {
    issuer: issuer as IssuerTag,
    shard: shard === COMPLETE_NAME ? COMPLETE : shard,
    number: BigInt(number),
    sha256,
    kind,
  };
}

export function readCertificateName(name: string): { readonly issuer: IssuerTag; readonly sha256: string } | undefined {
  const found = /^certificates\/([0-9a-f]{8})\/([0-9a-f]{64})\.cer$/.exec(name);
  return found === null ? undefined : { issuer: found[1] as IssuerTag, sha256: found[2] as string };
}
