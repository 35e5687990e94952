/**
 * `npm start`, asked by the programs that people have: OpenSSL, GnuTLS, curl, and web servers that staple. Whether an answer
 * is right is decided by them.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plainSerial, readCrl } from '../support/ocsp-client.ts';
import { freePorts, runProgram, Service, until, type Ran } from '../support/service.ts';

const OPENSSL = 'openssl';
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const skipWithout = (program: string): { skip?: string } =>
  has(program) ? {} : { skip: `${program} is not installed` };

describe('clients of the demo', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service.remove());

  const openssl = (...args: string[]): Promise<Ran> => runProgram(OPENSSL, args, { cwd: service.directory }).done;
  const ocsp = (certificate: string, ...more: string[]): Promise<Ran> =>
    openssl(
      'ocsp',
      '-issuer',
      service.demo.ca,
      '-CAfile',
      service.demo.ca,
      '-url',
      service.url('/OcspServer'),
      ...more,
      '-cert',
      certificate,
    );
  const revocation = (): { revokedAt: string; reason: string } =>
    JSON.parse(readFileSync(join(service.data, 'issuers/demo/samples/revocation.json'), 'utf8')) as {
      revokedAt: string;
      reason: string;
    };

  /** The CRL, once the demo's own revocation is on it. */
  const listing = async (): Promise<{ body: Buffer }> => {
    let answer = await service.get('/SureServer/demo/cdp.crl');
    await until('the CRL lists a certificate', async () => {
      answer = await service.get('/SureServer/demo/cdp.crl');
      return answer.status === 200 && readCrl(answer.body, service.demo.issuer).entries.size > 0;
    });
    return answer;
  };

  for (const how of [[], ['-no_nonce'], ['-sha256'], ['-sha256', '-no_nonce']] as const) {
    it(`openssl ocsp ${how.join(' ') || '(with nonce)'} believes good and revoked`, async () => {
      const good = await ocsp(service.demo.valid, ...how);
      assert.equal(good.code, 0, good.stderr);
      assert.match(good.stderr, /Response verify OK/);
      assert.match(good.stdout, /valid\.pem: good/);
      const revoked = await ocsp(service.demo.revoked, ...how);
      assert.equal(revoked.code, 0, revoked.stderr);
      assert.match(revoked.stderr, /Response verify OK/);
      assert.match(revoked.stdout, /revoked\.pem: revoked/);
      const { revokedAt, reason } = revocation();
      assert.match(revoked.stdout, new RegExp(`Reason: ${reason}`));
      const time = /Revocation Time: (.*)/.exec(revoked.stdout)?.[1] ?? '';
      assert.equal(Date.parse(time), Date.parse(revokedAt));
    });
  }

  it('openssl ocsp hears unauthorized for what has expired', async () => {
    const { stdout, stderr } = await ocsp(service.demo.expired);
    assert.match(stdout + stderr, /unauthorized \(6\)/);
  });

  it('the commands that the demo prints do what they say', async () => {
    const printed = service.out.split('\n').filter((line) => /^ +openssl ocsp|^ +curl/.test(line));
    assert.equal(printed.length, 3, service.out);
    const ran = printed.map((line) => runProgram('sh', ['-c', line], { cwd: service.directory }).done);
    const [good, revoked, crl] = await Promise.all(ran);
    assert.match(good?.stdout ?? '', /: good/);
    assert.match(revoked?.stdout ?? '', /: revoked/);
    assert.match(crl?.stdout ?? '', /X509v3 CRL Number/);
  });

  it('revoke --wait returns when OpenSSL and the CRL say revoked', async (t) => {
    const serial = '5a00000000000000000000000000c11e';
    const issued = await service.json(
      'issue',
      '--issuer',
      'demo',
      '--serial',
      serial,
      '--not-after',
      '2027-06-01T00:00:00Z',
      '--wait',
    );
    assert.equal(issued.receipts[0].state, 'visible');
    const say = async (): Promise<string> =>
      (
        await openssl(
          'ocsp',
          '-issuer',
          service.demo.ca,
          '-CAfile',
          service.demo.ca,
          '-serial',
          `0x${serial}`,
          '-url',
          service.url('/OcspServer'),
        )
      ).stdout;
    assert.match(await say(), /: good/);
    const startedAt = Date.now();
    const revoked = await service.json(
      'revoke',
      '--issuer',
      'demo',
      '--serial',
      serial,
      '--reason',
      'keyCompromise',
      '--wait',
    );
    t.diagnostic(`visible ${Date.now() - startedAt} ms after the command was started`);
    assert.equal(revoked.receipts[0].state, 'visible');
    assert.match(await say(), /: revoked[\s\S]*Reason: keyCompromise/);
    const { body } = await service.get('/SureServer/demo/cdp.crl');
    assert.equal(readCrl(body, service.demo.issuer).entries.get(plainSerial(serial))?.reason, 'keyCompromise');
    // What was published passes our own rules too, as an operator would check it.
    const file = join(service.directory, 'published.crl');
    writeFileSync(file, body);
    const linted = await service.run('lint', file);
    assert.equal(linted.code, 0, linted.stdout);
  });

  describe('GnuTLS', skipWithout('ocsptool'), () => {
    for (const [name, expected] of [
      ['valid', 'good'],
      ['revoked', 'revoked'],
    ] as const) {
      it(`ocsptool believes ${expected}`, async () => {
        const { ca } = service.demo;
        const { code, stdout, stderr } = await runProgram('ocsptool', [
          ...[`--ask=${service.url('/OcspServer')}`, '--load-issuer', ca, '--load-cert', service.demo[name], '--load-trust', ca],
        ]).done; // prettier-ignore
        assert.equal(code, 0, stdout + stderr);
        assert.match(stdout, new RegExp(`Certificate Status: ${expected}`));
        assert.match(stdout, /Verifying OCSP Response: Success/);
      });
    }
  });

  it('the CRL is believed by openssl crl and by openssl verify', async () => {
    const { body } = await listing();
    const [der, pem] = [join(service.directory, 'cdp.crl'), join(service.directory, 'cdp.pem')];
    writeFileSync(der, body);
    const shown = await openssl('crl', '-inform', 'DER', '-in', der, '-CAfile', service.demo.ca, '-out', pem);
    assert.match(shown.stderr, /verify OK/);
    const check = (certificate: string): Promise<Ran> =>
      openssl('verify', '-crl_check', '-CAfile', service.demo.ca, '-CRLfile', pem, certificate);
    const [good, revoked] = [await check(service.demo.valid), await check(service.demo.revoked)];
    assert.equal(good.code, 0, good.stderr);
    assert.notEqual(revoked.code, 0);
    assert.match(revoked.stderr, /certificate revoked/);
  });

  const handshake = async (port: number): Promise<string> => {
    const args = [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-servername',
      'localhost',
      '-status',
      '-CAfile',
      service.demo.ca,
    ];
    return (await runProgram(OPENSSL, args, { input: '' }).done).stdout;
  };

  /** The staple that a handshake brings, once the server has one: the first visitor usually gets none. */
  async function staple(port: number): Promise<string> {
    let shown = '';
    await until('the server staples', async () => {
      shown = await handshake(port);
      return shown.includes('OCSP Response Status');
    }, 20_000, 200); // prettier-ignore
    return shown;
  }

  async function withServer(
    program: string,
    args: readonly string[],
    port: number,
    test: () => Promise<void>,
  ): Promise<void> {
    const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise<void>((done) => child.once('close', () => done()));
    try {
      await until(`${program} is up`, () => {
        if (child.exitCode !== null) throw new Error(said);
        return canConnect(port);
      });
      await test();
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  }

  describe('nginx', skipWithout('nginx'), () => {
    /** Runs it with verified stapling; `test` gets its port and its error log. */
    async function withNginx(
      certificate: string,
      test: (port: number, log: () => string) => Promise<void>,
    ): Promise<void> {
      const [port] = (await freePorts(1)) as [number];
      const dir = mkdtempSync(join(service.directory, 'nginx-'));
      const log = join(dir, 'error.log');
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir};`)
        .join(' ');
      writeFileSync(join(dir, 'nginx.conf'), `daemon off; master_process off; pid ${dir}/pid; error_log ${log} info;
events { worker_connections 64; }
http {
  access_log off; ${temporary}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certificate}; ssl_certificate_key ${certificate.replace(/pem$/, 'key')};
    ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate ${service.demo.ca};
    return 204;
  }
}
`); // prettier-ignore
      await withServer('nginx', ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', log], port, () =>
        test(port, () => readFileSync(log, 'utf8')),
      );
    }

    it('verifies and staples good', () =>
      withNginx(service.demo.valid, async (port, log) => {
        const shown = await staple(port);
        assert.match(shown, /OCSP Response Status: successful/);
        assert.match(shown, /Cert Status: good/);
        // What it does not believe it keeps to itself, and says why.
        assert.doesNotMatch(log(), /OCSP_basic_verify|\[error\]/);
      }));

    it('verifies and understands revoked, which it does not staple', () =>
      withNginx(service.demo.revoked, async (port, log) => {
        await until('it has asked', async () => {
          await handshake(port);
          return log().includes('certificate status');
        }, 20_000, 200); // prettier-ignore
        assert.match(log(), /certificate status "revoked" in the OCSP response/);
        assert.doesNotMatch(log(), /OCSP_basic_verify/);
      }));
  });

  it('Apache staples', skipWithout('apache2'), async () => {
    const [port] = (await freePorts(1)) as [number];
    const dir = join(service.directory, 'apache');
    mkdirSync(dir);
    const modules = '/usr/lib/apache2/modules';
    const chain = join(dir, 'chain.pem');
    writeFileSync(chain, readFileSync(service.demo.valid, 'utf8') + readFileSync(service.demo.ca, 'utf8'));
    writeFileSync(join(dir, 'apache.conf'), `ServerRoot ${dir}
ServerName localhost
PidFile ${dir}/pid
ErrorLog ${dir}/error.log
Listen 127.0.0.1:${port}
${['mpm_event', 'authz_core', 'socache_shmcb', 'ssl'].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
DefaultRuntimeDir ${dir}
Mutex file:${dir} default
SSLStaplingCache shmcb:${dir}/stapling(128000)
SSLEngine on
SSLUseStapling on
SSLCertificateFile ${chain}
SSLCertificateKeyFile ${service.demo.valid.replace(/pem$/, 'key')}
`); // prettier-ignore
    await withServer('apache2', ['-X', '-d', dir, '-f', join(dir, 'apache.conf')], port, async () => {
      const shown = await staple(port);
      assert.match(shown, /OCSP Response Status: successful/);
      assert.match(shown, /Cert Status: good/);
    });
  });
});

function canConnect(port: number): boolean {
  return spawnSync('bash', ['-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`], { stdio: 'ignore' }).status === 0;
}
