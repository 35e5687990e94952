/**
 * The CA/Browser Forum's Baseline Requirements (TLS BR 2.3.1), the root programs that go further, and the two CP/CPS
 * documents whose own text repeats or tightens them.
 */
import type { KeyObject } from 'node:crypto';
import { findExtension, type ExtensionView } from '../der/document.ts';
import { dottedOid, OID } from '../der/oid.ts';
import { DerCursor, equalAt } from '../der/reader.ts';
import { certificateValidity } from './certificate-validity.ts';
import { DAY, formatDuration, HOUR, rfc3339 } from '../time.ts';
import { inclusiveMs, type CrlRule, type LintedCrl, type ResponseContext, type ResponseRule } from './rule.ts';

/** BR 4.9.9, 7.2: "10 days", the last second included (T-01). */
const TEN_DAYS_MS = 10 * DAY;
/** BR 7.2: "12 months", counted as linters do. */
const TWELVE_MONTHS_MS = 365 * DAY;
/** Microsoft 3.2.2. */
const SEVEN_DAYS_MS = 7 * DAY;
const EIGHT_HOURS_MS = 8 * HOUR;
/** Microsoft 3.1.10: "10 MB". */
const LARGE_CRL_OCTETS = 10_000_000;

export const CABF_RESPONSE_RULES: readonly ResponseRule[] = [
  {
    id: 'B-19',
    says: '8 hours to 10 days from thisUpdate to nextUpdate, both ends counted; 12 months about CA certificates',
    citation: 'BR 4.9.9',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime'],
    check: (basic, context) =>
      context.subject === 'ca'
        ? checkValidity(basic, 1, TWELVE_MONTHS_MS)
        : checkValidity(basic, EIGHT_HOURS_MS, TEN_DAYS_MS),
  },
  {
    id: 'CT-4.9.10-b',
    says: '8 hours to 10 days from thisUpdate to nextUpdate',
    citation: 'Cybertrust CP/CPS §4.9.10',
    severity: 'error',
    authorities: ['cybertrust'],
    check: (basic, context) =>
      context.subject === 'ca' ? undefined : checkValidity(basic, EIGHT_HOURS_MS, TEN_DAYS_MS),
  },
  {
    id: 'P-16',
    says: '8 hours to 7 days from thisUpdate to nextUpdate',
    citation: 'Microsoft Root Program 3.2.2',
    severity: 'error',
    authorities: ['microsoft'],
    check: (basic, context) =>
      context.subject === 'ca' ? undefined : checkValidity(basic, EIGHT_HOURS_MS, SEVEN_DAYS_MS),
  },
  {
    id: 'profile-validity',
    says: 'not valid for longer, or shorter, than the profile says',
    citation: "the profile's own limits",
    severity: 'error',
    authorities: ['rfc'],
    check: (basic, { validity }) =>
      validity === undefined ? undefined : checkValidity(basic, validity.minMs, validity.maxMs),
  },
  {
    id: 'B-33',
    says: 'a revoked CA certificate has a revocationReason; reasons are 1, 3, 4, 5, 9',
    citation: 'BR 7.3, 7.2.2',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla'],
    check: (basic, { subject }) => checkReasons(basic, subject, (code) => isPermittedFor(subject, code)),
  },
  {
    id: 'CT-7.3-b',
    says: 'a revoked CA certificate has a revocationReason; reasons are 1, 3, 4, 5, 9',
    citation: 'Cybertrust CP/CPS §7.3, §7.2',
    severity: 'error',
    authorities: ['cybertrust'],
    check: (basic, { subject }) => checkReasons(basic, subject, isPermittedReason),
  },
  {
    id: 'SM-05',
    says: 'a revoked CA certificate has a revocationReason; no reason is 0',
    citation: 'S/MIME BR 7.3',
    severity: 'error',
    authorities: ['cabf-smime'],
    check({ responses }, { subject }) {
      const revoked = responses.filter(({ certStatus }) => certStatus === 'revoked');
      if (subject === 'ca' && revoked.some(({ revocationReason }) => revocationReason === undefined))
        return 'a revoked CA certificate without revocationReason';
      return revoked.some(({ revocationReason }) => revocationReason === 0) ? 'revocationReason is 0' : undefined;
    },
  },
  {
    id: 'CS-03',
    says: 'at most 10 days from thisUpdate to nextUpdate, both ends counted; 12 months about CA certificates',
    citation: 'Code Signing BR 4.9.10',
    severity: 'error',
    authorities: ['cabf-cs'],
    check: (basic, { subject }) => checkValidity(basic, 1, subject === 'ca' ? TWELVE_MONTHS_MS : TEN_DAYS_MS),
  },
  {
    id: 'B-34',
    says: 'reasonCode is not in singleExtensions',
    citation: 'BR 7.3.2',
    severity: 'error',
    authorities: ['cabf-tls', 'cabf-smime'],
    check: ({ responses }) =>
      responses.some(({ singleExtensions }) => findExtension(singleExtensions, OID.reasonCode) !== undefined)
        ? 'reasonCode stands in singleExtensions; it belongs into RevokedInfo'
        : undefined,
  },
  {
    id: 'O-15',
    says: 'extended-revoke is not used',
    citation: 'BR 7.3, 4.9.13; RFC 6960 §4.4.8',
    severity: 'error',
    authorities: ['cabf-tls'],
    check: ({ responseExtensions }) =>
      findExtension(responseExtensions, OID.extendedRevoke) === undefined
        ? undefined
        : 'extended-revoke answers with certificateHold for certificates never issued, which is not permitted (T-27)',
  },
  {
    id: 'B-35',
    says: 'the signature algorithm is one of the permitted encodings, and fits the key',
    citation: 'BR 7.1.3.2',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime', 'cabf-cs'],
    check: ({ signatureAlgorithm }) => checkAlgorithm(signatureAlgorithm),
  },
  {
    id: 'R-10',
    says: "nextUpdate is not after the end of the responder's certificate",
    citation: 'Mozilla Root Store Policy §6',
    severity: 'error',
    authorities: ['rfc'],
    check({ responses, certs }, { responder }) {
      const notAfter = responder?.notAfter ?? earliestEnd(certs);
      const latest = Math.max(...responses.map(({ nextUpdate }) => nextUpdate ?? 0));
      return latest > notAfter
        ? `nextUpdate ${rfc3339(latest)} is after the responder certificate's end ${rfc3339(notAfter)}`
        : undefined;
    },
  },
  {
    id: 'R-11',
    says: "producedAt is not before the start of the responder's certificate",
    citation: 'RFC 6960 §4.2.2.2',
    severity: 'error',
    authorities: ['rfc'],
    check({ producedAt }, { responder }) {
      return responder !== undefined && producedAt < responder.notBefore
        ? `producedAt ${rfc3339(producedAt)} is before the responder certificate's start ${rfc3339(responder.notBefore)}`
        : undefined;
    },
  },
];

export const CABF_CRL_RULES: readonly CrlRule[] = [
  {
    id: 'B-24',
    says: 'at most 10 days from thisUpdate to nextUpdate, both ends counted; 12 months for CA certificates',
    citation: 'BR 7.2',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime', 'cabf-cs'],
    check: (crl, { subject }) => checkCrlValidity(crl, subject === 'ca' ? TWELVE_MONTHS_MS : TEN_DAYS_MS),
  },
  {
    id: 'CT-4.9.7-c',
    says: 'at most 10 days from thisUpdate to nextUpdate',
    citation: 'Cybertrust CP/CPS §4.9.7',
    severity: 'error',
    authorities: ['cybertrust'],
    check: (crl) => checkCrlValidity(crl, TEN_DAYS_MS),
  },
  {
    id: 'profile-validity',
    says: 'not valid for longer than the profile says',
    citation: "the profile's own limits",
    severity: 'error',
    authorities: ['rfc'],
    check: (crl, { maxValidityMs }) => (maxValidityMs === undefined ? undefined : checkCrlValidity(crl, maxValidityMs)),
  },
  {
    id: 'B-27',
    says: 'authorityKeyIdentifier holds a keyIdentifier and nothing else',
    citation: 'BR 7.2.2',
    severity: 'error',
    authorities: ['cabf-tls'],
    check({ view }) {
      const aki = findExtension(view.crlExtensions, OID.authorityKeyIdentifier);
      return aki !== undefined && !isKeyIdentifierOnly(aki)
        ? 'authorityKeyIdentifier holds more than a keyIdentifier'
        : undefined;
    },
  },
  {
    id: 'B-27-other',
    says: 'there is no other extension than authorityKeyIdentifier, cRLNumber and issuingDistributionPoint',
    citation: 'BR 7.2.2',
    severity: 'warning',
    authorities: ['cabf-tls'],
    check({ view }) {
      const other = view.crlExtensions.find(
        ({ oid }) => !LISTED_EXTENSIONS.some((listed) => equalAt(oid, 0, oid.length, listed)),
      );
      return other && `the CRL extension ${dottedOid(other.oid)} is not recommended`;
    },
  },
  {
    id: 'B-30',
    says: 'reasonCode is 1, 3, 4, 5 or 9, and present for CA certificates',
    citation: 'BR 7.2.2, 4.9.13',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla'],
    entry: ({ reasonCode }, _, { subject }) => {
      if (reasonCode === undefined)
        return subject === 'ca' ? 'a CA certificate is listed without reasonCode' : undefined;
      if (isPermittedFor(subject, reasonCode)) return undefined;
      return `reasonCode ${reasonCode} is none of 1, 3, 4, 5, 9`;
    },
  },
  {
    id: 'C-24',
    says: 'an entry has no other extension than reasonCode',
    citation: 'BR 7.2.2; RFC 5280 §5.3',
    severity: 'notice',
    authorities: ['cabf-tls'],
    entry: ({ invalidityDate, otherExtensions }) =>
      invalidityDate !== undefined || otherExtensions.length > 0
        ? 'an entry extension other than reasonCode is not recommended'
        : undefined,
  },
  {
    id: 'B-32',
    says: 'a partitioned CRL names an http URI and nothing else, and is not indirect',
    citation: 'BR 7.2.2.1',
    severity: 'error',
    authorities: ['cabf-tls'],
    check({ idp }, { subject }) {
      if (idp === undefined) return undefined;
      if (idp.indirectCRL || idp.onlyContainsAttributeCerts)
        return 'indirectCRL and onlyContainsAttributeCerts must be FALSE';
      if (idp.otherNames) return 'distributionPoint holds a name that is no URI';
      // Only a CRL of CA certificates, told apart by onlyContainsCACerts, may do without a URI (BR 7.2.2.1).
      if (idp.uris === undefined && !(subject === 'ca' && idp.onlyContainsCACerts))
        return 'the partitioned CRL has no distributionPoint';
      const other = idp.uris?.find((uri) => !uri.startsWith('http://'));
      if (other !== undefined) return `distributionPoint ${other} is not an http URI`;
      return idp.uris?.length === 0 ? 'fullName is empty' : undefined;
    },
  },
  {
    id: 'C-21',
    says: 'onlySomeReasons is not used',
    citation: 'BR 7.2.2.1; RFC 5280 §5.2.5',
    severity: 'warning',
    authorities: ['cabf-tls'],
    check: ({ idp }) => (idp?.onlySomeReasons === true ? 'onlySomeReasons is not recommended' : undefined),
  },
  {
    id: 'B-35',
    says: 'the signature algorithm is one of the permitted encodings, and fits the key',
    citation: 'BR 7.1.3.2',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime', 'cabf-cs'],
    check: ({ view }, { ca }) =>
      checkAlgorithm(view.signatureAlgorithm) ?? (ca && checkKey(view.signatureAlgorithm, ca.publicKey)),
  },
  {
    id: 'P-17',
    says: 'the file is below 10 MB',
    citation: 'Microsoft Root Program 3.1.10, 3.2.3',
    severity: 'warning',
    authorities: ['microsoft'],
    check: ({ view }) =>
      view.octets >= LARGE_CRL_OCTETS ? `${view.octets} octets; without OCSP a CRL should be below 10 MB` : undefined,
  },
  {
    id: 'CT-B-CRL',
    says: 'full and complete, sha256WithRSAEncryption, and no extension beside the profile',
    citation: 'Cybertrust CP/CPS App. B',
    severity: 'error',
    authorities: ['cybertrust'],
    check({ view, idp }) {
      if (idp !== undefined) return 'issuingDistributionPoint is present; the CRL is full and complete (CT-B-CRL-8)';
      const other = view.crlExtensions.find(
        ({ oid }) => !LISTED_EXTENSIONS.some((listed) => equalAt(oid, 0, oid.length, listed)),
      );
      if (other) return `${dottedOid(other.oid)} is not in the profile (CT-B-CRL-8)`;
      return equalAt(view.signature, 0, view.signature.length, SIGNATURES[0] as Buffer)
        ? undefined
        : 'the signature is not sha256WithRSAEncryption with NULL (CT-B-CRL-2)';
    },
    entry({ reasonCode, invalidityDate, revocationDate, otherExtensions }) {
      if (reasonCode !== undefined && !isPermittedReason(reasonCode))
        return `reasonCode ${reasonCode} is none of 1, 3, 4, 5, 9 (CT-B-CRL-12)`;
      if (invalidityDate !== undefined && invalidityDate !== revocationDate)
        return 'invalidityDate is not revocationDate (CT-B-CRL-11)';
      return otherExtensions.length > 0 ? 'an entry extension is not in the profile' : undefined;
    },
  },
];

/** CT-7.2-c, BR 7.2.2: and unspecified, which is expressed by absence. */
function isPermittedReason(code: number): boolean {
  return code === 1 || code === 3 || code === 4 || code === 5 || code === 9;
}

/**
 * As linters read it: of a CA certificate cACompromise too (T-28). One answer for CRL and OCSP, or the one says what the other may not
 * (P5, BR 7.3: the reasons are those of the CRL).
 */
function isPermittedFor(subject: ResponseContext['subject'], code: number): boolean {
  return isPermittedReason(code) || (subject === 'ca' && code === 2);
}

function checkReasons(
  { responses }: Parameters<ResponseRule['check']>[0],
  subject: ResponseContext['subject'],
  isPermitted: (code: number) => boolean,
): string | undefined {
  for (const { certStatus, revocationReason } of responses) {
    if (certStatus !== 'revoked') continue;
    if (revocationReason === undefined) {
      if (subject === 'ca') return 'a revoked CA certificate without revocationReason';
    } else if (!isPermitted(revocationReason)) {
      return `revocationReason ${revocationReason} is none of 1, 3, 4, 5, 9`;
    }
  }
  return undefined;
}

function checkValidity(
  { responses }: Parameters<ResponseRule['check']>[0],
  minMs: number,
  maxMs: number,
): string | undefined {
  for (const { thisUpdate, nextUpdate } of responses) {
    if (nextUpdate === undefined) continue; // L-13 says so
    const v = inclusiveMs(thisUpdate, nextUpdate);
    if (v < minMs || v > maxMs)
      return `valid for ${formatDuration(v)}, the last second included; ${formatDuration(minMs)} to ${formatDuration(maxMs)} are allowed`;
  }
  return undefined;
}

function checkCrlValidity({ view: { thisUpdate, nextUpdate } }: LintedCrl, maxMs: number): string | undefined {
  if (nextUpdate === undefined) return undefined; // C-02 says so
  const v = inclusiveMs(thisUpdate, nextUpdate);
  return v > maxMs
    ? `valid for ${formatDuration(v)}, the last second included; ${formatDuration(maxMs)} are allowed`
    : undefined;
}

function checkAlgorithm(identifier: Uint8Array): string | undefined {
  if (isPermittedAlgorithm(identifier)) return undefined;
  return `the signature algorithm ${Buffer.from(identifier.subarray(0, 80)).toString('hex')} is not one of the permitted encodings`;
}

/** BR 7.1.3.2. @param identifier DER of an AlgorithmIdentifier. */
export function isPermittedAlgorithm(identifier: Uint8Array): boolean {
  return SIGNATURES.some((allowed) => equalAt(identifier, 0, identifier.length, allowed));
}

/** BR 6.1.5, 7.1.3.2.2: RSA of 2048 bits and more, a multiple of 8; the hash of ECDSA follows the curve. */
function checkKey(identifier: Uint8Array, key: KeyObject): string | undefined {
  if (key.asymmetricKeyType === 'rsa') {
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    return bits < 2048 || bits % 8 !== 0 ? `the CA's key is RSA of ${bits} bits` : undefined;
  }
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (curve === undefined) return "the CA's key is none of RSA, P-256, P-384, P-521";
  return equalAt(identifier, 0, identifier.length, curve) ? undefined : "the hash is not that of the CA key's curve";
}

function isKeyIdentifierOnly({ value }: ExtensionView): boolean {
  const cursor = new DerCursor(value);
  const outer = cursor.enter(0x30);
  return outer >= 0 && cursor.next(0x80) && cursor.atEnd;
}

/** The earliest end of the certificates that came along; Infinity when none can be read. */
function earliestEnd(certs: readonly Uint8Array[]): number {
  return Math.min(...certs.map((cert) => certificateValidity(cert)?.notAfter ?? Infinity));
}

const LISTED_EXTENSIONS = [OID.authorityKeyIdentifier, OID.cRLNumber, OID.issuingDistributionPoint];

const pss = (hash: string, salt: string): string =>
  `304106092a864886f70d01010a3034a00f300d0609608648016503040${hash}0500a11c301a06092a864886f70d010108300d0609608648016503040${hash}0500a2030201${salt}`;

/** BR 7.1.3.2.1 and .2, octet for octet. The first is the one that CT-B-CRL-2 names. */
const SIGNATURES: readonly Buffer[] = [
  '300d06092a864886f70d01010b0500',
  '300a06082a8648ce3d040302',
  '300a06082a8648ce3d040303',
  '300d06092a864886f70d01010c0500',
  '300d06092a864886f70d01010d0500',
  '300a06082a8648ce3d040304',
  pss('201', '20'),
  pss('202', '30'),
  pss('203', '40'),
].map((text) => Buffer.from(text, 'hex'));
/** BR 7.1.3.2.2. */
const CURVES: Readonly<Record<string, Buffer | undefined>> = {
  prime256v1: SIGNATURES[1],
  secp384r1: SIGNATURES[2],
  secp521r1: SIGNATURES[5],
};
