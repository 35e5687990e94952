/**
 * What a rule is, and what it may know. A rule judges the decoded octets of one object; what only two objects or the
 * ledger can show (a number that must grow, an entry that must stay) it judges when the context brings the other side.
 *
 * Every field of a context is optional, so that `lint FILE` works on anybody's file: a rule that lacks what it needs says
 * nothing.
 */
import type { CertIdHash } from '../certificate.ts';
import type { CrlFrame } from '../crl/crl-frame.ts';
import type { CrlEntryView } from '../crl/crl-reader.ts';
import type { IssuingDistributionPoint } from '../crl/idp.ts';
import type { Issuer } from '../issuer.ts';
import type { IssuerHashes, StatusAnswer } from '../ocsp/response.ts';
import type { DecodedBasicResponse, DecodedResponse } from '../ocsp/response-reader.ts';
import type { Authority } from '../policy/profile.ts';
import type { Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';
import type { Finding } from './finding.ts';

/** Who may bind a CA: the authorities of profiles, and one that only files are judged by. */
export type LintAuthority = Authority | 'ccadb';

export interface RuleBase {
  readonly id: string;
  /** What it demands, in a line: for `lint --rules`. */
  readonly says: string;
  readonly citation: string;
  readonly severity: Finding['severity'];
  /** Judged where one of these binds. */
  readonly authorities: readonly LintAuthority[];
}

/** What nobody says otherwise is judged by. */
export const DEFAULT_AUTHORITIES: readonly LintAuthority[] = ['rfc', 'cabf-tls', 'ccadb'];

/** Whether this rule binds a CA that these authorities bind. */
export function binds(rule: RuleBase, authorities: readonly LintAuthority[] = DEFAULT_AUTHORITIES): boolean {
  return rule.authorities.some((authority) => authorities.includes(authority));
}

export interface ResponseRule extends RuleBase {
  /** What is wrong, or undefined. Called for successful responses only. */
  check(basic: DecodedBasicResponse, context: ResponseContext, decoded: DecodedResponse): string | undefined;
}

export interface CrlRule extends RuleBase {
  check?(crl: LintedCrl, context: CrlContext): string | undefined;
  /** Called for each entry. */
  entry?(entry: CrlEntryView, crl: LintedCrl, context: CrlContext): string | undefined;
}

/** A CRL with its issuingDistributionPoint read, if it has one. */
export interface LintedCrl {
  readonly view: CrlFrame;
  readonly idp: IssuingDistributionPoint | undefined;
  readonly isDelta: boolean;
  /** DER of TBSCertList; undefined for a CRL that is not in memory whole. */
  readonly tbs: Uint8Array | undefined;
}

export interface ResponseContext {
  /** DEFAULT_AUTHORITIES when absent. */
  readonly authorities?: readonly LintAuthority[];
  readonly issuer?: { readonly sha1: IssuerHashes; readonly sha256: IssuerHashes };
  readonly responder?: {
    readonly keyHash: Uint8Array;
    /** DER of the delegate's certificate; undefined when the CA signs itself. */
    readonly certificate: Uint8Array | undefined;
    /** Of the delegate's certificate, or of the CA's when it signs itself. */
    readonly notBefore: EpochMs;
    readonly notAfter: EpochMs;
  };
  readonly nowMs?: EpochMs;
  /** The CA: then the signature counts too, and whether whoever signed might (O-07). */
  readonly ca?: Issuer;
  /** When clients got it from where it is published: it must not be too old by then. */
  readonly servedAt?: EpochMs;
  /** Whether a CA certificate is asked about: other limits hold (B-21, B-33). */
  readonly subject?: 'subscriber' | 'ca';
  /** Limits of the profile on v, which counts the last second (T-01). */
  readonly validity?: { readonly minMs: number; readonly maxMs: number };
  /** What the response was meant to say. */
  readonly expected?: {
    readonly hash: CertIdHash;
    readonly serial: Serial;
    readonly answer: StatusAnswer;
    readonly nonce?: Uint8Array;
  };
}

export interface CrlContext {
  /** DEFAULT_AUTHORITIES when absent. */
  readonly authorities?: readonly LintAuthority[];
  readonly issuer?: {
    /** DER of the CA certificate's subject. */
    readonly name: Uint8Array;
    /** Its subjectKeyIdentifier. */
    readonly keyIdentifier: Uint8Array;
  };
  readonly nowMs?: EpochMs;
  /** The CA: then the signature counts too, and whether its certificate permits it (C-30). */
  readonly ca?: Issuer;
  /** When clients got it from where it is published: it must not be too old by then. */
  readonly servedAt?: EpochMs;
  /** The URL that it was fetched from. */
  readonly url?: string;
  /** Whether some of the CA's certificates have no OCSP URL (B-13). */
  readonly withoutOcsp?: boolean;
  /** The form of the file. */
  readonly form?: 'der' | 'pem';
  /** Whether the CRL lists CA certificates: other limits hold (B-24, B-30). */
  readonly subject?: 'subscriber' | 'ca';
  /** Longest v of the profile, counting the last second (T-01). */
  readonly maxValidityMs?: number;
  /** The CRL of this scope that was current before. */
  readonly previous?: { readonly number: bigint; readonly thisUpdate: EpochMs; readonly nextUpdate: EpochMs };
  /** The number that was reserved for this CRL, and how many entries it must have. */
  readonly expected?: { readonly number: bigint; readonly entries: number };
}

/** BR 4.9.9, T-01: the interval counts both ends, so it is one second longer than the difference. */
export function inclusiveMs(from: EpochMs, to: EpochMs): number {
  return to - from + 1000;
}
