import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { IssuerTag } from '../../src/core/certificate.ts';
import {
  answerable,
  mayLeaveCrl,
  mayReplace,
  planCrl,
  planResponse,
  refreshDeadline,
  refreshLateAt,
  servable,
  supersedes,
} from '../../src/core/policy/freshness.ts';
import { checkProfile } from '../../src/core/policy/limits.ts';
import type { Authority, Profile } from '../../src/core/policy/profile.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { NOW, PROFILE } from './sample-pki.ts';

const KEY = { issuer: 'a1b2c3d4' as IssuerTag, serial: '4f00112233445566' as Serial };
const RESPONDER = { notBefore: NOW - DAY, notAfter: NOW + 89 * DAY };
const SEED = 20261121;

const withOcsp = (ocsp: Partial<Profile['ocsp']>): Profile => ({ ...PROFILE, ocsp: { ...PROFILE.ocsp, ...ocsp } });
const serialOf = (n: number): Serial => n.toString(16).padStart(16, '0') as Serial;

describe('planResponse', () => {
  it('counts the last second of the interval (T-01)', () => {
    const times = planResponse(withOcsp({ validityMs: 10 * DAY }), RESPONDER, KEY, NOW + 999);
    assert.deepEqual([times?.thisUpdate, times?.nextUpdate], [NOW, NOW + 864_000_000 - SECOND]);
  });

  it('writes whole seconds for any validity', () => {
    const times = planResponse(withOcsp({ validityMs: 4 * DAY + 1 }), RESPONDER, KEY, NOW + 1);
    assert.equal(times?.nextUpdate, NOW + 4 * DAY - SECOND);
  });

  it('never outlives the responder certificate (R-10, T-17), and refreshes a clamped answer in proportion', () => {
    const responder = { notBefore: NOW - DAY, notAfter: NOW + DAY - SECOND };
    const full = planResponse(PROFILE, RESPONDER, KEY, NOW);
    const times = planResponse(PROFILE, responder, KEY, NOW + 10);
    assert.ok(full && times);
    assert.equal(times.nextUpdate, responder.notAfter);
    const shareOf = (t: typeof times, v: number): number => (t.refreshAt - NOW) / v;
    assert.ok(Math.abs(shareOf(times, DAY) - shareOf(full, 4 * DAY)) < 1e-6);
    // One second more than the validity is no clamp.
    const exact = planResponse(PROFILE, { ...responder, notAfter: NOW + 4 * DAY - SECOND }, KEY, NOW);
    assert.deepEqual(exact, full);
  });

  it('signs nothing with less than 8 hours left (BR 4.9.9), nor before notBefore (R-11), to the second', () => {
    const left = (ms: number) => planResponse(PROFILE, { notBefore: NOW, notAfter: NOW + ms }, KEY, NOW + 1);
    assert.equal(left(8 * HOUR - SECOND)?.nextUpdate, NOW + 8 * HOUR - SECOND);
    assert.equal(left(8 * HOUR - SECOND - 1), undefined);
    assert.ok(planResponse(PROFILE, { ...RESPONDER, notBefore: NOW }, KEY, NOW));
    assert.equal(planResponse(PROFILE, { ...RESPONDER, notBefore: NOW + SECOND }, KEY, NOW + 999), undefined);
  });

  it('plans within [thisUpdate + 1 s, deadline], jitter of at most a fifth, for any profile that limits.ts accepts', () => {
    const authority = fc.constantFrom<Authority>('rfc', 'cabf-tls', 'mozilla', 'microsoft', 'cybertrust', 'secom');
    const profiles = fc
      .record({
        authorities: fc.uniqueArray(authority, { minLength: 0 }).map((others) => ['rfc' as const, ...others]),
        issues: fc.constantFrom('subscriber-certificates' as const, 'ca-certificates' as const),
        validityMs: fc.oneof(
          fc.integer({ min: 8 * HOUR, max: 12 * DAY }),
          fc.constantFrom(8 * HOUR, 16 * HOUR - SECOND, 16 * HOUR, DAY, 7 * DAY, 10 * DAY, 365 * DAY),
        ),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        left: fc.oneof(fc.constant(400 * DAY), fc.integer({ min: 7 * HOUR, max: 11 * DAY })),
        serial: fc.nat(),
        at: fc.integer({ min: 0, max: DAY }),
      })
      .map(({ authorities, issues, validityMs, share, ...rest }) => ({
        profile: {
          ...PROFILE,
          authorities,
          issues,
          ocsp: {
            ...PROFILE.ocsp,
            validityMs,
            refreshAfterMs: Math.max(1, Math.round(validityMs * share)),
            maxAgeMs: 0,
          },
          responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-2048'] },
        } satisfies Profile,
        ...rest,
      }))
      .filter(({ profile }) =>
        checkProfile(profile, { everyCertificateNamesOcsp: true }).every(({ severity }) => severity !== 'error'),
      );
    fc.assert(
      fc.property(profiles, ({ profile, left, serial, at }) => {
        const now = NOW + at;
        const responder = { notBefore: NOW, notAfter: now + left };
        const times = planResponse(profile, responder, { ...KEY, serial: serialOf(serial) }, now);
        if (times === undefined) return assert.ok(left < 8 * HOUR + SECOND);
        const { thisUpdate, nextUpdate, refreshAt } = times;
        assert.ok(thisUpdate <= now && now < thisUpdate + SECOND && thisUpdate % SECOND === 0);
        assert.ok(nextUpdate <= responder.notAfter && nextUpdate % SECOND === 0);
        const v = nextUpdate - thisUpdate + SECOND;
        assert.ok(v >= 8 * HOUR && v <= profile.ocsp.validityMs);
        const deadline = refreshDeadline(thisUpdate, nextUpdate);
        assert.ok(refreshAt >= thisUpdate + SECOND && refreshAt <= deadline && deadline < nextUpdate);
        const planned = Math.min(
          profile.ocsp.refreshAfterMs,
          (profile.ocsp.refreshAfterMs * v) / profile.ocsp.validityMs,
          deadline - thisUpdate,
        );
        const after = refreshAt - thisUpdate;
        assert.ok(after === SECOND || (after > 0.8 * planned - 1 && after <= planned), `${after} of ${planned}`);
        assert.deepEqual(planResponse(profile, responder, { ...KEY, serial: serialOf(serial) }, now), times);
      }),
      { numRuns: 1000, seed: SEED },
    );
  });

  for (const [kind, serials] of Object.entries({
    random: (n: number) => ((Math.imul(n, 0x85ebca6b) ^ 0x5bd1e995) >>> 0) * 0x1f_ffff,
    sequential: (n: number) => n,
    'sequential in steps of 65536': (n: number) => n * 65536,
  })) {
    for (const profile of [PROFILE, withOcsp({ refreshAfterMs: 3.9 * DAY })]) {
      it(`spreads ${kind} serials evenly over a fifth of ${profile.ocsp.refreshAfterMs / DAY} d`, () => {
        const tenths = new Array<number>(10).fill(0);
        const latest = Math.min(profile.ocsp.refreshAfterMs, 2 * DAY);
        for (let n = 1; n <= 5000; n++) {
          const times = planResponse(profile, RESPONDER, { ...KEY, serial: serialOf(serials(n)) }, NOW);
          assert.ok(times);
          const off = (latest - (times.refreshAt - NOW)) / (0.2 * latest);
          tenths[Math.min(9, Math.floor(off * 10))]! += 1;
        }
        for (const count of tenths) assert.ok(count > 350 && count < 650, tenths.join(' '));
      });
    }
  }
});

describe('refreshDeadline', () => {
  // v, deadline after thisUpdate: BR 4.9.9 (B-19), Microsoft 3.2.2 (P-16), CT-4.9.10-c/d.
  const table: readonly (readonly [string, number, number])[] = [
    ['8 h: half', 8 * HOUR, 4 * HOUR],
    ['one second below 16 h: half', 16 * HOUR - SECOND, 8 * HOUR - SECOND / 2],
    ['16 h: 8 h before the end', 16 * HOUR, 8 * HOUR - SECOND],
    ['16 h and two seconds: both meet', 16 * HOUR + 2 * SECOND, 8 * HOUR + SECOND],
    ['a day: half', DAY, 12 * HOUR],
    ['7 d: half (T-04)', 7 * DAY, 3.5 * DAY],
    ['8 d: half is 4 d', 8 * DAY, 4 * DAY],
    ['10 d: 4 d', 10 * DAY, 4 * DAY],
  ];
  for (const [name, v, after] of table) {
    it(name, () => assert.equal(refreshDeadline(NOW, NOW + v - SECOND), NOW + after));
  }
});

describe('refreshLateAt', () => {
  it('lies between the planned refresh and the deadline, wherever the profile plans it', () => {
    for (const [validityMs, refreshAfterMs, lateMs] of [
      [4 * DAY, DAY, 32 * HOUR],
      [7 * DAY, 3 * DAY, 3 * DAY + 4 * HOUR],
      [7 * DAY, 3.5 * DAY, 3.5 * DAY],
      [365 * DAY, 90 * DAY, 4 * DAY],
    ] as const)
      assert.equal(refreshLateAt(withOcsp({ validityMs, refreshAfterMs }), NOW), NOW + lateMs);
  });
});

describe('servable', () => {
  it('is so from thisUpdate to nextUpdate, both included, and not a millisecond longer (P4)', () => {
    const times = { thisUpdate: NOW, nextUpdate: NOW + DAY };
    const expected = [
      [NOW - 1, false],
      [NOW, true],
      [NOW + DAY, true],
      [NOW + DAY + 1, false],
    ] as const;
    for (const [now, is] of expected) assert.equal(servable(times, now), is, String(now - NOW));
  });
});

describe('answerable', () => {
  it('ends with the grace after notAfter, and never without a notAfter (RFC 9919 §3.2.3, T-33)', () => {
    const profile = withOcsp({ afterExpiryMs: DAY });
    assert.equal(answerable(profile, NOW - DAY, NOW), true);
    assert.equal(answerable(profile, NOW - DAY - 1, NOW), false);
    assert.equal(answerable(profile, undefined, NOW), true);
  });
});

describe('supersedes', () => {
  const answer = fc.record({ revision: fc.integer({ min: 1, max: 4 }), thisUpdate: fc.integer({ min: 0, max: 4 }) });

  it(`is a strict total preorder (seed ${SEED})`, () => {
    fc.assert(
      fc.property(answer, answer, answer, (a, b, c) => {
        assert.equal(supersedes(a, a), false);
        assert.ok(!(supersedes(a, b) && supersedes(b, a)));
        if (supersedes(a, b) && supersedes(b, c)) assert.ok(supersedes(a, c));
        const equal = !supersedes(a, b) && !supersedes(b, a);
        assert.equal(equal, a.revision === b.revision && a.thisUpdate === b.thisUpdate);
      }),
      { numRuns: 2000, seed: SEED },
    );
  });

  it('gives way to an older answer when it is of a time to come, and never to an older revision (P4, P2)', () => {
    const early = { revision: 2, thisUpdate: NOW, publishedAt: NOW };
    assert.equal(mayReplace(early, { revision: 2, thisUpdate: NOW + 30 * DAY }), true);
    assert.equal(mayReplace(early, { revision: 2, thisUpdate: NOW + MINUTE }), false, 'the clocks of two signers');
    assert.equal(mayReplace(early, { revision: 3, thisUpdate: NOW + 30 * DAY }), false);
    assert.equal(mayReplace(early, { revision: 2, thisUpdate: NOW }), false);
    assert.equal(mayReplace({ ...early, thisUpdate: NOW + SECOND }, { revision: 2, thisUpdate: NOW }), true);
  });

  it('never lets an older revision win, however new it is (P2)', () => {
    const revoked = { revision: 2, thisUpdate: NOW };
    assert.equal(supersedes({ revision: 1, thisUpdate: NOW + 365 * DAY }, revoked), false);
    assert.equal(supersedes(revoked, { revision: 1, thisUpdate: NOW + 365 * DAY }), true);
    assert.equal(supersedes({ revision: 2, thisUpdate: NOW }, revoked), false);
    assert.equal(supersedes({ revision: 2, thisUpdate: NOW + SECOND }, revoked), true);
  });
});

describe('planCrl', () => {
  const caNotAfter = NOW + 3650 * DAY;
  const profile: Profile = { ...PROFILE, crl: { ...PROFILE.crl, validityMs: 10 * DAY } };

  it('counts the last second (T-01, CT-4.9.7-c)', () => {
    const times = planCrl(profile, undefined, caNotAfter, NOW + 999);
    assert.deepEqual(times, { thisUpdate: NOW, nextUpdate: NOW + 864_000_000 - SECOND });
  });

  it('waits until the clock has moved on by a second (C-10, T-07)', () => {
    const previous = { thisUpdate: NOW };
    for (const ms of [-DAY, -1, 0, 1, 999]) assert.equal(planCrl(profile, previous, caNotAfter, NOW + ms), undefined);
    assert.equal(planCrl(profile, previous, caNotAfter, NOW + SECOND)?.thisUpdate, NOW + SECOND);
  });

  it('ends with the CA certificate at the latest', () => {
    assert.equal(planCrl(profile, undefined, NOW + DAY + 1, NOW)?.nextUpdate, NOW + DAY);
    assert.equal(planCrl(profile, undefined, NOW, NOW), undefined);
    assert.equal(planCrl(profile, undefined, NOW + SECOND, NOW)?.nextUpdate, NOW + SECOND);
  });

  it('never takes nextUpdate back while the validity stays (C-08)', () => {
    let previous = planCrl(profile, undefined, caNotAfter, NOW);
    for (const ms of [SECOND, MINUTE, MINUTE + SECOND, HOUR]) {
      const next = planCrl(profile, previous, caNotAfter, NOW + ms);
      assert.ok(previous && next && next.nextUpdate > previous.nextUpdate);
      previous = next;
    }
  });
});

describe('mayLeaveCrl', () => {
  it('lets go only of what was on a scheduled CRL issued after notAfter (RFC 5280 §3.3, C-22, T-33)', () => {
    const last = { scheduledAt: NOW, scheduledAsOfSeq: 100 };
    const cases: readonly (readonly [number | undefined, number, boolean])[] = [
      [NOW - SECOND, 1, true],
      [NOW - 1, 100, true],
      // Expired in the second of that CRL: it was not issued after notAfter.
      [NOW, 1, false],
      [NOW + DAY, 1, false],
      // Not in the data of that CRL, whatever the clock said when it was recorded.
      [NOW - DAY, 101, false],
      // CT-4.10.1: its end is not known.
      [undefined, 1, false],
    ];
    for (const [notAfter, recordedSeq, may] of cases) {
      assert.equal(mayLeaveCrl({ notAfter, recordedSeq }, last, 0), may, `${notAfter} ${recordedSeq}`);
    }
    assert.equal(mayLeaveCrl({ notAfter: NOW - DAY, recordedSeq: 1 }, undefined, 0), false);
  });

  it('keeps it for as long as the profile says, to the millisecond (CS-01)', () => {
    const last = { scheduledAt: NOW, scheduledAsOfSeq: 100 };
    const may = (notAfter: number): boolean => mayLeaveCrl({ notAfter, recordedSeq: 1 }, last, 3653 * DAY);
    assert.deepEqual([may(NOW - 3653 * DAY), may(NOW - 3653 * DAY - 1)], [false, true]);
  });
});
