/**
 * What a publisher knows of the revocations that its current CRL does not list: how long they have waited, and, as long as the feed has
 * told everything, what exactly has changed, so that the next CRL can be made from the current one.
 *
 * Why the count up to which it knows is right: the feed tells the changes of an issuer in the order of recordedSeq, each after it is
 * in the ledger, and `gap` where something is missing. So, from one change on that was told, everything later that was told is
 * everything later that was recorded, up to the last one told. In the embedded store that order is the journal's, because records are
 * applied one after the other; in a shared store it is the ledger's own count, which the script that applies a change stamps on it
 * and on its place in the feed, in one step.
 */
import type { Certificate, CrlRecord, Revocation } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';

/** What a CRL must say of a certificate from now on; no revocation: nothing (a hold that was released). */
export interface CrlChange {
  readonly serial: Serial;
  readonly revocation: Revocation | undefined;
  readonly recordedSeq: number;
}

/** Revocations that wait for a CRL, whose ages are remembered one by one. */
const MAX_AGES = 1024;

export class CrlChanges {
  readonly #most: number;
  #ages: { seq: number; readonly recordedAt: EpochMs }[] = [];
  #count = 0;
  #changes = new Map<Serial, CrlChange>();
  /** Every change with a greater recordedSeq is in #changes. */
  #from = Infinity;
  /** Something is missing before what is told next. */
  #missing = true;
  #losses = 0;

  /** @param most changes to keep. With more of them the CRL is made anew from the index. */
  constructor(most: number) {
    this.#most = most;
  }

  /** When the oldest revocation that is on no CRL yet was recorded. */
  get oldest(): EpochMs | undefined {
    return this.#ages.reduce<EpochMs | undefined>(
      (oldest, { recordedAt }) => Math.min(recordedAt, oldest ?? Infinity),
      undefined,
    );
  }

  /** Changes that wait, roughly after many at once. */
  get waiting(): number {
    return this.#count;
  }

  /** Remembers how often something was lost, for `since`. */
  get losses(): number {
    return this.#losses;
  }

  /** From the feed, in its order. */
  told(certificate: Pick<Certificate, 'serial' | 'revocation' | 'recordedSeq' | 'recordedAt'>): void {
    const { serial, revocation, recordedSeq } = certificate;
    if (this.#missing) {
      this.#missing = false;
      this.#from = Math.min(this.#from, recordedSeq - 1);
    }
    this.#changes.set(serial, { serial, revocation, recordedSeq });
    if (this.#changes.size > this.#most) {
      this.#changes.clear();
      this.#losses += 1;
      // In order: from here on nothing is missing again.
      this.#from = recordedSeq;
    }
    this.age(certificate);
  }

  /** From the index, where something may be missing. */
  age({ recordedSeq: seq, recordedAt }: { readonly recordedSeq: number; readonly recordedAt: EpochMs }): void {
    this.#count += 1;
    const last = this.#ages.at(-1);
    if (last !== undefined && (seq === last.seq || this.#ages.length >= MAX_AGES)) {
      // Many at once: the last stands for all of them, as old as the oldest and listed when the newest is.
      this.#ages[this.#ages.length - 1] = {
        seq: Math.max(seq, last.seq),
        recordedAt: Math.min(recordedAt, last.recordedAt),
      };
    } else this.#ages.push({ seq, recordedAt });
  }

  /** A CRL lists everything up to `asOfSeq`. */
  listed(asOfSeq: number): void {
    this.#ages = this.#ages.filter(({ seq }) => seq > asOfSeq);
    for (const [serial, { recordedSeq }] of this.#changes) if (recordedSeq <= asOfSeq) this.#changes.delete(serial);
    this.#count = this.#ages.length === 0 ? 0 : Math.max(this.#ages.length, this.#changes.size);
  }

  /** A CRL was made from the index as of `asOfSeq`, and nothing was lost since that was begun: so everything later is here. */
  knownSince(asOfSeq: number): void {
    this.#from = Math.min(this.#from, asOfSeq);
  }

  /** Events were lost, or the ledger counts anew. */
  lost(): void {
    this.#changes.clear();
    this.#ages = [];
    this.#count = 0;
    this.#from = Infinity;
    this.#missing = true;
    this.#losses += 1;
  }

  /** Everything that has changed since the CRL, by serial in ascending order; undefined when that is not known. */
  since({ asOfSeq }: Pick<CrlRecord, 'asOfSeq'>): readonly CrlChange[] | undefined {
    if (this.#from > asOfSeq) return undefined;
    const changes = [...this.#changes.values()].filter(({ recordedSeq }) => recordedSeq > asOfSeq);
    return changes.sort((a, b) => (a.serial < b.serial ? -1 : 1));
  }
}
