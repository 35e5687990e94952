/** A private key somewhere that signs. The key never leaves; only the signer role holds one of these (P7). */
import type { SignatureAlgorithm } from '../core/signature-algorithm.ts';

export interface KeyHolder {
  readonly algorithm: SignatureAlgorithm;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  /** For people: where the key is, e.g. `software key keys/responder.key` or `pkcs11:token=ocsp;object=2026-a`. */
  readonly describe: string;
  /** Why it cannot sign now, in words for an operator (`token ocsp is not activated`); undefined when it can. From memory. */
  readonly failure: string | undefined;
  /**
   * Signs each to-be-signed structure. Order is kept; each item succeeds or fails alone. An ECDSA signature comes as the DER
   * of ECDSA-Sig-Value. The caller bounds how many calls are under way.
   * @param priority `urgent` work is done before all other that has not reached the key yet, and `live` before `bulk`.
   * @throws Problem `unavailable` when the holder as a whole is gone; always settles within the holder's deadline.
   */
  sign(tbs: readonly Uint8Array[], priority: SignPriority): Promise<readonly SignResult[]>;
  /** Begins one structure that is too large to be in memory whole. @throws Problem `unavailable` */
  begin(): PiecewiseSignature;
  /** Ends what is under way with an error, and forgets the key. */
  close(): Promise<void>;
}

/** A signature over octets that come one piece after the other. */
export interface PiecewiseSignature {
  /** Hashes on the calling thread: a millisecond per 512 KiB. */
  update(octets: Uint8Array): void;
  /** Once. As `sign`. */
  finish(priority: SignPriority): Promise<SignResult>;
}

/** In this order. `live` is what one client waits for (RFC 9654): its caller bounds it, so that it never keeps `bulk` from the key. */
export type SignPriority = (typeof PRIORITIES)[number];
export const PRIORITIES = ['urgent', 'live', 'bulk'] as const;

export type SignResult =
  { readonly ok: true; readonly signature: Buffer } | { readonly ok: false; readonly error: Error };

/** Told what the sessions of a slot do; cheap enough for each signature. */
export interface SlotMeter {
  /** How many sign at the same time now. */
  sessions: number;
  /** @param use what the key is for: it signs nothing else (P7). */
  signed(use: KeyUse, count: number): void;
  failed(count: number): void;
  /** Of one call: until the first of its structures was begun. */
  waited(ms: number): void;
  /** Of one session. */
  busy(ms: number): void;
}

export type KeyUse = 'ocsp' | 'crl';
