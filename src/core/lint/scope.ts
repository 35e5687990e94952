/** Which certificates a CRL speaks of, under which URL, and what those who read every CA's CRLs ask for (CCADB, CRLite). */
import { DerCursor } from '../der/reader.ts';
import { findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import { rfc3339 } from '../time.ts';
import type { CrlRule } from './rule.ts';

/** RFC 2459, which first had CRLs of this form, is of January 1999. */
const NOTHING_REVOKED_BEFORE = Date.UTC(1999, 0, 1);

export const SCOPE_RULES: readonly CrlRule[] = [
  {
    id: 'P-11',
    says: 'a partitioned CRL names the URL that it was fetched from, character for character',
    citation: 'CCADB Policy §6.2; RFC 5280 §5.2.5',
    severity: 'error',
    authorities: ['ccadb', 'mozilla'],
    check: ({ idp }, { url }) =>
      url === undefined || idp?.uris === undefined || idp.uris.includes(url)
        ? undefined
        : `distributionPoint is ${idp.uris.join(', ') || 'empty'}, not ${url}`,
  },
  {
    id: 'C-17',
    says: 'the URIs of distributionPoint are URIs in ASCII',
    citation: 'RFC 5280 §4.2.1.6, §5.2.5',
    severity: 'error',
    authorities: ['rfc'],
    check({ idp }) {
      const bad = idp?.uris?.find((uri) => !ABSOLUTE_URI.test(uri));
      return bad === undefined ? undefined : `distributionPoint ${JSON.stringify(bad)} is no URI`;
    },
  },
  {
    id: 'T-37',
    says: 'distributionPoint holds one URI',
    citation: 'CCADB Policy §6.2',
    severity: 'warning',
    authorities: ['ccadb'],
    check: ({ idp }) =>
      idp?.uris !== undefined && idp.uris.length > 1
        ? `distributionPoint holds ${idp.uris.length} URIs; CRLite refuses a CRL that names another listed one (P-21)`
        : undefined,
  },
  {
    id: 'X-03',
    says: 'a partitioned CRL of subscriber certificates alone says onlyContainsUserCerts',
    citation: 'RFC 5280 §5.2.5',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ idp }, { subject }) =>
      subject === 'subscriber' && idp !== undefined && !idp.onlyContainsUserCerts
        ? 'onlyContainsUserCerts is not TRUE'
        : undefined,
  },
  {
    id: '5280-5.2.5',
    says: 'with onlySomeReasons every entry has a reason',
    citation: 'RFC 5280 §5.2.5',
    severity: 'error',
    authorities: ['rfc'],
    entry: ({ reasonCode }, { idp }) =>
      idp?.onlySomeReasons === true && reasonCode === undefined
        ? 'no reason, on a CRL for some reasons only'
        : undefined,
  },
  {
    id: 'T-36',
    says: 'the CRL is complete for its scope, no delta',
    citation: 'RFC 5280 §5.2.4',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ isDelta }) => (isDelta ? 'a delta CRL: browsers ignore it, some clients refuse it' : undefined),
  },
  {
    id: 'C-29',
    says: 'what a URL gives is DER',
    citation: 'RFC 5280 §4.2.1.13',
    severity: 'error',
    authorities: ['rfc'],
    check: (_, { url, form }) => (url !== undefined && form === 'pem' ? 'PEM, not DER' : undefined),
  },
  {
    id: 'C-34',
    says: 'expiredCertsOnCRL is a non-critical GeneralizedTime',
    citation: 'X.509 §9.5.2.8',
    severity: 'error',
    authorities: ['rfc'],
    check({ view }) {
      const expired = findExtension(view.crlExtensions, OID.expiredCertsOnCRL);
      if (expired === undefined) return undefined;
      if (expired.critical) return 'expiredCertsOnCRL is critical';
      const value = new DerCursor(expired.value);
      return value.next(0x18) && value.atEnd && value.length === 15
        ? undefined
        : 'expiredCertsOnCRL is not YYYYMMDDHHMMSSZ';
    },
  },
  {
    id: 'e_crl_revocation_date_too_early',
    says: 'nothing was revoked before there were CRLs of this form (RFC 2459)',
    citation: 'zlint, community rules',
    severity: 'error',
    authorities: ['rfc'],
    entry: ({ revocationDate }) =>
      revocationDate < NOTHING_REVOKED_BEFORE ? `revocationDate ${rfc3339(revocationDate)} is before 1999` : undefined,
  },
  {
    id: 'SM-03',
    says: 'reasonCode is 1, 3, 4, 5, 6 or 9, present and not 6 for CA certificates',
    citation: 'S/MIME BR 7.2.2, 4.9.13',
    severity: 'error',
    authorities: ['cabf-smime'],
    entry({ reasonCode }, _, { subject }) {
      if (reasonCode === undefined)
        return subject === 'ca' ? 'a CA certificate is listed without reasonCode' : undefined;
      if ([1, 3, 4, 5, 9].includes(reasonCode) || (reasonCode === 6 && subject !== 'ca')) return undefined;
      return `reasonCode ${reasonCode} is not permitted`;
    },
  },
  {
    id: 'CS-05',
    says: 'invalidityDate is the same as revocationDate',
    citation: 'Code Signing BR 7.2.2',
    severity: 'error',
    authorities: ['cabf-cs'],
    // A difference of NaN is none: what has no proper form is C-07's and C-25's.
    entry: ({ invalidityDate, revocationDate }) =>
      invalidityDate !== undefined && Math.abs(invalidityDate - revocationDate) > 0
        ? `invalidityDate ${rfc3339(invalidityDate)} is not revocationDate ${rfc3339(revocationDate)}`
        : undefined,
  },
];

/** RFC 3986: a scheme, then nothing but its characters; a percent sign begins two hexadecimal digits. */
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/;
