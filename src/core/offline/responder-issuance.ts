/** The responder certificate that a CA issues from a request: exact extensions, whatever the request wishes for. */
import { createHash } from 'node:crypto';
import {
  authorityKeyIdentifierExtension,
  basicConstraints,
  type CertificateDraft,
  extKeyUsage,
  keyUsageExtension,
  ocspNoCheck,
  serialFromRandom,
  subjectKeyIdentifierExtension,
} from '../certificate-writer.ts';
import type { Issuer } from '../issuer.ts';
import { SECOND, wholeSecond, type EpochMs } from '../time.ts';
import type { CertificationRequest } from './csr-reader.ts';

/** R-02 asks for 64 bits; 16 octets leave 126 after the sign and the leading bit. */
export const SERIAL_OCTETS = 16;

/**
 * @param random SERIAL_OCTETS octets of a CSPRNG.
 * @param validityMs both ends counted (SR-6.3.2-b); cut short where the CA certificate ends.
 */
export function responderDraft(
  issuer: Issuer,
  { subjectDer, spkiDer, keyBits }: CertificationRequest,
  random: Uint8Array,
  validityMs: number,
  nowMs: EpochMs,
): CertificateDraft {
  // not before the signing but for a day, and not after it.
  const notBefore = wholeSecond(nowMs);
  return {
    serial: serialFromRandom(random),
    issuerDer: issuer.nameDer,
    subjectDer,
    notBefore,
    notAfter: Math.min(notBefore + validityMs - SECOND, wholeSecond(issuer.notAfter)),
    spkiDer,
    extensions: [
      basicConstraints(false),
      keyUsageExtension('digitalSignature'),
      extKeyUsage('OCSPSigning'),
      ocspNoCheck(),
      subjectKeyIdentifierExtension(createHash('sha1').update(keyBits).digest()),
      authorityKeyIdentifierExtension(issuer.subjectKeyIdentifier),
    ],
  };
}
