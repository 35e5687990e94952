/**
 * The clock of each revocation, from the audit log alone: aware → recorded → seen by OCSP → seen on the CRL, against the limits of
 * 004 §4.9.1.1 and BR 4.9.7 (CT-4.9.1.1-1..16, B-05, B-14).
 */
import type { JournalRecord } from './journal-record.ts';
import { HOUR, rfc3339, type EpochMs } from './time.ts';

/** B-14, CT-4.9.7-b: from recording to a CRL that lists it. */
export const RECORDED_TO_CRL_MS = 24 * HOUR;

/** One revocation as it was seen from outside; a row of `revocation.observed`. */
export interface Observation {
  readonly serial: string;
  readonly revision: number;
  readonly ocspSeenAt: EpochMs;
  readonly crlSeenAt: EpochMs;
}

export interface RevocationLine {
  readonly issuer: string;
  readonly serial: string;
  readonly revision: number;
  readonly clause: string | undefined;
  readonly reason: string | undefined;
  /** As the event said; recordedAt where it said nothing. */
  readonly awareAt: string;
  readonly recordedAt: string;
  readonly ocspSeenAt: string | undefined;
  readonly crlSeenAt: string | undefined;
  /** The earlier of the clause's deadline and that of B-14. */
  readonly limit: string;
  /** From the later of both to the limit; to now while one is missing. Below 0: the limit is broken. */
  readonly marginMs: number;
  readonly state: 'seen' | 'not-seen';
}

export interface ClauseTotal {
  readonly clause: string;
  readonly revocations: number;
  readonly seen: number;
  readonly late: number;
  readonly leastMarginMs: number;
}

interface Case {
  readonly issuer: string;
  readonly serial: string;
  readonly revision: number;
  readonly clause: string | undefined;
  readonly reason: string | undefined;
  readonly awareAt: EpochMs;
  readonly recordedAt: EpochMs;
  readonly limit: EpochMs;
  seen: Observation | undefined;
}

export interface ReportFilter {
  readonly issuer: string | undefined;
  /** Of the record. */
  readonly from: EpochMs;
  readonly to: EpochMs;
}

/** Takes records in their order. */
export class RevocationReport {
  readonly #filter: ReportFilter;
  readonly #cases = new Map<string, Case>();
  /** By plan: what a mass revocation states once for all of its certificates. */
  readonly #orders = new Map<string, Omit<Stated, 'serial'>>();
  /** Revocations that nobody watched, because too many came at once. */
  unwatched = 0;

  constructor(filter: ReportFilter) {
    this.#filter = filter;
  }

  add(record: JournalRecord): void {
    const { issuer } = record;
    if (record.type === 'mass.planned') this.#planned(record);
    if (issuer === undefined || (this.#filter.issuer ?? issuer) !== issuer) return;
    if (record.type === 'certificates.revoked') this.#revoked(record, issuer);
    if (record.type !== 'revocation.observed') return;
    const { observed, unwatched = 0 } = record.detail as { observed: readonly Observation[]; unwatched?: number };
    this.unwatched += unwatched;
    for (const seen of observed) {
      const of = this.#cases.get(keyOf(issuer, seen.serial, seen.revision));
      if (of !== undefined) of.seen ??= seen;
    }
  }

  #planned(record: JournalRecord): void {
    const { plan, order } = record.detail as { plan: string; order: MassOrdered };
    const { clause, awareAt, deadline } = order;
    this.#orders.set(plan, {
      ...(clause !== undefined && { clause }),
      ...(awareAt !== undefined && { awareAt: new Date(awareAt).toISOString() }),
      ...(deadline !== undefined && { deadline: new Date(deadline).toISOString() }),
    });
  }

  #revoked(record: JournalRecord, issuer: string): void {
    const recordedAt = Date.parse(record.at);
    const { from, to } = this.#filter;
    if (recordedAt < from || recordedAt >= to) return;
    const { cases = [], mass = '' } = (record.detail ?? {}) as { cases?: readonly Stated[]; mass?: string };
    const stated = new Map(cases.map((one) => [one.serial, one]));
    for (const { serial, revision, revokedAt, reason } of record.changes ?? []) {
      // A hold that was released.
      if (revokedAt === undefined) continue;
      const about = stated.get(serial) ?? this.#orders.get(mass);
      const deadline = about?.deadline === undefined ? Infinity : Date.parse(about.deadline);
      this.#cases.set(keyOf(issuer, serial, revision), {
        issuer,
        serial,
        revision,
        clause: about?.clause,
        reason,
        awareAt: about?.awareAt === undefined ? recordedAt : Date.parse(about.awareAt),
        recordedAt,
        limit: Math.min(deadline, recordedAt + RECORDED_TO_CRL_MS),
        seen: undefined,
      });
    }
  }

  lines(nowMs: EpochMs): readonly RevocationLine[] {
    return [...this.#cases.values()].map(({ seen, awareAt, recordedAt, limit, ...rest }) => ({
      ...rest,
      awareAt: rfc3339(awareAt),
      recordedAt: rfc3339(recordedAt),
      ocspSeenAt: seen && rfc3339(seen.ocspSeenAt),
      crlSeenAt: seen && rfc3339(seen.crlSeenAt),
      limit: rfc3339(limit),
      marginMs: limit - (seen === undefined ? nowMs : Math.max(seen.ocspSeenAt, seen.crlSeenAt)),
      state: seen === undefined ? 'not-seen' : 'seen',
    }));
  }
}

/** Per clause, in the order of their names; those without a clause under `none`. */
export function totals(lines: readonly RevocationLine[]): readonly ClauseTotal[] {
  const byClause = new Map<string, RevocationLine[]>();
  for (const line of lines) {
    const clause = line.clause ?? 'none';
    const of = byClause.get(clause);
    if (of === undefined) byClause.set(clause, [line]);
    else of.push(line);
  }
  return [...byClause]
    .map(([clause, of]) => ({
      clause,
      revocations: of.length,
      seen: of.filter(({ state }) => state === 'seen').length,
      late: of.filter(({ marginMs }) => marginMs < 0).length,
      leastMarginMs: of.reduce((least, { marginMs }) => Math.min(least, marginMs), Infinity),
    }))
    .sort((a, b) => a.clause.localeCompare(b.clause, 'en', { numeric: true }));
}

interface Stated {
  readonly serial: string;
  readonly clause?: string;
  readonly awareAt?: string;
  readonly deadline?: string;
}

/** As the journal has it; milliseconds since 1970. */
interface MassOrdered {
  readonly clause?: string;
  readonly awareAt?: EpochMs;
  readonly deadline?: EpochMs;
}

const keyOf = (issuer: string, serial: string, revision: number): string => `${issuer}.${serial}.${revision}`;
