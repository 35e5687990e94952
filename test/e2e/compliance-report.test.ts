/**
 * The compliance report over a simulated day, by the real command: everything is met or explained, and each thing that goes wrong turns
 * exactly its own duties, naming the worst case.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ComplianceReport, ReportedDuty } from '../../src/core/compliance/report.ts';
import { GENESIS_HASH, sealRecord, type JournalEntry, type JournalRecord } from '../../src/core/journal-record.ts';
import { DAY, HOUR, rfc3339 } from '../../src/core/time.ts';
import { ISSUER, simulate, type DayResult } from '../flows/support-day.ts';

const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
/** Certificates and configuration are judged by the machine's clock: the day is one of the last. */
const START = Math.floor(Date.now() / HOUR) * HOUR - 9 * DAY;

/** What a day of this service cannot show, and why that is no omission. */
const NOT_SHOWN: Readonly<Record<string, RegExp>> = {
  'CT-6.1.1-b': /grade of the device/,
  'SR-5.5.4': /no second place/,
  'CT-5.7.1.2-a': /no drill is on record yet/,
  'CT-8.7': /no sample was drawn yet/,
};

let day: DayResult;
const scratch = mkdtempSync(join(tmpdir(), 'certstatus-report-'));

before(async () => {
  day = await simulate(START);
});
after(async () => {
  await day.remove();
  rmSync(scratch, { recursive: true, force: true });
});

interface Made {
  readonly code: number;
  readonly report: ComplianceReport;
  readonly duties: readonly ReportedDuty[];
}

function run(data: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(
      process.execPath,
      [CLI, '--data', data, 'report', ...args],
      { maxBuffer: 1 << 26, env: { ...process.env, CERTSTATUS_INTAKE_PORT: '1' } },
      (error, stdout, stderr) => done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

async function report(data: string, args: readonly string[], { from, to } = day): Promise<Made> {
  const { code, stdout, stderr } = await run(data, ['--issuer', ISSUER, '--from', from, '--to', to, '--format', 'json', ...args]); // prettier-ignore
  assert.notEqual(stdout, '', stderr);
  const made = JSON.parse(stdout) as ComplianceReport;
  return { code, report: made, duties: made.chapters.flatMap(({ duties }) => duties) };
}

const of = (duties: readonly ReportedDuty[], verdict: string): readonly ReportedDuty[] =>
  duties.filter((duty) => duty.verdict === verdict);
const ids = (duties: readonly ReportedDuty[]): readonly string[] => duties.map((duty) => duty.ids[0] as string);
function named(duties: readonly ReportedDuty[], id: string): ReportedDuty {
  const found = duties.find((duty) => duty.ids.includes(id));
  assert.ok(found !== undefined, id);
  return found;
}

/** The day with its log written anew by `change`, every hash right: what another course of events would have left. */
function retold(name: string, change: (record: JournalRecord) => void): string {
  const data = copied(name);
  const [file] = readdirSync(join(data, 'audit')).sort();
  const path = join(data, 'audit', file as string);
  let prev = GENESIS_HASH;
  const lines = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const record = JSON.parse(line) as JournalRecord;
      change(record);
      const { seq, at, ...rest } = record;
      const entry = Object.fromEntries(Object.entries(rest).filter(([name]) => name !== 'prev' && name !== 'hash'));
      const sealed = sealRecord(entry as unknown as JournalEntry, seq, at, prev);
      prev = sealed.hash;
      return sealed.line;
    });
  writeFileSync(path, `${lines.join('\n')}\n`);
  return data;
}

function copied(name: string): string {
  const data = join(scratch, name);
  cpSync(day.data, data, { recursive: true });
  return data;
}

/** What the program does a part of, and says so. */
const PARTLY = ['CT-4.3.1-b', 'CT-5.4.7', 'SJ-1.1-b', 'SR-6.1.1-w', 'SR-6.7'];

describe('the compliance report', () => {
  it('of a day in which all is well: every duty is met or explained', async () => {
    const { code, report: made, duties } = await report(day.data, []);
    assert.deepEqual(of(duties, 'not met').map(({ ids: [id], reason, worst }) => `${id}: ${reason}: ${worst}`), []); // prettier-ignore
    assert.equal(code, 0);
    assert.deepEqual(ids(of(duties, 'not shown')).toSorted(), Object.keys(NOT_SHOWN).toSorted());
    for (const duty of of(duties, 'not shown')) assert.match(duty.reason, NOT_SHOWN[duty.ids[0] as string] as RegExp);
    const partly = of(duties, 'partly met');
    assert.deepEqual(ids(partly).toSorted(), PARTLY);
    for (const { reason, proof = [] } of partly) assert.ok(/; but .{20}/.test(reason) && proof.length > 0, reason);
    for (const {
      ids: [id],
      reason,
    } of duties)
      assert.ok(reason.length > 3, `${id} has no reason`);
    assert.equal(Object.values(made.summary).reduce((sum, count) => sum + count, 0), duties.length); // prettier-ignore
    assert.match(made.issuer.fingerprints.join(), /^[0-9A-F]{64}$/, 'SR-8.6-a');
    assert.match(named(duties, 'CT-5.4.6').reason, /its end is the one that the ledger knows/);
  });

  it('has figures and the worst case where the log has them', async () => {
    const { duties } = await report(day.data, []);
    const figure = (id: string, name: string): string | undefined =>
      named(duties, id).figures?.find(([is]) => is === name)?.[1];
    assert.equal(figure('CT-4.9.10-e', 'certificates recorded'), '100');
    assert.equal(figure('CT-4.9.7-b', 'revocations'), '16');
    assert.equal(figure('CT-4.9.7-b', 'seen from outside by the monitor'), '16');
    for (let clause = 1; clause <= 16; clause++)
      assert.equal(figure(`CT-4.9.1.1-${clause}`, 'revocations'), '1', `clause ${clause}`);
    assert.match(named(duties, 'CT-4.9.10-c').worst ?? '', /^(?:19h|2\dh|1d).* serial 4100/);
    assert.match(named(duties, 'CT-6.2.8').figures?.at(-1)?.[1] ?? '', /alice, bob, carol/);
    assert.match(named(duties, 'CT-5.5.1-3').figures?.[0]?.[1] ?? '', /^unbroken: \d+ CRLs/);
  });

  it('by the file, with a digest that sha256sum checks, and as Markdown', async () => {
    const out = join(scratch, 'report.md');
    const { code, stdout } = await run(day.data, ['--from', day.from, '--to', day.to, '--out', out]);
    assert.equal(code, 0);
    assert.match(stdout, /0 not met/);
    const text = readFileSync(out, 'utf8');
    assert.match(text, /^# Compliance report: /);
    assert.ok(!/undefined|NaN|Infinity|\[object/.test(text));
    await new Promise<void>((done, fail) => {
      execFile('sha256sum', ['-c', 'report.md.sha256'], { cwd: scratch }, (error) => (error ? fail(error) : done()));
    });
  });

  it('an answer that is valid for more than 10 days', async () => {
    let serial = '';
    const data = retold('long', ({ type, detail }) => {
      const row = (detail as { responses?: string[][] } | undefined)?.responses?.[0];
      if (type !== 'ocsp.signed' || row === undefined || serial !== '') return;
      serial = row[0] as string;
      row[4] = rfc3339(Date.parse(row[3] as string) + 10 * DAY);
    });
    const { code, duties } = await report(data, ['--offline']);
    assert.equal(code, 1);
    assert.deepEqual(ids(of(duties, 'not met')), ['CT-4.9.10-b']);
    assert.match(named(duties, 'CT-4.9.10-b').worst ?? '', new RegExp(`longest 10d1s, serial ${serial}`));
  });

  it('a revocation that came 30 hours after the CA knew', async () => {
    let serial = '';
    const data = retold('late', ({ type, at, detail }) => {
      const [about] = (detail as { cases?: Record<string, string>[] } | undefined)?.cases ?? [];
      if (type !== 'certificates.revoked' || about?.['clause'] !== '4.9.1.1-3') return;
      serial = about['serial'] as string;
      about['awareAt'] = rfc3339(Date.parse(at) - 30 * HOUR);
      about['deadline'] = rfc3339(Date.parse(at) - 6 * HOUR);
    });
    const { duties } = await report(data, ['--offline']);
    assert.deepEqual(ids(of(duties, 'not met')), ['CT-4.9.1.1-3']);
    assert.match(named(duties, 'CT-4.9.1.1-3').worst ?? '', new RegExp(`^margin -6h.*, serial ${serial}`));
  });

  it('a token that one person has activated', async () => {
    const data = retold('alone', ({ type, detail }) => {
      if (type === 'token.activated') (detail as { persons: string[] }).persons = ['mallory'];
    });
    const { duties } = await report(data, ['--offline']);
    assert.deepEqual(ids(of(duties, 'not met')), ['CT-6.2.8']);
    assert.match(named(duties, 'CT-6.2.8').worst ?? '', /mallory/);
  });

  it('a CRL that is missing from the archive', async () => {
    const data = copied('missing');
    const tag = readdirSync(join(data, 'crl')).find((name) => /^[0-9a-f]{8}$/.test(name)) as string;
    const crl = readdirSync(join(data, 'crl', tag)).filter((name) => name.endsWith('.crl')).sort()[3] as string; // prettier-ignore
    rmSync(join(data, 'crl', tag, crl));
    const { duties } = await report(data, ['--offline']);
    assert.deepEqual(ids(of(duties, 'not met')), ['CT-5.5.1-3', 'CT-5.5.1']);
    assert.match(named(duties, 'CT-5.5.1-3').worst ?? '', new RegExp(`CRL ${crl.slice(0, -4)}`));
  });

  it('a log with a record that was altered: what follows is no evidence', async () => {
    const data = copied('altered');
    const [file] = readdirSync(join(data, 'audit')).sort();
    const path = join(data, 'audit', file as string);
    const lines = readFileSync(path, 'utf8').split('\n');
    lines[40] = (lines[40] as string).replace('"actor":"', '"actor":"not ');
    writeFileSync(path, lines.join('\n'));
    const { code, duties } = await report(data, []);
    assert.equal(code, 1);
    assert.deepEqual(ids(of(duties, 'not met')), ['CT-5.4.1-d']);
    assert.match(named(duties, 'CT-5.4.1-d').worst ?? '', /line 41.*altered/);
    assert.ok(of(duties, 'not shown').length > 30);
  });

  it('a log whose end was cut off', async () => {
    const data = copied('cut');
    const [file] = readdirSync(join(data, 'audit')).sort();
    const path = join(data, 'audit', file as string);
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    writeFileSync(path, `${lines.slice(0, -2).join('\n')}\n`);
    const { duties } = await report(data, []);
    const chain = named(duties, 'CT-5.4.1-d');
    assert.equal(chain.verdict, 'not met');
    assert.match(chain.worst ?? '', new RegExp(`ends at record ${lines.length - 2}`));
  });

  it('a signer that stood still for five days', async () => {
    const bad = await simulate(START, { lengthMs: 7 * DAY, still: { afterMs: DAY, forMs: 5 * DAY } });
    try {
      const { duties } = await report(bad.data, [], bad);
      assert.deepEqual(ids(of(duties, 'not met')), [
        // Too old, too close to the end, then none at all; comparisons and samples found it too.
        'CT-4.9.10-c',
        'CT-4.9.10-d',
        'CT-4.9.6',
        'CT-4.10.2-b',
        'CT-9.6.1-6',
        'SR-2.2-a',
      ]);
      assert.match(named(duties, 'CT-4.9.10-c').worst ?? '', /^5d\d+h.*, serial 4100/);
      assert.match(named(duties, 'CT-4.10.2-b').worst ?? '', /^1d.*none from/);
    } finally {
      await bad.remove();
    }
  });

  it('asks for what is missing', async () => {
    const { code, stderr } = await run(day.data, []);
    assert.equal(code, 1);
    assert.match(stderr, /--from 2026-11-20/);
    const other = await run(day.data, ['--issuer', 'nobody', '--from', '2026-11-20']);
    assert.match(other.stderr, /--issuer = nobody: a report is about one issuer: g4/);
  });
});
