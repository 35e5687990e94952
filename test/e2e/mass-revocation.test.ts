/**
 * Mass revocations as an operator runs them: killed at any moment they go on, nothing is done twice, no `good` is served of what is
 * revoked (P1, P2, P5); a compromised key revokes all that it is in and is kept nowhere.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, plainSerial, readCrl, type ReadCrl } from '../support/ocsp-client.ts';
import { seedFrom } from '../support/random.ts';
import { Service, until } from '../support/service.ts';

const CERTIFICATES = 4000;
const KILLS = 4;
const CRL = '/SureServer/demo/cdp.crl';
const NOT_AFTER = '2027-06-01T00:00:00Z';

interface Journalled {
  readonly type: string;
  readonly changes?: readonly { readonly serial: string }[];
  readonly detail?: { readonly mass?: string };
}

function journal(service: Service): Journalled[] {
  const dir = join(service.data, 'audit');
  const lines = readdirSync(dir).sort().flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n')); // prettier-ignore
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Journalled);
}

async function crl(service: Service): Promise<ReadCrl> {
  return readCrl((await service.get(CRL)).body, service.demo.issuer);
}

/** As openssl reads the CRL; NaN for a serial that is not on it. */
async function revocationDates(service: Service, serials: readonly string[]): Promise<number[]> {
  const { body } = await service.get(CRL);
  const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text'], {
    input: body,
    maxBuffer: 1 << 28,
  });
  const dates = new Map<string, number>();
  for (const [, serial, date] of text.toString().matchAll(/Serial Number: ([0-9A-F]+)\n\s+Revocation Date: (.+)\n/g))
    dates.set(plainSerial(serial as string), Date.parse(date as string));
  return serials.map((serial) => dates.get(plainSerial(serial)) ?? NaN);
}

describe('a mass revocation that is killed', () => {
  const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());

  it(`goes on, and revokes each of ${CERTIFICATES} certificates once`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const serials = Array.from({ length: CERTIFICATES }, () => random.serial());
    const rows = serials.map((serial) => `${serial},${NOT_AFTER}\n`).join('');
    writeFileSync(join(service.directory, 'all.csv'), `serial,notAfter\n${rows}`);
    writeFileSync(join(service.directory, 'serials.txt'), serials.join('\n'));
    await service.json('import', 'csv', '--issuer', 'demo', 'all.csv');
    const { plan, outlook } = await service.json(
      'revoke-many', '--issuer', 'demo', '--serials', 'serials.txt', '--clause', '4.9.1.1-12',
    ); // prettier-ignore
    assert.equal(plan.counts.selected, CERTIFICATES);
    assert.equal(outlook.signatures, 2 * CERTIFICATES);
    await service.api('POST', `/v1/mass/plans/${plan.id}/start`, { digest: plan.digest.slice(0, 8) });
    const seen = new Set<string>();
    for (let kills = 0; kills < KILLS; kills++) {
      await sleep(random.below(250));
      const { body } = await service.api('GET', `/v1/mass/plans/${plan.id}`);
      seen.add(body.progress.run.state);
      await service.kill();
      // Now and then it does not even come up.
      if (random.chance(0.4)) {
        service.spawn('--demo');
        await sleep(random.below(700));
        await service.kill();
      }
      await service.start('--demo');
      // P2: whatever is journalled as revoked is not good any more, whether it is signed or not.
      const recorded = journal(service).flatMap(({ detail, changes = [] }) => (detail?.mass === undefined ? [] : changes)); // prettier-ignore
      for (let i = 0; i < 10 && recorded.length > 0; i++) {
        const { serial } = recorded[random.below(recorded.length)] as { serial: string };
        const { status } = await ask(service.demo.issuer, serial, { port: service.ports.public });
        assert.equal(status, 'revoked', serial);
      }
    }
    // Again, by somebody who does not know that it runs.
    await service.json('mass', 'start', plan.id, '--digest', plan.digest, '--wait');
    const { progress } = await service.json('mass', 'status', plan.id);
    assert.equal(progress.run.state, 'done');
    t.diagnostic(`killed while ${[...seen].join(', ')}`);
    const records = journal(service);
    assert.equal(records.filter(({ type }) => type === 'mass.started').length, 1);
    const times = new Map<string, number>();
    for (const { detail, changes = [] } of records)
      if (detail?.mass === plan.id) for (const { serial } of changes) times.set(serial, (times.get(serial) ?? 0) + 1);
    assert.equal(times.size, CERTIFICATES);
    assert.deepEqual([...new Set(times.values())], [1], 'each once');
    const dates = new Set(await revocationDates(service, serials));
    assert.deepEqual([...dates], [progress.run.startedAt], 'one date on the CRL');
    for (let i = 0; i < 50; i++) {
      const serial = serials[random.below(CERTIFICATES)] as string;
      const hash = i % 2 ? 'sha1' : 'sha256';
      const { status } = await ask(service.demo.issuer, serial, { port: service.ports.public, hash });
      assert.equal(status, 'revoked');
    }
    const { code, stdout } = await service.run('audit', 'verify');
    assert.equal(code, 0, stdout);
  });
});

describe('mass revocation from the shell', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { cwd: service.directory, stdio: ['ignore', 'pipe', 'ignore'] }); // prettier-ignore

  /** A certificate of the demo CA with a key of its own or another's, recorded here. */
  async function issue(name: string, serial: string, key = name): Promise<void> {
    const at = (file: string): string => join(service.data, 'issuers', 'demo', file);
    if (key === name)
      openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`);
    openssl('req', '-new', '-key', `${key}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-set_serial', `0x${serial}`, '-days', '30', '-out', `${name}.pem`); // prettier-ignore
    await service.json('issue', '--issuer', 'demo', '--cert', `${name}.pem`);
  }

  it('revokes every certificate with a compromised key, and keeps the key nowhere (CT-4.9.12-a, SR-6.2.6-b)', async () => {
    await issue('one', '0a01');
    await issue('two', '0a02', 'one');
    await issue('other', '0b01');
    const { plan } = await service.json('revoke-many', '--issuer', 'demo', '--compromised-key', 'one.key', '--start');
    assert.equal(plan.order.clause, '4.9.1.1-3');
    assert.equal(plan.counts.selected, 2);
    const { progress } = await service.json('mass', 'status', plan.id, '--wait');
    assert.equal(progress.run.counts.revoked, 2);
    const status = async (serial: string): Promise<string> =>
      (await ask(service.demo.issuer, serial, { port: service.ports.public })).status;
    assert.deepEqual(
      [await status('0a01'), await status('0a02'), await status('0b01')],
      ['revoked', 'revoked', 'good'],
    );
    const { entries } = await crl(service);
    assert.equal(entries.get('A01')?.reason, 'keyCompromise');
    assert.ok(!entries.has('B01'));
    const { stdout } = await service.run('keys', 'blocklist', '--issuer', 'demo');
    const spki = openssl('pkey', '-in', 'one.key', '-pubout', '-outform', 'DER');
    assert.equal(stdout.trim(), createHash('sha256').update(spki).digest('hex').slice(0, 32));
    await service.stop();
    const pem = readFileSync(join(service.directory, 'one.key'), 'latin1').split('\n').slice(1, -2);
    // SEC 1: the private scalar stands behind the version, in 32 octets.
    const scalar = openssl('ec', '-in', 'one.key', '-outform', 'DER').subarray(7, 39);
    const needles = [...pem.map((line) => Buffer.from(line)), scalar, Buffer.from(scalar.toString('hex')), Buffer.from(scalar.toString('base64').slice(0, 40))]; // prettier-ignore
    let files = 0;
    for (const path of filesOf(service.data)) {
      const octets = readFileSync(path);
      files += 1;
      for (const needle of needles) assert.equal(octets.indexOf(needle), -1, path);
    }
    assert.ok(files > 10);
    for (const needle of needles) assert.ok(!(service.log + service.out).includes(needle.toString('latin1')));
    await service.start('--demo');
  });

  it('opens the same case for a suspicion, and none for a key that is not proven (CT-4.9.12-b)', async () => {
    await issue('third', '0c01');
    const refused = await service.run('revoke-many', '--issuer', 'demo', '--compromised-key', 'third.pem');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /proves nothing/);
    const { plan } = await service.json('revoke-many', '--issuer', 'demo', '--compromised-key', 'third.pem', '--suspected'); // prettier-ignore
    assert.equal(plan.counts.selected, 1);
    assert.equal(plan.order.deadline - plan.order.awareAt, 24 * 3_600_000);
    openssl('req', '-new', '-key', 'third.key', '-subj', '/CN=challenge-7', '-out', 'challenge.csr');
    const args = ['compromised-key', 'verify', 'challenge.csr', '--challenge', 'challenge-7', '--issuer', 'demo'];
    const evidence = await service.json(...args);
    assert.deepEqual([evidence.proven, evidence.unexpired], [true, 1]);
    const cases = journal(service).filter(({ type }) => type === 'key.compromised');
    assert.equal(cases.length, 3);
  });

  it('drills without a trace in what is published (CT-5.7.1.1-b)', async () => {
    const published = async (): Promise<string> => {
      const crls = await service.json('crl', 'list', '--issuer', 'demo');
      const { body } = await service.get(CRL);
      const statuses = [];
      for (const serial of ['0a01', '0b01', '0c01'])
        statuses.push(await service.json('status', '--issuer', 'demo', '--serial', serial));
      return JSON.stringify([crls, body.toString('hex'), statuses, filesOf(join(service.data, 'crl'))]);
    };
    const before = await published();
    const { drill, report } = await service.json('drill', '--issuer', '*', '--all', '--certificates', '3', '--out', 'drill.md'); // prettier-ignore
    assert.equal(await published(), before);
    assert.equal(drill.keys[0].certificates, 3);
    const signed = journal(service).filter(({ type }) => type === 'drill.signed');
    assert.equal(signed.length, 1, 'accounted for (P8)');
    const markdown = readFileSync(join(service.directory, 'drill.md'), 'utf8');
    const headings = ['Activation criteria', 'Customer contact information', 'Automation points', 'Targets and timelines', 'Subscriber notification methods', 'Role assignments', 'Training and education', 'Plan testing', 'Post-test analysis and update schedule']; // prettier-ignore
    headings.forEach((heading, i) => assert.ok(markdown.includes(`## ${i + 1}. ${heading}\n`), heading));
    const fingerprint = openssl('x509', '-in', service.demo.ca, '-noout', '-fingerprint', '-sha256').toString();
    // SR-8.6-a: upper case, without colons.
    assert.equal(report.fingerprints[0].sha256, fingerprint.trim().split('=')[1]?.replaceAll(':', ''));
    assert.ok(markdown.includes(report.fingerprints[0].sha256));
  });

  it('asks for a selection, refuses what the profile forbids, and lets nobody revoke for an issuer that is not his', async () => {
    const run = async (...args: string[]): Promise<string> => (await service.run('revoke-many', ...args)).stderr;
    assert.match(await run('--issuer', 'demo'), /Give what selects/);
    assert.match(await run('--issuer', 'demo', '--all', '--reason', 'certificateHold'), /CT-4.9.13/);
    assert.match(await run('--issuer', 'nobody', '--all'), /no such issuer/);
    const { plan } = await service.json('revoke-many', '--issuer', 'demo', '--spki-hash', 'f'.repeat(32));
    // What cannot be undone is not done by a plan's name alone.
    const careless = await service.run('mass', 'start', plan.id);
    assert.deepEqual([careless.code, /--digest/.test(careless.stderr)], [2, true]);
    const start = await service.run('mass', 'start', plan.id, '--digest', plan.digest);
    assert.match(start.stderr, /no certificate/);
    const list = await service.json('mass', 'list');
    assert.ok(list.length >= 3);
    // A plan that nobody will start is removed, and the log keeps it; one that was started is evidence.
    assert.deepEqual(await service.json('mass', 'discard', plan.id), { plan: plan.id, discarded: true });
    assert.equal((await service.json('mass', 'list')).length, list.length - 1);
    assert.match((await service.run('mass', 'start', plan.id, '--digest', plan.digest)).stderr, /no such plan/);
    assert.match((await service.run('audit', 'export', '--type', 'mass.discarded')).stdout, new RegExp(plan.digest));
    const begun = list.find(({ state }: { state: string }) => state === 'done') as { id: string };
    assert.match(
      (await service.run('mass', 'discard', begun.id)).stderr,
      /was started and is done: it stays, as evidence/,
    );
  });

  it('plans without the service, and goes on when it is started', async () => {
    await issue('late', '0d01');
    await service.stop();
    const started = await service.json('revoke-many', '--issuer', 'demo', '--key', 'late.pem', '--start');
    assert.equal(started.progress.run.counts.revoked, 0);
    // Thought better of it, and again.
    assert.equal((await service.json('mass', 'pause', started.plan.id)).progress.run.state, 'paused');
    await service.json('mass', 'resume', started.plan.id);
    await service.start('--demo');
    await until('it is done', async () => (await service.json('mass', 'status', started.plan.id)).progress.run.state === 'done'); // prettier-ignore
    assert.equal((await ask(service.demo.issuer, '0d01', { port: service.ports.public })).status, 'revoked');
    rmSync(join(service.directory, 'late.key'));
  });
});

function filesOf(dir: string): string[] {
  return readdirSync(dir)
    .sort()
    .flatMap((name) => {
      const path = join(dir, name);
      return statSync(path).isDirectory() ? filesOf(path) : [path];
    });
}
