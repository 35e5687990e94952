/**
 * A cryptographic token (HSM partition, PKCS#11 slot) whose keys can be used only while it is activated. One process opens a
 * token once, whatever the number of keys in it.
 */

export interface Token {
  /** The operator's name for it, as in the configuration, commands and audit records. */
  readonly name: string;
  /** For people: module, token label, serial number, manufacturer, model, as far as they are known. */
  readonly describe: string;
  readonly state: TokenState;
  /** Why it is not usable, in words for an operator; undefined when it is active and answers. */
  readonly failure: string | undefined;
  /**
   * Logs in and makes the keys usable. The PIN is copied and kept in memory until deactivate(), so that a token that vanished
   * is used again when it is back; the caller overwrites its own copy. Activating an active token changes nothing.
   * @throws Problem `refused` when the token refuses the PIN: it is never tried again, state becomes `refused`. Problem
   *   `unavailable` when the token cannot be reached: the PIN is not kept.
   */
  activate(pin: Uint8Array): Promise<void>;
  /** Logs out, overwrites the PIN, ends the sessions. */
  deactivate(): Promise<void>;
  /** The key pairs in it, for `key list`. Private keys are seen only while it is active. @throws Problem `unavailable` */
  keys(): Promise<readonly TokenKey[]>;
  /**
   * Makes a key pair that never leaves: CKA_SENSITIVE, not CKA_EXTRACTABLE, CKA_SIGN only (CT-6.2.1-a). Label and id must be free.
   * @throws Problem `conflict` when the label or id is taken, `unavailable` when the token is not active.
   */
  generate(
    type: 'RSA-2048' | 'RSA-3072' | 'RSA-4096' | 'P-256' | 'P-384',
    label: string,
    id: Buffer,
  ): Promise<TokenKey>;
  /** Told after each change of state or failure. */
  onChange(listener: () => void): void;
  close(): Promise<void>;
}

/**
 * inactive: nobody has activated it since the start. active: logged in. lost: it was active and does not answer; it is tried
 * again by itself. refused: it refused the PIN, and waits for another activation.
 */
export type TokenState = 'inactive' | 'active' | 'lost' | 'refused';

export interface TokenKey {
  readonly label: string;
  /** CKA_ID, hex; empty when there is none. */
  readonly id: string;
  /** `RSA-2048`, `P-256`, …, or what the token calls it. */
  readonly type: string;
  /** SubjectPublicKeyInfo, DER; undefined when the token holds no public key object for it. */
  readonly publicKey: Buffer | undefined;
  readonly sensitive: boolean;
  readonly extractable: boolean;
}
