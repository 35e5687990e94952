/**
 * Which key a certificate certifies, in sixteen octets: the first half of the SHA-256 of its SubjectPublicKeyInfo, as hex. Long
 * enough that nobody finds a second key for one (2^128), short enough to be kept with every certificate.
 */
import { createHash } from 'node:crypto';

export const SPKI_HASH = /^[0-9a-f]{32}$/;

/** @param spki DER of a SubjectPublicKeyInfo. */
export function spkiHash(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex').slice(0, 32);
}
