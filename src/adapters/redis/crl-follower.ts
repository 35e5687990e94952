/**
 * Fetches the CRLs that the change feed names, one after the other and beside the feed: a revocation that is told behind a CRL of
 * 50 MB does not wait for it (P2). In the order of the feed, so that nobody is told an older CRL of a scope after a newer one.
 *
 * Failure ladder of one CRL:
 *   Redis does not answer   → tried again until it does
 *   replaced meanwhile      → left out: the feed names its successor
 */
import type { CrlRecord } from '../../core/certificate.ts';

const AGAIN_MS = 100;

export class CrlFollower {
  readonly #fetch: (record: CrlRecord) => Promise<Buffer | undefined>;
  readonly #tell: (record: CrlRecord, der: Buffer) => void;
  #waiting: CrlRecord[] = [];
  #fetching: Promise<void> | undefined;
  #closed = false;

  /** @param fetch undefined when a newer CRL has taken its place; rejects while it cannot be had. */
  constructor(
    fetch: (record: CrlRecord) => Promise<Buffer | undefined>,
    tell: (record: CrlRecord, der: Buffer) => void,
  ) {
    this.#fetch = fetch;
    this.#tell = tell;
  }

  /** Told soon. */
  follow(record: CrlRecord): void {
    this.#waiting.push(record);
    this.#fetching ??= this.#fetchAll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#fetching;
  }

  async #fetchAll(): Promise<void> {
    for (;;) {
      const record = this.#waiting[0];
      if (record === undefined || this.#closed) {
        this.#fetching = undefined;
        return;
      }
      try {
        const der = await this.#fetch(record);
        this.#waiting.shift();
        if (der !== undefined && !this.#closed) this.#tell(record, der);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }
}
