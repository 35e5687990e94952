/**
 * A SECOM root as its preset has it, with a root that this test makes: its CRL and its responder certificate are signed offline, with
 * a key in a file and with one in a token, and OpenSSL says what both channels then say.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { AdminClient } from '../support/admin-client.ts';
import { OfflineRoot, type SubordinateCa } from '../support/offline-root.ts';
import { Service, until } from '../support/service.ts';
import { missingSofthsm, softToken } from '../support/softhsm.ts';

const HOST = 'repository.secomtrust.net';
const CRL_PATH = '/SC-Root2/SCRoot2CRL.crl';
const OCSP_HOST = 'scrootca2.ocsp.secomtrust.net';
/** What the CPS leaves to a CP (SR-4.9). */
const TIMING = ['--ocsp-validity', '4d', '--ocsp-refresh-after', '1d', '--crl-period', '30d', '--crl-validity', '60d'];
const PERSONS = ['--person', 'Alice', '--person', 'Bob'];

describe('a SECOM root, signed offline', () => {
  let root: OfflineRoot;
  let service: Service;
  let responderKey: string;
  let [first, second]: SubordinateCa[] = [];
  before(async () => {
    root = new OfflineRoot({
      subject: { C: 'JP', O: 'SECOM Trust Systems CO.,LTD.', OU: 'Security Communication RootCA2' },
      // A key identifier is whatever the certificate says (RFC 5280 §4.2.1.2): so this root passes for the one of the preset.
      keyId: '0A85A9776505987C4081F80F972C38F10AEC3CCF',
      key: 'RSA-2048',
      crlUrl: `http://${HOST}${CRL_PATH}`,
    });
    [first, second] = [root.issueSubordinate(), root.issueSubordinate()];
    responderKey = root.generateKey('responder.key', 'RSA-2048');
    service = await Service.create(missingSofthsm === false ? { SOFTHSM2_CONF: '' } : {});
    assert.equal((await service.run('init')).code, 0);
    await service.json(
      'issuer',
      'add',
      'root2',
      '--preset',
      'secom-sc-rootca2',
      '--ca',
      root.certificateFile,
      ...TIMING,
    );
    await service.json('import', 'certs', first.file, second.file, '--issuer', 'root2');
    await service.start();
  });
  after(async () => {
    await service.remove();
    root.remove();
  });

  const at = (name: string): string => join(root.directory, name);
  const crl = async (): Promise<string> => {
    const { status, headers, body } = await service.get(CRL_PATH, 'public', { host: HOST });
    assert.deepEqual([status, headers['content-type']], [200, 'application/pkix-crl']);
    writeFileSync(at('served.der'), body);
    root.run('crl', '-inform', 'DER', '-in', 'served.der', '-out', 'served.pem');
    return at('served.pem');
  };
  const verify = async ({ file }: SubordinateCa): Promise<{ ok: boolean; text: string }> =>
    root.ask('verify', '-CAfile', root.certificateFile, '-CRLfile', await crl(), '-crl_check_all', file);
  const ocsp = ({ file }: SubordinateCa): { ok: boolean; text: string } =>
    root.ask('ocsp', '-issuer', root.certificateFile, '-cert', file, '-CAfile', root.certificateFile, '-url', service.url('/'), '-header', `Host=${OCSP_HOST}`, '-no_nonce'); // prettier-ignore
  const digits = (sha256: string): readonly string[] => ['--yes-digest', sha256.slice(-8)];

  it('gets its first CRL and its responder certificate from one request', async () => {
    const exported = await service.json('offline', 'export', '--issuer', 'root2', '--crl', '--responder-csr', responderKey, '--responder-subject', '/C=JP/O=SECOM Trust Systems CO.,LTD./CN=Root2 OCSP Responder', '--responder-validity', '125d', '--out', at('request.json')); // prettier-ignore
    assert.equal(exported.items, 2);
    const fingerprint = root
      .run('x509', '-in', 'root.pem', '-noout', '-fingerprint', '-sha256')
      .split('=')[1] as string;
    // SR-8.6-a: upper case, without colons.
    assert.ok(exported.summary.includes(`CA certificate SHA-256: ${fingerprint.trim().replaceAll(':', '')}`));
    const signed = await service.json('offline', 'sign', at('request.json'), '--ca', root.certificateFile, '--key', root.keyFile, '--preset', 'secom-sc-rootca2', ...PERSONS, ...digits(exported.sha256), '--out', at('signed.json')); // prettier-ignore
    assert.equal(signed.items, 2);
    for (const file of ['request.json', 'signed.json'])
      assert.doesNotMatch(readFileSync(at(file), 'utf8'), /PRIVATE KEY/);
    const { items } = await service.json('offline', 'import', at('signed.json'));
    assert.deepEqual(
      items.map(({ kind, outcome }: { kind: string; outcome: string }) => [kind, outcome]),
      [
        ['responder', 'published'],
        ['crl', 'published'],
      ],
    );
  });

  it('serves a CRL that OpenSSL accepts for the whole chain (T-40: complete, for CA and responder certificates)', async () => {
    const text = root.ask('crl', '-in', await crl(), '-CAfile', root.certificateFile, '-noout', '-text').text;
    assert.match(text, /verify OK/);
    assert.match(text, /No Revoked Certificates/);
    assert.doesNotMatch(text, /Issuing Distribution Point/);
    assert.match((await verify(first as SubordinateCa)).text, /: OK/);
  });

  it('answers OCSP with the certificate that the root has issued', async () => {
    await until('an answer is signed', () => / good/.test(ocsp(first as SubordinateCa).text), 20_000);
    assert.match(ocsp(first as SubordinateCa).text, /Response verify OK/);
    const { responders } = (await service.api('GET', '/v1/issuers/root2/responders')).body;
    const days = (Date.parse(responders[0].notAfter) - Date.parse(responders[0].notBefore) + 1000) / 86_400_000;
    // SR-6.3.2-b: both ends count.
    assert.equal(days, 125);
  });

  it('shows the 24 hours of a revocation that is on no CRL, and stays ready', async () => {
    await service.json(
      'revoke',
      '--serial',
      (first as SubordinateCa).serial,
      '--issuer',
      'root2',
      '--reason',
      'cessationOfOperation',
    );
    // OCSP does not wait for the ceremony: its key is online.
    await until('OCSP says revoked', () => / revoked/.test(ocsp(first as SubordinateCa).text), 20_000);
    const page = (await (await AdminClient.signedIn(service.data, service.ports.admin)).get('/')).body.toString();
    assert.match(page, /root2: a revocation recorded .* is on no CRL; its 24 hours end/);
    assert.match(page, /offline export --issuer root2 --crl/);
    assert.match(
      (await service.get('/metrics', 'admin')).body.toString(),
      /certstatus_offline_remaining_seconds\{[^}]*kind="crl"/,
    );
    assert.equal((await service.get('/readyz', 'admin')).status, 200);
    assert.match((await verify(first as SubordinateCa)).text, /: OK/);
  });

  it('lists the revocation on the next CRL, signed in a token', { skip: missingSofthsm }, async () => {
    const token = softToken({ label: 'root', pin: 'offline-root-pin-1' });
    try {
      token.importKey(createPrivateKey(readFileSync(root.keyFile)), 'root2', '01');
      const exported = await service.json(
        'offline',
        'export',
        '--issuer',
        'root2',
        '--crl',
        '--out',
        at('request-2.json'),
      );
      const serial = (first as SubordinateCa).serial.toLowerCase();
      assert.ok(
        exported.summary.some(
          (line: string) => line.includes(`added: ${serial}`) && line.includes('cessationOfOperation'),
        ),
      );
      const sign = ['offline', 'sign', at('request-2.json'), '--ca', root.certificateFile, '--key', 'pkcs11:token=root;object=root2', '--module', token.module, '--previous', await crl(), '--preset', 'secom-sc-rootca2', ...PERSONS, ...digits(exported.sha256), '--out', at('signed-2.json')]; // prettier-ignore
      const signer = await Service.create({ SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string });
      const { code, stderr } = await signer.command(sign, 'offline-root-pin-1\n').done;
      await signer.remove();
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /offline-root-pin-1/);
      await service.json('offline', 'import', at('signed-2.json'));
    } finally {
      token.remove();
    }
    assert.match((await verify(first as SubordinateCa)).text, /certificate revoked/);
    assert.match((await verify(second as SubordinateCa)).text, /: OK/);
    assert.match(root.ask('crl', '-in', await crl(), '-noout', '-text').text, /Cessation Of Operation/);
    assert.match(ocsp(first as SubordinateCa).text, /Reason: cessationOfOperation/);
  });

  it('takes the same material again without harm, and never an older CRL', async () => {
    const before = readFileSync(await crl());
    const again = await service.json('offline', 'import', at('signed-2.json'));
    assert.deepEqual(
      again.items.map(({ outcome }: { outcome: string }) => outcome),
      ['known'],
    );
    const { code, stdout } = await service.run('--json', 'offline', 'import', at('signed.json'));
    assert.equal(code, 1);
    const { items } = JSON.parse(stdout) as { items: { outcome: string; why?: string }[] };
    assert.deepEqual(
      items.map(({ outcome }) => outcome),
      ['known', 'refused'],
    );
    assert.match(items[1]?.why ?? '', /not greater|C-10/);
    assert.deepEqual(readFileSync(await crl()), before);
  });
});
