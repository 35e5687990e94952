/** HTTP of the public and the origin port, as a CA with several issuers has them: what is there, what it looks like, and nothing else. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { exchange, rawExchange, type HttpAnswer } from '../support/http.ts';
import {
  ask,
  getPath,
  issuerFromFile,
  ocspRequest,
  readAnswer,
  readCrl,
  type OcspIssuer,
} from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { Service, until } from '../support/service.ts';

/** Names and URLs of two real CAs (their keys are not ours, so their presets would refuse these). */
const CAS = [
  {
    id: 'evcag3',
    subject: '/C=JP/O=Cybertrust Japan Co., Ltd./CN=Cybertrust Japan SureServer EV CA G3',
    ocsp: 'evocsp.cybertrust.ne.jp',
  },
  {
    id: 'ovcag4',
    subject: '/C=JP/O=Cybertrust Japan Co., Ltd./CN=Cybertrust Japan SureServer CA G4',
    ocsp: 'ssocsp.cybertrust.ne.jp',
  },
] as const;
const FILES = 'crl.cybertrust.ne.jp';

describe('HTTP of a service with several issuers', () => {
  const cas = CAS.map(({ subject }) => new OpensslCa({ subject, key: 'RSA-2048' }));
  let issuers: readonly OcspIssuer[];
  let certificates: readonly IssuedFile[];
  let service: Service;

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    issuers = cas.map((ca) => issuerFromFile(ca.certificateFile));
    certificates = cas.map((ca) => ca.issue()[0] as IssuedFile);
    for (const [i, { id, ocsp }] of CAS.entries()) {
      const ca = cas[i] as OpensslCa;
      const { file, keyFile } = ca.issueResponder();
      const added = await service.run('issuer', 'add', id, '--ca', ca.certificateFile, '--responder-cert', file, '--responder-key', keyFile, '--crl-key', ca.keyFile, '--preset', 'baseline',
        '--ocsp-path', `${ocsp}/OcspServer`, '--crl-path', `${FILES}/SureServer/${id}/cdp.crl`, '--ca-path', `${FILES}/SureServer/${id}/${id}.crt`); // prettier-ignore
      assert.equal(added.code, 0, added.stderr);
      assert.equal((await service.run('import', 'index', ca.indexFile, '--issuer', id)).code, 0);
    }
    await service.start();
    for (const [i, issuer] of issuers.entries()) {
      await until(
        'signed',
        async () =>
          (await ask(issuer, certificates[i]?.serial ?? '', { port: service.ports.public, path: '/OcspServer' }))
            .status === 'good',
      );
    }
    await until(
      'CRLs',
      async () =>
        (await service.get('/SureServer/evcag3/cdp.crl')).status === 200 &&
        (await service.get('/SureServer/ovcag4/cdp.crl')).status === 200,
    );
  });
  after(async () => {
    await service?.remove();
    for (const ca of cas) ca.remove();
  });

  const request = (): Buffer => ocspRequest(issuers[0] as OcspIssuer, certificates[0]?.serial ?? '');
  const digest = (octets: Buffer): string => createHash('sha256').update(octets).digest('hex');
  /** Without what belongs to the moment and the listener. */
  const lasting = ({ headers }: HttpAnswer): Record<string, unknown> => {
    const passing = ['date', 'connection', 'keep-alive', 'uwebsockets'];
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !passing.includes(name)));
  };

  for (const listener of ['public', 'origin'] as const) {
    describe(`${listener} port`, () => {
      const send = (
        path: string,
        method = 'GET',
        headers: Record<string, string> = {},
        body?: Buffer,
      ): Promise<HttpAnswer> =>
        exchange({ port: service.ports[listener], path, method, headers, ...(body && { body }) });
      const post = (path: string): Promise<HttpAnswer> =>
        send(path, 'POST', { 'content-type': 'application/ocsp-request' }, request());

      it('GET and POST bring the same octets with the same fields (RFC 9919 §6, §7.2)', async () => {
        const get = await send(getPath('/OcspServer', request()));
        assert.equal(get.status, 200);
        assert.equal(get.headers['content-type'], 'application/ocsp-response');
        assert.equal(get.headers['content-length'], String(get.body.length));
        assert.equal(get.headers['transfer-encoding'], undefined);
        assert.equal(get.headers.etag, `"${digest(get.body)}"`);
        const { thisUpdate, nextUpdate } = readAnswer(
          get,
          issuers[0] as OcspIssuer,
          certificates[0]?.serial ?? '',
          'sha1',
        );
        assert.equal(Date.parse(get.headers['last-modified'] ?? ''), thisUpdate);
        assert.equal(Date.parse(get.headers.expires ?? ''), nextUpdate);
        const maxAge = Number(/max-age=(\d+)/.exec(get.headers['cache-control'] ?? '')?.[1]);
        assert.ok(
          maxAge > 0 && Date.now() + maxAge * 1000 < (nextUpdate ?? 0),
          'a cached copy ends before the answer (L-19)',
        );
        for (const directive of ['public', 'no-transform', 'must-revalidate'])
          assert.ok(get.headers['cache-control']?.includes(directive), directive);
        const same = await post('/OcspServer');
        assert.ok(same.body.equals(get.body));
        assert.deepEqual(lasting(same), lasting(get));
        for (const name of Object.keys(get.headers))
          assert.match(name, /^[a-z0-9-]+$/, 'nginx drops replies with other names');
      });

      it('every spelling of the GET path, on the mount of any issuer', async () => {
        const { body } = await post('/OcspServer');
        const base64 = request().toString('base64');
        for (const path of [
          `/OcspServer/${base64}`,
          `/OcspServer//${base64}`,
          `/OcspServer/${encodeURIComponent(base64)}`,
          `/OcspServer/${base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`,
        ]) {
          assert.ok((await send(path)).body.equals(body), path);
        }
        assert.ok((await post('/OcspServer/')).body.equals(body));
      });

      it('304 for what the client has, by ETag first (RFC 9110 §13.2.2)', async () => {
        const path = getPath('/OcspServer', request());
        const { headers } = await send(path);
        const etag = headers.etag as string;
        for (const given of [
          { 'if-none-match': etag },
          { 'if-none-match': `"x", W/${etag}` },
          { 'if-modified-since': headers['last-modified'] as string },
        ] as Record<string, string>[]) {
          const answer = await send(path, 'GET', given);
          assert.deepEqual(
            [answer.status, answer.body.length, answer.headers.etag],
            [304, 0, etag],
            JSON.stringify(given),
          );
        }
        assert.equal(
          (await send(path, 'GET', { 'if-none-match': '"x"', 'if-modified-since': headers['last-modified'] as string }))
            .status,
          200,
        );
        assert.equal((await send(path, 'HEAD', { 'if-none-match': etag })).status, 304);
      });

      it('HEAD is GET without the octets', async () => {
        for (const path of [
          getPath('/OcspServer', request()),
          '/SureServer/evcag3/cdp.crl',
          '/SureServer/evcag3/evcag3.crt',
          '/',
          '/nothing',
        ]) {
          const [get, head] = [await send(path), await send(path, 'HEAD')];
          assert.deepEqual([head.status, head.body.length], [get.status, 0], path);
          assert.deepEqual(lasting(head), lasting(get), path);
        }
      });

      it('the CRL of each issuer, by path and host', async () => {
        for (const [i, { id }] of CAS.entries()) {
          const answer = await send(`/SureServer/${id}/cdp.crl`, 'GET', { host: FILES });
          assert.deepEqual(
            [answer.status, answer.headers['content-type'], answer.headers.etag],
            [200, 'application/pkix-crl', `"${digest(answer.body)}"`],
          );
          assert.equal(readCrl(answer.body, issuers[i] as OcspIssuer).entries.size, 0);
          assert.equal(
            (await send(`/SureServer/${id}/cdp.crl`, 'GET', { 'if-none-match': answer.headers.etag as string })).status,
            304,
          );
        }
      });

      it('the CA certificate of each issuer, as DER', async () => {
        for (const [i, { id }] of CAS.entries()) {
          const answer = await send(`/SureServer/${id}/${id}.crt`);
          assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/pkix-cert']);
          assert.ok(answer.body.equals(new X509Certificate(readFileSync((cas[i] as OpensslCa).certificateFile)).raw));
        }
      });

      it('405 with Allow for other methods', async () => {
        for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
          const answer = await send('/OcspServer', method);
          assert.deepEqual(
            [answer.status, answer.headers.allow, answer.headers['cache-control']],
            [405, 'GET, HEAD, POST', 'no-store'],
            method,
          );
        }
        const crl = await post('/SureServer/evcag3/cdp.crl');
        assert.deepEqual([crl.status, crl.headers.allow], [405, 'GET, HEAD']);
      });

      it('a small text at the root of the site, and nothing of the other ports', async () => {
        for (const path of [
          '/metrics',
          '/livez',
          '/readyz',
          '/status.json',
          '/openapi.json',
          '/v1/issuers',
          '/favicon.ico',
          '/SureServer/',
          '/SureServer/evcag3/cdp.crl/',
          '/SureServer/%65vcag3/cdp.crl',
          '/../etc/passwd',
          '/OcspServers',
        ]) {
          const answer = await send(path);
          assert.deepEqual([answer.status, answer.headers['cache-control']], [404, 'no-store'], path);
          assert.ok(answer.body.length < 100);
        }
      });

      it('errors are OCSP errors that nobody may cache (L-21)', async () => {
        for (const [body, octets] of [
          [Buffer.from('nonsense'), '30030a0101'],
          [Buffer.alloc(0), '30030a0101'],
          [ocspRequest(issuers[0] as OcspIssuer, '51aa'), '30030a0106'],
        ] as const) {
          const answer = await send('/OcspServer', 'POST', { 'content-type': 'application/ocsp-request' }, body);
          assert.deepEqual(
            [answer.status, answer.headers['content-type'], answer.headers['cache-control'], answer.headers.etag],
            [200, 'application/ocsp-response', 'no-store', undefined],
          );
          assert.equal(answer.body.toString('hex'), octets);
        }
        const huge = await send(
          '/OcspServer',
          'POST',
          { 'content-type': 'application/ocsp-request' },
          Buffer.alloc(200_000),
        ).catch((error: NodeJS.ErrnoException) => error.code);
        if (typeof huge === 'object') assert.equal(huge.status, 413);
        else assert.equal(huge === 'ECONNRESET' || huge === 'EPIPE', true, String(huge));
      });
    });
  }

  it('HTTP/1.0 without Host, as nginx, Apache and GnuTLS speak it', async () => {
    const head = `GET ${getPath('/OcspServer', request())} HTTP/1.0\r\n\r\n`;
    const answer = (await rawExchange(service.ports.public, head)).toString('latin1');
    assert.match(answer, /^HTTP\/1\.[01] 200 /);
    assert.match(answer, /\r\nConnection: close\r\n/i);
    const body = Buffer.from(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1');
    assert.ok(
      body.equals((await exchange({ port: service.ports.public, path: getPath('/OcspServer', request()) })).body),
      'and the connection ends behind the DER',
    );
    const crl = (await rawExchange(service.ports.public, 'GET /SureServer/evcag3/cdp.crl HTTP/1.0\r\n\r\n')).toString(
      'latin1',
    );
    assert.match(crl, /^HTTP\/1\.[01] 200 [\s\S]*application\/pkix-crl/);
  });

  it('an absolute-form target, and 400 to HTTP/1.1 without Host', async () => {
    const target = `http://evocsp.cybertrust.ne.jp${getPath('/OcspServer', request())}`;
    assert.match(
      (
        await rawExchange(
          service.ports.public,
          `GET ${target} HTTP/1.1\r\nHost: evocsp.cybertrust.ne.jp\r\nConnection: close\r\n\r\n`,
        )
      ).toString('latin1'),
      /^HTTP\/1\.1 200 /,
    );
    assert.match(
      (await rawExchange(service.ports.public, `GET / HTTP/1.1\r\n\r\n`)).toString('latin1'),
      /^HTTP\/1\.1 400 /,
    );
  });
});
