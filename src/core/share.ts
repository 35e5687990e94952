/**
 * A share of a token's PIN, as its keeper types or pastes it:
 *
 *     certstatus-share:1:<token>:<set>:<index>/<count>:<threshold>:<share, base64url>:<check>
 *
 * `set` is the same in the shares that were made together, so that one of another set is told at once and by whom it came.
 * `check` is the head of SHA-256 over all that stands before it: a typing error is found before anything is combined. Only
 * `threshold` shares together say anything about the PIN. Messages about a share never repeat any of it.
 */
import { createHash } from 'node:crypto';
import { MAX_SEALED_BYTES } from './pin.ts';
import { Problem } from './problem.ts';

export interface Share {
  readonly token: string;
  /** 8 hex digits. */
  readonly set: string;
  /** From 1 to count. */
  readonly index: number;
  readonly count: number;
  /** How many shares make the PIN. */
  readonly threshold: number;
  /** Whoever holds it overwrites it after use. */
  readonly octets: Uint8Array;
}

/** A share of the longest PIN has about 500 characters; white space that crept in is allowed. */
export const MAX_SHARE_CHARACTERS = 2048;
const MAX_SHARE_OCTETS = MAX_SEALED_BYTES + 1;
const PREFIX = 'certstatus-share';
const VERSION = '1';
const CHECK_DIGITS = 8;

export function formatShare({ token, set, index, count, threshold, octets }: Share): string {
  const data = Buffer.from(octets).toString('base64url');
  const covered = [PREFIX, VERSION, token, set, `${index}/${count}`, threshold, data].join(':');
  return `${covered}:${checkOf(covered)}`;
}

/** @throws Problem `invalid` or `too-large` saying what is wrong, without anything of the share. */
export function parseShare(text: string, field: string): Share {
  const refuse = (message: string): Problem => new Problem('invalid', message, { field });
  if (text.length > MAX_SHARE_CHARACTERS)
    throw new Problem('too-large', `is longer than ${MAX_SHARE_CHARACTERS} characters`, { field });
  const compact = text.replace(/\s+/g, '');
  if (compact === '') throw refuse('is empty');
  const parts = compact.split(':');
  const [prefix, version, token = '', set = '', place = '', threshold = '', data = '', check = ''] = parts;
  if (prefix !== PREFIX) throw refuse(`does not begin with ${PREFIX}:`);
  if (version !== VERSION) throw refuse('is of a version that this program does not know');
  if (parts.length !== 8) throw refuse(`has ${parts.length} parts between colons instead of 8: is it all there?`);
  if (check.toLowerCase() !== checkOf(compact.slice(0, compact.lastIndexOf(':'))))
    throw refuse('was mistyped or cut off: its check does not fit');
  const [index, count] = place.split('/').map(wholeNumber);
  const needed = wholeNumber(threshold);
  if (!/^[a-z0-9-]{1,63}$/.test(token) || !/^[0-9a-f]{8}$/.test(set)) throw refuse('names no token or no set');
  if (index === undefined || count === undefined || needed === undefined)
    throw refuse('does not say which of how many it is');
  if (count < 2 || count > 255 || index < 1 || index > count || needed < 2 || needed > count)
    throw refuse('has a number, count or threshold that cannot be');
  const octets = Uint8Array.from(Buffer.from(data, 'base64url'));
  if (octets.length < 2 || octets.length > MAX_SHARE_OCTETS || Buffer.from(octets).toString('base64url') !== data)
    throw refuse('holds no share');
  return { token, set, index, count, threshold: needed, octets };
}

function wholeNumber(text: string): number | undefined {
  return /^[1-9]\d{0,2}$/.test(text) ? Number(text) : undefined;
}

function checkOf(covered: string): string {
  return createHash('sha256').update(covered).digest('hex').slice(0, CHECK_DIGITS);
}
