import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IDLE_MS, LONGEST_MS, MAX_SESSIONS, Sessions, type Operator } from '../../src/apps/admin/sessions.ts';
import { Failures } from '../../src/apps/admin/access.ts';
import { MINUTE } from '../../src/core/time.ts';

const ALICE: Operator = { name: 'alice', actor: 'alice', may: ['view'], issuers: ['*'], fingerprint: undefined };

function clockAt(start: number) {
  const clock = {
    at: start,
    now: () => clock.at,
    after: () => ({ cancel: () => undefined }),
  };
  return clock;
}

describe('sessions', () => {
  it('end after 15 idle minutes, and what a page does by itself is idle (SR-5-c)', () => {
    const clock = clockAt(1_000_000);
    const sessions = new Sessions(clock);
    const { id, session } = sessions.open(ALICE);
    clock.at += IDLE_MS;
    assert.equal(sessions.find(id, true), session, 'used in time');
    for (let i = 0; i < 15; i++) {
      clock.at += MINUTE;
      assert.equal(sessions.find(id, false), session, `${i}`);
    }
    clock.at += 1;
    assert.equal(sessions.find(id, false), undefined);
    assert.equal(sessions.find(id, true), undefined, 'and stay ended');
    assert.equal(sessions.count, 0);
  });

  it('end after 12 hours, however much they are used', () => {
    const clock = clockAt(1_000_000);
    const sessions = new Sessions(clock);
    const { id } = sessions.open(ALICE);
    for (const end = clock.at + LONGEST_MS; clock.at + MINUTE <= end; clock.at += MINUTE)
      assert.ok(sessions.find(id, true), `after ${clock.at - 1_000_000} ms`);
    clock.at += MINUTE + 1;
    assert.equal(sessions.find(id, true), undefined);
  });

  it('are bounded: whoever is idle for longest makes room', () => {
    const clock = clockAt(1_000_000);
    const sessions = new Sessions(clock);
    const ids = Array.from({ length: MAX_SESSIONS }, () => {
      clock.at += 1;
      return sessions.open(ALICE).id;
    });
    clock.at += 1;
    assert.ok(sessions.find(ids[0] as string, true));
    sessions.open(ALICE);
    assert.equal(sessions.count, MAX_SESSIONS);
    assert.ok(sessions.find(ids[0] as string, false), 'was used last');
    assert.equal(sessions.find(ids[1] as string, false), undefined);
  });

  it('have names and form tokens of 256 bits that are never the same', () => {
    const sessions = new Sessions(clockAt(0));
    const all = Array.from({ length: 50 }, () => sessions.open(ALICE)).flatMap(({ id, session }) => [id, session.csrf]);
    assert.equal(new Set(all).size, 100);
    for (const one of all) assert.match(one, /^[0-9a-f]{64}$/);
  });

  it('do not come to life again when the clock is set back', () => {
    const clock = clockAt(10 * LONGEST_MS);
    const sessions = new Sessions(clock);
    const { id } = sessions.open(ALICE);
    clock.at -= 2 * LONGEST_MS;
    assert.equal(sessions.find(id, true), undefined);
  });
});

describe('failed sign-ins', () => {
  it('are as many as 30 at once, and one more every two seconds', () => {
    const clock = clockAt(0);
    const failures = new Failures(clock);
    const burst = (): number => Array.from({ length: 100 }, () => failures.count()).filter(Boolean).length;
    assert.equal(burst(), 30);
    clock.at += 10_000;
    assert.equal(burst(), 5);
    clock.at += 3_600_000;
    assert.equal(burst(), 30);
  });
});
