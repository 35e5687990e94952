import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { progressLine, startProgress } from '../../src/apps/progress.ts';

describe('progress', () => {
  it('says how much, how fast and how long', () => {
    assert.equal(
      progressLine('import index', 'rows', { items: 1_200_000, done: 40, total: 100 }, 3000),
      'import index: 1,200,000 rows, 40 %, 400,000 rows/s, 5 s left',
    );
    assert.equal(
      progressLine('import crl', 'entries', { items: 10, done: 1, total: 1000 }, 1000),
      'import crl: 10 entries, 0 %, 10 entries/s, 16 min 39 s left',
    );
    assert.equal(
      progressLine('sign', 'responses', { items: 1, done: 1, total: 10_000 }, 1000),
      'sign: 1 responses, 0 %, 1 responses/s, 2 h 46 min left',
    );
  });

  it('says what it can when the total is unknown, zero, or nothing has been done', () => {
    assert.equal(
      progressLine('import index', 'rows', { items: 50, done: 9, total: undefined }, 2000),
      'import index: 50 rows, 25 rows/s',
    );
    assert.equal(
      progressLine('import index', 'rows', { items: 0, done: 0, total: 0 }, 2000),
      'import index: 0 rows, 0 rows/s',
    );
    assert.equal(
      progressLine('import index', 'rows', { items: 0, done: 0, total: 5 }, 2000),
      'import index: 0 rows, 0 %, 0 rows/s',
    );
  });

  it('writes a line every ten seconds where there is no terminal, and none for a short job', () => {
    const { written, at, progress } = started({});
    for (const ms of [0, 9999, 10_000, 10_001, 19_999, 20_000]) {
      at(ms);
      progress.update({ items: ms, done: ms, total: 40_000 });
    }
    progress.end();
    assert.deepEqual(written, [
      'job: 10,000 things, 25 %, 1,000 things/s, 30 s left\n',
      'job: 20,000 things, 50 %, 1,000 things/s, 20 s left\n',
    ]);
  });

  it('rewrites one line on a terminal, within its width, and takes it off at the end', () => {
    const { written, at, progress } = started({ isTTY: true, columns: 20 });
    for (const ms of [100, 200, 300, 400]) {
      at(ms);
      progress.update({ items: ms, done: ms, total: 1000 });
    }
    progress.end();
    assert.deepEqual(written, ['\rjob: 200 things, 20\u001b[K', '\rjob: 400 things, 40\u001b[K', '\r\u001b[K']);
  });
});

function started(terminal: { isTTY?: boolean; columns?: number }): {
  written: string[];
  at: (ms: number) => void;
  progress: ReturnType<typeof startProgress>;
} {
  const written: string[] = [];
  let now = 1_000_000;
  const output = { ...terminal, write: (text: string) => written.push(text) };
  const progress = startProgress('job', 'things', output, () => now);
  return { written, progress, at: (ms) => (now = 1_000_000 + ms) };
}
