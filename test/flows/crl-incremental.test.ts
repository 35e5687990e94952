/** CRLs made from the current one: octet for octet what the index would give, over random histories. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { COMPLETE, type CrlRecord, type CrlScope } from '../../src/core/certificate.ts';
import { locateEntries } from '../../src/core/crl/crl-frame.ts';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import type { Reason } from '../../src/core/reason.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { failures } from './support-crl.ts';
import { makeIssuer, serials, START, type TestIssuer, TestService } from './support-service.ts';

const SEED = 5280_2026;
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
/** Everything but the first CRL is made from the one before it; with so few changes remembered that some are forgotten. */
const MERGE = { mergeFrom: 0, mostChanges: 6 };

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

/** A service whose CRLs after revocations are merged. Half of the shards' certificates are in each of two. */
async function merging(profile: Profile = PROFILE, tuning = MERGE): Promise<TestService> {
  const at = makeIssuer({ profile });
  const crls = {
    complete: true,
    completeUrls: [],
    shards: { count: 2, highest: 2, url: 'http://crl.example/{shard}.crl' },
    caUrl: undefined,
  };
  const issuer: TestIssuer = { ...at, served: { ...at.served, crls } };
  const service = new TestService([issuer]);
  services.push(service);
  await service.open();
  const { store, journal, clock, metrics } = service;
  service.publisher = new IssuerCrls(issuer, store, journal, clock, QUIET, metrics.crl('test'), { tuning });
  return service;
}

async function issue(service: TestService, issued: readonly Serial[], shard: string | undefined): Promise<void> {
  const events = issued.map((serial) => ({
    serial,
    notBefore: START - DAY,
    notAfter: START + 90 * DAY,
    precertificate: false,
    crlShard: shard,
    withoutOcsp: false,
    spkiHash: undefined,
  }));
  await service.recorder.issue(service.served, events, 'test');
}

/** The entries of the current CRL, as octets. */
async function entriesOf(service: TestService, record: CrlRecord): Promise<Buffer> {
  const der = await service.store.body(record);
  const { entriesAt, entriesEnd } = locateEntries(der, der.length);
  return der.subarray(entriesAt, entriesEnd);
}

async function currentOf(service: TestService, scope: CrlScope): Promise<CrlRecord> {
  const record = await service.store.current(scope);
  assert.ok(record !== undefined);
  return record;
}

describe('CRLs made from the current one', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('revoke' as const), at: fc.nat(29) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('compromised' as const), at: fc.nat(29) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('hold' as const), at: fc.nat(29) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), at: fc.nat(29) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('publish' as const), at: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('schedule' as const), at: fc.constant(0) }) },
  );

  it('have the octets that the index would give, whatever is revoked, changed, held and released', async () => {
    const authorities = ['rfc'] as const; // B-06: no holds for TLS
    const profile: Profile = { ...PROFILE, authorities, reasons: { ...PROFILE.reasons, hold: 'allow' } };
    let merged = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
        const service = await merging(profile);
        const issued = serials(30);
        await issue(service, issued.slice(0, 15), '1');
        await issue(service, issued.slice(15), '2');
        await service.publisher.start();
        await service.clock.advance(0);
        for (const { do: action, at } of [...steps, { do: 'publish' as const, at: 0 }]) {
          const [serial] = issued.slice(at) as [Serial];
          const reasons: Record<string, Reason | 'removeFromCRL' | undefined> = {
            compromised: 'keyCompromise',
            hold: 'certificateHold',
            release: 'removeFromCRL',
          };
          // What the rules of revocation refuse is no step.
          if (action === 'publish') await service.clock.advance(profile.crl.coalesceMs + MINUTE);
          else if (action === 'schedule') await service.clock.advance(profile.crl.periodMs);
          else await service.revoke([serial], reasons[action]).catch(() => undefined);
          await service.clock.advance(SECOND);
        }
        assert.equal(service.counter('certstatus_crls_failed_total'), 0);
        for (const shard of [COMPLETE, '1', '2']) {
          const scope = { issuer: service.served.tag, shard };
          const record = await currentOf(service, scope);
          if (record.kind === 'revocation') merged += 1;
          const { pages } = service.store.revokedEntries(scope);
          const recorded: string[] = [];
          for await (const page of pages) for (const entry of page) recorded.push(`${entry.serial} ${entry.revokedAt} ${entry.reason ?? ''}`); // prettier-ignore
          const view = readCrl(await service.store.body(record));
          const listed = [...view.entries()].map((entry) => `${entry.serial} ${entry.revocationDate} ${entry.reason ?? ''}`); // prettier-ignore
          assert.deepEqual(listed, recorded, `shard ${shard}`);
          // And octet for octet what a CRL made from the index has.
          const before = await entriesOf(service, record);
          await service.clock.advance(SECOND);
          const anew = new IssuerCrls(service.at, service.store, service.journal, service.clock, QUIET, service.metrics.crl('test')); // prettier-ignore
          await anew.publishNow(shard);
          assert.deepEqual(await entriesOf(service, await currentOf(service, scope)), before, `shard ${shard}`);
        }
        await service.remove();
        services = [];
      }),
      { numRuns: 12, seed: SEED },
    );
    assert.ok(merged > 12, `${merged} of 36 CRLs were merged`);
  });

  it('are made from the index after a gap, after more changes than are remembered, and after a restart', async () => {
    const service = await merging(PROFILE, { mergeFrom: 0, mostChanges: 2 });
    const issued = serials(20);
    await issue(service, issued, '1');
    await service.publisher.start();
    await service.clock.advance(0);
    let scans = 0;
    service.interfere.revokedEntries = (real, scope) => {
      if (scope.shard === '1') scans += 1;
      return real(scope);
    };
    const { coalesceMs } = PROFILE.crl;
    const publish = async (): Promise<number> => {
      scans = 0;
      await service.clock.advance(coalesceMs + MINUTE);
      return scans;
    };
    await service.revoke(issued.slice(0, 2));
    assert.equal(await publish(), 0, 'merged');
    await service.revoke(issued.slice(2, 6));
    assert.equal(await publish(), 1, 'too many to remember');
    await service.revoke(issued.slice(6, 7));
    assert.equal(await publish(), 0, 'and then it is known again');
    const { store, journal, clock, metrics } = service;
    await service.publisher.stop();
    await service.revoke(issued.slice(7, 8));
    service.publisher = new IssuerCrls(service.at, store, journal, clock, QUIET, metrics.crl('test'), {
      tuning: MERGE,
    });
    await service.publisher.start();
    assert.equal(await publish(), 1, 'a restart knows nothing of what it was not told');
    const record = await currentOf(service, { issuer: service.served.tag, shard: '1' });
    assert.equal(record.entries, 8);
    assert.equal(failures(service), 0);
  });
});
