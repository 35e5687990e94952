import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FileKeptArchive } from '../../src/adapters/crl-archive/kept-archive.ts';
import type { Certificate, CrlRecord } from '../../src/core/certificate.ts';
import type { JournalEntry } from '../../src/core/journal-record.ts';
import { LEAST_RETENTION_MS } from '../../src/core/policy/retention.ts';
import { Problem } from '../../src/core/problem.ts';
import { DAY } from '../../src/core/time.ts';
import { planPrune, prune } from '../../src/flows/archive/archive-prune.ts';
import { verifyArchive } from '../../src/flows/archive/archive-verify.ts';
import type { ArchiveCopies } from '../../src/ports/archive-copies.ts';
import type { Journal } from '../../src/ports/journal.ts';
import { NOW, PROFILE } from '../core/sample-pki.ts';
import { FakeClock } from './support-clock.ts';
import { makeIssuer, sha256 } from './support-service.ts';

const AGE = 1000 * DAY;
const { served } = makeIssuer({ profile: { ...PROFILE, archive: { retentionMs: LEAST_RETENTION_MS } } });

describe('prune', () => {
  let dir: string;
  let archive: FileKeptArchive;
  let clock: FakeClock;
  let entries: JournalEntry[];
  let removed: string[];
  let locked: boolean;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'certstatus-prune-'));
    archive = new FileKeptArchive(dir);
    clock = new FakeClock(NOW);
    [entries, removed, locked] = [[], [], false];
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  /** Archived octets need not be CRLs for this. */
  async function archived(number: bigint, nextUpdate: number): Promise<CrlRecord> {
    const der = Buffer.from(`CRL ${number}`);
    const times = { thisUpdate: nextUpdate - DAY, nextUpdate, publishedAt: nextUpdate - DAY };
    const counts = { scheduledAt: nextUpdate - DAY, scheduledAsOfSeq: 0, entries: 0, asOfSeq: 0 };
    const about = { issuer: served.tag, shard: '', number, kind: 'scheduled' as const, bytes: der.length };
    const record = { ...about, ...times, ...counts, sha256: sha256(der) };
    await archive.write(record, der);
    return record;
  }
  const ledger = (...ends: readonly number[]) => ({
    async *certificates() {
      yield ends.map((notAfter) => ({ notBefore: NOW - AGE - 10 * DAY, notAfter }) as Certificate);
    },
  });
  const parts = () => ({
    archive,
    clock,
    journal: { append: async (list: readonly JournalEntry[]) => (entries.push(...list), []) } as unknown as Journal,
    copies: {
      put: async (name: string) => void removed.push(`why ${name.split('.').slice(-2).join('.')}`),
      remove: async (name: string) => {
        if (locked) throw new Problem('refused', 'AccessDenied: object lock');
        removed.push(name.split('/').at(-1) as string);
      },
    } as unknown as ArchiveCopies,
  });

  it('lets go what nobody relies on any more, and keeps the newest, the record and the reason', async () => {
    const old = await archived(1n, NOW - AGE);
    const young = await archived(2n, NOW - DAY);
    const newest = await archived(3n, NOW - AGE);
    const plan = await planPrune(served, archive, ledger(NOW - AGE + DAY), NOW);
    assert.deepEqual(
      plan.prunable.map(({ record, since }) => [record.number, since]),
      [[1n, NOW - AGE + DAY + LEAST_RETENTION_MS]],
    );
    assert.ok(existsSync(archive.path(old)), 'a plan removes nothing');

    const report = await prune(served, plan, 'an operator', parts());
    assert.deepEqual([report.pruned, report.octets, report.kept, report.problems], [1, old.bytes, 2, []]);
    assert.deepEqual([old, young, newest].map((record) => existsSync(archive.path(record))), [false, true, true]); // prettier-ignore
    assert.deepEqual(await archive.record(old, 1n), old);
    assert.equal((await archive.dropped(old))?.actor, 'an operator');
    assert.deepEqual(removed, ['why dropped.json', `1-${old.sha256}.crl`]);
    assert.deepEqual(entries.map(({ type }) => type), ['archive.pruned']); // prettier-ignore
    assert.deepEqual((entries[0]?.detail?.['crls'] as { number: string }[])[0]?.number, '1');
    // Gone on purpose is not missing.
    const progress = { items: 0, done: 0, total: 0 };
    const options = { actor: 'x', repair: false, progress, stopped: () => false };
    const { dropped, problems } = await verifyArchive(archive, undefined, clock, options);
    assert.equal(dropped, 1);
    assert.ok(problems.every(({ name }) => !name.endsWith('/1.crl')));
    assert.equal((await planPrune(served, archive, ledger(NOW - AGE + DAY), NOW)).prunable.length, 0);
  });

  it('removes nothing before it is journalled, and nothing that a lock holds', async () => {
    const old = await archived(1n, NOW - AGE);
    await archived(2n, NOW - DAY);
    const plan = await planPrune(served, archive, ledger(), NOW);
    const broken = { append: () => Promise.reject(new Problem('unavailable', 'disk')) } as unknown as Journal;
    await assert.rejects(prune(served, plan, 'x', { ...parts(), journal: broken }), /disk/);
    locked = true;
    const { pruned, problems } = await prune(served, plan, 'x', parts());
    assert.deepEqual([pruned, problems.length], [0, 1]);
    assert.ok(existsSync(archive.path(old)) && (await archive.dropped(old)) === undefined);
  });

  it('keeps everything for ever when the profile names no time, or a certificate of no known end may rely on it', async () => {
    await archived(1n, NOW - AGE);
    await archived(2n, NOW - DAY);
    const forEver = { ...served, profile: PROFILE };
    assert.equal((await planPrune(forEver, archive, ledger(), NOW)).prunable.length, 0);
    assert.equal((await planPrune(served, archive, ledger(Infinity), NOW)).prunable.length, 0);
    assert.equal((await planPrune(served, archive, ledger(NOW - 10 * DAY), NOW)).prunable.length, 0);
    assert.equal((await planPrune(served, archive, ledger(NOW - AGE), NOW)).prunable.length, 1);
  });
});
