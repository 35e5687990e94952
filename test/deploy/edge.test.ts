/**
 * deploy/edge: nginx, HAProxy and Varnish with the shipped files, in front of the shipped program or of something that
 * remembers what it was sent. What a client gets through them is what it gets from the listener; what they keep is what they
 * may keep, and no longer.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { exchange, rawExchange } from '../support/http.ts';
import { getPath, ocspRequest } from '../support/ocsp-client.ts';
import { Edge, edgeMissing, EDGES, Recorder, type EdgeName } from '../support/edge.ts';
import { freePorts, runProgram, Service, until } from '../support/service.ts';

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** One request line and its header fields, as they are; the other side is asked to close. */
async function raw(port: number, line: string, fields: readonly string[] = [], body = ''): Promise<Got> {
  const closing = line.endsWith('1.1') ? ['Connection: close'] : [];
  const length = body === '' ? [] : ['Content-Type: application/ocsp-request', `Content-Length: ${body.length}`];
  const octets = await rawExchange(
    port,
    Buffer.from(`${[line, ...fields, ...length, ...closing].join('\r\n')}\r\n\r\n${body}`, 'latin1'),
  );
  const end = octets.indexOf('\r\n\r\n');
  assert.ok(end > 0, `no answer to ${line}: ${octets.toString('latin1')}`);
  const [first = '', ...lines] = octets.toString('latin1', 0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((text): [string, string] => {
      const colon = text.indexOf(':');
      return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(first.split(' ')[1]), headers, body: octets.subarray(end + 4) };
}

const HOST = 'Host: ocsp.example.com';
/** A request line and its fields, as the clients of peers.md Part 2 §4.1 send them. */
const DIALECTS: readonly (readonly [string, (path: string) => readonly [string, string[]]])[] = [
  ['HTTP/1.1', (path) => [`GET ${path} HTTP/1.1`, [HOST]]],
  ['HTTP/1.0', (path) => [`GET ${path} HTTP/1.0`, [HOST]]],
  ['HTTP/1.0 without Host', (path) => [`GET ${path} HTTP/1.0`, []]],
];

/** What clients make of one base64 (peers.md Part 2 §4.3). */
function spellings(base64: string): string[] {
  const escaped = encodeURIComponent(base64);
  return [
    `/OcspServer/${escaped}`,
    `/OcspServer/${base64}`,
    `/OcspServer/${escaped.replace(/%../g, (hex) => hex.toLowerCase())}`,
    `/OcspServer//${escaped}`,
    `//${escaped}`,
    `//${base64}`,
    `/OcspServer/${encodeURIComponent(escaped)}`,
    `/OcspServer/${base64}/`,
    `/OcspServer/${escaped}?a=%2F%2f//b`,
  ];
}

for (const name of EDGES) {
  describe(`${name} as deploy/edge has it`, { skip: edgeMissing(name) }, () => {
    passesOn(name);
    servesOn(name);
  });
}

/** What reaches the listeners, and what is kept, seen from behind. */
function passesOn(name: EdgeName): void {
  describe('before something that remembers', () => {
    let recorder: Recorder;
    let edge: Edge;
    before(async () => {
      recorder = await Recorder.start((count, { url = '', method }, response) => {
        const body = url.includes('large') ? Buffer.alloc(3_000_000, 'c') : Buffer.from(`answer ${count}`);
        const kept = method === 'GET' && (url.includes('kept') || url.includes('large'));
        response.writeHead(200, {
          'Content-Type': 'application/ocsp-response',
          'Content-Length': body.length,
          'Cache-Control': kept
            ? `max-age=${url.includes('briefly') ? 1 : 600}, public, no-transform, must-revalidate`
            : 'no-store',
          ETag: `"${count}"`,
          // As ours: days later than max-age, which is what counts (RFC 9111 §5.3).
          Expires: new Date(Date.now() + 4 * 86_400_000).toUTCString(),
          'Last-Modified': new Date(Date.now() - 1000).toUTCString(),
        });
        response.end(body);
      });
      edge = await Edge.start(name, { origin: recorder.port, public: recorder.port });
    });
    after(async () => {
      await edge?.stop();
      await recorder?.stop();
    });

    /** L-15. */
    const long = `/OcspServer/${'A%2b/'.repeat(500)}`;
    /** Long enough for an OCSP request, with all that hurts. */
    const base64 = `MEowSDBGMEQwQjAJBgUrDgMCGgUABBQ+//++++//+/++//++////++AEFD//+//+kept${'k'.repeat(40)}+//8=`;

    for (const [dialect, request] of DIALECTS) {
      it(`changes no octet of a path, ${dialect} (T-49)`, async () => {
        for (const path of [
          ...spellings(base64),
          '/',
          '/crls/%2B+//x.crl?%2f',
          '/a/./b/../c',
          '/OcspServer/%2F%3F%23x',
          long,
        ]) {
          const from = recorder.arrived.length;
          const [line, fields] = request(`${path}${path === '/' ? '?x' : ''}`);
          const { status } = await raw(edge.port, line, fields);
          assert.equal(status, 200, `${line} was answered ${status}`);
          const arrived = recorder.arrived.slice(from);
          // What is kept under another spelling or Host does not arrive again.
          for (const { target } of arrived) assert.equal(target, line.split(' ')[1]);
          assert.ok(arrived.length === 1 || path.includes('kept'), `${path}: ${arrived.length}`);
        }
      });
    }

    it('passes POST on, body and path untouched, each time', async () => {
      for (const path of ['/', '/OcspServer', '/OcspServer//', '//OcspServer/%2F']) {
        for (const [line, fields] of [
          [`POST ${path} HTTP/1.1`, [HOST]],
          [`POST ${path} HTTP/1.0`, []],
        ] as const) {
          const from = recorder.arrived.length;
          const body = '0\x03\n\x01\x00\r\n\r\n%2F//\xff';
          await raw(edge.port, line, fields, body);
          const { body: answer } = await raw(edge.port, line, fields, body);
          assert.equal(answer.toString(), `answer ${from + 2}`);
          assert.deepEqual(recorder.arrived.slice(from).map(({ method, target, body: got }) => [method, target, got]), [
            ['POST', path, body],
            ['POST', path, body],
          ]); // prettier-ignore
        }
      }
    });

    it('keeps an answer whatever Host a client sent, and however old its HTTP', async () => {
      const path = `/OcspServer/${encodeURIComponent(base64)}1`;
      const first = await raw(edge.port, `GET ${path} HTTP/1.0`);
      const from = recorder.arrived.length;
      for (const fields of [['Host: a.example'], ['Host: B.example:80'], [HOST, 'Cookie: a=b']]) {
        const { status, body } = await raw(edge.port, `GET ${path} HTTP/1.1`, fields);
        assert.deepEqual([status, body.toString()], [200, first.body.toString()]);
      }
      const again = await raw(edge.port, `GET ${path} HTTP/1.0`);
      assert.equal(again.body.toString(), first.body.toString());
      assert.equal(recorder.arrived.length, from);
    });

    it('takes no two requests for one', async () => {
      const path = `/OcspServer/${base64}2`;
      const bodies = new Set<string>();
      for (const other of [path, path.replace('//', '/'), path.toLowerCase(), path.replaceAll('+', '-')]) {
        bodies.add((await raw(edge.port, `GET ${other} HTTP/1.1`, [HOST])).body.toString());
      }
      assert.equal(bodies.size, 4);
    });

    it('keeps files of one path and two hosts apart, whatever they are called', async () => {
      for (const path of ['/kept/ca.crl', '/kept/shards/17', `/kept/${'long'.repeat(30)}.crl`]) {
        const ask = async (host: string): Promise<string> =>
          (await raw(edge.port, `GET ${path} HTTP/1.1`, [`Host: ${host}`])).body.toString();
        const a = await ask('a.example');
        assert.notEqual(a, await ask('b.example'), path);
      }
    });

    it('gives nobody the file of another host, whatever its request line and Host say (RFC 9112 §3.2.2)', async () => {
      const ask = async (target: string): Promise<string> =>
        (await raw(edge.port, `GET ${target} HTTP/1.1`, ['Host: a.example'])).body.toString();
      const a = await ask('/kept/ca.crl');
      assert.notEqual(await ask('http://c.example/kept/ca.crl'), a);
      assert.notEqual(await ask('http://a.example.c.example/kept/ca.crl'), a);
    });

    it('keeps nothing that says no-store', async () => {
      const path = `/OcspServer/${'A'.repeat(100)}`;
      const answers = new Set<string>();
      for (let i = 0; i < 3; i++) answers.add((await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST])).body.toString());
      assert.equal(answers.size, 3);
    });

    it('serves nothing past its max-age (P4, H-10)', async () => {
      const path = `/OcspServer/${base64}briefly`;
      const first = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST]);
      const from = recorder.arrived.length;
      // A second more than it may be kept: caches count in whole seconds.
      await sleep(2100);
      for (const version of ['1.1', '1.0']) {
        const later = await raw(edge.port, `GET ${path} HTTP/${version}`, [HOST]);
        assert.notEqual(later.body.toString(), first.body.toString());
      }
      assert.ok(recorder.arrived.length > from);
    });

    it('says how old an answer is, by Age or by its Date (RFC 9111 §4.2.3)', async () => {
      const path = `/OcspServer/${base64}aged`;
      const first = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST]);
      await sleep(2100);
      const { headers, body } = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST]);
      assert.equal(body.toString(), first.body.toString());
      const byDate = (Date.now() - Date.parse(headers['date'] ?? '')) / 1000;
      assert.ok(Math.max(byDate, Number(headers['age'] ?? 0)) >= 1, JSON.stringify(headers));
    });

    it('answers a conditional GET for what it keeps (H-04)', async () => {
      const path = `/OcspServer/${base64}conditional`;
      const { headers } = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST]);
      const from = recorder.arrived.length;
      for (const tag of ['', 'W/', '"x", ']) {
        const condition = `If-None-Match: ${tag}${headers['etag']}`;
        const { status, body, headers: sent } = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST, condition]);
        // Varnish 7 knows no list, and then sends the whole.
        const whole = name === 'varnish' && tag.includes(',');
        assert.deepEqual([status, body.length > 0, sent['etag']], [whole ? 200 : 304, whole, headers['etag']], tag);
      }
      const since = `If-Modified-Since: ${new Date().toUTCString()}`;
      assert.equal((await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST, since])).status, 304);
      const other = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST, 'If-None-Match: "other"']);
      assert.deepEqual([other.status, other.headers['etag']], [200, headers['etag']]);
      assert.equal(recorder.arrived.length, from);
    });

    it('asks the public listener while there is no origin listener', async () => {
      const [nowhere] = (await freePorts(1)) as [number];
      const other = await Edge.start(name, { origin: nowhere, public: recorder.port });
      try {
        for (const version of ['1.1', '1.0']) {
          const { status } = await raw(other.port, `GET /OcspServer/${base64}${version} HTTP/${version}`, [HOST]);
          assert.equal(status, 200);
        }
      } finally {
        await other.stop();
      }
    });

    it('passes a large file', async () => {
      const { status, body } = await raw(edge.port, 'GET /large.crl HTTP/1.0');
      assert.deepEqual([status, body.length, body.every((octet) => octet === 0x63)], [200, 3_000_000, true]);
    });
  });
}

/** The real program behind it. */
function servesOn(name: EdgeName): void {
  describe('before certstatus', () => {
    let service: Service;
    let edge: Edge;
    let request: Buffer;
    before(async () => {
      service = await Service.demo();
      edge = await Edge.start(name, service.ports);
      const serial = awkwardSerial(service);
      const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString();
      const { code, stderr } = await service.run(
        ...['issue', '--issuer', 'demo', '--serial', serial, '--wait'],
        ...['--not-before', day(-1), '--not-after', day(30)],
      );
      assert.equal(code, 0, stderr);
      request = ocspRequest(service.demo.issuer, serial);
    });
    after(async () => {
      await edge?.stop();
      await service?.remove();
    });

    for (const [dialect, ask] of DIALECTS) {
      it(`answers every spelling as the listener does, ${dialect}`, async () => {
        for (const path of spellings(request.toString('base64'))) {
          const direct = await raw(service.ports.public, ...ask(path));
          const through = await raw(edge.port, ...ask(path));
          assert.deepEqual([direct.status, direct.body.length > 300], [200, true], path);
          assert.equal(through.status, 200, path);
          assert.ok(through.body.equals(direct.body), `${path}: ${through.body.toString('base64')}`);
          for (const field of ['content-type', 'content-length', 'etag', 'expires', 'last-modified'])
            assert.equal(through.headers[field], direct.headers[field], `${field} of ${path}`);
          assert.match(through.headers['cache-control'] ?? '', /^max-age=\d+, public, no-transform, must-revalidate$/);
          for (const field of ['transfer-encoding', 'uwebsockets']) assert.equal(through.headers[field], undefined);
        }
      });
    }

    it('convinces openssl, with and without a nonce', async () => {
      for (const more of [[], ['-no_nonce'], ['-sha256']]) {
        for (const [certificate, status] of [
          [service.demo.valid, 'good'],
          [service.demo.revoked, 'revoked'],
        ] as const) {
          const { ca } = service.demo;
          const url = `http://127.0.0.1:${edge.port}/OcspServer`;
          const args = ['ocsp', '-issuer', ca, '-CAfile', ca, '-url', url, ...more, '-cert', certificate];
          const { code, stdout, stderr } = await runProgram('openssl', args).done;
          assert.equal(code, 0, stderr);
          assert.match(stderr, /Response verify OK/);
          assert.match(stdout, new RegExp(`: ${status}`));
        }
      }
    });

    it('does not keep that a certificate is not known', async () => {
      const unknown = ocspRequest(service.demo.issuer, '5e0badc0ffee5e0badc0ffee');
      const path = getPath('/OcspServer', unknown);
      const get = (): Promise<Got> => raw(edge.port, `GET ${path} HTTP/1.1`, [HOST]);
      assert.deepEqual([...(await get()).body], [0x30, 3, 0x0a, 1, 6]);
      const { code, stderr } = await service.run(
        ...['issue', '--issuer', 'demo', '--serial', '5e0badc0ffee5e0badc0ffee', '--wait'],
        ...['--not-after', new Date(Date.now() + 86_400_000 * 30).toISOString()],
      );
      assert.equal(code, 0, stderr);
      assert.ok((await get()).body.length > 300);
    });

    it('gives ranges of a CRL, and the whole to whoever had another one (RFC 9110 §13.1.5)', async () => {
      const path = '/SureServer/demo/cdp.crl';
      await until('the CRL is there', async () => (await service.get(path)).status === 200);
      const whole = await raw(service.ports.public, `GET ${path} HTTP/1.1`, [HOST]);
      // What is not kept yet, and what is.
      for (const round of ['first', 'second']) {
        for (const [fields, status, body] of [
          [['Range: bytes=0-9'], 206, whole.body.subarray(0, 10)],
          [['Range: bytes=100-', `If-Range: ${whole.headers['etag']}`], 206, whole.body.subarray(100)],
          [['Range: bytes=-7'], 206, whole.body.subarray(-7)],
          [['Range: bytes=100-', 'If-Range: "another"'], 200, whole.body],
        ] as const) {
          const got = await raw(edge.port, `GET ${path} HTTP/1.1`, [HOST, ...fields]);
          assert.deepEqual([got.status, got.body], [status, body], `${round}: ${fields.join()}`);
          assert.equal(got.headers['etag'], whole.headers['etag']);
        }
      }
    });

    it('serves HEAD, refuses other methods, and passes CRLs and CA certificates', async () => {
      const path = getPath('/OcspServer', request);
      const direct = await raw(service.ports.public, `GET ${path} HTTP/1.1`, [HOST]);
      for (const version of ['1.1', '1.0']) {
        const { status, headers, body } = await raw(edge.port, `HEAD ${path} HTTP/${version}`, [HOST]);
        assert.deepEqual([status, body.length, headers['etag']], [200, 0, direct.headers['etag']]);
      }
      assert.equal((await raw(edge.port, `DELETE ${path} HTTP/1.1`, [HOST])).status, 405);
      await until('the CRL is there', async () => (await service.get('/SureServer/demo/cdp.crl')).status === 200);
      for (const file of ['/SureServer/demo/cdp.crl', '/SureServer/demo/demo.crt']) {
        const [there, here] = [await service.get(file), await exchange({ port: edge.port, path: file })];
        assert.equal(here.status, 200);
        assert.ok(here.body.equals(there.body));
        assert.equal(here.headers['content-type'], there.headers['content-type']);
      }
    });
  });
}

/** A serial whose request has everything in its base64 that goes wrong on the way: `//`, `+` and `=`. */
function awkwardSerial(service: Service): string {
  for (const front of ['', '01', '0102']) {
    for (const end of ['', '03', '0304']) {
      const serial = `5f${front}fbefbeffffff${end}`;
      const base64 = ocspRequest(service.demo.issuer, serial).toString('base64');
      if (['//', '+', '='].every((text) => base64.includes(text))) return serial;
    }
  }
  throw new Error('no such serial');
}
