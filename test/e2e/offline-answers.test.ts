/** A root without responder certificates, whose OCSP answers are signed offline with its own key (ocsp.signedBy: ca). OpenSSL is the client. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { OfflineRoot, type SubordinateCa } from '../support/offline-root.ts';
import { Service } from '../support/service.ts';

const PERSONS = ['--person', 'Alice', '--person', 'Bob'];
const SUBJECT = { C: 'JP', O: 'certstatus tests', CN: 'Root without responders' };

describe('answers that the CA signs offline', () => {
  let root: OfflineRoot;
  let service: Service;
  let [first, second]: SubordinateCa[] = [];
  before(async () => {
    root = new OfflineRoot({ subject: SUBJECT, key: 'P-384', keyUsage: 'digitalSignature, keyCertSign, cRLSign' });
    [first, second] = [root.issueSubordinate(), root.issueSubordinate()];
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    await service.json('issuer', 'add', 'root', '--preset', 'offline-root', '--ca', root.certificateFile, '--ocsp-signed-by', 'ca'); // prettier-ignore
    await service.json('import', 'certs', first.file, second.file, '--issuer', 'root');
    await service.start();
  });
  after(async () => {
    await service.remove();
    root.remove();
  });

  const at = (name: string): string => join(root.directory, name);
  const ceremony = async (name: string): Promise<void> => {
    await service.json('offline', 'export', '--issuer', 'root', '--crl', '--ocsp', '--out', at(`${name}.json`));
    const digest = createHash('sha256').update(readFileSync(at(`${name}.json`))).digest('hex'); // prettier-ignore
    await service.json('offline', 'sign', at(`${name}.json`), '--ca', root.certificateFile, '--key', root.keyFile, ...PERSONS, '--yes-digest', digest.slice(-8), '--out', at(`${name}-signed.json`)); // prettier-ignore
  };
  const ask = (certificate: SubordinateCa | undefined, hash: '-sha1' | '-sha256' = '-sha1'): string =>
    root.ask('ocsp', '-issuer', root.certificateFile, hash, '-cert', certificate?.file ?? '', '-CAfile', root.certificateFile, '-url', service.url('/'), '-no_nonce', '-resp_text').text; // prettier-ignore

  it('gets tryLater until there is one', () => {
    assert.match(ask(first), /trylater/);
  });

  it('are served with both CertID hashes, by the CA key, without a certificate (T-16)', async () => {
    await ceremony('one');
    const { items } = await service.json('offline', 'import', at('one-signed.json'));
    assert.deepEqual(
      items.map(({ kind, outcome }: { kind: string; outcome: string }) => [kind, outcome]),
      [
        ['crl', 'published'],
        ['ocsp', 'published'],
        ['ocsp', 'published'],
      ],
    );
    for (const hash of ['-sha1', '-sha256'] as const) {
      const text = ask(first, hash);
      assert.match(text, /Response verify OK/);
      assert.match(text, /\.pem: good/);
      assert.match(text, /ecdsa-with-SHA384/);
      assert.doesNotMatch(text, /BEGIN CERTIFICATE|Certificate:/);
    }
  });

  it('go at once when the certificate is revoked, and never come back (P2)', async () => {
    await service.json('revoke', '--serial', first?.serial ?? '', '--issuer', 'root', '--reason', 'superseded');
    assert.match(ask(first), /trylater/);
    const again = await service.run('--json', 'offline', 'import', at('one-signed.json'));
    assert.equal(again.code, 1);
    const { items } = JSON.parse(again.stdout) as { items: { kind: string; outcome: string; why?: string }[] };
    const refused = items.filter(({ outcome }) => outcome === 'refused');
    assert.deepEqual([refused.length, refused[0]?.kind], [1, 'ocsp']);
    assert.match(refused[0]?.why ?? '', /in the ledger it is revoked .* superseded: export again/);
    assert.match(ask(first), /trylater/);
    assert.match(ask(second), /: good/);
  });

  it('say revoked after the next ceremony, with the reason (B-33), as the CRL does', async () => {
    await ceremony('two');
    await service.json('offline', 'import', at('two-signed.json'));
    const text = ask(first, '-sha256');
    assert.match(text, /Response verify OK/);
    assert.match(text, /Reason: superseded/);
    writeFileSync(at('served.der'), (await service.get('/root.crl')).body);
    root.run('crl', '-inform', 'DER', '-in', 'served.der', '-out', 'served.pem');
    const checked = root.ask('verify', '-CAfile', root.certificateFile, '-CRLfile', 'served.pem', '-crl_check', first?.file ?? ''); // prettier-ignore
    assert.match(checked.text, /certificate revoked/);
  });

  it('are served after kill -9', async () => {
    await service.kill();
    await service.start();
    assert.match(ask(first), /: revoked/);
    assert.match(ask(second), /Response verify OK/);
  });

  it('are refused where the CA certificate does not permit them (T-20, B-23)', async () => {
    const other = new OfflineRoot({ subject: { ...SUBJECT, CN: 'Root that signs no answers' }, key: 'P-256' });
    const refused = await service.run('issuer', 'add', 'other', '--preset', 'offline-root', '--ca', other.certificateFile, '--ocsp-signed-by', 'ca'); // prettier-ignore
    other.remove();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /no digitalSignature/);
  });
});
