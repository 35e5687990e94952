/**
 * The next responder certificate comes into a running service: requested from our key, issued by a real `openssl ca`, installed
 * and changed over to, while clients go on asking. Then the service is restarted, and everything is as it was.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import { exchange } from '../support/http.ts';
import { getPath, issuerFromFile, ocspRequest, readAnswer, type OcspIssuer } from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { runProgram, Service, until } from '../support/service.ts';

const POPULATION = 60;
const RESPONDERS = '/v1/issuers/rolling/responders';

describe('a responder certificate is changed while the service runs', () => {
  const ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Rolling CA' });
  const hoursAgo = (hours: number): string =>
    `${new Date(Date.now() - hours * 3_600_000).toISOString().slice(0, 19).replace(/\D/g, '')}Z`;
  const keyFile = join(ca.directory, 'next.key');
  const certificateOf = (file: string): X509Certificate => new X509Certificate(readFileSync(file));
  const idOf = (file: string): string =>
    certificateOf(file).fingerprint256.replaceAll(':', '').slice(0, 8).toLowerCase();
  let issuer: OcspIssuer;
  let service: Service;
  let leaves: readonly IssuedFile[];
  let first: IssuedFile & { readonly keyFile: string };
  let next: IssuedFile;

  before(async () => {
    leaves = ca.issue({ count: POPULATION });
    // Both have been valid for more than a day, so that the newer one signs at once (T-18).
    first = ca.issueResponder(hoursAgo(48));
    issuer = issuerFromFile(ca.certificateFile);
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      ...['issuer', 'add', 'rolling', '--ca', ca.certificateFile, '--ocsp-path', '/ocsp', '--crl-key', ca.keyFile],
      ...['--responder-cert', first.file, '--responder-key', first.keyFile],
    );
    assert.equal(added.code, 0, added.stderr);
    const imported = await service.run('import', 'index', ca.indexFile, '--issuer', 'rolling');
    assert.ok(imported.code === 0, imported.stderr);
    const yaml = join(service.data, 'issuers', 'rolling', 'issuer.yaml');
    writeFileSync(yaml, `# kept by hand\n${readFileSync(yaml, 'utf8')}`);
    await service.start();
  });
  after(async () => {
    await service?.remove();
    ca.remove();
  });

  /** Asks as a relying party does; which responder certificate has signed. @throws when the answer would be refused. */
  async function signerOf(serial: string, hash: 'sha1' | 'sha256' = 'sha1'): Promise<string> {
    const request = ocspRequest(issuer, serial, hash);
    const answer = await exchange({ port: service.ports.public, path: getPath('/ocsp', request) });
    assert.equal(readAnswer(answer, issuer, serial, hash).status, 'good');
    const by = [first, next].find((one) => one !== undefined && answer.body.includes(certificateOf(one.file).raw));
    assert.ok(by !== undefined, 'signed by one of the two');
    return idOf(by.file);
  }

  const all = (): Promise<readonly string[]> =>
    Promise.all(leaves.flatMap(({ serial }) => [signerOf(serial, 'sha1'), signerOf(serial, 'sha256')]));

  /** Clients that go on asking until they are told to stop. */
  function askOn(): () => Promise<number> {
    let going = true;
    let count = 0;
    const client = async (from: number): Promise<void> => {
      for (let i = from; going; i++) {
        await signerOf((leaves[i % leaves.length] as IssuedFile).serial, i % 2 === 0 ? 'sha1' : 'sha256');
        count += 1;
        await sleep(2);
      }
    };
    const asking = Promise.all([client(0), client(17), client(34)]);
    asking.catch(() => undefined);
    return async () => {
      going = false;
      await asking;
      return count;
    };
  }

  it('csr: openssl verifies the request, and the CA issues from it', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const csr = join(ca.directory, 'next.csr');
    const ran = await service.run('key', 'csr', '--issuer', 'rolling', '--key', keyFile, '--out', csr);
    assert.equal(ran.code, 0, ran.stderr);
    const verified = await runProgram('openssl', ['req', '-in', csr, '-verify', '-noout', '-subject']).done;
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /Test OCSP responder/, 'the subject of the certificate before it');
    next = ca.issueResponderFrom('next.csr', hoursAgo(30));
  });

  it('install: refuses what does not fit, and changes nothing then', async () => {
    const yaml = join(service.data, 'issuers', 'rolling', 'issuer.yaml');
    const before = readFileSync(yaml, 'utf8');
    const certificate = readFileSync(next.file, 'latin1');
    const post = (body: object): Promise<{ status: number; body: { field?: string; rule?: string } }> =>
      service.api('POST', RESPONDERS, body);
    for (const [body, status, field] of [
      [{ certificate, key: first.keyFile }, 422, '/key'],
      [{ certificate, key: '/nowhere.key' }, 422, '/key'],
      [
        { certificate: readFileSync((leaves[0] as IssuedFile).file, 'latin1'), key: ca.leafKeyFile },
        422,
        '/certificate',
      ],
      [{ certificate: 'AAAA', key: keyFile }, 400, '/certificate'],
      [{ certificate: certificate + certificate, key: keyFile }, 400, '/certificate'],
      [{ certificate }, 400, '/key'],
    ] as const) {
      const answer = await post(body);
      assert.deepEqual([answer.status, answer.body.field], [status, field], JSON.stringify(answer.body));
    }
    assert.equal(readFileSync(yaml, 'utf8'), before);
    const other = await service.api('POST', '/v1/issuers/nobody/responders', { certificate, key: keyFile });
    assert.equal(other.status, 404);
  });

  it('install: signs with the new one from then on, without a restart and without a failed answer', async () => {
    const stop = askOn();
    const args = ['key', 'install', '--issuer', 'rolling', '--cert', next.file, '--key', keyFile];
    const done = await service.json(...args);
    assert.deepEqual([done.id, done.installed], [idOf(next.file), true]);
    const again = { certificate: readFileSync(next.file).toString(), key: keyFile };
    assert.equal((await service.api('POST', RESPONDERS, again)).body.installed, false, 'again changes nothing');
    const view = (await service.api('GET', RESPONDERS)).body.responders as {
      id: string;
      signs: boolean;
    }[];
    assert.deepEqual(
      view.map(({ id, signs }) => [id, signs]),
      [
        [idOf(next.file), true],
        [idOf(first.file), false],
      ],
    );
    // What is signed anew comes from the new one; the rest is served to its refresh.
    const [late] = ca.issue() as [IssuedFile];
    const certificates = [{ certificate: certificateOf(late.file).raw.toString('base64') }];
    assert.equal((await service.api('POST', '/v1/issuers/rolling/certificates', { certificates })).status, 200);
    assert.equal(await signerOf(late.serial), idOf(next.file));
    assert.ok((await all()).includes(idOf(first.file)));
    assert.ok((await stop()) > 0);
  });

  it('rollover: every answer is by the new one, without a failed answer', async () => {
    const stop = askOn();
    const done = await service.json('key', 'rollover', '--issuer', 'rolling', '--responder', idOf(first.file));
    assert.deepEqual([done.id, done.use], [idOf(first.file), 'answers']);
    await until('all are signed by the new one', async () => (await all()).every((id) => id === idOf(next.file)));
    assert.ok((await stop()) > 0);
    const again = await service.api('POST', `${RESPONDERS}/${idOf(first.file)}/retirement`, {});
    assert.deepEqual([again.status, again.body.toReplace], [200, 0]);
    const refused = await service.run('key', 'rollover', '--issuer', 'rolling', '--responder', idOf(next.file));
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /nothing else could sign/);
    const metrics = (await service.get('/metrics', 'admin')).body.toString();
    assert.match(
      metrics,
      new RegExp(`certstatus_signing_responder{issuer="rolling",certificate="${idOf(next.file)}"} 1`),
    );
    assert.match(metrics, /certstatus_responder_successor_due_seconds{issuer="rolling"}/);
  });

  it('survives a kill -9 and a restart', async () => {
    await service.kill();
    await service.start();
    assert.ok((await all()).every((id) => id === idOf(next.file)));
    const document = parseDocument(readFileSync(join(service.data, 'issuers', 'rolling', 'issuer.yaml'), 'utf8'));
    assert.match(document.toString(), /^# kept by hand/);
    const { responders } = document.toJS() as { responders: { certificate: string; use?: string }[] };
    assert.deepEqual(
      responders.map(({ certificate, use }) => [certificate, use]),
      [
        ['responder-1.pem', 'answers'],
        [`responder-${idOf(next.file)}.pem`, undefined],
      ],
    );
    const view = (await service.api('GET', RESPONDERS)).body.responders as { id: string }[];
    assert.equal(view.length, 2);
  });

  it('--drop serves none of its answers, rather tryLater; and it is all in the audit log', async () => {
    const done = await service.json('key', 'rollover', '--issuer', 'rolling', '--responder', idOf(next.file), '--drop');
    assert.equal(done.use, 'nothing');
    const { serial } = leaves[0] as IssuedFile;
    const answer = await exchange({ port: service.ports.public, path: getPath('/ocsp', ocspRequest(issuer, serial)) });
    assert.equal(readAnswer(answer, issuer, serial, 'sha1').status, 'tryLater');
    assert.equal(
      (
        await service.api('POST', RESPONDERS, {
          certificate: readFileSync(next.file, 'latin1'),
          key: keyFile,
        })
      ).status,
      409,
    );
    await service.stop();
    const exported = (await service.run('audit', 'export')).stdout.trim().split('\n');
    const records = exported.map((line) => JSON.parse(line) as { type: string; actor: string });
    const types = records.map(({ type }) => type).filter((type) => type.startsWith('responder.'));
    assert.deepEqual(
      [...new Set(types)],
      ['responder.requested', 'responder.key-proof', 'responder.installed', 'responder.retired'],
    );
    assert.ok(
      records.filter(({ type }) => type.startsWith('responder.')).every(({ actor }) => actor.startsWith('operator')),
    );
    assert.equal((await service.run('audit', 'verify')).code, 0);
  });

  it('works on a stopped service too, for its next start', async () => {
    const third = ca.issueResponder();
    const done = await service.json(
      ...['key', 'install', '--issuer', 'rolling', '--cert', third.file, '--key', third.keyFile],
    );
    assert.equal(done.installed, true);
    await service.start();
    const { serial } = leaves[0] as IssuedFile;
    next = third;
    assert.equal(await signerOf(serial), idOf(third.file));
  });
});
