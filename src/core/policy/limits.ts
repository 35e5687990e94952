/**
 * The limits that documents set, filed by the authority that set them. A profile is checked against all of its authorities when it is
 * loaded; nothing is clamped silently. v is the validity counted inclusively (T-01), so `validityMs` may equal a limit.
 */
import type { Finding } from '../lint/finding.ts';
import { DAY, formatDuration, HOUR } from '../time.ts';
import {
  hold,
  type Limit,
  otherKeyTypes,
  outside,
  type ProfileFacts,
  reasons,
  refresh,
  retention,
  TLS_REASONS,
  validity,
  YEAR,
} from './limit.ts';
import { CODE_SIGNING_LIMITS, SMIME_LIMITS } from './limits-beyond-tls.ts';
import type { Profile } from './profile.ts';

/** Every limit that the profile breaks. An `error` keeps the issuer from being loaded. */
export function checkProfile(profile: Profile, facts: ProfileFacts): readonly Finding[] {
  return LIMITS.flatMap(({ rule, citation, authority, severity, issues, check }) => {
    if (!profile.authorities.includes(authority) || (issues ?? profile.issues) !== profile.issues) return [];
    const message = check(profile, facts);
    return message === undefined ? [] : [{ severity, rule, citation, message }];
  });
}

/** The planned age at re-signing, jitter included: it only takes off (profile.ts), at most a fifth. */
const EARLIEST_REFRESH = 0.8;

/** In the order of standards: RFCs, CA/Browser Forum, root programs, then the CAs' own documents. */
export const LIMITS: readonly Limit[] = [
  {
    rule: 'L-13',
    citation: 'RFC 9919 §3.2.4',
    authority: 'rfc',
    severity: 'error',
    check: ({ ocsp }) =>
      ocsp.refreshAfterMs > 0 && ocsp.refreshAfterMs < ocsp.validityMs
        ? undefined
        : `ocsp.refreshAfter = ${formatDuration(ocsp.refreshAfterMs)}: must lie inside ocsp.validity ${formatDuration(ocsp.validityMs)}`,
  },
  {
    rule: 'L-19',
    citation: 'RFC 9919 §7.1, §7.2',
    authority: 'rfc',
    severity: 'error',
    // The response is replaced before max-age runs out, the earliest jitter included.
    check: ({ ocsp }) => outside('ocsp.maxAge', ocsp.maxAgeMs, 0, Math.floor(ocsp.refreshAfterMs * EARLIEST_REFRESH)),
  },
  {
    rule: 'C-02',
    citation: 'RFC 5280 §5.1.2.5',
    authority: 'rfc',
    severity: 'error',
    // nextUpdate is the date by which the next CRL is issued; one hour is left for building, publishing and caches.
    check: ({ crl }) => outside('crl.period', crl.periodMs, 1, crl.validityMs - HOUR),
  },

  {
    rule: 'B-19',
    citation: 'BR 4.9.9',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: (profile) => validity(profile, 8 * HOUR, 10 * DAY),
  },
  {
    rule: 'B-19',
    citation: 'BR 4.9.9',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: (profile) => {
      const v = profile.ocsp.validityMs;
      return refresh(profile, v < 16 * HOUR ? v / 2 : Math.min(v - 8 * HOUR, 4 * DAY));
    },
  },
  {
    rule: 'B-21',
    citation: 'BR 4.9.9',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'ca-certificates',
    check: (profile) => refresh(profile, YEAR),
  },
  {
    rule: 'B-13',
    citation: 'BR 4.9.7',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: ({ crl }, { everyCertificateNamesOcsp }) =>
      outside('crl.period', crl.periodMs, 1, (everyCertificateNamesOcsp ? 7 : 4) * DAY),
  },
  {
    rule: 'B-15',
    citation: 'BR 4.9.7',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'ca-certificates',
    check: ({ crl }) => outside('crl.period', crl.periodMs, 1, YEAR),
  },
  {
    rule: 'B-24',
    citation: 'BR 7.2',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: ({ crl }) => outside('crl.validity', crl.validityMs, 1, 10 * DAY),
  },
  {
    rule: 'B-24',
    citation: 'BR 7.2',
    authority: 'cabf-tls',
    severity: 'error',
    issues: 'ca-certificates',
    check: ({ crl }) => outside('crl.validity', crl.validityMs, 1, YEAR),
  },
  {
    rule: 'B-14',
    citation: 'BR 4.9.7',
    authority: 'cabf-tls',
    severity: 'error',
    check: ({ crl }) => outside('crl.coalesce', crl.coalesceMs, 0, DAY),
  },
  {
    rule: 'B-05',
    citation: 'BR 4.9.5',
    authority: 'cabf-tls',
    severity: 'warning',
    // The 24 hours of 4.9.1.1 end when the revocation is published, not when it is decided: waiting eats into them.
    check: ({ crl }) => outside('crl.coalesce', crl.coalesceMs, 0, HOUR),
  },
  {
    rule: 'B-30',
    citation: 'BR 7.2.2',
    authority: 'cabf-tls',
    severity: 'error',
    check: (profile) => reasons(profile, TLS_REASONS),
  },
  { rule: 'BR-5.5.2', citation: 'BR 5.5.2', authority: 'cabf-tls', severity: 'error', check: retention },
  { rule: 'B-06', citation: 'BR 4.9.13', authority: 'cabf-tls', severity: 'error', check: hold },
  {
    rule: 'B-29',
    citation: 'BR 7.2.2',
    authority: 'cabf-tls',
    severity: 'error',
    check: ({ reasons: { redate } }) =>
      redate === 'any'
        ? 'reasons.redate = any: only a key compromise may move a revocationDate, and only back'
        : undefined,
  },
  {
    rule: 'B-26',
    citation: 'BR 7.2',
    authority: 'cabf-tls',
    severity: 'warning',
    check: ({ crl: { afterExpiryMs } }) =>
      afterExpiryMs > 0
        ? `crl.afterExpiry = ${formatDuration(afterExpiryMs)}: entries should leave after one scheduled CRL beyond expiry`
        : undefined,
  },

  ...SMIME_LIMITS,
  ...CODE_SIGNING_LIMITS,

  {
    rule: 'P-01',
    citation: 'Mozilla §6',
    authority: 'mozilla',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: ({ crl }) =>
      outside('crl.period', crl.periodMs, 1, 7 * DAY) ?? outside('crl.validity', crl.validityMs, 1, 10 * DAY),
  },
  {
    rule: 'P-02',
    citation: 'Mozilla §6',
    authority: 'mozilla',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: (profile) => validity(profile, 1, 10 * DAY) ?? refresh(profile, 4 * DAY),
  },

  {
    rule: 'P-16',
    citation: 'Microsoft 3.2.2',
    authority: 'microsoft',
    severity: 'error',
    issues: 'subscriber-certificates',
    // 8 hours is the letter, but the next answer is due 8 hours before the end: below a day there is no room to miss one.
    check: (profile) => validity(profile, DAY, 7 * DAY),
  },
  {
    rule: 'P-16',
    citation: 'Microsoft 3.2.2',
    authority: 'microsoft',
    severity: 'error',
    issues: 'subscriber-certificates',
    check: (profile) => refresh(profile, Math.min(profile.ocsp.validityMs / 2, profile.ocsp.validityMs - 8 * HOUR)),
  },

  {
    rule: 'CT-4.9.10-b',
    citation: '004 §4.9.10',
    authority: 'cybertrust',
    severity: 'error',
    check: (profile) => validity(profile, 8 * HOUR, 10 * DAY),
  },
  {
    rule: 'CT-4.9.10-c',
    citation: '004 §4.9.10',
    authority: 'cybertrust',
    severity: 'error',
    check: (profile) => refresh(profile, 4 * DAY),
  },
  {
    rule: 'CT-4.9.10-d',
    citation: '004 §4.9.10',
    authority: 'cybertrust',
    severity: 'error',
    check: (profile) => refresh(profile, profile.ocsp.validityMs - 8 * HOUR),
  },
  {
    rule: 'CT-4.9.7-a',
    citation: '004 §4.9.7',
    authority: 'cybertrust',
    severity: 'error',
    check: ({ crl }) => outside('crl.period', crl.periodMs, 1, 7 * DAY),
  },
  {
    rule: 'CT-4.9.7-b',
    citation: '004 §4.9.7',
    authority: 'cybertrust',
    severity: 'error',
    check: ({ crl }) => outside('crl.coalesce', crl.coalesceMs, 0, DAY),
  },
  {
    rule: 'CT-4.9.7-c',
    citation: '004 §4.9.7',
    authority: 'cybertrust',
    severity: 'error',
    check: ({ crl }) => outside('crl.validity', crl.validityMs, 1, 10 * DAY),
  },
  {
    rule: 'SR-6.3.2-a',
    citation: '001 §6.3.2 (conflict C1)',
    authority: 'cybertrust',
    severity: 'error',
    // 004 alone would permit 25 months, but its CAs are bound by the contract with the root, whose CPS says 125 days.
    check: ({ responder }) => outside('responder.maxValidity', responder.maxValidityMs, 1, 125 * DAY),
  },
  {
    rule: 'CT-6.1.5-b',
    citation: '004 §6.1.5',
    authority: 'cybertrust',
    severity: 'error',
    check: ({ responder }) => otherKeyTypes(responder.keyTypes, ['RSA-2048']),
  },
  {
    rule: 'CT-5.5.2-c',
    citation: '004 §5.5.2',
    authority: 'cybertrust',
    severity: 'error',
    check: retention,
  },
  { rule: 'CT-4.9.13', citation: '004 §4.9.13', authority: 'cybertrust', severity: 'error', check: hold },
  {
    rule: 'CT-7.2-a',
    citation: '004 §7.2',
    authority: 'cybertrust',
    severity: 'error',
    check: ({ reasons: { permitted } }) =>
      permitted.includes('certificateHold')
        ? 'reasons.permitted names certificateHold (6): it must not be used'
        : undefined,
  },
  {
    rule: 'CT-7.2-c',
    citation: '004 §7.2',
    authority: 'cybertrust',
    severity: 'error',
    check: (profile) => reasons(profile, TLS_REASONS),
  },
  {
    rule: 'CT-B-CRL-11',
    citation: '004 App. B',
    authority: 'cybertrust',
    severity: 'warning',
    check: ({ crl }) =>
      crl.invalidityDate === 'omit'
        ? 'crl.invalidityDate = omit: the CRL profile of this CA has it (conflict C33)'
        : undefined,
  },

  {
    rule: 'SR-6.3.2-a',
    citation: '001 §6.3.2; 003 §6.3.2',
    authority: 'secom',
    severity: 'error',
    check: ({ responder }) => outside('responder.maxValidity', responder.maxValidityMs, 1, 125 * DAY),
  },
  { rule: 'SR-5.5.2-b', citation: '001 §5.5.2; 003 §5.5.2', authority: 'secom', severity: 'error', check: retention },
  {
    rule: 'SR-6.2.9',
    citation: '001 §6.2.9',
    authority: 'secom',
    severity: 'error',
    check: ({ crl }) =>
      crl.keyUse === 'per-operation'
        ? undefined
        : `crl.keyUse = ${crl.keyUse}: a CA key is deactivated after each access; must be per-operation`,
  },
  {
    rule: 'SJ-6.1.5-a',
    citation: '003 §6.1.5',
    authority: 'secom',
    severity: 'error',
    check: ({ responder }) => otherKeyTypes(responder.keyTypes, ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384']),
  },
];
