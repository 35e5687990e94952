/**
 * A process that appends to a journal until it is killed, or until the file may grow no more; journal.test.ts starts it.
 * Prints the seq of each record that was acknowledged.
 *
 *   node journal-appender.js <dir> endless   appends for ever, eight at a time
 *   node journal-appender.js <dir> limited   appends until it fails, says so, waits for a line on stdin, appends once more
 */
import { once } from 'node:events';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';

const [dir, mode] = process.argv.slice(2) as [string, 'endless' | 'limited'];
const journal = await FileJournal.open(dir, systemClock, 20_000);
const entry = { type: 'service.started', actor: 'test', description: 'x'.repeat(300) } as const;

if (mode === 'endless') {
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (;;) await append();
    }),
  );
} else {
  try {
    for (;;) await append();
  } catch (error) {
    console.log(`failed: ${(error as Error).message}; failure: ${journal.failure}`);
  }
  await once(process.stdin, 'data');
  await append();
  console.log(`failure: ${journal.failure}`);
  process.exit(0);
}

async function append(): Promise<void> {
  const [record] = await journal.append([entry]);
  console.log(record?.seq);
}
