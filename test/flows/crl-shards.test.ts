/** The CRLs of all scopes of an issuer: which there are, when they are due, and what each of them keeps to itself. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { COMPLETE, type CrlRecord } from '../../src/core/certificate.ts';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import { readIssuingDistributionPoint } from '../../src/core/crl/idp.ts';
import type { CrlLayout } from '../../src/core/crl/shards.ts';
import { findExtension } from '../../src/core/der/document.ts';
import { OID } from '../../src/core/der/oid.ts';
import { nextScheduledCrl } from '../../src/core/policy/freshness.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { failures } from './support-crl.ts';
import { makeIssuer, serials, START, type TestIssuer, TestService } from './support-service.ts';

const { periodMs, coalesceMs } = PROFILE.crl;
/** Of the clock: timers run late by as much. */
const STRIDE = 15 * MINUTE;
const URL = 'http://crl.example/{shard}.crl';
const layout = (count: number, change: Partial<CrlLayout> = {}): CrlLayout => ({
  complete: true,
  completeUrls: [],
  shards: { count, highest: count, url: URL },
  caUrl: 'http://crl.example/ca.crl',
  ...change,
});

let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

async function sharded(crls: CrlLayout): Promise<TestService> {
  const at = makeIssuer();
  const service = new TestService([{ ...at, served: { ...at.served, crls } }]);
  services.push(service);
  await service.open();
  return service;
}

/** The service with another layout, over the same store. */
function relaid(service: TestService, crls: CrlLayout): IssuerCrls {
  const issuer: TestIssuer = { ...service.at, served: { ...service.served, crls } };
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: (_: object, text: string) => void service.errors.push(text) }; // prettier-ignore
  const { store, journal, clock, metrics } = service;
  return new IssuerCrls(issuer, store, journal, clock, log, metrics.crl('test'));
}

async function issue(service: TestService, shard: string, count: number, first = 0): Promise<void> {
  const events = serials(count, first).map((serial) => ({
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

async function records(service: TestService, shard: string): Promise<CrlRecord[]> {
  const found: CrlRecord[] = [];
  for await (const record of service.store.list({ issuer: service.served.tag, shard })) found.unshift(record);
  return found;
}

async function listed(service: TestService, shard: string): Promise<readonly (string | undefined)[]> {
  const last = (await records(service, shard)).at(-1) as CrlRecord;
  return [...readCrl(await service.store.body(last)).entries()].map(({ serial }) => serial);
}

describe('CRLs of shards', () => {
  it('are all published from the start, empty ones too, each with its critical IDP, and openssl verifies them', async () => {
    const service = await sharded(layout(3));
    await issue(service, '2', 1);
    await service.revoke(serials(1), 'keyCompromise');
    await service.publisher.start();
    await service.clock.advance(0);
    const dir = mkdtempSync(join(tmpdir(), 'certstatus-shards-'));
    try {
      writeFileSync(join(dir, 'ca.pem'), new X509Certificate(service.at.caDer).toString());
      for (const shard of ['1', '2', '3', 'ca']) {
        const [record] = (await records(service, shard)) as [CrlRecord];
        const der = await service.store.body(record);
        const idp = findExtension(readCrl(der).crlExtensions, OID.issuingDistributionPoint);
        const said = readIssuingDistributionPoint(idp?.value as Uint8Array);
        assert.equal(idp?.critical, true);
        assert.deepEqual(said.uris, [`http://crl.example/${shard}.crl`]);
        assert.deepEqual([said.onlyContainsUserCerts, said.onlyContainsCACerts], [shard !== 'ca', shard === 'ca']);
        writeFileSync(join(dir, 'crl.der'), der);
        const run = ['crl', '-inform', 'DER', '-in', 'crl.der', '-noout', '-text', '-CAfile', 'ca.pem', '-verify'];
        const text = execFileSync('openssl', run, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
        assert.match(text, shard === '2' ? /Serial Number: 4100/ : /No Revoked Certificates/);
        assert.match(text, /Issuing Distribution Point: critical/);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
    assert.deepEqual(await listed(service, COMPLETE), serials(1), 'the complete CRL has those of shards too (C-18)');
  });

  it('after a revocation only the CRLs that must list it are made', async () => {
    const service = await sharded(layout(3));
    await issue(service, '1', 2);
    await service.publisher.start();
    await service.clock.advance(0);
    await service.revoke(serials(1));
    await service.clock.advance(coalesceMs);
    const counts = await Promise.all(
      ['1', '2', '3', 'ca', COMPLETE].map(async (s) => (await records(service, s)).length),
    );
    assert.deepEqual(counts, [2, 1, 1, 1, 2]);
    assert.deepEqual(await listed(service, '1'), serials(1));
    const numbers = await records(service, '1');
    assert.ok((numbers[1] as CrlRecord).number > (numbers[0] as CrlRecord).number);
  });

  it('are spread over the period, never a period apart, and do not all come at once after a downtime', async () => {
    const service = await sharded(layout(12, { complete: false, caUrl: undefined }));
    await service.publisher.start();
    await service.clock.advance(0);
    await service.clock.stride(3 * periodMs, STRIDE);
    const shards = Array.from({ length: 12 }, (_, i) => String(i + 1));
    const places = new Set<number>();
    for (const shard of shards) {
      const all = await records(service, shard);
      assert.ok(all.length >= 4, `${all.length} CRLs of shard ${shard}`);
      for (const [i, { scheduledAt }] of all.entries()) {
        const gap = scheduledAt - (all[i - 1]?.scheduledAt ?? scheduledAt - periodMs);
        assert.ok(gap >= periodMs / 2 - STRIDE && gap <= periodMs + STRIDE, `${gap / HOUR} h`);
      }
      places.add(Math.floor(((all.at(-1) as CrlRecord).scheduledAt % periodMs) / (periodMs / 12)));
    }
    // By the key, which is random here: twelve in three parts would be no chance.
    assert.ok(places.size >= 4, `in ${places.size} of 12 parts of the period`);
    // Off for three days: all are overdue, and built a few at a time, one after the other.
    await service.close();
    service.clock.step(3 * DAY);
    await service.open();
    let building = 0;
    let most = 0;
    service.interfere.draftCrl = async (real, scope) => {
      most = Math.max(most, ++building);
      const draft = await real(scope);
      const { discard } = draft;
      return Object.assign(draft, { discard: () => ((building -= 1), discard.call(draft)) });
    };
    await service.publisher.start();
    await service.clock.advance(SECOND);
    for (const shard of shards) {
      const last = (await records(service, shard)).at(-1) as CrlRecord;
      assert.ok(service.clock.now() - last.thisUpdate <= MINUTE);
    }
    // Two builds, each with its draft and that of its entries.
    assert.ok(most <= 4, `${most} drafts at once`);
    assert.equal(failures(service), 0);
  });

  it('beyond a smaller count are published on, until the shard is no more than history (T-38)', async () => {
    const service = await sharded(layout(3));
    await issue(service, '3', 2);
    await service.publisher.start();
    await service.clock.advance(0);
    await service.publisher.stop();
    const fewer = relaid(service, layout(1));
    await fewer.start();
    await service.revoke(serials(1));
    await service.clock.advance(coalesceMs);
    assert.deepEqual(await listed(service, '3'), serials(1));
    await fewer.stop();
  });

  it('with another URL than before are refused: certificates name the old one; the alarm says it, and ends with it', async () => {
    const service = await sharded(layout(1));
    await service.publisher.start();
    await service.clock.advance(0);
    await service.publisher.stop();
    const [before] = await records(service, '1');
    const moved = relaid(
      service,
      layout(1, { shards: { count: 1, highest: 1, url: 'http://other.example/{shard}.crl' } }),
    );
    service.publisher = moved;
    registerGauges(service.metrics.set, service.sources);
    const gauge = (): number[] => {
      const found = [...service.metrics.set].find(({ name }) => name === 'certstatus_crl_refused');
      return found?.kind === 'gauge' ? [...found.read()].map(([, value]) => value) : [];
    };
    await service.clock.advance(MINUTE);
    await assert.rejects(moved.publishNow('1'), /certificates name the old one/);
    const { lastFailure } = moved.publisher('1').state;
    assert.equal(lastFailure?.refused, true);
    assert.match(`${lastFailure?.problem.message} ${lastFailure?.problem.rule}`, /certificates name the old one C-17/);
    assert.deepEqual(gauge(), [1]);
    assert.deepEqual(await records(service, '1'), [before], 'the old one stays');
    let refused = 0;
    for await (const { type, detail } of service.journal.read(0))
      if (type === 'crl.refused' && detail?.['shard'] === '1') refused += 1;
    assert.ok(refused > 0, 'P8: what was signed is in the log');
    const back = relaid(service, layout(1));
    service.publisher = back;
    await back.start();
    await back.publishNow('1');
    assert.equal(back.publisher('1').refused, false);
    assert.equal((await records(service, '1')).length, 2);
    await back.stop();
  });

  it('grow in number and time over a clock that steps back, and over a store restored from a backup', async () => {
    const service = await sharded(layout(1));
    await issue(service, '1', 3);
    await service.publisher.start();
    await service.clock.advance(0);
    await service.close();
    const backup = mkdtempSync(join(tmpdir(), 'certstatus-backup-'));
    cpSync(join(service.dir, 'store'), backup, { recursive: true });
    await service.open();
    await service.publisher.start();
    await service.revoke(serials(1));
    await service.clock.advance(coalesceMs);
    const newest = (await records(service, '1')).at(-1) as CrlRecord;
    // The store is the one of before; journal and archive are not.
    await service.close();
    rmSync(join(service.dir, 'store'), { recursive: true });
    cpSync(backup, join(service.dir, 'store'), { recursive: true });
    rmSync(backup, { recursive: true });
    await service.open();
    service.clock.step(-HOUR);
    await service.publisher.start();
    await service.revoke(serials(1, 1));
    await service.clock.advance(coalesceMs);
    assert.equal((await records(service, '1')).at(-1)?.number, newest.number, 'nothing while the clock is behind');
    await service.clock.advance(HOUR + coalesceMs);
    const after = (await records(service, '1')).at(-1) as CrlRecord;
    assert.ok(after.number > newest.number && after.thisUpdate > newest.thisUpdate);
    assert.deepEqual(await listed(service, '1'), [...serials(2)].sort());
  });
});

describe('nextScheduledCrl', () => {
  it('is a period later for a complete CRL, and comes into step for a shard in half periods', () => {
    const { tag: issuer } = makeIssuer().served;
    assert.equal(nextScheduledCrl({ scheduledAt: START, issuer, shard: COMPLETE }, periodMs), START + periodMs);
    for (let shard = 1; shard <= 50; shard++) {
      let scheduledAt = START + shard * 977 * SECOND;
      for (let i = 0; i < 6; i++) {
        const next = nextScheduledCrl({ scheduledAt, issuer, shard: String(shard) }, periodMs);
        assert.ok(next - scheduledAt >= periodMs / 2 && next - scheduledAt <= periodMs);
        if (i >= 2) assert.equal(next - scheduledAt, periodMs, 'in step');
        scheduledAt = next;
      }
    }
  });
});
