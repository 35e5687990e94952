/** What is read out of logs: the same whether in one log or several, in one reading or many; and what of each record counts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Evidence } from '../../src/core/compliance/evidence.ts';
import { partOf, SerialTable } from '../../src/core/compliance/serial-table.ts';
import { GENESIS_HASH, sealRecord, type JournalEntry, type JournalRecord } from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND, type EpochMs } from '../../src/core/time.ts';
import { collectEvidence, type LogSource } from '../../src/flows/compliance/collect-evidence.ts';

const START = Date.UTC(2026, 10, 20);
const LIMITS = { ageMs: 4 * DAY, remainingMs: 8 * HOUR };
const SUBJECT = { issuer: 'g4', from: START, to: START + 10 * DAY, limits: LIMITS, oneCount: true };
const ISSUER = { actor: 'test', issuer: 'g4', issuerTag: '00000000', description: '' };

type Told = readonly [at: EpochMs, entry: JournalEntry];

const issued = (at: EpochMs, serial: string, notAfter = START + 90 * DAY): Told => [
  at,
  { ...ISSUER, type: 'certificates.issued', changes: [{ serial, revision: 1, notAfter: rfc3339(notAfter) }] },
];
const signed = (at: EpochMs, serial: string, forMs = 4 * DAY, revision = 1): Told => [
  at,
  {
    ...ISSUER,
    type: 'ocsp.signed',
    detail: {
      responder: 'aa',
      responses: [[serial, revision, 'good', rfc3339(at), rfc3339(at + forMs - SECOND), '', '']],
    },
  },
];
const revoked = (at: EpochMs, serial: string): Told => [
  at,
  { ...ISSUER, type: 'certificates.revoked', changes: [{ serial, revision: 2, revokedAt: rfc3339(at) }] },
];
const crl = (at: EpochMs, number: number, asOfSeq: number): Told => [
  at,
  {
    ...ISSUER,
    type: 'crl.published',
    detail: { number: String(number), thisUpdate: rfc3339(at), nextUpdate: rfc3339(at + 7 * DAY - SECOND), entries: 1, bytes: 500, sha256: String(number), asOfSeq }, // prettier-ignore
  },
];

/** A log as the journal's adapter hands it over; from record `brokenAt` on it is broken. */
function log(name: string, told: readonly Told[], brokenAt = Infinity): LogSource {
  let prev = GENESIS_HASH;
  const records = told.map(([at, entry], i): JournalRecord => {
    const seq = i + 1;
    const { hash } = sealRecord(entry, seq, new Date(at).toISOString(), prev);
    const record = { ...entry, seq, at: new Date(at).toISOString(), prev, hash };
    prev = hash;
    return record;
  });
  return {
    name,
    async *read() {
      for (const record of records) {
        if (record.seq >= brokenAt) throw new Problem('corrupt', 'the record was altered', { field: name });
        yield record;
      }
    },
  };
}

function figures({ answers, revocations, crls }: Evidence): unknown {
  const found = (of: object): unknown =>
    Object.fromEntries(
      Object.entries(of).map(([name, value]: [string, unknown]) => [
        name,
        typeof value === 'object' && value !== null && 'found' in value ? value.found : value,
      ]),
    );
  return [found(answers), found(revocations), found(crls)];
}

const collect = async (told: readonly Told[], subject = SUBJECT): Promise<Evidence> =>
  (await collectEvidence(subject, [log('one', told)])).evidence;

describe('the evidence', () => {
  it('measures an answer from its thisUpdate to the record of the next', async () => {
    const { answers } = await collect([
      issued(START, '01'),
      signed(START + MINUTE, '01'),
      signed(START + DAY, '01'),
      signed(START + 9 * DAY, '01'),
    ]);
    assert.equal(answers.age.found?.value, 8 * DAY);
    assert.match(answers.age.found?.what ?? '', /^serial 01: the answer of 2026-11-21T00:00:00Z when it was replaced/);
    assert.equal(answers.tooOld, 1);
    assert.equal(answers.remaining.found?.value, -4 * DAY - SECOND);
    assert.equal(answers.gaps.found?.value, 4 * DAY + SECOND);
    assert.equal(answers.first.found?.value, MINUTE);
  });

  it('asks nothing of a certificate that has ended', async () => {
    const { answers } = await collect([issued(START, '01', START + DAY), signed(START + MINUTE, '01')]);
    assert.equal(answers.age.found?.value, DAY - MINUTE);
    assert.equal(answers.gaps.count, 0);
    assert.equal(answers.unexpired, 0);
  });

  it('counts what was before the period only as far as it reaches into it', async () => {
    const told = [issued(START - 20 * DAY, '01'), signed(START - 20 * DAY, '01'), signed(START - DAY, '01')];
    const { answers } = await collect(told, { ...SUBJECT, to: START + DAY });
    assert.equal(answers.age.found?.value, 2 * DAY);
    assert.equal(answers.gaps.count, 0, 'the gap was over before the period');
    assert.equal(answers.first.count, 0);
  });

  it('notices a certificate that never had an answer', async () => {
    const { answers } = await collect([issued(START, '01')]);
    assert.equal(answers.firstLate, 1);
    assert.match(answers.gaps.found?.what ?? '', /^serial 01: none from 2026-11-20T00:15:00Z/);
  });

  it('takes a revocation for listed by a CRL whose data has it, and by no other', async () => {
    const told = [
      issued(START, '01'),
      signed(START, '01'),
      revoked(START + HOUR, '01'),
      crl(START + 2 * HOUR, 1, 2),
      crl(START + 30 * HOUR, 2, 3),
    ];
    const { revocations } = await collect(told);
    assert.equal(revocations.toCrl.found?.value, 29 * HOUR);
    assert.equal(revocations.crlLate, 1);
    // In a shared ledger the journal's numbers mean nothing, and a CRL that was begun later has it.
    const shared = await collect(told, { ...SUBJECT, oneCount: false });
    assert.equal(shared.revocations.toCrl.found?.value, HOUR);
  });

  it('is the same in one log or in three, in one reading or in many', async () => {
    const days = fc.array(fc.tuple(fc.integer({ min: 0, max: 12 * 24 * 60 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3 })), { maxLength: 60 }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(days, async (steps) => {
        const told = steps
          .sort(([a], [b]) => a - b)
          .map(([minute, number, kind], i): Told => {
            // No two at one instant: whose record is first is the log's to say.
            const at = START + minute * MINUTE + i;
            const serial = number.toString(16).padStart(16, '0');
            if (kind === 3) return crl(at, i, i);
            return ([issued, revoked, signed] as const)[kind]!(at, serial);
          });
        const subject = { ...SUBJECT, oneCount: false };
        const whole = figures((await collectEvidence(subject, [log('one', told)])).evidence);
        const parts = await collectEvidence(subject, [log('one', told)], { partCertificates: 3 });
        assert.deepEqual(countsOf(figures(parts.evidence)), countsOf(whole));
        const three = [0, 1, 2].map((at) =>
          log(
            `log ${at}`,
            told.filter((_, i) => i % 3 === at),
          ),
        );
        assert.deepEqual(figures((await collectEvidence(subject, three)).evidence), whole);
      }),
      { numRuns: 200, seed: 20261120 },
    );
  });

  it('ends with the last good record of a log that is broken, and says so', async () => {
    const told = [issued(START, '01'), signed(START + MINUTE, '01'), signed(START + DAY, '01')];
    const { evidence, ends } = await collectEvidence(SUBJECT, [log('one', told, 3)]);
    assert.match(evidence.log.journals[0]?.broken ?? '', /altered/);
    assert.equal(evidence.to, START + MINUTE);
    assert.equal(ends[0]?.seq, 2);
    assert.equal(evidence.answers.tooOld, 0, 'what nobody knows is no finding');
  });

  it('is not touched by a break after the period', async () => {
    const told = [issued(START, '01'), signed(START + MINUTE, '01'), signed(START + 11 * DAY, '01'), crl(START + 12 * DAY, 1, 1)]; // prettier-ignore
    const { evidence } = await collectEvidence(SUBJECT, [log('one', told, 4)]);
    assert.equal(evidence.log.journals[0]?.broken, undefined);
    assert.equal(evidence.to, SUBJECT.to);
  });
});

/** Of equal worst cases another may be named when certificates come in another order. */
function countsOf(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, of: unknown) => (key === 'what' ? undefined : of)));
}

describe('SerialTable', () => {
  it('agrees with a Map', () => {
    const serial = fc.uint8Array({ minLength: 1, maxLength: 21 }).map((octets) => Buffer.from(octets).toString('hex'));
    fc.assert(
      fc.property(fc.array(serial, { maxLength: 2000 }), (list) => {
        const [table, map] = [new SerialTable(), new Map<string, number>()];
        for (const one of list) {
          if (!map.has(one)) map.set(one, map.size);
          assert.equal(table.add(one), map.get(one));
        }
        for (const [one, index] of map) {
          assert.equal(table.find(one), index);
          assert.equal(table.serial(index), one);
        }
        assert.equal(table.size, map.size);
        assert.equal(table.find('ff'.repeat(20) + '01'), map.get('ff'.repeat(20) + '01') ?? -1);
      }),
      { numRuns: 50, seed: 20261120 },
    );
  });

  it('divides serials into parts of about one size', () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 40_000; i++) counts[partOf(i.toString(16).padStart(8, '0'), 4)]! += 1;
    for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, String(counts));
  });
});
