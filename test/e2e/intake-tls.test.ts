/** Who is let in by the intake's TLS: no old version, no other CA, no revoked client certificate (NS-02). OpenSSL knocks. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { clientCertificate } from '../support/client-certificate.ts';
import { runProgram, Service, until, type Credentials } from '../support/service.ts';

describe('TLS of the intake', () => {
  let service: Service;
  let stolen: Credentials;
  const at = (name: string): string => join(service.data, 'intake', name);
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { cwd: join(service.data, 'intake'), stdio: 'pipe' });

  /** Signs a CRL of the CA for clients, with what the index lists. */
  function signCrl(): void {
    openssl('ca', '-config', 'crl.cnf', '-gencrl', '-crldays', '1', '-out', 'client-ca.crl');
  }

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    stolen = clientCertificate(join(service.data, 'intake'), 'stolen');
    writeFileSync(at('index.txt'), '');
    writeFileSync(
      at('crl.cnf'),
      '[ca]\ndefault_ca=default\n[default]\ndatabase=index.txt\ncertificate=client-ca.pem\nprivate_key=client-ca.key\ndefault_md=sha256\n',
    );
    signCrl();
    const file = join(service.data, 'certstatus.yaml');
    const yaml = readFileSync(file, 'utf8');
    writeFileSync(
      file,
      yaml
        .replace(/^( {2}clientCa: .*)$/m, '$1\n  clientCrl: intake/client-ca.crl')
        .replace(/^( {2}clients:)$/m, "$1\n    - { name: stolen, issuers: ['*'], may: [read] }"),
    );
  });
  after(() => service.remove());

  const openapi = async (as?: Credentials | null): Promise<number> =>
    (await service.api('GET', '/openapi.json', undefined, as)).status;

  it('lets in whom the CA for clients has certified, and nobody without a certificate', async () => {
    await service.start('--demo');
    assert.equal(await openapi(), 200);
    assert.equal(await openapi(stolen), 200);
    await assert.rejects(openapi(null));
  });

  it('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    for (const [version, works] of [
      ['tls1_1', false],
      ['tls1_2', true],
      ['tls1_3', true],
    ] as const) {
      const args = ['s_client', '-connect', `127.0.0.1:${service.ports.intake}`, `-${version}`, '-cipher', 'DEFAULT@SECLEVEL=0', '-cert', at('operator.pem'), '-key', at('operator.key')]; // prettier-ignore
      const { stdout } = await runProgram('openssl', args).done;
      assert.equal(/Cipher is (?!\(NONE\))/.test(stdout), works, `${version}: ${stdout.slice(-600)}`);
    }
  });

  it('refuses a client certificate of another CA, and records that', async () => {
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=operator', '-keyout', 'other.key', '-out', 'other.pem', '-config', 'empty.cnf'); // prettier-ignore
    await assert.rejects(openapi({ cert: readFileSync(at('other.pem')), key: readFileSync(at('other.key')) }));
    const audit = join(service.data, 'audit');
    const records = (): string =>
      readdirSync(audit)
        .map((name) => readFileSync(join(audit, name), 'utf8'))
        .join('');
    await until('it is recorded', () =>
      /"type":"access\.denied".*TLS|"type":"access\.denied".*certificate/.test(records()),
    );
  });

  it('refuses one that is on the CRL of its CA, after a restart; the others go on', async () => {
    openssl('ca', '-config', 'crl.cnf', '-revoke', 'stolen.pem');
    signCrl();
    await service.stop();
    await service.start();
    assert.equal(await openapi(), 200);
    await assert.rejects(openapi(stolen));
  });

  it('refuses one whose name was taken out of the configuration, after a restart', async () => {
    const file = join(service.data, 'certstatus.yaml');
    const yaml = readFileSync(file, 'utf8');
    writeFileSync(file, yaml.replace(/^ {2}clientCrl: .*\n/m, '').replace(/^ {4}- \{ name: stolen.*\n/m, ''));
    await service.stop();
    await service.start();
    const { status } = await service.api('GET', '/v1/issuers/demo/certificates/01', undefined, stolen);
    assert.equal(status, 403);
  });
});
