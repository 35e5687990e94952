/**
 * What the ledger knows of one certificate, and what has been published about it. Plain data: no rules here
 * (transitions: status.ts; times: policy/freshness.ts).
 */
import type { Reason } from './reason.ts';
import type { Serial } from './serial.ts';
import type { EpochMs } from './time.ts';

declare const tagBrand: unique symbol;
/**
 * Eight hex digits that stand for (issuer name, issuer key) in keys: the first four octets of
 * SHA-256(SHA-256(name DER) ‖ SHA-256(key BIT STRING value)). Derived, so it survives a rename of the issuer's id and a
 * renewal of the CA certificate; two keys of one name differ (design decision 2, C-32). A clash is refused at start.
 */
export type IssuerTag = string & { readonly [tagBrand]: true };

/** One certificate or precertificate that the CA has issued. Its existence is what permits `good` (B-20, T-25). */
export interface Certificate {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  /** Grows by one with each change of what OCSP or the CRL must say. Publication is compare-and-swap on it (P2). */
  readonly revision: number;
  readonly notBefore: EpochMs | undefined;
  /** Undefined only when the certificate is known from a CRL alone: then its entry is never dropped (CT-4.10.1). */
  readonly notAfter: EpochMs | undefined;
  /** True while only the precertificate is known to exist (T-23). */
  readonly precertificate: boolean;
  /**
   * Name of the shard whose CRL speaks of it, fixed for its life (T-38, core/crl/shards.ts); undefined: it is on the complete CRL
   * alone.
   */
  readonly crlShard: string | undefined;
  /** True when it is known to name no OCSP responder (T-42). */
  readonly withoutOcsp: boolean;
  /** Which key it certifies, where that is known (core/spki-hash.ts): what revocation by key goes by (SR-6.2.6-b). */
  readonly spkiHash: string | undefined;
  readonly revocation: Revocation | undefined;
  /** When this state was recorded: the clock of B-14 and B-18 starts here. Learning a date moves it without a new revision. */
  readonly recordedAt: EpochMs;
  /**
   * The ledger's count of records when this state was recorded: in a store of one process the sequence number of the journal
   * record, in a shared store, where several journals meet, its own count per issuer.
   */
  readonly recordedSeq: number;
}

export interface Revocation {
  /** What CRL entry and RevokedInfo say, whole seconds; may lie before recordedAt after a key compromise (T-30). */
  readonly revokedAt: EpochMs;
  readonly reason: Reason | undefined;
}

/**
 * The lanes, in order of priority (design §3). `mass` is for revocations by the hundred thousand: they go before every refresh, and
 * a single revocation or issue, or an answer that a client waits for, does not stand behind them.
 */
export const LANES = ['revocation', 'issue', 'asked', 'mass', 'refresh'] as const;
export type Lane = (typeof LANES)[number];

/**
 * The variable part of the signed answers about one certificate: one per CertID hash, same times and status. The rest of
 * each OCSPResponse is the issuer's template (design decision 8).
 */
export interface PublishedResponse {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  /** Revision of the certificate that these answers speak of. */
  readonly revision: number;
  readonly revocation: Revocation | undefined;
  /** = producedAt (conflict X-04), whole seconds. */
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  /** When the signer plans to replace it; HTTP freshness ends before (L-19). */
  readonly refreshAt: EpochMs;
  /** When an answer of this revision was first published: the end of the revoked-to-visible clock. */
  readonly publishedAt: EpochMs;
  /** First four octets, hex, of the SHA-256 of the responder certificate that signed: picks the template. */
  readonly responder: string;
  /** Signature BIT STRING values by CertID hash. */
  readonly signatures: { readonly sha1: Uint8Array; readonly sha256: Uint8Array };
}

export type CertIdHash = 'sha1' | 'sha256';

/** One line of a CRL. */
export interface RevokedEntry {
  readonly serial: Serial;
  readonly revokedAt: EpochMs;
  readonly reason: Reason | undefined;
  readonly notAfter: EpochMs | undefined;
  readonly recordedAt: EpochMs;
  readonly recordedSeq: number;
}

/**
 * Which certificates of an issuer a CRL speaks of (RFC 5280 §5): all of them, or those of one shard. Each scope has its own
 * numbers (C-32).
 */
export interface CrlScope {
  readonly issuer: IssuerTag;
  /** COMPLETE, or the name of a shard: lower-case letters and digits. */
  readonly shard: string;
}

/** `shard` of the CRL that lists every revoked certificate of its issuer, those of shards too (C-18). */
export const COMPLETE = '';

export const completeCrl = (issuer: IssuerTag): CrlScope => ({ issuer, shard: COMPLETE });

/** A published CRL; its bytes lie in the archive under scope and number. */
export interface CrlRecord extends CrlScope {
  readonly number: bigint;
  /** The CRL of this scope that it replaced: what shows that the archive is unbroken, though numbers may have gaps. */
  readonly previous?: { readonly number: string; readonly sha256: string };
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly publishedAt: EpochMs;
  /** `scheduled` CRLs are the "regularly scheduled" ones of RFC 5280 §3.3 (C-22). */
  readonly kind: 'scheduled' | 'revocation' | 'imported';
  /** thisUpdate and asOfSeq of the newest scheduled CRL up to and including this one. */
  readonly scheduledAt: EpochMs;
  readonly scheduledAsOfSeq: number;
  readonly entries: number;
  readonly bytes: number;
  /** Hex SHA-256 of the DER. */
  readonly sha256: string;
  /** Every change up to this recordedSeq is in this CRL. */
  readonly asOfSeq: number;
}
