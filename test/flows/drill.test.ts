import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { Drill } from '../../src/flows/mass/drill.ts';
import { Rehearsal } from '../../src/flows/mass/rehearse.ts';
import { SECOND } from '../../src/core/time.ts';
import { settled } from './support-clock.ts';
import { MassSupport } from './support-mass.ts';
import { serials, TestService } from './support-service.ts';

let opened: { service: TestService; mass: MassSupport } | undefined;
afterEach(async () => {
  await opened?.mass.stop();
  await opened?.service.remove();
  opened = undefined;
});

async function running(count: number): Promise<{ service: TestService; mass: MassSupport; drill: Drill }> {
  const service = await TestService.open();
  const mass = new MassSupport(service);
  opened = { service, mass };
  service.signer.start();
  await service.publisher.start();
  await service.issue(serials(count));
  await service.clock.advance(SECOND);
  const { store, journal, clock } = service;
  const rehearsal = new Rehearsal(service.issuers, store, journal, clock);
  const issuers = new Map([[service.served.tag, service.served]]);
  return { service, mass, drill: new Drill({ issuers, shelf: mass.shelf, store, journal, clock, rehearsal }) };
}

/** Everything that the store and the archive hold, as far as others can see it. */
async function everything({ store, served, dir }: TestService): Promise<string> {
  const { tag } = served;
  const found: unknown[] = [];
  for await (const page of store.certificates(tag)) {
    for (const certificate of page) {
      const { kind, ...rest } = await store.lookup(tag, certificate.serial);
      found.push(certificate, kind, rest);
    }
  }
  for await (const crl of store.list({ issuer: tag, shard: '' })) found.push({ ...crl, number: String(crl.number) });
  for (const lane of ['revocation', 'issue', 'mass', 'refresh'] as const) found.push(store.backlog(lane, Infinity));
  found.push(readdirSync(join(dir, 'crl', tag)).sort());
  return JSON.stringify(found);
}

describe('Drill', () => {
  it('changes nothing in the store, and its CRL has what the real one would have (CT-5.7.1.1-b)', async () => {
    const { service, mass, drill } = await running(300);
    await service.revoke(serials(2), 'superseded');
    await service.clock.advance(SECOND);
    const plan = await mass.plan();
    const before = await everything(service);
    const number = await service.store.reserveNumber({ issuer: service.served.tag, shard: '' }, 0n);
    service.events = [];
    await drill.begin(plan.id, 100, 'test');
    while (drill.running(plan.id)) await settled();
    assert.equal(await everything(service), before);
    assert.equal(service.events.length, 0);
    assert.equal(await service.store.reserveNumber({ issuer: service.served.tag, shard: '' }, 0n), number + 1n);
    const result = await mass.shelf.drill(plan.id);
    assert.equal(result?.keys[0]?.certificates, 100);
    assert.equal(result?.crls[0]?.entries, 300);
  });

  it("signs what is true with the responder's key, and nothing with the CA's (P8)", async () => {
    const { service, mass, drill } = await running(300);
    const plan = await mass.plan();
    const crls = service.at.crlHolder.calls.length;
    let signed = 0;
    service.holder.behave = (tbs) => {
      signed += 1;
      // CertStatus good is 80 00; revoked begins with a1 (RFC 6960 §4.2.1), and has its time behind it.
      assert.ok(Buffer.from(tbs).includes(Buffer.from('8000180f', 'hex')), 'says good');
      return 'sign';
    };
    await drill.begin(plan.id, 1000, 'test');
    await assert.rejects(drill.begin(plan.id, 1000, 'test'), /not over/);
    while (drill.running(plan.id)) await settled();
    assert.equal(signed, 600);
    assert.equal(service.at.crlHolder.calls.length, crls);
    let journalled = 0;
    for await (const { type, detail } of service.journal.read(0))
      if (type === 'drill.signed') journalled += (detail?.['responses'] as unknown[]).length;
    assert.equal(journalled, 300);
  });

  it('ends when the journal cannot take what was signed, and says why (P8)', async () => {
    const { service, mass, drill } = await running(10);
    const plan = await mass.plan();
    service.journal.broken = 'no space left on device';
    await drill.begin(plan.id, 10, 'test');
    await settled();
    assert.throws(() => drill.running(plan.id), /no space/);
    assert.equal(await mass.shelf.drill(plan.id), undefined);
  });
});
