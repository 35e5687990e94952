import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { combineShares, splitPin } from '../../src/apps/shares.ts';
import { checkPin, MAX_PIN_BYTES, openSealedPin, sealPin } from '../../src/core/pin.ts';
import { Problem } from '../../src/core/problem.ts';
import { formatShare, parseShare, type Share } from '../../src/core/share.ts';

const SEED = 622;
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const SHARE: Share = {
  token: 'ocsp',
  set: '0a1b2c3d',
  index: 2,
  count: 5,
  threshold: 3,
  octets: Uint8Array.from({ length: 33 }, (_, i) => i + 200),
};
const text = formatShare(SHARE);

/** PINs that CT-6.4.1 lets through. */
const pins = fc.uint8Array({ minLength: 8, maxLength: MAX_PIN_BYTES, min: 0x20, max: 0x7e }).filter((pin) => {
  try {
    checkPin(pin);
    return true;
  } catch {
    return false;
  }
});
const quorum = fc.integer({ min: 2, max: 9 }).chain((threshold) =>
  fc.record({
    threshold: fc.constant(threshold),
    count: fc.integer({ min: threshold, max: 12 }),
    order: fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
  }),
);

/** `count` of the shares, chosen by `order`. */
function choose(shares: readonly string[], count: number, order: readonly number[]): Uint8Array[] {
  return shares
    .map((share, i) => ({ share, key: order[i] as number }))
    .sort((a, b) => a.key - b.key)
    .slice(0, count)
    .map(({ share }) => parseShare(share, 'share').octets);
}

describe('shares of a PIN', () => {
  it(`any threshold of them give the PIN, in any order; one fewer gives none (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(pins, quorum, async (pin, { threshold, count, order }) => {
        const shares = await splitPin(pin, 'ocsp', count, threshold);
        assert.equal(shares.length, count);
        const sealed = await combineShares(choose(shares, threshold, order));
        assert.deepEqual(openSealedPin(sealed, 'ocsp', threshold), pin);
        if (threshold === 2) return;
        const fewer = await combineShares(choose(shares, threshold - 1, order));
        assert.equal(openSealedPin(fewer, 'ocsp', threshold), undefined);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it(`a mixed set, or one for another token or threshold, is recognised (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(pins, quorum, fc.nat(), async (pin, { threshold, count, order }, at) => {
        const [own, other] = [
          choose(await splitPin(pin, 'ocsp', count, threshold), threshold, order),
          choose(await splitPin(pin, 'ocsp', count, threshold), threshold, order),
        ];
        const whole = await combineShares(own);
        assert.equal(openSealedPin(whole, 'ocsp-2', threshold), undefined);
        assert.equal(openSealedPin(whole, 'ocsp', threshold + 1), undefined);
        // The same PIN, split twice: nothing but the check tells. The library refuses two shares of one place.
        own[at % threshold] = other[at % threshold] as Uint8Array;
        const mixed = await combineShares(own).catch(() => new Uint8Array(0));
        assert.equal(openSealedPin(mixed, 'ocsp', threshold), undefined);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('the length of a share does not tell that of a short PIN', async () => {
    const lengths = new Set<number>();
    for (const pin of ['Rand-812', 'Rand-812-x', 'Rand-812-and-more-18ch'])
      for (const share of await splitPin(bytes(pin), 'ocsp', 3, 2)) lengths.add(share.length);
    assert.equal(lengths.size, 1);
  });

  it('numbers that cannot be are refused', async () => {
    for (const [count, threshold] of [
      [5, 1],
      [2, 3],
      [256, 2],
      [NaN, 2],
      [3, NaN],
      [2.5, 3],
    ] as const)
      // prettier-ignore
      await assert.rejects(splitPin(bytes('Rand-812'), 'ocsp', count, threshold), { code: 'invalid' });
  });
});

describe('checkPin (CT-6.4.1)', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /shorter/],
    ['1234567', /shorter/],
    ['77777777', /again and again/],
    ['12345678', /sequence/],
    ['87654321', /sequence/],
    ['abcdefghij', /sequence/],
    ['Rand\n8127', /control/],
    ['x'.repeat(MAX_PIN_BYTES) + 'y', /longer/],
  ];
  for (const [pin, why] of refused) {
    it(`refuses one that ${String(why)}, without repeating it`, () => {
      assert.throws(
        () => checkPin(bytes(pin)),
        (error) => error instanceof Problem && why.test(error.message) && (pin.length < 4 || !error.line.includes(pin)),
      );
    });
  }

  it('lets others through', () => {
    for (const pin of ['12345679', 'aaaaaaab', 'k7-Vogel-Rand-92', 'Schlüssel']) checkPin(bytes(pin));
  });

  it('nothing but a sealed PIN opens', () => {
    const sealed = sealPin(bytes('Rand-812'), 'ocsp', 3);
    for (let i = 0; i < sealed.length; i++) {
      const spoilt = Uint8Array.from(sealed);
      spoilt[i] = (spoilt[i] as number) ^ 0x10;
      assert.equal(openSealedPin(spoilt, 'ocsp', 3), undefined, `octet ${i}`);
    }
    for (const length of [0, 8, 9, 31]) assert.equal(openSealedPin(sealed.slice(0, length), 'ocsp', 3), undefined);
  });
});

describe('parseShare', () => {
  it('reads what formatShare writes, also broken over lines', () => {
    assert.deepEqual(parseShare(text, 'share'), SHARE);
    assert.deepEqual(parseShare(`  ${text.slice(0, 20)}\r\n ${text.slice(20)}\n`, 'share'), SHARE);
  });

  it(`finds every single mistyped, missing or doubled character, and repeats none of it (seed ${SEED})`, () => {
    const secret = text.split(':')[6] as string;
    const change = fc.record({
      at: fc.nat(text.length - 1),
      how: fc.constantFrom('replace', 'remove', 'double', 'swap'),
      by: fc.constantFrom(...'aZ09-_:/+ é'),
    });
    fc.assert(
      fc.property(change, ({ at, how, by }) => {
        const [a, c, b] = [text.slice(0, at), text[at] as string, text.slice(at + 1)];
        const spoilt =
          how === 'replace' ? a + by + b : how === 'remove' ? a + b : how === 'double' ? a + c + c + b : a + b.slice(0, 1) + c + b.slice(1); // prettier-ignore
        if (spoilt.replace(/\s/g, '') === text) return;
        assert.throws(
          () => parseShare(spoilt, 'share'),
          (error) =>
            error instanceof Problem &&
            error.value === undefined &&
            !/[A-Za-z0-9_-]{20,}/.test(error.message) &&
            !error.message.includes(secret.slice(0, 8)),
        );
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it('refuses what somebody else made, check and all', () => {
    const made: readonly Partial<Share>[] = [
      { index: 0 },
      { index: 6 },
      { count: 256 },
      { threshold: 1 },
      { threshold: 6 },
      { token: 'A B' },
      { set: 'xyz' },
      { octets: new Uint8Array(1) },
      { octets: new Uint8Array(600) },
    ];
    for (const change of made)
      assert.throws(() => parseShare(formatShare({ ...SHARE, ...change }), 'share'), { code: 'invalid' });
    assert.throws(() => parseShare('x'.repeat(1e6), 'share'), { code: 'too-large' });
    assert.throws(() => parseShare(' \n', 'share'), /empty/);
  });
});
