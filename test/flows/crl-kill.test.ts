/** A CRL publication that is cut short at each of its steps, before it has happened or after: what the next one finds. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it, mock } from 'node:test';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { COMPLETE, type CrlRecord, type CrlScope } from '../../src/core/certificate.ts';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import type { CrlDraft } from '../../src/ports/crl-archive.ts';
import type { KeyHolder } from '../../src/ports/key-holder.ts';
import type { Store } from '../../src/ports/store.ts';
import { FaultPlan, faultyJournal, type Fault } from './faults.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { makeIssuer, serials, START, type TestIssuer, TestService } from './support-service.ts';

const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const SHARD = '1';

let services: TestService[] = [];
afterEach(async () => {
  mock.restoreAll();
  for (const service of services) await service.remove();
  services = [];
});

/** With one revocation on the first CRLs, of all scopes, and one that is on none. */
async function publishing(): Promise<TestService> {
  const at = makeIssuer();
  const shards = { count: 1, highest: 1, url: 'http://crl.example/{shard}.crl' };
  const crls = { complete: true, completeUrls: [], shards, caUrl: undefined };
  const service = new TestService([{ ...at, served: { ...at.served, crls } }]);
  services.push(service);
  await service.open();
  const events = serials(4).map((serial) => ({
    serial,
    notBefore: START - DAY,
    notAfter: START + 90 * DAY,
    precertificate: false,
    crlShard: SHARD,
    withoutOcsp: false,
    spkiHash: undefined,
  }));
  await service.recorder.issue(service.served, events, 'test');
  await service.revoke(serials(1));
  return service;
}

/** The plan of the moment. */
class Step {
  plan = new FaultPlan(0, 'lost');
  /** What a process that is gone did not close. */
  readonly left: (() => Promise<void>)[] = [];
  /** The process lives on after the fault. */
  goesOn = false;

  run<T>(name: string, call: () => Promise<T>): Promise<T> {
    return this.plan.run(name, call);
  }
}

function publishers(service: TestService, plan: Step, how: 'whole' | 'merged'): IssuerCrls {
  const { at, store, journal, clock, metrics } = service;
  const tuning = { mergeFrom: how === 'merged' ? 0 : Infinity, mostChanges: 100 };
  const { holder, publicKey } = at.keys.crl as NonNullable<TestIssuer['keys']['crl']>;
  const issuer = { ...at, keys: { ...at.keys, crl: { holder: faultyHolder(holder, plan), publicKey } } };
  return new IssuerCrls(issuer, faultyShelf(store, plan), faultyJournal(journal, plan), clock, QUIET, metrics.crl('test'), { tuning }); // prettier-ignore
}

function faultyHolder(holder: KeyHolder, plan: Step): KeyHolder {
  return new Proxy(holder, {
    get: (_, property: keyof KeyHolder) => {
      const member: unknown = holder[property];
      if (property !== 'begin') return typeof member === 'function' ? (member.bind(holder) as unknown) : member;
      return () => {
        const signature = holder.begin();
        return {
          update: (octets: Uint8Array) => signature.update(octets),
          finish: () => plan.run('sign', () => signature.finish('urgent')),
        };
      };
    },
  });
}

function faultyShelf(store: Store, plan: Step): Store {
  const steps = ['reserveNumber', 'find', 'publishCrl'] as const;
  return new Proxy(store, {
    get: (_, property: keyof Store) => {
      const member: unknown = store[property];
      if (typeof member !== 'function') return member;
      const method = member.bind(store) as (...values: unknown[]) => Promise<unknown>;
      if (property === 'draftCrl') {
        return (scope: CrlScope) =>
          plan.run('draftCrl', async () => {
            const draft = await store.draftCrl(scope);
            const { write, discard } = draft;
            plan.left.push(() => discard.call(draft));
            return Object.assign(draft, {
              write: (octets: Uint8Array, at?: number) => plan.run('write', () => write.call(draft, octets, at)),
              discard: () => {
                if (plan.plan.failed === undefined || plan.goesOn) return discard.call(draft);
                // A process that is gone discards nothing.
                return Promise.resolve();
              },
            } satisfies Partial<CrlDraft>);
          });
      }
      if (property === 'openCrl') {
        return (record: CrlRecord) =>
          plan.run('openCrl', async () => {
            const file = await store.openCrl(record);
            plan.left.push(() => file.close());
            return file;
          });
      }
      return (steps as readonly string[]).includes(property)
        ? (...values: unknown[]) => plan.run(property, () => method(...values))
        : method;
    },
  });
}

function faultyArchive(plan: Step): void {
  const { keep } = FileCrlArchive.prototype;
  mock.method(FileCrlArchive.prototype, 'keep', function (this: FileCrlArchive, ...values: Parameters<typeof keep>) {
    return plan.run('keep', () => keep.apply(this, values));
  });
}

/** Of a scope: every number that the journal accounts for, and the records of the store, oldest first. */
async function numbers(service: TestService, scope: CrlScope): Promise<{ signed: bigint[]; records: CrlRecord[] }> {
  // One signature has two records where the log said that the first was not written, and it was.
  const crls = new Map<unknown, bigint>();
  for await (const { type, detail } of service.journal.read(0)) {
    const { number, sha256, shard = COMPLETE } = (detail ?? {}) as Record<string, string>;
    if (type.startsWith('crl.') && shard === scope.shard) crls.set(sha256, BigInt(number as string));
  }
  const signed = [...crls.values()];
  const records: CrlRecord[] = [];
  for await (const record of service.store.list(scope)) records.unshift(record);
  return { signed, records };
}

/** Nothing lost, nothing twice, nothing left behind. */
async function mustBeWhole(service: TestService, scope: CrlScope, signedBefore: readonly bigint[]): Promise<void> {
  const { signed, records } = await numbers(service, scope);
  const last = records.at(-1) as CrlRecord;
  assert.ok(
    signedBefore.every((number) => number < last.number),
    'its number is greater than every one signed before',
  );
  assert.equal(new Set(signed).size, signed.length, 'no number was signed twice');
  for (const [i, record] of records.entries()) {
    const der = await service.store.body(record);
    const { number, thisUpdate } = readCrl(der);
    assert.deepEqual([number, thisUpdate, der.length], [record.number, record.thisUpdate, record.bytes]);
    const before = records[i - 1];
    if (before === undefined) continue;
    assert.ok(record.number > before.number && record.thisUpdate > before.thisUpdate);
    assert.deepEqual(record.previous, { number: before.number.toString(), sha256: before.sha256 });
  }
  const listed = [...readCrl(await service.store.body(last)).entries()].map(({ serial }) => serial);
  assert.deepEqual(listed, serials(2).sort());
  const dir = join(service.dir, 'crl', scope.issuer, scope.shard);
  assert.ok(existsSync(dir));
  const names = readdirSync(dir).filter((name) => name.includes('.'));
  assert.deepEqual(names.filter((name) => name.endsWith('.part')), []); // prettier-ignore
  const files = names.filter((name) => name.endsWith('.crl')).map((name) => name.replace('crl', 'json'));
  assert.deepEqual(names.filter((name) => name.endsWith('.json')).sort(), files.sort());
}

/** Cuts a publication short at the call with this number. @returns the call; undefined when there are not so many. */
async function interrupted(
  service: TestService,
  scope: CrlScope,
  how: 'whole' | 'merged',
  at: number,
  fault: Fault,
  step: Step,
): Promise<string | undefined> {
  const crls = publishers(service, step, how);
  await crls.publishNow(scope.shard);
  await service.clock.advance(MINUTE);
  await service.revoke(serials(1, 1));
  const plan = new FaultPlan(at, fault);
  step.plan = plan;
  faultyArchive(step);
  await crls.publishNow(scope.shard).catch(() => undefined);
  mock.restoreAll();
  return plan.failed;
}

describe('a CRL publication that is cut short', () => {
  for (const how of ['whole', 'merged'] as const) {
    for (const shard of [COMPLETE, SHARD]) {
      it(
        `made ${how}, of ${shard === COMPLETE ? 'the complete CRL' : 'a shard'}: the next one is right`,
        { timeout: 120_000 },
        async () => {
          const seen = new Set<string>();
          for (let at = 1, more = true; more; at++) {
            for (const fault of ['lost', 'kept'] as const) {
              const service = await publishing();
              const scope = { issuer: service.served.tag, shard };
              const step = new Step();
              const failed = await interrupted(service, scope, how, at, fault, step);
              if (failed === undefined) {
                more = false;
                break;
              }
              seen.add(failed);
              const { signed } = await numbers(service, scope);
              await service.close();
              await service.open();
              await service.clock.advance(MINUTE);
              await service.publisher.start();
              await service.clock.advance(PROFILE.crl.coalesceMs + MINUTE);
              await service.publisher.publishNow(shard);
              await mustBeWhole(service, scope, signed);
              for (const close of step.left) await close();
              await service.remove();
              services = [];
            }
          }
          const steps = ['reserveNumber', 'draftCrl', 'write', 'sign', 'openCrl', 'append', 'publishCrl', 'keep'];
          assert.deepEqual(steps.filter((name) => !seen.has(name)), [], 'every step was cut short'); // prettier-ignore
        },
      );
    }
  }

  it('goes on in the same process, too', { timeout: 120_000 }, async () => {
    for (const fault of ['lost', 'kept'] as const) {
      for (let at = 1; ; at++) {
        const service = await publishing();
        const scope = { issuer: service.served.tag, shard: SHARD };
        const step = new Step();
        const crls = publishers(service, step, 'merged');
        await crls.start();
        await service.clock.advance(0);
        await service.clock.advance(MINUTE);
        await service.revoke(serials(1, 1));
        step.plan = new FaultPlan(at, fault);
        step.goesOn = true;
        await service.clock.advance(PROFILE.crl.coalesceMs + MINUTE);
        const { signed } = await numbers(service, scope);
        const { failed } = step.plan;
        step.plan = new FaultPlan(0, 'lost');
        await service.clock.advance(SECOND);
        await crls.publishNow(SHARD);
        await crls.stop();
        for (const close of step.left) await close();
        await mustBeWhole(service, scope, signed);
        await service.remove();
        services = [];
        if (failed === undefined) break;
      }
    }
  });
});
