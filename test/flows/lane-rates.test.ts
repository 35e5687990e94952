import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Lane } from '../../src/core/certificate.ts';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { LaneRates } from '../../src/flows/sign/lane-rates.ts';
import { FakeClock } from './support-clock.ts';
import { START } from './support-service.ts';

/** A queue whose length is set, and how much was signed of it. */
function lanes(): {
  readonly clock: FakeClock;
  readonly rates: LaneRates;
  readonly set: (waiting: number, signed: number) => void;
} {
  const clock = new FakeClock(START);
  let now = { waiting: 0, signed: 0 };
  const rates = new LaneRates(
    { signed: (lane: Lane) => (lane === 'refresh' ? now.signed : 0), asked: 3 },
    { backlog: (lane) => (lane === 'refresh' ? now.waiting : 0) },
    clock,
  );
  return { clock, rates, set: (waiting, signed) => (now = { waiting, signed }) };
}

it('tells from the last minute when a lane will be empty, not from an hour ago', async () => {
  const { clock, rates, set } = lanes();
  set(100_000, 0);
  rates.start();
  // An hour in which nothing is signed, then 1000 a second while 400 a second come in.
  await clock.advance(HOUR);
  assert.equal(rates.leftMs('refresh'), undefined, 'nothing moves');
  assert.equal(rates.rate('refresh'), 0);
  for (let i = 1; i <= 120; i++) {
    set(100_000 - 600 * i, 1000 * i);
    await clock.advance(SECOND);
  }
  assert.ok(Math.abs(rates.rate('refresh') - 1000) < 30, `${rates.rate('refresh')} a second`);
  const left = (rates.leftMs('refresh') ?? 0) / SECOND;
  assert.ok(Math.abs(left - 28_000 / 600) < 5, `${left} s`);
  rates.stop();
});

it('says nothing of a lane that grows, 0 of an empty one, and of a trickle what it takes to sign it', async () => {
  const { clock, rates, set } = lanes();
  set(1000, 0);
  rates.start();
  for (let i = 1; i <= 60; i++) {
    set(1000 + 100 * i, 10 * i);
    await clock.advance(SECOND);
  }
  assert.equal(rates.leftMs('refresh'), undefined, '7000 wait, 10 a second are signed, and more come');
  for (let i = 1; i <= 70; i++) {
    set(20, 600 + 10 * i);
    await clock.advance(SECOND);
  }
  assert.ok(Math.abs((rates.leftMs('refresh') ?? 0) - 2 * SECOND) < 200, '20 wait always, 10 a second');
  set(0, 1300);
  assert.equal(rates.leftMs('refresh'), 0);
  assert.equal(rates.waiting('asked'), 3);
  rates.stop();
});

it('does not take a clock that was set for time in which much was done', async () => {
  const { clock, rates, set } = lanes();
  set(10_000, 0);
  rates.start();
  await clock.advance(MINUTE);
  clock.step(-HOUR);
  set(9000, 1000);
  await clock.advance(10 * SECOND);
  set(8000, 2000);
  await clock.advance(10 * SECOND);
  assert.ok(rates.rate('refresh') < 400, `${rates.rate('refresh')} a second`);
  rates.stop();
});
