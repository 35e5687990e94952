import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  chooseResponder,
  newestFirst,
  SETTLING_MS,
  successorDue,
  type ResponderCandidate,
} from '../../../src/core/policy/responder-choice.ts';
import { planResponse } from '../../../src/core/policy/freshness.ts';
import { DAY, HOUR, SECOND } from '../../../src/core/time.ts';
import { NOW, PROFILE } from '../sample-pki.ts';

const candidate = (from: number, to: number, usable = true): ResponderCandidate => ({
  certificate: { notBefore: NOW + from, notAfter: NOW + to },
  usable,
});

describe('chooseResponder', () => {
  const old = candidate(-40 * DAY, 10 * DAY);

  it('takes the newest once it has been valid for a day, to the second (T-18)', () => {
    const settled = candidate(-DAY, 60 * DAY);
    assert.equal(chooseResponder([old, settled], NOW), settled);
    assert.equal(chooseResponder([old, settled], NOW - 1), old);
  });

  it('takes a younger one when no other can sign: expired, in its last hours, without a key, or not there', () => {
    const young = candidate(-HOUR, 60 * DAY);
    const eight = 8 * HOUR - SECOND;
    assert.equal(chooseResponder([young, candidate(-40 * DAY, -SECOND)], NOW), young);
    assert.equal(chooseResponder([young, candidate(-40 * DAY, eight - SECOND)], NOW), young);
    assert.notEqual(chooseResponder([young, candidate(-40 * DAY, eight)], NOW), young, 'exactly 8 h are enough');
    assert.equal(chooseResponder([young, candidate(-40 * DAY, 10 * DAY, false)], NOW), young);
    assert.equal(chooseResponder([young], NOW), young);
  });

  it('takes of several young ones the one that clients have seen longest', () => {
    const older = candidate(-3 * HOUR, 60 * DAY);
    assert.equal(chooseResponder([candidate(-HOUR, 90 * DAY), older], NOW), older);
  });

  it('prefers a usable key to every age, and takes nothing without one', () => {
    assert.equal(chooseResponder([candidate(-5 * DAY, 90 * DAY, false), old], NOW), old);
    assert.equal(chooseResponder([candidate(-5 * DAY, 90 * DAY, false)], NOW), undefined);
    assert.equal(chooseResponder([], NOW), undefined);
  });

  it('takes of two that begin together the one that lasts longer', () => {
    const long = candidate(-2 * DAY, 60 * DAY);
    assert.equal(chooseResponder([candidate(-2 * DAY, 30 * DAY), long], NOW), long);
  });

  it('can always be signed with, and leaves nothing better unused', () => {
    const span = fc.record({
      from: fc.integer({ min: -90, max: 5 }),
      days: fc.integer({ min: 0, max: 120 }),
      usable: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(span, { maxLength: 5 }), fc.integer({ min: 0, max: DAY }), (spans, offset) => {
        const all = spans.map(({ from, days, usable }) => candidate(from * DAY, (from + days) * DAY, usable));
        const now = NOW + offset;
        const key = { issuer: '00000000' as never, serial: '01' as never };
        const able = all.filter(({ certificate, usable }) => usable && planResponse(PROFILE, certificate, key, now));
        const chosen = chooseResponder(all, now);
        assert.equal(chosen === undefined, able.length === 0);
        if (chosen === undefined) return;
        assert.ok(able.includes(chosen));
        const settled = able.filter(({ certificate }) => certificate.notBefore + SETTLING_MS <= now);
        if (settled.length > 0) assert.ok(settled.includes(chosen));
        for (const other of settled) assert.ok(newestFirst(chosen.certificate, other.certificate) <= 0);
      }),
    );
  });
});

describe('successorDue', () => {
  const { validityMs } = PROFILE.ocsp;
  const due = (left: number): string | undefined =>
    successorDue(PROFILE, [candidate(-9 * DAY, left - DAY).certificate, candidate(-DAY, left).certificate], NOW)?.alarm;

  it('warns three weeks ahead, and fails when answers would have to be cut short (T-17)', () => {
    assert.equal(due(21 * DAY), 'none');
    assert.equal(due(21 * DAY - 1), 'warning');
    assert.equal(due(validityMs + DAY), 'warning');
    assert.equal(due(validityMs + DAY - 1), 'failing');
    assert.equal(due(-DAY), 'failing');
  });

  it('warns earlier where answers live longer than a week', () => {
    const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, validityMs: 10 * DAY } };
    const at = (left: number): string | undefined =>
      successorDue(profile, [candidate(-DAY, left).certificate], NOW)?.alarm;
    assert.deepEqual([at(25 * DAY), at(25 * DAY - 1)], ['none', 'warning']);
  });

  it('says nothing where there is nothing to succeed', () => {
    assert.equal(successorDue(PROFILE, [], NOW), undefined);
  });
});
