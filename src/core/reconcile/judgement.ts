/**
 * Whether what OCSP and a CRL say of one certificate is what the ledger says (T-59, CT-4.9.6, SR-2.2-a). What is on its way and
 * within the time that it may take is no difference: it is pending.
 */
import type { Certificate, CrlRecord, PublishedResponse, Revocation } from '../certificate.ts';
import { answerable, mayLeaveCrl, servable } from '../policy/freshness.ts';
import type { Profile } from '../policy/profile.ts';
import type { ReasonName } from '../reason.ts';
import { DAY, formatDuration, MINUTE, rfc3339, SECOND, type EpochMs } from '../time.ts';

export type Judgement =
  | { readonly kind: 'agrees' }
  /** Recorded at `since`, and not published yet; still in time. */
  | { readonly kind: 'pending'; readonly since: EpochMs }
  | { readonly kind: 'differs'; readonly message: string; readonly rule: string };

/** B-18, CT-4.9.10-e: so long a first answer may take. No document gives a change of status more, so it has no more here. */
const OCSP_DELAY_MS = 15 * MINUTE;
/** Beyond the time for which revocations are gathered: to build the CRL, sign it and let everybody have it. */
const CRL_BUILD_MS = 15 * MINUTE;
/** A CRL of the schedule may be this late: its build begins with the period. */
const CRL_LATE_MS = 15 * MINUTE;

/** How long after a revocation was recorded the CRL may be without it, well below the 24 hours of B-14. */
const crlDelayMs = (profile: Profile): number => profile.crl.coalesceMs + CRL_BUILD_MS;

/**
 * Of a scope of which no CRL was ever published. B-12: the first is due within a day of the CA's first certificate; here as soon as any
 * other. Undefined: nothing was issued yet. @param since when the issuer's first certificate was recorded.
 */
export function judgeMissingCrl(profile: Profile, since: EpochMs | undefined, nowMs: EpochMs): Judgement | undefined {
  if (since === undefined) return undefined;
  return late(since, crlDelayMs(profile), nowMs, 'no CRL of this scope was ever published', 'B-12, T-38');
}

const AGREES: Judgement = { kind: 'agrees' };
const differs = (message: string, rule: string): Judgement => ({ kind: 'differs', message, rule });

/** Undefined: nobody answers for it any more (RFC 9919 §3.2.3). @param responder who signed it, if its answers may be served. */
export function judgeAnswer(
  profile: Profile,
  certificate: Certificate,
  response: PublishedResponse | undefined,
  responder: { readonly notAfter: EpochMs } | undefined,
  nowMs: EpochMs,
): Judgement | undefined {
  if (!answerable(profile, certificate.notAfter, nowMs)) return undefined;
  if (response === undefined || response.revision < certificate.revision) {
    return late(
      certificate.recordedAt,
      OCSP_DELAY_MS,
      nowMs,
      'no answer of what is recorded is published',
      'CT-4.10.2-b',
    );
  }
  // P2: nobody can have decided it, so nobody may say it.
  if (response.revision > certificate.revision)
    return differs(`the answer is of revision ${response.revision}, the ledger has ${certificate.revision}`, 'P2');
  if (!sameRevocation(response.revocation, certificate.revocation))
    return differs(`OCSP says ${said(response.revocation)}, the ledger ${said(certificate.revocation)}`, 'T-59');
  if (!servable(response, nowMs))
    return differs(`its answer is of ${rfc3339(response.thisUpdate)} to ${rfc3339(response.nextUpdate)}`, 'P4');
  if (responder === undefined)
    return differs(`its answer is signed by responder ${response.responder}, whose answers are not served`, 'P4');
  if (response.nextUpdate > responder.notAfter)
    return differs(`its answer outlives its responder certificate (${rfc3339(responder.notAfter)})`, 'R-10');
  const missing = (['sha1', 'sha256'] as const).filter((hash) => response.signatures[hash].length === 0);
  if (missing.length > 0) return differs(`no signature for ${missing.join(', ')} CertIDs`, 'O-20');
  return AGREES;
}

/** What a CRL says of a certificate. */
export interface Listed {
  readonly revocationDate: EpochMs;
  readonly reason: ReasonName | undefined;
}

/** The certificate and the current CRL of a scope that it is in. */
export function judgeListing(
  profile: Profile,
  certificate: Certificate,
  listed: Listed | undefined,
  record: CrlRecord,
  nowMs: EpochMs,
): Judgement {
  const { revocation, recordedAt, recordedSeq } = certificate;
  // Somebody has to carry it to the key and back: then the limit itself.
  const permitted = record.kind === 'imported' ? DAY : crlDelayMs(profile);
  /** What was recorded after the CRL's data was read. */
  const after = (message: string, rule: string): Judgement =>
    recordedSeq > record.asOfSeq ? late(recordedAt, permitted, nowMs, message, rule) : differs(message, rule);
  if (listed === undefined) {
    if (revocation === undefined || mayLeaveCrl(certificate, record, profile.crl.afterExpiryMs)) return AGREES;
    return after(`revoked, and not on CRL ${record.number}`, 'C-18, B-14');
  }
  // A hold that was released (T-29).
  if (revocation === undefined) return after(`on CRL ${record.number}, and not revoked in the ledger`, 'T-59');
  if (listed.revocationDate !== revocation.revokedAt || listed.reason !== revocation.reason) {
    const crl = said({ revokedAt: listed.revocationDate, reason: listed.reason });
    return after(`CRL ${record.number} says ${crl}, the ledger ${said(revocation)}`, 'T-59');
  }
  return AGREES;
}

/** Of the CRL as a whole: undefined when it is fit to be relied on. */
export function judgeCrl(profile: Profile, record: CrlRecord, nowMs: EpochMs): Judgement | undefined {
  if (nowMs > record.nextUpdate) return differs(`expired ${rfc3339(record.nextUpdate)}`, 'P4');
  if (nowMs < record.thisUpdate) return differs(`thisUpdate ${rfc3339(record.thisUpdate)} is in the future`, 'P4');
  const overdueMs = nowMs - record.scheduledAt - profile.crl.periodMs;
  if (record.kind !== 'imported' && overdueMs > CRL_LATE_MS)
    return differs(
      `the next one is ${formatDuration(Math.floor(overdueMs / SECOND) * SECOND)} late`,
      'CT-4.9.7-a, B-13',
    );
  return undefined;
}

function late(since: EpochMs, withinMs: number, nowMs: EpochMs, message: string, rule: string): Judgement {
  const ageMs = nowMs - since;
  if (ageMs <= withinMs) return { kind: 'pending', since };
  const age = formatDuration(Math.floor(ageMs / SECOND) * SECOND);
  return differs(`${message}, ${age} after it was recorded (permitted: ${formatDuration(withinMs)})`, rule);
}

function sameRevocation(a: Revocation | undefined, b: Revocation | undefined): boolean {
  return a?.revokedAt === b?.revokedAt && a?.reason === b?.reason;
}

function said(
  revocation: { readonly revokedAt: EpochMs; readonly reason: ReasonName | undefined } | undefined,
): string {
  if (revocation === undefined) return 'good';
  const date = Number.isNaN(revocation.revokedAt) ? 'an unreadable date' : rfc3339(revocation.revokedAt);
  return `revoked ${date}, ${revocation.reason ?? 'no reason'}`;
}
