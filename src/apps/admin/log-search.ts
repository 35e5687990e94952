/**
 * Looks through the audit log from its end for as long as a person waits. What it has not looked at is said, with how to go on; the log
 * of a large CA is read whole by the commands (`audit show`, `audit export`), which keep nobody waiting.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { newestLines, parseLine, type NewestLine } from '../../adapters/journal/newest.ts';
import type { JournalRecord } from '../../core/journal-record.ts';
import { SECOND } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';

/** Of one page. */
const PATIENCE_MS = 2 * SECOND;
/** Lines between two turns of the event loop; most are a few hundred octets. */
const LINES_PER_TURN = 200;

export interface Found {
  /** Newest first. */
  readonly records: readonly JournalRecord[];
  /** The oldest record that was looked at; undefined when there was none. */
  readonly lookedBackTo: number | undefined;
  /** False: there is more before `lookedBackTo`, because enough were found or the time was over. */
  readonly whole: boolean;
}

export interface Search {
  /** Records with a smaller seq alone. */
  readonly before?: number | undefined;
  /** On the line as it lies there, before it is parsed: false when it cannot be wanted. */
  readonly maybe: (line: string) => boolean;
  /** `stop`: nothing older is wanted either. */
  readonly wanted: (record: JournalRecord) => boolean | 'stop';
  /** Of records. */
  readonly most: number;
}

/** @throws Problem `corrupt`, `unavailable` */
export async function searchLog(dir: string, { before, maybe, wanted, most }: Search, clock: Clock): Promise<Found> {
  const from = clock.now();
  const records: JournalRecord[] = [];
  let lookedBackTo: number | undefined;
  let lines = 0;
  for await (const line of newestLines(dir, before) as AsyncIterable<NewestLine>) {
    if (records.length >= most || Math.abs(clock.now() - from) > PATIENCE_MS)
      return { records, lookedBackTo, whole: false };
    if (++lines % LINES_PER_TURN === 0) await nextTurn();
    lookedBackTo = line.seq;
    if (!maybe(line.text)) continue;
    const record = parseLine(line);
    const verdict = wanted(record);
    if (verdict === 'stop') break;
    if (verdict) records.push(record);
  }
  return { records, lookedBackTo, whole: true };
}
