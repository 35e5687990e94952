/** What the records say of the CRLs of an issuer, scope by scope: how old each became, how soon it was published, its numbers. */
import { COMPLETE } from '../certificate.ts';
import type { JournalRecord } from '../journal-record.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import { validityMs } from './answer-history.ts';
import { Extremum } from './worst.ts';

export interface CrlPublished {
  readonly shard: string;
  readonly number: bigint;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly entries: number;
  readonly sha256: string;
  /** How far its data goes, in the count of the ledger; undefined in old records. */
  readonly asOfSeq: number | undefined;
  readonly at: EpochMs;
  readonly actor: string;
}

export interface CrlFigures {
  /** Published within the period. */
  readonly published: number;
  readonly refused: number;
  readonly actors: readonly string[];
  readonly age: Extremum;
  readonly gaps: Extremum;
  readonly validity: Extremum;
  readonly delay: Extremum;
  readonly entries: Extremum;
  readonly bytes: Extremum;
  /** A number that is not greater than the one before it in its scope. */
  readonly notGreater: readonly string[];
  /** Scopes with a CRL by the end of the period. */
  readonly scopes: readonly string[];
  /** Every CRL of the log up to the end of the period: what the archive must have. */
  readonly journalled: ReadonlyMap<string, readonly Journalled[]>;
}

export interface Journalled {
  readonly number: bigint;
  readonly sha256: string;
  readonly kind: 'published' | 'refused';
}

export class CrlHistory {
  readonly #from: EpochMs;
  readonly #current = new Map<string, CrlPublished>();
  readonly #journalled = new Map<string, Journalled[]>();
  readonly #actors = new Set<string>();
  readonly #notGreater: string[] = [];
  #published = 0;
  #refused = 0;
  readonly #age = new Extremum('greatest');
  readonly #gaps = new Extremum('greatest');
  readonly #validity = new Extremum('greatest');
  readonly #delay = new Extremum('greatest');
  readonly #entries = new Extremum('greatest');
  readonly #bytes = new Extremum('greatest');

  constructor(from: EpochMs) {
    this.#from = from;
  }

  published(crl: CrlPublished, bytes: number): void {
    const { shard, number, thisUpdate, nextUpdate, at, sha256, entries, actor } = crl;
    this.#note(shard, { number, sha256, kind: 'published' });
    const before = this.#current.get(shard);
    if (before !== undefined) this.#end(before, at, 'when it was replaced');
    const name = nameOf(crl);
    if (before !== undefined && number <= before.number)
      this.#notGreater.push(`${name} of ${rfc3339(at)} follows number ${before.number}`);
    this.#current.set(shard, crl);
    if (at < this.#from) return;
    this.#published += 1;
    this.#actors.add(actor);
    this.#validity.add(validityMs(thisUpdate, nextUpdate), () => `${name}: ${rfc3339(thisUpdate)} to ${rfc3339(nextUpdate)}`); // prettier-ignore
    this.#delay.add(at - thisUpdate, () => `${name}: made ${rfc3339(thisUpdate)}, published ${rfc3339(at)}`);
    this.#entries.add(entries, () => name);
    this.#bytes.add(bytes, () => name);
  }

  refused(record: JournalRecord): void {
    const { shard = COMPLETE, number, sha256 = '' } = record.detail as { shard?: string; number: string; sha256?: string }; // prettier-ignore
    this.#note(shard, { number: BigInt(number), sha256, kind: 'refused' });
    if (Date.parse(record.at) >= this.#from) this.#refused += 1;
  }

  /** @param to not later than what the log covers. */
  finish(to: EpochMs): CrlFigures {
    for (const crl of this.#current.values()) this.#end(crl, to, 'at the end of the period');
    return {
      published: this.#published,
      refused: this.#refused,
      actors: [...this.#actors],
      age: this.#age,
      gaps: this.#gaps,
      validity: this.#validity,
      delay: this.#delay,
      entries: this.#entries,
      bytes: this.#bytes,
      notGreater: this.#notGreater,
      scopes: [...this.#current.keys()],
      journalled: this.#journalled,
    };
  }

  #note(shard: string, crl: Journalled): void {
    const known = this.#journalled.get(shard);
    if (known === undefined) this.#journalled.set(shard, [crl]);
    else known.push(crl);
  }

  #end(crl: CrlPublished, stop: EpochMs, how: string): void {
    if (stop <= Math.max(crl.at, this.#from)) return;
    const name = nameOf(crl);
    this.#age.add(stop - crl.thisUpdate, () => `${name} of ${rfc3339(crl.thisUpdate)} ${how}, ${rfc3339(stop)}`);
    const gapFrom = Math.max(crl.nextUpdate, this.#from);
    if (stop > gapFrom)
      this.#gaps.add(stop - gapFrom, () => `${name} had ended, and no other was there from ${rfc3339(gapFrom)} to ${rfc3339(stop)}`); // prettier-ignore
  }
}

/** What a `crl.published` says. */
export function crlOf(record: JournalRecord): { readonly crl: CrlPublished; readonly bytes: number } {
  const detail = record.detail as {
    shard?: string;
    number: string;
    thisUpdate: string;
    nextUpdate: string;
    entries: number;
    bytes: number;
    sha256: string;
    asOfSeq?: number;
  };
  return {
    crl: {
      shard: detail.shard ?? COMPLETE,
      number: BigInt(detail.number),
      thisUpdate: Date.parse(detail.thisUpdate),
      nextUpdate: Date.parse(detail.nextUpdate),
      entries: detail.entries,
      sha256: detail.sha256,
      asOfSeq: detail.asOfSeq,
      at: Date.parse(record.at),
      actor: record.actor,
    },
    bytes: detail.bytes,
  };
}

function nameOf({ shard, number }: Pick<CrlPublished, 'shard' | 'number'>): string {
  return shard === COMPLETE ? `CRL ${number}` : `CRL ${number} of shard ${shard}`;
}
