/**
 * PEM (RFC 7468), a line at a time: the DER of each block with one of the wanted labels. Text around the blocks and blocks
 * with other labels are passed over.
 */
import { Problem } from '../../core/problem.ts';

export class PemReader {
  readonly #labels: ReadonlySet<string>;
  readonly #maxBase64: number;
  /** The wanted label whose END is awaited. */
  #label: string | undefined;
  #base64 = '';

  /** @param maxBytes of the DER of one block. */
  constructor(labels: readonly string[], maxBytes: number) {
    this.#labels = new Set(labels);
    this.#maxBase64 = Math.ceil(maxBytes / 3) * 4;
  }

  /** The block that this line ends, or what is wrong with it; the next block is read all the same. */
  line(text: string): Buffer | Problem | undefined {
    const label = this.#label;
    if (!text.startsWith('-----')) {
      if (label !== undefined) this.#base64 += text.trim();
      // Let it grow no further: the block is refused when its END comes.
      if (this.#base64.length > this.#maxBase64) this.#base64 = this.#base64.slice(0, this.#maxBase64 + 1);
      return undefined;
    }
    const [, edge, name] = /^-----(BEGIN|END) ([^-]+)-----\s*$/.exec(text) ?? [];
    if (edge === 'END' && label !== undefined && name === label) return this.#finish();
    // Anything else that starts with dashes means that the block before it was cut off.
    const cut = this.end();
    if (edge === 'BEGIN' && name !== undefined && this.#labels.has(name)) this.#label = name;
    return cut;
  }

  /** The block that nothing ended. */
  end(): Problem | undefined {
    if (this.#label === undefined) return undefined;
    const problem = new Problem('invalid', `there is no END ${this.#label}`, { rule: 'RFC 7468 §3' });
    this.#reset();
    return problem;
  }

  #finish(): Buffer | Problem {
    const base64 = this.#base64;
    this.#reset();
    if (base64.length > this.#maxBase64) {
      return new Problem('invalid', `a PEM block of more than ${this.#maxBase64} characters`, { rule: 'RFC 7468 §3' });
    }
    const der = Buffer.from(base64, 'base64');
    // Buffer.from passes over what is not base64; what it made of the text must be the text.
    if (der.length === 0 || der.toString('base64') !== base64) {
      return new Problem('invalid', 'the PEM block is not base64', { rule: 'RFC 7468 §3' });
    }
    return der;
  }

  #reset(): void {
    this.#label = undefined;
    this.#base64 = '';
  }
}
