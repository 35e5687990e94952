/** What is renewed on disk is used without a restart, and what cannot be used is not: a real service, OpenSSL and node:tls as its clients. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { clientCertificate } from '../support/client-certificate.ts';
import { exchange } from '../support/http.ts';
import { Metrics } from '../support/metrics.ts';
import { runProgram, Service, until, type Credentials } from '../support/service.ts';
import { serverCertificate } from '../support/server-certificate.ts';

describe('SIGHUP', () => {
  let service: Service;
  let stolen: Credentials;
  let yaml: string;
  const intake = (name = ''): string => join(service.data, 'intake', name);
  const configure = (text: string): void => writeFileSync(join(service.data, 'certstatus.yaml'), text);

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    stolen = clientCertificate(intake(), 'stolen');
    writeFileSync(intake('index.txt'), '');
    writeFileSync(
      intake('crl.cnf'),
      '[ca]\ndefault_ca=default\n[default]\ndatabase=index.txt\ncertificate=client-ca.pem\nprivate_key=client-ca.key\ndefault_md=sha256\n',
    );
    signCrl();
    writeFileSync(join(service.data, 'token'), 'first\n');
    yaml = readFileSync(join(service.data, 'certstatus.yaml'), 'utf8')
      .replace(/^( {2}clientCa: .*)$/m, '$1\n  clientCrl: intake/client-ca.crl')
      .replace(/^( {2}clients:)$/m, "$1\n    - { name: stolen, issuers: ['*'], may: [read] }")
      .replace(/^( {2}admin:)$/m, '$1\n    metricsToken: { file: token }');
    assert.match(yaml, /clientCrl[^]*stolen|stolen[^]*clientCrl/);
    assert.match(yaml, /metricsToken: \{ file: token \}/);
    configure(yaml);
    await service.start('--demo');
  });
  after(() => service?.remove());

  function signCrl(): void {
    const args = ['ca', '-config', 'crl.cnf', '-gencrl', '-crldays', '1', '-out', 'client-ca.crl.new'];
    execFileSync('openssl', args, { cwd: intake(), stdio: 'pipe' });
    renameSync(intake('client-ca.crl.new'), intake('client-ca.crl'));
  }

  /** What the service says of this SIGHUP. */
  async function hangUp(): Promise<string> {
    const from = service.log.length;
    process.kill(service.pid, 'SIGHUP');
    await until('it says what it did', () => /"msg":"(?:not )?reloaded/.test(service.log.slice(from)));
    return service.log.slice(from);
  }

  /** Replaces a pair as ACME clients do. */
  function install(name: string, parts = ['pem', 'key']): void {
    for (const part of parts) {
      copyFileSync(intake(`${name}.${part}`), intake(`new.${part}`));
      renameSync(intake(`new.${part}`), intake(`server.${part}`));
    }
  }

  async function shownSerial(): Promise<string> {
    const at = `127.0.0.1:${service.ports.intake}`;
    const { stdout } = await runProgram('openssl', ['s_client', '-connect', at, '-cert', intake('operator.pem'), '-key', intake('operator.key')]).done; // prettier-ignore
    const pem = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '';
    return execFileSync('openssl', ['x509', '-noout', '-serial'], { input: pem }).toString().trim().split('=')[1] ?? '';
  }

  const metrics = async (): Promise<Metrics> => new Metrics((await service.get('/metrics', 'admin')).body.toString());

  function openapi(as: Credentials, agent: Agent | false = false): Promise<{ status: number; close: boolean }> {
    return new Promise((done, failed) => {
      const outgoing = request({ ...as, agent, host: '127.0.0.1', port: service.ports.intake, path: '/openapi.json', ca: readFileSync(intake('client-ca.pem')) }); // prettier-ignore
      outgoing.on('error', failed);
      outgoing.on('response', (response) => {
        response.resume();
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, close: response.headers.connection === 'close' }),
        );
      });
      outgoing.end();
    });
  }

  it('shows a certificate that was renewed to new connections, and keeps the old ones', async () => {
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const operator = service.operator;
    assert.equal((await openapi(operator, kept)).status, 200);
    const before = (await metrics()).sum('certstatus_tls_certificate_remaining_seconds', { use: 'intake' });
    const serial = serverCertificate(intake(), 'renewed', '00A11CE5');
    assert.notEqual(await shownSerial(), serial);
    install('renewed');
    assert.match(await hangUp(), /"msg":"reloaded: TLS of intake \(until 20\d\d-[^)]*Z\)"/);
    assert.match(await shownSerial(), /^(?:00)?A11CE5$/);
    let sockets = 0;
    const { createConnection } = kept as unknown as { createConnection: (...args: unknown[]) => unknown };
    Object.assign(kept, { createConnection: (...args: unknown[]) => ((sockets += 1), createConnection.apply(kept, args)) }); // prettier-ignore
    assert.deepEqual(await openapi(operator, kept), { status: 200, close: false });
    assert.equal(sockets, 0, 'on the connection of before');
    kept.destroy();
    const after = (await metrics()).sum('certstatus_tls_certificate_remaining_seconds', { use: 'intake' });
    assert.ok(after < 3 * 86_400 && before > after, `${before} ${after}`);
    const audit = readdirSync(join(service.data, 'audit'))
      .map((name) => readFileSync(join(service.data, 'audit', name), 'utf8'))
      .join('');
    assert.match(audit, /"type":"service\.reloaded"[^\n]*SIGHUP: TLS of intake/);
  });

  it('says that nothing has changed when nothing has', async () => {
    assert.match(await hangUp(), /"msg":"reloaded: nothing has changed"/);
  });

  it('keeps what it has when the new key is of another certificate, says so in one line, and takes it when it is mended', async () => {
    serverCertificate(intake(), 'next', '0BADCAFE');
    install('next', ['key']);
    const said = await hangUp();
    assert.equal(said.trim().split('\n').length, 1);
    assert.match(said, /not reloaded, what was in use stays in use: intake\.key = \S*server\.key: is not the key of \S*server\.pem/); // prettier-ignore
    assert.match(await shownSerial(), /A11CE5$/);
    assert.equal((await metrics()).sum('certstatus_reload_refused'), 1);
    const { problems } = JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as {
      problems: readonly { alert: string; what: string }[];
    };
    assert.match(problems.find(({ alert }) => alert === 'ReloadRefused')?.what ?? '', /is not the key of/);
    const checked = await service.run('check-config');
    assert.equal(checked.code, 1);
    assert.match(checked.stdout, /intake\.key = \S*: is not the key of/);
    install('next', ['pem']);
    assert.match(await hangUp(), /"msg":"reloaded: TLS of intake/);
    assert.match(await shownSerial(), /BADCAFE$/);
    assert.equal((await metrics()).sum('certstatus_reload_refused'), 0);
  });

  it('refuses a certificate that has ended, one of the future, a file that is cut off, and one that is away', async () => {
    serverCertificate(intake(), 'ended', '0E4DED', ['20200101000000Z', '20200201000000Z']);
    serverCertificate(intake(), 'future', '0F', ['21000101000000Z', '21000201000000Z']);
    for (const [name, message] of [
      ['ended', /intake\.certificate = \S*: ended 2020-02-01T00:00:00Z/],
      ['future', /intake\.certificate = \S*: is not valid before 2100-01-01T00:00:00Z/],
    ] as const) {
      install(name);
      assert.match(await hangUp(), message);
    }
    writeFileSync(intake('server.pem'), readFileSync(intake('next.pem')).subarray(0, 300));
    assert.match(await hangUp(), /intake\.certificate = \S*: has no certificate in PEM/);
    writeFileSync(intake('server.pem'), '');
    assert.match(await hangUp(), /intake\.certificate = \S*: is empty/);
    renameSync(intake('server.pem'), intake('away.pem'));
    assert.match(await hangUp(), /intake\.certificate = \S*: cannot be read: there is no such file/);
    assert.match(await shownSerial(), /BADCAFE$/);
    assert.equal((await openapi(service.operator)).status, 200);
    install('next');
    assert.match(await hangUp(), /"msg":"reloaded: nothing has changed"/);
  });

  it('uses a new CRL of the client CA at once: no new connection, no session of before, no kept connection', async () => {
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await openapi(stolen, kept)).status, 200);
    const knock = (session?: Buffer): Promise<{ session: Buffer; said: string }> =>
      new Promise((done) => {
        let given = Buffer.alloc(0);
        const at = { host: '127.0.0.1', port: service.ports.intake, ca: readFileSync(intake('client-ca.pem')) };
        const socket: TLSSocket = connect({ ...stolen, ...at, ...(session && { session }), maxVersion: 'TLSv1.2' });
        socket.on('session', (ticket) => (given = ticket));
        socket.once('error', (error) => done({ session: given, said: error.message }));
        socket.once('secureConnect', () => {
          done({ session: socket.getSession() ?? given, said: `in, resumed: ${socket.isSessionReused()}` });
          socket.destroy();
        });
      });
    const { session, said } = await knock();
    assert.equal(said, 'in, resumed: false');
    assert.equal((await knock(session)).said, 'in, resumed: true');
    execFileSync('openssl', ['ca', '-config', 'crl.cnf', '-revoke', 'stolen.pem'], { cwd: intake(), stdio: 'pipe' });
    signCrl();
    assert.match(await hangUp(), /"msg":"reloaded: TLS of intake"/);
    await assert.rejects(openapi(stolen));
    assert.equal((await openapi(service.operator)).status, 200);
    await assert.rejects(openapi(stolen, kept), 'the kept connection is closed, and there is no other');
    assert.doesNotMatch((await knock(session)).said, /^in/);
    kept.destroy();
  });

  it('lets in the clients of the configuration as it is now', async () => {
    const other = clientCertificate(intake(), 'second');
    const ask = (): Promise<number> =>
      service.api('GET', '/v1/issuers/demo/certificates/01', undefined, other).then(({ status }) => status);
    assert.equal(await ask(), 403);
    configure(yaml.replace('name: stolen', 'name: second'));
    assert.match(await hangUp(), /"msg":"reloaded: intake\.clients"/);
    assert.equal(await ask(), 404, 'known, and asks for what nobody issued');
    configure(yaml);
    await hangUp();
    assert.equal(await ask(), 403, 'on the same connection');
  });

  it('asks scrapers for the metrics token of now', async () => {
    const scrape = async (token: string): Promise<number> =>
      (await exchange({ port: service.ports.admin, path: '/metrics', headers: { authorization: `Bearer ${token}` } })).status; // prettier-ignore
    assert.deepEqual([await scrape('first'), await scrape('second')], [200, 401]);
    writeFileSync(join(service.data, 'token'), 'second\n');
    assert.match(await hangUp(), /"msg":"reloaded: the metrics token"/);
    assert.deepEqual([await scrape('first'), await scrape('second')], [401, 200]);
    writeFileSync(join(service.data, 'token'), '\n');
    assert.match(await hangUp(), /listen\.admin\.metricsToken\.file = \S*token: is empty/);
    assert.equal(await scrape('second'), 200);
    writeFileSync(join(service.data, 'token'), 'second\n');
    await hangUp();
  });

  it('names what is used from the next start on, and nothing else', async () => {
    configure(
      yaml
        .replace(/^( {2}clients:)$/m, "$1\n    - { name: third, issuers: ['*'], may: [read] }")
        .replace(/^( {2}drain:) 0s$/m, '$1 7s'),
    );
    const from = service.log.length;
    assert.match(await hangUp(), /"msg":"reloaded: intake\.clients"/);
    await until('it says what it leaves out', () => service.log.slice(from).includes('from the next start'));
    assert.match(service.log.slice(from), /"msg":"changed, but used from the next start on: responder\.drain"/);
    configure(yaml);
    assert.match(await hangUp(), /"msg":"reloaded: intake\.clients"/);
  });

  it('keeps everything at a typing error, and names file and line', async () => {
    configure(yaml.replace(/^ {2}clientCa:/m, '  clientca:'));
    assert.match(await hangUp(), /not reloaded, what was in use stays in use: \S*certstatus\.yaml:\d+/);
    assert.equal((await metrics()).sum('certstatus_reload_refused'), 1);
    assert.equal((await openapi(service.operator)).status, 200);
    configure(yaml);
    await hangUp();
    assert.equal((await metrics()).sum('certstatus_reload_refused'), 0);
    assert.equal(await service.stop(), 0);
  });

  it('is no reason to end while it starts', async () => {
    const from = service.spawn();
    await until('it runs', () => service.log.length > from.log);
    process.kill(service.pid, 'SIGHUP');
    await until('it serves', () => service.log.slice(from.log).includes('"msg":"serving"'));
  });

  it('starts with no key of another certificate, and says which', async () => {
    assert.equal(await service.stop(), 0);
    install('renewed', ['key']);
    await assert.rejects(service.start(), /certstatus: intake\.key = \S*server\.key: is not the key of \S*server\.pem/);
  });
});
