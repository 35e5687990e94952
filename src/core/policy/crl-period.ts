/** How often CRLs are due, where that depends on what was issued (B-13, T-42). */
import { DAY } from '../time.ts';
import type { Profile } from './profile.ts';

const FOUR_DAYS = 4 * DAY;

/**
 * Between two scheduled CRLs: what the profile says, but at most 4 days as soon as one unexpired certificate names no OCSP responder.
 * @param withoutOcsp undefined: not known yet, and then it is reckoned with.
 */
export function crlPeriodMs({ authorities, issues, crl }: Profile, withoutOcsp: boolean | undefined): number {
  const bound = authorities.includes('cabf-tls') && issues === 'subscriber-certificates';
  return bound && withoutOcsp !== false ? Math.min(crl.periodMs, FOUR_DAYS) : crl.periodMs;
}
