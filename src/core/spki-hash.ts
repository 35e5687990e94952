/**
 * Which key a certificate certifies, in sixteen octets: the first half of the SHA-256 of its SubjectPublicKeyInfo, as hex. Long
 * enough that nobody finds a second key for one (2^128), short enough to be kept with every certificate.
 */
import { createHash } from 'node:crypto';
import { Problem } from './problem.ts';

export const SPKI_HASH = /^[0-9a-f]{32}$/;

/** @param spki DER of a SubjectPublicKeyInfo. */
export function spkiHash(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex').slice(0, 32);
}

/** @param text hex of the whole SHA-256, or of its first half, in either case. @throws Problem `invalid` */
export function spkiHashFromHex(text: string, field: string): string {
  const hex = text.toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex) || SPKI_HASH.test(hex)) return hex.slice(0, 32);
  throw new Problem('invalid', 'not the SHA-256 of a SubjectPublicKeyInfo in hex, whole or its first half', {
    field,
    value: text,
    rule: 'RFC 5280 §4.1.2.7',
  });
}
