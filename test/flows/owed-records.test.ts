/** The audit log fails after a signature and before its record: the record is made up for, before anything else is signed (P8). */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import type { Serial } from '../../src/core/serial.ts';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { settled } from './support-clock.ts';
import { getPath, requestFor } from './support-client.ts';
import type { TestKeyHolder } from './support-key-holder.ts';
import { makeIssuer, question, serials, sha256, TestService } from './support-service.ts';

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

/** SHA-256 of each signature that the key makes from now on. */
function signaturesOf(holder: TestKeyHolder): string[] {
  const made: string[] = [];
  const sign = holder.sign.bind(holder);
  holder.sign = async (tbs) => {
    const results = await sign(tbs);
    for (const result of results) if (result.ok) made.push(sha256(result.signature));
    return results;
  };
  return made;
}

async function recordsOf(service: TestService, ...types: readonly string[]): Promise<readonly JournalRecord[]> {
  const found: JournalRecord[] = [];
  for await (const record of service.journal.read(0)) if (types.includes(record.type)) found.push(record);
  return found;
}

/** Of each row of signatures that nobody got, the digests. */
const refusedDigests = (records: readonly JournalRecord[]): readonly unknown[] =>
  records.flatMap(({ detail }) =>
    (detail?.['signed'] as readonly (readonly unknown[])[]).flatMap((row) => row.slice(4)),
  );

describe('signatures that were made when the audit log failed', () => {
  it('of OCSP answers are in it before the next ones, as not published', async () => {
    const service = await open();
    service.signer.start();
    const made = signaturesOf(service.holder);
    const release = service.holder.hang();
    const issued = serials(3);
    await service.issue(issued);
    await settled();
    service.journal.broken = 'ENOSPC';
    release();
    await settled();
    assert.deepEqual(service.publicationOrder, []);
    const unrecorded = made.slice();
    assert.equal(unrecorded.length, 2 * issued.length);
    await service.clock.advance(MINUTE);
    assert.equal(made.length, unrecorded.length, 'nothing is signed meanwhile');
    service.journal.broken = undefined;
    await service.clock.advance(10 * SECOND);
    assert.deepEqual(new Set(service.publicationOrder), new Set(issued));
    const records = await recordsOf(service, 'ocsp.refused', 'ocsp.signed');
    assert.deepEqual(
      records.map(({ type }) => type),
      ['ocsp.refused', 'ocsp.signed'],
    );
    assert.deepEqual(new Set(refusedDigests(records.slice(0, 1))), new Set(unrecorded));
    // When they were made, beside when it was written.
    assert.ok(Date.parse(records[0]?.eventAt ?? '') < Date.parse(records[0]?.at ?? ''));
  });

  it('of answers to a nonce are in it when anything is recorded again', async () => {
    const live = { perSecond: 10, waiting: 10 };
    const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, nonce: 'live' as const, live } };
    const service = await open([makeIssuer({ profile })]);
    service.signer.start();
    const [serial, other] = serials(2) as [Serial, Serial];
    await service.issue([serial]);
    await settled();
    const made = signaturesOf(service.holder);
    service.journal.broken = 'ENOSPC';
    await service.answer(question(getPath(requestFor(service.at.caDer, serial, 'sha1', Buffer.alloc(32, 1)))));
    assert.equal(made.length, 1);
    service.journal.broken = undefined;
    await service.issue([other]);
    assert.deepEqual(refusedDigests(await recordsOf(service, 'ocsp.refused')), made);
  });

  it('of a CRL is in it under the number that nobody got', async () => {
    const service = await open();
    const [serial] = serials(1) as [Serial];
    await service.issue([serial]);
    const made = signaturesOf(service.at.crlHolder);
    await service.publisher.start();
    await service.clock.advance(0);
    service.journal.before = (entries) => {
      if (entries.some(({ type }) => type.startsWith('crl.'))) service.journal.broken = 'EIO';
    };
    await service.revoke([serial]);
    await service.clock.advance(HOUR);
    const signed = made.length;
    assert.equal(signed, 2, 'the first, and one that could not be recorded');
    service.journal.before = undefined;
    service.journal.broken = undefined;
    await service.clock.advance(HOUR);
    const records = await recordsOf(service, 'crl.published', 'crl.refused');
    assert.equal(records.length, made.length, 'one record for each signature');
    assert.deepEqual(records.map(({ type }) => type).slice(0, 3), ['crl.published', 'crl.refused', 'crl.published']);
    const numbers = records.map(({ detail }) => detail?.['number']);
    assert.equal(new Set(numbers).size, numbers.length);
  });
});
