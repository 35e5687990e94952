import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ClassicLevel } from 'classic-level';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { WorkQueue } from '../../src/adapters/embedded/work-queue.ts';
import { completeCrl, type CrlRecord } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import type { QueueItem } from '../../src/ports/store.ts';
import { TAG, type StoreUnderTest } from '../contracts/store-records.ts';
import { storeContract } from '../contracts/store.ts';

const root = mkdtempSync(join(tmpdir(), 'embedded-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const newDir = (): string => join(root, String(++directories));
const archiveIn = (dir: string): FileCrlArchive => new FileCrlArchive(join(dir, 'crl'));
const open = (dir: string): Promise<EmbeddedStore> => EmbeddedStore.open(dir, archiveIn(dir));

async function begin(): Promise<StoreUnderTest> {
  const dir = newDir();
  return {
    open: (disturbed = (whole) => whole) => EmbeddedStore.open(dir, disturbed(archiveIn(dir))),
    tamper: async (record) => writeFileSync(archiveIn(dir).path(record), 'other'),
  };
}
storeContract('embedded', begin);

describe('EmbeddedStore', () => {
  it('belongs to one process at a time', async () => {
    const dir = newDir();
    const store = await open(dir);
    await assert.rejects(open(dir), { code: 'unavailable', field: 'dataDir' });
    await store.close();
    await (await open(dir)).close();
  });

  it('says what it cannot use', async () => {
    const file = newDir();
    writeFileSync(file, '');
    await assert.rejects(open(file), { code: 'config', field: 'dataDir', value: file });
  });
});

describe('WorkQueue', () => {
  const item = (serial: string): QueueItem => ({ issuer: TAG, serial: serial as Serial, lane: 'issue', dueAt: 1000 });
  const taken = async (queue: WorkQueue): Promise<string[]> =>
    (await queue.take('issue', 1000, 9)).map(({ serial }) => serial);

  it('passes over nothing that is written while a read of it is under way', async () => {
    const { db, queue, write, held } = await slowReads();
    await write([], ['01', '05']);
    const reading = taken(queue);
    await held();
    await write([], ['03']);
    await write([], ['00']);
    db.release();
    assert.deepEqual([...(await reading), ...(await taken(queue))].sort(), ['00', '01', '03', '05']);
    assert.equal(queue.due('issue', 1000), 4);
    await db.close();
  });

  it('hands out nothing that was finished while a read of it was under way', async () => {
    const { db, queue, write, held } = await slowReads();
    await write([], ['05']);
    db.release();
    assert.deepEqual(await taken(queue), ['05']);
    // An insertion before it brings the reader back over what is leased.
    await write([], ['01']);
    db.hold();
    const reading = taken(queue);
    await held();
    await write(['05'], []);
    db.release();
    assert.deepEqual([...(await reading), ...(await taken(queue))], ['01']);
    assert.equal(queue.due('issue', 1000), 1);
    await db.close();
  });

  it('hands out again what was released because it could not be looked at', async () => {
    const { db, queue, write } = await slowReads();
    await write([], ['01', '02']);
    db.release();
    const [first] = await queue.take('issue', 1000, 2);
    queue.release([first as QueueItem]);
    assert.deepEqual(await taken(queue), ['01']);
    queue.release([item('09')]);
    assert.deepEqual(await taken(queue), []);
    assert.equal(queue.due('issue', 1000), 2);
    await db.close();
  });

  /** A queue on a real database whose reads are held back between the snapshot and the caller. */
  async function slowReads() {
    const real = new ClassicLevel<Buffer, Buffer>(newDir(), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    await real.open();
    let gate = newGate();
    let reached = newGate();
    const keys = real.keys.bind(real) as (range: object) => { all(): Promise<Buffer[]> };
    const db = Object.assign(real, {
      keys: (range: object) => ({
        all: async () => {
          const found = await keys(range).all();
          reached.open();
          await gate.passed;
          return found;
        },
      }),
      hold: () => ([gate, reached] = [newGate(), newGate()]),
      release: () => gate.open(),
    });
    const queue = new WorkQueue(db as unknown as ClassicLevel<Buffer, Buffer>);
    const write = async (done: string[], added: string[]): Promise<void> => {
      const change = await queue.change(done.map(item), added.map(item));
      await real.batch([...change.operations]);
      change.written();
    };
    return { db, queue, write, held: () => reached.passed };
  }
});

function newGate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

function archived(number: bigint, der: string): CrlRecord {
  const sha256 = createHash('sha256').update(der).digest('hex');
  return { ...completeCrl(TAG), number, bytes: der.length, sha256 } as CrlRecord;
}

describe('FileCrlArchive', () => {
  it('leaves nothing of a CRL that the disk has no room for', async () => {
    const dir = newDir();
    const archive = new FileCrlArchive(dir);
    const record = archived(7n, 'crl');
    mkdirSync(join(dir, TAG), { recursive: true });
    // Whatever is written to it meets a full disk.
    symlinkSync('/dev/full', `${archive.path(record).replace(/crl$/, 'json')}.part`);
    await assert.rejects(archive.write(record, Buffer.from('crl')), { code: 'ENOSPC' });
    assert.deepEqual(readdirSync(join(dir, TAG)), ['7.crl'], 'not found without its record');
    assert.equal(await archive.newest(record), undefined);
    await archive.write(record, Buffer.from('crl'));
    assert.deepEqual(readdirSync(join(dir, TAG)).sort(), ['7.crl', '7.json']);
  });

  it('never replaces a CRL by another (CT-5.5.1-3), and takes the same one again after a crash', async () => {
    const dir = newDir();
    const archive = new FileCrlArchive(dir);
    await archive.write(archived(7n, 'a'), Buffer.from('a'));
    await archive.write(archived(7n, 'a'), Buffer.from('a'));
    await assert.rejects(archive.write(archived(7n, 'b'), Buffer.from('b')), { code: 'conflict', value: 'number 7' });
    // A crash while writing leaves a draft; the next process removes it.
    writeFileSync(join(dir, TAG, 'draft-1.part'), 'half of a CRL');
    const next = archived(8n, 'whole');
    const again = new FileCrlArchive(dir);
    await again.write(next, Buffer.from('whole'));
    assert.deepEqual(readdirSync(join(dir, TAG)).sort(), ['7.crl', '7.json', '8.crl', '8.json']);
    assert.equal(String(await again.read(next)), 'whole');
    assert.equal((await again.newest(next))?.number, 8n);
  });
});
