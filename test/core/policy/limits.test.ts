import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkProfile, LIMITS } from '../../../src/core/policy/limits.ts';
import type { Profile } from '../../../src/core/policy/profile.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/core/time.ts';
import { PROFILE } from '../sample-pki.ts';

const YEAR = 365 * DAY;
const CYBERTRUST: Profile = {
  ...PROFILE,
  authorities: [...PROFILE.authorities, 'cybertrust'],
  crl: { ...PROFILE.crl, invalidityDate: 'revocation-date' },
  responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-2048'] },
};
const ROOT: Profile = {
  ...PROFILE,
  authorities: ['rfc', 'cabf-tls', 'mozilla', 'microsoft', 'secom'],
  issues: 'ca-certificates',
  ocsp: {
    validityMs: 30 * DAY,
    refreshAfterMs: 7 * DAY,
    maxAgeMs: DAY,
    afterExpiryMs: DAY,
    nonce: 'ignore',
    live: { perSecond: 20, waiting: 64 },
  },
  crl: {
    periodMs: 90 * DAY,
    validityMs: YEAR,
    coalesceMs: HOUR,
    invalidityDate: 'omit',
    keyUse: 'per-operation',
    afterExpiryMs: 0,
  },
};

const SMIME: Profile = { ...PROFILE, authorities: ['cabf-smime'] };
const TEN_YEARS = 3653 * DAY;
const CODE: Profile = {
  ...PROFILE,
  authorities: ['cabf-cs'],
  ocsp: { ...PROFILE.ocsp, afterExpiryMs: TEN_YEARS },
  crl: { ...PROFILE.crl, afterExpiryMs: TEN_YEARS, validityMs: 10 * DAY },
  responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-3072', 'P-384'] },
};
const ofCas = (profile: Profile): Profile => ({
  ...profile,
  issues: 'ca-certificates',
  crl: { ...profile.crl, validityMs: YEAR },
});

type Change = {
  [Part in keyof Profile]?: Profile[Part] extends readonly unknown[] | string ? Profile[Part] : Partial<Profile[Part]>;
};
function broken(base: Profile, change: Change, everyCertificateNamesOcsp = false): string[] {
  const merged = Object.fromEntries(
    Object.entries(base).map(([part, value]) => {
      const changed = change[part as keyof Profile];
      return [
        part,
        typeof changed === 'object' && !Array.isArray(changed)
          ? { ...(value as object), ...changed }
          : (changed ?? value),
      ];
    }),
  ) as unknown as Profile;
  return checkProfile(merged, { everyCertificateNamesOcsp }).map(({ severity, rule }) =>
    severity === 'error' ? rule : `(${rule})`,
  );
}

describe('checkProfile', () => {
  it('finds nothing in the values that are shipped', () => {
    assert.deepEqual(broken(PROFILE, {}), []);
    assert.deepEqual(broken(CYBERTRUST, {}), []);
    assert.deepEqual(broken(ROOT, {}), []);
  });

  // Each limit at its last permitted value and one step beyond. One authority at a time, so that each must speak for itself.
  const alone = (authority: Profile['authorities'][number], base = PROFILE): Profile => ({
    ...base,
    authorities: [authority],
  });
  const long = { maxAgeMs: HOUR };
  const edges: readonly (readonly [string, Profile, Change, Change])[] = [
    ['L-13', alone('rfc'), { ocsp: { validityMs: DAY + SECOND } }, { ocsp: { validityMs: DAY } }],
    [
      'L-13',
      alone('rfc'),
      { ocsp: { maxAgeMs: 0, refreshAfterMs: SECOND } },
      { ocsp: { maxAgeMs: 0, refreshAfterMs: 0 } },
    ],
    ['L-19', alone('rfc'), { ocsp: { maxAgeMs: 0.8 * DAY } }, { ocsp: { maxAgeMs: 0.8 * DAY + SECOND } }],
    ['C-02', alone('rfc'), { crl: { periodMs: 7 * DAY - HOUR } }, { crl: { periodMs: 7 * DAY } }],
    ['B-19', alone('cabf-tls'), { ocsp: { validityMs: 10 * DAY } }, { ocsp: { validityMs: 10 * DAY + SECOND } }],
    [
      'B-19',
      alone('cabf-tls'),
      { ocsp: { validityMs: 8 * HOUR, refreshAfterMs: 4 * HOUR } },
      { ocsp: { validityMs: 8 * HOUR - SECOND, refreshAfterMs: HOUR } },
    ],
    [
      'B-19',
      alone('cabf-tls'),
      { ocsp: { validityMs: 15 * HOUR, refreshAfterMs: 7.5 * HOUR } },
      { ocsp: { validityMs: 15 * HOUR, refreshAfterMs: 7.5 * HOUR + SECOND } },
    ],
    [
      'B-19',
      alone('cabf-tls'),
      { ocsp: { validityMs: 2 * DAY, refreshAfterMs: 40 * HOUR } },
      { ocsp: { validityMs: 2 * DAY, refreshAfterMs: 40 * HOUR + SECOND } },
    ],
    [
      'B-19',
      alone('cabf-tls'),
      { ocsp: { ...long, validityMs: 10 * DAY, refreshAfterMs: 4 * DAY } },
      { ocsp: { ...long, validityMs: 10 * DAY, refreshAfterMs: 4 * DAY + SECOND } },
    ],
    ['B-21', alone('cabf-tls', ROOT), { ocsp: { refreshAfterMs: YEAR } }, { ocsp: { refreshAfterMs: YEAR + SECOND } }],
    ['B-13', alone('cabf-tls'), { crl: { periodMs: 4 * DAY } }, { crl: { periodMs: 4 * DAY + SECOND } }],
    ['B-15', alone('cabf-tls', ROOT), { crl: { periodMs: YEAR } }, { crl: { periodMs: YEAR + SECOND } }],
    ['B-24', alone('cabf-tls'), { crl: { validityMs: 10 * DAY } }, { crl: { validityMs: 10 * DAY + SECOND } }],
    ['B-24', alone('cabf-tls', ROOT), { crl: { validityMs: YEAR } }, { crl: { validityMs: YEAR + SECOND } }],
    ['(B-05)', alone('cabf-tls'), { crl: { coalesceMs: HOUR } }, { crl: { coalesceMs: HOUR + SECOND } }],
    ['B-30', alone('cabf-tls'), { reasons: { permitted: [] } }, { reasons: { permitted: ['cACompromise'] } }],
    ['B-06', alone('cabf-tls'), { reasons: { hold: 'refuse' } }, { reasons: { hold: 'allow' } }],
    ['B-29', alone('cabf-tls'), {}, { reasons: { redate: 'any' } }],
    ['(B-26)', alone('cabf-tls'), {}, { crl: { afterExpiryMs: 1 } }],

    ['SM-01', SMIME, { crl: { periodMs: 7 * DAY, validityMs: 10 * DAY } }, { crl: { periodMs: 7 * DAY + SECOND } }],
    ['SM-01', SMIME, { crl: { validityMs: 10 * DAY } }, { crl: { validityMs: 10 * DAY + SECOND } }],
    ['SM-01', ofCas(SMIME), { crl: { periodMs: YEAR } }, { crl: { periodMs: YEAR + SECOND } }],
    ['SM-01', ofCas(SMIME), { crl: { coalesceMs: DAY } }, { crl: { coalesceMs: DAY + SECOND } }],
    ['SM-02', SMIME, { ocsp: { validityMs: 10 * DAY } }, { ocsp: { validityMs: 10 * DAY + SECOND } }],
    [
      'SM-02',
      SMIME,
      { ocsp: { validityMs: 8 * HOUR, refreshAfterMs: 4 * HOUR } },
      { ocsp: { validityMs: 8 * HOUR, refreshAfterMs: 4 * HOUR + SECOND } },
    ],
    ['SM-02', ofCas(SMIME), { ocsp: { refreshAfterMs: YEAR } }, { ocsp: { refreshAfterMs: YEAR + SECOND } }],
    ['SM-03', ofCas(SMIME), {}, { reasons: { hold: 'allow' } }],
    ['SM-04', SMIME, { reasons: { hold: 'allow' } }, { reasons: { permitted: ['cACompromise'] } }],
    ['SMBR-5.5.2', SMIME, { archive: { retentionMs: 732 * DAY } }, { archive: { retentionMs: 732 * DAY - SECOND } }],

    ['CS-01', CODE, {}, { ocsp: { afterExpiryMs: TEN_YEARS - SECOND } }],
    ['CS-01', CODE, {}, { crl: { afterExpiryMs: TEN_YEARS - SECOND } }],
    ['CS-02', CODE, { crl: { periodMs: 7 * DAY } }, { crl: { periodMs: 7 * DAY + SECOND } }],
    ['CS-02', CODE, {}, { crl: { validityMs: 10 * DAY + SECOND } }],
    ['CS-02', CODE, { crl: { coalesceMs: DAY } }, { crl: { coalesceMs: DAY + SECOND } }],
    ['CS-02', ofCas(CODE), { crl: { periodMs: YEAR } }, { crl: { periodMs: YEAR + SECOND } }],
    ['CS-03', CODE, { ocsp: { validityMs: 10 * DAY } }, { ocsp: { validityMs: 10 * DAY + SECOND } }],
    ['CS-03', CODE, { ocsp: { refreshAfterMs: 4 * DAY } }, { ocsp: { refreshAfterMs: 4 * DAY + SECOND } }],
    ['CS-03', ofCas(CODE), { ocsp: { refreshAfterMs: YEAR } }, { ocsp: { refreshAfterMs: YEAR + SECOND } }],
    ['CSBR-4.9.13', CODE, {}, { reasons: { hold: 'allow' } }],
    ['CSBR-5.5.2', CODE, { archive: { retentionMs: 732 * DAY } }, { archive: { retentionMs: 732 * DAY - SECOND } }],
    ['SJ-6.1.5-b', CODE, {}, { responder: { keyTypes: ['RSA-2048'] } }],

    ['P-01', alone('mozilla'), { crl: { periodMs: 7 * DAY } }, { crl: { periodMs: 7 * DAY + SECOND } }],
    ['P-01', alone('mozilla'), { crl: { validityMs: 10 * DAY } }, { crl: { validityMs: 10 * DAY + SECOND } }],
    ['P-02', alone('mozilla'), { ocsp: { validityMs: 10 * DAY } }, { ocsp: { validityMs: 10 * DAY + SECOND } }],
    ['P-02', alone('mozilla'), { ocsp: { refreshAfterMs: 4 * DAY } }, { ocsp: { refreshAfterMs: 4 * DAY + SECOND } }],
    ['P-16', alone('microsoft'), { ocsp: { validityMs: 7 * DAY } }, { ocsp: { validityMs: 7 * DAY + SECOND } }],
    [
      'P-16',
      alone('microsoft'),
      { ocsp: { validityMs: DAY, refreshAfterMs: HOUR } },
      { ocsp: { validityMs: DAY - SECOND, refreshAfterMs: HOUR } },
    ],
    ['P-16', alone('microsoft'), { ocsp: { refreshAfterMs: 2 * DAY } }, { ocsp: { refreshAfterMs: 2 * DAY + SECOND } }],
    [
      'CT-4.9.10-b',
      alone('cybertrust', CYBERTRUST),
      { ocsp: { validityMs: 10 * DAY } },
      { ocsp: { validityMs: 10 * DAY + SECOND } },
    ],
    [
      'CT-4.9.10-c',
      alone('cybertrust', CYBERTRUST),
      { ocsp: { validityMs: 8 * DAY, refreshAfterMs: 4 * DAY } },
      { ocsp: { validityMs: 8 * DAY, refreshAfterMs: 4 * DAY + SECOND } },
    ],
    [
      'CT-4.9.10-d',
      alone('cybertrust', CYBERTRUST),
      { ocsp: { validityMs: 2 * DAY, refreshAfterMs: 40 * HOUR } },
      { ocsp: { validityMs: 2 * DAY, refreshAfterMs: 40 * HOUR + SECOND } },
    ],
    [
      'CT-4.9.7-a',
      alone('cybertrust', CYBERTRUST),
      { crl: { periodMs: 7 * DAY } },
      { crl: { periodMs: 7 * DAY + SECOND } },
    ],
    [
      'CT-4.9.7-b',
      alone('cybertrust', CYBERTRUST),
      { crl: { coalesceMs: DAY } },
      { crl: { coalesceMs: DAY + SECOND } },
    ],
    [
      'CT-4.9.7-c',
      alone('cybertrust', CYBERTRUST),
      { crl: { validityMs: 10 * DAY } },
      { crl: { validityMs: 10 * DAY + SECOND } },
    ],
    [
      'SR-6.3.2-a',
      alone('cybertrust', CYBERTRUST),
      { responder: { maxValidityMs: 125 * DAY } },
      { responder: { maxValidityMs: 125 * DAY + SECOND } },
    ],
    [
      'CT-6.1.5-b',
      alone('cybertrust', CYBERTRUST),
      { responder: { keyTypes: ['RSA-2048'] } },
      { responder: { keyTypes: ['P-256'] } },
    ],
    ['BR-5.5.2', alone('cabf-tls'), { archive: { retentionMs: 732 * DAY } }, { archive: { retentionMs: 731 * DAY } }],
    [
      'CT-5.5.2-c',
      alone('cybertrust', CYBERTRUST),
      { archive: { retentionMs: 732 * DAY } },
      { archive: { retentionMs: 731 * DAY } },
    ],
    [
      'SR-5.5.2-b',
      alone('secom', ROOT),
      { archive: { retentionMs: 732 * DAY } },
      { archive: { retentionMs: 731 * DAY } },
    ],
    ['CT-4.9.13', alone('cybertrust', CYBERTRUST), {}, { reasons: { hold: 'allow' } }],
    ['CT-7.2-c', alone('cybertrust', CYBERTRUST), {}, { reasons: { permitted: ['keyCompromise', 'aACompromise'] } }],
    ['(CT-B-CRL-11)', alone('cybertrust', CYBERTRUST), {}, { crl: { invalidityDate: 'omit' } }],
    ['SR-6.3.2-a', alone('secom', ROOT), {}, { responder: { maxValidityMs: 125 * DAY + SECOND } }],
    ['SR-6.2.9', alone('secom', ROOT), { crl: { keyUse: 'per-operation' } }, { crl: { keyUse: 'held' } }],
    [
      'SJ-6.1.5-a',
      alone('secom', ROOT),
      { responder: { keyTypes: ['P-384'] } },
      { responder: { keyTypes: ['P-521'] } },
    ],
  ];
  for (const [rule, base, kept, over] of edges) {
    it(`${rule} at ${JSON.stringify(over)}`, () => {
      assert.deepEqual(broken(base, kept), []);
      assert.deepEqual(broken(base, over), [rule]);
    });
  }

  it('lets a CRL be 7 days old where every certificate names OCSP (B-13)', () => {
    const change = { crl: { periodMs: 7 * DAY - HOUR } };
    assert.deepEqual(broken(PROFILE, change, true), []);
    assert.deepEqual(broken(PROFILE, change, false), ['B-13']);
  });

  it('reports one value under every authority that forbids it', () => {
    assert.deepEqual(broken(CYBERTRUST, { ocsp: { validityMs: 11 * DAY } }), ['B-19', 'P-02', 'P-16', 'CT-4.9.10-b']);
    assert.deepEqual(broken(CYBERTRUST, { reasons: { permitted: ['certificateHold'] } }), [
      'B-30',
      'CT-7.2-a',
      'CT-7.2-c',
    ]);
    assert.deepEqual(broken(PROFILE, { crl: { coalesceMs: DAY + MINUTE } }), ['B-14', '(B-05)']);
  });

  it('names the field, the value and what is allowed', () => {
    const [finding] = checkProfile(
      { ...PROFILE, authorities: ['microsoft'], ocsp: { ...PROFILE.ocsp, validityMs: 8 * DAY } },
      { everyCertificateNamesOcsp: false },
    );
    assert.equal(finding?.message, 'ocsp.validity = 8d: must be at least 1d and at most 7d');
  });

  it('has a test at the edge of every limit', () => {
    const tested = new Set([...edges.map(([rule]) => rule.replace(/[()]/g, '')), 'B-14', 'CT-7.2-a']);
    assert.deepEqual(
      [...new Set(LIMITS.map(({ rule }) => rule))].filter((rule) => !tested.has(rule)),
      [],
    );
  });
});
