/**
 * Odd requests against both listeners, and both ways in which the public one holds connections, while certificates are being revoked:
 * never a crash, a hang, a wrong answer or an answer to another request, and no memory is lost. `run.ts` sends a million.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fuzz } from './fuzz.ts';
import { LATE, LOST } from './player.ts';
import { World } from './world.ts';

/** To each listener; about a minute on two busy cores. */
const REQUESTS = 120_000;

describe('odd requests', () => {
  // Fixed, so that a run says of the change what the one before it did not; another one by the variable, or by run.ts.
  const seed = Number(process.env['CERTSTATUS_TEST_SEED'] ?? 20261121);
  let world: World;

  before(async () => {
    world = await World.open();
  });
  after(() => world?.close());

  const rssOf = (pid: number): number =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;

  it(`${REQUESTS} to each listener get what they are owed`, { timeout: 280_000 }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    // The first tenth warms caches and compiled code up; what grows after that is a leak.
    const first = await fuzz(world, { seed, requests: REQUESTS / 10, revocations: 20 });
    assert.deepEqual(first.faults, []);
    const before = world.places.map(({ service }) => rssOf(service.pid));
    const rest = await fuzz(world, { seed: seed + 1, requests: (REQUESTS * 9) / 10, revocations: 150 });
    assert.deepEqual(rest.faults, []);
    for (const [name, words] of rest.tally) {
      t.diagnostic(`${name}: ${[...words].sort((a, b) => b[1] - a[1]).map(([word, count]) => `${word} ${count}`).join(', ')}`); // prettier-ignore
      for (const word of ['good', 'revoked', 'unauthorized', 'malformedRequest', 'file', 'part', 'HTTP 412', 'HTTP 416', 'HTTP 400', 'HTTP 404', 'HTTP 405', 'HTTP 413', 'HTTP 431'])
        assert.ok((words.get(word) ?? 0) > 0, `no ${word} from ${name}: the requests are too tame`); // prettier-ignore
    }
    for (const [name, words] of rest.tally)
      for (const word of [LOST, LATE])
        assert.ok((words.get(word) ?? 0) <= REQUESTS / 10_000, `${words.get(word)} replies of ${name} ${word}`);
    for (const [i, { service }] of world.places.entries()) {
      const grownMb = rssOf(service.pid) - (before[i] as number);
      t.diagnostic(`resident memory grew by ${grownMb.toFixed(0)} MB`);
      assert.ok(grownMb < 100, `${grownMb} MB more`);
      assert.doesNotMatch(service.log, /"level":"(error|fatal)"/);
    }
  });
});
