/** Code signing: what is revoked stays so for ten years after the certificate has ended, in every place where somebody may ask (CS-01). */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadPreset, profileOf } from '../../src/apps/presets.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, rfc3339 } from '../../src/core/time.ts';
import { say } from './support-client.ts';
import { crls, current, failures } from './support-crl.ts';
import { reconciled } from './support-reconcile.ts';
import { makeIssuer, serials, START, TestService } from './support-service.ts';

const profile = profileOf(loadPreset('code-signing', 'preset'), { ocsp: {}, crl: {} }, 'preset');
const TEN_YEARS = 3653 * DAY;
const END = START + 2 * DAY;
const LATER = START + 12 * 365 * DAY;

describe('a revoked code signing certificate', () => {
  let service: TestService;
  const [revoked, good, other] = serials(3) as [Serial, Serial, Serial];
  before(async () => {
    const responders = [{ notBefore: START - DAY, notAfter: LATER }];
    service = await TestService.open([makeIssuer({ profile, responders, caNotAfter: LATER })]);
    service.signer.start();
    await service.publisher.start();
    await service.clock.advance(0);
    await service.issue([revoked, good], END);
    await service.issue([other], LATER);
    await service.revoke([revoked, other], 'keyCompromise');
    await service.clock.stride(3 * DAY, HOUR);
  });
  after(() => service.remove());

  /** To an instant at which the service has been running for two days: the years between are those of a machine that was off. */
  async function goTo(instant: number): Promise<void> {
    service.clock.step(instant - 2 * DAY - service.clock.now());
    await service.clock.stride(2 * DAY, HOUR);
  }

  for (let year = 1; year <= 9; year += 1)
    it(`is revoked in OCSP and on the CRL ${year} years after its end, and nothing disagrees`, async () => {
      await goTo(END + year * 365.25 * DAY);
      assert.equal((await say(service, revoked)).status, 'revoked');
      assert.equal((await say(service, good)).status, 'good');
      assert.deepEqual(await current(service), new Set([revoked, other]));
      const { differences } = await reconciled(service);
      assert.equal(differences, 0);
    });

  it('is revoked up to the last minute of ten years, whatever the leap years', async () => {
    const tenth = Date.parse(rfc3339(END).replace(/^\d{4}/, (from) => String(Number(from) + 10)));
    assert.ok(tenth <= END + TEN_YEARS, 'ten calendar years are not longer');
    await goTo(END + TEN_YEARS - MINUTE);
    assert.equal((await say(service, revoked)).status, 'revoked');
    assert.deepEqual(await current(service), new Set([revoked, other]));
  });

  it('is answered for no longer, and leaves the CRL after one scheduled CRL more (C-22, T-33)', async () => {
    await service.clock.stride(10 * MINUTE, MINUTE);
    assert.equal((await say(service, revoked)).status, 'unauthorized');
    assert.equal((await say(service, good)).status, 'unauthorized');
    const scheduled = async (): Promise<number> =>
      (await crls(service)).filter(({ kind, thisUpdate }) => kind === 'scheduled' && thisUpdate > END + TEN_YEARS)
        .length;
    for (let hour = 0; (await scheduled()) === 0 && hour < 48; hour++) await service.clock.stride(HOUR, 10 * MINUTE);
    assert.equal(await scheduled(), 1);
    assert.deepEqual(await current(service), new Set([revoked, other]), 'the first scheduled CRL after that');
    for (let hour = 0; (await scheduled()) === 1 && hour < 48; hour++) await service.clock.stride(HOUR, 10 * MINUTE);
    assert.equal(await scheduled(), 2);
    assert.deepEqual(await current(service), new Set([other]));
    assert.equal((await service.store.lookup(service.served.tag, revoked)).kind, 'pending', 'retired');
    assert.equal((await say(service, other)).status, 'revoked');
    assert.equal((await reconciled(service)).differences, 0);
    assert.equal(failures(service), 0);
  });
});
