/**
 * What a request said last time, word for word: the request-target of a GET or the body of a POST leads straight to the entry that
 * it was answered with, and nothing is decoded. Many spellings may lead to one entry, and none of them is an entry of its own.
 *
 * A cache of sets: each spelling belongs to one set of WAYS places, and a new one pushes the oldest of its set out. So it needs no
 * bookkeeping, is of one size whatever is sent, and a client that sends thousands of spellings of one request only sends others
 * the longer way. Whether an entry may still be served is not known here (ResponseTable.spelled); one that has left the table is to
 * be forgotten, or its memory would go on being held.
 */

/** What a spelling leads to. */
export interface Spelled {
  /** The sets in which it stands, at most MAX_OF_ONE. For Spellings alone. */
  spelledIn: readonly number[] | undefined;
}

/** With one place per set every thirteenth spelling would share it with another, with four none in thousands does. */
const WAYS = 4;
/** An array of more than 2^25 places is a hash table to V8, which takes 20 s and 5 GB to fill; of more than 2^32 there is none. */
const MAX_PLACES = 2 ** 24;
/** By GET and by POST, and two odd ones. */
const MAX_OF_ONE = 4;

export class Spellings<Entry extends Spelled> {
  /** The hash of what is in each place: a wrong spelling is rarely looked at. */
  readonly #hashes: Int32Array;
  /** Spelling and entry of each place side by side, so that memory brings both at once. */
  readonly #places: (string | Entry | undefined)[];
  readonly #mask: number;

  /** @param atMost how many places; rounded down to a power of two, and to MAX_PLACES. */
  constructor(atMost: number) {
    const size = 2 ** Math.floor(Math.log2(Math.max(WAYS, Math.min(atMost, MAX_PLACES))));
    this.#hashes = new Int32Array(size);
    this.#places = new Array<string | Entry | undefined>(2 * size).fill(undefined);
    this.#mask = size - WAYS;
  }

  /** @param spelling a request-target, which begins with `/` or a scheme, or a body in latin1, which begins with `0` (SEQUENCE). */
  find(spelling: string): Entry | undefined {
    const hash = hashOf(spelling);
    const set = hash & this.#mask;
    for (let place = set; place < set + WAYS; place++) {
      if (this.#hashes[place] === hash && this.#places[2 * place] === spelling)
        return this.#places[2 * place + 1] as Entry;
    }
    return undefined;
  }

  keep(spelling: string, entry: Entry): void {
    if (spelling.length > MAX_SPELLING) return;
    const hash = hashOf(spelling);
    const set = hash & this.#mask;
    const sets = entry.spelledIn ?? [];
    // A new array each time: one that grows takes places for sixteen more.
    if (!sets.includes(set)) {
      if (sets.length === MAX_OF_ONE) this.#clear(sets[0] as number, entry);
      entry.spelledIn = [...sets.slice(1 - MAX_OF_ONE), set];
    }
    // The place it has already, or the oldest one; what is newer moves up.
    let place = set;
    while (place < set + WAYS - 1 && this.#places[2 * place] !== spelling) place++;
    this.#hashes.copyWithin(set + 1, set, place);
    this.#places.copyWithin(2 * (set + 1), 2 * set, 2 * place);
    this.#hashes[set] = hash;
    this.#places[2 * set] = spelling;
    this.#places[2 * set + 1] = entry;
  }

  forget(entry: Entry): void {
    for (const set of entry.spelledIn ?? []) this.#clear(set, entry);
    entry.spelledIn = undefined;
  }

  #clear(set: number, entry: Entry): void {
    for (let place = set; place < set + WAYS; place++) {
      if (this.#places[2 * place + 1] !== entry) continue;
      this.#places[2 * place] = undefined;
      this.#places[2 * place + 1] = undefined;
    }
  }
}

/** A GET with a SHA-256 CertID and every third character escaped is shorter. */
const MAX_SPELLING = 320;

/**
 * The serial stands at the end, before extensions if there are any, so the end tells most. Not the whole string: hashing all of it
 * costs more than everything else here.
 */
function hashOf(spelling: string): number {
  const { length } = spelling;
  let hash = length;
  for (let i = Math.max(0, length - 28); i < length; i++) hash = (Math.imul(hash, 31) + spelling.charCodeAt(i)) | 0;
  return hash ^ (hash >>> 15);
}
