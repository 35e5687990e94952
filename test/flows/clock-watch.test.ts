import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MetricSet } from '../../src/core/metric.ts';
import type { JournalEntry } from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { ClockWatch, type ClockWatchParts } from '../../src/flows/monitor/clock-watch.ts';
import { guarded } from '../../src/flows/sign/guarded-key.ts';
import { ecKey } from '../core/sample-pki.ts';
import { FakeClock, settled } from './support-clock.ts';
import { TestKeyHolder } from './support-key-holder.ts';
import { START } from './support-service.ts';

class Watched {
  readonly clock = new FakeClock(START);
  readonly set = new MetricSet();
  readonly lines: string[] = [];
  readonly records: JournalEntry[] = [];
  /** What the server says of this clock; undefined: it does not answer. */
  ahead: number | undefined = 0;
  asked = 0;
  readonly watch: ClockWatch;

  constructor(given: Partial<ClockWatchParts> = {}) {
    const line = (_: object, message: string): void => void this.lines.push(message);
    this.watch = new ClockWatch(this.set, {
      clock: this.clock,
      steady: this.clock,
      source: {
        describe: 'ntp.example:123',
        aheadMs: () => {
          this.asked += 1;
          return this.ahead === undefined
            ? Promise.reject(new Problem('unavailable', 'no answer'))
            : Promise.resolve(this.ahead);
        },
      },
      everyMs: 5 * MINUTE,
      mostMs: 2 * SECOND,
      aheadOfStoreMs: () => undefined,
      journal: {
        append: (entries: readonly JournalEntry[]) => {
          this.records.push(...entries);
          return Promise.resolve([]);
        },
      } as unknown as ClockWatchParts['journal'],
      log: { debug: line, info: line, warn: line, error: line },
      ...given,
    });
    void this.watch.start();
  }

  get types(): readonly string[] {
    return this.records.map(({ type }) => type);
  }
}

it('forbids signing beyond the limit, with a record, and permits it again when the clock is right', async () => {
  const it = new Watched();
  let told = 0;
  it.watch.onChange(() => (told += 1));
  const holder = new TestKeyHolder(ecKey(), 'a key');
  const key = guarded(holder, () => it.watch.fault);
  await it.clock.advance(MINUTE);
  assert.equal(it.watch.fault, undefined);
  assert.equal((await key.sign([Buffer.from('a')], 'bulk'))[0]?.ok, true);
  it.ahead = -2500;
  await it.clock.advance(5 * MINUTE);
  assert.match(it.watch.fault ?? '', /the clock is 2\.5 s behind ntp\.example:123, more than 2s/);
  assert.equal(key.failure, it.watch.fault);
  await assert.rejects(key.sign([Buffer.from('a')], 'urgent'), /2\.5 s behind/);
  assert.throws(() => key.begin(), /2\.5 s behind/);
  const asked = it.asked;
  it.ahead = 100;
  await it.clock.advance(15 * SECOND);
  assert.ok(it.asked > asked, 'asked again soon, not after five minutes');
  assert.equal(it.watch.fault, undefined);
  assert.equal((await key.sign([Buffer.from('a')], 'bulk'))[0]?.ok, true);
  assert.deepEqual(it.types, ['clock.off', 'clock.right']);
  assert.equal(told, 2);
  await it.watch.stop();
});

it('only warns where no limit is configured', async () => {
  const it = new Watched({ mostMs: undefined });
  it.ahead = 60_000;
  await it.clock.advance(10 * MINUTE);
  assert.equal(it.watch.fault, undefined);
  assert.deepEqual(it.types, []);
  assert.deepEqual(
    it.lines.filter((line) => line.includes('ahead of')),
    ['the clock is 1m ahead of ntp.example:123: see to its time service'],
    'once',
  );
  await it.watch.stop();
});

it('counts and records steps of the clock, knows their effect at once, and asks soon', async () => {
  const it = new Watched();
  await it.clock.advance(MINUTE);
  const asked = it.asked;
  it.clock.step(-HOUR);
  it.ahead = -HOUR;
  await it.clock.advance(SECOND);
  assert.equal(it.set.sum('certstatus_clock_steps_total'), 1);
  assert.match(it.watch.fault ?? '', /1h behind/, 'before anybody is asked');
  assert.match(it.records[0]?.description ?? '', /^the clock was set back by 1h, from 20\S+Z to 20\S+Z$/);
  await it.clock.advance(2 * SECOND);
  assert.ok(it.asked > asked);
  it.clock.step(HOUR);
  it.ahead = 0;
  await it.clock.advance(2 * SECOND);
  assert.equal(it.watch.fault, undefined);
  assert.deepEqual(it.types, ['clock.stepped', 'clock.off', 'clock.stepped', 'clock.right']);
  // Slewed by as much as NTP does, all day long.
  for (let i = 0; i < 600; i++) {
    it.clock.step(0.5);
    await it.clock.advance(SECOND);
  }
  assert.equal(it.set.sum('certstatus_clock_steps_total'), 2, 'no step');
  await it.watch.stop();
});

it('goes on signing when the server does not answer, forgets what it said, and says so once', async () => {
  const it = new Watched();
  it.ahead = 5000;
  await it.clock.advance(6 * MINUTE);
  assert.ok(it.watch.fault !== undefined);
  it.ahead = undefined;
  await it.clock.advance(10 * MINUTE);
  assert.equal(it.watch.fault, undefined);
  assert.deepEqual(it.watch.offsets, { ntp: undefined, redis: undefined });
  assert.equal(it.lines.filter((line) => line.includes('does not say what time it is')).length, 1);
  await it.watch.stop();
});

it('takes the word of Redis where there is no NTP server', async () => {
  let ahead = 0;
  const it = new Watched({ source: undefined, aheadOfStoreMs: () => ahead });
  await it.clock.advance(MINUTE);
  assert.equal(it.watch.fault, undefined);
  ahead = 3000;
  await it.clock.advance(SECOND);
  await settled();
  assert.match(it.watch.fault ?? '', /3\.0 s ahead of Redis/);
  await it.watch.stop();
});
