/** Repeatable randomness for tests that search: a run that fails is run again with the seed it printed. */

export interface Random {
  /** 0 … 2^32 − 1. */
  next(): number;
  /** 0 … limit − 1. */
  below(limit: number): number;
  chance(probability: number): boolean;
  bytes(length: number): Buffer;
  /** Hex of a positive serial of 16 octets. */
  serial(): string;
}

/** Mulberry32: 32 bits of state are plenty for picking test cases. */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => next() & 0xff));
  return {
    next,
    below: (limit) => next() % limit,
    chance: (probability) => next() < probability * 2 ** 32,
    bytes,
    serial: () => {
      const octets = bytes(16);
      octets[0] = 0x40 | ((octets[0] as number) & 0x3f);
      return octets.toString('hex');
    },
  };
}

/** The seed in this environment variable, else a new one; print it. */
export function seedFrom(variable: string): { readonly seed: number; readonly random: Random } {
  const given = process.env[variable];
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
  return { seed, random: makeRandom(seed) };
}
