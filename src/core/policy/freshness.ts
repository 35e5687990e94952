/**
 * Every rule about when: thisUpdate, nextUpdate, when to sign again, what may still be served, what replaces what.
 * The only place with such arithmetic; `nowMs` comes from the caller.
 *
 * BR 4.9.9 counts a validity interval inclusively, so v = nextUpdate − thisUpdate + 1 s (T-01).
 */
import { createHash } from 'node:crypto';
import { COMPLETE, type CrlRecord, type IssuerTag, type PublishedResponse } from '../certificate.ts';
import type { Serial } from '../serial.ts';
import { DAY, HOUR, MINUTE, SECOND, wholeSecond, type EpochMs } from '../time.ts';
import type { Profile } from './profile.ts';

/** BR 4.9.9, P-16: no interval shorter than this is signed, so none with less left of the responder certificate either. */
export const MIN_VALIDITY_MS = 8 * HOUR;
/** Between two signers of one store, at most: what clients allow for as well. */
const CLOCKS_DIFFER_MS = 5 * MINUTE;

export interface ResponseTimes {
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly refreshAt: EpochMs;
}

/**
 * The times of an answer signed now.
 *
 * nextUpdate is clamped to the responder certificate's notAfter (Mozilla policy §6, R-10): a signed answer never outlives
 * it. Undefined when less than 8 h of it remain, or before its notBefore: then nothing may be signed with it.
 */
export function planResponse(
  profile: Profile,
  responder: { readonly notBefore: EpochMs; readonly notAfter: EpochMs },
  key: { readonly issuer: IssuerTag; readonly serial: Serial },
  nowMs: EpochMs,
): ResponseTimes | undefined {
  const thisUpdate = wholeSecond(nowMs);
  if (thisUpdate < responder.notBefore) return undefined;
  const nextUpdate = Math.min(
    wholeSecond(thisUpdate + profile.ocsp.validityMs - SECOND),
    wholeSecond(responder.notAfter),
  );
  const validityMs = nextUpdate - thisUpdate + SECOND;
  if (validityMs < MIN_VALIDITY_MS) return undefined;
  // A clamped interval is refreshed in proportion: at the same share of its length as a full one. The jitter comes off what
  // the deadline leaves, so that it spreads a bulk load there as well.
  const refreshAfter = Math.min(
    profile.ocsp.refreshAfterMs,
    (profile.ocsp.refreshAfterMs / profile.ocsp.validityMs) * validityMs,
    refreshDeadline(thisUpdate, nextUpdate) - thisUpdate,
  );
  // Never within the second of thisUpdate: the successor would not be later, and could not supersede.
  const refreshAt = thisUpdate + Math.max(SECOND, Math.floor(refreshAfter * (1 - JITTER_SHARE * jitter(key))));
  return { thisUpdate, nextUpdate, refreshAt };
}

/**
 * The last instant at which an answer may be the newest: the earliest of v/2 (Microsoft 3.2.2, P-16; BR 4.9.9 for
 * v < 16 h), nextUpdate − 8 h for v ≥ 16 h, and thisUpdate + 4 d (BR 4.9.9, CT-4.9.10-c/d).
 */
export function refreshDeadline(thisUpdate: EpochMs, nextUpdate: EpochMs): EpochMs {
  const validityMs = nextUpdate - thisUpdate + SECOND;
  const eightHoursBefore = validityMs >= 16 * HOUR ? nextUpdate - 8 * HOUR : Infinity;
  return Math.min(thisUpdate + validityMs / 2, eightHoursBefore, thisUpdate + 4 * DAY);
}

/**
 * From when on the newest answer shows that signing is behind, though no limit is broken yet: a third of the way from its
 * planned refresh to its deadline.
 */
export function refreshLateAt(profile: Profile, thisUpdate: EpochMs): EpochMs {
  const deadline = refreshDeadline(thisUpdate, thisUpdate + profile.ocsp.validityMs - SECOND);
  const planned = Math.min(thisUpdate + profile.ocsp.refreshAfterMs, deadline);
  return planned + (deadline - planned) / 3;
}

/**
 * Whichever answer has an earlier thisUpdate than this is late (refreshLateAt), or stale: past its deadline. For answers of full
 * length: one that ends with its responder certificate is due sooner, and its successor's alarm comes long before (T-17).
 */
export function latestLate(profile: Profile, nowMs: EpochMs): EpochMs {
  return nowMs - refreshLateAt(profile, 0);
}

export function latestStale(profile: Profile, nowMs: EpochMs): EpochMs {
  return nowMs - refreshDeadline(0, profile.ocsp.validityMs - SECOND);
}

/**
 * How long a due refresh may stand behind a mass revocation, from its planned instant on: half of what is left before it counts
 * as late. Of an answer as short as can be (MIN_VALIDITY_MS, at the end of a responder certificate), because the queue knows
 * when an item is due and not how long its answer lasts. Waiting costs nothing in the end: the work is the same.
 */
export function refreshPatience(profile: Profile): number {
  const { validityMs, refreshAfterMs } = profile.ocsp;
  const planned = Math.min(refreshAfterMs, refreshDeadline(0, validityMs - SECOND));
  return ((refreshLateAt(profile, 0) - planned) / 2) * Math.min(1, MIN_VALIDITY_MS / validityMs);
}

/**
 * P4: thisUpdate ≤ now ≤ nextUpdate, or it is not served. To the millisecond: the second that T-01 counts in belongs to the
 * length of the interval, but a client whose clock has fractions takes an answer for expired within it (RFC 6960 §4.2.2.1).
 */
export function servable(
  times: { readonly thisUpdate: EpochMs; readonly nextUpdate: EpochMs },
  nowMs: EpochMs,
): boolean {
  return times.thisUpdate <= nowMs && nowMs <= times.nextUpdate;
}

/**
 * May `next` stand where `current` stands? A higher revision always; the same revision only with a later thisUpdate.
 * Never by the clock alone: a late `good` of revision 1 cannot replace `revoked` of revision 2, however new its
 * thisUpdate is (P2).
 */
export function supersedes(
  next: Pick<PublishedResponse, 'revision' | 'thisUpdate'>,
  current: Pick<PublishedResponse, 'revision' | 'thisUpdate'>,
): boolean {
  return next.revision !== current.revision ? next.revision > current.revision : next.thisUpdate > current.thisUpdate;
}

/**
 * May it be published over `current`? Also when that begins after the moment at which this was signed, by more than clocks differ: the
 * clock had leapt forward, and nobody may be given it before its time comes (P4). The revision decides as ever (P2).
 */
export function mayReplace(
  next: Pick<PublishedResponse, 'revision' | 'thisUpdate' | 'publishedAt'>,
  current: Pick<PublishedResponse, 'revision' | 'thisUpdate'>,
): boolean {
  if (supersedes(next, current)) return true;
  return next.revision === current.revision && current.thisUpdate > next.publishedAt + CLOCKS_DIFFER_MS;
}

/** Is the certificate still answered for? Until its notAfter and the profile's grace; always when notAfter is not known. */
export function answerable(profile: Profile, notAfter: EpochMs | undefined, nowMs: EpochMs): boolean {
  return notAfter === undefined || nowMs <= notAfter + profile.ocsp.afterExpiryMs;
}

export interface CrlTimes {
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
}

/**
 * The times of a CRL built now. thisUpdate must be later than the previous one's (C-10, CRLite refuses an older one);
 * undefined when the clock has not moved on or has stepped back, and at the end of the CA certificate, which nextUpdate does
 * not pass. With one validity nextUpdate never comes before the previous CRL's (C-08, a SHOULD); a validity that was
 * shortened holds at once and is not exceeded for its sake.
 */
export function planCrl(
  profile: Profile,
  previous: Pick<CrlRecord, 'thisUpdate'> | undefined,
  caNotAfter: EpochMs,
  nowMs: EpochMs,
): CrlTimes | undefined {
  const thisUpdate = wholeSecond(nowMs);
  if (previous !== undefined && thisUpdate <= previous.thisUpdate) return undefined;
  const nextUpdate = Math.min(wholeSecond(thisUpdate + profile.crl.validityMs - SECOND), wholeSecond(caNotAfter));
  return nextUpdate <= thisUpdate ? undefined : { thisUpdate, nextUpdate };
}

/** Between two scheduled CRLs: at most 4 days once a certificate names no OCSP responder (BR 4.9.7, B-13, T-42), whatever the profile says. */
export function crlPeriodMs(profile: Profile, everyCertificateNamesOcsp: boolean): number {
  const { periodMs } = profile.crl;
  return everyCertificateNamesOcsp || !hasFourDayRule(profile) ? periodMs : Math.min(periodMs, 4 * DAY);
}

/**
 * B-13 is of the TLS BR and about subscriber certificates: CRLs of CA certificates have a limit of 12 months, and neither the S/MIME
 * BR nor the CSBR ask whether a certificate names OCSP (SM-01, CS-02). Where none of the three binds, the stricter way is taken.
 */
export function hasFourDayRule({ issues, authorities }: Profile): boolean {
  const beyondTls = authorities.some((name) => name === 'cabf-smime' || name === 'cabf-cs');
  return issues !== 'ca-certificates' && (authorities.includes('cabf-tls') || !beyondTls);
}

/**
 * When the scheduled CRL after one of `scheduledAt` is due: a period later for a complete CRL. Those of shards have a place of their own
 * within the period, so that a hundred of them are not due in one minute: what came out of step, first and after a downtime, moves
 * there by at most half a period at a time. Never later than a period, and never sooner than half of one, because an entry must have
 * been on a scheduled CRL for as long as that means something (C-22, T-33).
 */
export function nextScheduledCrl(
  { scheduledAt, issuer, shard }: Pick<CrlRecord, 'scheduledAt' | 'issuer' | 'shard'>,
  periodMs: number,
): EpochMs {
  if (shard === COMPLETE) return scheduledAt + periodMs;
  const place = Math.floor((periodMs * fractionOf(`${issuer} ${shard}`)) / SECOND) * SECOND;
  const ahead = (((scheduledAt - place) % periodMs) + periodMs) % periodMs;
  return scheduledAt + periodMs - Math.min(ahead, periodMs / 2);
}

/** 0 … 1, fixed per name. */
function fractionOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE() / 0x1_0000_0000;
}

/**
 * May an entry leave the CRL? Only after it was on a regularly scheduled CRL issued after the certificate's notAfter
 * (RFC 5280 §3.3, C-22, BR 7.2): so when the newest scheduled CRL so far is later than notAfter and has the revocation in
 * its data. That is asked of the journal's numbers, not of the clock: what was recorded before thisUpdate may have reached
 * the ledger after the CRL was read from it. An entry without notAfter never leaves (CT-4.10.1).
 * @param afterExpiryMs of the profile: for so long an entry is kept as if its certificate had not ended (CS-01).
 */
export function mayLeaveCrl(
  entry: { readonly notAfter: EpochMs | undefined; readonly recordedSeq: number },
  last: Pick<CrlRecord, 'scheduledAt' | 'scheduledAsOfSeq'> | undefined,
  afterExpiryMs: number,
): boolean {
  return (
    entry.notAfter !== undefined &&
    last !== undefined &&
    entry.notAfter + afterExpiryMs < last.scheduledAt &&
    entry.recordedSeq <= last.scheduledAsOfSeq
  );
}

/** Of the planned age at re-signing, how much the jitter may take off: a bulk load does not come due at once. */
const JITTER_SHARE = 0.2;

/** 0 … 1, fixed per certificate. */
function jitter(key: { readonly issuer: IssuerTag; readonly serial: Serial }): number {
  // The last four octets of a serial are random for any CA that follows BR 7.1 (64 bits of CSPRNG); sequential serials are
  // spread by the multiplication.
  const tail = parseInt(key.serial.slice(-8), 16) >>> 0;
  return (Math.imul(tail ^ parseInt(key.issuer, 16), 0x9e3779b1) >>> 0) / 0x1_0000_0000;
}
