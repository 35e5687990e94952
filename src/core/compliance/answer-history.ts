/**
 * What the records of signing say of every certificate: how old its answer became before it was replaced, what was left of it then, how
 * long it had none. From history, not from gauges: a gauge that nobody scraped proves nothing (CT-4.9.10-c, -d, -e, CT-4.10.2-b).
 *
 * An answer counts from its record on, which is written before it is published (P8), until the record of the next, the end of the
 * certificate, or the end of the period.
 */
import { DAY, MINUTE, rfc3339, SECOND, type EpochMs } from '../time.ts';
import { SerialTable } from './serial-table.ts';
import { Extremum } from './worst.ts';

/** CT-4.9.10-e, B-20. */
export const FIRST_ANSWER_MS = 15 * MINUTE;
/** An imported CA is signed ahead in the refresh lane; what is asked for meanwhile is signed on the spot. */
const IMPORTED_ANSWER_MS = DAY;

export interface AnswerLimits {
  readonly ageMs: number;
  readonly remainingMs: number;
}

export interface AnswerFigures {
  /** Age at its end of each answer that was the newest within the period. */
  readonly age: Extremum;
  readonly tooOld: number;
  readonly remaining: Extremum;
  readonly tooLittle: number;
  /** From the record of an issuance within the period to the first answer. */
  readonly first: Extremum;
  readonly firstLate: number;
  /** Times without a servable answer of unexpired certificates. */
  readonly gaps: Extremum;
  /** Certificates that were seen, and those that were unexpired at the end of the period. */
  readonly certificates: number;
  readonly unexpired: number;
}

/** Columns by the index of the table. 0 stands for none. */
interface Columns {
  readonly notAfter: Float64Array;
  readonly since: Float64Array;
  readonly thisUpdate: Float64Array;
  readonly nextUpdate: Float64Array;
  /** When its record said that it exists, as long as it has no answer; negative for an imported one. */
  readonly awaited: Float64Array;
}

const NAMES = ['notAfter', 'since', 'thisUpdate', 'nextUpdate', 'awaited'] as const;

export class AnswerHistory {
  readonly #from: EpochMs;
  readonly #to: EpochMs;
  readonly #limits: AnswerLimits;
  #table = new SerialTable();
  #columns = columnsOf(512);
  readonly #age = new Extremum('greatest');
  readonly #remaining = new Extremum('least');
  readonly #first = new Extremum('greatest');
  readonly #gaps = new Extremum('greatest');
  #tooOld = 0;
  #tooLittle = 0;
  #firstLate = 0;
  #certificates = 0;
  #unexpired = 0;

  /** @param to not later than what the log covers. */
  constructor(from: EpochMs, to: EpochMs, limits: AnswerLimits) {
    this.#from = from;
    this.#to = to;
    this.#limits = limits;
  }

  /** A certificate, or a change of one. */
  recorded(serial: string, notAfter: EpochMs | undefined, imported: boolean, at: EpochMs): void {
    const known = this.#table.find(serial);
    const index = known === -1 ? this.#add(serial) : known;
    const columns = this.#columns;
    if (notAfter !== undefined) columns.notAfter[index] = notAfter;
    if (known === -1) columns.awaited[index] = imported ? -at : at;
  }

  signed(serial: string, thisUpdate: EpochMs, nextUpdate: EpochMs, at: EpochMs): void {
    const known = this.#table.find(serial);
    const index = known === -1 ? this.#add(serial) : known;
    this.#end(index, at);
    const columns = this.#columns;
    columns.since[index] = at;
    columns.thisUpdate[index] = thisUpdate;
    columns.nextUpdate[index] = nextUpdate;
    columns.awaited[index] = 0;
  }

  /** Call it once, after the last record; it begins anew with other certificates. */
  finish(): void {
    for (let index = 0; index < this.#table.size; index++) {
      this.#end(index, Infinity);
      const notAfter = this.#columns.notAfter[index] as number;
      if (notAfter === 0 || notAfter >= this.#to) this.#unexpired += 1;
    }
    this.#certificates += this.#table.size;
    this.#table = new SerialTable();
    this.#columns = columnsOf(512);
  }

  get figures(): AnswerFigures {
    return {
      age: this.#age,
      tooOld: this.#tooOld,
      remaining: this.#remaining,
      tooLittle: this.#tooLittle,
      first: this.#first,
      firstLate: this.#firstLate,
      gaps: this.#gaps,
      certificates: this.#certificates,
      unexpired: this.#unexpired,
    };
  }

  /** What was there until `at`: an answer, or the waiting for one. */
  #end(index: number, at: EpochMs): void {
    const columns = this.#columns;
    const notAfter = columns.notAfter[index] || Infinity;
    const stop = Math.min(at, this.#to, notAfter);
    const awaited = columns.awaited[index] as number;
    if (awaited !== 0) return this.#endWaiting(index, Math.abs(awaited), awaited < 0, stop, at);
    const since = columns.since[index] as number;
    const start = Math.max(since, this.#from);
    if (since === 0 || start >= stop) return;
    const thisUpdate = columns.thisUpdate[index] as number;
    const nextUpdate = columns.nextUpdate[index] as number;
    const serial = this.#table.serial(index);
    const how = at > this.#to && stop === this.#to ? 'at the end of the period' : stop === notAfter ? 'when the certificate ended' : 'when it was replaced'; // prettier-ignore
    const age = stop - thisUpdate;
    this.#age.add(age, () => `serial ${serial}: the answer of ${rfc3339(thisUpdate)} ${how}, ${rfc3339(stop)}`);
    if (age > this.#limits.ageMs) this.#tooOld += 1;
    const left = nextUpdate - stop;
    this.#remaining.add(left, () => `serial ${serial}: the answer until ${rfc3339(nextUpdate)} ${how}, ${rfc3339(stop)}`); // prettier-ignore
    if (left < this.#limits.remainingMs) this.#tooLittle += 1;
    const gapFrom = Math.max(nextUpdate, start);
    if (stop > gapFrom) this.#gap(serial, gapFrom, stop);
  }

  #endWaiting(index: number, from: EpochMs, imported: boolean, stop: EpochMs, answeredAt: EpochMs): void {
    const serial = this.#table.serial(index);
    const allowed = imported ? IMPORTED_ANSWER_MS : FIRST_ANSWER_MS;
    const waited = stop - from;
    const answered = answeredAt <= this.#to ? `answered ${rfc3339(answeredAt)}` : 'not answered';
    if (!imported && from >= this.#from && from < this.#to) {
      this.#first.add(waited, () => `serial ${serial}: recorded ${rfc3339(from)}, ${answered}`);
      if (waited > allowed) this.#firstLate += 1;
    }
    const gapFrom = Math.max(from + allowed, this.#from);
    if (stop > gapFrom) this.#gap(serial, gapFrom, stop);
  }

  #gap(serial: string, from: EpochMs, to: EpochMs): void {
    this.#gaps.add(to - from, () => `serial ${serial}: none from ${rfc3339(from)} to ${rfc3339(to)}`);
  }

  #add(serial: string): number {
    const index = this.#table.add(serial);
    const before = this.#columns;
    if (index < before.since.length) return index;
    const grown = columnsOf(2 * before.since.length);
    for (const name of NAMES) grown[name].set(before[name]);
    this.#columns = grown;
    return index;
  }
}

function columnsOf(length: number): Columns {
  const [notAfter, since, thisUpdate, nextUpdate, awaited] = NAMES.map(() => new Float64Array(length));
  return { notAfter, since, thisUpdate, nextUpdate, awaited } as Columns;
}

/** Inclusive, as BR 4.9.9 counts (T-01). */
export const validityMs = (thisUpdate: EpochMs, nextUpdate: EpochMs): number => nextUpdate - thisUpdate + SECOND;
