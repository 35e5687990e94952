/**
 * Which events may change a certificate, and into what. Pure: current state and event in, new state or Problem out.
 * Sending an event again changes nothing (idempotent); what contradicts the record is a conflict; nothing is ever
 * un-revoked (T-29), except a hold where the profile permits holds.
 */
import type { Certificate, IssuerTag, Lane, Revocation } from './certificate.ts';
import { Problem } from './problem.ts';
import type { Profile } from './policy/profile.ts';
import { REASON_CODES, type Reason, type ReasonName } from './reason.ts';
import type { Serial } from './serial.ts';
import { rfc3339, wholeSecond, type EpochMs } from './time.ts';

export interface Issuance {
  readonly serial: Serial;
  readonly notBefore: EpochMs | undefined;
  readonly notAfter: EpochMs;
  readonly precertificate: boolean;
  /** Name of its shard, once that is settled (core/crl/shards.ts); before, what the event says: a name or a URL. */
  readonly crlShard: string | undefined;
  /** What the certificate itself says about its CRL, where it was seen whole: see ShardClues. */
  readonly crlUrls?: readonly string[] | undefined;
  readonly isCa?: boolean | undefined;
  readonly withoutOcsp: boolean;
  readonly spkiHash: string | undefined;
}

export interface RevocationEvent {
  readonly serial: Serial;
  readonly reason: ReasonName | undefined;
  /** Undefined: the time at which the event is recorded. */
  readonly revokedAt: EpochMs | undefined;
}

/** Undefined certificate: nothing changes. Undefined lane: recorded, but the published answer stays right. */
export interface Transition {
  readonly certificate: Certificate | undefined;
  readonly lane: Lane | undefined;
}

const NO_CHANGE: Transition = { certificate: undefined, lane: undefined };

/** A certificate or precertificate was issued. `seq` is filled in by whoever journals. */
export function issue(
  issuer: IssuerTag,
  current: Certificate | undefined,
  event: Issuance,
  nowMs: EpochMs,
): Transition {
  checkPositive(event.serial);
  checkRepresentable('/notBefore', event.notBefore);
  checkRepresentable('/notAfter', event.notAfter);
  if (event.notBefore !== undefined && event.notAfter < event.notBefore) {
    throw new Problem('invalid', 'ends before it begins', {
      field: '/notAfter',
      value: rfc3339(event.notAfter),
      rule: 'RFC 5280 §4.1.2.5',
    });
  }
  if (current === undefined) {
    // Field by field: an import hands in rows that have more, millions of them.
    const certificate: Certificate = {
      issuer,
      serial: event.serial,
      revision: 1,
      notBefore: event.notBefore,
      notAfter: event.notAfter,
      precertificate: event.precertificate,
      crlShard: event.crlShard,
      withoutOcsp: event.withoutOcsp,
      spkiHash: event.spkiHash,
      revocation: undefined,
      recordedAt: nowMs,
      recordedSeq: 0,
    };
    return { certificate, lane: 'issue' };
  }
  for (const field of ['notBefore', 'notAfter', 'crlShard', 'spkiHash'] as const) {
    // What the record does not know yet is learnt; what it knows must agree: two certificates never share a serial (C-28).
    if (current[field] !== undefined && event[field] !== undefined && current[field] !== event[field]) {
      const [recorded, given] = [current[field], event[field]].map((value) =>
        typeof value === 'number' ? rfc3339(value) : value,
      );
      throw new Problem('conflict', `this serial is recorded with ${field} ${recorded}`, {
        field: `/${field}`,
        value: given,
        rule: 'RFC 5280 §4.1.2.2',
      });
    }
  }
  const learnt: Certificate = {
    ...current,
    notBefore: current.notBefore ?? event.notBefore,
    notAfter: current.notAfter ?? event.notAfter,
    crlShard: current.crlShard ?? event.crlShard,
    withoutOcsp: current.withoutOcsp || event.withoutOcsp,
    spkiHash: current.spkiHash ?? event.spkiHash,
    // The final certificate supersedes its precertificate, never the reverse (RFC 6962 §3.1, T-23).
    precertificate: current.precertificate && event.precertificate,
  };
  const same = (['notBefore', 'notAfter', 'crlShard', 'withoutOcsp', 'spkiHash', 'precertificate'] as const).every(
    (field) => learnt[field] === current[field],
  );
  // Same revision, no lane: what OCSP and CRL say does not change.
  return same ? NO_CHANGE : { certificate: { ...learnt, recordedAt: nowMs }, lane: undefined };
}

/**
 * A certificate was revoked, or the reason or date of its revocation changed.
 * @param nowMs the time of recording; revokedAt may not lie after it (T-32).
 */
export function revoke(
  profile: Profile,
  current: Certificate | undefined,
  event: RevocationEvent,
  nowMs: EpochMs,
): Transition {
  if (current === undefined) {
    throw new Problem('not-found', 'no certificate or precertificate with this serial has been issued by this issuer', {
      field: '/serial',
      value: event.serial,
      rule: 'BR 4.9.9',
    });
  }
  if (event.reason === 'removeFromCRL') return release(profile, current, nowMs);
  const reason = permittedReason(profile, event.reason);
  const revokedAt = event.revokedAt === undefined ? undefined : wholeSecond(event.revokedAt);
  if (revokedAt !== undefined) checkDate(current, revokedAt, nowMs);

  if (current.revocation === undefined) {
    // Now, even when the certificate has not begun: T-32 and the 24 hours of BR 4.9.1.1 leave no other date. A date that the
    // caller chooses may not lie before notBefore (T-30).
    return revoked(current, { revokedAt: revokedAt ?? wholeSecond(nowMs), reason }, nowMs);
  }
  const was = current.revocation;
  const sameReason = was.reason === reason;
  if (sameReason && (revokedAt === undefined || revokedAt === was.revokedAt)) return NO_CHANGE;
  // CSBR 7.2, 7.3: a more appropriate date may take the place of the recorded one, whatever the reason (CS-04).
  if (profile.reasons.redate === 'any' && revokedAt !== undefined && (sameReason || reason === 'keyCompromise'))
    return revoked(current, { revokedAt, reason }, nowMs);

  // B-31, BR 7.2.2: a verified key compromise replaces any other reason and may move the date back (T-30), never forward.
  if (reason === 'keyCompromise') {
    if (revokedAt !== undefined && revokedAt > was.revokedAt) {
      throw new Problem(
        'conflict',
        `this certificate is revoked since ${rfc3339(was.revokedAt)}; the date may only move back`,
        {
          field: '/revokedAt',
          value: rfc3339(revokedAt),
          rule: 'BR 7.2.2',
        },
      );
    }
    return revoked(current, { revokedAt: revokedAt ?? was.revokedAt, reason }, nowMs);
  }
  if (was.reason === 'certificateHold' && !sameReason)
    return revoked(current, { revokedAt: revokedAt ?? was.revokedAt, reason }, nowMs);
  throw new Problem(
    'conflict',
    `this certificate is revoked since ${rfc3339(was.revokedAt)} with reason ${was.reason ?? 'none'}; only keyCompromise may replace it`,
    sameReason
      ? { field: '/revokedAt', value: revokedAt === undefined ? undefined : rfc3339(revokedAt), rule: 'BR 7.2.2' }
      : { field: '/reason', value: event.reason ?? 'none', rule: 'BR 7.2.2' },
  );
}

/** The reason as it is published: none for `unspecified` (C-23, CT-7.2-b). @throws Problem `refused` with the profile's rule. */
export function permittedReason(profile: Profile, reason: ReasonName | undefined): Reason | undefined {
  if (reason === undefined || reason === 'unspecified') return undefined;
  if (reason === 'certificateHold') {
    if (profile.reasons.hold === 'allow') return reason;
    const optional = profile.authorities.includes('cabf-smime');
    throw new Problem('refused', 'certificates are not suspended under this profile', {
      field: '/reason',
      value: reason,
      rule: optional ? 'S/MIME BR 4.9.13; reasons.hold in issuer.yaml' : 'CT-4.9.13, BR 4.9.13',
    });
  }
  if (reason === 'removeFromCRL' || !profile.reasons.permitted.includes(reason)) {
    throw new Problem('refused', `not a permitted reason; permitted: none, ${profile.reasons.permitted.join(', ')}`, {
      field: '/reason',
      value: `${reason} (${REASON_CODES[reason]})`,
      rule: 'CT-7.2-c, BR 7.2.2',
    });
  }
  return reason;
}

function release(profile: Profile, current: Certificate, nowMs: EpochMs): Transition {
  if (
    profile.reasons.hold !== 'allow' ||
    (current.revocation !== undefined && current.revocation.reason !== 'certificateHold')
  ) {
    throw new Problem('refused', 'a revocation cannot be undone', {
      field: '/reason',
      value: 'removeFromCRL',
      rule: 'CT-4.9.13, BR 4.10.1',
    });
  }
  if (current.revocation === undefined) return NO_CHANGE;
  return {
    certificate: { ...current, revision: current.revision + 1, revocation: undefined, recordedAt: nowMs },
    lane: 'revocation',
  };
}

function revoked(current: Certificate, revocation: Revocation, nowMs: EpochMs): Transition {
  return {
    certificate: { ...current, revision: current.revision + 1, revocation, recordedAt: nowMs },
    lane: 'revocation',
  };
}

/**
 * Whatever says that the certificate exists: recorded as revoked, zero would keep every later CRL from being published.
 * @throws Problem `invalid`
 */
export function checkPositive(serial: Serial): void {
  if (serial !== '00') return;
  throw new Problem('invalid', 'a serial number is greater than zero', {
    field: '/serial',
    value: serial,
    rule: 'RFC 5280 §4.1.2.2',
  });
}

/**
 * Dates that a certificate, a CRL and the store can say: UTCTime begins with 1950, GeneralizedTime ends with 9999. Refused
 * here because an event that the ledger cannot hold must not get into the journal.
 * @throws Problem `invalid`
 */
export function checkRepresentable(field: string, instant: EpochMs | undefined): void {
  if (instant === undefined || (instant >= YEAR_1950 && instant < YEAR_10000)) return;
  throw new Problem('invalid', 'not a date of the years 1950 to 9999', {
    field,
    value: rfc3339(instant),
    rule: 'RFC 5280 §4.1.2.5',
  });
}

const YEAR_1950 = Date.UTC(1950, 0, 1);
const YEAR_10000 = Date.UTC(10000, 0, 1);

function checkDate(current: Certificate, revokedAt: EpochMs, nowMs: EpochMs): void {
  checkRepresentable('/revokedAt', revokedAt);
  if (revokedAt > nowMs) {
    throw new Problem('refused', `lies in the future; the time here is ${rfc3339(nowMs)}`, {
      field: '/revokedAt',
      value: rfc3339(revokedAt),
      rule: 'T-32',
    });
  }
  if (current.notBefore !== undefined && revokedAt < current.notBefore) {
    throw new Problem('refused', `before the certificate's notBefore ${rfc3339(current.notBefore)}`, {
      field: '/revokedAt',
      value: rfc3339(revokedAt),
      rule: 'BR 7.2.2, T-30',
    });
  }
}
