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
    says: 'the version is v2',
    citation: 'RFC 5280 §5.1.2.1',
    severity: 'error',
    authorities: ['rfc'],
    check: ({ view }) => (view.version === 1 ? 'version is absent, so v1; it must be v2' : undefined),
  },
  {
    id: 'C-02',
    says: 'nextUpdate is present and not before thisUpdate, which is not in the future',
    citation: 'RFC 5280 §5.1.2.5',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'cRLNumber is present, non-critical and within 0 to 2^159 - 1',
    citation: 'RFC 5280 §5.2.3',
    severity: 'error',
    authorities: ['rfc'],
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
    says: "authorityKeyIdentifier is present, non-critical, and the CA's; authorityCertIssuer and authorityCertSerialNumber come together",
    citation: 'RFC 5280 §5.2.1',
    severity: 'error',
    authorities: ['rfc'],
    check({ view }, { issuer }) {
      const extension = findExtension(view.crlExtensions, OID.authorityKeyIdentifier);
      if (extension === undefined) return 'authorityKeyIdentifier is absent';
      if (extension.critical) return 'authorityKeyIdentifier is critical';
      if (view.keyIdentifier === undefined) return 'authorityKeyIdentifier has no keyIdentifier';
      if (hasField(extension.value, 0xa1) !== hasField(extension.value, 0x82))
        return 'authorityCertIssuer and authorityCertSerialNumber do not come together';
      return issuer === undefined || same(view.keyIdentifier, issuer.keyIdentifier)
        ? undefined
        : `keyIdentifier ${hex(view.keyIdentifier)} is not the CA's ${hex(issuer.keyIdentifier)}`;
    },
  },
  {
    id: 'C-05',
    says: 'signature and signatureAlgorithm are the same octets',
    citation: 'RFC 5280 §5.1.1.2',
    severity: 'error',
    authorities: ['rfc'],
    check: ({ view }) =>
      same(view.signature, view.signatureAlgorithm) ? undefined : 'signature and signatureAlgorithm differ',
  },
  {
    id: 'C-06',
    says: "the issuer is not empty, and octet for octet the CA's subject",
    citation: 'RFC 5280 §5.1.2.3',
    severity: 'error',
    authorities: ['rfc'],
    check({ view }, { issuer }) {
      if (view.issuer.length <= 2) return 'the issuer is empty';
      return issuer === undefined || same(view.issuer, issuer.name)
        ? undefined
        : "the issuer is not octet for octet the CA certificate's subject";
    },
  },
  {
    id: 'C-07',
    says: 'times are UTCTime to 2049 and GeneralizedTime from 2050, in UTC with seconds',
    citation: 'RFC 5280 §5.1.2.4, §4.1.2.5',
    severity: 'error',
    authorities: ['rfc'],
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
    says: "nextUpdate is not before the previous CRL's",
    citation: 'RFC 5280 §5.1.2.5',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ view: { nextUpdate } }, { previous }) =>
      previous !== undefined && nextUpdate !== undefined && nextUpdate < previous.nextUpdate
        ? `nextUpdate ${rfc3339(nextUpdate)} is before the previous CRL's ${rfc3339(previous.nextUpdate)}`
        : undefined,
  },
  {
    id: 'C-09',
    says: 'revokedCertificates is absent when nothing is revoked',
    citation: 'RFC 5280 §5.1.2.6',
    severity: 'error',
    authorities: ['rfc'],
    check: ({ view }) =>
      view.deviations.some(({ kind, field }) => kind === 'empty-sequence' && field === 'revokedCertificates')
        ? 'revokedCertificates is empty; it must be absent'
        : undefined,
  },
  {
    id: 'C-10',
    says: 'cRLNumber and thisUpdate go forward',
    citation: 'RFC 5280 §5.2.3',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'deltaCRLIndicator is critical, and an INTEGER not over cRLNumber',
    citation: 'RFC 5280 §5.2.4',
    severity: 'error',
    authorities: ['rfc'],
    check({ view }) {
      const delta = findExtension(view.crlExtensions, OID.deltaCRLIndicator);
      if (delta === undefined) return undefined;
      if (!delta.critical) return 'deltaCRLIndicator is not critical';
      const base = new DerCursor(delta.value);
      if (!base.next(0x02) || !base.atEnd || base.length === 0) return 'deltaCRLIndicator is no INTEGER';
      const number = BigInt(`0x${Buffer.from(base.content()).toString('hex')}`);
      return view.number !== undefined && number > view.number
        ? `BaseCRLNumber ${number} is over cRLNumber ${view.number}`
        : undefined;
    },
  },
  {
    id: 'C-15',
    says: 'freshestCRL is non-critical, not in a delta, and has neither reasons nor cRLIssuer',
    citation: 'RFC 5280 §5.2.6',
    severity: 'error',
    authorities: ['rfc'],
    check({ view, isDelta }) {
      const freshest = findExtension(view.crlExtensions, OID.freshestCRL);
      if (freshest === undefined) return undefined;
      if (freshest.critical) return 'freshestCRL is critical';
      if (isDelta) return 'freshestCRL stands in a delta CRL';
      const points = elementsOf(freshest.value);
      if (points === undefined || points.length === 0) return 'freshestCRL names no point';
      return points.some((point) => hasField(point, 0x81) || hasField(point, 0xa2))
        ? 'freshestCRL has reasons or cRLIssuer'
        : undefined;
    },
  },
  {
    id: 'C-16',
    says: 'issuingDistributionPoint is critical and not empty',
    citation: 'RFC 5280 §5.2.5',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'at most one of the three onlyContains flags is TRUE',
    citation: 'RFC 5280 §5.2.5',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'indirectCRL is FALSE',
    citation: 'RFC 5280 §5.2.5',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ idp }) => (idp?.indirectCRL === true ? 'indirectCRL is TRUE; most clients do not support it' : undefined),
  },
  {
    id: 'C-23',
    says: 'reasonCode is non-critical, exists, is not 0, and is not 8 in a full CRL',
    citation: 'RFC 5280 §5.3.1',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'invalidityDate is a non-critical GeneralizedTime',
    citation: 'RFC 5280 §5.3.2',
    severity: 'error',
    authorities: ['rfc'],
    entry({ deviations }) {
      const bad = deviations.find(({ field }) => field === 'invalidityDate');
      return bad && (bad.kind === 'critical' ? 'invalidityDate is critical' : 'invalidityDate is not YYYYMMDDHHMMSSZ');
    },
  },
  {
    id: 'C-26',
    says: 'certificateIssuer is critical, and on indirect CRLs alone',
    citation: 'RFC 5280 §5.3.3',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'authorityInfoAccess is non-critical and holds caIssuers alone',
    citation: 'RFC 5280 §5.2.7',
    severity: 'error',
    authorities: ['rfc'],
    check({ view }) {
      const access = findExtension(view.crlExtensions, OID.authorityInfoAccess);
      if (access === undefined) return undefined;
      if (access.critical) return 'authorityInfoAccess is critical';
      const descriptions = elementsOf(access.value);
      if (descriptions === undefined || descriptions.length === 0) return 'authorityInfoAccess is empty';
      return descriptions.every(isCaIssuers) ? undefined : 'authorityInfoAccess holds another method than caIssuers';
    },
  },
  {
    id: 'C-28',
    says: 'serials are positive and of 20 octets at most',
    citation: 'RFC 5280 §4.1.2.2',
    severity: 'error',
    authorities: ['rfc'],
    entry({ serial, serialOctets }) {
      if (serial === undefined) return `serial ${hex(serialOctets)} is negative or over 20 octets`;
      return serial === '00' ? 'the serial is zero' : undefined;
    },
  },
  {
    id: 'C-31',
    says: 'DER: no DEFAULT written out, TRUE is FF, no empty list, no extension twice, no trailing zero bits',
    citation: 'RFC 5280 App. B, §4.2; X.690 §11',
    severity: 'error',
    authorities: ['rfc'],
    check: ({ view, idp }) => notDer(view.deviations) ?? (idp && (notDer(idp.deviations) ?? reasonFlags(view))),
    entry: ({ deviations }) => (deviations.length === 0 ? undefined : notDer(deviations)),
  },
  {
    // Without it a client skips an extension that changes what the CRL means.
    id: '5280-5.2',
    says: 'no extension that clients do not know is critical',
    citation: 'RFC 5280 §5.2',
    severity: 'error',
    authorities: ['rfc'],
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
    says: 'revocationDate is not after thisUpdate',
    citation: 'RFC 5280 §5.3.2; BR 7.2.2',
    severity: 'error',
    authorities: ['rfc'],
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

/** The elements of a SEQUENCE, DER each; undefined when it is none. */
function elementsOf(value: Uint8Array): readonly Uint8Array[] | undefined {
  const cursor = new DerCursor(value);
  const elements: Uint8Array[] = [];
  if (cursor.enter(0x30) < 0) return undefined;
  while (!cursor.atEnd) {
    if (!cursor.any()) return undefined;
    elements.push(cursor.element());
  }
  return elements;
}

/** Whether a SEQUENCE has a field with this tag. */
function hasField(sequence: Uint8Array, tag: number): boolean {
  return elementsOf(sequence)?.some((element) => element[0] === tag) === true;
}

function isCaIssuers(description: Uint8Array): boolean {
  const cursor = new DerCursor(description);
  return cursor.enter(0x30) >= 0 && cursor.next(0x06) && cursor.contentIs(OID.caIssuers);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return equalAt(a, 0, a.length, b);
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.subarray(0, 32)).toString('hex');
}

const CRITICAL = [OID.issuingDistributionPoint, OID.deltaCRLIndicator];
