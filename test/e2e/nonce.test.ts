/**
 * Nonces as OpenSSL and GnuTLS send and check them (RFC 9654), against the whole program with `ocsp.nonce: live`. What they say
 * decides.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { runProgram, Service, type Ran } from '../support/service.ts';

const gnutls = spawnSync('sh', ['-c', 'command -v ocsptool']).status === 0 ? {} : { skip: 'ocsptool is not installed' };
const LISTENERS = ['public', 'origin'] as const;

describe('nonces, live', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
    await service.stop();
    const file = join(service.data, 'issuers', 'demo', 'issuer.yaml');
    const document = parseDocument(readFileSync(file, 'utf8'));
    document.setIn(['ocsp', 'nonce'], 'live');
    document.setIn(['ocsp', 'live'], { perSecond: 200 });
    writeFileSync(file, document.toString());
    await service.start();
  });
  after(() => service.remove());

  const ocsp = (certificate: string, ...more: readonly string[]): Promise<Ran> => {
    const { ca } = service.demo;
    const args = [
      'ocsp',
      '-issuer',
      ca,
      '-CAfile',
      ca,
      '-url',
      service.url('/OcspServer'),
      ...more,
      '-cert',
      certificate,
    ];
    return runProgram('openssl', args, { cwd: service.directory }).done;
  };
  const count = async (sample: string): Promise<number> => {
    const { body } = await service.get('/metrics', 'admin');
    const line = body.toString().split('\n').find((text) => text.startsWith(`${sample} `)); // prettier-ignore
    assert.ok(line !== undefined, `no sample ${sample}`);
    return Number(line.slice(sample.length + 1));
  };

  for (const hash of [[], ['-sha256']])
    it(`openssl ocsp ${hash.join('')} finds its nonce in good and in revoked`, async () => {
      for (const status of ['good', 'revoked'] as const) {
        const certificate = status === 'good' ? service.demo.valid : service.demo.revoked;
        const { code, stdout, stderr } = await ocsp(certificate, ...hash, '-resp_text');
        assert.equal(code, 0, stderr);
        assert.match(stderr, /Response verify OK/);
        assert.doesNotMatch(stderr, /nonce/i, 'it warns when there is none, and fails when it is another');
        assert.match(stdout, /OCSP Nonce/);
        assert.match(stdout, new RegExp(`\\.pem: ${status}`));
      }
    });

  it('without a nonce there is none, and the answer is the pre-signed one', async () => {
    const before = await count('certstatus_live_signatures_total');
    const { stdout, stderr } = await ocsp(service.demo.valid, '-no_nonce', '-resp_text');
    assert.match(stderr, /Response verify OK/);
    assert.doesNotMatch(stdout, /OCSP Nonce/);
    assert.equal(await count('certstatus_live_signatures_total'), before);
  });

  it('GnuTLS finds its nonce', gnutls, async () => {
    const { ca, valid } = service.demo;
    const args = [
      `--ask=${service.url('/OcspServer')}`,
      '--nonce',
      '--load-issuer',
      ca,
      '--load-cert',
      valid,
      '--load-trust',
      ca,
    ];
    const { code, stdout, stderr } = await runProgram('ocsptool', args).done;
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Verifying OCSP Response: Success/);
    assert.match(stdout, /Nonce: [0-9a-f]{2}/);
    assert.doesNotMatch(stdout + stderr, /nonce/, 'it warns when there is none');
  });

  for (const listener of LISTENERS)
    it(`an answer of the ${listener} listener to a GET with a nonce may not be kept by a cache`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'certstatus-nonce-'));
      try {
        const request = join(directory, 'request.der');
        const made = spawnSync('openssl', [
          'ocsp',
          '-issuer',
          service.demo.ca,
          '-cert',
          service.demo.valid,
          '-nonce',
          '-reqout',
          request,
        ]);
        assert.equal(made.status, 0, made.stderr.toString());
        const path = `/OcspServer/${encodeURIComponent(readFileSync(request, 'base64'))}`;
        const first = await service.get(path, listener);
        assert.equal(first.status, 200);
        assert.equal(first.headers['cache-control'], 'private, max-age=0, must-revalidate, no-transform');
        assert.equal(first.headers['expires'], undefined);
        // The client's own check, over what came by GET.
        writeFileSync(join(directory, 'response.der'), first.body);
        const args = [
          'ocsp',
          '-reqin',
          request,
          '-respin',
          join(directory, 'response.der'),
          '-CAfile',
          service.demo.ca,
          '-issuer',
          service.demo.ca,
        ];
        const checked = spawnSync('openssl', args, { encoding: 'utf8' });
        assert.equal(checked.status, 0, checked.stderr);
        assert.match(checked.stderr, /Response verify OK/);
        assert.doesNotMatch(checked.stderr, /nonce/i);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });

  it('what was signed for nonces is in the audit log, and the chain holds', async () => {
    const serial = (await service.json('status', '--issuer', 'demo', '--serial', await serialOf(service.demo.valid)))
      .serial as string;
    const shown = await service.run('audit', 'show', '--serial', serial);
    assert.match(shown.stdout, /ocsp\.signed: good, .* for one request with a nonce and a sha1 CertID/);
    const verified = await service.run('audit', 'verify');
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    assert.equal(await count('certstatus_live_answers_total{outcome="not-signed"}'), 0);
  });

  async function serialOf(certificate: string): Promise<string> {
    const { stdout } = await runProgram('openssl', ['x509', '-in', certificate, '-noout', '-serial']).done;
    return stdout.trim().split('=')[1] as string;
  }
});
