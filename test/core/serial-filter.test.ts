import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { IssuerTag } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { SerialFilter } from '../../src/core/serial-filter.ts';

const SEED = 4_9_10;
const TAG = 'a1b2c3d4' as IssuerTag;
const OTHER = 'a1b2c3d5' as IssuerTag;

/** As a CA draws them: 128 bits that nobody can guess. */
const drawn = (n: number): Serial => createHash('md5').update(String(n)).digest('hex') as Serial;
/** As an old CA counts them. */
const counted = (n: number): Serial => n.toString(16).padStart(8, '0') as Serial;

describe('serial-filter', () => {
  it('never denies one that was added', () => {
    const serial = fc.stringMatching(/^([0-9a-f]{2}){1,20}$/) as unknown as fc.Arbitrary<Serial>;
    fc.assert(
      fc.property(fc.array(serial, { maxLength: 200 }), fc.integer(), (serials, seed) => {
        const filter = new SerialFilter(seed);
        for (const one of serials) filter.add(TAG, one);
        return serials.every((one) => filter.has(TAG, one));
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  for (const [how, serials] of [
    ['drawn', drawn],
    ['counted', counted],
  ] as const) {
    it(`takes at most one in fifty others for a member, and keeps its size, while it grows (${how} serials)`, () => {
      const filter = new SerialFilter(0x5eed);
      const COUNT = 400_000;
      for (let n = 0; n < COUNT; n++) filter.add(TAG, serials(n));
      for (let n = 0; n < COUNT; n += 7) assert.ok(filter.has(TAG, serials(n)));
      let taken = 0;
      for (let n = 0; n < 20_000; n++) taken += Number(filter.has(TAG, serials(COUNT + n)));
      assert.ok(taken < 400, `${taken} of 20,000 serials`);
      let foreign = 0;
      for (let n = 0; n < 20_000; n++) foreign += Number(filter.has(OTHER, serials(n)));
      assert.ok(foreign < 400, `${foreign} of 20,000 serials of another issuer`);
      assert.ok(filter.count > COUNT * 0.97 && filter.count <= COUNT, `${filter.count} counted`);
      assert.ok(filter.bytes < COUNT * 4, `${filter.bytes} octets`);
    });
  }

  it('counts nothing twice', () => {
    const filter = new SerialFilter(1);
    for (let round = 0; round < 3; round++) for (let n = 0; n < 100; n++) filter.add(TAG, drawn(n));
    assert.equal(filter.count, 100);
  });
});
