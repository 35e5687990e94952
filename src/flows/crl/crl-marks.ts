/**
 * Places in the entries of a CRL that has passed the gate: what stands there, and how many entries before it. So that where the next CRL
 * is octet for octet the same, its entries are counted without a look at each, and one serial is found without a look at all.
 */
/** How far apart, at least: 400 entries of the usual size, so a few thousand marks for a CRL of a million. */
const MARK_OCTETS = 16 * 1024;

export interface CrlMark {
  /** From the first octet of the first entry on. */
  readonly place: number;
  /** Entries before it, and hex of the serial of the last of them. */
  readonly count: number;
  readonly last: string;
}

/** The marks of a CRL that is gone through. */
export class MarkMaker {
  readonly marks: CrlMark[] = [];
  #last = 0;

  /** Not when the one before is close. */
  add(place: number, count: number, last: string): void {
    this.#add(place, count, last, MARK_OCTETS);
  }

  /** One that the CRL before had: also where it has come closer, or from CRL to CRL there would be fewer. */
  keep(place: number, count: number, last: string): void {
    this.#add(place, count, last, MARK_OCTETS / 2);
  }

  /** Of entries in no order. */
  forget(): void {
    this.marks.length = 0;
    this.#last = Infinity;
  }

  #add(place: number, count: number, last: string, distance: number): void {
    if (place < this.#last + distance) return;
    this.marks.push({ place, count, last });
    this.#last = place;
  }
}

/** The marks of the CRL before it, which is gone through at the same time. */
export class KnownMarks {
  readonly #marks: readonly CrlMark[];
  #next = 0;

  constructor(marks: readonly CrlMark[]) {
    this.#marks = marks;
  }

  /** Those behind `from`, up to `to`: ascending from call to call. */
  within(from: number, to: number): readonly CrlMark[] {
    while (this.#place < from + 1) this.#next += 1;
    const begin = this.#next;
    while (this.#place <= to) this.#next += 1;
    return this.#marks.slice(begin, this.#next);
  }

  get #place(): number {
    return this.#marks[this.#next]?.place ?? Infinity;
  }
}

/** A place at or before the entry with this serial, or where it would stand. @param serial hex */
export function placeBefore(marks: readonly CrlMark[], serial: string): number {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((marks[middle] as CrlMark).last < serial) low = middle + 1;
    else high = middle;
  }
  return marks[low - 1]?.place ?? 0;
}
