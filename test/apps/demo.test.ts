import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import { loadConfig } from '../../src/apps/config.ts';
import { createDemo, createIntakeMaterial, type Demo } from '../../src/apps/demo.ts';
import { openSoftwareKey } from '../../src/adapters/software-key/key-holder.ts';
import { checkCrlKey, checkOcspKey, checkResponderCertificate } from '../../src/core/signer-checks.ts';
import { DAY, HOUR, wholeSecond } from '../../src/core/time.ts';

const PORTS = { public: 18080, origin: 18082, intake: 18081, admin: 19090 } as const;
/** Not a whole second, and the present, because openssl verify judges at the present. */
const NOW = wholeSecond(Date.now()) + 345;
const root = mkdtempSync(join(tmpdir(), 'certstatus-demo-'));
const data = join(root, 'data');
const openssl = (...args: readonly string[]): string => execFileSync('openssl', args, { stdio: 'pipe' }).toString();
const utcTime = (ms: number): string => `${new Date(ms).toISOString().slice(2, 19).replace(/\D/g, '')}Z`;
const snapshot = (directory: string): Record<string, string> =>
  Object.fromEntries(
    (readdirSync(directory, { recursive: true }) as string[])
      .filter((name) => statSync(join(directory, name)).isFile())
      .sort()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(directory, name)))
          .digest('hex'),
      ]),
  );

let demo: Demo;
before(async () => {
  demo = await createDemo(data, PORTS, NOW);
});
after(() => rmSync(root, { recursive: true }));

describe('createDemo', () => {
  it('makes a configuration that loads without a warning, with the ports asked for', () => {
    const { config, issuers, warnings } = loadConfig({ configFile: demo.configFile, nowMs: NOW });
    assert.deepEqual(warnings, []);
    assert.equal(config.dataDir, data);
    const ports = [config.listen.public, config.listen.origin, config.listen.intake, config.listen.admin].map(
      (listen) => listen?.port,
    );
    assert.deepEqual(ports, [18080, 18082, 18081, 19090]);
    assert.deepEqual(
      issuers.map(({ id }) => id),
      ['demo'],
    );
    assert.match(readFileSync(demo.configFile, 'utf8'), /^# certstatus\.yaml/);
  });

  it('makes a responder certificate of the profile, whose key is the one beside it, as is the CRL key', async () => {
    const { issuers } = loadConfig({ configFile: demo.configFile, nowMs: NOW });
    const [setup] = issuers;
    assert.ok(setup !== undefined && setup.crlKeys?.[0]?.kind === 'file');
    const [responder] = setup.responders;
    assert.ok(responder !== undefined);
    assert.deepEqual(checkResponderCertificate(responder.certificate, setup.issuer, setup.profile, NOW), []);
    assert.equal(responder.certificate.keyType, 'P-256');
    assert.ok(responder.certificate.notAfter - NOW > 89 * DAY);
    const ocspKey = await openSoftwareKey((responder.keys[0] as { file: string }).file);
    const crlKey = await openSoftwareKey(setup.crlKeys[0].file);
    assert.deepEqual(checkOcspKey(ocspKey.publicKey, responder.certificate, setup.issuer), []);
    assert.deepEqual(checkCrlKey(crlKey.publicKey, setup.issuer), []);
    assert.notDeepEqual(checkCrlKey(ocspKey.publicKey, setup.issuer), []);
  });

  it('makes certificates that openssl verifies for their purpose', () => {
    const verify = (purpose: string, file: string, ...more: readonly string[]): string =>
      openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', demo.caCertificate, ...more, file);
    assert.match(verify('ocsphelper', join(data, 'issuers/demo/responder.pem')), /: OK\n$/);
    for (const sample of [demo.samples.valid, demo.samples.revoked])
      assert.match(verify('sslserver', sample.certificate), /: OK\n$/);
    assert.throws(() => verify('sslserver', demo.samples.expired.certificate), /certificate has expired/);
    // One second before: OpenSSL takes notAfter itself for over already.
    const then = String(demo.samples.expired.notAfter / 1000 - 1);
    assert.match(verify('sslserver', demo.samples.expired.certificate, '-attime', then), /: OK\n$/);
    assert.throws(() => verify('sslserver', demo.samples.valid.certificate, '-attime', '0'));
  });

  it('makes a responder whose answers openssl accepts: nocheck, delegation, key identifiers', () => {
    const [index, request, response] = ['index.txt', 'request.der', 'response.der'].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    const line = (flag: string, { serial, notAfter }: { serial: string; notAfter: number }, revoked = ''): string =>
      `${flag}\t${utcTime(notAfter)}\t${revoked}\t${serial.toUpperCase()}\tunknown\t/CN=x\n`;
    const { valid, revoked } = demo.samples;
    writeFileSync(index, line('V', valid) + line('R', revoked, `${utcTime(revoked.revocation.revokedAt)},superseded`));
    const question = ['-issuer', demo.caCertificate, '-cert', valid.certificate, '-cert', revoked.certificate];
    openssl('ocsp', ...question, '-no_nonce', '-reqout', request);
    const directory = join(data, 'issuers/demo');
    const signer = ['-rsigner', join(directory, 'responder.pem'), '-rkey', join(directory, 'responder.key')];
    openssl(
      'ocsp',
      '-index',
      index,
      '-CA',
      demo.caCertificate,
      ...signer,
      '-reqin',
      request,
      '-respout',
      response,
      '-ndays',
      '1',
    );
    // stdout has the statuses, stderr the verdict on the signature.
    const verdict = spawnSync('openssl', [
      'ocsp',
      ...question,
      '-respin',
      response,
      '-CAfile',
      demo.caCertificate,
      '-no_nonce',
    ]);
    assert.match(verdict.stderr.toString(), /Response verify OK/);
    assert.match(verdict.stdout.toString(), /valid\.pem: good\n[^]*revoked\.pem: revoked\n[^]*Reason: superseded/);
  });

  it('names its URLs in the sample certificates as it reports them', () => {
    const text = openssl('x509', '-in', demo.samples.valid.certificate, '-noout', '-text');
    assert.equal(demo.ocspUrl, 'http://127.0.0.1:18080/OcspServer');
    assert.equal(demo.crlUrl, 'http://127.0.0.1:18080/SureServer/demo/cdp.crl');
    assert.equal(demo.caIssuersUrl, 'http://127.0.0.1:18080/SureServer/demo/demo.crt');
    assert.ok(
      text.includes(`OCSP - URI:${demo.ocspUrl}\n`) && text.includes(`CA Issuers - URI:${demo.caIssuersUrl}\n`),
    );
    assert.ok(text.includes(`URI:${demo.crlUrl}\n`));
    assert.equal(openssl('x509', '-in', demo.samples.valid.certificate, '-noout', '-ocsp_uri').trim(), demo.ocspUrl);
  });

  it('reports serial and dates as openssl reads them', () => {
    for (const sample of [demo.samples.valid, demo.samples.revoked, demo.samples.expired]) {
      const certificate = new X509Certificate(readFileSync(sample.certificate));
      assert.equal(certificate.serialNumber.toLowerCase(), sample.serial);
      assert.equal(sample.serial.length, 32);
      assert.equal(Date.parse(certificate.validFrom), sample.notBefore);
      assert.equal(Date.parse(certificate.validTo), sample.notAfter);
      assert.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(sample.key))));
    }
    assert.ok(demo.samples.expired.notAfter < NOW && demo.samples.valid.notAfter > NOW);
    assert.deepEqual(demo.samples.revoked.revocation, { revokedAt: wholeSecond(NOW) - HOUR, reason: 'superseded' });
    assert.ok(demo.samples.revoked.revocation.revokedAt >= demo.samples.revoked.notBefore);
  });

  it('writes the CA profile exactly: critical flags, order of the name, string types', () => {
    const text = openssl('asn1parse', '-in', demo.caCertificate);
    assert.equal((text.match(/PRINTABLESTRING/g) ?? []).length, 6);
    assert.equal((text.match(/UTF8STRING/g) ?? []).length, 0);
    const printed = openssl('x509', '-in', demo.caCertificate, '-noout', '-text');
    assert.match(printed, /Subject: C = JP, O = certstatus demo, CN = certstatus demo CA\n/);
    assert.match(printed, /Basic Constraints: critical\n\s+CA:TRUE, pathlen:0\n/);
    assert.match(printed, /Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/);
    assert.match(printed, /Public-Key: \(2048 bit\)/);
    const constraints = readFileSync(join(data, 'issuers/demo/responder.pem'), 'utf8');
    assert.match(
      execFileSync('openssl', ['asn1parse'], { input: constraints }).toString(),
      /Basic Constraints\n.*BOOLEAN +:255\n.*\[HEX DUMP\]:3000\n/,
    );
  });

  it('keeps keys to their owner', () => {
    const keys = (readdirSync(data, { recursive: true }) as string[]).filter((name) => name.endsWith('.key'));
    assert.equal(keys.length, 8);
    for (const name of keys) assert.equal(statSync(join(data, name)).mode & 0o777, 0o600, name);
  });

  it('changes nothing when it runs again, whatever ports it is told', async () => {
    const earlier = snapshot(data);
    const again = await createDemo(data, { ...PORTS, public: 1 }, NOW + 40 * DAY);
    assert.deepEqual(snapshot(data), earlier);
    assert.deepEqual(again, { ...demo, created: false });
  });

  it('completes what an interrupted run left, and leaves the pieces that are there alone', async () => {
    const other = join(root, 'interrupted');
    await createDemo(other, PORTS, NOW);
    const earlier = snapshot(other);
    rmSync(join(other, 'certstatus.yaml'));
    rmSync(join(other, 'intake'), { recursive: true });
    // A draft that never got its name is not an issuer.
    mkdirSync(join(other, 'issuers', '.demo-left'), { recursive: true });
    writeFileSync(join(other, 'issuers', '.demo-left', 'issuer.yaml'), 'broken: [');
    const completed = await createDemo(other, PORTS, NOW);
    assert.equal(completed.created, true);
    const later = snapshot(other);
    for (const name of Object.keys(earlier).filter(
      (name) => name.startsWith('issuers') || name === 'certstatus.yaml',
    )) {
      assert.equal(later[name], earlier[name], name);
    }
    assert.equal(loadConfig({ configFile: completed.configFile, nowMs: NOW }).issuers.length, 1);
    assert.equal(await createIntakeMaterial(other, NOW), false);
  });

  it('is made once when two processes make it at the same time', async () => {
    const shared = join(root, 'shared');
    const [one, two] = await Promise.all([createDemo(shared, PORTS, NOW), createDemo(shared, PORTS, NOW)]);
    assert.deepEqual({ ...one, created: true }, { ...two, created: true });
    assert.deepEqual(readdirSync(join(shared, 'issuers')), ['demo']);
  });

  it('switches the origin listener off when told', async () => {
    const off = join(root, 'off');
    const { configFile } = await createDemo(off, { ...PORTS, origin: 'off' }, NOW);
    assert.equal(loadConfig({ configFile, nowMs: NOW }).config.listen.origin, undefined);
  });
});

describe('the intake material', () => {
  it('lets the operator in over TLS by localhost, 127.0.0.1 and ::1, and nobody without a certificate', async () => {
    const { config } = loadConfig({ configFile: demo.configFile, nowMs: NOW });
    const { intake, cli } = config;
    assert.ok(intake !== undefined && cli !== undefined);
    const server = createServer(
      {
        cert: readFileSync(intake.certificate),
        key: readFileSync(intake.key),
        ca: readFileSync(intake.clientCa),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (_, response) => response.end('in'),
    );
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address() as AddressInfo;
    const handshake = (servername: string, client: { cert: Buffer; key: Buffer } | object): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect({
          host: '127.0.0.1',
          port,
          ca: readFileSync(cli.ca),
          servername: servername === 'localhost' ? servername : '',
          ...client,
        });
        socket.on('error', (error) => resolve(error.message));
        socket.on('secureConnect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
        socket.on('data', (chunk) => resolve(String(chunk).split('\r\n')[0] as string));
        socket.on('close', () => resolve('closed'));
      });
    const operator = { cert: readFileSync(cli.certificate), key: readFileSync(cli.key) };
    try {
      assert.equal(await handshake('localhost', operator), 'HTTP/1.1 200 OK');
      assert.equal(await handshake('127.0.0.1', operator), 'HTTP/1.1 200 OK');
      assert.notEqual(await handshake('localhost', {}), 'HTTP/1.1 200 OK');
      const sample = { cert: readFileSync(demo.samples.valid.certificate), key: readFileSync(demo.samples.valid.key) };
      assert.notEqual(await handshake('localhost', sample), 'HTTP/1.1 200 OK');
    } finally {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
    const certificate = new X509Certificate(readFileSync(intake.certificate));
    assert.ok(certificate.checkHost('localhost') && certificate.checkIP('127.0.0.1') && certificate.checkIP('::1'));
    assert.match(new X509Certificate(operator.cert).subject, /CN=operator$/);
    assert.deepEqual(intake.clients, [
      { name: 'operator', issuers: ['*'], may: ['issue', 'revoke', 'import', 'read', 'keys'] },
    ]);
    assert.ok(existsSync(cli.key));
  });
});
