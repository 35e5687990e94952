import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readIndexRow } from '../../src/core/import/index-row.ts';
import type { ImportItem, ImportRow } from '../../src/core/import/row.ts';
import { Problem } from '../../src/core/problem.ts';
import { readCsv } from '../../src/adapters/import-files/csv-file.ts';
import { derObjects } from '../../src/adapters/import-files/der-objects.ts';
import type { ImportFile } from '../../src/adapters/import-files/import-file.ts';
import { readIndex } from '../../src/adapters/import-files/index-file.ts';
import { linePages, MAX_LINE_BYTES } from '../../src/adapters/import-files/lines.ts';
import { PemReader } from '../../src/adapters/import-files/pem-reader.ts';

const SEED = 20261121;
const directory = mkdtempSync(join(tmpdir(), 'certstatus-import-files-'));
after(() => rmSync(directory, { recursive: true }));

const row = (serial: string): string => `V\t270219030716Z\t\t${serial}\tunknown\t/CN=x`;

describe('an index.txt file', () => {
  it('may begin with a byte order mark, use CRLF and end without a newline', async () => {
    const items = await itemsOf(await readIndex(file('crlf', `\ufeff${row('01')}\r\n${row('02')}\r\n${row('03')}`)));
    assert.deepEqual(summary(items), ['1: 01', '2: 02', '3: 03']);
  });

  it('has a byte order mark nowhere but at its beginning', async () => {
    const items = await itemsOf(await readIndex(file('marks', `${row('01')}\n\ufeff${row('02')}\n`)));
    assert.deepEqual(summary(items), ['1: 01', '2: line 2 status']);
  });

  it('loses a bad line only', async () => {
    const text = [
      row('01'),
      'junk',
      row('02').replace('x', '\0'),
      '',
      '# note',
      `V\t${'x'.repeat(MAX_LINE_BYTES)}`,
      row('03'),
      '',
    ].join('\n');
    const items = await itemsOf(await readIndex(file('bad', text)));
    assert.deepEqual(summary(items), ['1: 01', '2: line 2 fields', '3: line 3', '6: line 6', '7: 03']);
  });

  it('may hold a line without end: it is rejected once, within bounded memory', async () => {
    const endless = (async function* () {
      yield Buffer.from(`${row('01')}\n`);
      for (let chunk = 0; chunk < 400; chunk++) yield Buffer.alloc(256 * 1024, 'x');
      yield Buffer.from(`\n${row('02')}`);
    })();
    const before = process.memoryUsage().arrayBuffers;
    const items: ImportItem[] = [];
    for await (const page of linePages(endless, readIndexRow, 'latin1')) items.push(...page);
    assert.ok(process.memoryUsage().arrayBuffers - before < 50e6, '100 MB went through');
    assert.deepEqual(summary(items), ['1: 01', '2: line 2', '3: 02']);
  });

  it('gives the same rows however the bytes are cut into chunks', async () => {
    const lines = fc.array(fc.constantFrom(row('01'), row('FF00'), 'junk', '', '#', `${row('7F')}\r`, 'nul\0', '"'), {
      maxLength: 20,
    });
    const cuts = fc.array(fc.nat(300), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(lines, fc.boolean(), cuts, async (written, ended, sizes) => {
        const bytes = Buffer.from(written.join('\n') + (ended ? '\n' : ''));
        const whole = summary(await collect(linePages(chunksOf(bytes, []), readIndexRow, 'latin1')));
        assert.deepEqual(summary(await collect(linePages(chunksOf(bytes, sizes), readIndexRow, 'latin1'))), whole);
        // An oracle that knows nothing of chunks: every line in its place.
        const expected = written.flatMap((text, place) => {
          const serial = /^V\t\w+\t\t(\w+)/
            .exec(text)?.[1]
            ?.toLowerCase()
            .replace(/^(?=[89a-f])/, '00');
          if (serial !== undefined) return [`${place + 1}: ${serial}`];
          return text === '' || text === '#'
            ? []
            : [`${place + 1}: line ${place + 1}${text.includes('\0') ? '' : ' fields'}`];
        });
        assert.deepEqual(whole, expected);
      }),
      { numRuns: 300, seed: SEED },
    );
  });

  it('says how far it has come', async () => {
    const path = file('long', `${row('0123456789ABCDEF')}\n`.repeat(20_000));
    const reading = await readIndex(path);
    assert.equal(reading.progress().done, 0);
    let last = 0;
    let pages = 0;
    for await (const page of reading.pages) {
      assert.ok(page.length > 0);
      assert.ok(reading.progress().done > last);
      last = reading.progress().done;
      pages++;
    }
    assert.ok(pages > 2);
    assert.deepEqual(reading.progress(), { done: last, total: last, unit: 'bytes' });
  });

  it('is refused when it cannot be read', async () => {
    await assert.rejects(readIndex(join(directory, 'absent')), problem('invalid', /ENOENT/));
    await assert.rejects(readIndex(directory), problem('invalid', /is a directory/));
  });

  it('comes from standard input too', async () => {
    const path = file('piped', `${row('01')}\njunk\n${row('02')}\n`);
    const reader = new URL('../../src/adapters/import-files/index-file.js', import.meta.url).href;
    const script = `const { readIndex } = await import(${JSON.stringify(reader)});
      const file = await readIndex('-');
      for await (const page of file.pages) console.log(page.map((item) => item.row?.serial ?? item.rejected.problem.field).join());
      console.log(JSON.stringify(file.progress()));`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createReadStream(path).pipe(child.stdin);
    let output = '';
    for await (const chunk of child.stdout) output += String(chunk);
    const bytes = row('01').length * 2 + 'junk'.length + 3;
    assert.equal(output, `01,line 2 fields,02\n{"done":${bytes},"unit":"bytes"}\n`);
  });
});

describe('a CSV file', () => {
  it('is a header and rows, a bad one losing itself only', async () => {
    const text =
      '\ufeffserial,notAfter,revokedAt\r\n01,2027-01-01T00:00:00Z,\r\n02,never,\r\n"03",2027-01-01T00:00:00Z,2026-01-01T00:00:00Z';
    const items = await itemsOf(await readCsv(file('good.csv', text)));
    assert.deepEqual(summary(items), ['2: 01', '3: line 3 notAfter', '4: 03']);
    assert.equal((items[2] as { row: ImportRow }).row.revocation?.revokedAt, Date.parse('2026-01-01T00:00:00Z'));
  });

  it('is refused as a whole without a usable header', async () => {
    await assert.rejects(readCsv(file('empty.csv', '')).then(itemsOf), problem('invalid', /no header line/));
    await assert.rejects(readCsv(file('other.csv', 'a,b\n1,2\n')).then(itemsOf), problem('invalid', /not a column/));
    await assert.rejects(readCsv(file('utf16.csv', 's\0e\0r\0i\0a\0l\0\n\0')).then(itemsOf), problem('invalid', /NUL/));
  });
});

describe('PEM blocks', () => {
  const der = Buffer.from('300602010102010230', 'hex');
  const block = (label: string, body = der.toString('base64')): string =>
    `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`;
  const read = (text: string): (string | undefined)[] => {
    const reader = new PemReader(['CERTIFICATE'], 1000);
    const found = [...text.split('\n').map((line) => reader.line(line)), reader.end()];
    return found
      .filter((one) => one !== undefined)
      .map((one) => (one instanceof Problem ? one.message : one.toString('hex')));
  };
  const hex = der.toString('hex');

  for (const [name, text, expected] of [
    ['text around them', `Certificate:\n  Data: x\n${block('CERTIFICATE')}\nbye`, [hex]],
    ['a private key before', `${block('PRIVATE KEY', 'c2VjcmV0')}\n${block('CERTIFICATE')}`, [hex]],
    ['spaces at line ends', block('CERTIFICATE').replaceAll('\n', ' \r\n'), [hex]],
    ['no base64', block('CERTIFICATE', 'MAYC$$$$'), ['the PEM block is not base64']],
    ['nothing inside', block('CERTIFICATE', ''), ['the PEM block is not base64']],
    ['no end', '-----BEGIN CERTIFICATE-----\nMAYC', ['there is no END CERTIFICATE']],
    [
      'no end before the next',
      `-----BEGIN CERTIFICATE-----\nMAYC\n${block('CERTIFICATE')}`,
      ['there is no END CERTIFICATE', hex],
    ],
    ['the wrong end', '-----BEGIN CERTIFICATE-----\nMAYC\n-----END CRL-----', ['there is no END CERTIFICATE']],
    [
      'too much inside',
      `${block('CERTIFICATE', 'AAAA'.repeat(400))}\n${block('CERTIFICATE')}`,
      ['a PEM block of more than 1336 characters', hex],
    ],
  ] as const) {
    it(`with ${name}`, () => assert.deepEqual(read(text), expected));
  }
});

describe('DER objects one after another', () => {
  const object = (length: number): Buffer =>
    Buffer.concat([Buffer.from([0x30, 0x82, length >> 8, length & 0xff]), Buffer.alloc(length, 7)]);
  const read = async (bytes: Buffer, sizes: readonly number[]): Promise<(number | string)[]> => {
    const found = [];
    for await (const objects of derObjects(chunksOf(bytes, sizes), 5000)) found.push(...objects);
    return found.map((one) => (one instanceof Problem ? one.message : one.length));
  };

  it('come out whole, however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 256, max: 4000 }), { maxLength: 6 }),
        fc.array(fc.nat(2000)),
        async (lengths, sizes) => {
          const bytes = Buffer.concat(lengths.map(object));
          assert.deepEqual(
            await read(bytes, sizes),
            lengths.map((length) => length + 4),
          );
        },
      ),
      { numRuns: 200, seed: SEED },
    );
  });

  it('end at the first that is none', async () => {
    assert.deepEqual(await read(Buffer.concat([object(300), Buffer.from('text'), object(300)]), []), [
      304,
      'not a DER certificate',
    ]);
    assert.deepEqual(await read(Buffer.concat([object(300), object(300).subarray(0, 100)]), []), [
      304,
      'the file ends in the middle of a DER object',
    ]);
    assert.deepEqual(await read(Buffer.concat([object(6000)]), []), [
      'a DER object of 6004 bytes; at most 5000 are read',
    ]);
    assert.deepEqual(await read(Buffer.from('3080000030', 'hex'), []), ['not a DER certificate']);
  });
});

function file(name: string, content: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

async function itemsOf(reading: ImportFile): Promise<ImportItem[]> {
  return collect(reading.pages);
}

async function collect(pages: AsyncIterable<readonly ImportItem[]>): Promise<ImportItem[]> {
  const items: ImportItem[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

function summary(items: readonly ImportItem[]): string[] {
  return items.map((item) =>
    'row' in item ? `${item.row.line}: ${item.row.serial}` : `${item.rejected.line}: ${item.rejected.problem.field}`,
  );
}

/** The bytes in chunks of these sizes, the rest in one. */
async function* chunksOf(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    if (at + size >= bytes.length) break;
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

function problem(code: string, message: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}
