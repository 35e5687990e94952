/**
 * The plan of a mass revocation: what would happen, in figures, before it does (CT-5.7.1.2-a, incidents B#5941 and after: who
 * revoked without counting first overflowed what came behind).
 *
 * What is done is a list of serials that is written down when the plan is made, with its digest. Not instant and criteria: the
 * ledger keeps no history to evaluate them in again, a resumed run would have to scan from the start, and nobody could look at
 * what is going to be revoked.
 */
import { createHash } from 'node:crypto';
import type { CrlRecord, IssuerTag } from '../certificate.ts';
import { SECOND, type EpochMs } from '../time.ts';
import type { Criteria, MassOrder } from './order.ts';

/** Certificates by what was found of them when the plan was made. */
export interface PlanCounts {
  /** To be revoked, or to have their reason become keyCompromise. */
  readonly selected: number;
  readonly already: number;
  readonly expired: number;
  /** Serials of the list that no issuer of the plan has issued. */
  readonly unknown: number;
  /** The ledger does not know the key or the notBefore that the criteria ask for. */
  readonly undecided: number;
  /** What the rules for a single revocation refuse. */
  readonly refused: number;
}

export interface PlannedIssuer {
  readonly id: string;
  readonly tag: IssuerTag;
  readonly selected: number;
  /** SHA-256 of each of its certificates (SR-8.6-a). */
  readonly fingerprints: readonly string[];
}

/** A CRL before and after. */
export interface PlannedCrl {
  readonly issuer: string;
  /** COMPLETE, or the name of a shard. */
  readonly shard: string;
  readonly entriesBefore: number;
  readonly bytesBefore: number;
  readonly entriesAfter: number;
  readonly bytesAfter: number;
}

/** How fast the key holder signs, and how that is known. */
export interface KnownRate {
  /** Certificates a second, two signatures each; checked and journalled. */
  readonly certificatesPerSecond: number;
  readonly source: 'drill' | 'mass revocation' | 'measured for the plan';
  readonly at: EpochMs;
}

export interface MassPlan {
  readonly id: string;
  /** Of all that is to be done: what two people compare before the start. */
  readonly digest: string;
  readonly createdAt: EpochMs;
  readonly createdBy: string;
  readonly issuers: readonly PlannedIssuer[];
  readonly criteria: Criteria;
  /** Serials that were handed in; undefined without a list. */
  readonly listed: number | undefined;
  readonly order: MassOrder;
  readonly counts: PlanCounts;
  /** The list of serials to revoke: its file's digest and length. */
  readonly list: { readonly sha256: string; readonly octets: number };
  readonly crls: readonly PlannedCrl[];
  readonly rate: KnownRate | undefined;
  /** Answers that are refreshed while it runs, certificates a second on average. */
  readonly refreshPerSecond: number;
  readonly journalOctets: number;
  readonly storeOctets: number;
}

/** Everything that decides what is done; figures and names of people do not. */
export function planDigest(plan: Pick<MassPlan, 'id' | 'issuers' | 'criteria' | 'order' | 'list'>): string {
  const { id, issuers, criteria, order, list } = plan;
  const tags = issuers.map(({ tag }) => tag);
  return createHash('sha256').update(JSON.stringify({ id, tags, criteria, order, list })).digest('hex');
}

/** Both CertID hashes (design decision 2). */
export const SIGNATURES_PER_CERTIFICATE = 2;

export interface Outlook {
  readonly signatures: number;
  /** Undefined while no rate is known, and when the refreshes alone take all of it. */
  readonly signingSeconds: number | undefined;
  readonly finishedBy: EpochMs | undefined;
  readonly withinDeadline: boolean | undefined;
  /**
   * `none`: refreshes that come near their deadline go first, and the key has room for both. `mass-waits`: it has not, so the
   * mass lane gets only what they leave. `unknown` without a rate.
   */
  readonly refreshes: 'none' | 'mass-waits' | 'unknown';
}

/** What the figures mean when it is begun at `nowMs`. */
export function outlook(plan: MassPlan, nowMs: EpochMs): Outlook {
  const { selected } = plan.counts;
  const rate = plan.rate?.certificatesPerSecond;
  // The long run: what is refreshed later meanwhile is made up for in the same time.
  const left = rate === undefined ? undefined : rate - plan.refreshPerSecond;
  const signingSeconds = left === undefined || left <= 0 ? undefined : selected / left;
  const finishedBy = signingSeconds === undefined ? undefined : nowMs + signingSeconds * SECOND;
  const { deadline } = plan.order;
  return {
    signatures: SIGNATURES_PER_CERTIFICATE * selected,
    signingSeconds,
    finishedBy,
    withinDeadline: finishedBy === undefined || deadline === undefined ? undefined : finishedBy <= deadline,
    refreshes: left === undefined ? 'unknown' : left <= 0 ? 'mass-waits' : 'none',
  };
}

/** A CRL without entries: names, dates, extensions and signature; the real one where there is one. */
const EMPTY_CRL_OCTETS = 600;

export function plannedCrl(
  issuer: string,
  shard: string,
  current: Pick<CrlRecord, 'entries' | 'bytes'> | undefined,
  added: { readonly entries: number; readonly octets: number },
): PlannedCrl {
  const entriesBefore = current?.entries ?? 0;
  const bytesBefore = current?.bytes ?? 0;
  return {
    issuer,
    shard,
    entriesBefore,
    bytesBefore,
    entriesAfter: entriesBefore + added.entries,
    bytesAfter: (current === undefined ? EMPTY_CRL_OCTETS : bytesBefore) + added.octets,
  };
}

/** Of `ocsp.signed`, for one certificate: serial, revision, status, times, two digests. Measured; bench/README.md has the same order. */
export const SIGNED_RECORD_OCTETS = 270;
/** Certificate, two entries of the revoked index, queue item and answer, before the database merges what they replace. */
export const STORE_OCTETS = 450;
