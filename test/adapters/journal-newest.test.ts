/** The journal read from its end, against the same journal read from its beginning. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FileJournal, readJournal } from '../../src/adapters/journal/file-journal.ts';
import { newestLines, parseLine } from '../../src/adapters/journal/newest.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import type { JournalRecord } from '../../src/core/journal-record.ts';

describe('newestLines', () => {
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-newest-'));
  let all: JournalRecord[] = [];
  before(async () => {
    const journal = await FileJournal.open(dir, systemClock, 100_000);
    // Short and long, beyond the 256 kB that are read at a time, over several files.
    for (const size of [10, 300_000, 1, 700_000, 5, ...Array.from({ length: 200 }, (_, i) => i * 20), 262_144, 3])
      await journal.append([{ type: 'service.started', actor: 'test', description: 'ä'.repeat(size / 2) }]);
    await journal.close();
    for await (const record of readJournal(dir, 0)) all.push(record);
  });
  after(() => rmSync(dir, { recursive: true }));

  async function read(before?: number): Promise<JournalRecord[]> {
    const records: JournalRecord[] = [];
    for await (const line of newestLines(dir, before)) records.push(parseLine(line));
    return records;
  }

  it('gives every record once, the last first, over all files', async () => {
    assert.ok(readdirSync(dir).length > 3);
    assert.deepEqual(await read(), all.toReversed());
  });

  it('begins before a record', async () => {
    for (const before of [1, 2, 3, 4, 5, 100, all.length, all.length + 1])
      assert.deepEqual((await read(before)).map(({ seq }) => seq), all.map(({ seq }) => seq).filter((seq) => seq < before).toReversed()); // prettier-ignore
  });

  it('leaves out a record that is being written', async () => {
    const last = readdirSync(dir).sort().at(-1) as string;
    appendFileSync(join(dir, last), '{"seq":999,"at":"2026');
    assert.deepEqual(await read(), all.toReversed());
  });
});
