/**
 * A crash, or an error that is none, at every step of an import: afterwards the old CRL or the new one is current, and the same
 * command finishes the work. Over the real store, archive and journal.
 */
import { sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { completeCrl } from '../../src/core/certificate.ts';
import { assembleCrl, CrlBuilder, type CrlParts } from '../../src/core/crl/crl.ts';
import { OID } from '../../src/core/der/oid.ts';
import { extension, tlv } from '../../src/core/der/writer.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Reason } from '../../src/core/reason.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { importCrl, type ImportedCrl } from '../../src/flows/crl/import-crl.ts';
import { Recorder } from '../../src/flows/record.ts';
import { ecKey, NOW } from '../core/sample-pki.ts';
import { FaultPlan, faultyJournal, type Fault } from './faults.ts';
import { makeIssuer } from './support-service.ts';

const CA = ecKey();
const { served: online } = makeIssuer({ ca: CA });
const served = { ...online, offline: { crl: true, ocsp: false } };
const scope = completeCrl(served.tag);
const clock = { now: () => NOW, after: () => ({ cancel: () => undefined }) };

interface Entry {
  readonly serial: string;
  readonly reason: Reason | undefined;
}

function crl(
  number: bigint,
  thisUpdate: number,
  entries: readonly Entry[],
  { key = CA.privateKey, ...change }: Partial<CrlParts> & { readonly key?: KeyObject } = {},
): Buffer {
  const algorithm = change.algorithm ?? algorithmFor(CA.publicKey, 'CA');
  const builder = new CrlBuilder({
    issuerName: served.issuer.nameDer,
    authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
    algorithm,
    thisUpdate,
    nextUpdate: thisUpdate + 4 * DAY - SECOND,
    number,
    invalidityDate: 'omit',
    ...change,
  });
  for (const { serial, reason } of entries)
    builder.add({ serial: serialFromHex(serial, 'serial'), revokedAt: NOW - 10 * DAY, reason });
  const tbs = builder.tbs();
  return assembleCrl(tbs, algorithm, sign(algorithm.hash, tbs, key));
}

const OLD = crl(5n, NOW - DAY, [{ serial: '11', reason: 'superseded' }]);
const NEW = crl(6n, NOW - SECOND, [
  { serial: '11', reason: 'superseded' },
  { serial: '22', reason: undefined },
  { serial: '33', reason: 'keyCompromise' },
]);

/** Methods of the store that an import calls; not those that open a file, which would stay open when the answer is lost. */
const STEPS = ['find', 'apply', 'restoreCrl', 'reserveNumber', 'publishCrl'] as const;

/** One start of the program, in a directory that survives it. */
async function running<T>(
  directory: string,
  plan: FaultPlan,
  run: (take: (der: Buffer) => Promise<ImportedCrl>, store: EmbeddedStore) => Promise<T>,
): Promise<T> {
  const real = await EmbeddedStore.open(directory, new FileCrlArchive(join(directory, 'crl')));
  const files = await FileJournal.open(join(directory, 'audit'), clock);
  const store = new Proxy(real, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...values: unknown[]) => Promise<unknown>;
      const step = STEPS.find((known) => known === name);
      return step === undefined ? method : (...values: unknown[]) => plan.run(step, () => method(...values));
    },
  });
  const journal = faultyJournal(files, plan);
  const recorder = new Recorder(store, journal, clock);
  try {
    await new Recorder(real, files, clock).recover();
    await recorder.recover();
    return await run((der) => importCrl(served, der, 'a test', 'a file', { store, journal, recorder, clock }), real);
  } finally {
    await real.close();
    await files.close();
  }
}

const none = (): FaultPlan => new FaultPlan(0, 'lost');
const currentNumber = async (store: EmbeddedStore): Promise<bigint | undefined> => (await store.current(scope))?.number;

describe('import of a CRL that was signed elsewhere', () => {
  it('leaves the old CRL or the new one after a failure at any step, and ends the same when it is done again', async () => {
    let failures = 0;
    for (const fault of ['lost', 'kept'] as const satisfies readonly Fault[]) {
      for (let at = 1; ; at++) {
        const directory = mkdtempSync(join(tmpdir(), 'certstatus-import-crl-'));
        try {
          await running(directory, none(), (take) => take(OLD));
          const plan = new FaultPlan(at, fault);
          const failed = await running(directory, plan, async (take, store) => {
            const error = await take(NEW).then(
              () => undefined,
              (reason: unknown) => reason,
            );
            assert.ok([5n, 6n].includes((await currentNumber(store)) ?? 0n), `${fault} ${at}`);
            return error;
          });
          if (plan.failed === undefined) break;
          failures += 1;
          assert.ok(failed instanceof Problem, `${plan.failed}: ${String(failed)}`);
          await running(directory, none(), async (take, store) => {
            const done = await take(NEW);
            assert.equal(done.number, '6', `${fault} at ${plan.failed}`);
            assert.deepEqual(await store.body((await store.current(scope)) ?? assert.fail()), NEW);
            const found = await store.find(
              served.tag,
              ['11', '22', '33'].map((serial) => serialFromHex(serial, 'serial')),
            );
            assert.deepEqual(
              found.map((one) => one?.revocation?.reason),
              ['superseded', undefined, 'keyCompromise'],
            );
            const numbers: bigint[] = [];
            for await (const { number } of store.list(scope)) numbers.push(number);
            assert.deepEqual(numbers, [6n, 5n]);
            assert.ok((await store.reserveNumber(scope, 0n)) > 6n);
            assert.equal((await take(NEW)).published, false);
            await assert.rejects(take(OLD), /C-10|not greater/);
          });
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      }
    }
    // Each of the steps has failed in both ways.
    assert.ok(failures >= 2 * 7, `${failures}`);
  });

  it('refuses a delta where nothing is revoked, and tells a wrong signature from one that is not accepted', async () => {
    const sha1 = { ...algorithmFor(CA.publicKey, 'CA'), identifier: Buffer.from('300906072a8648ce3d0401', 'hex') };
    const delta = [extension(OID.deltaCRLIndicator, true, tlv(0x02, Buffer.of(5)))];
    const stranger = crl(6n, NOW - SECOND, [], { key: ecKey().privateKey });
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-import-crl-'));
    try {
      await running(directory, none(), async (take, store) => {
        await take(crl(5n, NOW - DAY, []));
        for (const [other, why] of [
          [crl(6n, NOW - SECOND, [], { extensions: delta }), { code: 'refused', rule: /T-36/ }],
          [
            crl(6n, NOW - SECOND, [], { algorithm: sha1 }),
            { code: 'refused', message: /not accepted/, field: 'signatureAlgorithm' },
          ],
          [stranger, { code: 'refused', message: /not signed with the key of/ }],
        ] as const)
          await assert.rejects(take(other), why);
        assert.equal(await currentNumber(store), 5n);
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
