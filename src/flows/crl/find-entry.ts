/** What the current CRL of a scope says of one certificate: read from the CRL itself, as a client would, not from the ledger. */
import type { CrlRecord } from '../../core/certificate.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import type { Serial } from '../../core/serial.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlShelf } from '../../ports/store.ts';
import { Pace } from '../pace.ts';
import { ListedEntries } from './listed-entries.ts';

export type ListedEntry = Pick<CrlEntryView, 'revocationDate' | 'reason' | 'invalidityDate'>;

/** A few milliseconds of reading. */
const ENTRIES_PER_STEP = 2000;

/**
 * Undefined when it is not listed. Reads the whole CRL when it is not there: of a million entries half a second, in steps.
 * @throws Problem `corrupt`, `unavailable`
 */
export async function findEntry(
  record: CrlRecord,
  serial: Serial,
  store: Pick<CrlShelf, 'openCrl'>,
  clock: Clock,
): Promise<ListedEntry | undefined> {
  const file = await store.openCrl(record);
  const pace = new Pace(clock, 1);
  try {
    const listed = await ListedEntries.open(file);
    while (listed.head !== undefined) {
      if (listed.head.serial === serial) return pick(listed.head);
      if (listed.count % ENTRIES_PER_STEP === 0) await pace.breathe();
      await listed.next();
    }
    return undefined;
  } finally {
    await file.close();
  }
}

/** Values, not views: the octets are let go. */
function pick({ revocationDate, reason, invalidityDate }: CrlEntryView): ListedEntry {
  return { revocationDate, reason, invalidityDate };
}
