/**
 * What a mass revocation is about: which certificates, and what is to be said of each. Pure; the same for the plan, the run and the
 * drill, so that what is shown is what is done.
 */
import type { Certificate } from '../certificate.ts';
import { applyClause } from '../policy/clause.ts';
import type { Profile } from '../policy/profile.ts';
import { Problem } from '../problem.ts';
import type { ReasonName } from '../reason.ts';
import { permittedReason, revoke, type RevocationEvent, type Transition } from '../status.ts';
import { rfc3339, type EpochMs } from '../time.ts';

/** Both ends belong to it; undefined: no such end. */
export interface Window {
  readonly from: EpochMs | undefined;
  readonly to: EpochMs | undefined;
}

/** What a certificate must be to be selected: all that is given must hold. Nothing given: every certificate. */
export interface Criteria {
  /** spkiHash of the keys (SR-6.2.6-b): one of them. */
  readonly keys: readonly string[] | undefined;
  readonly notBefore: Window | undefined;
  /** When what is known of the certificate was recorded. */
  readonly recorded: Window | undefined;
}

export const EVERY_CERTIFICATE: Criteria = { keys: undefined, notBefore: undefined, recorded: undefined };

/** What is said of every selected certificate. */
export interface MassOrder {
  /** As it will be published: undefined for none (CT-7.2-b). */
  readonly reason: ReasonName | undefined;
  readonly clause: string | undefined;
  /** When the CA became aware: the deadline counts from here. */
  readonly awareAt: EpochMs;
  /** Time from awareness to the published revocation, by the clause. */
  readonly deadline: EpochMs | undefined;
  /** Undefined: the second in which the run was started, the same for all. */
  readonly revokedAt: EpochMs | undefined;
  /** A key that is only suspected to be compromised starts the same clock (CT-4.9.12-b). */
  readonly suspected: boolean;
  readonly requestedBy: string | undefined;
}

/** `undecided`: the ledger does not know what is asked for, e.g. the key of a certificate of which it was told the serial alone. */
export type Selected = 'yes' | 'no' | 'undecided';

export function selects(criteria: Criteria, certificate: Certificate): Selected {
  const { keys, notBefore, recorded } = criteria;
  const answers: Selected[] = [];
  if (keys !== undefined) {
    const { spkiHash } = certificate;
    answers.push(spkiHash === undefined ? 'undecided' : keys.includes(spkiHash) ? 'yes' : 'no');
  }
  if (notBefore !== undefined) answers.push(within(notBefore, certificate.notBefore));
  if (recorded !== undefined) answers.push(within(recorded, certificate.recordedAt));
  // One certain no decides, whatever is not known.
  return answers.includes('no') ? 'no' : answers.includes('undecided') ? 'undecided' : 'yes';
}

function within({ from, to }: Window, instant: EpochMs | undefined): Selected {
  if (instant === undefined) return 'undecided';
  return (from === undefined || instant >= from) && (to === undefined || instant <= to) ? 'yes' : 'no';
}

/**
 * The order that clause and reason make, checked against every issuer's profile before anything else happens.
 * @throws Problem `refused` or `invalid`: as for a single revocation.
 */
export function massOrder(asked: Omit<MassOrder, 'deadline'>, profiles: readonly Profile[], nowMs: EpochMs): MassOrder {
  for (const field of ['awareAt', 'revokedAt'] as const) {
    const instant = asked[field];
    if (instant !== undefined && instant > nowMs)
      throw new Problem('refused', `lies in the future; the time here is ${rfc3339(nowMs)}`, {
        field: `/${field}`,
        value: rfc3339(instant),
        rule: field === 'awareAt' ? 'CT-4.9.1.1' : 'T-32',
      });
  }
  // It would end holds one by one; many at once is nobody's duty.
  if (asked.reason === 'removeFromCRL')
    throw new Problem('refused', 'not a reason to revoke', { field: '/reason', rule: 'RFC 5280 §5.3.1' });
  const { reason, deadline } =
    asked.clause === undefined
      ? { reason: asked.reason, deadline: undefined }
      : applyClause(asked.clause, asked.reason, asked.awareAt);
  for (const profile of profiles) permittedReason(profile, reason);
  return { ...asked, reason, deadline };
}

/** What becomes of a certificate on the list. */
export type Fate =
  | { readonly kind: 'revoke'; readonly transition: Transition }
  /** Revoked as ordered, or for another reason that nothing but keyCompromise may replace (B-31). */
  | { readonly kind: 'already' }
  /** Recorded by this very run, before a crash that came ahead of its count. */
  | { readonly kind: 'done' }
  /** Nobody relies on it any more (BR 4.9.10: no duty to answer); revoking it would only make CRLs larger. */
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' }
  /** What the ledger's rules refuse for this one certificate. */
  | { readonly kind: 'refused'; readonly problem: Problem };

/** @param startedAt of the run; whole second. */
export function fateOf(
  profile: Profile,
  order: MassOrder,
  startedAt: EpochMs,
  certificate: Certificate | undefined,
  nowMs: EpochMs,
): Fate {
  if (certificate === undefined) return { kind: 'unknown' };
  if (certificate.notAfter !== undefined && certificate.notAfter < nowMs) return { kind: 'expired' };
  try {
    const transition = revoke(profile, certificate, eventFor(order, startedAt, certificate, nowMs), nowMs);
    if (transition.certificate === undefined) return { kind: certificate.recordedAt >= startedAt ? 'done' : 'already' };
    return { kind: 'revoke', transition: { ...transition, lane: 'mass' } };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return certificate.revocation !== undefined ? { kind: 'already' } : { kind: 'refused', problem: error };
  }
}

function eventFor(order: MassOrder, startedAt: EpochMs, certificate: Certificate, nowMs: EpochMs): RevocationEvent {
  const { serial, notBefore, revocation } = certificate;
  // The date of an earlier revocation stays, unless the order names one: then keyCompromise may move it back (T-30).
  let revokedAt = order.revokedAt ?? (revocation === undefined ? startedAt : undefined);
  if (revokedAt !== undefined && notBefore !== undefined && notBefore > revokedAt) {
    // T-30: never before notBefore. One that has not begun is revoked as of now, as a single one would be.
    revokedAt = notBefore <= nowMs ? notBefore : undefined;
  }
  return { serial, reason: order.reason, revokedAt };
}

/** The criteria in words, for plan, journal and report. */
export function criteriaText(criteria: Criteria, listed: number | undefined): string {
  const parts = [
    listed === undefined ? undefined : `one of ${listed} listed serials`,
    criteria.keys && `public key ${criteria.keys.join(' or ')}`,
    criteria.notBefore && `notBefore ${windowText(criteria.notBefore)}`,
    criteria.recorded && `recorded ${windowText(criteria.recorded)}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? 'every unexpired certificate' : parts.join(', and ');
}

function windowText({ from, to }: Window): string {
  return [from && `from ${rfc3339(from)}`, to && `to ${rfc3339(to)}`].filter(Boolean).join(' ');
}
