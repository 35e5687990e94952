/** The arithmetic of deploy/guide/sizing.md: worked examples, what must hold for any size, and where its figures come from. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MEASURED, servingSize, sizing, type Population } from '../../src/core/sizing.ts';
import { DAY, HOUR } from '../../src/core/time.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const SEED = 20261121;
const guide = readFileSync(resolve(ROOT, 'deploy/guide/sizing.md'), 'utf8');
const bench = readFileSync(resolve(ROOT, 'bench/README.md'), 'utf8');

const MILLION: Population = {
  certificates: 8_640_000,
  hashes: 2,
  key: 'P-256',
  refreshMs: DAY,
  lifetimeMs: 100 * DAY,
  revokedShare: 0.01,
};

describe('sizing', () => {
  it('is what one works out by hand', () => {
    const size = sizing(MILLION);
    // 8,640,000 in 86,400 s are 100/s, and one in a hundred of it is new: 101 a second, two signatures each.
    assert.equal(Math.round(size.signaturesPerSecond), 202);
    assert.equal(Math.round(size.signaturesForMass), 200);
    assert.equal(Math.round(size.signaturesToHave), 404);
    assert.equal(size.eventsPerSecond, 1);
    assert.equal(size.redisOctets, 8_640_000 * 224);
    // 101 × 330 + 1 × 109 octets a second.
    assert.equal(Math.round(size.journalOctetsPerDay), 86_400 * (101 * 330 + 109));
    assert.equal(size.crlOctetsIfAllRevoked, 8_640_000 * 42);
    assert.equal(size.shards, 37);
  });

  it('is twice as much for twice as many, but for what each process has anyway', () => {
    const population = fc.record({
      certificates: fc.integer({ min: 1000, max: 250_000_000 }),
      hashes: fc.constantFrom(1, 2),
      key: fc.constantFrom('P-256' as const, 'RSA-2048' as const),
      refreshMs: fc.integer({ min: HOUR, max: 7 * DAY }),
      lifetimeMs: fc.integer({ min: 6 * DAY, max: 398 * DAY }),
      revokedShare: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const run = fc.property(population, (of) => {
      const [one, two] = [sizing(of), sizing({ ...of, certificates: 2 * of.certificates })];
      for (const [name, value] of Object.entries(one) as [keyof typeof one, number][]) {
        assert.ok(Number.isFinite(value) && value >= 0, name);
        if (name === 'processOctets' || name === 'shards') assert.ok(two[name] >= value, name);
        else assert.ok(Math.abs(two[name] - 2 * value) <= 1e-9 * two[name], name);
      }
      assert.ok(one.signaturesToHave >= one.signaturesPerSecond + one.signaturesForMass, 'both at once');
      assert.ok(one.crlOctetsIfAllRevoked / one.shards <= 10_000_000, 'B-13: below 10 MB');
    });
    fc.assert(run, { numRuns: 200, seed: SEED });
  });

  it('counts three machines at least, and bits on the wire', () => {
    assert.deepEqual([servingSize(1, 4).machines, servingSize(1000, 4).bitsPerSecond], [3, 14_400_000]);
    assert.equal(servingSize(1_000_000, 4).machines, Math.ceil(1_000_000 / (56_400 / 3) / 4));
  });

  it('rests on figures that bench/README.md has', () => {
    const { answersPerCpu, redisOctets, signingCpuMs, embeddedOctets, signedOctets, issuedOctets, replayPerSecond } =
      MEASURED;
    for (const figure of [
      `| ${answersPerCpu.perConnection.toLocaleString('en')} |`,
      `| ${answersPerCpu.kept.toLocaleString('en')} |`,
      `| ${answersPerCpu.fromStore.toLocaleString('en')} |`,
      `| ${redisOctets['P-256']} (`,
      `| ${redisOctets['RSA-2048']} |`,
      `${Math.round(signingCpuMs['P-256'] * 1000)} µs of CPU each`,
      `${embeddedOctets['P-256']} octets per certificate`,
      `${issuedOctets} / about ${signedOctets} octets per certificate`,
      `${replayPerSecond.toLocaleString('en')} rows/s`,
    ])
      assert.ok(bench.includes(figure), figure);
  });
});

describe('certstatus size', () => {
  const size = (...args: readonly string[]) => spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });

  it('makes the tables of the guide', () => {
    const [, between] =
      /<!-- figures: certstatus size --tables -->\n\n([^]*?)\n<!-- end of figures -->/.exec(guide) ?? [];
    const { stdout, status } = size('size', '--tables');
    assert.equal(status, 0);
    const plain = (text = ''): string =>
      text
        .replace(/ +/g, ' ')
        .replace(/-+/g, '-')
        .replace(/\| ?- ?/g, '|-')
        .trim();
    assert.equal(plain(between), plain(stdout));
  });

  it('answers for one CA, as text and as JSON, and says what was not measured', () => {
    const { stdout } = size('size', '--certificates', '5e8', '--refresh', '3d');
    assert.match(stdout, /^Not measured: the largest that was run had 1,000,000 in a Redis\.$/m);
    assert.doesNotMatch(size('size').stdout, /Not measured/);
    const asked = JSON.parse(
      size('--json', 'size', '--certificates', '8640000', '--lifetime', '100d').stdout,
    ) as object;
    assert.deepEqual({ ...asked, ...sizing(MILLION) }, asked);
  });

  for (const wrong of [
    ['--certificates', '0'],
    ['--certificates', 'many'],
    ['--refresh', '0s'],
    ['--revoked', '2'],
    ['--hashes', '3'],
  ])
    it(`refuses ${wrong.join(' ')}`, () => assert.equal(size('size', ...wrong).status, 2));
});
