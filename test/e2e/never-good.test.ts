/**
 * P3: `good` only for what this very issuer issued. Two CAs of one name, one serial under several issuers, expired
 * certificates, right after the start, during an import, after a restart: by GET and POST, both CertID hashes, both listeners.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, issuerFromFile, type OcspAnswer, type OcspIssuer } from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { Service, until } from '../support/service.ts';

const NAME = '/C=JP/O=certstatus tests/CN=One Name';
const SHARED = '5500000000000000000000000000AA01';

describe('never good for what was not issued', () => {
  /** One name, two keys (T-19); and another CA. */
  const cas = {
    first: new OpensslCa({ subject: NAME }),
    second: new OpensslCa({ subject: NAME }),
    other: new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Other' }),
  };
  /** Of the same name, but nobody has registered it. */
  const unregistered = new OpensslCa({ subject: NAME });
  let issuers: Record<keyof typeof cas, OcspIssuer>;
  let issued: Record<keyof typeof cas, readonly IssuedFile[]>;
  let expired: readonly IssuedFile[];
  let service: Service;

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    issued = { first: [], second: [], other: [] };
    issuers = {} as typeof issuers;
    for (const [id, ca] of Object.entries(cas) as [keyof typeof cas, OpensslCa][]) {
      issued[id] = [
        ...ca.issue({ count: 40 }),
        ...(id === 'first' || id === 'other' ? ca.issue({ serial: SHARED }) : []),
      ];
      issuers[id] = issuerFromFile(ca.certificateFile);
      const { file, keyFile } = ca.issueResponder();
      const added = await service.run(
        'issuer',
        'add',
        id,
        '--ca',
        ca.certificateFile,
        '--responder-cert',
        file,
        '--responder-key',
        keyFile,
        '--crl-key',
        ca.keyFile,
        '--ocsp-path',
        '/ocsp',
      );
      assert.equal(added.code, 0, added.stderr);
    }
    cas.other.revoke(issued.other.at(-1) as IssuedFile, '-crl_reason', 'superseded');
    expired = cas.first.issue({ count: 5, notBefore: '20240101000000Z', notAfter: '20250101000000Z' });
    for (const [id, ca] of Object.entries(cas))
      assert.equal((await service.run('import', 'index', ca.indexFile, '--issuer', id)).code, 0);
  });
  after(async () => {
    await service?.remove();
    for (const ca of [...Object.values(cas), unregistered]) ca.remove();
  });

  /** Every way to ask. */
  const WAYS = (['public', 'origin'] as const).flatMap((listener) =>
    (['GET', 'POST'] as const).flatMap((method) =>
      (['sha1', 'sha256'] as const).map((hash) => ({ listener, method, hash })),
    ),
  );
  const asked = (
    issuer: OcspIssuer,
    serial: string,
    { listener, method, hash }: (typeof WAYS)[number],
  ): Promise<OcspAnswer> => ask(issuer, serial, { port: service.ports[listener], path: '/ocsp', method, hash });
  const statuses = async (issuer: OcspIssuer, serial: string): Promise<string[]> => [
    ...new Set(await Promise.all(WAYS.map(async (way) => (await asked(issuer, serial, way)).status))),
  ];
  /** The same but for the last octet, and issued by nobody: openssl counts its serials up. */
  const neighbour = (serial: string): string => {
    const taken = new Set(issued.first.map((one) => one.serial));
    for (let tail = 0; ; tail++) {
      const near = `${serial.slice(0, -2)}${tail.toString(16).padStart(2, '0').toUpperCase()}`;
      if (!taken.has(near)) return near;
    }
  };
  const neverIssued = (): string => `5${randomBytes(15).toString('hex').slice(1)}b`;

  /** Hammers from before the port opens until `enough` answers have come. */
  async function hammer(enough: number): Promise<void> {
    let answers = 0;
    let way = 0;
    const deadline = Date.now() + 30_000;
    await Promise.all(Array.from({ length: 6 }, async () => {
      while (answers < enough) {
        assert.ok(Date.now() < deadline, 'the port opens');
        const turn = way++;
        const known = turn % 2 === 0;
        const certificate = issued.first[turn % 40] as IssuedFile;
        const serial = known ? certificate.serial : turn % 3 === 0 ? neighbour(certificate.serial) : neverIssued();
        let status: string;
        try {
          ({ status } = await asked(issuers.first, serial, WAYS[(turn >> 1) % WAYS.length] as (typeof WAYS)[number]));
        } catch (error) {
          if (['ECONNREFUSED', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code ?? '')) continue;
          throw error;
        }
        answers += 1;
        // Issued: its answer, or later; never a no. Not issued: never a yes.
        if (known) assert.ok(status === 'good' || status === 'tryLater', `${serial} ${status}`);
        else assert.equal(status, 'unauthorized', serial);
      }
    })); // prettier-ignore
  }

  it('right after the first start, asked from before the port opens', async () => {
    service.spawn();
    await hammer(1500);
  });

  it('under the issuer that issued it, and under no other', async () => {
    const own = (issued.first[0] as IssuedFile).serial;
    assert.deepEqual(await statuses(issuers.first, own), ['good']);
    assert.deepEqual(await statuses(issuers.second, own), ['unauthorized'], 'the same name with another key');
    assert.deepEqual(await statuses(issuers.other, own), ['unauthorized']);
    assert.deepEqual(
      await statuses(issuerFromFile(unregistered.certificateFile), own),
      ['unauthorized'],
      'a key nobody registered',
    );
    const { first, other } = issuers;
    assert.deepEqual(
      await statuses({ ...first, name: other.name }, own),
      ['unauthorized'],
      'the name of one with the key of the other',
    );
  });

  it('one serial of two issuers is two certificates', async () => {
    assert.deepEqual(await statuses(issuers.first, SHARED), ['good']);
    assert.deepEqual(await statuses(issuers.other, SHARED), ['revoked']);
    assert.deepEqual(await statuses(issuers.second, SHARED), ['unauthorized']);
  });

  it('not for an expired one', async () => {
    for (const { serial } of expired) assert.deepEqual(await statuses(issuers.first, serial), ['unauthorized']);
  });

  it('while an import is running', async () => {
    const rows = Array.from({ length: 5000 }, () => `5${randomBytes(15).toString('hex').slice(1)}c`);
    const file = join(service.directory, 'more.csv');
    writeFileSync(file, `serial,notAfter\n${rows.map((serial) => `${serial},2027-05-01T00:00:00Z`).join('\n')}\n`);
    const { child, done } = service.command(['import', 'csv', file, '--issuer', 'second']);
    let asks = 0;
    do {
      const way = WAYS[asks % WAYS.length] as (typeof WAYS)[number];
      assert.equal((await asked(issuers.second, neverIssued(), way)).status, 'unauthorized');
      // Its rows are the second CA's alone, however far the import is.
      const row = rows[asks++ % rows.length] as string;
      assert.equal((await asked(issuers.first, row, way)).status, 'unauthorized');
      const { status } = await asked(issuers.second, row, way);
      assert.ok(['good', 'unauthorized', 'tryLater'].includes(status), status);
    } while (child.exitCode === null);
    const { code, stderr } = await done;
    assert.equal(code, 0, stderr);
    for (const serial of rows.slice(-20)) assert.deepEqual(await statuses(issuers.second, serial), ['good']);
  });

  it('after a kill and a restart', async () => {
    await service.kill();
    service.spawn();
    await hammer(1500);
    assert.deepEqual(await statuses(issuers.other, SHARED), ['revoked']);
    await until('ready', async () => (await service.get('/readyz', 'admin').catch(() => undefined))?.status === 200);
  });
});
