/** Renewal without a signal, and what OpenSSL does not say of files: real files, a real TLS server, a clock that is turned. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import { loadConfig } from '../../src/apps/config.ts';
import { createIntakeMaterial } from '../../src/apps/demo.ts';
import { LOOK_MS } from '../../src/apps/file-watch.ts';
import { PRIVATE_TLS, renewable, tlsOptions } from '../../src/apps/private-port.ts';
import { Renewal } from '../../src/apps/renewal.ts';
import { portFiles, reviewTls, type TlsMaterial } from '../../src/apps/tls-files.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { TurnedClock } from '../flows/clock.ts';
import { serverCertificate } from '../support/server-certificate.ts';

describe('TLS files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-renewal-'));
  const at = (name: string): string => join(directory, 'intake', name);
  const openssl = (...args: readonly string[]): Buffer =>
    execFileSync('openssl', args, { cwd: join(directory, 'intake'), stdio: ['ignore', 'pipe', 'pipe'] });
  /** Later than whatever OpenSSL dates while this runs. */
  const now = Date.now() + HOUR;

  before(async () => {
    await createIntakeMaterial(directory, Date.now());
    writeFileSync(
      join(directory, 'certstatus.yaml'),
      'intake: { certificate: intake/server.pem, key: intake/server.key, clientCa: intake/client-ca.pem }\n',
    );
  });
  after(() => rmSync(directory, { recursive: true }));

  /** Messages with the key of certstatus.yaml, the file left out. */
  function said(files: Partial<Parameters<typeof portFiles>[1]>): { unusable: string[]; refusing: string[] } {
    const names = { certificate: at('server.pem'), key: at('server.key'), clientCa: at('client-ca.pem'), ...files };
    const { unusable, refusing } = reviewTls(portFiles('intake', names), now);
    const line = (problem: { field: string | undefined; message: string }): string =>
      `${problem.field}: ${problem.message.replaceAll(directory, '')}`;
    return { unusable: unusable.map(line), refusing: refusing.map(({ problem }) => line(problem)) };
  }

  function crl(name: string, ca: string, days: readonly string[]): void {
    writeFileSync(at(`${name}.index`), '');
    writeFileSync(
      at(`${name}.cnf`),
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${name}.index\ncertificate=${ca}.pem\nprivate_key=${ca}.key\ndefault_md=sha256\n`,
    );
    openssl('ca', '-config', `${name}.cnf`, '-gencrl', ...days, '-out', `${name}.crl`);
  }

  it('has nothing to say of what is right', () => {
    assert.deepEqual(said({}), { unusable: [], refusing: [] });
  });

  it('names the file, what is wrong with it and what to do', () => {
    serverCertificate(join(directory, 'intake'), 'other', '01');
    openssl('pkey', '-in', 'server.key', '-aes128', '-passout', 'pass:x', '-out', 'locked.key');
    openssl('x509', '-in', 'server.pem', '-outform', 'DER', '-out', 'server.der');
    writeFileSync(at('turned.pem'), Buffer.concat([readFileSync(at('client-ca.pem')), readFileSync(at('server.pem'))]));
    writeFileSync(at('empty'), '');
    writeFileSync(at('text'), 'hello\n');
    writeFileSync(at('damaged.pem'), readFileSync(at('server.pem'), 'utf8').replace(/^MII.{20}/m, 'MIIBAAAAAAAAAAAAAAAAAAA')); // prettier-ignore
    for (const [files, message] of [
      [
        { key: at('other.key') },
        'intake.key: is not the key of /intake/server.pem: put certificate and key of one pair there',
      ],
      [
        { key: at('locked.key') },
        'intake.key: is encrypted with a passphrase: give a key without one, readable by the service alone',
      ],
      [{ key: at('text') }, 'intake.key: has no private key in PEM (-----BEGIN PRIVATE KEY-----)'],
      [{ key: at('empty') }, 'intake.key: is empty'],
      [{ key: at('nowhere') }, 'intake.key: cannot be read: there is no such file or directory'],
      [
        { certificate: at('server.der') },
        'intake.certificate: has no certificate in PEM (-----BEGIN CERTIFICATE-----)',
      ],
      [{ certificate: at('damaged.pem') }, 'intake.certificate: certificate 1 of 1 in it is damaged'],
      [
        { certificate: at('turned.pem') },
        'intake.certificate: certificate 2 in it is the one of the key: it must stand first, its CA after it',
      ],
      [{ clientCa: at('server.key') }, 'intake.clientCa: has no certificate in PEM (-----BEGIN CERTIFICATE-----)'],
      [{ clientCrl: at('client-ca.pem') }, 'intake.clientCrl: has no CRL in PEM (-----BEGIN X509 CRL-----)'],
    ] as const)
      // prettier-ignore
      assert.deepEqual(said(files), { unusable: [message], refusing: [] });
  });

  it('says which CRL would refuse everybody', () => {
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=another', '-keyout', 'another.key', '-out', 'another.pem', '-config', 'other.cnf'); // prettier-ignore
    crl('ended', 'client-ca', ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z']);
    crl('good', 'client-ca', ['-crldays', '2']);
    crl('another', 'another', ['-crldays', '2']);
    assert.deepEqual(said({ clientCrl: at('good.crl') }), { unusable: [], refusing: [] });
    assert.deepEqual(said({ clientCrl: at('ended.crl') }).refusing, [
      'intake.clientCrl: ended 2020-01-02T00:00:00Z: with it every client is refused',
    ]);
    assert.match(said({ clientCrl: at('another.crl') }).refusing.join(), /^intake\.clientCrl: has no CRL of .*CN=.*: every client that it certified is refused$/); // prettier-ignore
  });

  it('hands every CRL of a file to TLS', async () => {
    writeFileSync(
      at('two-ca.pem'),
      Buffer.concat([readFileSync(at('client-ca.pem')), readFileSync(at('another.pem'))]),
    );
    writeFileSync(at('two.crl'), Buffer.concat([readFileSync(at('another.crl')), readFileSync(at('good.crl'))]));
    const names = { certificate: at('server.pem'), key: at('server.key'), clientCa: at('two-ca.pem'), clientCrl: at('two.crl') }; // prettier-ignore
    const { material } = reviewTls(portFiles('intake', names), now);
    const app = await listening(material as TlsMaterial);
    try {
      assert.equal(await greeted(app, at('operator')), 'ok');
    } finally {
      await app.close();
    }
  });

  async function listening(tls: TlsMaterial, host = '127.0.0.1', use?: Renewal): Promise<FastifyInstance> {
    const app = Fastify({
      https: { ...PRIVATE_TLS, ...tlsOptions(tls), rejectUnauthorized: true },
    }) as unknown as FastifyInstance;
    app.get('/', () => 'ok');
    use?.port('intake', renewable(app));
    await app.listen({ host, port: 0 });
    return app;
  }

  /** What the server answers a client with this certificate; the serial of the server's certificate with `serial`. */
  function greeted(
    app: FastifyInstance,
    client: string,
    host = '127.0.0.1',
    what: 'body' | 'serial' = 'body',
  ): Promise<string> {
    const { port } = app.server.address() as AddressInfo;
    return new Promise((done) => {
      const socket = connect({ host, port, servername: 'localhost', ca: readFileSync(at('client-ca.pem')), cert: readFileSync(`${client}.pem`), key: readFileSync(`${client}.key`) }); // prettier-ignore
      let text = '';
      socket.once('secureConnect', () => {
        if (what === 'serial') {
          done(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        } else socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      });
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.once('error', (error) => done(error.message));
      socket.once('close', () => done(text.split('\r\n\r\n')[1] ?? 'closed'));
    });
  }

  it('uses files that were replaced by themselves, at every address, and says once what it cannot use', async () => {
    const lines: string[] = [];
    const write = (_about: object, line: string): void => void lines.push(line.replaceAll(directory, ''));
    const clock = new TurnedClock(now);
    const loaded = loadConfig({ configFile: join(directory, 'certstatus.yaml'), nowMs: now });
    const log = { debug: write, info: write, warn: write, error: write };
    const renewal = new Renewal({ loaded, clock, log, journal: undefined });
    const app = await listening(renewal.tls.intake as TlsMaterial, 'localhost', renewal);
    renewal.start();
    const [before] = renewal.ends;
    try {
      const hosts = app.addresses().map((one) => (one as AddressInfo).address);
      const serials = (): Promise<string[]> => Promise.all(hosts.map((host) => greeted(app, at('operator'), host, 'serial'))); // prettier-ignore
      serverCertificate(join(directory, 'intake'), 'next', '0ABC');
      copyFileSync(at('next.pem'), at('server.pem'));
      for (let i = 0; i < 5; i++) clock.turn(LOOK_MS);
      assert.deepEqual(lines, ['not reloaded, what was in use stays in use: intake.key = /intake/server.key: is not the key of /intake/server.pem: put certificate and key of one pair there']); // prettier-ignore
      assert.ok(!(await serials()).includes('0ABC'));
      assert.equal(renewal.failure?.since, now + 2 * LOOK_MS);
      copyFileSync(at('next.key'), at('server.key'));
      for (let i = 0; i < 5; i++) clock.turn(LOOK_MS);
      assert.equal(renewal.failure, undefined);
      assert.match(lines.slice(1).join('\n'), /^reloaded: TLS of intake \(until [^)]*\)$/);
      assert.deepEqual(
        await serials(),
        hosts.map(() => '0ABC'),
      );
      assert.notEqual(renewal.ends[0]?.notAfter, before?.notAfter);
      assert.ok((renewal.ends[0]?.notAfter ?? 0) < now + 3 * DAY);
    } finally {
      renewal.stop();
      await app.close();
    }
  });
});
