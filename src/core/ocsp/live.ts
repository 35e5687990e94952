/**
 * An answer made for one request, because its nonce is to be echoed (RFC 9654): what is asked of a signer, and what comes back.
 * The signer gives what only it has; the rest is the issuer's template (design decision 8).
 */
import type { CertIdHash, IssuerTag, Revocation } from '../certificate.ts';
import type { Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

export interface LiveQuestion {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  /** Of the CertID as asked: never answered in another (T-09). */
  readonly hash: CertIdHash;
  /** 1 to 128 octets, which no longer belong to a front. */
  readonly nonce: Uint8Array;
}

export interface LiveSignature {
  /** Revision of the certificate that is spoken of, and its status. */
  readonly revision: number;
  readonly revocation: Revocation | undefined;
  /** = producedAt (conflict X-04). */
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  /** Id of the responder certificate that signed: picks the template. */
  readonly responder: string;
  /** BIT STRING value. */
  readonly signature: Uint8Array;
}
