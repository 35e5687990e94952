import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { CrlRecord, RevokedEntry } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { crls, current, failures } from './support-crl.ts';
import { makeIssuer, serials, sha256, TestService } from './support-service.ts';

const { periodMs, coalesceMs } = PROFILE.crl;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function open(...given: ConstructorParameters<typeof TestService>): Promise<TestService> {
  const service = await TestService.open(...given);
  services.push(service);
  return service;
}

/** With these certificates issued and the first CRL published. */
async function publishing(
  count: number,
  ...given: ConstructorParameters<typeof TestService>
): Promise<[TestService, Serial[]]> {
  const service = await open(...given);
  const issued = serials(count);
  await service.issue(issued);
  await service.publisher.start();
  await service.clock.advance(0);
  return [service, issued];
}

describe('CrlPublisher: the gate (P6)', () => {
  it('refuses a CRL that lost an entry, and keeps the one before', async () => {
    const [service, issued] = await publishing(3);
    await service.revoke(issued);
    await service.clock.advance(coalesceMs);
    const [, before] = await crls(service);
    const lost = issued[1] as Serial;
    service.interfere.revokedEntries = (real, issuer) => {
      const { asOfSeq, pages } = real(issuer);
      const without = async function* (): AsyncGenerator<readonly RevokedEntry[]> {
        for await (const page of pages) yield page.filter(({ serial }) => serial !== lost);
      };
      return { asOfSeq, pages: without() };
    };
    await service.clock.advance(periodMs);
    assert.deepEqual((await crls(service)).at(-1), before);
    assert.ok(failures(service) > 0);
    assert.match(service.errors.join('\n'), new RegExp(`serial ${lost} stands on CRL`));
    service.interfere = {};
    await service.clock.advance(MINUTE);
    assert.equal((await crls(service)).length, 3);
  });

  for (const [what, behaviour] of [
    ['a signature of nothing', 'spoil'],
    ['a signature by another key', 'other-key'],
    ['no signature', 'fail'],
  ] as const) {
    it(`publishes nothing with ${what}, and tries again after a pause, whatever is recorded meanwhile`, async () => {
      const [service, issued] = await publishing(60);
      service.at.crlHolder.behave = () => behaviour;
      await service.revoke(issued.slice(0, 1));
      await service.clock.advance(coalesceMs);
      assert.equal(failures(service), 1);
      for (const serial of issued.slice(1, 10)) {
        await service.revoke([serial]);
        await service.clock.advance(900);
      }
      assert.equal(failures(service), 1, 'a revocation does not shorten the pause');
      assert.equal((await crls(service)).length, 1);
      let refused = 0;
      for await (const { type } of service.journal.read(0)) if (type === 'crl.refused') refused += 1;
      assert.equal(refused, behaviour === 'fail' ? 0 : 1, 'P8: a signature that exists is in the log');
      service.at.crlHolder.behave = () => 'sign';
      await service.clock.advance(3 * SECOND);
      assert.equal((await current(service)).size, 10);
    });
  }

  it('refuses a CRL that lint finds an error in, however it came about (B-24)', async () => {
    // A profile that the limits would not have let in: valid for longer than 10 days.
    const profile = { ...PROFILE, crl: { ...PROFILE.crl, validityMs: 11 * DAY } };
    const [service] = await publishing(1, [makeIssuer({ profile })]);
    assert.equal((await crls(service)).length, 0);
    assert.equal(failures(service), 1);
    assert.match(service.errors.join(), /lint: B-24/);
  });

  it('refuses loudly when the archived CRL is not the one that was published', async () => {
    const [service, issued] = await publishing(1);
    await service.revoke(issued);
    await service.clock.advance(coalesceMs);
    const [, last] = (await crls(service)) as [CrlRecord, CrlRecord];
    const path = join(service.dir, 'crl', service.served.tag, `${last.number}.crl`);
    const der = await service.store.body(last);
    const tampered = Buffer.from(der);
    tampered.writeUInt8(tampered.readUInt8(60) ^ 1, 60);
    writeFileSync(path, tampered);
    await service.clock.advance(periodMs);
    assert.ok(failures(service) > 0);
    assert.match(service.errors.join('\n'), /not the one that was published/);
    assert.equal((await crls(service)).length, 2);
    writeFileSync(path, der);
    await service.clock.advance(MINUTE);
    assert.equal((await crls(service)).length, 3);
  });

  it('publishes nothing that the journal did not take, and journals what it publishes (P8)', async () => {
    const [service, issued] = await publishing(1);
    await service.revoke(issued);
    service.journal.broken = 'no space left on device';
    await service.clock.advance(coalesceMs);
    assert.equal((await crls(service)).length, 1);
    const { calls } = service.at.crlHolder;
    const signed = calls.length;
    await service.clock.advance(MINUTE);
    assert.equal(calls.length, signed, 'once the log is known to fail nothing is signed');
    service.journal.broken = undefined;
    await service.clock.advance(MINUTE);
    const accounted = new Set<string>();
    for await (const { type, detail } of service.journal.read(0))
      if (type === 'crl.published') accounted.add(detail?.['sha256'] as string);
    for (const record of await crls(service)) assert.ok(accounted.has(sha256(await service.store.body(record))));
  });

  it('has no key, publishes nothing', async () => {
    const at = makeIssuer();
    const service = await open([{ ...at, keys: { ...at.keys, crl: undefined } }]);
    await service.publisher.start();
    await service.clock.advance(0);
    assert.match(service.errors.join('\n'), /no CRL key/);
  });
});
