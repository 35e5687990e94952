import { createHash } from 'node:crypto';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  certificateCaching,
  crlCaching,
  entityTag,
  isNotModified,
  notModifiedHeaders,
  liveReply,
  ocspCaching,
  ocspErrors,
  plainReplies,
  type Cacheable,
  type CachingBlock,
} from '../../src/core/policy/caching.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';

const T0 = Date.UTC(2026, 10, 20, 8, 0, 0);
const response: Cacheable = {
  body: Buffer.from('any bytes'),
  thisUpdate: T0,
  nextUpdate: T0 + 4 * DAY - SECOND,
  refreshAt: T0 + DAY,
  maxAgeCapMs: HOUR,
};

const fields = (lines: string): Map<string, string> =>
  new Map(
    lines
      .slice(0, -2)
      .split('\r\n')
      .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
  );
const maxAgeOf = (block: CachingBlock): number =>
  Number(/^max-age=(\d+), /.exec(fields(block.headers).get('Cache-Control') as string)?.[1]);

describe('ocspCaching', () => {
  it('says all that RFC 9919 §7.2 asks for (L-17, L-18)', () => {
    const made = ocspCaching(response, T0 + MINUTE);
    const tag = `"${createHash('sha256').update('any bytes').digest('hex')}"`;
    assert.deepEqual(
      [...fields(made.headers)],
      [
        ['Content-Length', '9'],
        ['Content-Type', 'application/ocsp-response'],
        ['Cache-Control', 'max-age=3600, public, no-transform, must-revalidate'],
        ['ETag', tag],
        ['Expires', 'Tue, 24 Nov 2026 07:59:59 GMT'],
        ['Last-Modified', 'Fri, 20 Nov 2026 08:00:00 GMT'],
      ],
    );
    assert.equal(made.etag, tag);
    assert.equal(made.lastModifiedMs, T0);
  });

  it('writes every instant as Date does, whichever days were written before (RFC 9110 §5.6.7)', () => {
    const instant = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });
    fc.assert(
      fc.property(instant, instant, (earlier, nextUpdate) => {
        const made = fields(ocspCaching({ ...response, thisUpdate: earlier, nextUpdate }, nextUpdate).headers);
        assert.equal(made.get('Expires'), new Date(nextUpdate).toUTCString());
        assert.equal(made.get('Last-Modified'), new Date(Math.min(earlier, nextUpdate)).toUTCString());
      }),
      { numRuns: 3000, seed: 9110 },
    );
  });

  it('repeats in a 304 what a 200 says, without the content (H-05)', () => {
    const made = ocspCaching(response, T0 + MINUTE);
    const expected = fields(made.headers);
    expected.delete('Content-Type');
    expected.delete('Content-Length');
    assert.deepEqual(fields(notModifiedHeaders(made.headers)), expected);
  });

  it('keeps one block for as long as the cap holds', () => {
    assert.equal(ocspCaching(response, T0).goodUntil, T0 + DAY - HOUR + 1);
  });

  it('never lets a copy live to the re-signing or to nextUpdate, whenever the block is used (L-19, T-05)', () => {
    const seed = 20261120;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 * 86_400 }),
        fc.integer({ min: 1, max: 10 * 86_400 }),
        fc.integer({ min: 0, max: 2 * 86_400_000 }),
        fc.integer({ min: -5_000, max: 11 * 86_400_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (refreshAfterS, validityS, cap, age, when) => {
          const item = {
            body: Buffer.of(1),
            thisUpdate: T0,
            nextUpdate: T0 + validityS * SECOND,
            refreshAt: T0 + refreshAfterS * SECOND,
            maxAgeCapMs: cap,
          };
          const made = ocspCaching(item, T0 + age);
          const maxAge = maxAgeOf(made);
          assert.ok(Number.isInteger(maxAge) && maxAge >= 0 && maxAge * SECOND <= cap);
          assert.ok(made.goodUntil <= item.nextUpdate);
          // The last moment at which a front may still send this block.
          const sent = T0 + age + Math.floor(when * Math.max(0, made.goodUntil - 1 - (T0 + age)));
          if (maxAge > 0) {
            assert.ok(sent + maxAge * SECOND <= item.refreshAt, 'outlives the re-signing');
            assert.ok(sent + maxAge * SECOND < item.nextUpdate, 'reaches nextUpdate');
          }
          // Not needlessly short either: at most an eighth and a second below what would be allowed.
          const allowed = Math.min(cap, item.refreshAt - T0 - age, item.nextUpdate - SECOND - T0 - age) / SECOND;
          assert.ok(maxAge >= Math.floor(allowed * 0.875) - 1);
          assert.ok(made.lastModifiedMs <= Math.max(T0 + age, T0));
        },
      ),
      { seed, numRuns: 2000 },
    );
  });

  it('makes about a hundred blocks on the way down, not one each second', () => {
    let blocks = 0;
    let now = response.refreshAt - HOUR;
    while (now < response.refreshAt - SECOND) {
      const { goodUntil } = ocspCaching(response, now);
      assert.ok(goodUntil > now, 'time does not pass');
      now = goodUntil;
      blocks++;
    }
    assert.ok(blocks > 20 && blocks < 120, `${blocks} blocks`);
  });

  it('does not date a response into the future when the clock stands behind the signer (H-02)', () => {
    const made = ocspCaching(response, T0 - 1500);
    assert.equal(fields(made.headers).get('Last-Modified'), 'Fri, 20 Nov 2026 07:59:58 GMT');
    assert.equal(made.goodUntil, T0);
  });
});

describe('crlCaching and certificateCaching', () => {
  it('ends the freshness of a CRL with the next publication, and bridges failures until nextUpdate (T-44)', () => {
    const crl = { ...response, refreshAt: T0 + HOUR, nextUpdate: T0 + 7 * DAY, maxAgeCapMs: DAY, etag: '"known"' };
    const said = fields(crlCaching(crl, T0 + 30 * MINUTE).headers);
    assert.equal(said.get('Content-Type'), 'application/pkix-crl');
    assert.equal(said.get('ETag'), '"known"');
    const [, maxAge, ifError] = /^max-age=(\d+), public, no-transform, stale-if-error=(\d+)$/.exec(
      said.get('Cache-Control') as string,
    ) as unknown as [string, string, string];
    assert.ok(Number(maxAge) > 1500 && Number(maxAge) <= 1800, maxAge);
    assert.ok(30 * 60 + Number(maxAge) + Number(ifError) < 7 * 86_400, 'stale-if-error reaches nextUpdate');
    assert.equal(said.get('Expires'), new Date(T0 + HOUR).toUTCString());
    const last = fields(crlCaching({ ...crl, refreshAt: T0 + 8 * DAY }, T0 + 30 * MINUTE).headers);
    assert.equal(last.get('Expires'), new Date(T0 + 7 * DAY).toUTCString());
  });

  it('serves a CA certificate as application/pkix-cert with the age it is given', () => {
    const made = certificateCaching(
      { body: Buffer.of(1, 2), since: T0, notAfter: T0 + 900 * DAY, maxAgeMs: DAY },
      T0 + DAY,
    );
    assert.equal(fields(made.headers).get('Content-Type'), 'application/pkix-cert');
    assert.equal(fields(made.headers).get('Cache-Control'), 'max-age=86400, public, no-transform');
    assert.equal(fields(made.headers).get('Last-Modified'), 'Fri, 20 Nov 2026 08:00:00 GMT');
  });
});

describe('isNotModified (RFC 9110 §13.1, H-04)', () => {
  const tag = entityTag(Buffer.of(1));
  const same = 'Fri, 20 Nov 2026 08:00:00 GMT';
  const cases: readonly [
    why: string,
    ifNoneMatch: string | undefined,
    ifModifiedSince: string | undefined,
    expected: boolean,
  ][] = [
    ['no condition', undefined, undefined, false],
    ['the tag', tag, undefined, true],
    ['weak comparison', `W/${tag}`, undefined, true],
    ['a list, with a comma inside a tag', `"a,b", W/"c" ,${tag}`, undefined, true],
    ['a list without it', '"a", "b"', undefined, false],
    ['any', ' * ', undefined, true],
    ['a star inside a tag is not any', '"*"', undefined, false],
    ['the tag without quotes is no tag', tag.slice(1, -1), undefined, false],
    ['other tag but same date: the tag decides', '"a"', same, false],
    ['same tag but older date: the tag decides', tag, 'Fri, 20 Nov 2015 08:00:00 GMT', true],
    ['nonsense in If-None-Match still decides alone', 'nonsense', same, false],
    ['same date', undefined, same, true],
    ['later date', undefined, 'Fri, 20 Nov 2026 08:00:01 GMT', true],
    ['earlier date', undefined, 'Fri, 20 Nov 2026 07:59:59 GMT', false],
    ['RFC 850 date', undefined, 'Friday, 20-Nov-26 08:00:00 GMT', true],
    ['RFC 850 date 50 years ahead', undefined, 'Friday, 20-Nov-76 08:00:00 GMT', true],
    [
      'RFC 850 date that would be 51 years ahead, so of 1977 (RFC 9110 §5.6.7)',
      undefined,
      'Sunday, 20-Nov-77 08:00:00 GMT',
      false,
    ],
    ['RFC 850 date of 1999', undefined, 'Saturday, 20-Nov-99 08:00:00 GMT', false],
    ['asctime date', undefined, 'Fri Nov 20 08:00:00 2026', true],
    ['asctime date with one digit', undefined, 'Wed Dec  2 08:00:00 2026', true],
    ['a number is no date', undefined, '2099', false],
    ['ISO 8601 is no HTTP-date', undefined, '2099-01-01T00:00:00Z', false],
    ['another zone is no HTTP-date', undefined, 'Fri, 20 Nov 2099 08:00:00 +0100', false],
    ['no such month', undefined, 'Fri, 20 Abc 2099 08:00:00 GMT', false],
    ['empty', undefined, '', false],
  ];
  for (const [why, ifNoneMatch, ifModifiedSince, expected] of cases) {
    it(`${why}: ${expected}`, () => {
      assert.equal(isNotModified(tag, T0, ifNoneMatch, ifModifiedSince), expected);
    });
  }
});

it('lets no cache keep an answer that was signed for one request, and says no no-store (L-20, T-53, conflict X-10)', () => {
  const body = Buffer.alloc(1000, 0x30);
  const { status, headers, body: sent } = liveReply(body);
  assert.deepEqual([status, sent], [200, body]);
  const directives = /^Cache-Control: (.*)\r$/m.exec(headers)?.[1]?.split(', ') ?? [];
  for (const directive of ['private', 'max-age=0', 'must-revalidate']) assert.ok(directives.includes(directive));
  assert.doesNotMatch(headers, /no-store|no-cache|public|Expires|Last-Modified|ETag/i);
  assert.match(headers, /^Content-Length: 1000\r\nContent-Type: application\/ocsp-response\r\n/);
  assert.ok(headers.endsWith('\r\n') && !headers.endsWith('\r\n\r\n'));
});

describe('fixed replies', () => {
  it('sends OCSP errors with 200 and no-store (T-47, L-21)', () => {
    // RFC 6960 §4.2.1: OCSPResponseStatus
    const expected = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 };
    for (const [name, code] of Object.entries(expected)) {
      const reply = ocspErrors[name as keyof typeof ocspErrors];
      assert.equal(reply.status, 200);
      assert.equal(reply.body.toString('hex'), `30030a010${code}`);
      assert.equal(fields(reply.headers).get('Content-Type'), 'application/ocsp-response');
      assert.equal(fields(reply.headers).get('Content-Length'), '5');
      assert.equal(fields(reply.headers).get('Cache-Control'), 'no-store');
    }
  });

  it('sends no other error that a cache may keep (T-54), and names the methods it knows (H-07)', () => {
    for (const reply of Object.values(plainReplies)) {
      assert.equal(fields(reply.headers).get('Cache-Control'), 'no-store');
      assert.equal(Number(fields(reply.headers).get('Content-Length')), reply.body.length);
    }
    assert.equal(fields(plainReplies.methodNotAllowed.headers).get('Allow'), 'GET, HEAD, POST');
    assert.match(fields(plainReplies.unavailable.headers).get('Retry-After') as string, /^\d+$/);
  });

  it('uses no header name that nginx refuses', () => {
    const blocks = [
      ...Object.values(ocspErrors),
      ...Object.values(plainReplies),
      ocspCaching(response, T0),
      crlCaching(response, T0),
    ];
    for (const { headers } of blocks) {
      assert.match(headers, /^(?:[A-Za-z0-9-]+: [\x20-\x7e]+\r\n)+$/);
    }
  });
});
