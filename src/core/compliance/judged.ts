/** What a compliance report says of one duty, and what it is judged by. Plain data: the JSON form of the report has it as it is. */
import type { EvidenceCheck } from '../duties/duty.ts';
import type { CrlLayout } from '../crl/shards.ts';
import type { Profile } from '../policy/profile.ts';
import { DAY, formatDuration, HOUR, SECOND, type EpochMs } from '../time.ts';
import type { Evidence } from './evidence.ts';

export type Verdict = 'met' | 'partly met' | 'not met' | 'not shown' | 'not applicable' | 'operator';

export interface Judged {
  readonly verdict: Verdict;
  /** One sentence: why. */
  readonly reason: string;
  /** With its source. */
  readonly limit?: string;
  readonly worst?: string;
  readonly figures?: readonly (readonly [name: string, value: string])[];
  /** A command or document by which it can be looked at again. */
  readonly look?: string;
  /** Files of the source of this version that do it or test it, each with words that stand there. */
  readonly proof?: readonly string[];
}

/** What is judged: the issuer as it is configured, what its archive has, and the evidence of the period. */
export interface Context {
  readonly issuer: IssuerFacts;
  readonly archive: ArchiveFacts;
  /** Whether the end of the log is where ledger or service remember it; undefined: nobody was asked. */
  readonly head: { readonly problem: string | undefined } | undefined;
  readonly evidence: Evidence;
}

export interface IssuerFacts {
  readonly id: string;
  readonly name: string;
  readonly keyType: string;
  /** SHA-256 in upper case without colons (SR-8.6-a). */
  readonly certificates: readonly {
    readonly fingerprint: string;
    readonly notBefore: EpochMs;
    readonly notAfter: EpochMs;
  }[];
  readonly profile: Profile;
  readonly ocspSignedBy: 'responder' | 'ca';
  /** Ids of the configured responder certificates. */
  readonly responders: readonly string[];
  /** Where keys are: of responders, and of CRLs. */
  readonly keys: readonly KeyFacts[];
  /** Undefined: CRLs are signed elsewhere. */
  readonly crlKeys: readonly KeyFacts[] | undefined;
  readonly tokens: readonly TokenFacts[];
  readonly clients: readonly { readonly name: string; readonly may: readonly string[] }[];
  readonly crls: CrlLayout;
  /** Names of the shards that must have a CRL; `''` is the complete one. */
  readonly scopes: readonly string[];
  readonly urls: Readonly<Record<'ocsp' | 'crl' | 'caCertificate', readonly string[]>>;
  readonly copies: string | undefined;
  readonly verifyEveryMs: number;
}

export interface KeyFacts {
  readonly describe: string;
  /** Undefined: a file. */
  readonly token: string | undefined;
}

export interface TokenFacts {
  readonly name: string;
  readonly use: 'held' | 'per-operation';
  readonly source: string;
  readonly threshold: number | undefined;
}

export interface ArchiveFacts {
  /** Undefined: there is none here. */
  readonly scopes: readonly { readonly shard: string; readonly verdict: string; readonly missing: readonly string[] }[] | undefined; // prettier-ignore
  readonly responders: ReadonlyMap<string, ResponderFacts>;
}

export interface ResponderFacts {
  readonly id: string;
  readonly archived: boolean;
  readonly keyType: string;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** Rules that it breaks. */
  readonly errors: readonly string[];
}

export type Judge = (context: Context) => Judged;
/** Of some of the checks; report.ts has one for each. */
export type Judges = Readonly<Partial<Record<EvidenceCheck, Judge>>>;

type More = Omit<Judged, 'verdict' | 'reason'>;

export const met = (reason: string, more: More = {}): Judged => ({ verdict: 'met', reason, ...more });
export const notMet = (reason: string, more: More = {}): Judged => ({ verdict: 'not met', reason, ...more });
export const notShown = (reason: string, more: More = {}): Judged => ({ verdict: 'not shown', reason, ...more });
export const notApplicable = (reason: string, more: More = {}): Judged => ({ verdict: 'not applicable', reason, ...more }); // prettier-ignore

export interface Limits {
  readonly answerAgeMs: number;
  readonly answerRemainingMs: number;
  readonly answerShortestMs: number;
  readonly answerLongestMs: number;
  readonly crlAgeMs: number;
  readonly crlValidityMs: number;
  /** Where they stand. */
  readonly source: string;
}

const YEAR = 366 * DAY;

/** Of subscriber certificates 004 and 002; of CA certificates the BR, because 001 and 003 leave it to a CP that nobody has here. */
export function limitsOf(profile: Profile): Limits {
  if (profile.issues === 'ca-certificates')
    return {
      answerAgeMs: YEAR,
      answerRemainingMs: 0,
      answerShortestMs: 8 * HOUR,
      answerLongestMs: YEAR,
      crlAgeMs: YEAR,
      crlValidityMs: YEAR,
      source: 'BR 4.9.7, 4.9.9, 7.2 for CA certificates: 12 months',
    };
  const { validityMs } = profile.ocsp;
  return {
    answerAgeMs: 4 * DAY,
    // BR 4.9.9: below 16 hours half of the validity, because 8 hours cannot be kept (conflict C2).
    answerRemainingMs: validityMs < 16 * HOUR ? validityMs / 2 : 8 * HOUR,
    answerShortestMs: 8 * HOUR,
    answerLongestMs: 10 * DAY,
    crlAgeMs: 7 * DAY,
    crlValidityMs: 10 * DAY,
    source: '004 §4.9.7, §4.9.10; BR 4.9.7, 4.9.9',
  };
}

export function duration(ms: number): string {
  const text = formatDuration(Math.floor(Math.abs(ms) / SECOND) * SECOND);
  return ms < 0 && text !== '0s' ? `-${text}` : text;
}

export const number = (value: number): string => value.toLocaleString('en-US');

export const plural = (count: number, one: string, many = `${one}s`): string => `${number(count)} ${count === 1 ? one : many}`; // prettier-ignore
