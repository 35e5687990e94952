/** Who signed a response, and whether the CA lets it (RFC 6960 §4.2.2.2, O-07). */
import { verify, type KeyObject } from 'node:crypto';
import { readCertificate, type CertificateFields } from '../certificate-reader.ts';
import { extendedKeyUsage, OID } from '../certificate-extensions.ts';
import { isSignedBy, publicKeyOf, type Issuer } from '../issuer.ts';
import { Problem } from '../problem.ts';
import { verifierOf } from '../signature-algorithm.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { DecodedBasicResponse } from './response-reader.ts';

/** Signed by the CA, or by a certificate that it issued for signing OCSP: undefined. @param nowMs undefined: at any time. */
export function whyUnbelievable(basic: DecodedBasicResponse, issuer: Issuer, nowMs?: EpochMs): string | undefined {
  if (isSignatureOf(issuer.publicKey, basic)) {
    // T-20, B-23.
    return issuer.keyUsage.digitalSignature
      ? undefined
      : 'the CA signed it, and its certificate has no digitalSignature';
  }
  for (const der of basic.certs) {
    const certificate = readable(der);
    const key = certificate && readableKey(certificate);
    if (certificate === undefined || key === undefined || !isSignatureOf(key, basic)) continue;
    if (!isSignedBy(issuer, certificate.der)) return `its responder certificate is not of ${issuer.name}`;
    if (!(extendedKeyUsage(certificate) ?? []).includes(OID.ocspSigning))
      return 'its responder certificate may not sign OCSP (no id-kp-OCSPSigning)';
    if (nowMs !== undefined && nowMs > certificate.notAfter)
      return `its responder certificate expired ${rfc3339(certificate.notAfter)}`;
    if (nowMs !== undefined && nowMs < certificate.notBefore)
      return `its responder certificate begins ${rfc3339(certificate.notBefore)}`;
    return undefined;
  }
  return 'its signature is of no certificate in it, and not of the CA';
}

/** Undefined for what is no certificate: it signed nothing. */
function readable(der: Uint8Array): CertificateFields | undefined {
  return orUndefined(() => readCertificate(Buffer.from(der), 'certs'));
}

function readableKey(certificate: CertificateFields): KeyObject | undefined {
  return orUndefined(() => publicKeyOf(certificate, 'certs'));
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return undefined;
  }
}

function isSignatureOf(key: KeyObject, { tbs, signature, signatureAlgorithm }: DecodedBasicResponse): boolean {
  const by = verifierOf(signatureAlgorithm, key);
  return by !== undefined && verify(by.hash, tbs, by.key, signature);
}
