/** One issuer: its certificates, how fresh its answers are, its CRLs (worst first, because there may be ten thousand), its responder certificates. */
import { completeCrl, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { scopesOf, shardUrl } from '../../core/crl/shards.ts';
import { nextScheduledCrl, refreshDeadline } from '../../core/policy/freshness.ts';
import { successorDue, type ResponderUse } from '../../core/policy/responder-choice.ts';
import { DAY, formatDuration, HOUR, rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Figures } from './figures.ts';

/** CRLs that are listed one by one: the page stays small whatever the number of shards. */
const LISTED_CRLS = 20;

export interface IssuerStatus {
  readonly id: string;
  readonly name: string;
  readonly preset: string;
  /** With a published answer. */
  readonly certificates: number;
  /** Unexpired, by what is recorded of them; undefined where nobody has counted. */
  readonly good: number | undefined;
  readonly revoked: number | undefined;
  /** Unexpired, and no answer can be given; as the last comparison found. */
  readonly withoutAnswer: number | undefined;
  readonly oldestThisUpdate: string | undefined;
  readonly leastNextUpdate: string | undefined;
  /** Of the published answers, all of them: how old the median, the 90th, the 99th in a hundred and the oldest are. */
  readonly ageSeconds: Readonly<Record<'0.5' | '0.9' | '0.99' | '1', number | undefined>>;
  /** How old an answer may become before it must have been signed anew (BR 4.9.9), and when that is for the oldest. */
  readonly ageLimitSeconds: number;
  readonly answersDueAt: string | undefined;
  /** The complete CRL. */
  readonly crl:
    | {
        readonly number: string;
        readonly thisUpdate: string;
        readonly nextUpdate: string;
        readonly entries: number;
        readonly bytes: number;
      }
    | undefined;
  readonly crls: CrlsStatus;
  readonly signsCrls: boolean;
  readonly nextScheduledCrl: string | undefined;
  /** Between two scheduled CRLs, in words (B-13); undefined in a process that does not sign. */
  readonly crlPeriod?: string | undefined;
  readonly responders: readonly ResponderStatus[];
  /** When a successor of the last responder certificate must begin (T-17). */
  readonly successorDueAt: string | undefined;
}

export interface CrlsStatus {
  readonly scopes: number;
  readonly wrong: Readonly<Record<Exclude<CrlStateName, 'ok'>, number>>;
  readonly entries: number;
  readonly largestBytes: number;
  /** The worst, and of those that are well the first to run out. */
  readonly worst: readonly CrlStatus[];
  readonly more: number;
}

export type CrlStateName = 'missing' | 'expired' | 'refused' | 'late' | 'ok';
const WORST_FIRST: readonly CrlStateName[] = ['missing', 'expired', 'refused', 'late', 'ok'];

export interface CrlStatus {
  /** Empty for the complete CRL. */
  readonly shard: string;
  readonly state: CrlStateName;
  readonly url: string | undefined;
  readonly number: string | undefined;
  readonly thisUpdate: string | undefined;
  readonly nextUpdate: string | undefined;
  readonly entries: number | undefined;
  readonly bytes: number | undefined;
}

export interface ResponderStatus {
  readonly id: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly days: number;
  readonly use: ResponderUse;
  /** True for the one that signs now, in a process that signs. */
  readonly signs: boolean;
}

export function issuerStatus(
  issuer: ServedIssuer,
  sources: GaugeSources,
  figures: Figures,
  now: EpochMs,
): IssuerStatus {
  const { id, tag, profile, responders } = issuer;
  const { count, oldestThisUpdate, leastNextUpdate } = sources.freshness.of(tag);
  const periodMs = sources.census?.periodMs(issuer) ?? profile.crl.periodMs;
  const crl = sources.files.crl(completeCrl(tag));
  const signs = sources.signsWith?.(tag);
  const signing = responders.signing.map(({ certificate }) => certificate);
  const { validityMs } = profile.ocsp;
  const dueAt = (thisUpdate: EpochMs): EpochMs => refreshDeadline(thisUpdate, thisUpdate + validityMs - SECOND);
  const age = (quantile: string): number | undefined =>
    figures.one('certstatus_this_update_age_seconds', { issuer: id, quantile });
  return {
    id,
    name: issuer.issuer.name,
    preset: profile.preset,
    certificates: count,
    good: figures.one('certstatus_certificates', { issuer: id, status: 'good' }),
    revoked: figures.one('certstatus_certificates', { issuer: id, status: 'revoked' }),
    withoutAnswer: figures.one('certstatus_certificates_without_answer', { issuer: id }),
    oldestThisUpdate: optional(oldestThisUpdate),
    leastNextUpdate: optional(leastNextUpdate),
    ageSeconds: {
      '0.5': age('0.5'),
      '0.9': age('0.9'),
      '0.99': age('0.99'),
      '1': age('1') ?? (oldestThisUpdate === undefined ? undefined : (now - oldestThisUpdate) / SECOND),
    },
    ageLimitSeconds: ageLimitMs(issuer) / SECOND,
    answersDueAt: issuer.offline?.ocsp === true || oldestThisUpdate === undefined ? undefined : rfc3339(dueAt(oldestThisUpdate)), // prettier-ignore
    crl: crl && {
      number: crl.number.toString(),
      thisUpdate: rfc3339(crl.thisUpdate),
      nextUpdate: rfc3339(crl.nextUpdate),
      entries: crl.entries,
      bytes: crl.bytes,
    },
    crls: crlsStatus(issuer, sources, periodMs, now),
    signsCrls: sources.publishers.has(tag),
    nextScheduledCrl: optional(nextCrl(issuer, sources, periodMs)?.at),
    ...(sources.census && { crlPeriod: formatDuration(periodMs) }),
    responders: responders.shown(now).map(({ certificate }) => ({
      id: certificate.id,
      notBefore: rfc3339(certificate.notBefore),
      notAfter: rfc3339(certificate.notAfter),
      days: Math.floor((certificate.notAfter - now) / DAY),
      use: responders.useOf(certificate.id),
      signs: certificate.id === signs,
    })),
    successorDueAt: optional(successorDue(profile, signing, now)?.dueAt),
  };
}

/** How old an answer may become before it must have been signed anew (BR 4.9.9, P-16). */
export function ageLimitMs({ profile }: ServedIssuer): number {
  return refreshDeadline(0, profile.ocsp.validityMs - SECOND);
}

/** Which of the issuer's CRLs is scheduled first, and when; undefined while there is none. */
export function nextCrl(
  { crls, tag }: ServedIssuer,
  { files }: Pick<GaugeSources, 'files'>,
  periodMs: number,
): { readonly shard: string; readonly at: EpochMs } | undefined {
  let first: { readonly shard: string; readonly at: EpochMs } | undefined;
  for (const scope of scopesOf(crls, tag)) {
    const record = files.crl(scope);
    if (record === undefined) continue;
    const at = nextScheduledCrl(record, periodMs);
    if (at < (first?.at ?? Infinity)) first = { shard: scope.shard, at };
  }
  return first;
}

interface Ranked {
  readonly scope: CrlScope;
  readonly record: CrlRecord | undefined;
  readonly state: CrlStateName;
}

function crlsStatus(issuer: ServedIssuer, sources: GaugeSources, periodMs: number, now: EpochMs): CrlsStatus {
  const { files, publishers } = sources;
  const publisher = publishers.get(issuer.tag);
  const stateOf = (scope: CrlScope, record: CrlRecord | undefined): CrlStateName => {
    if (record === undefined) return 'missing';
    if (now > record.nextUpdate) return 'expired';
    if (publisher?.publishers.get(scope.shard)?.refused === true) return 'refused';
    // An hour of patience, as in the problem of the same name.
    return now - record.scheduledAt > periodMs + HOUR && issuer.offline?.crl !== true ? 'late' : 'ok';
  };
  const all = scopesOf(issuer.crls, issuer.tag).map((scope): Ranked => {
    const record = files.crl(scope);
    return { scope, record, state: stateOf(scope, record) };
  });
  const rank = ({ state }: Ranked): number => WORST_FIRST.indexOf(state);
  const ends = ({ record }: Ranked): number => record?.nextUpdate ?? 0;
  all.sort((a, b) => rank(a) - rank(b) || ends(a) - ends(b));
  const wrong = (state: CrlStateName): number => all.filter((one) => one.state === state).length;
  return {
    scopes: all.length,
    wrong: { missing: wrong('missing'), expired: wrong('expired'), refused: wrong('refused'), late: wrong('late') },
    entries: all.reduce((sum, { record }) => sum + (record?.entries ?? 0), 0),
    largestBytes: all.reduce((most, { record }) => Math.max(most, record?.bytes ?? 0), 0),
    worst: all.slice(0, LISTED_CRLS).map(({ scope, record, state }) => ({
      shard: scope.shard,
      state,
      url: shardUrl(issuer.crls, scope.shard),
      number: record?.number.toString(),
      thisUpdate: optional(record?.thisUpdate),
      nextUpdate: optional(record?.nextUpdate),
      entries: record?.entries,
      bytes: record?.bytes,
    })),
    more: Math.max(0, all.length - LISTED_CRLS),
  };
}

function optional(instant: EpochMs | undefined): string | undefined {
  return instant === undefined ? undefined : rfc3339(instant);
}
