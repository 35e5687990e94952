/** What the bench says of its figures, by hand-made outcomes. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CELLS } from '../../bench/load/cells.ts';
import { judge, Results } from '../../bench/load/figures.ts';
import { tables, writeBetweenMarkers } from '../../bench/load/report.ts';

const figures = (perCpuSecond: number) => ({ perSecond: perCpuSecond / 2, perCpuSecond, unsaturated: undefined });
const keepAlive = CELLS.filter(({ name }) => name === 'keep-alive');

describe('figures of the bench', () => {
  it('takes ratios within a rotation, and their median', () => {
    const results = new Results();
    // The machine slows down by ten; the ratio does not.
    const rotations = [
      [1000, 0.7],
      [500, 0.8],
      [100, 0.9],
    ] as const;
    rotations.forEach(([stub, ratio], rotation) => {
      results.add('keep-alive', 'stub', rotation, figures(stub));
      results.add('keep-alive', 'origin', rotation, figures(stub * ratio));
    });
    const [, , , row] = tables(keepAlive, ['origin'], results);
    assert.equal(row, '| certstatus, origin listener | 400 | 0.80 | 200 | 0.80 |');
  });

  it('gives no requests per second when the generator and not the server was busy', () => {
    const measured = { requests: 1000, seconds: 1, octetsPerReply: 1, failures: 0, broken: 0 };
    const [busy, idle] = [{ busy: 0.97, waiting: 0 }, { busy: 0.5, waiting: 0 }]; // prettier-ignore
    assert.match(judge({ ...measured, server: idle, generator: busy }).unsaturated ?? '', /97 %.*50 %/);
    assert.equal(judge({ ...measured, server: busy, generator: busy }).unsaturated, undefined);
    assert.equal(judge({ ...measured, server: idle, generator: idle }).unsaturated, undefined);
    // It wanted more CPU than it got: it was what limited.
    assert.equal(judge({ ...measured, server: { busy: 0.5, waiting: 0.45 }, generator: busy }).unsaturated, undefined);
    assert.equal(judge({ ...measured, server: idle, generator: busy }).perCpuSecond, 2000);
  });

  it('reports nothing of a cell with one wrong reply, and says why', () => {
    const results = new Results();
    results.add('keep-alive', 'stub', 0, figures(1000));
    results.add('keep-alive', 'public', 0, figures(900));
    results.add('keep-alive', 'public', 1, { refused: 'a reply was not the expected one: HTTP status 500' });
    const lines = tables(keepAlive, ['public'], results);
    assert.ok(lines.includes('| certstatus, public listener | – | – | – | – |'));
    assert.ok(lines.some((line) => line.includes('not reported; a reply was not the expected one: HTTP status 500')));
  });

  it('replaces what stands between its markers, and nothing else', () => {
    const directory = mkdtempSync(join(tmpdir(), 'bench-report-'));
    try {
      const file = join(directory, 'README.md');
      const around = ['# By hand\n\n', '\n\nBy hand, too: $& $1\n'] as const;
      writeFileSync(file, `${around[0]}<!-- figures: npm run bench -->\nold\n<!-- end of figures -->${around[1]}`);
      for (const lines of [['first'], ['second $&']]) writeBetweenMarkers(file, lines);
      const text = readFileSync(file, 'utf8');
      assert.ok(text.startsWith(around[0]) && text.endsWith(around[1]), text);
      assert.match(text, /npm run bench -->\n\nsecond \$&\n\n<!-- end/);
      writeFileSync(file, 'none');
      assert.throws(() => writeBetweenMarkers(file, ['lost']), /README\.md has no <!--/);
      assert.equal(readFileSync(file, 'utf8'), 'none');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
