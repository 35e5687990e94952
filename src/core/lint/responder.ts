/**
 * Rules for responder certificates: BR 7.1.2.8 (R-*), the Cybertrust certificate profile (CT-B-OCSP-*), SECOM's lifetime limit
 * (SR-6.3.2-*). What needs the CA or a clock says nothing without them, so that `lint FILE` works on anybody's certificate.
 */
import { verify } from 'node:crypto';
import type { Extension } from '../certificate-reader.ts';
import { readName } from '../name.ts';
import {
  authorityKeyIdentifier,
  extendedKeyUsage,
  extensionOf,
  keyUsage,
  OID,
  subjectKeyIdentifier,
} from '../certificate-extensions.ts';
import type { Issuer } from '../issuer.ts';
import type { Profile } from '../policy/profile.ts';
import type { ResponderCertificate } from '../responder-certificate.ts';
import { isKey } from '../same-key.ts';
import { algorithmOf, signatureName, verifierOf } from '../signature-algorithm.ts';
import { DAY, type EpochMs, formatDuration, rfc3339, SECOND } from '../time.ts';
import { checkPublicKey } from '../weak-key.ts';
import { isPermittedAlgorithm } from './cabf.ts';
import type { Finding } from './finding.ts';
import { binds, DEFAULT_AUTHORITIES, type LintAuthority, type RuleBase } from './rule.ts';

export interface ResponderContext {
  /** DEFAULT_AUTHORITIES when absent. */
  readonly authorities?: readonly LintAuthority[];
  /** The CA that it is to answer for. */
  readonly issuer?: Issuer;
  /** What the profile permits. */
  readonly limits?: Profile['responder'];
  readonly nowMs?: EpochMs;
}

export interface ResponderRule extends RuleBase {
  /** `direct`: for the CA's own certificate or key; `delegated`: for a certificate of its own; `any`. */
  readonly signer: 'direct' | 'delegated' | 'any';
  /** What is wrong, or undefined. */
  check(certificate: ResponderCertificate, context: ResponderContext): string | undefined;
}

/** Every finding about this certificate as responder. */
export function lintResponder(certificate: ResponderCertificate, context: ResponderContext = {}): Finding[] {
  const { issuer, authorities = DEFAULT_AUTHORITIES } = context;
  const direct =
    !certificate.delegated || (issuer !== undefined && isKey(certificate.fields.spkiDer, issuer.publicKey));
  const findings: Finding[] = [];
  for (const rule of RESPONDER_RULES) {
    if (!binds(rule, authorities) || (rule.signer !== 'any' && (rule.signer === 'direct') !== direct)) continue;
    const message = rule.check(certificate, context);
    if (message !== undefined)
      findings.push({ severity: rule.severity, rule: rule.id, citation: rule.citation, message });
    // The checks of a key are many and have ids of their own.
    if (rule.id === 'CT-6.1.5-b') findings.push(...checkPublicKey(certificate.publicKey));
  }
  return findings;
}

const ALL: readonly LintAuthority[] = ['rfc'];
const CYBERTRUST: readonly LintAuthority[] = ['cybertrust'];
const error = (
  id: string,
  says: string,
  citation: string,
  check: ResponderRule['check'],
  more: Partial<ResponderRule> = {},
): ResponderRule => ({ id, says, citation, severity: 'error', authorities: ALL, signer: 'delegated', check, ...more });
const warning: typeof error = (id, says, citation, check, more) =>
  error(id, says, citation, check, { severity: 'warning', ...more });

export const RESPONDER_RULES: readonly ResponderRule[] = [
  error('R-10', 'not expired', 'Mozilla §6', ({ notAfter }, { nowMs = -Infinity }) =>
    nowMs > notAfter ? `expired: notAfter ${rfc3339(notAfter)}, now ${rfc3339(nowMs)}` : undefined, { signer: 'any' }),
  warning('R-11', 'valid already', 'BR 7.1.2.8.1', ({ notBefore }, { nowMs = Infinity }) =>
    nowMs < notBefore ? `not valid yet: notBefore ${rfc3339(notBefore)}, now ${rfc3339(nowMs)}` : undefined, { signer: 'any' }),

  error('T-20', 'a CA certificate that answers is one of the issuer, and no delegate has its key', 'BR 7.1.2.8.4',
    (certificate, { issuer }) => issuer === undefined || issuer.certificates.some(({ der }) => der.equals(certificate.der))
      ? undefined : 'a CA certificate or a certificate for the CA key cannot be a delegated responder certificate', { signer: 'direct' }),
  error('T-20', 'a CA certificate that answers has digitalSignature', 'BR 7.1.2.10.7', ({ fields }, { issuer }) =>
    (issuer?.keyUsage.digitalSignature ?? keyUsage(fields)?.has('digitalSignature') ?? true)
      ? undefined : `the CA certificate${issuer ? ` of ${issuer.name}` : ''} has no digitalSignature: it must not sign answers`, { signer: 'direct' }),
  error('CT-4.9.9-c', 'answers are signed by an OCSP responder with its own certificate', '004 §4.9.9',
    () => 'answers are signed by an OCSP responder with its own certificate, not by the CA', { signer: 'direct', authorities: CYBERTRUST }),
  error('SR-6.1.7-d', 'the root signs responder certificates, never answers', '001 §6.1.7(4)',
    () => 'the root signs responder certificates, never answers', { signer: 'direct', authorities: ['secom'] }),

  error('R-01', 'issued by the CA that it answers for: name octet for octet, and signature', 'BR 7.1.2.8; CT-4.9.9-c', ({ fields }, { issuer }) => {
    if (issuer === undefined) return undefined;
    if (!fields.issuerDer.equals(issuer.nameDer))
      return `issued by another CA than ${issuer.name}; the issuer field must repeat its bytes (T-15)`;
    const by = verifierOf(fields.signatureAlgorithm, issuer.publicKey);
    if (by === undefined) {
      const algorithm = algorithmOf(fields.signatureAlgorithm);
      return algorithm === undefined
        ? `its signature algorithm (DER ${fields.signatureAlgorithm.toString('hex')}) is not one that is accepted`
        : `signed with ${signatureName(algorithm)}, which the ${issuer.publicKey.asymmetricKeyType} key of ${issuer.name} cannot have made: another CA of that name has`;
    }
    return verify(by.hash, fields.tbsDer, by.key, fields.signature) ? undefined : `the signature does not verify under the key of ${issuer.name} (T-19)`;
  }),
  error('R-02', 'signature algorithm inside and outside are the same', 'RFC 5280 §4.1.1.2', ({ fields }) =>
    fields.innerAlgorithm.equals(fields.signatureAlgorithm) ? undefined : 'signature algorithm inside and outside differ'),
  error('R-02', 'version 3', 'BR 7.1.2.8; CT-B-OCSP-1', ({ fields }) => (fields.version === 3 ? undefined : `version ${fields.version}: must be 3`)),
  error('R-02', 'a serial number above 0', 'BR 7.1.2.8; CT-B-OCSP-2', ({ fields }) =>
    BigInt(`0x${fields.serial}`) === 0n ? 'serial number 0: must be positive' : undefined),
  // Whether 64 bits came from a CSPRNG cannot be seen; fewer than 8 octets cannot hold them.
  warning('R-02', 'a serial number of 8 octets and more', 'BR 7.1.2.8', ({ fields: { serial } }) =>
    BigInt(`0x${serial}`) !== 0n && serial.length < 16 ? `serial ${serial}: 64 random bits need 8 octets` : undefined),
  error('R-02', 'no unique identifiers', 'BR 7.1.2.8', ({ fields }) => (fields.uniqueIdentifiers ? 'unique identifiers must be absent' : undefined)),
  error('SR-6.3.2-a', 'valid for no longer than the profile says, both ends counted', '001 §6.3.2; R-03', (certificate, { limits }) => {
    const v = validityOf(certificate);
    return limits !== undefined && v > limits.maxValidityMs
      ? `valid for ${formatDuration(v)} (both ends counted): at most ${formatDuration(limits.maxValidityMs)}` : undefined;
  }),
  warning('T-21', 'valid for 90 days at most', 'RFC 9919 §3.2.2', (certificate, { limits }) => {
    const v = validityOf(certificate);
    return v > 90 * DAY && (limits === undefined || v <= limits.maxValidityMs)
      ? `valid for ${formatDuration(v)}: it cannot be revoked, 30 to 90 days are advised` : undefined;
  }),
  error('CT-B-OCSP-5', 'dates are UTCTime', '004 App. B', ({ fields }) => (fields.utcTime ? undefined : 'dates must be UTCTime'), { authorities: CYBERTRUST }),
  error('CT-6.1.5-b', 'a key of the types that the profile permits', '004 §6.1.5; BR 6.1.5', ({ keyType }, { limits }) =>
    limits === undefined || limits.keyTypes.includes(keyType) ? undefined : `key ${keyType}: the profile permits ${limits.keyTypes.join(', ')}`),
  error('CT-B-OCSP-3', 'signed with sha256WithRSAEncryption', '004 App. B', ({ fields }) =>
    SHA256_WITH_RSA.equals(fields.signatureAlgorithm) ? undefined : 'must be signed with sha256WithRSAEncryption, parameters NULL', { authorities: CYBERTRUST }),
  error('B-35', 'signed with one of the permitted algorithms', 'BR 7.1.3.2', ({ fields }) =>
    isPermittedAlgorithm(fields.signatureAlgorithm) ? undefined
      : `the signature algorithm ${fields.signatureAlgorithm.toString('hex')} is not one of the permitted encodings`, { authorities: ['cabf-tls', 'mozilla'] }),
  error('R-04', 'the subject has C, O and CN', 'BR 7.1.2.10.2', ({ fields }) => {
    const found = readName(fields.subjectDer);
    const missing = ['C', 'O', 'CN'].filter((type) => !found.some((attribute) => attribute.type === type));
    return missing.length > 0 ? `the subject lacks ${missing.join(', ')}` : undefined;
  }, { authorities: ['cabf-tls'] }),
  error('CT-B-OCSP-6', 'the subject is that of the CA, with "OCSP Responder" behind the CN', '004 App. B', ({ fields }, { issuer }) => {
    if (issuer === undefined) return undefined;
    const wanted = readName(issuer.nameDer).map(({ type, value }) => `${type}=${type === 'CN' ? `${value} OCSP Responder` : value}`).join(', ');
    const found = readName(fields.subjectDer).map(({ type, value }) => `${type}=${value}`).join(', ');
    return found === wanted ? undefined : `subject "${found}": must be "${wanted}"`;
  }, { authorities: CYBERTRUST }),

  error('CT-4.9.9-d', 'the ocsp-nocheck extension is there', 'RFC 6960 §4.2.2.2.1; R-09', ({ fields }) =>
    extensionOf(fields, OID.ocspNoCheck) === undefined ? 'the ocsp-nocheck extension is missing' : undefined),
  error('R-05', 'ocsp-nocheck is a non-critical NULL', 'BR 7.1.2.8.6; CT-B-OCSP-9', ({ fields }) => {
    const noCheck = extensionOf(fields, OID.ocspNoCheck);
    return noCheck !== undefined && (noCheck.critical || noCheck.value.toString('hex') !== '0500')
      ? `ocsp-nocheck must be non-critical 0500, is ${shown(noCheck)}` : undefined;
  }),
  error('R-05', 'extKeyUsage is non-critical and OCSPSigning alone', 'BR 7.1.2.8.5; CT-B-OCSP-11', ({ fields }) => {
    const purposes = extendedKeyUsage(fields);
    return purposes?.length !== 1 || purposes[0] !== OID.ocspSigning || extensionOf(fields, OID.extKeyUsage)?.critical
      ? 'extKeyUsage must be non-critical and name OCSPSigning and nothing else' : undefined;
  }),
  error('CT-6.1.7-b', 'keyUsage is critical and digitalSignature alone', '004 §6.1.7; BR 7.1.2.8.7', ({ fields }) => {
    const uses = [...(keyUsage(fields) ?? [])].join(', ');
    return uses !== 'digitalSignature' || !extensionOf(fields, OID.keyUsage)?.critical
      ? `keyUsage must be critical and only digitalSignature, is ${uses || 'absent'}` : undefined;
  }),
  error('R-08', 'basicConstraints is absent, or critical and empty', 'BR 7.1.2.8.4', ({ fields }) => {
    const constraints = extensionOf(fields, OID.basicConstraints);
    return constraints !== undefined && (!constraints.critical || constraints.value.toString('hex') !== '3000')
      ? `basicConstraints must be absent or critical 3000, is ${shown(constraints)}` : undefined;
  }),
  error('CT-B-OCSP-8', 'basicConstraints is present', '004 App. B', ({ fields }) =>
    extensionOf(fields, OID.basicConstraints) === undefined ? 'basicConstraints must be present, critical, cA FALSE' : undefined, { authorities: CYBERTRUST }),
  error('R-05', 'authorityKeyIdentifier is non-critical and a keyIdentifier alone', 'BR 7.1.2.8.2; CT-B-OCSP-12', ({ fields }) => {
    const aki = authorityKeyIdentifier(fields);
    return aki?.keyIdentifier === undefined || aki.more || extensionOf(fields, OID.authorityKeyIdentifier)?.critical
      ? 'authorityKeyIdentifier must be non-critical with a keyIdentifier and nothing else' : undefined;
  }),
  error('CT-B-OCSP-12', "authorityKeyIdentifier is the CA's", '004 App. B; T-19', ({ fields }, { issuer }) => {
    const found = authorityKeyIdentifier(fields)?.keyIdentifier;
    return issuer === undefined || found === undefined || found.equals(issuer.subjectKeyIdentifier) ? undefined
      : `authorityKeyIdentifier ${found.toString('hex')}: the CA key is ${issuer.subjectKeyIdentifier.toString('hex')}`;
  }),
  warning('R-07', 'subjectKeyIdentifier is there', 'BR 7.1.2.8.2', ({ fields }, { authorities }) =>
    subjectKeyIdentifier(fields) === undefined && authorities?.includes('cybertrust') !== true ? 'subjectKeyIdentifier is advised' : undefined),
  error('CT-B-OCSP-13', 'subjectKeyIdentifier is the SHA-1 of the key', '004 App. B', ({ fields, keyHash }) =>
    subjectKeyIdentifier(fields)?.equals(keyHash) ? undefined : 'subjectKeyIdentifier must be the SHA-1 of the subjectPublicKey bits', { authorities: CYBERTRUST }),
  error('R-06', 'neither nameConstraints nor subjectAltName nor crlDistributionPoints', 'BR 7.1.2.8.2; L-10', ({ fields }) => {
    const found = fields.extensions.flatMap(({ oid }) => FORBIDDEN[oid] ?? []);
    return found.length > 0 ? `${found.join(', ')} must not be present` : undefined;
  }),
  error('CT-B-OCSP-14', 'no extension beside the profile', '004 App. B', ({ fields }) =>
    some(fields.extensions, () => true, (name) => `${name} is not in the certificate profile`), { authorities: CYBERTRUST }),
  // RFC 5280 §4.2: whoever does not know a critical extension must reject the certificate.
  error('R-07', 'no other extension is critical', 'RFC 5280 §4.2', ({ fields }, { authorities }) =>
    authorities?.includes('cybertrust') === true ? undefined
      : some(fields.extensions, ({ critical }) => critical, (name) => `${name} is critical: clients will reject the certificate`)),
  warning('R-07', 'no other extension', 'BR 7.1.2.8.2', ({ fields }, { authorities }) =>
    authorities?.includes('cybertrust') === true ? undefined
      : some(fields.extensions, ({ critical }) => !critical, (name) => `${name} is not recommended`)),
]; // prettier-ignore

function validityOf({ notBefore, notAfter }: ResponderCertificate): number {
  // SR-6.3.2-b: both ends count, so 125 days end one second before the same time of day.
  return notAfter - notBefore + SECOND;
}

/** What is wrong with the extensions that no profile expects and that are so. */
function some(
  extensions: readonly Extension[],
  which: (extension: Extension) => boolean,
  message: (names: string) => string,
): string | undefined {
  const others = extensions.filter(
    (extension) => !EXPECTED.has(extension.oid) && FORBIDDEN[extension.oid] === undefined && which(extension),
  );
  if (others.length === 0) return undefined;
  return message(others.map(({ oid }) => DISCOURAGED[oid] ?? `extension ${oid}`).join(', '));
}

function shown(extension: Extension): string {
  return `${extension.critical ? 'critical' : 'non-critical'} ${extension.value.toString('hex')}`;
}

/** AlgorithmIdentifier of sha256WithRSAEncryption (RFC 4055 §5: parameters NULL). */
const SHA256_WITH_RSA = Buffer.from('300d06092a864886f70d01010b0500', 'hex');
const EXPECTED: ReadonlySet<string> = new Set([
  OID.ocspNoCheck,
  OID.extKeyUsage,
  OID.keyUsage,
  OID.basicConstraints,
  OID.authorityKeyIdentifier,
  OID.subjectKeyIdentifier,
]);
const FORBIDDEN: Readonly<Record<string, string>> = {
  [OID.nameConstraints]: 'nameConstraints',
  [OID.subjectAltName]: 'subjectAltName',
  [OID.crlDistributionPoints]: 'crlDistributionPoints',
};
const DISCOURAGED: Readonly<Record<string, string>> = {
  [OID.authorityInfoAccess]: 'authorityInfoAccess',
  [OID.certificatePolicies]: 'certificatePolicies',
};
