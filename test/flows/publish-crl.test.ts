import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { X509Certificate } from 'node:crypto';
import type { CrlRecord } from '../../src/core/certificate.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { settled } from './support-clock.ts';
import { crls, current, failures } from './support-crl.ts';
import { CRL_PATH, makeIssuer, question, serials, START, TestService } from './support-service.ts';
import { PROFILE } from '../core/sample-pki.ts';

const { periodMs, coalesceMs, validityMs } = PROFILE.crl;
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

describe('CrlPublisher: when', () => {
  it('publishes the first CRL at once, and openssl verifies it', async () => {
    const [service, issued] = await publishing(3);
    await service.revoke(issued.slice(0, 1), 'keyCompromise');
    await service.clock.advance(coalesceMs);
    const [first, second] = (await crls(service)) as [CrlRecord, CrlRecord];
    assert.equal(first.thisUpdate, START);
    assert.equal(first.kind, 'scheduled');
    assert.equal(second.nextUpdate - second.thisUpdate + SECOND, validityMs); // T-01
    const dir = mkdtempSync(join(tmpdir(), 'certstatus-crl-'));
    try {
      writeFileSync(join(dir, 'ca.pem'), new X509Certificate(service.at.caDer).toString());
      const reply = await service.answer(question(CRL_PATH));
      writeFileSync(join(dir, 'crl.der'), reply.body);
      const run = ['crl', '-inform', 'DER', '-in', 'crl.der', '-noout', '-text', '-CAfile', 'ca.pem', '-verify'];
      const said = execFileSync('openssl', run, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
      assert.match(said, new RegExp(`Serial Number: ${issued[0]?.toUpperCase()}[\\s\\S]*Key Compromise`));
      assert.match(
        said,
        new RegExp(`X509v3 CRL Number: *\\n *(?:0x)?${second.number.toString(16)}|${second.number}`, 'i'),
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('builds one CRL at a time, also when one asked for is under way as the timer fires', async () => {
    const [service, issued] = await publishing(3);
    await service.clock.advance(coalesceMs);
    await service.revoke(issued.slice(0, 1));
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    service.journal.before = async ([entry]) => {
      if (entry?.type !== 'crl.published') return;
      service.journal.before = undefined;
      await held;
    };
    await service.clock.advance(coalesceMs - SECOND);
    const asked = service.publisher.publishNow();
    await settled();
    await service.revoke(issued.slice(1, 2));
    await service.clock.advance(2 * SECOND);
    goOn();
    await asked;
    await service.clock.advance(coalesceMs);
    assert.equal(failures(service), 0);
    assert.deepEqual(await current(service), new Set(issued.slice(0, 2)), 'what came meanwhile is on the next one');
  });

  it('waits for the next second when it is asked for within that of the current CRL (RFC 5280 §5.2.3)', async () => {
    const [service] = await publishing(1);
    await service.clock.advance(MINUTE);
    const first = await service.publisher.publishNow();
    const asked = service.publisher.publishNow();
    await service.clock.advance(SECOND);
    const second = await asked;
    assert.equal(second.thisUpdate, first.thisUpdate + SECOND);
    assert.equal(failures(service), 0);
    // Set back further than that: nobody waits for an hour.
    service.clock.step(-HOUR);
    await assert.rejects(service.publisher.publishNow(), { field: 'thisUpdate' });
  });

  it('publishes every period for 60 days, over restarts and downtime (B-13, C-10, CT-4.9.7-a)', async () => {
    const [service, issued] = await publishing(4);
    await service.revoke(issued.slice(0, 1));
    for (const day of [10, 20, 30]) {
      await service.clock.stride(10 * DAY, HOUR / 2);
      await service.close();
      // The third time the machine is off for three days.
      if (day === 30) service.clock.step(3 * DAY);
      await service.open();
      await service.publisher.start();
      await service.clock.advance(0);
      const newest = await service.store.current(completeCrl(service.served.tag));
      assert.ok(
        newest !== undefined && service.clock.now() - newest.thisUpdate <= periodMs,
        'at once after a downtime',
      );
    }
    await service.clock.stride(27 * DAY, HOUR / 2);
    const records = await crls(service);
    records.forEach((record, i) => {
      const before = records[i - 1];
      assert.ok(record.thisUpdate <= START + 60 * DAY);
      if (before === undefined) return;
      assert.ok(
        record.number > before.number &&
          record.thisUpdate > before.thisUpdate &&
          record.nextUpdate >= before.nextUpdate,
      );
      const gap = record.thisUpdate - before.thisUpdate;
      assert.ok(gap <= periodMs + HOUR / 2 || gap >= 3 * DAY, `${gap / HOUR} h between two CRLs`);
    });
    assert.ok(records.length >= 57 * 4 - 4 && records.length <= 60 * 4 + 4, `${records.length} CRLs`);
    assert.equal(failures(service), 0);
    assert.ok((await current(service)).has(issued[0] as string));
  });

  it('lists revocations of coalesceMs together, and the first of them no later than that', async () => {
    const [service, issued] = await publishing(40);
    for (let i = 0; i < 20; i++) {
      await service.revoke([issued[i] as Serial]);
      await service.clock.advance(10 * SECOND);
    }
    await service.clock.advance(coalesceMs - 200 * SECOND - 1);
    assert.equal((await crls(service)).length, 1);
    await service.clock.advance(1);
    const records = await crls(service);
    assert.equal(records.length, 2);
    assert.equal(records[1]?.kind, 'revocation');
    assert.equal(records[1]?.entries, 20);
    assert.equal(records[1]?.thisUpdate, START + coalesceMs);
    await service.clock.advance(periodMs - coalesceMs);
    const third = (await crls(service))[2];
    assert.equal(third?.kind, 'scheduled', 'the schedule is not moved by CRLs in between');
    assert.equal(third?.thisUpdate, START + periodMs);
  });

  it('waits for the next second when a revocation must be listed in the same one (C-10)', async () => {
    const profile = { ...PROFILE, crl: { ...PROFILE.crl, coalesceMs: 0 } };
    const [service, issued] = await publishing(2, [makeIssuer({ profile })]);
    await service.revoke(issued.slice(0, 1));
    await service.clock.advance(999);
    assert.equal((await crls(service)).length, 1);
    await service.clock.advance(1);
    assert.deepEqual(
      (await crls(service)).map(({ thisUpdate }) => thisUpdate),
      [START, START + SECOND],
    );
    assert.equal(failures(service), 0);
  });

  it('puts what is recorded during a build on the next CRL', async () => {
    const [service, [first, second]] = (await publishing(2)) as [TestService, [Serial, Serial]];
    await service.revoke([first]);
    const release = service.at.crlHolder.hang();
    await service.clock.advance(coalesceMs);
    await service.revoke([second]);
    await service.clock.advance(MINUTE);
    release();
    await settled();
    assert.deepEqual(await current(service), new Set([first]));
    assert.equal(service.publisher.oldestUnlisted, START + coalesceMs);
    await service.clock.advance(coalesceMs + MINUTE);
    assert.deepEqual(await current(service), new Set([first, second]));
    assert.equal(service.publisher.oldestUnlisted, undefined);
  });

  it('finds after a restart what no CRL lists yet, by the journal and not by the clock', async () => {
    const [service, [first, second]] = (await publishing(2)) as [TestService, [Serial, Serial]];
    // Journalled before the CRL's thisUpdate, in the ledger only after its snapshot.
    let late = (): void => undefined;
    const waiting = new Promise<void>((resolve) => (late = resolve));
    await service.clock.advance(periodMs - SECOND / 2);
    service.interfere.apply = (real, ...values) => waiting.then(() => real(...values));
    const revoking = service.revoke([first]);
    await service.clock.advance(SECOND);
    late();
    await revoking;
    assert.deepEqual(await current(service), new Set());
    await service.close();
    service.interfere = {};
    await service.open();
    await service.publisher.start();
    assert.equal(service.publisher.oldestUnlisted, START + periodMs - SECOND / 2);
    await service.clock.advance(coalesceMs);
    assert.deepEqual(await current(service), new Set([first]));
    // And what is on it does not call for another.
    await service.close();
    await service.open();
    await service.issue([second], START + 91 * DAY).catch(() => undefined);
    await service.publisher.start();
    assert.equal(service.publisher.oldestUnlisted, undefined);
  });

  it('is on time when the wall clock is set forward while it waits', async () => {
    const [service] = await publishing(1);
    service.clock.step(periodMs - 2 * MINUTE);
    await service.clock.advance(3 * MINUTE);
    assert.equal((await crls(service)).length, 2);
  });
});

describe('CrlPublisher: numbers', () => {
  it('goes on from seconds since 1970 when the data directory was lost (T-34)', async () => {
    const [service] = await publishing(1);
    const before = await service.store.current(completeCrl(service.served.tag));
    await service.close();
    rmSync(service.dir, { recursive: true });
    service.clock.step(HOUR);
    await service.open();
    await service.publisher.start();
    await service.clock.advance(0);
    const after = await service.store.current(completeCrl(service.served.tag));
    assert.ok(before !== undefined && after !== undefined && after.number > before.number);
    assert.equal(after.number, BigInt((START + HOUR) / SECOND));
  });

  it('publishes nothing while the clock is behind the last CRL, and says so', async () => {
    const [service, [serial]] = (await publishing(1)) as [TestService, [Serial]];
    const [before] = await crls(service);
    service.clock.step(-HOUR);
    await service.revoke([serial]);
    await assert.rejects(
      service.publisher.publishNow(),
      (error) => error instanceof Problem && error.code === 'refused',
    );
    assert.equal(failures(service), 1);
    await service.clock.advance(30 * MINUTE);
    assert.deepEqual(await crls(service), [before]);
    assert.ok(service.publisher.oldestUnlisted !== undefined, 'the gauge goes on counting');
    await service.clock.advance(30 * MINUTE + coalesceMs);
    const [, after] = (await crls(service)) as [CrlRecord, CrlRecord];
    assert.ok(after.number > (before?.number ?? 0n) && after.thisUpdate > START);
    assert.deepEqual(await current(service), new Set([serial]));
  });

  it('publishes nothing when another publisher was first, then goes on from there', async () => {
    const [service] = await publishing(1);
    const { store, served } = service;
    const other = await store.current(completeCrl(served.tag));
    assert.ok(other !== undefined);
    const der = await store.body(other);
    service.interfere.publishCrl = async (real, record, body, previous) => {
      delete service.interfere.publishCrl;
      const won = {
        ...other,
        number: record.number + 1n,
        thisUpdate: record.thisUpdate,
        scheduledAt: record.thisUpdate,
      };
      const quicker = await store.draftCrl(won);
      await quicker.write(der);
      assert.equal(await real(won, quicker, previous), true);
      return real(record, body, previous);
    };
    await service.clock.advance(periodMs);
    assert.equal(failures(service), 1);
    await service.clock.advance(periodMs + MINUTE);
    const numbers = (await crls(service)).map(({ number }) => number);
    assert.equal(numbers.length, 3);
    assert.ok((numbers[2] as bigint) > (numbers[1] as bigint));
    assert.equal(failures(service), 1);
  });
});

describe('CrlPublisher: what leaves', () => {
  it('keeps an entry until one scheduled CRL after the end of its certificate (C-22, RFC 5280 §3.3)', async () => {
    const service = await open();
    const [before, exactly, after, forcing] = serials(4) as [Serial, Serial, Serial, Serial];
    // The schedule of the day: a CRL at START + n * period.
    const third = START + 3 * periodMs;
    await service.issue([before], third - SECOND);
    await service.issue([exactly], third);
    await service.issue([after], third + SECOND);
    await service.issue([forcing]);
    await service.publisher.start();
    await service.clock.advance(0);
    await service.revoke([before, exactly, after]);
    await service.clock.advance(3 * periodMs);
    assert.equal((await crls(service)).at(-1)?.thisUpdate, third);
    assert.deepEqual(await current(service), new Set([before, exactly, after]), 'expired, but this is its last CRL');
    // A CRL in between, after a revocation or by hand, is not regularly scheduled.
    await service.revoke([forcing]);
    await service.clock.advance(coalesceMs);
    assert.equal((await crls(service)).at(-1)?.kind, 'revocation');
    assert.deepEqual(await current(service), new Set([exactly, after, forcing]));
    await service.clock.advance(MINUTE);
    await service.publisher.publishNow();
    await service.clock.advance(MINUTE);
    await service.publisher.publishNow();
    assert.deepEqual(await current(service), new Set([exactly, after, forcing]), 'by hand, twice');
    await service.clock.advance(periodMs - coalesceMs - 2 * MINUTE);
    assert.equal((await crls(service)).at(-1)?.thisUpdate, START + 4 * periodMs);
    assert.deepEqual(
      await current(service),
      new Set([exactly, after, forcing]),
      'the first scheduled one after both ends',
    );
    await service.clock.advance(periodMs);
    assert.deepEqual(await current(service), new Set([forcing]));
    assert.equal(failures(service), 0);
  });

  it('drops a hold that was released, under a profile that permits holds, and under no other (T-29)', async () => {
    const authorities = ['rfc'] as const; // B-06: no holds for TLS
    const profile = { ...PROFILE, authorities, reasons: { ...PROFILE.reasons, hold: 'allow' as const } };
    const [service, [held, revoked]] = (await publishing(2, [makeIssuer({ profile })])) as [
      TestService,
      [Serial, Serial],
    ];
    await service.revoke([held], 'certificateHold');
    await service.revoke([revoked], 'superseded');
    await service.clock.advance(coalesceMs);
    assert.deepEqual(await current(service), new Set([held, revoked]));
    await service.revoke([held], 'removeFromCRL');
    await service.clock.advance(coalesceMs);
    assert.deepEqual(await current(service), new Set([revoked]));
    await assert.rejects(service.revoke([revoked], 'removeFromCRL'));
  });
});
