/**
 * A profile: the numbers and choices that a CA's documents fix for one issuer. Read from a preset and the issuer's own
 * file (apps/config.ts), checked against the documents' limits (limits.ts), used by freshness.ts, status.ts and the signer.
 */
import type { KeyType } from '../signature-algorithm.ts';
import type { Reason } from '../reason.ts';
import type { LiveLimits } from './live-budget.ts';

export interface Profile {
  /** Name of the preset it came from. */
  readonly preset: string;
  /** Whose rules bind it: picks the limit tables of limits.ts. */
  readonly authorities: readonly Authority[];
  /** What the CA issues: the BR set other periods for subscriber certificates (B-13, B-19) than for CA certificates (B-15, B-21). */
  readonly issues: 'subscriber-certificates' | 'ca-certificates';
  readonly ocsp: {
    /** v: nextUpdate = thisUpdate + v − 1 s, because the bound is inclusive (T-01). */
    readonly validityMs: number;
    /** Planned age at re-signing; a jitter by serial takes off up to a fifth. */
    readonly refreshAfterMs: number;
    /** Longest max-age on an answer: bounds the exposure after a revocation without purging (design decision 7). */
    readonly maxAgeMs: number;
    /** How long after notAfter a certificate is still answered for; then `unauthorized` (RFC 9919 §3.2.3, T-33). */
    readonly afterExpiryMs: number;
    /**
     * `ignore`: a request with a nonce gets the pre-signed answer, without it (RFC 9919 §3.2.1, L-08). `live`: an answer signed for
     * it alone, with the nonce (RFC 9654 §2.1), as long as `live` lasts (N-08: both are allowed).
     */
    readonly nonce: 'ignore' | 'live';
    readonly live: LiveLimits;
  };
  readonly crl: {
    /** Between two scheduled CRLs. */
    readonly periodMs: number;
    /** nextUpdate = thisUpdate + validity − 1 s. */
    readonly validityMs: number;
    /** From a recorded revocation to the build of the CRL that lists it: what comes meanwhile goes into the same CRL. */
    readonly coalesceMs: number;
    /** CT-B-CRL-11, conflict C33: an invalidityDate equal to revocationDate, or none. */
    readonly invalidityDate: 'omit' | 'revocation-date';
    /** Whether a CRL key in a token may stay logged in, or is for each CRL and no longer (SR-6.2.9). */
    readonly keyUse: 'held' | 'per-operation';
    /** How long after notAfter an entry stays, before it is on one more scheduled CRL and leaves (C-22): ten years for code (CS-01). */
    readonly afterExpiryMs: number;
  };
  readonly responder: {
    /** Longest validity of a responder certificate, counted inclusively (SR-6.3.2-a/b). */
    readonly maxValidityMs: number;
    readonly keyTypes: readonly KeyType[];
  };
  readonly archive: {
    /**
     * How long the octets of a CRL are kept after nobody relies on it any more and the certificates that did have ended
     * (retention.ts); undefined: for ever.
     */
    readonly retentionMs: number | undefined;
  };
  readonly reasons: {
    readonly permitted: readonly Reason[];
    /** certificateHold and its release (CT-4.9.13, B-06, SM-03). */
    readonly hold: 'refuse' | 'allow';
    /**
     * Which revocation may get another date. `key-compromise`: one that is or becomes a key compromise, and only an earlier date (B-29,
     * B-31). `any`: each, and a later one too, because software counts as signed before or after that date (CS-04).
     */
    readonly redate: 'key-compromise' | 'any';
  };
}

/** `cybertrust` = the CP/CPS 004, `secom` = 001 and 003; `cabf-*` the Baseline Requirements for TLS, S/MIME and code signing. */
export type Authority =
  'rfc' | 'cabf-tls' | 'cabf-smime' | 'cabf-cs' | 'mozilla' | 'microsoft' | 'cybertrust' | 'secom';
