import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { completeCrl } from '../../src/core/certificate.ts';
import { Problem } from '../../src/core/problem.ts';
import { type Serial, serialFromHex } from '../../src/core/serial.ts';
import { HOUR, rfc3339, SECOND } from '../../src/core/time.ts';
import type { Relay } from '../../src/ports/store.ts';
import { type ReceiptView, viewCertificate, viewReceipt } from '../../src/flows/monitor/inspect.ts';
import { settled } from './support-clock.ts';
import { makeIssuer, serials, START, TestService } from './support-service.ts';
import { PROFILE } from '../core/sample-pki.ts';

const { coalesceMs, periodMs } = PROFILE.crl;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function open(
  ...given: ConstructorParameters<typeof TestService>
): Promise<[TestService, (id: string) => Promise<ReceiptView>]> {
  const service = await TestService.open(...given);
  services.push(service);
  await service.publisher.start();
  await service.clock.advance(0);
  const issuers = new Map([[service.served.id, service.served]]);
  return [service, (id) => viewReceipt(id, issuers, service.store, service.clock.now())];
}

describe('viewReceipt', () => {
  it('says visible only when the change has had time to reach every process', async () => {
    const [service] = await open();
    const [serial] = serials(1) as [Serial];
    const [issued] = await service.issue([serial]);
    service.signer.start();
    await settled();
    const shared = Object.create(service.store, { propagationMs: { value: 250 } }) as typeof service.store;
    const issuers = new Map([[service.served.id, service.served]]);
    const state = async (): Promise<string> =>
      (await viewReceipt(issued?.id as string, issuers, shared, service.clock.now())).state;
    assert.equal(await state(), 'recorded');
    await service.clock.advance(249);
    assert.equal(await state(), 'recorded');
    await service.clock.advance(1);
    assert.equal(await state(), 'visible');
  });

  it('says visible of a CRL only when every process that serves it has said so', async () => {
    const [service, view] = await open();
    const [serial] = serials(1) as [Serial];
    let hear = (): void => undefined;
    const slow = new Promise<void>((resolve) => (hear = resolve));
    (service.store as typeof service.store & Relay).relay((events) =>
      events.some(({ type }) => type === 'crl') ? slow : undefined,
    );
    service.signer.start();
    await service.issue([serial]);
    const [revoked] = await service.revoke([serial], 'keyCompromise');
    // It waits for the publication, and so for those who are slow to hear.
    const advanced = service.clock.advance(coalesceMs + SECOND);
    const scope = completeCrl(service.served.tag);
    while ((await service.store.current(scope))?.entries !== 1) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((await view(revoked?.id as string)).state, 'signed');
    hear();
    await advanced;
    assert.equal((await view(revoked?.id as string)).state, 'visible');
  });

  it('goes from recorded over signed to visible, and stays there', async () => {
    const [service, view] = await open();
    const [serial] = serials(1) as [Serial];
    const [issued] = await service.issue([serial]);
    assert.ok(issued !== undefined);
    assert.deepEqual(await view(issued.id), { id: issued.id, serial, state: 'recorded' });
    service.signer.start();
    await service.clock.advance(SECOND);
    const signed = await view(issued.id);
    assert.deepEqual([signed.state, signed.ocspVisibleAt, signed.crlVisibleAt], ['visible', rfc3339(START), undefined]);

    await service.signer.stop();
    const [revoked] = await service.revoke([serial], 'keyCompromise');
    assert.ok(revoked !== undefined);
    assert.equal((await view(revoked.id)).state, 'recorded');
    await service.clock.advance(2 * SECOND);
    service.signer.start();
    await settled();
    const half = await view(revoked.id);
    assert.equal(half.state, 'signed');
    assert.equal(half.ocspVisibleAt, rfc3339(START + 3 * SECOND));
    await service.clock.advance(coalesceMs);
    const whole = await view(revoked.id);
    assert.equal(whole.state, 'visible');
    assert.equal(whole.crlVisibleAt, rfc3339(START + SECOND + coalesceMs));
    await service.clock.stride(3 * periodMs + 25 * HOUR, HOUR);
    assert.deepEqual(await view(revoked.id), whole, 'when it was first visible, whatever was published since');
  });

  it('waits for the CRL that no longer lists a released hold', async () => {
    const profile = {
      ...PROFILE,
      authorities: ['rfc'] as const,
      reasons: { ...PROFILE.reasons, hold: 'allow' as const },
    };
    const [service, view] = await open([makeIssuer({ profile })]);
    const [serial] = serials(1) as [Serial];
    service.signer.start();
    await service.issue([serial]);
    await service.revoke([serial], 'certificateHold');
    await service.clock.advance(coalesceMs);
    const [released] = await service.revoke([serial], 'removeFromCRL');
    assert.ok(released !== undefined);
    await settled();
    assert.equal((await view(released.id)).state, 'signed');
    await service.clock.advance(coalesceMs);
    assert.equal((await view(released.id)).state, 'visible');
  });

  it('knows no receipt that was not given', async () => {
    const [service, view] = await open();
    const [serial] = serials(1) as [Serial];
    const [receipt] = await service.issue([serial]);
    assert.ok(receipt !== undefined);
    const { id } = receipt;
    for (const other of [
      '',
      'x',
      `${id}0`,
      id.replace('test.', 'other.'),
      id.replace(/\.1$/, '.2'),
      `test.${serialFromHex('77')}.1`,
      `../${id}`,
    ]) {
      await assert.rejects(view(other), (error) => error instanceof Problem && error.code === 'not-found', other);
    }
  });
});

describe('viewCertificate', () => {
  it('says what is recorded, what OCSP says and what the CRL lists', async () => {
    const [service] = await open();
    const [serial] = serials(1) as [Serial];
    await service.issue([serial]);
    const view = () => viewCertificate(service.served, serial, service.store);
    assert.deepEqual((await view()).ocsp, {});
    service.signer.start();
    await settled();
    const times = { thisUpdate: rfc3339(START), nextUpdate: rfc3339(START + PROFILE.ocsp.validityMs - SECOND) };
    assert.deepEqual((await view()).ocsp, { sha1: times, sha256: times });
    await service.revoke([serial], 'superseded');
    const before = await view();
    assert.deepEqual(
      [before.status, before.reason, before.revision, before.crl?.listed],
      ['revoked', 'superseded', 2, false],
    );
    await service.clock.advance(coalesceMs);
    assert.equal((await view()).crl?.listed, true);
    await assert.rejects(viewCertificate(service.served, serialFromHex('77'), service.store), Problem);
  });
});
