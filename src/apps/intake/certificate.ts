/** A whole certificate handed to the intake: is it this issuer's, and what must the ledger know of it? */
import { readCertificate } from '../../core/certificate-reader.ts';
import {
  crlDistributionPoints,
  isCertificateAuthority,
  isPrecertificate,
  namesNoOcsp,
} from '../../core/certificate-extensions.ts';
import { isSignedBy, type Issuer } from '../../core/issuer.ts';
import { Problem } from '../../core/problem.ts';
import { spkiHash } from '../../core/spki-hash.ts';
import type { Issuance } from '../../core/status.ts';

/**
 * @param text base64 of the DER, whitespace allowed.
 * @throws Problem `invalid` when it is not a certificate, `refused` when this issuer did not issue it: the right serial under
 *   the wrong issuer must never become `good` (P3).
 */
export function issuerCertificateFields(text: string, issuer: Issuer, field: string): Issuance {
  const compact = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(compact))
    throw new Problem('invalid', 'not base64', { field, value: text, rule: 'RFC 4648 §4' });
  const der = Buffer.from(compact, 'base64');
  const certificate = readCertificate(der, field);
  if (!certificate.issuerDer.equals(issuer.nameDer)) {
    throw new Problem('refused', `issued by another CA than ${issuer.name}`, {
      field,
      value: certificate.serial,
      rule: 'RFC 6960 §4.1.1',
    });
  }
  if (!isSignedBy(issuer, der)) {
    throw new Problem('refused', `not signed with the key of ${issuer.name}`, {
      field,
      value: certificate.serial,
      rule: 'RFC 5280 §6.1.3',
    });
  }
  const { serial, notBefore, notAfter } = certificate;
  return {
    serial,
    notBefore,
    notAfter,
    precertificate: isPrecertificate(certificate),
    crlShard: undefined,
    crlUrls: crlDistributionPoints(certificate),
    isCa: isCertificateAuthority(certificate),
    withoutOcsp: namesNoOcsp(certificate),
    spkiHash: spkiHash(certificate.spkiDer),
  };
}
