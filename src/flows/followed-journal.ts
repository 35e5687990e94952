/** A journal that tells what was written, once it is durable. Who listens changes nothing: a listener that throws is its own bug. */
import type { JournalEntry, JournalRecord } from '../core/journal-record.ts';
import type { EpochMs } from '../core/time.ts';
import type { Journal, MeasuredJournal } from '../ports/journal.ts';

export class FollowedJournal implements MeasuredJournal {
  readonly #journal: MeasuredJournal;
  readonly #listeners: ((records: readonly JournalRecord[]) => void)[] = [];

  constructor(journal: MeasuredJournal) {
    this.#journal = journal;
  }

  get head(): Journal['head'] {
    return this.#journal.head;
  }

  get headAt(): EpochMs | undefined {
    return this.#journal.headAt;
  }

  get bytes(): number {
    return this.#journal.bytes;
  }

  get failure(): string | undefined {
    return this.#journal.failure;
  }

  /** Called with the records of each append, after they are durable and before it resolves. */
  follow(listener: (records: readonly JournalRecord[]) => void): void {
    this.#listeners.push(listener);
  }

  async append(entries: readonly JournalEntry[]): Promise<readonly JournalRecord[]> {
    const records = await this.#journal.append(entries);
    for (const listener of this.#listeners) listener(records);
    return records;
  }

  owe(entries: readonly JournalEntry[]): void {
    this.#journal.owe(entries);
  }

  read(after: number): AsyncIterable<JournalRecord> {
    return this.#journal.read(after);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }
}
