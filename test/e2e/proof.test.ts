import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readJournal } from '../../src/adapters/journal/file-journal.ts';
import { join } from 'node:path';
import { Metrics } from '../support/metrics.ts';
import { Service, until } from '../support/service.ts';

let service: Service;
before(async () => {
  service = await Service.demo();
});
after(() => service.remove());

const CRL_PATH = '/SureServer/demo/cdp.crl';
const SERIAL = '4a0000000000000000000000000000aa';

describe('the proof that ledger, OCSP and CRL agree', () => {
  it('reconciles the running service, and says so in the audit log', async () => {
    const report = await service.json('reconcile');
    assert.equal(report.differences, 0, JSON.stringify(report.listed));
    assert.equal(report.issuers[0].id, 'demo');
    assert.match(report.issuers[0].fingerprints[0], /^[0-9A-F]{64}$/);
    assert.ok(report.issuers[0].crls.length > 0);
    const { code, stdout } = await service.run('reconcile', '--issuer', 'demo');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^difference 0 at /);
    const types = [];
    for await (const { type } of readJournal(join(service.data, 'audit'), 0)) types.push(type);
    assert.ok(types.filter((type) => type === 'status.reconciled').length >= 2);
  });

  it('sees each revocation from outside, and reports its clock against the limit of its clause', async () => {
    await service.json(
      'issue',
      '--issuer',
      'demo',
      '--serial',
      SERIAL,
      '--not-after',
      '2027-11-01T00:00:00Z',
      '--wait',
    );
    const awareAt = new Date(Date.now() - 3600_000).toISOString().replace(/\.\d+Z/, 'Z');
    const event = ['--issuer', 'demo', '--serial', SERIAL, '--clause', '4.9.1.1-3', '--aware-at', awareAt];
    await service.json('revoke', ...event);
    const find = async () => {
      const { stdout } = await service.run('--json', 'report', 'revocations', '--issuer', 'demo');
      return JSON.parse(stdout);
    };
    await until('the revocation is seen', async () => {
      const { revocations } = await find();
      return revocations.some(
        (one: { serial: string; state: string }) => one.serial === SERIAL && one.state === 'seen',
      );
    });
    const { revocations, totals } = await find();
    const line = revocations.find((one: { serial: string }) => one.serial === SERIAL);
    assert.equal(line.clause, '4.9.1.1-3');
    assert.equal(line.reason, 'keyCompromise');
    assert.equal(line.awareAt, awareAt);
    assert.equal(Date.parse(line.limit), Date.parse(awareAt) + 24 * 3600_000, 'from awareness, not from the record');
    assert.ok(line.ocspSeenAt >= line.recordedAt && line.crlSeenAt >= line.recordedAt);
    assert.ok(line.marginMs > 0);
    const total = totals.find((one: { clause: string }) => one.clause === '4.9.1.1-3');
    assert.deepEqual([total.revocations, total.seen, total.late], [1, 1, 0]);
    const { code } = await service.run('report', 'revocations', '--issuer', 'demo');
    assert.equal(code, 0);
  });

  it('shows in the metrics how long it took, and that nothing is open', async () => {
    const metrics = await Metrics.of(service.ports.admin);
    assert.ok(metrics.sum('certstatus_revocation_seen_ocsp_seconds_count') >= 1);
    assert.ok(metrics.sum('certstatus_revocation_seen_crl_seconds_count') >= 1);
    assert.equal(metrics.sum('certstatus_reconcile_differences'), 0);
    assert.ok(metrics.sum('certstatus_reconcile_age_seconds') > 0, 'there is such a gauge');
    assert.equal(metrics.sum('certstatus_revocation_unseen'), 0);
  });

  it('probes both channels as an outside monitor does', async () => {
    const { ca, valid } = service.demo;
    const ocsp = await service.json('probe', service.url('/'), '--ca', ca, '--cert', valid);
    assert.deepEqual(ocsp[0].findings, []);
    const crl = await service.json('probe', service.url(CRL_PATH), '--crl', '--ca', ca);
    assert.deepEqual(crl[0].findings, []);
    assert.match(crl[0].answer, /^CRL \d+ of /);
  });

  it('draws a sample that can be drawn again, and looks at what is served about each', async () => {
    const now = new Date();
    const quarter = `${now.getUTCFullYear()}Q${Math.floor(now.getUTCMonth() / 3) + 1}`;
    const terms = ['--issuer', 'demo', '--quarter', quarter, '--percent', '50', '--minimum', '2'];
    const drawn = async (...more: string[]) => {
      const { code, stdout } = await service.run('sample', ...terms, ...more);
      return {
        code,
        lines: stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      };
    };
    const first = await drawn();
    assert.equal(first.code, 0, JSON.stringify(first.lines));
    const [header, ...verdicts] = first.lines;
    assert.ok(header.sampled >= 2 && header.sampled >= header.population / 2);
    assert.deepEqual(verdicts.pop(), { checked: header.sampled, wrong: 0 });
    assert.equal(verdicts.length, header.sampled);
    for (const { ledger, ocsp, crl } of verdicts) {
      assert.equal(ocsp.sha1.says, ledger);
      assert.equal(ocsp.sha256.says, ledger);
      assert.equal(crl.says, ledger);
    }
    // What is wrong while it is drawn comes after the answer has begun.
    const refused = await service.api('POST', '/v1/issuers/demo/samples', { quarter: '2026' });
    assert.equal(refused.status, 400);
    const again = await drawn('--seed', header.seed);
    const serials = (lines: { serial?: string }[]) => lines.map(({ serial }) => serial);
    assert.deepEqual(serials(again.lines), serials(first.lines));
  });

  it('draws a sample when no service runs, and says of each that nobody answers', async () => {
    await service.stop();
    const now = new Date();
    const quarter = `${now.getUTCFullYear()}Q${Math.floor(now.getUTCMonth() / 3) + 1}`;
    const sample = ['sample', '--issuer', 'demo', '--quarter', quarter, '--percent', '100'];
    const { code, stdout, stderr } = await service.run(...sample);
    assert.equal(code, 1, stdout + stderr);
    const lines = stdout.trim().split('\n').map((line) => JSON.parse(line)); // prettier-ignore
    const [header, ...verdicts] = lines;
    assert.ok(header.sampled >= 2);
    assert.deepEqual(verdicts.pop(), { checked: header.sampled, wrong: header.sampled });
    for (const { findings } of verdicts) assert.match(JSON.stringify(findings), /ECONNREFUSED/);
  });

  it('reconciles the store alone when no service runs', async () => {
    const report = await service.json('reconcile');
    assert.equal(report.differences, 0, JSON.stringify(report.listed));
    assert.ok(report.issuers[0].revoked >= 2);
  });
});
