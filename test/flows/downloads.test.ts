import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Transfer } from '../../src/core/reply.ts';
import { Downloads } from '../../src/flows/serve/downloads.ts';

/** A desk whose clock and turns are the test's. */
function desk(places: number, heldOctets = 0) {
  const clock = { ms: 0, now: () => clock.ms };
  const turns: (() => void)[] = [];
  const downloads = new Downloads(clock, (run) => turns.push(run), { places, heldOctets });
  const cut: string[] = [];
  const begin = (name: string, whole: Buffer): Transfer => downloads.begin(whole, () => cut.push(name));
  return { clock, turns, downloads, cut, begin, turn: () => turns.shift()?.() };
}

const body = (megabytes: number): Buffer => Buffer.alloc(megabytes << 20);

describe('Downloads', () => {
  it('gives few octets in a turn of the event loop, in the order of asking', () => {
    const { begin, turn, turns } = desk(100);
    const given: number[] = [];
    let octetsInTurn = 0;
    const whole = body(1);
    const transfers = Array.from({ length: 10 }, (_, i) => begin(String(i), whole));
    for (const [i, transfer] of transfers.entries())
      transfer.turn((octets) => {
        given.push(i);
        octetsInTurn += octets;
        if (i === 0 && given.length === 1) transfers[0]?.turn(() => given.push(0));
      });
    assert.deepEqual(given, [], 'nothing within the request');
    assert.equal(turns.length, 1);
    for (let turned = 0; turns.length > 0; turned++) {
      assert.equal(turns.length, 1, 'one callback at a time');
      octetsInTurn = 0;
      turn();
      assert.ok(octetsInTurn <= 1 << 19, `${octetsInTurn} octets in turn ${turned}`);
    }
    assert.deepEqual(given, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
  });

  it('gives nothing to who has ended meanwhile', () => {
    const { begin, turn, downloads } = desk(100);
    const transfer = begin('a', body(1));
    transfer.turn(() => assert.fail('it has ended'));
    transfer.end();
    transfer.end();
    turn();
    transfer.turn(() => assert.fail('it has ended'));
    turn();
    assert.equal(downloads.count, 0);
  });

  it('has no room above its places, unless somebody makes no use of his', () => {
    const { begin, turn, downloads, clock, cut } = desk(2);
    const [a, b] = [begin('a', body(1)), begin('b', body(1))];
    assert.equal(downloads.hasRoom(), false);
    clock.ms = 15_000;
    a.turn(() => undefined);
    turn();
    clock.ms = 25_000;
    assert.equal(downloads.hasRoom(), true);
    assert.deepEqual(cut, ['b'], 'a has taken something since');
    begin('c', body(1));
    assert.equal(downloads.hasRoom(), false);
    b.end();
    assert.equal(downloads.hasRoom(), false, 'its place is given away once');
    a.end();
    assert.equal(downloads.hasRoom(), true);
  });

  it('keeps replaced bodies for their readers up to a bound, the last of them always', () => {
    const { begin, downloads, cut } = desk(100, 25 << 20);
    const [one, two, three, huge] = [body(10), body(10), body(10), body(100)];
    begin('1a', one);
    begin('1b', one);
    const second = begin('2', two);
    downloads.supersede(one);
    downloads.supersede(two);
    downloads.supersede(body(10));
    assert.deepEqual([downloads.heldOctets, cut], [20 << 20, []]);
    begin('3', three);
    downloads.supersede(three);
    assert.deepEqual(cut, ['1a', '1b']);
    assert.deepEqual([downloads.heldOctets, downloads.count], [20 << 20, 2]);
    second.end();
    assert.equal(downloads.heldOctets, 10 << 20);
    begin('huge', huge);
    downloads.supersede(huge);
    assert.deepEqual(cut, ['1a', '1b', '3']);
    assert.equal(downloads.heldOctets, 100 << 20);
  });
});
