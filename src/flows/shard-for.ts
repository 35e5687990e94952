/** On which of its issuer's CRLs a certificate is. */
import type { Certificate } from '../core/certificate.ts';
import { assignShard } from '../core/crl/shards.ts';
import type { Issuance } from '../core/status.ts';
import type { ServedIssuer } from './issuer-setup.ts';

/** What is journalled is the name, so that a replay does not assign anew, whatever the layout is then (T-38). */
export function shardFor(
  { crls, profile }: ServedIssuer,
  current: Certificate | undefined,
  said: Pick<Issuance, 'serial' | 'crlShard' | 'crlUrls' | 'isCa'>,
): string | undefined {
  // Of a certificate that nobody has seen, the issuer's profile says of which kind it is, unless it names its CRL.
  const assumed = said.crlShard === undefined && profile.issues === 'ca-certificates' ? true : undefined;
  return assignShard(crls, current, { ...said, isCa: said.isCa ?? assumed });
}
