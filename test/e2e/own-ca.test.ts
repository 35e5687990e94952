/**
 * A CA that has issued for years with `openssl ca` moves in: 10,000 certificates by index.txt, cut short and run again, then
 * served. Every status is asked with real requests, at once after the start and when everything has been signed.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, issuerFromFile, plainSerial, readCrl, type OcspAnswer, type OcspIssuer } from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { runProgram, Service, until } from '../support/service.ts';

const BULK = 10_000;
/** Every way of `openssl ca -revoke` that a publicly trusted CA may publish, and the reason that clients then see. */
const WAYS: readonly (readonly [readonly string[], string | undefined])[] = [
  [[], undefined],
  [['-crl_reason', 'unspecified'], undefined],
  [['-crl_reason', 'keyCompromise'], 'keyCompromise'],
  [['-crl_reason', 'affiliationChanged'], 'affiliationChanged'],
  [['-crl_reason', 'superseded'], 'superseded'],
  [['-crl_reason', 'cessationOfOperation'], 'cessationOfOperation'],
];
const REVOKED = 8 * WAYS.length;
/** What `import` prints with --json. */
interface Totals {
  readonly rows: number;
  readonly accepted: number;
  readonly unchanged: number;
  readonly rejected: number;
  readonly rejectedRows: readonly { readonly line: number; readonly problem: string }[];
}

describe('a CA of 10,000 certificates moves in', () => {
  const ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Moving CA' });
  let issuer: OcspIssuer;
  let service: Service;
  let revoked: readonly IssuedFile[];
  let held: IssuedFile;
  let expired: readonly IssuedFile[];
  let bulk: readonly IssuedFile[];
  let index: string;
  let lines: number;

  before(async () => {
    revoked = ca.issue({ count: REVOKED });
    for (const [place, certificate] of revoked.entries())
      ca.revoke(certificate, ...(WAYS[place % WAYS.length] as (typeof WAYS)[number])[0]);
    [held] = ca.issue() as [IssuedFile];
    ca.revoke(held, '-crl_reason', 'certificateHold');
    expired = ca.issue({ count: 20, notBefore: '20200101000000Z', notAfter: '20210101000000Z' });
    bulk = ca.issue({ count: BULK });
    const responder = ca.issueResponder();
    issuer = issuerFromFile(ca.certificateFile);
    // Two rows that nobody can read, behind the good ones.
    index = join(ca.directory, 'with-errors.txt');
    cpSync(ca.indexFile, index);
    lines = readFileSync(index, 'latin1').split('\n').length - 1;
    writeFileSync(index, 'V\tnever\t\t51AB\tunknown\t/CN=x\nthis is no row\n', { flag: 'a' });

    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      'issuer',
      'add',
      'moving',
      '--ca',
      ca.certificateFile,
      '--responder-cert',
      responder.file,
      '--responder-key',
      responder.keyFile,
      '--crl-key',
      ca.keyFile,
      '--ocsp-path',
      '/ocsp',
    );
    assert.equal(added.code, 0, added.stderr);
  });
  after(async () => {
    await service?.remove();
    ca.remove();
  });

  const asked = (serial: string, how: number): Promise<OcspAnswer> =>
    ask(issuer, serial, {
      port: how & 4 ? service.ports.origin : service.ports.public,
      path: '/ocsp',
      method: how & 1 ? 'GET' : 'POST',
      hash: how & 2 ? 'sha256' : 'sha1',
    });

  /** A few hundred certificates of every status; the answer to each is checked. */
  async function checkSample(): Promise<number> {
    const sample: (readonly [string, string, string | undefined])[] = [
      ...revoked.map(
        ({ serial }, place) => [serial, 'revoked', (WAYS[place % WAYS.length] as (typeof WAYS)[number])[1]] as const,
      ),
      ...expired.map(({ serial }) => [serial, 'unauthorized', undefined] as const),
      ...Array.from(
        { length: 400 },
        () => [(bulk[Math.floor(Math.random() * bulk.length)] as IssuedFile).serial, 'good', undefined] as const,
      ),
      ...Array.from(
        { length: 100 },
        () => [`5${randomBytes(15).toString('hex').slice(1)}c`, 'unauthorized', undefined] as const,
      ),
      // Refused by the import: better no answer than a wrong one.
      [held.serial, 'unauthorized', undefined],
    ];
    let how = 0;
    await pool(sample, 8, async ([serial, status, reason]) => {
      const way = how++;
      let answer = await asked(serial, way);
      // Before all are signed: a client of a busy machine is told to come again after 2 s.
      for (let times = 0; answer.status === 'tryLater' && times < 20; times++) answer = await asked(serial, way);
      assert.deepEqual({ serial, status: answer.status, reason: answer.reason }, { serial, status, reason });
    });
    return sample.length;
  }

  it('import index goes on where a kill -9 ended it', async () => {
    const { child, done } = service.command(['--json', 'import', 'index', index, '--issuer', 'moving']);
    const audit = join(service.data, 'audit');
    await until(
      'some rows are in',
      () =>
        child.exitCode !== null ||
        (existsSync(audit) && readdirSync(audit).some((name) => statSync(join(audit, name)).size > 200_000)),
      30_000,
      2,
    );
    child.kill('SIGKILL');
    const cut = await done;
    assert.equal(cut.code, null, 'it was killed in the middle');
    const again = await service.run('--json', 'import', 'index', index, '--issuer', 'moving');
    const totals = JSON.parse(again.stdout) as Totals;
    assert.ok(totals.unchanged > 0, 'rows of the first run are known');
    assert.ok(totals.accepted > 0, 'the rest was not');
    assert.equal(totals.rows, lines + 2);
    assert.equal(totals.accepted + totals.unchanged, lines - 1);
    // Rejected rows: exit 1, each with its line and why; the good ones are in.
    assert.equal(again.code, 1);
    assert.equal(totals.rejected, 3);
    assert.deepEqual(
      totals.rejectedRows.map(({ line }) => line),
      [REVOKED + 1, lines + 1, lines + 2],
    );
    assert.match(totals.rejectedRows[0]?.problem ?? '', /certificateHold.*CT-4\.9\.13/);
    const third = JSON.parse(
      (await service.run('--json', 'import', 'index', index, '--issuer', 'moving')).stdout,
    ) as Totals;
    assert.deepEqual([third.accepted, third.unchanged], [0, lines - 1]);
  });

  it('answers rightly from the moment its port is open, before most answers are signed', async (t) => {
    service.spawn();
    const startedAt = Date.now();
    await until('the port is open', () => asked(bulk[0]?.serial ?? '', 0).then(({ status }) => status === 'good', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? false : Promise.reject(error))), 30_000, 5); // prettier-ignore
    const openMs = Date.now() - startedAt;
    const signedAtOnce = await published();
    const count = await checkSample();
    t.diagnostic(
      `first answer ${openMs} ms after the start with ${signedAtOnce} answers signed; ${count} right answers within ${Date.now() - startedAt} ms`,
    );
  });

  async function published(): Promise<number> {
    const { body } = await service.get('/metrics', 'admin').catch(() => ({ body: Buffer.alloc(0) }));
    return Number(/^certstatus_published_certificates\{issuer="moving"\} (\d+)$/m.exec(body.toString())?.[1] ?? 0);
  }

  it('has signed everything that is not expired, and answers rightly', async (t) => {
    const startedAt = Date.now();
    // The responder certificate stands in the index like any other.
    await until(
      'the backlog is signed',
      async () => (await published()) === bulk.length + revoked.length + 1,
      60_000,
      200,
    );
    t.diagnostic(`backlog signed ${Date.now() - startedAt} ms later`);
    await checkSample();
  });

  it('OpenSSL believes answers of every status', async () => {
    const say = async (file: string): Promise<string> => {
      const { stdout, stderr } = await runProgram('openssl', [
        'ocsp',
        '-issuer',
        ca.certificateFile,
        '-CAfile',
        ca.certificateFile,
        '-cert',
        file,
        '-url',
        service.url('/ocsp'),
      ]).done;
      return stdout + stderr;
    };
    for (const { file } of bulk.slice(0, 3))
      assert.match(await say(file), /Response verify OK[\s\S]*: good|: good[\s\S]*Response verify OK/);
    for (const [place, { file }] of revoked.slice(0, WAYS.length).entries()) {
      const shown = await say(file);
      assert.match(shown, /Response verify OK/);
      const reason = (WAYS[place] as (typeof WAYS)[number])[1];
      if (reason === undefined) assert.doesNotMatch(shown, /Reason:/);
      else assert.match(shown, new RegExp(`Reason: ${reason}`));
    }
    assert.match(await say(expired[0]?.file ?? ''), /unauthorized/);
  });

  it('its CRL says what openssl ca -gencrl says', async () => {
    const theirs = readCrl(readFileSync(ca.generateCrl().der), issuer);
    const ours = readCrl((await service.get('/moving.crl')).body, issuer);
    const expected = new Map(theirs.entries);
    expected.delete(plainSerial(held.serial));
    assert.deepEqual(ours.entries, expected);
    assert.ok(ours.number > theirs.number);
  });

  describe('the other ways in, beside a running service', () => {
    const other = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Other CA', key: 'RSA-2048' });
    let otherIssuer: OcspIssuer;
    let certificates: readonly IssuedFile[];
    let precertificates: readonly IssuedFile[];
    let gone: readonly IssuedFile[];

    before(async () => {
      certificates = other.issue({ count: 60 });
      precertificates = other.issue({ count: 20, kind: 'precertificate' });
      gone = other.issue({ count: 10 });
      for (const certificate of gone) other.revoke(certificate, '-crl_reason', 'superseded');
      const responder = other.issueResponder();
      otherIssuer = issuerFromFile(other.certificateFile);
      await service.stop();
      const added = await service.run(
        'issuer',
        'add',
        'certs',
        '--ca',
        other.certificateFile,
        '--responder-cert',
        responder.file,
        '--responder-key',
        responder.keyFile,
        '--crl-key',
        other.keyFile,
      );
      assert.equal(added.code, 0, added.stderr);
      await service.start();
    });
    after(() => other.remove());

    const otherAsked = (serial: string): Promise<OcspAnswer> =>
      ask(otherIssuer, serial, { port: service.ports.public });

    it('import certs takes what the CA signed, precertificates included, and nothing else', async () => {
      const directory = join(other.directory, 'bring');
      mkdirSync(directory);
      for (const { file, serial } of [...certificates.slice(0, 30), ...precertificates])
        cpSync(file, join(directory, `${serial}.pem`));
      const foreign = bulk[0] as IssuedFile;
      cpSync(foreign.file, join(directory, 'foreign.pem'));
      // DER, but no certificate.
      writeFileSync(join(directory, 'broken.der'), Buffer.concat([Buffer.from('30820100', 'hex'), Buffer.alloc(256)]));
      const ran = await service.run('--json', 'import', 'certs', directory, '--issuer', 'certs');
      const totals = JSON.parse(ran.stdout) as Totals;
      assert.deepEqual([ran.code, totals.accepted, totals.rejected], [1, 50, 2], ran.stdout);
      for (const { serial } of [...certificates.slice(0, 30), ...precertificates])
        assert.equal((await otherAsked(serial)).status, 'good');
      assert.equal((await otherAsked(foreign.serial)).status, 'unauthorized');
      const [first] = precertificates as [IssuedFile];
      assert.equal(
        (await service.api('GET', `/v1/issuers/certs/certificates/${first.serial}`)).body.precertificate,
        true,
      );
    });

    it('import csv takes its good rows and names the lines of the others', async () => {
      const file = join(other.directory, 'rows.csv');
      const rows = [
        'serial,notAfter,status,revokedAt,reason',
        ...certificates.slice(30, 59).map(({ serial }) => `${serial},2027-05-01T00:00:00Z,good,,`),
        `${certificates[59]?.serial},2027-05-01T00:00:00Z,revoked,2026-10-01T00:00:00Z,keyCompromise`,
        'zz,2027-05-01T00:00:00Z,good,,',
        `aa01,2027-05-01T00:00:00Z,revoked,,`,
      ];
      writeFileSync(file, `${rows.join('\n')}\n`);
      const ran = await service.run('--json', 'import', 'csv', file, '--issuer', 'certs');
      const totals = JSON.parse(ran.stdout) as Totals;
      assert.deepEqual([ran.code, totals.accepted, totals.rejected], [1, 30, 2], ran.stdout);
      assert.deepEqual(
        totals.rejectedRows.map(({ line }) => line),
        [32, 33],
      );
      for (const { serial } of certificates.slice(30, 59)) assert.equal((await otherAsked(serial)).status, 'good');
      const { status, reason, revokedAt } = await otherAsked(certificates[59]?.serial ?? '');
      assert.deepEqual(
        { status, reason, revokedAt },
        { status: 'revoked', reason: 'keyCompromise', revokedAt: Date.parse('2026-10-01T00:00:00Z') },
      );
      assert.equal((await otherAsked('aa01')).status, 'unauthorized');
    });

    it('import crl revokes what it lists, and refuses a CRL of another CA', async () => {
      const { der } = other.generateCrl();
      const ran = await service.run('--json', 'import', 'crl', der, '--issuer', 'certs');
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal((JSON.parse(ran.stdout) as Totals).accepted, gone.length);
      const theirs = readCrl(readFileSync(der), otherIssuer);
      for (const { serial } of gone) {
        const { status, reason, revokedAt } = await otherAsked(serial);
        assert.deepEqual(
          { status, reason, revokedAt },
          { status: 'revoked', ...theirs.entries.get(plainSerial(serial)) },
        );
      }
      const foreign = await service.run('import', 'crl', ca.generateCrl().der, '--issuer', 'certs');
      assert.equal(foreign.code, 1);
      assert.match(foreign.stderr, /another CA/);
    });

    it('the CRL lists all of them in the end', async () => {
      const expected = new Set([
        ...gone.map(({ serial }) => plainSerial(serial)),
        plainSerial(certificates[59]?.serial ?? ''),
      ]);
      await until('they are listed', async () => {
        const { entries } = readCrl((await service.get('/certs.crl')).body, otherIssuer);
        return entries.size === expected.size && [...entries.keys()].every((serial) => expected.has(serial));
      });
    });
  });
});

/** Runs `work` over all items, so many at a time. */
async function pool<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < items.length) await work(items[next++] as T);
  })); // prettier-ignore
}
