import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JournalEntryType, JournalRecord } from '../../src/core/journal-record.ts';
import { RevocationReport, totals } from '../../src/core/revocation-report.ts';
import { DAY, HOUR, MINUTE, rfc3339 } from '../../src/core/time.ts';

const AT = Date.UTC(2026, 10, 20, 8);
let seq = 0;

function record(type: JournalEntryType, at: number, rest: Partial<JournalRecord>): JournalRecord {
  seq += 1;
  return { type, seq, at: new Date(at).toISOString(), prev: '', hash: '', actor: 'a', issuer: 'ca', description: '', ...rest }; // prettier-ignore
}

const revoked = (serial: string, at: number, about?: object, issuer = 'ca'): JournalRecord =>
  record('certificates.revoked', at, {
    issuer,
    changes: [{ serial, revision: 2, revokedAt: rfc3339(at), reason: 'keyCompromise' }],
    ...(about && { detail: { cases: [{ serial, ...about }] } }),
  });
const observed = (serial: string, ocspSeenAt: number, crlSeenAt: number, revision = 2): JournalRecord =>
  record('revocation.observed', crlSeenAt, { detail: { observed: [{ serial, revision, ocspSeenAt, crlSeenAt }] } });

function report(records: readonly JournalRecord[], filter = {}): RevocationReport {
  const made = new RevocationReport({ issuer: undefined, from: -Infinity, to: Infinity, ...filter });
  for (const one of records) made.add(one);
  return made;
}

describe('the report of revocations', () => {
  it('counts from awareness to the later of both channels', () => {
    const awareAt = AT - 20 * HOUR;
    const stated = { clause: '4.9.1.1-3', awareAt: rfc3339(awareAt), deadline: rfc3339(awareAt + 24 * HOUR) };
    const [line] = report([revoked('41', AT, stated), observed('41', AT + MINUTE, AT + HOUR)]).lines(AT + DAY);
    assert.equal(line?.limit, rfc3339(awareAt + 24 * HOUR));
    assert.equal(line?.marginMs, 3 * HOUR);
    assert.equal(line?.state, 'seen');
    assert.equal(line?.awareAt, rfc3339(awareAt));
  });

  it('holds every revocation to 24 hours from its record (B-14), whatever its clause permits', () => {
    const stated = { clause: '4.9.1.1-7', awareAt: rfc3339(AT), deadline: rfc3339(AT + 5 * DAY) };
    const [line] = report([revoked('41', AT, stated), observed('41', AT + MINUTE, AT + 25 * HOUR)]).lines(AT + 5 * DAY);
    assert.equal(line?.marginMs, -HOUR);
    assert.deepEqual(totals(report([revoked('41', AT, stated), observed('41', AT, AT + 25 * HOUR)]).lines(AT)), [
      { clause: '4.9.1.1-7', revocations: 1, seen: 1, late: 1, leastMarginMs: -HOUR },
    ]);
  });

  it('lets the clock run while nobody has seen it, and takes no sight of another revision', () => {
    const lines = (now: number) => report([revoked('41', AT), observed('41', AT, AT, 1)]).lines(now);
    assert.deepEqual([lines(AT + HOUR)[0]?.state, lines(AT + HOUR)[0]?.marginMs], ['not-seen', 23 * HOUR]);
    assert.equal(lines(AT + 30 * HOUR)[0]?.marginMs, -6 * HOUR);
    assert.equal(totals(lines(AT + 30 * HOUR))[0]?.late, 1);
  });

  it('takes the clause of a mass revocation from its plan', () => {
    const awareAt = AT - 20 * HOUR;
    const order = { clause: '4.9.1.1-3', awareAt, deadline: awareAt + 24 * HOUR };
    const planned = record('mass.planned', AT - HOUR, { detail: { plan: 'mass-1', order } });
    const [line] = report([planned, { ...revoked('41', AT), detail: { mass: 'mass-1' } }]).lines(AT);
    assert.equal(line?.clause, '4.9.1.1-3');
    assert.equal(line?.awareAt, rfc3339(awareAt));
    assert.equal(line?.limit, rfc3339(awareAt + 24 * HOUR));
  });

  it('keeps the first sight', () => {
    const [line] = report([
      revoked('41', AT),
      observed('41', AT + 1, AT + 2),
      observed('41', AT + HOUR, AT + HOUR),
    ]).lines(AT);
    assert.equal(line?.ocspSeenAt, rfc3339(AT + 1));
  });

  it('is of one issuer and one time, when asked', () => {
    const all = [revoked('41', AT), revoked('42', AT + HOUR), revoked('43', AT, undefined, 'other')];
    const serials = (filter: object) => report(all, filter).lines(AT).map(({ serial }) => serial); // prettier-ignore
    assert.deepEqual(serials({}), ['41', '42', '43']);
    assert.deepEqual(serials({ issuer: 'ca' }), ['41', '42']);
    assert.deepEqual(serials({ from: AT + 1 }), ['42']);
    assert.deepEqual(serials({ to: AT + HOUR }), ['41', '43']);
  });

  it('has no line for a hold that was released', () => {
    const released = record('certificates.revoked', AT, { changes: [{ serial: '41', revision: 3 }] });
    assert.deepEqual(report([released]).lines(AT), []);
  });
});
