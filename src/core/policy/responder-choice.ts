/**
 * Which responder certificate signs, and when its successor is due. Two overlap at every change-over: the old one signs until the
 * new one has been valid for a day, and its answers are served until they have been replaced (T-17, T-18).
 */
import { DAY, SECOND, wholeSecond, type EpochMs } from '../time.ts';
import { MIN_VALIDITY_MS } from './freshness.ts';
import type { Profile } from './profile.ts';

/**
 * What a responder certificate is still for. `answers`: it signs nothing more, but its answers are served until they are
 * replaced. `nothing`: not even that (CT-6.2.6-b).
 */
export type ResponderUse = 'signing' | 'answers' | 'nothing';

export interface ResponderSpan {
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

export interface ResponderCandidate {
  readonly certificate: ResponderSpan;
  /** Its key can sign now. */
  readonly usable: boolean;
}

/** T-18: a client whose clock is slow by less than this takes the certificate for valid. */
export const SETTLING_MS = DAY;

/**
 * The certificate to sign with at `nowMs`: of those with a usable key and at least 8 h left the newest that has been valid for
 * a day. When none has, the one that has been valid longest: clients with slow clocks refuse it, but without it all would.
 * Undefined when nothing can sign.
 */
export function chooseResponder<Candidate extends ResponderCandidate>(
  candidates: readonly Candidate[],
  nowMs: EpochMs,
): Candidate | undefined {
  const able = candidates
    .filter(({ certificate, usable }) => usable && lastsLongEnough(certificate, nowMs))
    .sort((a, b) => newestFirst(a.certificate, b.certificate));
  return able.find(({ certificate }) => certificate.notBefore + SETTLING_MS <= nowMs) ?? able.at(-1);
}

/** Valid now, and for as long as the shortest answer lasts (BR 4.9.9); the interval counts inclusively (T-01). */
export function lastsLongEnough({ notBefore, notAfter }: ResponderSpan, nowMs: EpochMs): boolean {
  return notBefore <= nowMs && wholeSecond(nowMs) + MIN_VALIDITY_MS - SECOND <= notAfter;
}

/** Of two that begin together the one that lasts longer comes first. */
export function newestFirst(a: ResponderSpan, b: ResponderSpan): number {
  return b.notBefore - a.notBefore || b.notAfter - a.notAfter;
}

/** Time for a ceremony and the CA's signature, ahead of the instant at which the successor has to be there. */
const CEREMONY_MS = 14 * DAY;
/** Never a shorter warning than this. */
const WARNING_MS = 21 * DAY;

export interface SuccessorDue {
  /** When the last of the certificates ends. */
  readonly lastEnds: EpochMs;
  /** When a successor must begin: a validity and a day before, so that no answer has to be cut short (T-17, T-18). */
  readonly dueAt: EpochMs;
  readonly alarm: 'none' | 'warning' | 'failing';
}

/** Undefined when there is no certificate at all. */
export function successorDue(
  profile: Profile,
  responders: readonly ResponderSpan[],
  nowMs: EpochMs,
): SuccessorDue | undefined {
  if (responders.length === 0) return undefined;
  const lastEnds = Math.max(...responders.map(({ notAfter }) => notAfter));
  const dueAt = lastEnds - profile.ocsp.validityMs - SETTLING_MS;
  const warnAt = Math.min(dueAt - CEREMONY_MS, lastEnds - WARNING_MS);
  return { lastEnds, dueAt, alarm: nowMs > dueAt ? 'failing' : nowMs > warnAt ? 'warning' : 'none' };
}
