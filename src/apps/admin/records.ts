/** Audit records of the admin port: who came, who was turned away, who read the log (CT-5.4.1-c, CT-5.4.4). */
import type { JournalEntry } from '../../core/journal-record.ts';
import { SECOND } from '../../core/time.ts';
import type { Log } from '../../flows/log.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';

/** One record for a burst of denials, so that a flood does not fill the audit log. */
const BURST_MS = 10 * SECOND;

export class AccessRecords {
  readonly #journal: Journal | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  #first: { readonly who: string; readonly what: string } | undefined;
  #more = 0;

  /** @param journal undefined in a process that has none: then it is in its log alone. */
  constructor(journal: Journal | undefined, clock: Clock, log: Log) {
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
  }

  /** The first of a burst at once, the rest as a count. */
  denied(who: string, what: string): void {
    if (this.#first !== undefined) {
      this.#more += 1;
      return;
    }
    this.#first = { who, what };
    void this.write({ type: 'access.denied', actor: who, description: `admin port: ${what}` });
    this.#clock.after(BURST_MS, () => {
      const more = this.#more;
      this.#first = undefined;
      this.#more = 0;
      if (more > 0)
        void this.write({ type: 'access.denied', actor: 'unknown', description: `admin port: ${more} more were denied within ${BURST_MS / SECOND} s` }); // prettier-ignore
    });
  }

  /**
   * Resolves when it is durable, or when that has failed and the log says so: who looks for the reason of a full disk must not be kept
   * out by it.
   */
  async write(entry: JournalEntry): Promise<void> {
    const { type, actor, description } = entry;
    if (this.#journal === undefined) {
      this.#log.info({ type, actor }, description);
      return;
    }
    await this.#journal
      .append([entry])
      .catch((error: unknown) => this.#log.error({ err: error, type, actor }, `not in the audit log: ${description}`));
  }
}
