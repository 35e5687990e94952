/**
 * May this certificate, and this key, sign for this issuer? Asked when they are configured, before anything is signed; what makes a
 * responder certificate a good one is in lint/responder.ts.
 */
import type { Issuer } from './issuer.ts';
import type { Finding } from './lint/finding.ts';
import { lintResponder } from './lint/responder.ts';
import type { Profile } from './policy/profile.ts';
import type { ResponderCertificate } from './responder-certificate.ts';
import { isKey } from './same-key.ts';
import type { EpochMs } from './time.ts';

/** What a profile says of responder certificates. */
export type ResponderRules = Pick<Profile, 'authorities' | 'responder'>;

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
  return lintResponder(certificate, { authorities: profile.authorities, limits: profile.responder, issuer, nowMs });
}

/** A CRL is signed with the CA key itself: the key must be the issuer's, and allowed to (CT-6.1.7-a, P7). */
export function checkCrlKey(spkiDer: Uint8Array, issuer: Issuer): readonly Finding[] {
  const report = new Report();
  if (!isKey(spkiDer, issuer.publicKey)) {
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
  if (!isKey(spkiDer, certificate.publicKey)) {
    report.error('CT-6.1.7-a', '004 §6.1.7', `the OCSP key is not the key of responder certificate ${certificate.id}`);
  }
  if (isKey(spkiDer, issuer.publicKey) && !issuer.keyUsage.digitalSignature) {
    report.error('T-20', 'BR 7.1.2.10.7', `the CA key of ${issuer.name} must not sign answers: no digitalSignature`);
  }
  return report.findings;
}

class Report {
  readonly findings: Finding[] = [];

  error(rule: string, citation: string, message: string): void {
    this.findings.push({ severity: 'error', rule, citation, message });
  }
}
