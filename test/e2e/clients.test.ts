/**
 * `npm start`, asked by what people have at hand: the commands that it prints, OpenSSL and curl. Whether an answer is right is
 * decided by them. Every other client is in test/clients.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plainSerial, readCrl } from '../support/ocsp-client.ts';
import { runProgram, Service, until, type Ran } from '../support/service.ts';

const OPENSSL = 'openssl';

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
});
