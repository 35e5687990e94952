import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FileUrlFeed } from '../../src/adapters/url-feed/file-feed.ts';
import type { UrlChange } from '../../src/core/crl/ccadb.ts';

describe('the feed of CRL URLs in files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-url-feed-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const change = (seq: number): UrlChange => ({
    seq,
    at: '2026-11-21T00:00:00Z',
    change: 'added',
    url: `http://é/${seq}`,
    why: 'x',
  });

  it('grows, one line a change, and reads back what was written', async () => {
    const feed = new FileUrlFeed(join(directory, 'new'));
    assert.deepEqual(await feed.read('one'), []);
    await feed.append('one', [change(1), change(2)]);
    await feed.append('one', [change(3)]);
    assert.deepEqual(await new FileUrlFeed(join(directory, 'new')).read('one'), [change(1), change(2), change(3)]);
    assert.equal(readFileSync(join(directory, 'new', 'one.ndjson'), 'utf8').split('\n').length, 4);
  });

  it('drops a line that a crash cut off, so that the next one stands alone', async () => {
    const feed = new FileUrlFeed(directory);
    await feed.append('cut', [change(1)]);
    appendFileSync(join(directory, 'cut.ndjson'), '{"seq":2,"at":"2026-11-');
    assert.deepEqual(await feed.read('cut'), [change(1)]);
    await feed.append('cut', [change(2)]);
    assert.deepEqual(await feed.read('cut'), [change(1), change(2)]);
  });

  it('says which line is none of its own', async () => {
    writeFileSync(join(directory, 'bad.ndjson'), `${JSON.stringify(change(1))}\nno change\n`);
    await assert.rejects(new FileUrlFeed(directory).read('bad'), { code: 'corrupt', field: /bad\.ndjson line 2/ });
  });
});
