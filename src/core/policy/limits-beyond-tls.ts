/**
 * Limits of the Baseline Requirements for S/MIME and for code signing: like those for TLS, with other numbers. Certificates of
 * time-stamping authorities may have CRLs and answers of 12 months (CS-02, CS-03); here they keep the shorter limits of code signing.
 */
import { DAY, formatDuration, HOUR } from '../time.ts';
import {
  hold,
  type Limit,
  otherKeyTypes,
  outside,
  reasons,
  refresh,
  retention,
  TLS_REASONS,
  validity,
  YEAR,
} from './limit.ts';
import type { Profile } from './profile.ts';

/** CSBR 7.2: ten calendar years have 3653 days at most. */
const TEN_YEARS = 3653 * DAY;

/** "At least every 7 days, at most 10 days" for subscribers, 12 months for CA certificates: of the S/MIME BR and the CSBR alike. */
function crlTiming({ crl, issues }: Profile): string | undefined {
  const [period, most] = issues === 'ca-certificates' ? [YEAR, YEAR] : [7 * DAY, 10 * DAY];
  return outside('crl.period', crl.periodMs, 1, period) ?? outside('crl.validity', crl.validityMs, 1, most);
}

export const SMIME_LIMITS: readonly Limit[] = [
  { rule: 'SM-01', citation: 'S/MIME BR 4.9.7', authority: 'cabf-smime', severity: 'error', check: crlTiming },
  {
    rule: 'SM-01',
    citation: 'S/MIME BR 4.9.7',
    authority: 'cabf-smime',
    severity: 'error',
    issues: 'ca-certificates',
    check: ({ crl }) => outside('crl.coalesce', crl.coalesceMs, 0, DAY),
  },
  {
    rule: 'SM-02',
    citation: 'S/MIME BR 4.9.9',
    authority: 'cabf-smime',
    severity: 'error',
    check: (profile) => {
      if (profile.issues === 'ca-certificates') return refresh(profile, YEAR);
      const v = profile.ocsp.validityMs;
      return (
        validity(profile, 8 * HOUR, 10 * DAY) ??
        refresh(profile, v < 16 * HOUR ? v / 2 : Math.min(v - 8 * HOUR, 4 * DAY))
      );
    },
  },
  {
    rule: 'SM-03',
    citation: 'S/MIME BR 4.9.13',
    authority: 'cabf-smime',
    severity: 'error',
    issues: 'ca-certificates',
    check: hold,
  },
  {
    rule: 'SM-04',
    citation: 'S/MIME BR 7.2.2',
    authority: 'cabf-smime',
    severity: 'error',
    check: (profile) => reasons(profile, TLS_REASONS),
  },
  { rule: 'SMBR-5.5.2', citation: 'S/MIME BR 5.5.2', authority: 'cabf-smime', severity: 'error', check: retention },
];

export const CODE_SIGNING_LIMITS: readonly Limit[] = [
  {
    rule: 'CS-01',
    citation: 'CSBR 7.2, 4.10.1',
    authority: 'cabf-cs',
    severity: 'error',
    // Signatures outlive their certificate: whoever verifies one later must still learn that it was revoked.
    check: ({ ocsp, crl }) =>
      tooShort('crl.afterExpiry', crl.afterExpiryMs) ?? tooShort('ocsp.afterExpiry', ocsp.afterExpiryMs),
  },
  { rule: 'CS-02', citation: 'CSBR 4.9.7', authority: 'cabf-cs', severity: 'error', check: crlTiming },
  {
    rule: 'CS-02',
    citation: 'CSBR 4.9.7, 4.9.1.1',
    authority: 'cabf-cs',
    severity: 'error',
    check: ({ crl }) => outside('crl.coalesce', crl.coalesceMs, 0, DAY),
  },
  {
    rule: 'CS-03',
    citation: 'CSBR 4.9.10',
    authority: 'cabf-cs',
    severity: 'error',
    check: (profile) =>
      profile.issues === 'ca-certificates'
        ? refresh(profile, YEAR)
        : (validity(profile, 1, 10 * DAY) ?? refresh(profile, 4 * DAY)),
  },
  { rule: 'CSBR-4.9.13', citation: 'CSBR 4.9.13', authority: 'cabf-cs', severity: 'error', check: hold },
  { rule: 'CSBR-5.5.2', citation: 'CSBR 5.5.2', authority: 'cabf-cs', severity: 'error', check: retention },
  {
    rule: 'SJ-6.1.5-b',
    citation: '003 §6.1.5; CSBR 6.1.5.2',
    authority: 'cabf-cs',
    severity: 'error',
    check: ({ responder }) => otherKeyTypes(responder.keyTypes, ['RSA-3072', 'RSA-4096', 'P-256', 'P-384']),
  },
];

function tooShort(field: string, valueMs: number): string | undefined {
  return valueMs >= TEN_YEARS
    ? undefined
    : `${field} = ${formatDuration(valueMs)}: must be at least ${formatDuration(TEN_YEARS)}, ten years after the certificate has ended`;
}
