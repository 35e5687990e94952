/** The audit log: damage is found, whatever it is; and when it cannot be written nothing is signed or taken, but serving goes on (P8). */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, type OcspAnswer } from '../support/ocsp-client.ts';
import { Service, until, type ApiAnswer, type Ran } from '../support/service.ts';

const NOT_AFTER = '2027-06-01T00:00:00Z';
const LOG = join('audit', '000000000001.ndjson');
const CERTIFICATES = '/v1/issuers/demo/certificates';

describe('audit verify', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
    for (let i = 0; i < 20; i++) {
      const serial = `5123${i.toString(16).padStart(4, '0')}`;
      await service.api('POST', CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER }] });
      if (i % 2)
        await service.api('POST', '/v1/issuers/demo/revocations', { revocations: [{ serial, reason: 'superseded' }] });
    }
    await service.stop();
  });
  after(() => service.remove());

  /** Of a copy whose log has been changed. */
  async function verified(change: (lines: string[]) => string[] | string, ...flags: string[]): Promise<Ran> {
    const copy = mkdtempSync(join(service.directory, 'copy-'));
    cpSync(service.data, copy, { recursive: true });
    const lines = readFileSync(join(copy, LOG), 'utf8').split('\n').slice(0, -1);
    const changed = change(lines);
    writeFileSync(join(copy, LOG), typeof changed === 'string' ? changed : changed.map((line) => `${line}\n`).join(''));
    try {
      return await service.run('--data', copy, 'audit', 'verify', ...flags);
    } finally {
      rmSync(copy, { recursive: true });
    }
  }
  const found = ({ code, stderr, stdout }: Ran, what: RegExp): void => {
    assert.equal(code, 1, stdout + stderr);
    assert.match(stderr, /^(certstatus: |\{"code":")/m);
    assert.match(stderr, what);
  };

  it('passes the log as it is', async () => {
    for (const flags of [[], ['--offline']]) {
      const { code, stdout, stderr } = await verified((lines) => lines, ...flags);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /verified: \d+ records/);
    }
  });

  it('shows and exports up to an instant, and refuses what is none', async () => {
    const audit = (...args: string[]): Promise<Ran> => service.run('--json', 'audit', ...args);
    const shown = async (...flags: string[]): Promise<{ at: string }[]> =>
      JSON.parse((await audit('show', '--serial', '51230001', ...flags)).stdout) as { at: string }[];
    const all = await shown();
    const second = all[1]?.at as string;
    assert.ok(all.length > 2, 'issued, signed, revoked, …');
    assert.deepEqual(
      await shown('--at', second),
      all.filter(({ at }) => at <= second),
    );
    // A whole second is before its own milliseconds, which text alone would have the other way round.
    const whole = `${second.slice(0, 19)}Z`;
    for (const { at } of await shown('--at', whole)) assert.ok(Date.parse(at) <= Date.parse(whole), at);
    for (const args of [
      ['show', '--serial', '51230001', '--at', 'yesterday'],
      ['export', '--from', '2026-11-21'],
      ['export', '--to', 'x'],
    ])
      found(await audit(...args), /not an RFC 3339 instant/);
  });

  it('is one line where there is no log', async () => {
    const empty = mkdtempSync(join(service.directory, 'empty-'));
    cpSync(join(service.data, 'certstatus.yaml'), join(empty, 'certstatus.yaml'));
    for (const args of [['export'], ['verify', '--offline']]) {
      const ran = await service.run('--data', empty, 'audit', ...args);
      found(ran, /the audit log cannot be read/);
      assert.equal(ran.stderr.trim().split('\n').length, 1, ran.stderr);
    }
  });

  it('finds an altered octet, wherever it is', async () => {
    for (const share of [0.02, 0.3, 0.5, 0.9]) {
      const altered = await verified((lines) => {
        const text = `${lines.join('\n')}\n`;
        let at = Math.floor(text.length * share);
        while (!/[0-9a-f]/.test(text[at] as string)) at += 1;
        return `${text.slice(0, at)}${text[at] === '1' ? '2' : '1'}${text.slice(at + 1)}`;
      }, '--offline');
      found(altered, /line \d+/);
    }
  });

  it('finds a removed line, and names the place', async () => {
    found(await verified((lines) => lines.filter((_, i) => i !== 9), '--offline'), /line 10/);
    found(await verified((lines) => lines.slice(1), '--offline'), /line 1/);
  });

  it('finds swapped lines and a line that stands twice', async () => {
    found(
      await verified((lines) => lines.with(5, lines[6] as string).with(6, lines[5] as string), '--offline'),
      /line 6/,
    );
    found(
      await verified((lines) => [...lines.slice(0, 8), lines[7] as string, ...lines.slice(8)], '--offline'),
      /line 9/,
    );
  });

  it('finds that the end was cut off, from what the ledger remembers', async () => {
    // Back beyond the last event; what follows it are records of the stop.
    const events = (lines: readonly string[]): number => lines.findLastIndex((line) => line.includes('"certificates.'));
    found(await verified((lines) => lines.slice(0, events(lines))), /missing/);
    found(await verified(() => []), /missing|records/);
    // And what was signed after it, down to the last record.
    found(await verified((lines) => lines.slice(0, -1)), /missing/);
  });
});

/** Not everybody may mount; then this cannot be tried, and that is said. */
const mountable = ((): boolean => {
  if (process.getuid?.() !== 0) return false;
  const at = mkdtempSync('/tmp/certstatus-mount-');
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status === 0;
  if (done) spawnSync('umount', [at]);
  rmSync(at, { recursive: true });
  return done;
})();

describe('a full audit disk', mountable ? {} : { skip: 'needs root and a mountable tmpfs' }, () => {
  let service: Service;
  let audit: string;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    audit = join(service.data, 'audit');
    mkdirSync(audit, { recursive: true });
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', audit]).status, 0);
    await service.start('--demo');
  });
  after(async () => {
    await service.kill();
    spawnSync('umount', ['-l', audit]);
    await service.remove();
  });

  let next = 0;
  const issue = (): Promise<ApiAnswer & { serial: string }> => {
    const serial = `5500${(next++).toString(16).padStart(6, '0')}`;
    return service
      .api('POST', CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER }] })
      .then((answer) => ({ ...answer, serial }));
  };
  const asked = (serial: string): Promise<OcspAnswer> =>
    ask(service.demo.issuer, serial, { port: service.ports.public });
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec((await service.get('/metrics', 'admin')).body.toString())?.[1]);

  it('stops intake and signing, not serving, and all goes on when there is room again', async () => {
    const before = await issue();
    assert.equal(before.status, 200);
    assert.equal((await asked(before.serial)).status, 'good');

    const filler = join(audit, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096', 'count=1000'], { stdio: 'ignore' });
    assert.ok(existsSync(filler));
    // The last page of the log has room for a few records more.
    let refused: (ApiAnswer & { serial: string }) | undefined;
    const taken: string[] = [];
    await until('the disk is full', async () => {
      const answer = await issue();
      if (answer.status === 200) taken.push(answer.serial);
      else refused = answer;
      return refused !== undefined;
    });
    assert.equal(refused?.status, 503);
    assert.match(refused?.type ?? '', /problem\+json/);
    assert.match(refused?.body.detail, /audit log/);
    const revocation = { revocations: [{ serial: before.serial, reason: 'superseded' }] };
    assert.equal((await service.api('POST', '/v1/issuers/demo/revocations', revocation)).status, 503);

    assert.equal((await asked(before.serial)).status, 'good', 'what is signed is served');
    assert.equal((await service.get('/SureServer/demo/cdp.crl')).status, 200);
    assert.equal((await asked(refused?.serial ?? '')).status, 'unauthorized', 'what was refused was not stored');
    assert.equal(await metric('certstatus_audit_writable'), 0);
    // What is signed is right and served: a load balancer must not turn a full disk into an outage.
    assert.equal((await service.get('/readyz', 'admin')).status, 200);
    assert.match((await service.get('/status.json', 'admin')).body.toString(), /audit log cannot be written/);
    assert.equal((await service.get('/livez', 'admin')).status, 200);
    // Nothing may be signed meanwhile: no record, no signature.
    const signed = async (): Promise<number> =>
      readFileSync(join(service.data, LOG), 'utf8').split('"type":"ocsp.signed"').length;
    const count = await signed();
    await new Promise((done) => setTimeout(done, 1500));
    assert.equal(await signed(), count);

    rmSync(filler);
    await until('writable again', async () => (await metric('certstatus_audit_writable')) === 1, 30_000, 200);
    assert.equal((await service.api('POST', '/v1/issuers/demo/revocations', revocation)).status, 200);
    const after = await issue();
    assert.equal(after.status, 200);
    await until(
      'new ones are good, old ones revoked',
      async () => (await asked(after.serial)).status === 'good' && (await asked(before.serial)).status === 'revoked',
    );
    for (const serial of taken)
      await until('what was taken is good', async () => (await asked(serial)).status === 'good');
    const { code, stderr } = await service.run('audit', 'verify');
    assert.equal(code, 0, stderr);
  });
});
