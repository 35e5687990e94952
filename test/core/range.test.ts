import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { askedRange, partialHeaders } from '../../src/core/policy/range.ts';

const SEED = 9110_14;
const ETAG = '"a"';

describe('askedRange (RFC 9110 §14)', () => {
  it('takes one range of octets: from both ends, open, and of the end', () => {
    for (const [range, first, last] of [
      ['bytes=0-0', 0, 0],
      ['bytes=0-9', 0, 9],
      ['bytes=5-', 5, 99],
      ['bytes=-10', 90, 99],
      ['bytes=-1000', 0, 99],
      ['bytes=99-99', 99, 99],
      ['bytes=90-1000', 90, 99],
      ['bytes=0-99999999999999999999', 0, 99],
      ['BYTES= 3-4 ', 3, 4],
    ] as const)
      assert.deepEqual(askedRange(range, undefined, ETAG, 100), { first, last }, range);
  });

  it('ignores what is no such range: several, reversed, another unit, nonsense (§14.1.1, §14.2)', () => {
    for (const range of [
      undefined,
      '',
      'bytes=',
      'bytes=-',
      'bytes=5-3',
      'bytes=0-1,5-6',
      'bytes=0-1, -1',
      'items=0-5',
      'bytes 0-5',
      'bytes=a-b',
      'bytes=+1-5',
      'bytes=1--5',
      'bytes=1.0-5',
      'bytes=0x1-5',
    ])
      assert.equal(askedRange(range, undefined, ETAG, 100), 'whole', range);
  });

  it('says of what is beyond the end that it cannot be had (§15.5.17)', () => {
    for (const range of ['bytes=100-', 'bytes=100-200', 'bytes=-0', 'bytes=99999999999999999999-'])
      assert.equal(askedRange(range, undefined, ETAG, 100), 'unsatisfiable', range);
  });

  it('gives the whole when If-Range is not the strong tag of what is there (§13.1.5, H-14)', () => {
    assert.deepEqual(askedRange('bytes=0-9', ETAG, ETAG, 100), { first: 0, last: 9 });
    for (const ifRange of ['"b"', 'W/"a"', '', 'a', '"a", "b"', 'Sat, 21 Nov 2026 12:00:00 GMT'])
      assert.equal(askedRange('bytes=0-9', ifRange, ETAG, 100), 'whole', ifRange);
    // Also when there is nothing to be had: the range is not looked at.
    assert.equal(askedRange('bytes=100-', '"b"', ETAG, 100), 'whole');
  });

  it(`says the same as a slice (seed ${SEED})`, () => {
    const body = Buffer.from(Array.from({ length: 50 }, (_, i) => i));
    const end = fc.option(fc.nat(70), { nil: undefined });
    fc.assert(
      fc.property(end, end, (from, to) => {
        const asked = askedRange(`bytes=${from ?? ''}-${to ?? ''}`, undefined, ETAG, body.length);
        const wanted =
          from === undefined
            ? to === undefined
              ? body
              : body.subarray(-to || 50)
            : body.subarray(from, (to ?? 49) + 1);
        if (asked === 'unsatisfiable') assert.equal(wanted.length, 0);
        else if (asked === 'whole') assert.ok(from === undefined ? to === undefined : (to as number) < from);
        else {
          assert.deepEqual(body.subarray(asked.first, asked.last + 1), wanted);
          const headers = partialHeaders('Content-Type: x\r\nContent-Length: 50\r\nETag: "a"\r\n', asked, 50);
          assert.equal(
            headers,
            `Content-Type: x\r\nContent-Length: ${wanted.length}\r\nETag: "a"\r\nContent-Range: bytes ${wanted[0]}-${wanted.at(-1)}/50\r\n`,
          );
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});
