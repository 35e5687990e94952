import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../../src/adapters/embedded/store.ts';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import type { Certificate, IssuerTag } from '../../src/core/certificate.ts';
import type { ImportRow } from '../../src/core/import/row.ts';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import type { ReasonName } from '../../src/core/reason.ts';
import type { Serial } from '../../src/core/serial.ts';
import { COMPLETE_ONLY } from '../../src/core/crl/shards.ts';
import { issue, revoke, type Issuance } from '../../src/core/status.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import type { ServedIssuer } from '../../src/flows/issuer-setup.ts';
import { Recorder, type Receipt } from '../../src/flows/record.ts';
import type { Journal } from '../../src/ports/journal.ts';
import { NOW, PROFILE } from '../core/sample-pki.ts';
import { TurnedClock } from './clock.ts';
import { FaultPlan, faultyJournal, faultyLedger, type Fault } from './faults.ts';

const root = mkdtempSync(join(tmpdir(), 'record-'));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const newDir = (): string => join(root, String(++directories));

const TAG = 'a1b2c3d4' as IssuerTag;
const AT = { id: 'ev', tag: TAG, profile: PROFILE, crls: COMPLETE_ONLY } as ServedIssuer;
const serialOf = (n: number): Serial => `4f${n.toString(16).padStart(4, '0')}` as Serial;
const issuance = (n: number, change: Partial<Issuance> = {}): Issuance => ({
  serial: serialOf(n),
  notBefore: NOW - DAY,
  notAfter: NOW + 90 * DAY,
  precertificate: false,
  crlShard: undefined,
  withoutOcsp: false,
  spkiHash: undefined,
  ...change,
});
const revocation = (n: number, reason?: ReasonName, revokedAt?: number) => ({ serial: serialOf(n), reason, revokedAt });

interface Running {
  readonly dir: string;
  readonly clock: TurnedClock;
  readonly store: EmbeddedStore;
  readonly journal: FileJournal;
  readonly recorder: Recorder;
  readonly recovered: number;
  stop(): Promise<void>;
}

async function start(dir = newDir(), plan = new FaultPlan(0, 'lost')): Promise<Running> {
  const clock = new TurnedClock(NOW);
  const store = await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl')));
  const journal = await FileJournal.open(join(dir, 'audit'), clock);
  const stop = async (): Promise<void> => {
    await journal.close();
    await store.close();
  };
  try {
    const recovered = await new Recorder(store, journal, clock).recover();
    const recorder = new Recorder(faultyLedger(store, plan), faultyJournal(journal, plan), clock);
    return { dir, clock, store, journal, recorder, recovered, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function records(journal: FileJournal): Promise<JournalRecord[]> {
  const list: JournalRecord[] = [];
  for await (const record of journal.read(0)) list.push(record);
  return list;
}

async function ledger(store: EmbeddedStore): Promise<Certificate[]> {
  const list: Certificate[] = [];
  for await (const page of store.certificates(TAG)) list.push(...page);
  return list;
}

const problem = (code: Problem['code'], field: string) => (error: unknown) => {
  assert.ok(error instanceof Problem, String(error));
  assert.deepEqual([error.code, error.field], [code, field]);
  return true;
};

describe('Recorder: one request', () => {
  it('is journalled as one record, applied, and acknowledged with its revisions', async () => {
    const { recorder, journal, store, stop } = await start();
    assert.deepEqual(await recorder.issue(AT, [issuance(1), issuance(2)], 'CN=ra'), [
      { id: 'ev.4f0001.1', serial: serialOf(1), revision: 1 },
      { id: 'ev.4f0002.1', serial: serialOf(2), revision: 1 },
    ]);
    const about = { clause: '4.9.1.1-3', requestedBy: 'subscriber' };
    const event = { ...revocation(1, 'keyCompromise', NOW - SECOND), about };
    assert.deepEqual(await recorder.revoke(AT, [event], 'CN=ra'), [
      { id: 'ev.4f0001.2', serial: serialOf(1), revision: 2 },
    ]);
    const [first, second] = await records(journal);
    assert.deepEqual(
      [first?.type, first?.actor, first?.issuer, first?.issuerTag],
      ['certificates.issued', 'CN=ra', 'ev', TAG],
    );
    assert.deepEqual(
      first?.changes?.map(({ serial, lane }) => [serial, lane]),
      [
        [serialOf(1), 'issue'],
        [serialOf(2), 'issue'],
      ],
    );
    assert.deepEqual(second?.detail, { cases: [{ serial: serialOf(1), ...about }] });
    assert.deepEqual(
      second?.changes?.map(({ revokedAt, reason, lane }) => [revokedAt, reason, lane]),
      [['2026-11-20T07:59:59Z', 'keyCompromise', 'revocation']],
    );
    assert.equal(await store.appliedSeq(), 2);
    assert.deepEqual([store.backlog('issue', NOW), store.backlog('revocation', NOW)], [2, 1]);
    await stop();
  });

  it('is taken whole or not at all, and the Problem points to the item', async () => {
    const { recorder, journal, store, stop } = await start();
    await recorder.issue(AT, [issuance(1)], 'ra');
    const whole: readonly (readonly [() => Promise<unknown>, Problem['code'], string])[] = [
      [
        () => recorder.issue(AT, [issuance(2), issuance(1, { notAfter: NOW })], 'ra'),
        'conflict',
        '/certificates/1/notAfter',
      ],
      [() => recorder.issue(AT, [issuance(2), issuance(2)], 'ra'), 'invalid', '/certificates/1/serial'],
      [
        () => recorder.issue(AT, [issuance(2), issuance(3, { notBefore: -1e12 })], 'ra'),
        'invalid',
        '/certificates/1/notBefore',
      ],
      [() => recorder.revoke(AT, [revocation(1), revocation(9)], 'ra'), 'not-found', '/revocations/1/serial'],
      [() => recorder.revoke(AT, [revocation(1), revocation(1)], 'ra'), 'invalid', '/revocations/1/serial'],
      [() => recorder.revoke(AT, [revocation(1, 'certificateHold')], 'ra'), 'refused', '/revocations/0/reason'],
      [() => recorder.revoke(AT, [revocation(1, undefined, NOW + DAY)], 'ra'), 'refused', '/revocations/0/revokedAt'],
    ];
    for (const [run, code, field] of whole) await assert.rejects(run, problem(code, field));
    assert.equal(journal.head.seq, 1);
    assert.deepEqual(
      (await ledger(store)).map(({ serial, revision }) => [serial, revision]),
      [[serialOf(1), 1]],
    );
    await stop();
  });

  it('changes nothing when it is sent again, and has the same receipts', async () => {
    const { recorder, journal, clock, stop } = await start();
    const sent = [
      () => recorder.issue(AT, [issuance(1), issuance(2)], 'ra'),
      () => recorder.revoke(AT, [revocation(1, 'superseded')], 'ra'),
      () => recorder.revoke(AT, [revocation(2, 'unspecified', NOW)], 'ra'),
    ];
    const receipts: (readonly Receipt[])[] = [];
    for (const send of sent) receipts.push(await send());
    clock.turn(DAY);
    for (const [i, send] of sent.slice(1).entries()) assert.deepEqual(await send(), receipts[i + 1]);
    assert.deepEqual(
      (await (sent[0] as () => Promise<readonly Receipt[]>)()).map(({ revision }) => revision),
      [2, 2],
    );
    assert.deepEqual(await recorder.issue(AT, [], 'ra'), []);
    assert.equal(journal.head.seq, 3);
    await stop();
  });
});

describe('Recorder: requests at the same time', () => {
  it('are decided in the order in which they came, those on one certificate included (P2)', async () => {
    const request = fc.oneof(
      fc.record({
        kind: fc.constant('issue' as const),
        ns: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 3 }),
        end: fc.constantFrom(80, 90),
      }),
      fc.record({
        kind: fc.constant('revoke' as const),
        ns: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 3 }),
        reason: fc.constantFrom<ReasonName | undefined>(undefined, 'superseded', 'keyCompromise', 'removeFromCRL'),
        revokedAt: fc.constantFrom(undefined, NOW - SECOND, NOW),
      }),
    );
    const seen = new Set<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 20, maxLength: 60, size: 'max' }), async (requests) => {
        const { recorder, journal, store, stop } = await start();
        const state = new Map<Serial, Certificate>();
        const expected = requests.map((each) => {
          const next = new Map(state);
          try {
            const revisions = each.ns.map((n) => {
              const current = state.get(serialOf(n));
              const { certificate } =
                each.kind === 'issue'
                  ? issue(TAG, current, issuance(n, { notAfter: NOW + each.end * DAY }), NOW)
                  : revoke(PROFILE, current, revocation(n, each.reason, each.revokedAt), NOW);
              if (certificate) next.set(certificate.serial, certificate);
              return next.get(serialOf(n))?.revision;
            });
            for (const [serial, certificate] of next) state.set(serial, certificate);
            return revisions;
          } catch (error) {
            return (error as Problem).code;
          }
        });
        const outcomes = await Promise.allSettled(
          requests.map((each) =>
            each.kind === 'issue'
              ? recorder.issue(
                  AT,
                  each.ns.map((n) => issuance(n, { notAfter: NOW + each.end * DAY })),
                  'ra',
                )
              : recorder.revoke(
                  AT,
                  each.ns.map((n) => revocation(n, each.reason, each.revokedAt)),
                  'ra',
                ),
          ),
        );
        const actual = outcomes.map((outcome) =>
          outcome.status === 'fulfilled'
            ? outcome.value.map(({ revision }) => revision)
            : (outcome.reason as Problem).code,
        );
        assert.deepEqual(actual, expected);
        for (const each of actual) seen.add(typeof each === 'string' ? each : Math.max(...each));
        const status = (certificate: Certificate): unknown => ({ ...certificate, recordedSeq: 0 });
        const sorted = [...state.values()].sort((a, b) => (a.serial < b.serial ? -1 : 1));
        assert.deepEqual((await ledger(store)).map(status), sorted.map(status));
        assert.equal(await store.appliedSeq(), journal.head.seq);
        await stop();
      }),
      { numRuns: 25, seed: 20261121 },
    );
    for (const each of [1, 2, 3, 'conflict', 'not-found', 'refused']) assert.ok(seen.has(each), `never saw ${each}`);
  });

  it('share an fsync', async () => {
    const plan = new FaultPlan(0, 'lost');
    const { recorder, stop } = await start(newDir(), plan);
    await Promise.all(Array.from({ length: 100 }, (_, n) => recorder.issue(AT, [issuance(n)], 'ra')));
    assert.equal(plan.calls.filter((call) => call === 'append').length, 1);
    await recorder.idle();
    await stop();
  });

  it('are taken at whatever moment the one before ends', async () => {
    const { recorder, stop } = await start();
    for (let ticks = 0; ticks < 14; ticks++) {
      await recorder.issue(AT, [issuance(2 * ticks)], 'ra');
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      const second = recorder.issue(AT, [issuance(2 * ticks + 1)], 'ra').then(() => 'recorded');
      const outcome = await Promise.race([second, delay(2000, 'forgotten', { ref: false })]);
      assert.equal(outcome, 'recorded', `${ticks} ticks after the first`);
    }
    await stop();
  });
});

describe('Recorder: shards', () => {
  const sharded = (count: number): ServedIssuer => ({
    ...AT,
    crls: { ...COMPLETE_ONLY, shards: { count, highest: 9, url: 'http://crl.test/{shard}' }, caUrl: undefined },
  });
  const shardsOf = async (issued: readonly number[], store: EmbeddedStore): Promise<unknown[]> =>
    (await store.find(TAG, issued.map(serialOf))).map((certificate) => certificate?.crlShard); // prettier-ignore

  it('journals the name, which a replay keeps whatever the layout is then, and sending again changes nothing', async () => {
    const { recorder, store, journal, stop } = await start();
    const events = [
      issuance(1),
      issuance(2, { crlShard: 'http://crl.test/7' }),
      issuance(3, { crlUrls: ['http://crl.test/8'] }),
    ];
    await recorder.issue(sharded(4), events, 'ra');
    const before = await shardsOf([1, 2, 3], store);
    assert.deepEqual(before.slice(1), ['7', '8']);
    assert.match(String(before[0]), /^[1-4]$/);
    const records = [];
    for await (const record of journal.read(0)) records.push(...(record.changes ?? []));
    assert.deepEqual(
      records.map(({ crlShard }) => crlShard),
      before,
    );
    const head = journal.head.seq;
    for (const count of [1, 2, 9]) await recorder.issue(sharded(count), events, 'ra');
    assert.equal(journal.head.seq, head);
    assert.deepEqual(await shardsOf([1, 2, 3], store), before);
    await stop();
  });

  it('refuses a whole request for one that names no CRL of the issuer, and says which', async () => {
    const { recorder, store, stop } = await start();
    await assert.rejects(recorder.issue(sharded(4), [issuance(1), issuance(2, { crlShard: '10' })], 'ra'), {
      code: 'refused',
      field: '/certificates/1/crlShard',
      value: '10',
    });
    assert.deepEqual(await store.find(TAG, [serialOf(1)]), [undefined]);
    await stop();
  });

  it('lets what is known from a CRL alone wait on the complete CRL, and gives it a shard with the certificate', async () => {
    const { recorder, store, stop } = await start();
    const row = {
      ...issuance(1),
      notBefore: undefined,
      notAfter: undefined,
      line: 1,
      revocation: { revokedAt: NOW, reason: undefined },
    };
    await recorder.import(
      sharded(4),
      [row, { ...row, serial: serialOf(2), crlShard: 'http://crl.test/5' }],
      'ra',
      'crl',
    );
    assert.deepEqual(await shardsOf([1, 2], store), [undefined, '5']);
    await recorder.issue(sharded(4), [issuance(1, { crlUrls: ['http://crl.test/6'] }), issuance(2)], 'ra');
    assert.deepEqual(await shardsOf([1, 2], store), ['6', '5']);
    const listed: string[] = [];
    for await (const page of store.revokedEntries({ issuer: TAG, shard: '6' }).pages)
      listed.push(...page.map(({ serial }) => serial));
    assert.deepEqual(listed, [serialOf(1)], 'its revocation is on the CRL of its shard from then on');
    await stop();
  });
});

describe('Recorder: import', () => {
  const row = (line: number, n: number, change: Partial<ImportRow> = {}): ImportRow => ({
    line,
    ...issuance(n),
    revocation: undefined,
    ...change,
  });
  const superseded = { revokedAt: NOW - DAY, reason: 'superseded' } as const;

  it('takes the good rows, gives the bad ones back with their lines, and changes nothing when repeated', async () => {
    const { recorder, store, journal, stop } = await start();
    const rows = [
      row(1, 1),
      row(2, 2, { revocation: superseded }),
      row(3, 1, { notAfter: NOW }),
      row(4, 3, { revocation: { revokedAt: NOW, reason: 'cACompromise' } }),
      // From a CRL alone: its end is not known, so it never leaves the CRL (CT-4.10.1).
      row(5, 4, { notBefore: undefined, notAfter: undefined, revocation: superseded }),
      row(6, 5, { revocation: { revokedAt: -1e12, reason: undefined } }),
      row(7, 1),
      row(8, 6, { notBefore: -1e12, notAfter: undefined, revocation: superseded }),
      // It would stand on no CRL that passes the gate: so none would be published any more.
      row(9, 7, { serial: '00' as Serial, notAfter: undefined, revocation: superseded }),
    ];
    const outcome = await recorder.import(AT, rows, 'operator', 'index.txt');
    assert.deepEqual([outcome.accepted, outcome.unchanged], [3, 1]);
    assert.deepEqual(
      outcome.rejected.map(({ line, problem }) => [line, problem.code, problem.field]),
      [
        [3, 'conflict', '/notAfter'],
        [4, 'refused', '/reason'],
        [6, 'invalid', '/revokedAt'],
        [8, 'invalid', '/notBefore'],
        [9, 'invalid', '/serial'],
      ],
    );
    const state = (await ledger(store)).map(({ serial, revision, notAfter, revocation }) => [
      serial,
      revision,
      notAfter,
      revocation?.reason,
    ]);
    assert.deepEqual(state, [
      [serialOf(1), 1, NOW + 90 * DAY, undefined],
      [serialOf(2), 1, NOW + 90 * DAY, 'superseded'],
      [serialOf(4), 1, undefined, 'superseded'],
    ]);
    assert.deepEqual([store.backlog('refresh', NOW), store.backlog('revocation', NOW)], [3, 0]);
    const [record] = await records(journal);
    assert.deepEqual(
      [record?.type, record?.description],
      ['certificates.imported', '3 certificates imported from index.txt'],
    );
    const again = await recorder.import(AT, rows, 'operator', 'index.txt');
    assert.deepEqual([again.accepted, again.unchanged, again.rejected.length], [0, 4, 5]);
    assert.equal(journal.head.seq, 1);
    await stop();
  });

  it('hurries where an answer may be out that is not right any more', async () => {
    const { recorder, store, stop } = await start();
    await recorder.issue(AT, [issuance(1), issuance(2)], 'ra');
    const outcome = await recorder.import(AT, [row(1, 1, { revocation: superseded }), row(2, 2)], 'operator', 'a CRL');
    assert.deepEqual([outcome.accepted, outcome.unchanged], [1, 1]);
    assert.deepEqual([store.backlog('refresh', NOW), store.backlog('revocation', NOW)], [0, 1]);
    assert.equal((await ledger(store))[0]?.revision, 2);
    await stop();
  });
});

/**
 * A busy life in seven requests, sent `attempts` times at most; `acknowledged` is told each receipt, and `goOn` is asked
 * after each group.
 */
async function life(
  recorder: Recorder,
  attempts: 1 | 2,
  acknowledged: (receipt: Receipt) => void,
  goOn: () => Promise<boolean>,
): Promise<void> {
  const requests: (readonly (() => Promise<readonly Receipt[]>)[])[] = [
    [() => recorder.issue(AT, [issuance(1), issuance(2)], 'ra')],
    [
      () => recorder.issue(AT, [issuance(3)], 'ra'),
      () => recorder.revoke(AT, [revocation(1, 'superseded', NOW - SECOND)], 'ra'),
    ],
    [
      () => recorder.revoke(AT, [revocation(2, 'superseded', NOW)], 'ra'),
      () => recorder.revoke(AT, [revocation(2, 'keyCompromise', NOW - SECOND)], 'ra'),
    ],
    [
      async () => {
        const rows = [{ line: 1, ...issuance(4), revocation: { revokedAt: NOW, reason: undefined } }];
        await recorder.import(AT, rows, 'operator', 'csv');
        return [{ id: 'ev.4f0004.1', serial: serialOf(4), revision: 1 }];
      },
    ],
    [() => recorder.revoke(AT, [revocation(3, 'cessationOfOperation', NOW)], 'ra')],
  ];
  for (const group of requests) {
    for (let attempt = 0, failed = group; attempt < attempts && failed.length > 0; attempt++) {
      const outcomes = await Promise.allSettled(failed.map((send) => send()));
      outcomes.forEach((outcome) => outcome.status === 'fulfilled' && outcome.value.forEach(acknowledged));
      failed = failed.filter((_, i) => outcomes[i]?.status === 'rejected');
      if (!(await goOn())) return;
    }
  }
}

describe('Recorder: faults at every call in turn (P1)', () => {
  async function holds(store: EmbeddedStore, receipts: readonly Receipt[]): Promise<void> {
    for (const { serial, revision } of receipts) {
      const [found] = await store.find(TAG, [serial]);
      assert.ok(found && found.revision >= revision, `${serial} at ${revision}, found ${found?.revision}`);
    }
  }

  async function run(
    at: number,
    fault: Fault,
    attempts: 1 | 2,
  ): Promise<{ calls: string[]; failed: string | undefined }> {
    const plan = new FaultPlan(at, fault);
    const { dir, recorder, store, journal, stop } = await start(newDir(), plan);
    const receipts: Receipt[] = [];
    // A journal that kept what it says it lost breaks its contract (ports/journal.ts), unless the process ends there.
    const ended = (): boolean => plan.failed === 'append' && fault === 'kept';
    await life(
      recorder,
      attempts,
      (receipt) => void receipts.push(receipt),
      async () => {
        await holds(store, receipts);
        assert.ok((await store.appliedSeq()) <= journal.head.seq, 'the ledger is never ahead');
        return !ended();
      },
    );
    if (!ended() && attempts === 2) {
      assert.equal(new Set(receipts.map(({ serial }) => serial)).size, 4, 'what failed was taken the second time');
      assert.equal(await store.appliedSeq(), journal.head.seq);
    }
    await stop();

    const again = await start(dir);
    await holds(again.store, receipts);
    const state = await ledger(again.store);
    assert.equal(
      await new Recorder(again.store, again.journal, again.clock).recover(),
      0,
      'nothing is left to recover',
    );
    assert.deepEqual(await ledger(again.store), state);
    assert.deepEqual(state, await derived(again.journal, again.clock), 'the ledger is what the journal says');
    await again.stop();
    rmSync(dir, { recursive: true });
    return plan;
  }

  /** The ledger that the whole journal makes of an empty one. */
  async function derived(journal: FileJournal, clock: TurnedClock): Promise<Certificate[]> {
    const dir = newDir();
    const store = await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl')));
    await new Recorder(store, journal, clock).recover();
    const list = await ledger(store);
    await store.close();
    return list;
  }

  for (const fault of ['lost', 'kept'] as const) {
    for (const attempts of [1, 2] as const) {
      it(`each ${fault}, requests sent ${attempts === 1 ? 'once' : 'again when they fail'}`, async () => {
        const { calls } = await run(0, fault, attempts);
        assert.ok(calls.length >= 15 && new Set(calls).size === 4, calls.join(' '));
        for (let at = 1; at <= calls.length; at++) {
          const { failed } = await run(at, fault, attempts);
          assert.equal(failed, calls[at - 1]);
        }
      });
    }
  }

  it('a process that ends right after a journal record was kept and before anybody heard of it', async () => {
    // After appliedSeq and find.
    const plan = new FaultPlan(3, 'kept');
    const { dir, recorder, stop } = await start(newDir(), plan);
    await assert.rejects(recorder.issue(AT, [issuance(1)], 'ra'), { code: 'unavailable' });
    assert.equal(plan.failed, 'append');
    await stop();
    const again = await start(dir);
    assert.equal(again.recovered, 1);
    assert.deepEqual(await again.recorder.issue(AT, [issuance(1)], 'ra'), [
      { id: 'ev.4f0001.1', serial: serialOf(1), revision: 1 },
    ]);
    assert.equal(again.journal.head.seq, 1);
    assert.equal(again.store.backlog('issue', NOW), 1, 'and it is signed');
    await again.stop();
  });
});

describe('Recorder: start', () => {
  it('does not count what changes no certificate, and need not read it twice', async () => {
    const { dir, recorder, journal, stop } = await start();
    await recorder.issue(AT, [issuance(1)], 'ra');
    await journal.append([{ type: 'service.stopped', actor: 'service', description: 'stopped' }]);
    await stop();
    const again = await start(dir);
    assert.equal(again.recovered, 0, 'a clean stop is none to warn of');
    assert.equal(await again.store.appliedSeq(), 2);
    await again.stop();
  });

  it('reads nothing again that came before a checkpoint, however it was stopped', async () => {
    const { dir, clock, recorder, journal, store } = await start();
    await recorder.issue(AT, [issuance(1)], 'ra');
    for (const n of [1, 2, 3])
      await journal.append([{ type: 'ocsp.signed', actor: 'signer', description: `batch ${n}` }]);
    assert.equal(await store.appliedSeq(), 1);
    await recorder.checkpoint();
    assert.equal(await store.appliedSeq(), 4);
    // Killed here: the recorder is not closed.
    await store.close();
    await journal.close();
    const again = await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl')));
    const reopened = await FileJournal.open(join(dir, 'audit'), clock);
    const unread: Journal = {
      head: reopened.head,
      failure: undefined,
      owe: (entries) => reopened.owe(entries),
      append: (entries) => reopened.append(entries),
      read: () => assert.fail('nothing is missing'),
      close: () => reopened.close(),
    };
    const next = new Recorder(again, unread, clock);
    assert.equal(await next.recover(), 0);
    await reopened.close();
    await again.close();
  });

  it('makes no checkpoint over what is journalled and not in the ledger', async () => {
    // appliedSeq, find, append, apply: the record is in the journal, and the ledger does not have it.
    const { dir, recorder, store, journal, stop } = await start(newDir(), new FaultPlan(4, 'lost'));
    await assert.rejects(recorder.issue(AT, [issuance(1)], 'ra'), { code: 'unavailable' });
    assert.equal(journal.head.seq, 1);
    await recorder.checkpoint();
    assert.equal(await store.appliedSeq(), 0);
    await stop();
    const again = await start(dir);
    assert.equal(again.recovered, 1);
    assert.equal((await again.store.find(TAG, [serialOf(1)]))[0]?.revision, 1);
    await again.stop();
  });

  it('refuses a ledger that is ahead of its journal', async () => {
    const { dir, recorder, stop } = await start();
    for (const n of [1, 2, 3]) await recorder.issue(AT, [issuance(n)], 'ra');
    await stop();
    const file = join(dir, 'audit', '000000000001.ndjson');
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, `${lines.slice(0, 2).join('\n')}\n`);
    await assert.rejects(start(dir), {
      code: 'corrupt',
      message: /^the ledger has applied record 3, but the journal ends at record 2: records are missing; put .* back/,
    });
    // Nothing was changed by the refusal: with the record back, it starts.
    writeFileSync(file, lines.join('\n'));
    await (await start(dir)).stop();
  });

  it('recovers from a copy of the data directory taken at any moment', { timeout: 60_000 }, async () => {
    const { dir, recorder, stop } = await start();
    const receipts: Receipt[] = [];
    const copies: { dir: string; receipts: readonly Receipt[] }[] = [];
    let going = true;
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let n = worker; going; n += 8) {
        receipts.push(...(await recorder.issue(AT, [issuance(n)], 'ra')));
        receipts.push(...(await recorder.revoke(AT, [revocation(n, 'superseded')], 'ra')));
      }
    });
    for (let i = 0; i < 12; i++) {
      await delay(3 + ((i * 7) % 20));
      const copy = newDir();
      copies.push({ dir: copy, receipts: [...receipts] });
      // The ledger first: what it has applied was in the journal before.
      cpSync(join(dir, 'store'), join(copy, 'store'), { recursive: true });
      cpSync(join(dir, 'audit'), join(copy, 'audit'), { recursive: true });
    }
    going = false;
    await Promise.all(load);
    await stop();
    for (const copy of copies) {
      const { store, journal, stop: stopCopy } = await start(copy.dir);
      const found = await store.find(
        TAG,
        copy.receipts.map(({ serial }) => serial),
      );
      copy.receipts.forEach(({ revision, serial }, i) => assert.ok((found[i]?.revision ?? 0) >= revision, serial));
      assert.equal(await store.appliedSeq(), journal.head.seq);
      const due = await store.takeDue('revocation', NOW, 1e6);
      assert.equal(due.length, (await ledger(store)).filter((each) => each.revocation !== undefined).length);
      await stopCopy();
    }
    assert.ok((copies.at(-1)?.receipts.length ?? 0) > 50 && readdirSync(root).length > 0);
  });
});
