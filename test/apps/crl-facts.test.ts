import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { checkCrlPeriod, keepCrlFacts, withoutOcspUntil } from '../../src/apps/crl-facts.ts';
import type { IssuerSetup } from '../../src/apps/issuer-files.ts';
import { DAY } from '../../src/core/time.ts';
import type { CrlCensus } from '../../src/flows/crl/crl-census.ts';
import { NOW, PROFILE } from '../core/sample-pki.ts';

describe('what check-config knows of the certificates', () => {
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-facts-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  const setup = (periodMs: number): IssuerSetup =>
    ({ id: 'one', profile: { ...PROFILE, crl: { ...PROFILE.crl, periodMs } } }) as unknown as IssuerSetup;

  it('is what the service has found last, and refuses a longer period than 4 days (B-13)', () => {
    let until: number | undefined;
    let tell: () => void = () => undefined;
    const census = {
      onChange: (listener: (issuer: object) => void) => (tell = () => listener({ id: 'one', tag: '00' })),
      of: () => ({ withoutOcspUntil: until }),
    } as unknown as CrlCensus;
    keepCrlFacts(census, dir, { warn: assert.fail } as never);
    assert.deepEqual(checkCrlPeriod(setup(7 * DAY), dir, NOW), []);
    tell();
    assert.deepEqual(checkCrlPeriod(setup(7 * DAY), dir, NOW), []);
    until = NOW + 30 * DAY;
    tell();
    const [problem] = checkCrlPeriod(setup(7 * DAY), dir, NOW);
    assert.deepEqual([problem?.value, problem?.rule], ['7d', 'B-13, BR 4.9.7']);
    assert.deepEqual(checkCrlPeriod(setup(4 * DAY), dir, NOW), []);
    assert.deepEqual(checkCrlPeriod(setup(7 * DAY), dir, NOW + 31 * DAY), []);
    // Known from a CRL alone: its end is not known, and never passes.
    until = Infinity;
    tell();
    assert.equal(withoutOcspUntil(dir, 'one', NOW + 9999 * DAY), '9999-12-31T23:59:59Z');
  });
});
