/** A private key somewhere that signs. The key never leaves; only the signer role holds one of these (P7). */
import type { SignatureAlgorithm } from '../core/signature-algorithm.ts';

export interface KeyHolder {
  readonly algorithm: SignatureAlgorithm;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  /** For people: where the key is, e.g. `software key keys/responder.key`. */
  readonly describe: string;
  /**
   * Signs each to-be-signed structure. Order is kept; each item succeeds or fails alone. An ECDSA signature comes as the DER
   * of ECDSA-Sig-Value. The caller bounds how many calls are under way. Rejects only when the holder as a whole is gone.
   */
  sign(tbs: readonly Uint8Array[]): Promise<readonly SignResult[]>;
  close(): Promise<void>;
}

export type SignResult =
  { readonly ok: true; readonly signature: Buffer } | { readonly ok: false; readonly error: Error };
