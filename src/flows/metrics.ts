/**
 * Every metric of the system that a flow moves, with its name, unit and help. Labels come from closed lists, so that their
 * number is bounded whatever a client sends.
 */
import type { Lane } from '../core/certificate.ts';
import { MetricSet, type Histogram, type Slot } from '../core/metric.ts';
import { SHED, type Shed } from '../ports/front.ts';
import type { PublishOutcome } from '../ports/store.ts';

/** What a client was told, or why not. The word is the same in metrics, logs and `explain`. */
export const OUTCOMES = [
  'good',
  'revoked',
  'not-modified',
  'malformed',
  'unauthorized-issuer',
  'unauthorized-serial',
  'unauthorized-expired',
  'unauthorized-hash',
  'unauthorized-many',
  'unauthorized-extension',
  'try-later',
  'internal-error',
  'crl',
  'ca-certificate',
  'not-found',
  'method-not-allowed',
  'root',
  'partial',
  'range-not-satisfiable',
  'precondition-failed',
  'busy',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

const OUTCOME_NUMBERS = Object.fromEntries(OUTCOMES.map((outcome, i) => [outcome, i])) as Readonly<
  Record<Outcome, number>
>;
const METHODS = ['GET', 'POST', 'HEAD', 'other'] as const;
const VERSIONS = ['1.0', '1.1', 'other'] as const;
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 300, 900, 3600, 86400];

export interface AnswerMetrics {
  /** One more answer. */
  count(outcome: Outcome, method: string, httpVersion: string, hash: 'sha1' | 'sha256' | undefined): void;
  /** Why a request was not OCSP: a reason of the request parser's closed list. */
  malformed(reason: string): void;
  readonly signOnMiss: Slot;
  readonly withNonce: Slot;
}

/** What became of a nonce where the profile says `live`; all but `signed`: the pre-signed answer was given. */
const LIVE_OUTCOMES = ['signed', 'over-budget', 'late', 'not-signed', 'overtaken'] as const;

export interface LiveMetrics {
  answers(outcome: (typeof LIVE_OUTCOMES)[number]): Slot;
}

/** Every way that the question about a certificate that is not in memory can go. */
export const LOOKUPS = ['found', 'never-issued', 'failed', 'remembered', 'refused', 'crowded'] as const;

export interface LookupMetrics {
  count(result: (typeof LOOKUPS)[number]): void;
}

export interface SignerMetrics {
  answers(lane: Lane, outcome: PublishOutcome): Slot;
  refused(reason: 'audit-log' | 'responder-certificate' | 'check' | 'key-holder'): Slot;
  recordedToPublished(lane: 'revocation' | 'issue', seconds: number): void;
  readonly live: Slot;
}

export interface CrlMetrics {
  readonly published: Slot;
  readonly failed: Slot;
  readonly recordedToListed: Histogram;
}

export interface FlowMetrics {
  readonly set: MetricSet;
  readonly answer: AnswerMetrics;
  readonly live: LiveMetrics;
  readonly lookups: LookupMetrics;
  /** Of a listener: called for each connection that it ends before the client does. */
  shed(listener: string): (reason: Shed) => void;
  readonly signer: SignerMetrics;
  crl(issuer: string): CrlMetrics;
}

export function flowMetrics(): FlowMetrics {
  const set = new MetricSet();
  return {
    set,
    answer: answerMetrics(set),
    live: liveMetrics(set),
    lookups: lookupMetrics(set),
    shed: (listener) => shedMetrics(set, listener),
    signer: signerMetrics(set),
    crl: crlMetrics(set),
  };
}

function answerMetrics(set: MetricSet): AnswerMetrics {
  /** By the numbers of their labels: this is done for each answer. */
  const slots = new Array<Slot | undefined>(OUTCOMES.length * 4 * 3 * 3).fill(undefined);
  const reasons = new Map<string, Slot>();
  return {
    count(outcome, method, httpVersion, hash) {
      const m = method === 'GET' ? 0 : method === 'POST' ? 1 : method === 'HEAD' ? 2 : 3;
      const v = httpVersion === '1.1' ? 1 : httpVersion === '1.0' ? 0 : 2;
      const h = hash === 'sha1' ? 0 : hash === 'sha256' ? 1 : 2;
      const at = ((OUTCOME_NUMBERS[outcome] * 4 + m) * 3 + v) * 3 + h;
      const slot = (slots[at] ??= set.counter(
        'certstatus_answers_total',
        'Answers on the public and origin listeners, by what was answered and how it was asked.',
        { outcome, method: METHODS[m] as string, http_version: VERSIONS[v] as string, certid_hash: hash ?? 'none' },
      ));
      slot.value += 1;
    },
    malformed(reason) {
      let slot = reasons.get(reason);
      if (slot === undefined) {
        slot = set.counter(
          'certstatus_malformed_requests_total',
          'Requests answered with malformedRequest, by what was wrong with them.',
          { reason },
        );
        reasons.set(reason, slot);
      }
      slot.value += 1;
    },
    signOnMiss: set.counter(
      'certstatus_sign_on_miss_total',
      'Questions that had to wait for a signature, because no answer was published yet.',
    ),
    withNonce: set.counter(
      'certstatus_nonce_requests_total',
      'Requests that carried a nonce: answered without one (RFC 9919 §3.2.1), unless the issuer has ocsp.nonce: live.',
    ),
  };
}

function liveMetrics(set: MetricSet): LiveMetrics {
  const slots = new Map(
    LIVE_OUTCOMES.map((outcome) => [
      outcome,
      set.counter(
        'certstatus_live_answers_total',
        'Nonces of issuers with ocsp.nonce: live, by what became of them; all but `signed` got the pre-signed answer (over-budget: or nobody could sign).',
        { outcome },
      ),
    ]),
  );
  return { answers: (outcome) => slots.get(outcome) as Slot };
}

function lookupMetrics(set: MetricSet): LookupMetrics {
  const help =
    'Questions about certificates that were not in memory. found, never-issued, failed: what a read of the store said. Without one: remembered, found unissued a moment ago; refused, over limits.lookupsPerSecond; crowded, too many reads under way.';
  const slots = new Map<string, Slot>(
    LOOKUPS.map((result) => [result, set.counter('certstatus_lookups_total', help, { result })]),
  );
  return {
    count: (result) => {
      (slots.get(result) as Slot).value += 1;
    },
  };
}

function shedMetrics(set: MetricSet, listener: string): (reason: Shed) => void {
  const help =
    'Connections ended by a listener before their client ended them. full: no place was left; room: closed to make room for a newcomer; idle; slow-request: a request took too long to arrive; slow-reader: a reply took too long to be read.';
  const slots = new Map<Shed, Slot>(
    SHED.map((reason) => [reason, set.counter('certstatus_connections_shed_total', help, { listener, reason })]),
  );
  return (reason) => {
    (slots.get(reason) as Slot).value += 1;
  };
}

function signerMetrics(set: MetricSet): SignerMetrics {
  const answers = new Map<string, Slot>();
  const refused = new Map<string, Slot>();
  const clocks = {
    revocation: set.histogram(
      'certstatus_revocation_to_ocsp_seconds',
      'From recording a revocation to publishing the OCSP answer that says so.',
      SECONDS,
    ),
    issue: set.histogram(
      'certstatus_issuance_to_ocsp_seconds',
      'From recording an issued certificate to publishing its first OCSP answer.',
      SECONDS,
    ),
  };
  return {
    answers(lane, outcome) {
      const key = `${lane} ${outcome}`;
      let slot = answers.get(key);
      if (slot === undefined) {
        slot = set.counter(
          'certstatus_signed_certificates_total',
          'Certificates whose answers were signed (one signature per CertID hash), by lane and what became of them.',
          { lane, outcome },
        );
        answers.set(key, slot);
      }
      return slot;
    },
    refused(reason) {
      let slot = refused.get(reason);
      if (slot === undefined) {
        slot = set.counter(
          'certstatus_signing_refused_total',
          'Signatures not made or answers not published, by reason. Anything but a constant needs a person.',
          { reason },
        );
        refused.set(reason, slot);
      }
      return slot;
    },
    recordedToPublished(lane, seconds) {
      clocks[lane].observe(seconds);
    },
    live: set.counter(
      'certstatus_live_signatures_total',
      'Answers signed for one request each, because of its nonce (RFC 9654).',
    ),
  };
}

function crlMetrics(set: MetricSet): (issuer: string) => CrlMetrics {
  const recordedToListed = set.histogram(
    'certstatus_revocation_to_crl_seconds',
    'From recording a revocation to publishing the CRL that lists it (oldest revocation of each CRL). Limit 24 h (BR 4.9.7).',
    SECONDS,
  );
  return (issuer) => ({
    published: set.counter(
      'certstatus_crls_published_total',
      'CRLs published, the scheduled ones and those after a revocation.',
      { issuer },
    ),
    failed: set.counter('certstatus_crls_failed_total', 'CRL builds that were not published; the previous CRL stays.', {
      issuer,
    }),
    recordedToListed,
  });
}
