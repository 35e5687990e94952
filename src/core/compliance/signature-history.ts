/** What was signed for OCSP in a period: how much, for how long, with which responder certificates; and what was kept from publication. */
import type { JournalRecord } from '../journal-record.ts';
import { DAY, rfc3339, type EpochMs } from '../time.ts';
import { validityMs } from './answer-history.ts';
import { Extremum } from './worst.ts';

export interface SignatureFigures {
  /** Certificates answered for ahead of time, and answers for one nonce. */
  readonly answers: number;
  readonly live: number;
  readonly imported: number;
  readonly refused: number;
  readonly firstRefused: string | undefined;
  readonly longest: Extremum;
  readonly shortest: Extremum;
  /** Ids of the responder certificates that signed, with the instants of first and last use in the period. */
  readonly responders: ReadonlyMap<string, { readonly first: string; last: string }>;
}

export type SignedRow = readonly [
  serial: string,
  revision: number,
  status: string,
  thisUpdate: string,
  nextUpdate: string,
  ...digests: string[],
];

export class SignatureHistory {
  readonly #from: EpochMs;
  #answers = 0;
  #live = 0;
  #imported = 0;
  #refused = 0;
  #firstRefused: string | undefined;
  readonly #longest = new Extremum('greatest');
  readonly #shortest = new Extremum('least');
  readonly #responders = new Map<string, { readonly first: string; last: string }>();

  constructor(from: EpochMs) {
    this.#from = from;
  }

  /** `ocsp.signed`, `ocsp.imported` or `ocsp.refused`. */
  add({ at, type, detail }: JournalRecord): void {
    if (Date.parse(at) < this.#from) return;
    const { responder, why, signed = [], live = [] } = detail as { responder: string; why?: string; signed?: readonly unknown[]; live?: readonly SignedRow[] }; // prettier-ignore
    if (type === 'ocsp.refused') {
      this.#refused += signed.length;
      this.#firstRefused ??= `${at}: ${why}`;
      return;
    }
    const rows = answersOf(detail);
    if (type === 'ocsp.imported') this.#imported += rows.length;
    else this.#answers += rows.length;
    this.#live += live.length;
    const used = this.#responders.get(responder);
    if (used === undefined) this.#responders.set(responder, { first: at, last: at });
    else used.last = at;
    for (const [serial, , , thisUpdate, nextUpdate] of [...rows, ...live]) {
      const validity = validityMs(Date.parse(thisUpdate), Date.parse(nextUpdate));
      const what = (): string => `serial ${serial}: ${thisUpdate} to ${nextUpdate}`;
      this.#longest.add(validity, what);
      this.#shortest.add(validity, what);
    }
  }

  finish(): SignatureFigures {
    return {
      answers: this.#answers,
      live: this.#live,
      imported: this.#imported,
      refused: this.#refused,
      firstRefused: this.#firstRefused,
      longest: this.#longest,
      shortest: this.#shortest,
      responders: this.#responders,
    };
  }
}

export function answersOf(detail: JournalRecord['detail']): readonly SignedRow[] {
  return (detail as { responses?: readonly SignedRow[] } | undefined)?.responses ?? [];
}

/** Certificates recorded in the period, by what the documents say of their lives. */
export interface IssuedFigures {
  readonly issued: number;
  readonly precertificates: number;
  readonly imported: number;
  readonly byActor: ReadonlyMap<string, number>;
  readonly validity: Extremum;
  readonly tooLong: number;
  readonly latest: Extremum;
}

export class IssuedHistory {
  readonly #from: EpochMs;
  readonly #byActor = new Map<string, number>();
  readonly #validity = new Extremum('greatest');
  readonly #latest = new Extremum('greatest');
  #issued = 0;
  #precertificates = 0;
  #imported = 0;
  #tooLong = 0;

  constructor(from: EpochMs) {
    this.#from = from;
  }

  /** `certificates.issued` or `certificates.imported`. */
  add({ at, type, actor, changes = [] }: JournalRecord): void {
    if (Date.parse(at) < this.#from) return;
    for (const { serial, notBefore, notAfter, precertificate } of changes) {
      if (type === 'certificates.imported') this.#imported += 1;
      else this.#issued += 1;
      if (precertificate) this.#precertificates += 1;
      if (notAfter === undefined) continue;
      const end = Date.parse(notAfter);
      this.#latest.add(end, () => `serial ${serial}: until ${notAfter}`);
      if (notBefore === undefined) continue;
      const begin = Date.parse(notBefore);
      const validity = validityMs(begin, end);
      this.#validity.add(validity, () => `serial ${serial}: ${notBefore} to ${notAfter}`);
      if (validity > longestLife(begin)) this.#tooLong += 1;
    }
    this.#byActor.set(actor, (this.#byActor.get(actor) ?? 0) + changes.length);
  }

  finish(): IssuedFigures {
    return {
      issued: this.#issued,
      precertificates: this.#precertificates,
      imported: this.#imported,
      byActor: this.#byActor,
      validity: this.#validity,
      tooLong: this.#tooLong,
      latest: this.#latest,
    };
  }
}

/** 004 §6.3.2 by the date of issue: "less than" 398, 200, 100, 47 days (CT-6.3.2-c). */
export function longestLife(notBefore: EpochMs): number {
  const days = LIVES.find(([from]) => rfc3339(notBefore) >= from)?.[1] ?? 398;
  return days * DAY;
}

const LIVES: readonly (readonly [from: string, days: number])[] = [
  ['2029-03-15', 47],
  ['2027-03-15', 100],
  ['2026-03-15', 200],
];
