import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FileJournal, readJournal } from '../../src/adapters/journal/file-journal.ts';
import type { JournalEntry, JournalRecord } from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import { NOW } from '../core/sample-pki.ts';
import { TurnedClock } from '../flows/clock.ts';

const root = mkdtempSync(join(tmpdir(), 'journal-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const newDir = (): string => join(root, String(++directories));

const clock = new TurnedClock(NOW);
const entry = (description: string): JournalEntry => ({ type: 'service.started', actor: 'test', description });
const fileOf = (dir: string, seq: number): string => join(dir, `${String(seq).padStart(12, '0')}.ndjson`);

async function collect(records: AsyncIterable<JournalRecord>): Promise<JournalRecord[]> {
  const list: JournalRecord[] = [];
  for await (const record of records) list.push(record);
  return list;
}
const descriptions = async (dir: string, seq = 0): Promise<string[]> =>
  (await collect(readJournal(dir, seq))).map(({ description }) => description);

/** A journal with one record per file. */
async function filled(count: number, segmentBytes = 1): Promise<string> {
  const dir = newDir();
  const journal = await FileJournal.open(dir, clock, segmentBytes);
  for (let n = 1; n <= count; n++) await journal.append([entry(`record ${n}`)]);
  await journal.close();
  return dir;
}

async function corrupt(run: () => Promise<unknown>, field: RegExp, message: RegExp): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, 'corrupt');
    assert.match(error.field ?? '', field);
    assert.match(error.message, message);
    return true;
  });
}

describe('FileJournal', () => {
  it('keeps one chain over reopening and over files', async () => {
    const dir = newDir();
    for (const run of [1, 2, 3]) {
      const journal = await FileJournal.open(dir, clock, 600);
      for (let n = 1; n <= 5; n++) await journal.append([entry(`run ${run} record ${n}`)]);
      await journal.close();
    }
    const records = await collect(readJournal(dir, 0));
    assert.deepEqual(
      records.map(({ seq }) => seq),
      Array.from({ length: 15 }, (_, i) => i + 1),
    );
    assert.ok(readdirSync(dir).length > 3);
    for (let seq = 0; seq <= 15; seq++) assert.deepEqual(await collect(readJournal(dir, seq)), records.slice(seq));
  });

  it('keeps any text, line separators included', async () => {
    const dir = newDir();
    const journal = await FileJournal.open(dir, clock);
    const texts = ['a\nb\r\nc\rd', 'a\u2028b\u2029c\u0085d', 'é漢\u{1f600}'.repeat(40_000), '\ud800', ''];
    for (const text of texts) await journal.append([entry(text)]);
    assert.deepEqual(
      (await descriptions(dir)).map((text) => text.length),
      texts.map((text) => text.length),
    );
    assert.deepEqual(await descriptions(dir), texts);
    await journal.close();
    assert.equal((await FileJournal.open(dir, clock)).head.seq, texts.length);
  });

  it('shares one fsync between appends that wait, and keeps their order', async () => {
    const journal = await FileJournal.open(newDir(), clock);
    const prototype = await handlePrototype();
    const datasync = mock.method(prototype, 'datasync');
    const appended = await Promise.all(
      Array.from({ length: 200 }, (_, n) => journal.append([entry(`${n} a`), entry(`${n} b`)])),
    );
    const syncs = datasync.mock.callCount();
    datasync.mock.restore();
    assert.ok(syncs <= 2, `${syncs} fsyncs`);
    assert.deepEqual(
      appended.flat().map(({ seq }) => seq),
      Array.from({ length: 400 }, (_, i) => i + 1),
    );
    assert.deepEqual(
      appended[7]?.map(({ description }) => description),
      ['7 a', '7 b'],
    );
    assert.deepEqual(await journal.append([]), []);
    assert.equal(journal.head.seq, 400);
    await journal.close();
    await assert.rejects(journal.append([entry('late')]), { code: 'unavailable' });
  });

  it('takes an append at whatever moment the one before ends', async () => {
    const journal = await FileJournal.open(newDir(), clock);
    for (let ticks = 0; ticks < 12; ticks++) {
      await journal.append([entry('first')]);
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      const second = journal.append([entry('second')]);
      const outcome = await Promise.race([second.then(() => 'appended'), delay(2000, 'forgotten', { ref: false })]);
      assert.equal(outcome, 'appended', `${ticks} ticks after the first`);
    }
    await journal.close();
  });

  it('writes the time of the record, also when the clock steps back (T-07)', async () => {
    const dir = newDir();
    const own = new TurnedClock(NOW);
    const journal = await FileJournal.open(dir, own);
    await journal.append([entry('a')]);
    own.turn(-5000);
    await journal.append([entry('b')]);
    await journal.close();
    assert.deepEqual(
      (await collect(readJournal(dir, 0))).map(({ at }) => Date.parse(at) - NOW),
      [0, -5000],
    );
  });
});

describe('a damaged journal', () => {
  it('is refused at the record that was altered', async () => {
    const dir = await filled(6, 1e9);
    const file = fileOf(dir, 1);
    writeFileSync(file, readFileSync(file, 'utf8').replace('record 3', 'record 9'));
    await corrupt(() => collect(readJournal(dir, 0)), /^000000000001\.ndjson line 3$/, /altered/);
    await corrupt(() => FileJournal.open(dir, clock), /000000000001\.ndjson line 3$/, /altered/);
  });

  it('is refused at a record that is missing, moved or doubled', async () => {
    const defects: readonly (readonly [(lines: string[]) => string[], number, number])[] = [
      [(lines) => lines.filter((_, i) => i !== 2), 3, 3],
      [(lines) => [lines[1], lines[0], ...lines.slice(2)] as string[], 1, 1],
      [(lines) => [...lines.slice(0, 4), lines[3], ...lines.slice(4)] as string[], 5, 5],
      [(lines) => lines.slice(1), 1, 1],
    ];
    for (const [spoil, line, missing] of defects) {
      const dir = await filled(6, 1e9);
      const file = fileOf(dir, 1);
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
      writeFileSync(file, spoil(lines).join('\n') + '\n');
      const where = new RegExp(`line ${line}$`);
      const message = new RegExp(`^record ${missing} is missing or out of order$`);
      await corrupt(() => collect(readJournal(dir, 0)), where, message);
      await corrupt(() => FileJournal.open(dir, clock), where, message);
    }
  });

  it('is refused where a file is missing, or is cut within', async () => {
    const dir = await filled(6);
    rmSync(fileOf(dir, 3));
    await corrupt(() => collect(readJournal(dir, 0)), /^000000000004/, /^record 3 is missing/);
    const cut = await filled(6);
    truncateSync(fileOf(cut, 3), 40);
    await corrupt(() => collect(readJournal(cut, 0)), /^000000000003\.ndjson line 1$/, /ends within a record/);
    const first = await filled(6);
    rmSync(fileOf(first, 1));
    await corrupt(() => collect(readJournal(first, 0)), /^000000000002/, /^record 1 is missing/);
  });

  it('is refused where a record was replaced by one with a right number and a right hash', async () => {
    const dir = await filled(3, 1e9);
    const other = newDir();
    const forger = await FileJournal.open(other, new TurnedClock(NOW + 1));
    await forger.append([entry('record 1')]);
    await forger.close();
    const [, ...rest] = readFileSync(fileOf(dir, 1), 'utf8').split('\n');
    writeFileSync(fileOf(dir, 1), readFileSync(fileOf(other, 1), 'utf8') + rest.join('\n'));
    await corrupt(() => collect(readJournal(dir, 0)), /line 2$/, /does not follow/);
  });
});

describe('a journal after a crash', () => {
  it('is cut back at every length of an unfinished last record, and says so', async () => {
    const whole = await filled(3, 1e9);
    const bytes = readFileSync(fileOf(whole, 1));
    const last = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
    for (let length = last; length <= bytes.length; length++) {
      const dir = newDir();
      const first = await FileJournal.open(dir, clock);
      await first.close();
      writeFileSync(fileOf(dir, 1), bytes.subarray(0, length));
      // Whoever reads before the cut sees what was whole.
      const full = length === bytes.length;
      assert.equal((await descriptions(dir)).length, full ? 3 : 2);
      const journal = await FileJournal.open(dir, clock);
      const kept = full ? ['record 1', 'record 2', 'record 3'] : ['record 1', 'record 2'];
      const torn = length - last;
      if (torn === 0 || full) assert.deepEqual(await descriptions(dir), kept);
      else {
        const [cut] = await collect(journal.read(2));
        assert.equal(cut?.type, 'journal.recovered');
        assert.match(cut.description, new RegExp(`^an unfinished record of ${torn} bytes `));
        assert.deepEqual(readFileSync(`${fileOf(dir, 1)}.torn-3`), bytes.subarray(last, length));
      }
      const { seq } = journal.head;
      assert.equal((await journal.append([entry('next')]))[0]?.seq, seq + 1);
      await journal.close();
      assert.equal((await descriptions(dir)).at(-1), 'next');
      rmSync(dir, { recursive: true });
    }
  });

  it('goes on when it was killed between beginning a file and its first record', async () => {
    for (const torn of ['', '{"seq":4,"at"']) {
      const dir = await filled(3);
      writeFileSync(fileOf(dir, 4), torn);
      const journal = await FileJournal.open(dir, clock, 1);
      assert.equal(journal.head.seq, torn === '' ? 3 : 4);
      await journal.append([entry('next')]);
      await journal.close();
      const all = await descriptions(dir);
      assert.deepEqual([all.slice(0, 3), all.at(-1)], [['record 1', 'record 2', 'record 3'], 'next']);
    }
  });

  it('is refused when the file before an empty one is not whole', async () => {
    const dir = await filled(3, 1e9);
    writeFileSync(fileOf(dir, 4), '');
    const lines = readFileSync(fileOf(dir, 1), 'utf8').split('\n');
    writeFileSync(fileOf(dir, 1), `${lines.slice(0, 2).join('\n')}\n`);
    await corrupt(() => FileJournal.open(dir, clock), /000000000001\.ndjson/, /^record 3 is missing$/);
    appendFileSync(fileOf(dir, 1), (lines[2] as string).slice(0, 50));
    await corrupt(() => FileJournal.open(dir, clock), /000000000001\.ndjson/, /^record 3 is missing$/);
  });

  it('holds every record that was acknowledged before kill -9 (P1)', { timeout: 30_000 }, async () => {
    const dir = newDir();
    let acknowledged = 0;
    for (const ms of [40, 90, 10, 150, 60]) {
      const child = appender(dir, 'endless');
      let printed = '';
      child.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()));
      await once(child.stdout as NodeJS.ReadableStream, 'data');
      await delay(ms);
      child.kill('SIGKILL');
      await once(child, 'close');
      const seqs = printed.split('\n').slice(0, -1).map(Number);
      assert.ok(seqs.length > 0);
      acknowledged = Math.max(acknowledged, ...seqs);
      const journal = await FileJournal.open(dir, clock, 20_000);
      assert.ok(journal.head.seq >= acknowledged, `${journal.head.seq} of ${acknowledged}`);
      const records = await collect(journal.read(0));
      assert.deepEqual(
        records.map(({ seq }) => seq),
        Array.from({ length: journal.head.seq }, (_, i) => i + 1),
      );
      await journal.close();
    }
    assert.ok(acknowledged > 100, `only ${acknowledged}`);
  });
});

describe('a journal that cannot be written', () => {
  const eio = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

  it('rejects, keeps nothing of the group, and goes on when it can (CT-5.4.6)', async () => {
    const prototype = await handlePrototype();
    const failures: readonly (readonly [string, () => () => void])[] = [
      ['write, nothing written', () => fail('appendFile', () => Promise.reject(eio))],
      [
        'write, a part written',
        () =>
          fail('appendFile', async (handle, bytes) => {
            await handle.write(bytes as Buffer, 0, 100);
            throw eio;
          }),
      ],
      ['fsync, all written', () => fail('datasync', () => Promise.reject(eio))],
      [
        'fsync and the cut after it',
        () => {
          const restore = [fail('datasync', () => Promise.reject(eio)), fail('truncate', () => Promise.reject(eio))];
          return () => restore.forEach((each) => each());
        },
      ],
    ];
    function fail(
      name: 'appendFile' | 'datasync' | 'truncate',
      run: (handle: FileHandle, bytes: unknown) => Promise<void>,
    ) {
      const mocked = mock.method(prototype, name, function (this: FileHandle, bytes: unknown) {
        return run(this, bytes);
      });
      return () => mocked.mock.restore();
    }
    for (const [name, inject] of failures) {
      const dir = newDir();
      const journal = await FileJournal.open(dir, clock);
      await journal.append([entry('before')]);
      const restore = inject();
      const outcomes = await Promise.allSettled([
        journal.append([entry('lost 1'), entry('lost 2')]),
        journal.append([entry('lost 3')]),
      ]);
      for (const outcome of outcomes) {
        assert.ok(outcome.status === 'rejected' && outcome.reason instanceof Problem, name);
        assert.deepEqual([outcome.reason.code, outcome.reason.rule], ['unavailable', 'CT-5.4.6']);
      }
      assert.match(journal.failure ?? '', /EIO/, name);
      assert.equal(journal.head.seq, 1);
      // Still failing: still nothing.
      await assert.rejects(journal.append([entry('lost 4')]), { code: 'unavailable' });
      restore();
      const [record] = await journal.append([entry('after')]);
      assert.equal(record?.seq, 2);
      assert.equal(journal.failure, undefined);
      await journal.close();
      assert.deepEqual(await descriptions(dir), ['before', 'after'], name);
      const reopened = await FileJournal.open(dir, clock);
      assert.equal(reopened.head.seq, 2);
      await reopened.close();
    }
  });

  it('acknowledges nothing while its file was moved or deleted, and goes on when it is back (P1)', async () => {
    for (const segmentBytes of [1 << 20, 1]) {
      const dir = newDir();
      const journal = await FileJournal.open(dir, clock, segmentBytes);
      await journal.append([entry('before')]);
      renameSync(dir, `${dir}-away`);
      await assert.rejects(journal.append([entry('lost')]), /moved or deleted while the service runs; put it back/);
      assert.match(journal.failure ?? '', /put it back/);
      // Another file under the same name is not the journal.
      mkdirSync(dir);
      writeFileSync(fileOf(dir, 1), '');
      await assert.rejects(journal.append([entry('lost as well')]), /put it back/);
      rmSync(dir, { recursive: true });
      renameSync(`${dir}-away`, dir);
      await journal.append([entry('after')]);
      assert.equal(journal.failure, undefined);
      await journal.close();
      assert.deepEqual(await descriptions(dir), ['before', 'after']);
    }
  });

  it('writes what is owed before what is appended next, and fails until then (P8)', async () => {
    for (const segmentBytes of [1 << 20, 1]) {
      const dir = newDir();
      const journal = await FileJournal.open(dir, clock, segmentBytes);
      await journal.append([entry('before')]);
      journal.owe([entry('owed')]);
      assert.match(journal.failure ?? '', /still to be recorded/);
      renameSync(dir, `${dir}-away`);
      await assert.rejects(journal.append([entry('lost')]), { code: 'unavailable' });
      journal.owe([entry('owed as well')]);
      renameSync(`${dir}-away`, dir);
      const appended = await Promise.all([journal.append([entry('one')]), journal.append([entry('two')])]);
      assert.deepEqual(appended.map(([record]) => [record?.seq, record?.description]), [[4, 'one'], [5, 'two']]); // prettier-ignore
      assert.equal(journal.failure, undefined);
      await journal.append([entry('after')]);
      await journal.close();
      assert.deepEqual(await descriptions(dir), ['before', 'owed', 'owed as well', 'one', 'two', 'after']);
    }
  });

  it('goes on in the next file when that could not be begun at first', async () => {
    const dir = newDir();
    const journal = await FileJournal.open(dir, clock, 1);
    await journal.append([entry('before')]);
    const sync = mock.method(await handlePrototype(), 'sync', () => Promise.reject(eio));
    await assert.rejects(journal.append([entry('lost')]), { code: 'unavailable' });
    sync.mock.restore();
    await journal.append([entry('after')]);
    await journal.close();
    assert.deepEqual(await descriptions(dir), ['before', 'after']);
  });

  it('does not stop at an entry that cannot be written as JSON', async () => {
    const journal = await FileJournal.open(newDir(), clock);
    await assert.rejects(journal.append([{ ...entry('a'), detail: { number: 1n } }]), { code: 'unavailable' });
    assert.equal((await journal.append([entry('b')]))[0]?.seq, 1);
    await journal.close();
  });

  it('is whole after a real limit on the file was met and lifted', { timeout: 20_000 }, async () => {
    const dir = newDir();
    // XFSZ ignored: the write then fails with EFBIG, as it would with ENOSPC on a full disk, after writing a part.
    const child = appender(dir, 'limited', "trap '' XFSZ; ulimit -S -f 10;");
    let printed = '';
    child.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    while (!printed.includes('failed')) await once(child.stdout as NodeJS.ReadableStream, 'data');
    assert.match(printed, /failed: the audit log cannot be written: EFBIG.*; failure: EFBIG/);
    execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited']);
    child.stdin?.end('go on\n');
    await once(child, 'close');
    assert.match(printed, /failure: undefined\n$/);
    const acknowledged = printed.split('\n').filter((line) => /^\d+$/.test(line));
    assert.ok(acknowledged.length > 5);
    assert.equal((await descriptions(dir)).length, acknowledged.length);
    const journal = await FileJournal.open(dir, clock);
    assert.equal(journal.head.seq, acknowledged.length);
    await journal.close();
  });
});

/** What every FileHandle inherits from: a method mocked there fails for the journal as the disk would. */
async function handlePrototype(): Promise<FileHandle> {
  const handle = await open(join(root, 'any'), 'a');
  await handle.close();
  return Object.getPrototypeOf(handle) as FileHandle;
}

function appender(dir: string, mode: string, before = ''): ChildProcess {
  const script = fileURLToPath(new URL('journal-appender.js', import.meta.url));
  const child = spawn('bash', ['-c', `${before} exec "$0" "$@"`, process.execPath, script, dir, mode]);
  child.stderr.pipe(process.stderr);
  after(() => child.kill('SIGKILL'));
  return child;
}
