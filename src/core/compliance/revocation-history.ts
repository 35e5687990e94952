/**
 * The clocks of the revocations of a period: aware → recorded → OCSP → CRL (CT-4.9.1.1-1..16, CT-4.9.7-b, B-05, B-14). An instant seen
 * from outside by the monitor counts before that of the record of the signature.
 */
import { COMPLETE } from '../certificate.ts';
import type { JournalledChange, JournalRecord } from '../journal-record.ts';
import { parseClause } from '../policy/clause.ts';
import { Problem } from '../problem.ts';
import { RECORDED_TO_CRL_MS, type Observation } from '../revocation-report.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { CrlPublished } from './crl-history.ts';
import { Extremum } from './worst.ts';

export interface RevocationFigures {
  readonly revocations: number;
  /** Seen from outside by the monitor, on both channels. */
  readonly seen: number;
  readonly toOcsp: Extremum;
  readonly notOnOcsp: number;
  readonly toCrl: Extremum;
  readonly notOnCrl: number;
  /** Later on a CRL than 24 hours after the record, or not at all and the time is over. */
  readonly crlLate: number;
  readonly byClause: ReadonlyMap<string, ClauseFigures>;
  /** By the name of the reason; without one `none`. */
  readonly byReason: ReadonlyMap<string, number>;
  /** Of those recorded by event, with the words of who asked, and with a clause. */
  readonly withRequester: number;
  readonly withClause: number;
  readonly byActor: ReadonlyMap<string, number>;
}

export interface ClauseFigures {
  readonly revocations: number;
  readonly late: number;
  /** Not published yet, and still within the limit. */
  readonly open: number;
  readonly margin: Extremum;
}

interface Case {
  readonly serial: string;
  readonly recordedAt: EpochMs;
  readonly seq: number;
  readonly shard: string;
  readonly clause: string | undefined;
  readonly limit: EpochMs | undefined;
  ocspAt: EpochMs | undefined;
  crlAt: EpochMs | undefined;
  seen: boolean;
}

interface Stated {
  readonly clause?: string;
  readonly awareAt?: string;
  readonly deadline?: string;
  readonly requestedBy?: string;
}

export class RevocationHistory {
  readonly #from: EpochMs;
  readonly #to: EpochMs;
  readonly #oneCount: boolean;
  /** By serial: the newest of each. */
  #cases = new Map<string, Case & { readonly revision: number }>();
  /** By shard, in the order of their records: not known to be on a CRL. */
  #unlisted = new Map<string, Case[]>();
  readonly #orders = new Map<string, Stated>();
  readonly #byClause = new Map<string, { revocations: number; late: number; open: number; margin: Extremum }>();
  readonly #byReason = new Map<string, number>();
  readonly #byActor = new Map<string, number>();
  readonly #toOcsp = new Extremum('greatest');
  readonly #toCrl = new Extremum('greatest');
  #revocations = 0;
  #seen = 0;
  #notOnOcsp = 0;
  #notOnCrl = 0;
  #crlLate = 0;
  #withRequester = 0;
  #withClause = 0;

  /**
   * @param to not later than what the log covers.
   * @param oneCount the records of CRLs and of events have one count: that of the journal (an embedded ledger).
   */
  constructor(from: EpochMs, to: EpochMs, oneCount: boolean) {
    this.#from = from;
    this.#to = to;
    this.#oneCount = oneCount;
  }

  /** What a mass revocation states once for all of its certificates. */
  ordered(record: JournalRecord): void {
    const { plan, order } = record.detail as {
      plan: string;
      order: { clause?: string; awareAt?: EpochMs; deadline?: EpochMs; requestedBy?: string };
    };
    const { clause, awareAt, deadline, requestedBy } = order;
    this.#orders.set(plan, {
      ...(clause !== undefined && { clause }),
      ...(awareAt !== undefined && { awareAt: rfc3339(awareAt) }),
      ...(deadline !== undefined && { deadline: rfc3339(deadline) }),
      ...(requestedBy !== undefined && { requestedBy }),
    });
  }

  /** @param admits only these serials, of the record's. */
  revoked(record: JournalRecord, admits: (serial: string) => boolean): void {
    const recordedAt = Date.parse(record.at);
    if (recordedAt < this.#from) return;
    const { cases = [], mass = '' } = (record.detail ?? {}) as {
      cases?: readonly (Stated & { serial: string })[];
      mass?: string;
    };
    const stated = new Map(cases.map((one) => [one.serial, one]));
    for (const change of record.changes ?? []) {
      // Without a date: a hold that was released.
      if (change.revokedAt === undefined || !admits(change.serial)) continue;
      const about = stated.get(change.serial) ?? this.#orders.get(mass);
      if (about?.requestedBy !== undefined) this.#withRequester += 1;
      if (about?.clause !== undefined) this.#withClause += 1;
      count(this.#byReason, change.reason ?? 'none');
      count(this.#byActor, record.actor);
      this.#open(change, about, recordedAt, record.seq);
    }
  }

  #open(change: JournalledChange, about: Stated | undefined, recordedAt: EpochMs, seq: number): void {
    const { serial, revision, crlShard: shard = COMPLETE } = change;
    // A later reason or date: what was said before has to be published no more.
    const earlier = this.#cases.get(serial);
    if (earlier !== undefined) this.#close(earlier);
    const { clause } = about ?? {};
    const one = {
      serial,
      revision,
      recordedAt,
      seq,
      shard,
      clause,
      limit: limitOf(about, recordedAt),
      ocspAt: undefined,
      crlAt: undefined,
      seen: false,
    };
    this.#cases.set(serial, one);
    const unlisted = this.#unlisted.get(shard);
    if (unlisted === undefined) this.#unlisted.set(shard, [one]);
    else unlisted.push(one);
  }

  /** An answer about it was signed, of this revision or a later one. */
  answered(serial: string, revision: number, at: EpochMs): void {
    const one = this.#cases.get(serial);
    if (one !== undefined && revision >= one.revision) one.ocspAt ??= at;
  }

  listed(crl: CrlPublished): void {
    const waiting = this.#unlisted.get(crl.shard);
    if (waiting === undefined) return;
    // Of a shared ledger, whose count the journals do not have: the CRL was begun after the revocation was recorded.
    const has = (one: Case): boolean =>
      this.#oneCount && crl.asOfSeq !== undefined ? one.seq <= crl.asOfSeq : crl.thisUpdate >= one.recordedAt;
    this.#unlisted.set(
      crl.shard,
      waiting.filter((one) => {
        if (!has(one)) return true;
        one.crlAt ??= crl.at;
        return false;
      }),
    );
  }

  observed(record: JournalRecord): void {
    const { observed } = record.detail as { observed: readonly Observation[] };
    for (const { serial, revision, ocspSeenAt, crlSeenAt } of observed) {
      const one = this.#cases.get(serial);
      if (one?.revision !== revision) continue;
      one.ocspAt = ocspSeenAt;
      one.crlAt = crlSeenAt;
      one.seen = true;
    }
  }

  /** Call it once, after the last record; it begins anew with other certificates. */
  finish(): void {
    for (const one of this.#cases.values()) this.#close(one);
    this.#cases = new Map();
    this.#unlisted = new Map();
  }

  get figures(): RevocationFigures {
    return {
      revocations: this.#revocations,
      seen: this.#seen,
      toOcsp: this.#toOcsp,
      notOnOcsp: this.#notOnOcsp,
      toCrl: this.#toCrl,
      notOnCrl: this.#notOnCrl,
      crlLate: this.#crlLate,
      byClause: this.#byClause,
      byReason: this.#byReason,
      withRequester: this.#withRequester,
      withClause: this.#withClause,
      byActor: this.#byActor,
    };
  }

  #close(one: Case): void {
    const { serial, recordedAt, ocspAt, crlAt } = one;
    const recorded = `serial ${serial}: recorded ${rfc3339(recordedAt)}`;
    const [ocsp, crl] = [ocspAt ?? this.#to, crlAt ?? this.#to];
    const ocspText = ocspAt === undefined ? 'not in OCSP' : `in OCSP ${rfc3339(ocspAt)}`;
    const crlText = crlAt === undefined ? 'on no CRL' : `on the CRL ${rfc3339(crlAt)}`;
    this.#revocations += 1;
    if (one.seen) this.#seen += 1;
    if (ocspAt === undefined) this.#notOnOcsp += 1;
    if (crlAt === undefined) this.#notOnCrl += 1;
    this.#toOcsp.add(ocsp - recordedAt, () => `${recorded}, ${ocspText}`);
    this.#toCrl.add(crl - recordedAt, () => `${recorded}, ${crlText}`);
    if (crl - recordedAt > RECORDED_TO_CRL_MS) this.#crlLate += 1;
    if (one.clause === undefined || one.limit === undefined) return;
    const of = this.#byClause.get(one.clause) ?? { revocations: 0, late: 0, open: 0, margin: new Extremum('least') };
    this.#byClause.set(one.clause, of);
    const { limit } = one;
    const margin = limit - Math.max(ocsp, crl);
    of.revocations += 1;
    if (margin < 0) of.late += 1;
    else if (ocspAt === undefined || crlAt === undefined) of.open += 1;
    of.margin.add(margin, () => `${recorded}, ${ocspText}, ${crlText}, limit ${rfc3339(limit)}`);
  }
}

/** From awareness; from the record where nobody said when the CA became aware. */
function limitOf(about: Stated | undefined, recordedAt: EpochMs): EpochMs | undefined {
  if (about?.deadline !== undefined) return Date.parse(about.deadline);
  if (about?.clause === undefined) return undefined;
  try {
    const { withinMs } = parseClause(about.clause);
    const aware = about.awareAt === undefined ? recordedAt : Date.parse(about.awareAt);
    return withinMs === undefined ? undefined : aware + withinMs;
  } catch (error) {
    // A clause of another document, as an old record may name it.
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

function count(of: Map<string, number>, key: string): void {
  of.set(key, (of.get(key) ?? 0) + 1);
}
