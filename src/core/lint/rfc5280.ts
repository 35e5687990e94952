/** RFC 5280 §5, for CRLs, and the sanity that public CRL linters add to it. */
import { findExtension } from '../der/document.ts';
import { dottedOid, OID } from '../der/oid.ts';
import { DerCursor, equalAt } from '../der/reader.ts';
import { MAX_CRL_NUMBER } from '../crl/crl.ts';
import { reasonName } from '../reason.ts';
import { rfc3339 } from '../time.ts';
import type { CrlRule } from './rule.ts';

export const RFC5280_RULES: readonly CrlRule[] = [
  {
    id: 'C-01',
    citation: 'RFC 5280 §5.1.2.1',
    severity: 'error',
    authority: 'rfc',
    check: ({ view }) => (view.version === 1 ? 'version is absent, so v1; it must be v2' : undefined),
  },
  {
    id: 'C-02',
    citation: 'RFC 5280 §5.1.2.5',
    severity: 'error',
    authority: 'rfc',
    check: ({ view: { thisUpdate, nextUpdate } }, { nowMs }) => {
      if (nextUpdate === undefined) return 'nextUpdate is absent';
      if (nextUpdate < thisUpdate)
        return `nextUpdate ${rfc3339(nextUpdate)} is before thisUpdate ${rfc3339(thisUpdate)}`;
      return nowMs !== undefined && thisUpdate > nowMs + 1000
        ? `thisUpdate ${rfc3339(thisUpdate)} is in the future`
        : undefined;
    },
  },
  {
    id: 'C-03',
    citation: 'RFC 5280 §5.2.3',
    severity: 'error',
    authority: 'rfc',
    check({ view }, { expected }) {
      const extension = findExtension(view.crlExtensions, OID.cRLNumber);
      if (extension === undefined) return 'cRLNumber is absent';
      if (extension.critical) return 'cRLNumber is critical';
      if (view.number === undefined) return 'cRLNumber is no INTEGER';
      if (view.number < 0n || view.number > MAX_CRL_NUMBER)
        return `cRLNumber ${view.number} is not within 0 to 2^159 - 1`;
      return expected === undefined || view.number === expected.number
        ? undefined
        : `cRLNumber ${view.number} is not the reserved ${expected.number}`;
    },
  },
  {
    id: 'C-04',
    citation: 'RFC 5280 §5.2.1',
    severity: 'error',
    authority: 'rfc',
    check({ view }, { issuer }) {
      const extension = findExtension(view.crlExtensions, OID.authorityKeyIdentifier);
      if (extension === undefined) return 'authorityKeyIdentifier is absent';
      if (extension.critical) return 'authorityKeyIdentifier is critical';
      if (view.keyIdentifier === undefined) return 'authorityKeyIdentifier has no keyIdentifier';
      return issuer === undefined || same(view.keyIdentifier, issuer.keyIdentifier)
        ? undefined
        : `keyIdentifier ${hex(view.keyIdentifier)} is not the CA's ${hex(issuer.keyIdentifier)}`;
    },
  },
  {
    id: 'C-05',
    citation: 'RFC 5280 §5.1.1.2',
    severity: 'error',
    authority: 'rfc',
    check: ({ view }) =>
      same(view.signature, view.signatureAlgorithm) ? undefined : 'signature and signatureAlgorithm differ',
  },
  {
    id: 'C-06',
    citation: 'RFC 5280 §5.1.2.3',
    severity: 'error',
    authority: 'rfc',
    check({ view }, { issuer }) {
      if (view.issuer.length <= 2) return 'the issuer is empty';
      return issuer === undefined || same(view.issuer, issuer.name)
        ? undefined
        : "the issuer is not octet for octet the CA certificate's subject";
    },
  },
  {
    id: 'C-07',
    citation: 'RFC 5280 §5.1.2.4, §4.1.2.5',
    severity: 'error',
    authority: 'rfc',
    check({ view }) {
      const bad = view.deviations.find(({ kind }) => kind === 'time-form' || kind === 'time-type');
      return (
        bad &&
        (bad.kind === 'time-form'
          ? `${bad.field} is not an instant in UTC with seconds`
          : `${bad.field} before 2050 is not UTCTime`)
      );
    },
    entry({ deviations }) {
      const bad = deviations.find(
        ({ kind, field }) => (kind === 'time-form' || kind === 'time-type') && field === 'revocationDate',
      );
      return (
        bad &&
        (bad.kind === 'time-form'
          ? 'revocationDate is not an instant in UTC with seconds'
          : 'revocationDate before 2050 is not UTCTime')
      );
    },
  },
  {
    id: 'C-08',
    citation: 'RFC 5280 §5.1.2.5',
    severity: 'warning',
    authority: 'rfc',
    check: ({ view: { nextUpdate } }, { previous }) =>
      previous !== undefined && nextUpdate !== undefined && nextUpdate < previous.nextUpdate
        ? `nextUpdate ${rfc3339(nextUpdate)} is before the previous CRL's ${rfc3339(previous.nextUpdate)}`
        : undefined,
  },
  {
    id: 'C-09',
    citation: 'RFC 5280 §5.1.2.6',
    severity: 'error',
    authority: 'rfc',
    check: ({ view }) =>
      view.deviations.some(({ kind, field }) => kind === 'empty-sequence' && field === 'revokedCertificates')
        ? 'revokedCertificates is empty; it must be absent'
        : undefined,
  },
  {
    id: 'C-10',
    citation: 'RFC 5280 §5.2.3',
    severity: 'error',
    authority: 'rfc',
    check({ view: { number, thisUpdate } }, { previous }) {
      if (previous === undefined || number === undefined) return undefined;
      if (number <= previous.number) return `cRLNumber ${number} does not follow the previous CRL's ${previous.number}`;
      return thisUpdate < previous.thisUpdate
        ? `thisUpdate ${rfc3339(thisUpdate)} is before the previous CRL's`
        : undefined;
    },
  },
  {
    id: 'C-12',
    citation: 'RFC 5280 §5.2.4',
    severity: 'error',
    authority: 'rfc',
    check({ view }) {
      const delta = findExtension(view.crlExtensions, OID.deltaCRLIndicator);
      return delta !== undefined && !delta.critical ? 'deltaCRLIndicator is not critical' : undefined;
    },
  },
  {
    id: 'C-15',
    citation: 'RFC 5280 §5.2.6',
    severity: 'error',
    authority: 'rfc',
    check({ view, isDelta }) {
      const freshest = findExtension(view.crlExtensions, OID.freshestCRL);
      if (freshest?.critical === true) return 'freshestCRL is critical';
      return freshest !== undefined && isDelta ? 'freshestCRL stands in a delta CRL' : undefined;
    },
  },
  {
    id: 'C-16',
    citation: 'RFC 5280 §5.2.5',
    severity: 'error',
    authority: 'rfc',
    check({ view, idp }) {
      const extension = findExtension(view.crlExtensions, OID.issuingDistributionPoint);
      if (extension === undefined) return undefined;
      if (!extension.critical) return 'issuingDistributionPoint is not critical';
      if (idp === undefined) return 'issuingDistributionPoint cannot be read';
      return idp.empty ? 'issuingDistributionPoint is an empty SEQUENCE' : undefined;
    },
  },
  {
    id: 'C-19',
    citation: 'RFC 5280 §5.2.5',
    severity: 'error',
    authority: 'rfc',
    check({ idp }) {
      if (idp === undefined) return undefined;
      const set = [idp.onlyContainsUserCerts, idp.onlyContainsCACerts, idp.onlyContainsAttributeCerts].filter(
        Boolean,
      ).length;
      return set > 1
        ? 'more than one of onlyContainsUserCerts, onlyContainsCACerts, onlyContainsAttributeCerts is TRUE'
        : undefined;
    },
  },
  {
    id: 'C-20',
    citation: 'RFC 5280 §5.2.5',
    severity: 'warning',
    authority: 'rfc',
    check: ({ idp }) => (idp?.indirectCRL === true ? 'indirectCRL is TRUE; most clients do not support it' : undefined),
  },
  {
    id: 'C-23',
    citation: 'RFC 5280 §5.3.1',
    severity: 'error',
    authority: 'rfc',
    entry({ reasonCode, deviations }, { isDelta }) {
      if (reasonCode === undefined) return undefined;
      if (deviations.some(({ kind, field }) => kind === 'critical' && field === 'reasonCode'))
        return 'reasonCode is critical';
      if (reasonCode === 0) return 'reasonCode is unspecified(0); it must be absent';
      if (reasonName(reasonCode) === undefined) return `reasonCode ${reasonCode} does not exist`;
      return reasonCode === 8 && !isDelta ? 'removeFromCRL(8) stands in a CRL that is no delta' : undefined;
    },
  },
  {
    id: 'C-25',
    citation: 'RFC 5280 §5.3.2',
    severity: 'error',
    authority: 'rfc',
    entry({ deviations }) {
      const bad = deviations.find(({ field }) => field === 'invalidityDate');
      return bad && (bad.kind === 'critical' ? 'invalidityDate is critical' : 'invalidityDate is not YYYYMMDDHHMMSSZ');
    },
  },
  {
    id: 'C-26',
    citation: 'RFC 5280 §5.3.3',
    severity: 'error',
    authority: 'rfc',
    entry({ otherExtensions }, { idp }) {
      if (otherExtensions.length === 0) return undefined;
      const issuer = findExtension(otherExtensions, OID.certificateIssuer);
      if (issuer === undefined) return undefined;
      if (!issuer.critical) return 'certificateIssuer is not critical';
      return idp?.indirectCRL === true ? undefined : 'certificateIssuer stands in a CRL that is not indirect';
    },
  },
  {
    id: 'C-27',
    citation: 'RFC 5280 §5.2.7',
    severity: 'error',
    authority: 'rfc',
    check: ({ view }) =>
      findExtension(view.crlExtensions, OID.authorityInfoAccess)?.critical === true
        ? 'authorityInfoAccess is critical'
        : undefined,
  },
  {
    id: 'C-28',
    citation: 'RFC 5280 §4.1.2.2',
    severity: 'error',
    authority: 'rfc',
    entry({ serial, serialOctets }) {
      if (serial === undefined) return `serial ${hex(serialOctets)} is negative or over 20 octets`;
      return serial === '00' ? 'the serial is zero' : undefined;
    },
  },
  {
    id: 'C-31',
    citation: 'RFC 5280 App. B, §4.2; X.690 §11',
    severity: 'error',
    authority: 'rfc',
    check: ({ view, idp }) => notDer(view.deviations) ?? (idp && (notDer(idp.deviations) ?? reasonFlags(view))),
    entry: ({ deviations }) => (deviations.length === 0 ? undefined : notDer(deviations)),
  },
  {
    // Without it a client skips an extension that changes what the CRL means.
    id: '5280-5.2',
    citation: 'RFC 5280 §5.2',
    severity: 'error',
    authority: 'rfc',
    check({ view }) {
      const unknown = view.crlExtensions.find(
        ({ oid, critical }) => critical && !CRITICAL.some((known) => same(oid, known)),
      );
      return unknown && `${dottedOid(unknown.oid)} is critical and unknown; a client must refuse this CRL`;
    },
    entry({ otherExtensions }) {
      if (otherExtensions.length === 0) return undefined;
      const unknown = otherExtensions.find(({ oid, critical }) => critical && !same(oid, OID.certificateIssuer));
      return unknown && `${dottedOid(unknown.oid)} is critical and unknown; a client must refuse this CRL`;
    },
  },
  {
    id: 'T-32',
    citation: 'RFC 5280 §5.3.2; BR 7.2.2',
    severity: 'error',
    authority: 'rfc',
    entry: ({ revocationDate }, { view }) =>
      revocationDate > view.thisUpdate
        ? `revocationDate ${rfc3339(revocationDate)} is after thisUpdate ${rfc3339(view.thisUpdate)}`
        : undefined,
  },
];

function notDer(deviations: readonly { readonly kind: string; readonly field: string }[]): string | undefined {
  for (const { kind, field } of deviations) {
    if (kind === 'boolean') return `${field}: a TRUE that is not FF`;
    if (kind === 'default-encoded') return `${field}: a FALSE written out`;
    if (kind === 'duplicate-extension') return `${field} holds an extension twice`;
    if (kind === 'empty-sequence' && field !== 'revokedCertificates') return `${field} is empty; it must be absent`;
  }
  return undefined;
}

/** X.690 §11.2.2: onlySomeReasons is a named bit list, so its last bit is set. */
function reasonFlags(view: Parameters<NonNullable<CrlRule['check']>>[0]['view']): string | undefined {
  const value = findExtension(view.crlExtensions, OID.issuingDistributionPoint)?.value ?? new Uint8Array();
  const cursor = new DerCursor(value);
  cursor.enter(0x30);
  while (!cursor.atEnd && cursor.any()) {
    if (value[cursor.header] !== 0x83) continue;
    const unused = value[cursor.start] ?? 0;
    const last = value[cursor.stop - 1] ?? 0;
    if (cursor.length < 2 || unused > 7 || ((last >> unused) & 1) === 0) return 'onlySomeReasons ends in zero bits';
  }
  return undefined;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return equalAt(a, 0, a.length, b);
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.subarray(0, 32)).toString('hex');
}

const CRITICAL = [OID.issuingDistributionPoint, OID.deltaCRLIndicator];
