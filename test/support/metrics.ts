/** Metrics as a scraper reads them. */
import { exchange } from './http.ts';

export class Metrics {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws when the admin port does not answer within twenty seconds. */
  static async of(adminPort: number): Promise<Metrics> {
    return new Metrics((await exchange({ port: adminPort, path: '/metrics' })).body.toString());
  }

  /** The sum over all samples of the name with these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const [, found, own = '', value] of this.#text.matchAll(/^([a-z_]+)(?:\{([^}]*)\})? (\S+)$/gm)) {
      if (found !== name) continue;
      if (Object.entries(labels).every(([label, wanted]) => `,${own},`.includes(`,${label}="${wanted}",`)))
        sum += Number(value);
    }
    return sum;
  }

  has(name: string): boolean {
    return new RegExp(`^${name}[ {]`, 'm').test(this.#text);
  }

  /** How many samples there are, of all names. */
  get size(): number {
    return this.#text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  }
}
