import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Certificate, IssuerTag } from '../../src/core/certificate.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import { Problem } from '../../src/core/problem.ts';
import { REASON_CODES, type ReasonName } from '../../src/core/reason.ts';
import type { Serial } from '../../src/core/serial.ts';
import { issue, permittedReason, revoke, type Issuance, type Transition } from '../../src/core/status.ts';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import { NOW, PROFILE } from './sample-pki.ts';

const TAG = 'a1b2c3d4' as IssuerTag;
const HOLD: Profile = { ...PROFILE, reasons: { ...PROFILE.reasons, hold: 'allow' } };
const ISSUED: Issuance = {
  serial: '0a01' as Serial,
  notBefore: NOW - DAY,
  notAfter: NOW + 90 * DAY,
  precertificate: false,
  crlShard: undefined,
  withoutOcsp: false,
  spkiHash: undefined,
};
const good = issued(ISSUED);
const superseded = changed(revoke(PROFILE, good, event('superseded', NOW - HOUR), NOW));

function issued(issuance: Issuance): Certificate {
  return changed(issue(TAG, undefined, issuance, NOW));
}
function changed({ certificate }: Transition): Certificate {
  assert.ok(certificate);
  return certificate;
}
function event(reason?: ReasonName, revokedAt?: number) {
  return { serial: ISSUED.serial, reason, revokedAt };
}
function refuses(run: () => unknown, code: Problem['code'], field: string, rule: RegExp): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.deepEqual([error.code, error.field], [code, field]);
    assert.match(error.rule ?? '', rule);
    return true;
  });
}

describe('issue', () => {
  it('makes a certificate of revision 1 in the issue lane', () => {
    const { certificate, lane } = issue(TAG, undefined, ISSUED, NOW);
    assert.equal(lane, 'issue');
    assert.deepEqual(certificate, {
      ...ISSUED,
      issuer: TAG,
      revision: 1,
      revocation: undefined,
      recordedAt: NOW,
      recordedSeq: 0,
    });
  });

  it('changes nothing when it is sent again', () => {
    assert.deepEqual(issue(TAG, good, ISSUED, NOW + HOUR), { certificate: undefined, lane: undefined });
  });

  it('refuses another certificate with the same serial (RFC 5280 §4.1.2.2)', () => {
    const others: readonly (readonly [string, Partial<Issuance>])[] = [
      ['/notBefore', { notBefore: NOW }],
      ['/notAfter', { notAfter: NOW + DAY }],
      ['/crlShard', { crlShard: 'http://crl.example/2' }],
    ];
    const current = issued({ ...ISSUED, crlShard: 'http://crl.example/1' });
    for (const [field, change] of others) {
      refuses(() => issue(TAG, current, { ...ISSUED, ...change }, NOW), 'conflict', field, /4\.1\.2\.2/);
    }
  });

  it('refuses serial 0 (T-12) and an end before the beginning', () => {
    refuses(
      () => issue(TAG, undefined, { ...ISSUED, serial: '00' as Serial }, NOW),
      'invalid',
      '/serial',
      /4\.1\.2\.2/,
    );
    refuses(
      () => issue(TAG, undefined, { ...ISSUED, notAfter: NOW - 2 * DAY }, NOW),
      'invalid',
      '/notAfter',
      /4\.1\.2\.5/,
    );
  });

  it('takes the dates that a certificate can say, and no others', () => {
    const least = Date.UTC(1950, 0, 1);
    const most = Date.UTC(9999, 11, 31, 23, 59, 59);
    const { notBefore, notAfter } = issued({ ...ISSUED, notBefore: least, notAfter: most });
    assert.deepEqual([notBefore, notAfter], [least, most]);
    const early = { ...ISSUED, notBefore: least - SECOND };
    refuses(() => issue(TAG, undefined, early, NOW), 'invalid', '/notBefore', /4\.1\.2\.5/);
    const late = { ...ISSUED, notAfter: most + SECOND };
    refuses(() => issue(TAG, undefined, late, NOW), 'invalid', '/notAfter', /4\.1\.2\.5/);
  });

  it('lets the final certificate follow its precertificate without a new answer (T-23), and not the reverse', () => {
    const pre = issued({ ...ISSUED, precertificate: true });
    const { certificate, lane } = issue(TAG, pre, ISSUED, NOW + SECOND);
    assert.deepEqual([certificate?.precertificate, certificate?.revision, lane], [false, 1, undefined]);
    assert.equal(issue(TAG, good, { ...ISSUED, precertificate: true }, NOW).certificate, undefined);
  });

  it('learns the dates of a certificate that it knows from a CRL alone, and leaves it revoked', () => {
    const known: Certificate = { ...superseded, notBefore: undefined, notAfter: undefined };
    const { certificate, lane } = issue(TAG, known, { ...ISSUED, crlShard: 'http://crl.example/1' }, NOW);
    assert.equal(lane, undefined);
    assert.deepEqual([certificate?.notBefore, certificate?.notAfter], [ISSUED.notBefore, ISSUED.notAfter]);
    assert.equal(certificate?.crlShard, 'http://crl.example/1');
    assert.deepEqual([certificate?.revocation, certificate?.revision], [superseded.revocation, superseded.revision]);
  });
});

describe('revoke', () => {
  it('revokes with date and reason, in the revocation lane', () => {
    const { certificate, lane } = revoke(PROFILE, good, event('superseded', NOW - HOUR), NOW);
    assert.deepEqual(certificate?.revocation, { revokedAt: NOW - HOUR, reason: 'superseded' });
    assert.deepEqual([certificate?.revision, lane], [2, 'revocation']);
  });

  it('takes the whole second of recording where the event has no date', () => {
    assert.equal(changed(revoke(PROFILE, good, event(), NOW + 999)).revocation?.revokedAt, NOW);
    assert.equal(changed(revoke(PROFILE, good, event(undefined, NOW - 1), NOW)).revocation?.revokedAt, NOW - SECOND);
  });

  it('refuses what was never issued (BR 4.9.9, P3)', () => {
    refuses(() => revoke(PROFILE, undefined, event('superseded'), NOW), 'not-found', '/serial', /4\.9\.9/);
    refuses(() => revoke(HOLD, undefined, event('removeFromCRL'), NOW), 'not-found', '/serial', /4\.9\.9/);
  });

  it('records no reason for unspecified (CT-7.2-b, C-23)', () => {
    assert.deepEqual(changed(revoke(PROFILE, good, event('unspecified'), NOW)).revocation, {
      revokedAt: NOW,
      reason: undefined,
    });
  });

  it('permits the five reasons of CT-7.2-c and refuses the rest', () => {
    const permitted = [1, 3, 4, 5, 9];
    for (const [name, code] of Object.entries(REASON_CODES) as [ReasonName, number][]) {
      if (code === 0) continue;
      if (permitted.includes(code)) assert.equal(permittedReason(PROFILE, name), name);
      else refuses(() => permittedReason(PROFILE, name), 'refused', '/reason', code === 6 ? /4\.9\.13/ : /CT-7\.2-c/);
    }
    // T-29: never in a full CRL, whatever the profile.
    refuses(() => permittedReason(HOLD, 'removeFromCRL'), 'refused', '/reason', /7\.2/);
  });

  it('changes nothing when it is sent again, with or without its date', () => {
    for (const again of [event('superseded', NOW - HOUR), event('superseded'), event('superseded', NOW - HOUR + 999)]) {
      assert.deepEqual(revoke(PROFILE, superseded, again, NOW + DAY), { certificate: undefined, lane: undefined });
    }
  });

  it('refuses another date or another reason', () => {
    const date = event('superseded', NOW - 2 * HOUR);
    refuses(() => revoke(PROFILE, superseded, date, NOW), 'conflict', '/revokedAt', /7\.2\.2/);
    for (const reason of [undefined, 'affiliationChanged'] as const) {
      refuses(() => revoke(PROFILE, superseded, event(reason), NOW), 'conflict', '/reason', /7\.2\.2/);
    }
  });

  it('lets keyCompromise replace any other reason (B-31) and move the date back (T-30), never forward', () => {
    const kept = changed(revoke(PROFILE, superseded, event('keyCompromise'), NOW));
    assert.deepEqual(kept.revocation, { revokedAt: NOW - HOUR, reason: 'keyCompromise' });
    assert.equal(kept.revision, 3);
    const back = changed(revoke(PROFILE, kept, event('keyCompromise', NOW - 5 * HOUR), NOW));
    assert.deepEqual([back.revocation?.revokedAt, back.revision], [NOW - 5 * HOUR, 4]);
    const forward = event('keyCompromise', NOW - 5 * HOUR + SECOND);
    refuses(() => revoke(PROFILE, back, forward, NOW), 'conflict', '/revokedAt', /7\.2\.2/);
    refuses(() => revoke(PROFILE, superseded, event('keyCompromise', NOW), NOW), 'conflict', '/revokedAt', /7\.2\.2/);
    refuses(() => revoke(PROFILE, kept, event('superseded'), NOW), 'conflict', '/reason', /7\.2\.2/);
  });

  it('takes a more appropriate date for software, earlier or later, from notBefore on (CS-04)', () => {
    const code: Profile = { ...PROFILE, reasons: { ...PROFILE.reasons, redate: 'any' } };
    const back = changed(revoke(code, superseded, event('superseded', NOW - 5 * HOUR), NOW));
    assert.deepEqual([back.revocation, back.revision], [{ revokedAt: NOW - 5 * HOUR, reason: 'superseded' }, 3]);
    const later = changed(revoke(code, back, event('superseded', NOW - 2 * HOUR), NOW));
    assert.deepEqual(later.revocation, { revokedAt: NOW - 2 * HOUR, reason: 'superseded' });
    const compromised = changed(revoke(code, superseded, event('keyCompromise', NOW), NOW));
    assert.deepEqual(compromised.revocation, { revokedAt: NOW, reason: 'keyCompromise' });
    assert.equal(revoke(code, back, event('superseded'), NOW).certificate, undefined, 'sent again without a date');
    refuses(() => revoke(code, compromised, event('superseded', NOW), NOW), 'conflict', '/reason', /7\.2\.2/);
    refuses(() => revoke(code, back, event('superseded', NOW - DAY - SECOND), NOW), 'refused', '/revokedAt', /T-30/);
    refuses(() => revoke(code, back, event('superseded', NOW + DAY), NOW), 'refused', '/revokedAt', /T-32/);
    refuses(() => revoke(code, back, event('removeFromCRL'), NOW), 'refused', '/reason', /4\.10\.1/);
  });

  it('refuses a date in the future (T-32) and one before notBefore (T-30), at the exact second', () => {
    const at = NOW + 500;
    assert.ok(revoke(PROFILE, good, event(undefined, NOW), at).certificate);
    refuses(() => revoke(PROFILE, good, event(undefined, NOW + SECOND), at), 'refused', '/revokedAt', /T-32/);
    assert.ok(revoke(PROFILE, good, event(undefined, NOW - DAY), NOW).certificate);
    const early = event(undefined, NOW - DAY - SECOND);
    refuses(() => revoke(PROFILE, good, early, NOW), 'refused', '/revokedAt', /T-30/);
    const unknown = { ...good, notBefore: undefined };
    refuses(() => revoke(PROFILE, unknown, event(undefined, -DAY * 9000), NOW), 'invalid', '/revokedAt', /5280/);
  });

  it('revokes a certificate that has not begun, now', () => {
    const later = issued({ ...ISSUED, notBefore: NOW + DAY });
    assert.equal(changed(revoke(PROFILE, later, event(), NOW)).revocation?.revokedAt, NOW);
  });

  it('knows holds only where the profile does (CT-4.9.13)', () => {
    refuses(() => revoke(PROFILE, good, event('certificateHold'), NOW), 'refused', '/reason', /CT-4\.9\.13/);
    refuses(() => revoke(PROFILE, good, event('removeFromCRL'), NOW), 'refused', '/reason', /CT-4\.9\.13/);
    const smime: Profile = { ...PROFILE, authorities: ['rfc', 'cabf-smime'] };
    refuses(
      () => revoke(smime, good, event('certificateHold'), NOW),
      'refused',
      '/reason',
      /reasons\.hold in issuer\.yaml/,
    );
    const held = changed(revoke(HOLD, good, event('certificateHold', NOW - HOUR), NOW));
    // The profile was changed meanwhile: what is held stays revoked (T-29).
    refuses(() => revoke(PROFILE, held, event('removeFromCRL'), NOW), 'refused', '/reason', /4\.10\.1/);
    const released = revoke(HOLD, held, event('removeFromCRL'), NOW);
    assert.deepEqual([released.certificate?.revocation, released.certificate?.revision], [undefined, 3]);
    assert.equal(released.lane, 'revocation');
    assert.equal(revoke(HOLD, released.certificate, event('removeFromCRL'), NOW).certificate, undefined);
    const final = changed(revoke(HOLD, held, event('superseded', NOW), NOW));
    assert.deepEqual(final.revocation, { revokedAt: NOW, reason: 'superseded' });
    refuses(() => revoke(HOLD, final, event('removeFromCRL'), NOW), 'refused', '/reason', /4\.10\.1/);
    // Another date for the same hold contradicts the record.
    refuses(() => revoke(HOLD, held, event('certificateHold', NOW), NOW), 'conflict', '/revokedAt', /7\.2\.2/);
  });
});

describe('histories', () => {
  const instants = fc.constantFrom(undefined, NOW - 2 * DAY, NOW - HOUR, NOW, NOW + 10 * SECOND, NOW + DAY);
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('issue' as const),
      notBefore: fc.constantFrom(undefined, NOW - DAY, NOW),
      notAfter: fc.constantFrom(NOW + DAY, NOW + 90 * DAY),
      precertificate: fc.boolean(),
      crlShard: fc.constantFrom(undefined, 'http://crl.example/1'),
      withoutOcsp: fc.boolean(),
      spkiHash: fc.constantFrom(undefined, '0f'.repeat(16)),
    }),
    fc.record({
      kind: fc.constant('revoke' as const),
      reason: fc.constantFrom(undefined, ...(Object.keys(REASON_CODES) as ReasonName[])),
      revokedAt: instants,
    }),
  );
  const seed = 20261121;

  for (const profile of [PROFILE, HOLD]) {
    it(`of any events keep P2 and are idempotent (hold: ${profile.reasons.hold}; seed ${seed})`, () => {
      let revocations = 0;
      const history = fc.array(fc.tuple(step, fc.integer({ min: -2000, max: 60_000 })), { maxLength: 25, size: 'max' });
      fc.assert(
        fc.property(history, (steps) => {
          let current: Certificate | undefined;
          let nowMs = NOW;
          for (const [event, passed] of steps) {
            nowMs += passed;
            const apply = (state: Certificate | undefined): Transition =>
              event.kind === 'issue'
                ? issue(TAG, state, { serial: ISSUED.serial, ...event }, nowMs)
                : revoke(profile, state, { serial: ISSUED.serial, ...event }, nowMs);
            let transition: Transition;
            try {
              transition = apply(current);
            } catch (error) {
              assert.ok(error instanceof Problem, String(error));
              continue;
            }
            const next = transition.certificate ?? current;
            assert.ok(next, 'an accepted event leaves a certificate');
            assert.deepEqual(apply(next), { certificate: undefined, lane: undefined }, 'the same event again');
            const says = ({ revocation }: Certificate): unknown => [revocation?.revokedAt, revocation?.reason];
            if (current !== undefined) {
              const differs = JSON.stringify(says(next)) !== JSON.stringify(says(current));
              assert.equal(next.revision, current.revision + (differs ? 1 : 0), 'a revision for each new answer');
              assert.equal(transition.lane, differs ? 'revocation' : undefined);
            }
            const { revocation } = next;
            if (revocation !== undefined) {
              revocations += 1;
              assert.ok(revocation.revokedAt <= nowMs + 2000 * steps.length && revocation.revokedAt % SECOND === 0);
            }
            if (current?.revocation !== undefined) {
              const wasHeld = current.revocation.reason === 'certificateHold';
              if (!wasHeld || profile.reasons.hold === 'refuse') assert.ok(revocation, 'revoked stays revoked (T-29)');
              if (revocation && !wasHeld) assert.ok(revocation.revokedAt <= current.revocation.revokedAt);
            }
            current = next;
          }
        }),
        { numRuns: 500, seed },
      );
      assert.ok(revocations > 1000, `only ${revocations} revoked states were seen`);
    });
  }
});
