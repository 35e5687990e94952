/**
 * The delegated responder certificate: may it sign answers for this issuer? Rules by BR 7.1.2.8 (R-*), the Cybertrust
 * certificate profile (CT-B-OCSP-*), SECOM's lifetime limit (SR-6.3.2-*). Checked when it is configured, before any answer is signed.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import {
  authorityKeyIdentifier,
  type CertificateFields,
  extendedKeyUsage,
  extensionOf,
  isCertificateAuthority,
  keyUsage,
  OID,
  readCertificate,
  readName,
  subjectKeyIdentifier,
} from './certificate-reader.ts';
import { type Issuer, publicKeyOf } from './issuer.ts';
import type { Finding } from './lint/finding.ts';
import type { Profile } from './policy/profile.ts';
import { algorithmFor, algorithmOf, type KeyType } from './signature-algorithm.ts';
import { DAY, type EpochMs, formatDuration, rfc3339, SECOND } from './time.ts';
import { checkPublicKey } from './weak-key.ts';

export interface ResponderCertificate {
  readonly der: Buffer;
  /** First four octets of the SHA-256 of the DER, hex: picks the response template (PublishedResponse.responder). */
  readonly id: string;
  readonly notBefore: EpochMs;
  /** No answer's nextUpdate lies after it (R-10, T-17). */
  readonly notAfter: EpochMs;
  /** SHA-1 of the key bits, 20 octets: the byKey responderID (RFC 6960 §4.2.1). */
  readonly keyHash: Buffer;
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  /** False for a CA certificate that signs its own answers: then it stays out of `certs` (T-16). */
  readonly delegated: boolean;
  readonly fields: CertificateFields;
}

/** What a profile says of responder certificates. */
export type ResponderRules = Pick<Profile, 'authorities' | 'responder'>;

/** @throws Problem `invalid` when it is no certificate, `config` when its key is of a kind that nothing here signs with. */
export function loadResponderCertificate(der: Uint8Array, field = 'responder certificate'): ResponderCertificate {
  const fields = readCertificate(Buffer.from(der), field);
  const publicKey = publicKeyOf(fields, field);
  return {
    der: fields.der,
    id: createHash('sha256').update(fields.der).digest('hex').slice(0, 8),
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
    keyHash: createHash('sha1').update(fields.keyBits).digest(),
    publicKey,
    keyType: algorithmFor(publicKey, field).keyType,
    delegated: !isCertificateAuthority(fields),
    fields,
  };
}

/**
 * Everything that is wrong with this certificate as responder of this issuer at `nowMs`. Any `error` forbids its use; one whose
 * time has not come is a `warning` only, because the next certificate is installed ahead of the change-over (T-18).
 */
export function checkResponderCertificate(
  certificate: ResponderCertificate,
  issuer: Issuer,
  profile: ResponderRules,
  nowMs: EpochMs,
): readonly Finding[] {
  const { fields } = certificate;
  const report = new Report();
  checkTimes(report, certificate, nowMs);
  if (!certificate.delegated || samePublicKey(fields.spkiDer, issuer.publicKey)) {
    checkDirect(report, certificate, issuer, profile);
    return report.findings;
  }
  checkIssuance(report, fields, issuer);
  checkLifetime(report, fields, profile);
  checkKey(report, certificate, profile);
  checkNames(report, fields, issuer, profile);
  checkExtensions(report, certificate, issuer, profile);
  return report.findings;
}

/** A CRL is signed with the CA key itself: the key must be the issuer's, and allowed to (CT-6.1.7-a, P7). */
export function checkCrlKey(spkiDer: Uint8Array, issuer: Issuer): readonly Finding[] {
  const report = new Report();
  if (!samePublicKey(spkiDer, issuer.publicKey)) {
    report.error(
      'CT-6.1.7-a',
      '004 §6.1.7',
      `the CRL key is not the key of ${issuer.name}: an OCSP key cannot sign a CRL`,
    );
  }
  if (!issuer.keyUsage.crlSign) {
    report.error('CT-6.1.7-a', 'RFC 5280 §4.2.1.3', `the CA certificate of ${issuer.name} does not permit cRLSign`);
  }
  return report.findings;
}

/** The key that a responder certificate was issued for, and no other (CT-6.1.7-a, P7). */
export function checkOcspKey(
  spkiDer: Uint8Array,
  certificate: ResponderCertificate,
  issuer: Issuer,
): readonly Finding[] {
  const report = new Report();
  if (!samePublicKey(spkiDer, certificate.publicKey)) {
    report.error('CT-6.1.7-a', '004 §6.1.7', `the OCSP key is not the key of responder certificate ${certificate.id}`);
  }
  if (samePublicKey(spkiDer, issuer.publicKey) && !issuer.keyUsage.digitalSignature) {
    report.error('T-20', 'BR 7.1.2.10.7', `the CA key of ${issuer.name} must not sign answers: no digitalSignature`);
  }
  return report.findings;
}

function samePublicKey(spkiDer: Uint8Array, key: KeyObject): boolean {
  const other = createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' });
  // Node 20 leaves OpenSSL's "different key types" behind for whoever calls it next, so types are compared first.
  return other.asymmetricKeyType === key.asymmetricKeyType && other.equals(key);
}

class Report {
  readonly findings: Finding[] = [];

  error(rule: string, citation: string, message: string): void {
    this.findings.push({ severity: 'error', rule, citation, message });
  }

  warn(rule: string, citation: string, message: string): void {
    this.findings.push({ severity: 'warning', rule, citation, message });
  }
}

function checkTimes(report: Report, certificate: ResponderCertificate, nowMs: EpochMs): void {
  const { notBefore, notAfter } = certificate;
  if (nowMs > notAfter)
    report.error('R-10', 'Mozilla §6', `expired: notAfter ${rfc3339(notAfter)}, now ${rfc3339(nowMs)}`);
  if (nowMs < notBefore)
    report.warn('R-11', 'BR 7.1.2.8.1', `not valid yet: notBefore ${rfc3339(notBefore)}, now ${rfc3339(nowMs)}`);
}

/** The CA answers for itself: only a CA certificate of this issuer with digitalSignature, and where no document wants a delegate. */
function checkDirect(report: Report, certificate: ResponderCertificate, issuer: Issuer, profile: ResponderRules): void {
  if (!issuer.certificates.some(({ der }) => der.equals(certificate.der))) {
    report.error(
      'T-20',
      'BR 7.1.2.8.4',
      'a CA certificate or a certificate for the CA key cannot be a delegated responder certificate',
    );
  }
  if (!issuer.keyUsage.digitalSignature) {
    report.error(
      'T-20',
      'BR 7.1.2.10.7',
      `the CA certificate of ${issuer.name} has no digitalSignature: it must not sign answers`,
    );
  }
  if (profile.authorities.includes('cybertrust')) {
    report.error(
      'CT-4.9.9-c',
      '004 §4.9.9',
      'answers are signed by an OCSP responder with its own certificate, not by the CA',
    );
  }
  if (profile.authorities.includes('secom')) {
    report.error('SR-6.1.7-d', '001 §6.1.7(4)', 'the root signs responder certificates, never answers');
  }
}

function checkIssuance(report: Report, fields: CertificateFields, issuer: Issuer): void {
  if (!fields.issuerDer.equals(issuer.nameDer)) {
    report.error(
      'R-01',
      'BR 7.1.2.8; CT-4.9.9-c',
      `issued by another CA than ${issuer.name}; the issuer field must repeat its bytes (T-15)`,
    );
  } else if (!verifySignature(fields, issuer.publicKey)) {
    report.error(
      'R-01',
      'BR 7.1.2.8; CT-4.9.9-c',
      `the signature does not verify under the key of ${issuer.name} (T-19)`,
    );
  }
  if (!fields.innerAlgorithm.equals(fields.signatureAlgorithm)) {
    report.error('R-02', 'RFC 5280 §4.1.1.2', 'signature algorithm inside and outside differ');
  }
  if (fields.version !== 3) report.error('R-02', 'BR 7.1.2.8; CT-B-OCSP-1', `version ${fields.version}: must be 3`);
  if (BigInt(`0x${fields.serial}`) === 0n)
    report.error('R-02', 'BR 7.1.2.8; CT-B-OCSP-2', 'serial number 0: must be positive');
  // Whether 64 bits came from a CSPRNG cannot be seen; fewer than 8 octets cannot hold them.
  else if (fields.serial.length < 16)
    report.warn('R-02', 'BR 7.1.2.8', `serial ${fields.serial}: 64 random bits need 8 octets`);
  if (fields.uniqueIdentifiers) report.error('R-02', 'BR 7.1.2.8', 'unique identifiers must be absent');
}

function verifySignature(fields: CertificateFields, issuerKey: KeyObject): boolean {
  const algorithm = algorithmOf(fields.signatureAlgorithm);
  if (algorithm === undefined || (algorithm.kind === 'rsa') !== (issuerKey.asymmetricKeyType === 'rsa')) return false;
  return verify(algorithm.hash, fields.tbsDer, { key: issuerKey, dsaEncoding: 'der' }, fields.signature);
}

function checkLifetime(report: Report, fields: CertificateFields, profile: ResponderRules): void {
  // SR-6.3.2-b: both ends count, so 125 days end one second before the same time of day.
  const validityMs = fields.notAfter - fields.notBefore + SECOND;
  if (validityMs > profile.responder.maxValidityMs) {
    const found = `${formatDuration(validityMs)} (both ends counted)`;
    report.error(
      'SR-6.3.2-a',
      '001 §6.3.2; R-03',
      `valid for ${found}: at most ${formatDuration(profile.responder.maxValidityMs)}`,
    );
  } else if (validityMs > 90 * DAY) {
    report.warn(
      'T-21',
      'RFC 9919 §3.2.2',
      `valid for ${formatDuration(validityMs)}: it cannot be revoked, 30 to 90 days are advised`,
    );
  }
  if (profile.authorities.includes('cybertrust') && !fields.utcTime) {
    report.error('CT-B-OCSP-5', '004 App. B', 'dates must be UTCTime');
  }
}

function checkKey(report: Report, certificate: ResponderCertificate, profile: ResponderRules): void {
  const permitted = profile.responder.keyTypes;
  if (!permitted.includes(certificate.keyType)) {
    report.error(
      'CT-6.1.5-b',
      '004 §6.1.5; BR 6.1.5',
      `key ${certificate.keyType}: the profile permits ${permitted.join(', ')}`,
    );
  }
  report.findings.push(...checkPublicKey(certificate.publicKey));
  if (profile.authorities.includes('cybertrust') && !SHA256_WITH_RSA.equals(certificate.fields.signatureAlgorithm)) {
    report.error('CT-B-OCSP-3', '004 App. B', 'must be signed with sha256WithRSAEncryption, parameters NULL');
  }
}

/** AlgorithmIdentifier of sha256WithRSAEncryption (RFC 4055 §5: parameters NULL). */
const SHA256_WITH_RSA = Buffer.from('300d06092a864886f70d01010b0500', 'hex');

function checkNames(report: Report, fields: CertificateFields, issuer: Issuer, profile: ResponderRules): void {
  const subject = readName(fields.subjectDer);
  const value = (attributes: typeof subject, type: string): string | undefined =>
    attributes.find((attribute) => attribute.type === type)?.value;
  if (profile.authorities.includes('cabf-tls')) {
    const missing = ['C', 'O', 'CN'].filter((type) => value(subject, type) === undefined);
    if (missing.length > 0) report.error('R-04', 'BR 7.1.2.10.2', `the subject lacks ${missing.join(', ')}`);
  }
  if (!profile.authorities.includes('cybertrust')) return;
  const ca = readName(issuer.nameDer);
  const wanted = ca
    .map(({ type, value: text }) => `${type}=${type === 'CN' ? `${text} OCSP Responder` : text}`)
    .join(', ');
  const found = subject.map(({ type, value: text }) => `${type}=${text}`).join(', ');
  if (found !== wanted) report.error('CT-B-OCSP-6', '004 App. B', `subject "${found}": must be "${wanted}"`);
}

function checkExtensions(
  report: Report,
  certificate: ResponderCertificate,
  issuer: Issuer,
  profile: ResponderRules,
): void {
  const { fields } = certificate;
  const cybertrust = profile.authorities.includes('cybertrust');
  const noCheck = extensionOf(fields, OID.ocspNoCheck);
  if (noCheck === undefined) {
    report.error('CT-4.9.9-d', 'RFC 6960 §4.2.2.2.1; R-09', 'the ocsp-nocheck extension is missing');
  } else if (noCheck.critical || noCheck.value.toString('hex') !== '0500') {
    report.error('R-05', 'BR 7.1.2.8.6; CT-B-OCSP-9', `ocsp-nocheck must be non-critical 0500, is ${shown(noCheck)}`);
  }

  const purposes = extendedKeyUsage(fields);
  if (purposes?.length !== 1 || purposes[0] !== OID.ocspSigning || extensionOf(fields, OID.extKeyUsage)?.critical) {
    report.error(
      'R-05',
      'BR 7.1.2.8.5; CT-B-OCSP-11',
      'extKeyUsage must be non-critical and name OCSPSigning and nothing else',
    );
  }

  const usage = extensionOf(fields, OID.keyUsage);
  const uses = [...(keyUsage(fields) ?? [])].join(', ');
  if (uses !== 'digitalSignature' || !usage?.critical) {
    report.error(
      'CT-6.1.7-b',
      '004 §6.1.7; BR 7.1.2.8.7',
      `keyUsage must be critical and only digitalSignature, is ${uses || 'absent'}`,
    );
  }

  const constraints = extensionOf(fields, OID.basicConstraints);
  if (constraints !== undefined && (!constraints.critical || constraints.value.toString('hex') !== '3000')) {
    report.error('R-08', 'BR 7.1.2.8.4', `basicConstraints must be absent or critical 3000, is ${shown(constraints)}`);
  } else if (constraints === undefined && cybertrust) {
    report.error('CT-B-OCSP-8', '004 App. B', 'basicConstraints must be present, critical, cA FALSE');
  }

  const aki = authorityKeyIdentifier(fields);
  if (aki?.keyIdentifier === undefined || aki.more || extensionOf(fields, OID.authorityKeyIdentifier)?.critical) {
    report.error(
      'R-05',
      'BR 7.1.2.8.2; CT-B-OCSP-12',
      'authorityKeyIdentifier must be non-critical with a keyIdentifier and nothing else',
    );
  } else if (!aki.keyIdentifier.equals(issuer.subjectKeyIdentifier)) {
    const wanted = issuer.subjectKeyIdentifier.toString('hex');
    report.error(
      'CT-B-OCSP-12',
      '004 App. B; T-19',
      `authorityKeyIdentifier ${aki.keyIdentifier.toString('hex')}: the CA key is ${wanted}`,
    );
  }

  const ski = subjectKeyIdentifier(fields);
  if (ski === undefined && !cybertrust) report.warn('R-07', 'BR 7.1.2.8.2', 'subjectKeyIdentifier is advised');
  else if (cybertrust && !ski?.equals(certificate.keyHash)) {
    report.error('CT-B-OCSP-13', '004 App. B', 'subjectKeyIdentifier must be the SHA-1 of the subjectPublicKey bits');
  }
  checkOtherExtensions(report, fields, cybertrust);
}

function checkOtherExtensions(report: Report, fields: CertificateFields, cybertrust: boolean): void {
  for (const { oid, critical } of fields.extensions) {
    if (FORBIDDEN[oid] !== undefined) {
      report.error('R-06', 'BR 7.1.2.8.2; L-10', `${FORBIDDEN[oid]} must not be present`);
    } else if (!EXPECTED.has(oid)) {
      const name = DISCOURAGED[oid] ?? `extension ${oid}`;
      if (cybertrust) report.error('CT-B-OCSP-14', '004 App. B', `${name} is not in the certificate profile`);
      // RFC 5280 §4.2: whoever does not know a critical extension must reject the certificate.
      else if (critical)
        report.error('R-07', 'RFC 5280 §4.2', `${name} is critical: clients will reject the certificate`);
      else report.warn('R-07', 'BR 7.1.2.8.2', `${name} is not recommended`);
    }
  }
}

const EXPECTED: ReadonlySet<string> = new Set([
  OID.ocspNoCheck,
  OID.extKeyUsage,
  OID.keyUsage,
  OID.basicConstraints,
  OID.authorityKeyIdentifier,
  OID.subjectKeyIdentifier,
]);
const FORBIDDEN: Record<string, string> = {
  [OID.nameConstraints]: 'nameConstraints',
  [OID.subjectAltName]: 'subjectAltName',
  [OID.crlDistributionPoints]: 'crlDistributionPoints',
};
const DISCOURAGED: Record<string, string> = {
  [OID.authorityInfoAccess]: 'authorityInfoAccess',
  [OID.certificatePolicies]: 'certificatePolicies',
};

function shown(extension: { critical: boolean; value: Buffer }): string {
  return `${extension.critical ? 'critical' : 'non-critical'} ${extension.value.toString('hex')}`;
}
