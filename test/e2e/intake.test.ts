/** The intake of a running service over TLS: who gets in, what is refused and how, what an acknowledgement is worth. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { parseDocument } from 'yaml';
import { clientCertificate } from '../support/client-certificate.ts';
import { ask, plainSerial, readCrl } from '../support/ocsp-client.ts';
import { Service, until, type ApiAnswer, type Credentials } from '../support/service.ts';

const NOT_AFTER = '2027-06-01T00:00:00Z';
const newSerial = (): string => `5${randomBytes(15).toString('hex').slice(1)}a`;
const CERTIFICATES = '/v1/issuers/demo/certificates';
const REVOCATIONS = '/v1/issuers/demo/revocations';

describe('the intake', () => {
  let service: Service;
  /** Client certificates of the intake's own CA: one that nobody lists, one with few rights, one of another CA. */
  let stranger: Credentials;
  let reader: Credentials;
  let foreign: Credentials;

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    const intake = join(service.data, 'intake');
    stranger = clientCertificate(intake, 'stranger');
    reader = clientCertificate(intake, 'reader');
    foreign = foreignCertificate(service.directory, 'operator');
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8'));
    config.addIn(['intake', 'clients'], { name: 'reader', issuers: ['elsewhere', 'demo'], may: ['read'] });
    writeFileSync(file, config.toString());
    await service.start('--demo');
  });
  after(() => service.remove());

  const issue = (serial: string): Promise<ApiAnswer> =>
    service.api('POST', CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER }] });
  const head = async (): Promise<number> => ((await service.api('GET', '/v1/audit/head')).body as { seq: number }).seq;
  const audit = async (type: string): Promise<{ description: string; actor: string }[]> =>
    (await service.run('audit', 'export', '--type', type)).stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { description: string; actor: string });

  it('lets nobody in without a client certificate of its CA', async () => {
    for (const as of [null, foreign]) {
      // TLS 1.3 tells the client only when it reads: no request may be answered.
      await assert.rejects(
        service.api('GET', '/v1/issuers', undefined, as),
        /certificate|alert|socket hang up|ECONNRESET/i,
      );
    }
    for (const version of ['TLSv1', 'TLSv1.1'] as const) {
      const { cert, key } = service.operator;
      await assert.rejects(
        new Promise((done, failed) => {
          const socket = connect(
            {
              host: '127.0.0.1',
              port: service.ports.intake,
              cert,
              key,
              rejectUnauthorized: false,
              minVersion: version,
              maxVersion: version,
              ciphers: 'DEFAULT@SECLEVEL=0',
            },
            () => done(socket.end()),
          );
          socket.on('error', failed);
        }),
        /protocol version|alert|unsupported/i,
      );
    }
  });

  it('refuses a name that is not listed, and keeps a record of it', async () => {
    const before = (await audit('access.denied')).length;
    const answer = await service.api(
      'POST',
      CERTIFICATES,
      { certificates: [{ serial: newSerial(), notAfter: NOT_AFTER }] },
      stranger,
    );
    assert.equal(answer.status, 403);
    assert.match(answer.type, /^application\/problem\+json/); // RFC 9457
    assert.equal(answer.body.value, 'stranger');
    // Others may be recorded meanwhile: a handshake that was refused before has nobody's name.
    const named = async (): Promise<boolean> =>
      (await audit('access.denied')).slice(before).some(({ actor }) => actor === 'stranger');
    await until('the record', named);
  });

  it('gives a client its own issuers and rights, and no other', async () => {
    const read = await service.api('GET', '/v1/issuers', undefined, reader);
    assert.equal(read.status, 200);
    const serial = newSerial();
    for (const [path, body] of [
      [CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER }] }],
      [REVOCATIONS, { revocations: [{ serial }] }],
      ['/v1/issuers/demo/import', { source: 'x', rows: [] }],
      ['/v1/issuers/demo/crls', {}],
      // An issuer that is not there looks like one that is not granted.
      ['/v1/issuers/other/certificates', { certificates: [{ serial, notAfter: NOT_AFTER }] }],
    ] as const) {
      assert.equal((await service.api('POST', path, body, reader)).status, 403, path);
    }
    assert.equal((await service.api('GET', `/v1/issuers/other/certificates/${serial}`, undefined, reader)).status, 403);
    assert.equal((await service.api('GET', `${CERTIFICATES}/${serial}`, undefined, reader)).status, 404);
  });

  describe('names field, value and rule of what it refuses, and stores nothing', () => {
    const good = { serial: '51aa', notAfter: NOT_AFTER };
    const tooLong = 'ab'.repeat(21);
    /** What is sent, the HTTP status, the field, and a part of the rule or of the words. */
    // prettier-ignore
    const table: readonly (readonly [string, string, unknown, number, string, RegExp])[] = [
      ['no JSON', CERTIFICATES, '{"certificates":', 400, 'body', /JSON|json/],
      ['another shape', CERTIFICATES, { certificate: [] }, 400, '/certificates', /./],
      ['an empty list', CERTIFICATES, { certificates: [] }, 400, '/certificates', /./],
      ['a serial that is no hex', CERTIFICATES, { certificates: [{ ...good, serial: 'xyz' }] }, 400, '/certificates/0/serial', /RFC 5280 §4\.1\.2\.2/],
      ['a serial of 21 octets', CERTIFICATES, { certificates: [{ ...good, serial: tooLong }] }, 400, '/certificates/0/serial', /20 octets/],
      ['no notAfter', CERTIFICATES, { certificates: [{ serial: '51ab' }] }, 400, '/certificates/0/notAfter', /./],
      ['a local time', CERTIFICATES, { certificates: [{ ...good, notAfter: '2027-06-01T00:00:00+09:00' }] }, 400, '/certificates/0/notAfter', /UTC|Z/],
      ['a misspelt member', CERTIFICATES, { certificates: [{ ...good, notafter: NOT_AFTER }] }, 400, '/certificates/0', /notafter/],
      ['a serial twice', CERTIFICATES, { certificates: [good, good] }, 400, '/certificates/1/serial', /twice/],
      ['a bad item behind a good one', CERTIFICATES, { certificates: [good, { ...good, serial: '-1' }] }, 400, '/certificates/1/serial', /./],
      ['something that is no certificate', CERTIFICATES, { certificates: [{ certificate: 'AAAA' }] }, 400, '/certificates/0/certificate', /./],
      ['a serial that was never issued', REVOCATIONS, { revocations: [{ serial: '51fe' }] }, 404, '/revocations/0/serial', /BR 4\.9\.9/],
      ['a reason that does not exist', REVOCATIONS, { revocations: [{ serial: 'ISSUED', reason: 'boredom' }] }, 400, '/revocations/0/reason', /RFC 5280 §5\.3\.1/],
      ['a reason that TLS does not permit', REVOCATIONS, { revocations: [{ serial: 'ISSUED', reason: 'cACompromise' }] }, 422, '/revocations/0/reason', /CT-7\.2-c/],
      ['a hold', REVOCATIONS, { revocations: [{ serial: 'ISSUED', reason: 'certificateHold' }] }, 422, '/revocations/0/reason', /CT-4\.9\.13/],
      ['a way back', REVOCATIONS, { revocations: [{ serial: 'ISSUED', reason: 'removeFromCRL' }] }, 422, '/revocations/0/reason', /4\.10\.1/],
      ['a date to come', REVOCATIONS, { revocations: [{ serial: 'ISSUED', revokedAt: '2039-01-01T00:00:00Z' }] }, 422, '/revocations/0/revokedAt', /T-32/],
      ['an unknown clause', REVOCATIONS, { revocations: [{ serial: 'ISSUED', clause: '4.9.1.1-99' }] }, 400, '/revocations/0/clause', /CT-4\.9\.1\.1/],
      ['a reason against its clause', REVOCATIONS, { revocations: [{ serial: 'ISSUED', clause: '4.9.1.1-3', reason: 'superseded' }] }, 422, '/revocations/0/reason', /CT-4\.9\.1\.1/],
      ['an unknown issuer', '/v1/issuers/nobody/certificates', { certificates: [good] }, 404, 'issuer', /demo/],
    ];
    for (const [what, path, body, status, field, words] of table) {
      it(what, async () => {
        const serial = newSerial();
        await issue(serial);
        const before = await head();
        const sent = typeof body === 'string' ? body : JSON.parse(JSON.stringify(body).replace('ISSUED', serial));
        const answer = await service.api('POST', path, sent);
        assert.equal(answer.status, status, JSON.stringify(answer.body));
        assert.match(answer.type, /^application\/problem\+json/); // RFC 9457
        assert.equal(answer.body.field, field, JSON.stringify(answer.body));
        assert.match(`${answer.body.rule ?? ''} ${answer.body.detail}`, words);
        // Signing goes on meanwhile and has its own records; no record may be an event.
        const added = readFileSync(join(service.data, 'audit', '000000000001.ndjson'), 'utf8')
          .split('\n')
          .slice(before)
          .filter(Boolean);
        assert.deepEqual(
          added
            .map((line) => (JSON.parse(line) as { type: string }).type)
            .filter((type) => type.startsWith('certificates.')),
          [],
        );
        assert.equal((await service.api('GET', `${CERTIFICATES}/51aa`)).status, 404);
        assert.equal((await service.api('GET', `${CERTIFICATES}/${serial}`)).body.status, 'good');
      });
    }

    it('what already stands otherwise', async () => {
      const serial = newSerial();
      await issue(serial);
      const other = await service.api('POST', CERTIFICATES, {
        certificates: [{ serial, notAfter: '2027-07-01T00:00:00Z' }],
      });
      assert.deepEqual([other.status, other.body.field], [409, '/certificates/0/notAfter']);
      await service.api('POST', REVOCATIONS, { revocations: [{ serial, reason: 'superseded' }] });
      const again = await service.api('POST', REVOCATIONS, { revocations: [{ serial, reason: 'affiliationChanged' }] });
      assert.deepEqual([again.status, again.body.field], [409, '/revocations/0/reason']);
      const compromised = await service.api('POST', REVOCATIONS, {
        revocations: [{ serial, reason: 'keyCompromise' }],
      });
      assert.deepEqual([compromised.status, compromised.body.receipts[0].revision], [200, 3]);
    });

    it('a certificate of another CA', async () => {
      const der = readFileSync(join(service.data, 'intake', 'server.pem'), 'utf8').replace(/-----[^-]+-----|\s/g, '');
      const answer = await service.api('POST', CERTIFICATES, { certificates: [{ certificate: der }] });
      assert.deepEqual([answer.status, answer.body.field], [422, '/certificates/0/certificate']);
    });

    it('a body of more than 16 MB', async () => {
      const answer = await service
        .api('POST', CERTIFICATES, JSON.stringify({ certificates: [], filler: 'x'.repeat(17 << 20) }))
        .catch(() => undefined);
      // The connection may be closed before all of it was read; the service goes on either way.
      if (answer !== undefined) assert.equal(answer.status, 413);
      assert.equal((await service.api('GET', '/v1/issuers')).status, 200);
    });
  });

  it('sending it again changes nothing, and the receipt is the same', async () => {
    const serial = newSerial();
    const first = await issue(serial);
    assert.equal(first.status, 200);
    assert.deepEqual((await issue(serial)).body, first.body);
    assert.deepEqual((await issue(`00:${serial.toUpperCase()}`)).body, first.body);
    const revocation = {
      revocations: [{ serial, reason: 'keyCompromise', revokedAt: new Date(Date.now() - 1000).toISOString() }],
    };
    const revoked = await service.api('POST', REVOCATIONS, revocation);
    assert.equal(revoked.body.receipts[0].revision, 2);
    assert.deepEqual((await service.api('POST', REVOCATIONS, revocation)).body, revoked.body);
    const concurrent = await Promise.all(
      Array.from({ length: 20 }, () => service.api('POST', REVOCATIONS, revocation)),
    );
    for (const answer of concurrent) assert.deepEqual(answer.body, revoked.body);
  });

  it('a whole certificate, precertificate and clause are taken as they should', async () => {
    const der = readFileSync(service.demo.valid, 'utf8').replace(/-----[^-]+-----/g, '');
    const answer = await service.api('POST', CERTIFICATES, { certificates: [{ certificate: der }] });
    assert.deepEqual([answer.status, answer.body.receipts[0].revision], [200, 1]);
    const serial = newSerial();
    await service.api('POST', CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER, precertificate: true }] });
    assert.equal((await ask(service.demo.issuer, serial, { port: service.ports.public })).status, 'good'); // CT-4.9.10-g
    const awareAt = new Date(Date.now() - 3_600_000).toISOString().replace(/\.\d+/, '');
    const revoked = await service.api('POST', REVOCATIONS, {
      revocations: [{ serial, clause: '4.9.1.1-3', awareAt, requestedBy: 'a researcher' }],
    });
    // CT-4.9.1.1-3: within 24 hours of awareness.
    assert.equal(Date.parse(revoked.body.receipts[0].deadline), Date.parse(awareAt) + 86_400_000);
    assert.equal((await service.api('GET', `${CERTIFICATES}/${serial}`)).body.reason, 'keyCompromise');
  });

  it('receipts go on to visible, and visible is what clients see; wait returns then', async () => {
    const { issuer } = service.demo;
    const serial = newSerial();
    const [{ id }] = (await issue(serial)).body.receipts as [{ id: string }];
    assert.equal((await service.json('wait', id)).state, 'visible');
    assert.equal((await ask(issuer, serial, { port: service.ports.public, method: 'GET' })).status, 'good');
    const revoked = await service.api('POST', REVOCATIONS, { revocations: [{ serial, reason: 'superseded' }] });
    const [receipt] = revoked.body.receipts as [{ id: string }];
    const view = await service.json('wait', receipt.id);
    assert.equal(view.state, 'visible');
    const { status, reason } = await ask(issuer, serial, { port: service.ports.public, hash: 'sha256' });
    assert.deepEqual({ status, reason }, { status: 'revoked', reason: 'superseded' });
    const crl = readCrl((await service.get('/SureServer/demo/cdp.crl')).body, issuer);
    assert.equal(crl.entries.get(plainSerial(serial))?.reason, 'superseded');
    for (const bad of ['demo.51ff.1', `demo.${serial}.9`, 'nonsense', '..%2f..']) {
      assert.equal((await service.api('GET', `/v1/receipts/${bad}`)).status, 404, bad);
    }
  });

  it('revokes so that OpenSSL and the CRL say so soon', async (t) => {
    const serial = newSerial();
    await issue(serial);
    await until(
      'good',
      async () => (await ask(service.demo.issuer, serial, { port: service.ports.public })).status === 'good',
    );
    const startedAt = Date.now();
    await service.api('POST', REVOCATIONS, { revocations: [{ serial, reason: 'keyCompromise' }] });
    const acknowledgedMs = Date.now() - startedAt;
    const said = (): string =>
      execFileSync(
        'openssl',
        [
          'ocsp',
          '-issuer',
          service.demo.ca,
          '-CAfile',
          service.demo.ca,
          '-serial',
          `0x${serial}`,
          '-url',
          service.url('/OcspServer'),
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
    await until('OpenSSL hears revoked', () => /: revoked/.test(said()));
    const ocspMs = Date.now() - startedAt;
    await until('the CRL lists it', async () =>
      readCrl((await service.get('/SureServer/demo/cdp.crl')).body, service.demo.issuer).entries.has(
        plainSerial(serial),
      ),
    );
    t.diagnostic(
      `acknowledged after ${acknowledgedMs} ms, OCSP after ${ocspMs} ms, CRL after ${Date.now() - startedAt} ms`,
    );
  });

  it('its OpenAPI document names every route', async () => {
    const { status, body } = await service.api('GET', '/openapi.json');
    assert.equal(status, 200);
    assert.match(body.openapi, /^3\./);
    const routes = [
      '/v1/issuers',
      ...['certificates', 'revocations', 'import', 'certificates/{serial}', 'crls'].map(
        (name) => `/v1/issuers/{issuer}/${name}`,
      ),
    ];
    for (const route of [...routes, '/v1/receipts/{id}', '/v1/explain', '/v1/audit/head'])
      assert.ok(route in body.paths, route);
    // Each documented operation is really there: it answers something else than "no such resource".
    for (const [path, operations] of Object.entries(body.paths as Record<string, object>)) {
      for (const method of Object.keys(operations)) {
        const at = path.replace('{issuer}', 'demo').replace('{serial}', '51aa').replace('{id}', 'demo.51aa.1');
        const answer = await service.api(
          method.toUpperCase() as 'GET' | 'POST',
          at,
          method === 'post' ? {} : undefined,
        );
        assert.doesNotMatch(String(answer.body.detail), /no such resource/, `${method} ${path}`);
      }
    }
    assert.equal((await service.api('GET', '/v1/elsewhere')).status, 404);
  });
});

/** The right name, by nobody's authority. */
function foreignCertificate(directory: string, name: string): Credentials {
  writeFileSync(join(directory, 'empty.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n');
  execFileSync(
    'openssl',
    [
      'req',
      '-config',
      'empty.cnf',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      '-keyout',
      'foreign.key',
      '-out',
      'foreign.pem',
    ],
    { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return { cert: readFileSync(join(directory, 'foreign.pem')), key: readFileSync(join(directory, 'foreign.key')) };
}
