import { createPublicKey, type KeyObject } from 'node:crypto';

/** Types are compared first: Node 20 leaves OpenSSL's "different key types" behind for whoever calls it next. */
export function sameKey(one: KeyObject, other: KeyObject): boolean {
  return one.asymmetricKeyType === other.asymmetricKeyType && one.equals(other);
}

/** @param spkiDer a SubjectPublicKeyInfo. @throws Error of Node for what is none. */
export function isKey(spkiDer: Uint8Array, key: KeyObject): boolean {
  return sameKey(createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' }), key);
}
