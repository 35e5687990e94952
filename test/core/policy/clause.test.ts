import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyClause, CLAUSES, parseClause } from '../../../src/core/policy/clause.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { REASON_CODES, type ReasonName } from '../../../src/core/reason.ts';
import { DAY, HOUR } from '../../../src/core/time.ts';

/** 004 §4.9.1.1, as printed: clause, hours, reason number (0: no extension). */
const PRINTED = [
  [1, 24, 0],
  [2, 24, 9],
  [3, 24, 1],
  [4, 24, 1],
  [5, 24, 4],
  [6, 120, 4],
  [7, 120, 9],
  [8, 120, 9],
  [9, 120, 5],
  [10, 120, 9],
  [11, 120, 9],
  [12, 120, 4],
  [13, 120, 9],
  [14, 120, 0],
  [15, 120, 0],
  [16, 120, 1],
] as const;
const AWARE = Date.UTC(2026, 10, 20);
const NAMES = Object.keys(REASON_CODES) as ReasonName[];

describe('applyClause', () => {
  for (const [number, hours, code] of PRINTED) {
    it(`4.9.1.1-${number}: within ${hours} h, reason ${code}`, () => {
      const prescribed = NAMES.find((name) => REASON_CODES[name] === code) as ReasonName;
      const expected = { reason: code === 0 ? undefined : prescribed, deadline: AWARE + hours * HOUR };
      assert.deepEqual(applyClause(`4.9.1.1-${number}`, undefined, AWARE), expected);
      assert.deepEqual(applyClause(`CT-4.9.1.1-${number}`, prescribed, AWARE), expected);
      for (const other of NAMES.filter((name) => name !== prescribed)) {
        assert.throws(
          () => applyClause(`4.9.1.1-${number}`, other, AWARE),
          (error: Problem) =>
            error.code === 'refused' &&
            error.field === 'reason' &&
            error.value === other &&
            error.rule === `CT-4.9.1.1-${number}`,
        );
      }
    });
  }

  it('leaves the reason to the caller and sets no deadline at discretion (CT-4.9.1.1-z)', () => {
    for (const text of ['discretion', '4.9.1.1-z', 'CT-4.9.1.1-z']) {
      assert.deepEqual(applyClause(text, 'affiliationChanged', AWARE), {
        reason: 'affiliationChanged',
        deadline: undefined,
      });
    }
    assert.deepEqual(applyClause('discretion', 'unspecified', AWARE), { reason: undefined, deadline: undefined });
    assert.deepEqual(applyClause('discretion', undefined, AWARE), { reason: undefined, deadline: undefined });
    assert.throws(
      () => applyClause('discretion', 'removeFromCRL', AWARE),
      (error: Problem) => error.code === 'refused',
    );
  });

  it('refuses what is no clause', () => {
    for (const text of ['', '3', '4.9.1.1-0', '4.9.1.1-17', '4.9.1.1-3 ', '4.9.1.2-3', 'CT-CT-4.9.1.1-3']) {
      assert.throws(
        () => parseClause(text),
        (error: Problem) => error.code === 'invalid' && error.value === text,
      );
    }
  });

  it('knows seventeen', () => {
    assert.equal(CLAUSES.length, 17);
    assert.deepEqual(new Set(CLAUSES.map(({ withinMs }) => withinMs)), new Set([DAY, 5 * DAY, undefined]));
  });
});
