/**
 * Random histories: issue, revoke, change a reason, expire, change the shards, fail over, crash, restore from a backup, step the
 * clock. After each step ledger, OCSP and CRLs say what a little model says, CRLs as another library reads them, and `reconcile`
 * finds no difference; numbers and dates of every scope only grow, and no certificate changes its shard.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { CertificateList, CRLReason } from '@peculiar/asn1-x509';
import fc from 'fast-check';
import type { CrlLayout } from '../../src/core/crl/shards.ts';
import { REASON_CODES, type Reason } from '../../src/core/reason.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { HOUR, MINUTE, SECOND, wholeSecond, type EpochMs } from '../../src/core/time.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { Signer } from '../../src/flows/sign/sign.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { seedFrom } from '../support/random.ts';
import { say } from './support-client.ts';
import { settled } from './support-clock.ts';
import { reconciled } from './support-reconcile.ts';
import { makeIssuer, TestService, type TestIssuer } from './support-service.ts';

const RUNS = 6;
const STEPS = 18;
const REASONS: readonly (Reason | undefined)[] = [undefined, 'superseded', 'cessationOfOperation', 'keyCompromise'];
/** Until OCSP and every CRL have followed: revocations are gathered for five minutes. */
const CALM_MS = PROFILE.crl.coalesceMs + 2 * MINUTE;

type Step =
  | { readonly do: 'issue'; readonly count: number; readonly hours: number }
  | { readonly do: 'revoke'; readonly which: number; readonly reason: number }
  | { readonly do: 'change-reason'; readonly which: number }
  | { readonly do: 'wait'; readonly hours: number }
  | { readonly do: 'reshard'; readonly count: number; readonly complete: boolean }
  | { readonly do: 'fail-over' | 'restart' | 'back-up' | 'restore' | 'clock-back' };

const which = fc.nat(1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('issue' as const), count: fc.integer({ min: 1, max: 6 }), hours: fc.integer({ min: 4, max: 20 }) }) }, // prettier-ignore
  { weight: 5, arbitrary: fc.record({ do: fc.constant('revoke' as const), which, reason: fc.nat(REASONS.length - 1) }) }, // prettier-ignore
  { weight: 2, arbitrary: fc.record({ do: fc.constant('change-reason' as const), which }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('wait' as const), hours: fc.integer({ min: 2, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reshard' as const), count: fc.integer({ min: 1, max: 4 }), complete: fc.boolean() }) }, // prettier-ignore
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('fail-over' as const, 'restart' as const, 'back-up' as const, 'restore' as const, 'clock-back' as const) }), // prettier-ignore
  },
);

interface Modelled {
  readonly notAfter: EpochMs;
  revoked: { readonly at: EpochMs; readonly reason: Reason | undefined } | undefined;
  /** Where it was first listed beside the complete CRL. */
  shard: string | undefined;
}

function layoutOf(count: number, highest: number, complete: boolean): CrlLayout {
  const url = 'http://crl.example.com/{shard}.crl';
  return { complete, completeUrls: [], shards: { count, highest, url }, caUrl: undefined };
}

class History {
  readonly #model = new Map<Serial, Modelled>();
  readonly #newest = new Map<string, { readonly number: bigint; readonly thisUpdate: EpochMs }>();
  readonly #issuers: TestIssuer[] = [makeIssuer()];
  readonly service = new TestService(this.#issuers);
  #highest = 2;
  /** Stays what it was: a complete CRL that ends while certificates need it is no reshard, but a mistake. */
  #complete = true;
  #backup: string | undefined;
  #issued = 0;

  async begin(): Promise<void> {
    this.#layOut(2, true);
    await this.#start();
  }

  async end(): Promise<void> {
    if (this.#backup !== undefined) rmSync(this.#backup, { recursive: true, force: true });
    await this.service.remove();
  }

  #layOut(count: number, complete: boolean): void {
    this.#highest = Math.max(this.#highest, count);
    this.#complete = complete;
    const issuer = this.#issuers[0] as TestIssuer;
    this.#issuers[0] = { ...issuer, served: { ...issuer.served, crls: layoutOf(count, this.#highest, complete) } };
  }

  async #start(): Promise<void> {
    await this.service.open();
    this.service.signer.start();
    await this.service.publisher.start();
  }

  async take(one: Step): Promise<void> {
    const { service } = this;
    switch (one.do) {
      case 'issue': {
        const notAfter = wholeSecond(service.clock.now() + one.hours * HOUR);
        const issued = Array.from({ length: one.count }, () => this.#serial());
        await service.issue(issued, notAfter);
        for (const serial of issued) this.#model.set(serial, { notAfter, revoked: undefined, shard: undefined });
        break;
      }
      case 'revoke':
        await this.#revoke(one.which, ({ revoked }) => revoked === undefined, REASONS[one.reason]);
        break;
      case 'change-reason':
        await this.#revoke(
          one.which,
          ({ revoked }) => revoked !== undefined && revoked.reason !== 'keyCompromise',
          'keyCompromise',
        );
        break;
      case 'wait':
        await service.clock.stride(one.hours * HOUR, 20 * MINUTE);
        break;
      case 'reshard':
        await service.close();
        this.#layOut(one.count, one.complete);
        await this.#start();
        break;
      case 'restart':
        await service.close();
        await this.#start();
        break;
      case 'fail-over': {
        // Another signer over the same store, which knows nothing of what this one did.
        await service.signer.stop();
        await service.publisher.stop();
        const { store, journal, clock, at, metrics } = service;
        const log = { debug() {}, info() {}, warn() {}, error() {} };
        service.signer = new Signer(this.#issuers, store, journal, clock, log, metrics.signer);
        service.publisher = new IssuerCrls(at, store, journal, clock, log, metrics.crl('second'));
        service.signer.start();
        await service.publisher.start();
        break;
      }
      case 'back-up':
        await service.close();
        this.#backup ??= mkdtempSync(join(tmpdir(), 'certstatus-backup-'));
        rmSync(this.#backup, { recursive: true });
        cpSync(join(service.dir, 'store'), this.#backup, { recursive: true });
        await this.#start();
        break;
      case 'restore':
        // The ledger of the backup; audit log and CRL archive are what they are.
        if (this.#backup === undefined) break;
        await service.close();
        rmSync(join(service.dir, 'store'), { recursive: true });
        cpSync(this.#backup, join(service.dir, 'store'), { recursive: true });
        await this.#start();
        break;
      case 'clock-back':
        service.clock.step(-MINUTE);
        break;
    }
    await service.clock.stride(CALM_MS, 20 * SECOND);
    await settled();
  }

  async #revoke(nth: number, eligible: (one: Modelled) => boolean, reason: Reason | undefined): Promise<void> {
    const now = this.service.clock.now();
    const able = [...this.#model].filter(([, one]) => eligible(one) && one.notAfter > now + HOUR);
    const [serial, one] = able[nth % Math.max(1, able.length)] ?? [];
    if (serial === undefined || one === undefined) return;
    const at = one.revoked?.at ?? wholeSecond(now);
    await this.service.recorder.revoke(this.service.served, [{ serial, reason, revokedAt: at }], 'test');
    one.revoked = { at, reason };
  }

  #serial(): Serial {
    this.#issued += 1;
    // In no order, and of several lengths.
    const scattered = Math.imul(this.#issued, 0x9e3779b1) >>> 0;
    return serialFromHex(`4${scattered.toString(16).padStart(8, '0').slice(0, 7)}${'5a'.repeat(this.#issued % 4)}`);
  }

  async check(): Promise<void> {
    const { service } = this;
    const report = await reconciled(service);
    assert.deepEqual(report.listed, []);
    assert.deepEqual([report.pending.ocsp.count, report.pending.crl.count], [0, 0], 'the calm was long enough');
    await this.#checkCrls();
    await this.#checkOcsp();
  }

  async #checkCrls(): Promise<void> {
    const { service } = this;
    const now = service.clock.now();
    const places = new Map<string, string[]>();
    const scopes = await service.store.scopes(service.served.tag);
    for (const scope of scopes) {
      const record = await service.store.current(scope);
      assert.ok(record !== undefined);
      const { tbsCertList } = AsnConvert.parse(await service.store.body(record), CertificateList);
      const before = this.#newest.get(scope.shard);
      const thisUpdate = tbsCertList.thisUpdate.getTime().getTime();
      if (before !== undefined && before.number !== record.number) {
        assert.ok(record.number > before.number, 'numbers only grow (C-10)');
        assert.ok(thisUpdate > before.thisUpdate, 'and so does thisUpdate');
      }
      this.#newest.set(scope.shard, { number: record.number, thisUpdate });
      // A complete CRL that is not configured any more is not kept up.
      if (scope.shard === '' && !this.#complete) continue;
      for (const { userCertificate, revocationDate, crlEntryExtensions } of tbsCertList.revokedCertificates ?? []) {
        const serial = Buffer.from(userCertificate).toString('hex') as Serial;
        places.set(serial, [...(places.get(serial) ?? []), scope.shard]);
        const reasonCode = crlEntryExtensions?.find(({ extnID }) => extnID === '2.5.29.21')?.extnValue;
        const reason = reasonCode && AsnConvert.parse(reasonCode.buffer, CRLReason).reason;
        const { revoked } = this.#model.get(serial) ?? {};
        assert.deepEqual(
          [revocationDate.getTime().getTime(), reason],
          [revoked?.at, revoked?.reason && REASON_CODES[revoked.reason]],
          `entry of ${serial}`,
        );
      }
    }
    for (const [serial, one] of this.#model) {
      const on = places.get(serial) ?? [];
      const shards = on.filter((shard) => shard !== '');
      assert.ok(shards.length <= 1, 'no serial on two shards (T-38)');
      if (shards[0] !== undefined) assert.equal(shards[0], (one.shard ??= shards[0]), 'a shard is for life (T-38)');
      if (one.revoked === undefined || one.notAfter < now) continue;
      assert.equal(shards.length, 1, `${serial} is revoked, and on the CRL of its shard`);
      assert.equal(on.includes(''), this.#complete, 'and on the complete one, where there is one');
    }
  }

  async #checkOcsp(): Promise<void> {
    const { service } = this;
    const now = service.clock.now();
    for (const [serial, one] of this.#model) {
      if (one.notAfter < now) continue;
      for (const hash of ['sha1', 'sha256'] as const) {
        const { status, revokedAt, reason, thisUpdate, nextUpdate } = await say(service, serial, hash);
        assert.equal(status, one.revoked === undefined ? 'good' : 'revoked');
        assert.deepEqual(
          [revokedAt, reason],
          [one.revoked?.at, one.revoked?.reason && REASON_CODES[one.revoked.reason]],
        );
        assert.ok(thisUpdate <= now && now <= nextUpdate, 'P4');
      }
    }
  }
}

describe('ledger, OCSP and CRLs agree', () => {
  it('in any history, and CRL numbers only grow', async (t) => {
    const { seed } = process.env['AGREE_SEED'] === undefined ? { seed: 20261121 } : seedFrom('AGREE_SEED');
    t.diagnostic(`seed ${seed} (AGREE_SEED)`);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: STEPS, maxLength: STEPS }), async (steps) => {
        const history = new History();
        await history.begin();
        try {
          await history.take({ do: 'issue', count: 6, hours: 12 });
          for (const one of steps) {
            await history.take(one);
            await history.check();
          }
        } finally {
          await history.end();
        }
      }),
      { numRuns: RUNS, seed, endOnFailure: true },
    );
  });
});
