/**
 * The journal: intake's durable log of accepted events and the audit log of everything that was signed (P1, P8), one
 * hash chain. Written before anything else; what follows from a record is derived and can be derived again.
 */
import type { JournalEntry, JournalRecord } from '../core/journal-record.ts';
import type { EpochMs } from '../core/time.ts';

export interface Journal {
  /** The last record written. */
  readonly head: { readonly seq: number; readonly hash: string };
  /**
   * Appends the entries in order, without gaps between them, and resolves when they are durable (fsync). Calls under way at
   * the same time share one fsync.
   * @throws Problem `unavailable` when they could not be made durable; then none of them is in the log, and whoever was
   *   about to acknowledge, sign or publish on their strength must not.
   */
  append(entries: readonly JournalEntry[]): Promise<readonly JournalRecord[]>;
  /**
   * Takes entries for what has happened and could not be recorded: signatures that were made when an append failed. They go before
   * whatever is appended next, in the same fsync; `failure` is set until then, so nothing else is signed before. A crash until then
   * loses them: of what they tell nothing was published either.
   */
  owe(entries: readonly JournalEntry[]): void;
  /** Why the journal cannot be written now; undefined when it can. Signing stops while this is set (P8). */
  readonly failure: string | undefined;
  /** Records with seq > after, in order. @throws Problem `corrupt` naming file and record. */
  read(after: number): AsyncIterable<JournalRecord>;
  close(): Promise<void>;
}

/** For its gauges. */
export interface MeasuredJournal extends Journal {
  /** When the last record was written; undefined while there is none. */
  readonly headAt: EpochMs | undefined;
  /** Octets of all its files. */
  readonly bytes: number;
}
