/** The greatest or the least of many figures, and what it belongs to. */

export interface Extreme {
  readonly value: number;
  /** In words: the certificate or CRL, and the instant. */
  readonly what: string;
}

export class Extremum {
  readonly #sign: 1 | -1;
  #value = -Infinity;
  #what: (() => string) | undefined;
  count = 0;

  constructor(kind: 'greatest' | 'least') {
    this.#sign = kind === 'greatest' ? 1 : -1;
  }

  /** @param what is asked only of the one that stays; it must not read what changes later. */
  add(value: number, what: () => string): void {
    this.count += 1;
    if (this.#sign * value <= this.#value) return;
    this.#value = this.#sign * value;
    this.#what = what;
  }

  get found(): Extreme | undefined {
    return this.#what === undefined ? undefined : { value: this.#sign * this.#value, what: this.#what() };
  }
}
