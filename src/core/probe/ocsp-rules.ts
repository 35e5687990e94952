/** Whether an OCSP answer may be believed about the certificate asked for, as a relying party with the CA certificate sees it. */
import { verify, type KeyObject } from 'node:crypto';
import { extendedKeyUsage, OID, readCertificate, type CertificateFields } from '../certificate-reader.ts';
import { isSignedBy, publicKeyOf, type Issuer } from '../issuer.ts';
import { lintDecodedResponse } from '../lint/lint.ts';
import { decodeResponse, type DecodedBasicResponse, type DecodedResponse } from '../ocsp/response-reader.ts';
import { Problem } from '../problem.ts';
import { algorithmOf } from '../signature-algorithm.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { ProbeFinding } from './finding.ts';
import { certIdDer, type ProbeSubject } from './question.ts';

/** What an answer says, in a word that two answers to one question have in common. */
export interface Said {
  /** `good`, `revoked`, `unknown`, an OCSP error such as `unauthorized`, or `unreadable`. */
  readonly word: string;
  readonly decoded: DecodedResponse | undefined;
}

export function said(body: Buffer): Said {
  try {
    const decoded = decodeResponse(body);
    return { word: decoded.basic?.responses[0]?.certStatus ?? decoded.status, decoded };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { word: 'unreadable', decoded: undefined };
  }
}

/** @param issuer when it is known: then the signature counts too. */
export function judgeOcsp(
  asked: string,
  { decoded }: Said,
  subject: ProbeSubject,
  issuer: Issuer | undefined,
  nowMs: EpochMs,
): ProbeFinding[] {
  if (decoded === undefined) {
    const message = 'the body is no OCSPResponse';
    return [{ severity: 'error', asked, message, cause: 'an error page in its place, or a filter that changed it', rule: 'RFC 6960 §4.2.1' }]; // prettier-ignore
  }
  const { basic } = decoded;
  if (basic === undefined) return [];
  const findings: ProbeFinding[] = lintDecodedResponse(decoded, { nowMs })
    .filter(({ severity }) => severity !== 'notice')
    .map(({ severity, rule, message }) => ({
      severity: severity === 'error' ? 'error' : 'warning',
      asked,
      message,
      cause: 'the responder itself, or an old answer in a cache',
      rule,
    }));
  const error = (message: string, cause: string, rule: string): void =>
    void findings.push({ severity: 'error', asked, message, cause, rule });
  const wanted = certIdDer(subject);
  const single = basic.responses.find(({ certID }) => wanted.equals(certID));
  if (single === undefined)
    error('an answer about another certificate', 'a cache whose key is not the whole path (T-49)', 'T-09');
  else if (single.nextUpdate !== undefined && nowMs > single.nextUpdate)
    error(
      `nextUpdate was ${rfc3339(single.nextUpdate)}`,
      'a cache that serves stale answers, or a signer that stands still',
      'P4',
    );
  const unbelievable = issuer && whyUnbelievable(basic, issuer, nowMs);
  if (unbelievable !== undefined)
    error(unbelievable, 'the issuer given is not the one of this URL, or the answer was changed', 'RFC 6960 §3.2');
  return findings;
}

/** RFC 6960 §4.2.2.2: signed by the CA, or by a certificate that it issued for signing OCSP. Undefined when that is so. */
function whyUnbelievable(basic: DecodedBasicResponse, issuer: Issuer, nowMs: EpochMs): string | undefined {
  if (isSignatureOf(issuer.publicKey, basic)) return undefined;
  for (const der of basic.certs) {
    const certificate = readable(der);
    if (certificate === undefined || !isSignatureOf(publicKeyOf(certificate, 'certs'), basic)) continue;
    if (!isSignedBy(issuer, certificate.der)) return `its responder certificate is not of ${issuer.name}`;
    if (!(extendedKeyUsage(certificate) ?? []).includes(OID.ocspSigning))
      return 'its responder certificate may not sign OCSP (no id-kp-OCSPSigning)';
    if (nowMs > certificate.notAfter) return `its responder certificate expired ${rfc3339(certificate.notAfter)}`;
    if (nowMs < certificate.notBefore) return `its responder certificate begins ${rfc3339(certificate.notBefore)}`;
    return undefined;
  }
  return 'its signature is of no certificate in it, and not of the CA';
}

/** Undefined for what is no certificate: it signed nothing. */
function readable(der: Uint8Array): CertificateFields | undefined {
  try {
    return readCertificate(Buffer.from(der), 'certs');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return undefined;
  }
}

function isSignatureOf(key: KeyObject, { tbs, signature, signatureAlgorithm }: DecodedBasicResponse): boolean {
  const algorithm = algorithmOf(signatureAlgorithm);
  if (algorithm === undefined || (algorithm.kind === 'rsa') !== (key.asymmetricKeyType === 'rsa')) return false;
  return verify(algorithm.hash, tbs, { key, dsaEncoding: 'der' }, signature);
}
