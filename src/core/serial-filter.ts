/**
 * A set of serials that may take more for its members than are: a Bloom filter that grows with what it is given. It says who is
 * looked up first when not everybody can be, and nothing else: no answer rests on it, so a false one costs nobody but its asker.
 *
 * Ten million serials take 16 MB, and up to 32 MB before the next doubling. Nothing is ever taken out: what was issued stays issued.
 */
import type { IssuerTag } from './certificate.ts';
import type { Serial } from './serial.ts';

export class SerialFilter {
  readonly #seed: number;
  readonly #slices: Slice[] = [];

  /** @param seed any 32 bits that clients do not know: then nobody can make serials that look like issued ones. */
  constructor(seed: number) {
    this.#seed = seed;
    this.#slices.push(slice(FIRST_BITS));
  }

  /** True for everything that was added, and for at most a few in a hundred of the rest. */
  has(issuer: IssuerTag, serial: Serial): boolean {
    const [first, step] = this.#hash(issuer, serial);
    return this.#slices.some((one) => holds(one, first, step));
  }

  /** Again changes nothing. */
  add(issuer: IssuerTag, serial: Serial): void {
    const [first, step] = this.#hash(issuer, serial);
    if (this.#slices.some((one) => holds(one, first, step))) return;
    let last = this.#slices.at(-1) as Slice;
    if (last.count * BITS_EACH >= last.mask && last.mask < MOST_BITS - 1) {
      last = slice((last.mask + 1) * 2);
      this.#slices.push(last);
    }
    last.count += 1;
    for (let i = 0, at = first; i < PROBES; i++, at = (at + step) | 0) {
      const bit = (at & last.mask) >>> 0;
      last.octets[bit >>> 3] = (last.octets[bit >>> 3] as number) | (1 << (bit & 7));
    }
  }

  /** How many different ones were added, as far as it can tell. */
  get count(): number {
    return this.#slices.reduce((sum, { count }) => sum + count, 0);
  }

  /** Octets of memory. */
  get bytes(): number {
    return this.#slices.reduce((sum, { octets }) => sum + octets.length, 0);
  }

  /** FNV-1a twice, with the finaliser of MurmurHash3, which spreads every bit. The step is odd, so that it meets every bit. */
  #hash(issuer: IssuerTag, serial: Serial): readonly [number, number] {
    let [a, b] = [this.#seed ^ 0x811c9dc5, this.#seed ^ 0x9747b28c];
    for (const text of [issuer, serial]) {
      for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i);
        a = Math.imul(a ^ code, 0x01000193);
        b = Math.imul(b ^ code, 0x5bd1e995);
        b ^= b >>> 13;
      }
    }
    return [spread(a), spread(b) | 1];
  }
}

interface Slice {
  readonly octets: Uint8Array;
  /** Of a bit's number. */
  readonly mask: number;
  count: number;
}

/** @param bits a power of two. */
function slice(bits: number): Slice {
  return { octets: new Uint8Array(bits / 8), mask: bits - 1, count: 0 };
}

function holds({ octets, mask }: Slice, first: number, step: number): boolean {
  for (let i = 0, at = first; i < PROBES; i++, at = (at + step) | 0) {
    const bit = (at & mask) >>> 0;
    if (((octets[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

function spread(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** 128 kB, enough for 87,000 serials. */
const FIRST_BITS = 2 ** 20;
/** 32 MB. The last slice takes more than it should rather than grow: 44 million serials in 64 MB, then the filter blunts. */
const MOST_BITS = 2 ** 28;
/** One in 300 others is taken for a member of a full slice with 12 bits for each and 6 looks; the slices' shares add up. */
const BITS_EACH = 12;
const PROBES = 6;
