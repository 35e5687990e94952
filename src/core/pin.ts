/**
 * The PIN of a token: what makes a good one, and the sealed form in which it is split into shares.
 *
 * Combining shares gives octets whatever the shares are: a wrong or mixed set is not noticed by itself. The sealed form
 * therefore carries a check, so that a wrong PIN is recognised here and never sent to the token, whose retry counter it
 * would cost:
 *
 *     check (8 octets) ‖ length of the PIN (1 octet) ‖ PIN ‖ zeros up to a multiple of 32 octets
 *
 * The check is the head of SHA-256 over token name, threshold and PIN: shares of another token, or of a set with another
 * threshold, do not pass either. The padding keeps the length of the PIN out of the length of a share.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from './problem.ts';

/** PKCS #11 leaves the length to the token (ulMaxPinLen); no token known takes more. */
export const MAX_PIN_BYTES = 255;
const MIN_PIN_BYTES = 8;
const CHECK_BYTES = 8;
const BLOCK_BYTES = 32;
/** Longest sealed PIN. */
export const MAX_SEALED_BYTES = sealedLength(MAX_PIN_BYTES);

/**
 * CT-6.4.1: activation data that is not easily guessed. Says what is wrong, never what stood there.
 * @throws Problem `refused` or `too-large`
 */
export function checkPin(pin: Uint8Array): void {
  const refuse = (message: string): Problem => new Problem('refused', message, { field: 'PIN', rule: 'CT-6.4.1' });
  if (pin.length > MAX_PIN_BYTES)
    throw new Problem('too-large', `is longer than ${MAX_PIN_BYTES} octets`, { field: 'PIN' });
  if (pin.length < MIN_PIN_BYTES) throw refuse(`is shorter than ${MIN_PIN_BYTES} characters`);
  if (pin.some((octet) => octet < 0x20 || octet === 0x7f)) throw refuse('has a control character in it');
  const steps = new Set(Array.from(pin.subarray(1), (octet, i) => octet - (pin[i] as number)));
  const [step] = steps;
  if (steps.size === 1 && step === 0) throw refuse('is one character again and again');
  if (steps.size === 1 && (step === 1 || step === -1))
    throw refuse('is a sequence of characters that follow each other');
}

/** The caller overwrites what it gets. @throws Problem as checkPin does. */
export function sealPin(pin: Uint8Array, token: string, threshold: number): Uint8Array {
  checkPin(pin);
  const sealed = new Uint8Array(sealedLength(pin.length));
  sealed.set(checkOf(pin, token, threshold));
  sealed[CHECK_BYTES] = pin.length;
  sealed.set(pin, CHECK_BYTES + 1);
  return sealed;
}

/** A copy of the PIN, or undefined when this is no sealed PIN of that token and threshold. */
export function openSealedPin(sealed: Uint8Array, token: string, threshold: number): Uint8Array | undefined {
  const length = sealed[CHECK_BYTES];
  if (length === undefined || sealed.length !== sealedLength(length)) return undefined;
  const pin = sealed.slice(CHECK_BYTES + 1, CHECK_BYTES + 1 + length);
  const padding = sealed.subarray(CHECK_BYTES + 1 + length);
  if (
    timingSafeEqual(sealed.subarray(0, CHECK_BYTES), checkOf(pin, token, threshold)) &&
    padding.every((octet) => octet === 0)
  )
    return pin;
  pin.fill(0);
  return undefined;
}

function sealedLength(pinLength: number): number {
  return Math.ceil((CHECK_BYTES + 1 + pinLength) / BLOCK_BYTES) * BLOCK_BYTES;
}

function checkOf(pin: Uint8Array, token: string, threshold: number): Buffer {
  const hash = createHash('sha256').update(`certstatus PIN\n${token}\n${threshold}\n`).update(pin).digest();
  return hash.subarray(0, CHECK_BYTES);
}
