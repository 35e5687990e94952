/** What a limit is, and the comparisons that several authorities make. */
import { REASON_CODES, type Reason } from '../reason.ts';
import { DAY, formatDuration } from '../time.ts';
import type { Authority, Profile } from './profile.ts';
import { LEAST_RETENTION_MS } from './retention.ts';

/** What the numbers alone do not say. */
export interface ProfileFacts {
  /** Every certificate of the CA carries an OCSP URL: then its CRL may be 7 days old, else 4 (B-13). */
  readonly everyCertificateNamesOcsp: boolean;
}

export interface Limit {
  readonly rule: string;
  readonly citation: string;
  readonly authority: Authority;
  readonly severity: 'error' | 'warning';
  /** Absent: whatever the CA issues. */
  readonly issues?: Profile['issues'];
  /** Field and value, and what is allowed; undefined when the profile keeps the limit. */
  readonly check: (profile: Profile, facts: ProfileFacts) => string | undefined;
}

export const validity = (profile: Profile, least: number, most: number): string | undefined =>
  outside('ocsp.validity', profile.ocsp.validityMs, least, most);
export const refresh = (profile: Profile, most: number): string | undefined =>
  outside('ocsp.refreshAfter', profile.ocsp.refreshAfterMs, 1, most);
export const reasons = (profile: Profile, permitted: readonly Reason[]): string | undefined => {
  const other = profile.reasons.permitted.filter((reason) => !permitted.includes(reason));
  if (other.length === 0) return undefined;
  return `reasons.permitted names ${other.map((reason) => `${reason} (${REASON_CODES[reason]})`).join(', ')}: allowed are ${permitted.join(', ')}`;
};
export const hold = (profile: Profile): string | undefined =>
  profile.reasons.hold === 'refuse' ? undefined : 'reasons.hold = allow: certificates are not suspended';

/** Upward only; for ever when nothing is said. */
export const retention = ({ archive: { retentionMs } }: Profile): string | undefined =>
  retentionMs === undefined || retentionMs >= LEAST_RETENTION_MS
    ? undefined
    : `archive.retention = ${formatDuration(retentionMs)}: must be at least ${formatDuration(LEAST_RETENTION_MS)}`;

/** Reasons of BR 7.2.2 and 004 §7.2: 1, 3, 4, 5, 9. */
export const TLS_REASONS: readonly Reason[] = [
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
];
/** "12 months", counted as every linter accepts it (T-01). */
export const YEAR = 365 * DAY;

export function otherKeyTypes(
  keyTypes: Profile['responder']['keyTypes'],
  permitted: Profile['responder']['keyTypes'],
): string | undefined {
  const other = keyTypes.filter((type) => !permitted.includes(type));
  return other.length === 0
    ? undefined
    : `responder.keyTypes names ${other.join(', ')}: allowed are ${permitted.join(', ')}`;
}

export function outside(field: string, valueMs: number, leastMs: number, mostMs: number): string | undefined {
  if (valueMs >= leastMs && valueMs <= mostMs) return undefined;
  const least = leastMs > 1 ? `at least ${formatDuration(leastMs)} and ` : '';
  return `${field} = ${formatDuration(valueMs)}: must be ${least}at most ${formatDuration(mostMs)}`;
}
