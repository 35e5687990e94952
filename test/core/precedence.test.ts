import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Certificate, IssuerTag } from '../../src/core/certificate.ts';
import { outranks } from '../../src/core/precedence.ts';
import type { Serial } from '../../src/core/serial.ts';

/** Few values for each field, so that most pairs are close calls. */
const states: fc.Arbitrary<Certificate> = fc
  .record({
    revision: fc.integer({ min: 1, max: 3 }),
    recordedAt: fc.integer({ min: 0, max: 2 }),
    precertificate: fc.boolean(),
    notBefore: fc.constantFrom(undefined, 0, 1),
    notAfter: fc.constantFrom(undefined, 2),
    crlShard: fc.constantFrom(undefined, 'a'),
    withoutOcsp: fc.boolean(),
    spkiHash: fc.constantFrom(undefined, '0f'.repeat(16)),
    revocation: fc.constantFrom(
      undefined,
      { revokedAt: 0, reason: undefined },
      { revokedAt: 1, reason: 'keyCompromise' as const },
    ),
  })
  .map((fields) => ({ ...fields, issuer: 'a1b2c3d4' as IssuerTag, serial: '41' as Serial, recordedSeq: 0 }));

/** What a ledger holds after it was told these in this order. */
const settle = (told: readonly Certificate[]): Certificate =>
  told.reduce((held, next) => (outranks(next, held) ? next : held));

describe('outranks', () => {
  it('is a strict order in which one of two different states always wins', () => {
    fc.assert(
      fc.property(states, states, (a, b) => {
        assert.ok(!outranks(a, a));
        if (JSON.stringify(a) !== JSON.stringify(b)) assert.notEqual(outranks(a, b), outranks(b, a));
      }),
    );
  });

  it('leaves the same state whatever the order, and however often, a journal is replayed', () => {
    fc.assert(
      fc.property(fc.array(states, { minLength: 1, maxLength: 6 }), fc.infiniteStream(fc.nat()), (told, random) => {
        const shuffled = [...told, ...told]
          .map((state) => ({ state, at: random.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ state }) => state);
        assert.deepEqual(settle(shuffled), settle(told));
      }),
    );
  });

  it('never lets good outrank revoked at one revision (P2), nor an older revision a newer one', () => {
    fc.assert(
      fc.property(states, states, (good, revoked) => {
        if (good.revocation !== undefined || revoked.revocation === undefined) return;
        if (good.revision <= revoked.revision) assert.ok(!outranks(good, revoked));
      }),
    );
  });

  it('keeps what was learnt: of two states that differ in it alone, the one that knows more stays', () => {
    const told = { crlShard: '3', withoutOcsp: true, spkiHash: '0f'.repeat(16), notAfter: 2, notBefore: 1 };
    const untold = {
      crlShard: undefined,
      withoutOcsp: false,
      spkiHash: undefined,
      notAfter: undefined,
      notBefore: undefined,
    };
    const subset = fc.subarray(Object.keys(told) as (keyof typeof told)[]);
    const knowing = (state: Certificate, fields: readonly (keyof typeof told)[]): Certificate => ({
      ...state,
      ...untold,
      ...Object.fromEntries(fields.map((field) => [field, told[field]])),
    });
    fc.assert(
      fc.property(states, subset, subset, (state, more, rest) => {
        const less = more.filter((field) => !rest.includes(field));
        if (less.length === more.length) return;
        const [knows, doubts] = [knowing(state, more), knowing(state, less)];
        assert.ok(outranks(knows, doubts));
        assert.ok(!outranks(doubts, knows));
        assert.deepEqual(settle([doubts, knows]), settle([knows, doubts]));
      }),
    );
  });
});
