/**
 * One HTTP script for both fronts, over raw sockets (ports/front.ts). Where uWebSockets.js decides for itself, with the reason
 * beside the case, the origin front is only asked to go on serving.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openOriginFront } from '../../src/adapters/origin-front/listener.ts';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { openPublicFront } from '../../src/adapters/public-front/listener.ts';
import { MAX_BODY_BYTES, type Answer, type Front } from '../../src/ports/front.ts';
import { bodyHash, echo, RawClient, type Echo, type Seen } from './fronts-raw-client.ts';

const BODY = Buffer.from(Array.from({ length: 120 }, (_, i) => (i * 7) % 256));
/** A real request's spelling (peers.md Part 2 §4.5). */
const B64 =
  'MFEwTzBNMEswSTAJBgUrDgMCGgUABBRCgeYRplXu3JcyXBZS1gDI1ZBTagQU8ijoXvrD3Xe%2FbyRwp2Lggl%2BGcRgCEH8AobLD1OX2ABEiM0RVZgE%3D';
const text = (...lines: readonly string[]): string => lines.join('\r\n') + '\r\n\r\n';
const post = (head: string, body: Buffer): Buffer => Buffer.concat([Buffer.from(head, 'latin1'), body]);
const NO_10 = 'uWebSockets.js answers 505 to HTTP/1.0';

interface Case {
  readonly why: string;
  readonly send: string | Buffer;
  readonly status: number;
  readonly echo?: Partial<Echo>;
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
  /** Whether the server ends the connection after the reply. */
  readonly closes: boolean;
  /** Why the origin front is not asked, or why it may differ. */
  readonly notUws?: string;
  /** Send it again split at every position: for what is answered with 200. */
  readonly split?: boolean;
}

const ok = { status: 200, split: true } as const;
const kept = { ...ok, closes: false } as const;
const old = { ...ok, closes: true, headers: { connection: 'close' }, notUws: NO_10 } as const;

const cases: readonly Case[] = [
  {
    why: 'openssl 3.0: POST HTTP/1.0, no Connection field; waits for the end',
    send: post(
      text('POST / HTTP/1.0', 'Host: 127.0.0.1', 'Content-Type: application/ocsp-request', 'Content-Length: 120'),
      BODY,
    ),
    ...old,
    echo: { method: 'POST', target: '/', host: '127.0.0.1', body: bodyHash(BODY) },
  },
  {
    why: 'ocsptool 3.7: POST HTTP/1.0 with Connection: close',
    send: post(
      text(
        'POST / HTTP/1.0',
        'Host: 127.0.0.1',
        'Accept: */*',
        'Content-Type: application/ocsp-request',
        'Content-Length: 83',
        'Connection: close',
      ),
      BODY.subarray(0, 83),
    ),
    ...old,
    echo: { method: 'POST', body: bodyHash(BODY.subarray(0, 83)) },
  },
  {
    why: 'Apache 2.4: Host with port, Content-Length last',
    send: post(
      text(
        'POST /ocsp HTTP/1.0',
        'Host: 127.0.0.1:18080',
        'Content-Type: application/ocsp-request',
        'Connection: close',
        'Content-Length: 83',
      ),
      BODY.subarray(0, 83),
    ),
    ...old,
    echo: { target: '/ocsp', host: '127.0.0.1:18080', body: bodyHash(BODY.subarray(0, 83)) },
  },
  {
    why: 'nginx stapling: GET HTTP/1.0, path with %2F and %2B, no Connection field; waits for the end',
    send: text(`GET /${B64} HTTP/1.0`, 'Host: 127.0.0.1'),
    ...old,
    echo: { method: 'GET', target: `/${B64}`, body: null },
  },
  { why: 'NSS: GET HTTP/1.0, Host with port', send: text(`GET /${B64} HTTP/1.0`, 'Host: 127.0.0.1:18080'), ...old },
  { why: 'HTTP/1.0 has no duty to send Host', send: text('GET /a HTTP/1.0'), ...old, echo: { host: '' } },
  {
    why: 'HTTP/1.0 that asks for keep-alive is closed all the same',
    send: text('GET /a HTTP/1.0', 'Connection: keep-alive'),
    ...old,
  },
  {
    why: 'Java 17: GET HTTP/1.1 with keep-alive named',
    send: text(
      `GET /${B64} HTTP/1.1`,
      'User-Agent: Java/17.0.15',
      'Host: 127.0.0.1:18080',
      'Accept: text/html, image/gif, */*; q=0.2',
      'Connection: keep-alive',
    ),
    ...kept,
    echo: { target: `/${B64}`, host: '127.0.0.1:18080' },
  },
  {
    why: 'HTTP/1.1 keeps the connection by default',
    send: text('GET /a HTTP/1.1', 'Host: h'),
    ...kept,
    headers: { date: /GMT$/ },
  },
  {
    why: 'field names in any case',
    send: text('GET /a HTTP/1.1', 'hOsT: h', 'iF-nOnE-mAtCh: "q"'),
    ...kept,
    echo: { host: 'h', inm: '"q"' },
  },
  {
    why: 'Connection: close is obeyed and said (RFC 9112 §9.6)',
    send: text('GET /a HTTP/1.1', 'Host: h', 'Connection: close'),
    ...ok,
    closes: true,
    headers: { connection: 'close' },
    notUws: 'it closes, but says so only when the reply is written so; not worth a call per hit',
  },
  {
    why: 'POST HTTP/1.1',
    send: post(text('POST /x HTTP/1.1', 'Host: h', 'Content-Length: 120'), BODY),
    ...kept,
    echo: { method: 'POST', target: '/x', body: bodyHash(BODY) },
  },
  {
    why: 'chunked POST',
    send: text('POST /x HTTP/1.1', 'Host: h', 'Transfer-Encoding: chunked') + '3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n',
    ...kept,
    echo: { body: bodyHash(Buffer.from('abcdefg')) },
  },
  {
    why: 'POST without a body',
    send: text('POST /x HTTP/1.1', 'Host: h', 'Content-Length: 0'),
    ...kept,
    echo: { body: bodyHash(Buffer.alloc(0)) },
  },
  {
    why: 'a body of the greatest length',
    send: post(
      text('POST /x HTTP/1.1', 'Host: h', `Content-Length: ${MAX_BODY_BYTES}`),
      Buffer.alloc(MAX_BODY_BYTES, 1),
    ),
    status: 200,
    closes: false,
    echo: { body: bodyHash(Buffer.alloc(MAX_BODY_BYTES, 1)) },
  },
  {
    why: 'one octet more is 413',
    send: post(
      text('POST /x HTTP/1.1', 'Host: h', `Content-Length: ${MAX_BODY_BYTES + 1}`),
      Buffer.alloc(MAX_BODY_BYTES + 1, 1),
    ),
    status: 413,
    closes: true,
    headers: { 'cache-control': 'no-store', connection: 'close' },
  },
  {
    why: 'chunks that add up to more are 413',
    send:
      text('POST /x HTTP/1.1', 'Host: h', 'Transfer-Encoding: chunked') + `2001\r\n${'x'.repeat(0x2001)}\r\n0\r\n\r\n`,
    status: 413,
    closes: true,
    headers: { 'cache-control': 'no-store' },
  },
  {
    why: 'conditional fields are handed on',
    send: text('GET /a HTTP/1.1', 'Host: h', 'If-None-Match: W/"q", "r"', 'If-Modified-Since: x'),
    ...kept,
    echo: { inm: 'W/"q", "r"', ims: 'x' },
  },
  {
    why: 'two slashes, %2F, plus and dots stay as sent (T-49)',
    send: text('GET //ocsp//a%2Fb+c/../%3d= HTTP/1.1', 'Host: h'),
    ...kept,
    echo: { target: '//ocsp//a%2Fb+c/../%3d=' },
  },
  {
    why: 'a query stays in the target',
    send: text('GET /a?b=c?d HTTP/1.1', 'Host: h'),
    ...kept,
    echo: { target: '/a?b=c?d' },
    notUws: 'it leaves the query off, on which nothing depends',
  },
  {
    why: 'absolute-form from a forward proxy is handed on',
    send: text('GET http://ocsp.example/a HTTP/1.1', 'Host: ocsp.example'),
    ...kept,
    echo: { target: 'http://ocsp.example/a' },
    notUws: 'it answers 505',
  },
  {
    why: 'an empty line before the request (RFC 9112 §2.2)',
    send: '\r\n' + text('GET /a HTTP/1.1', 'Host: h'),
    ...kept,
    notUws: 'it never answers',
  },
  {
    why: 'a GET of 12 kB passes (L-15)',
    send: text(`GET /${'a'.repeat(12_000)} HTTP/1.1`, 'Host: h'),
    status: 200,
    closes: false,
    echo: { target: `/${'a'.repeat(12_000)}` },
  },
  {
    why: 'a head over the limit is 431',
    send: text(`GET /${'a'.repeat(17_000)} HTTP/1.1`, 'Host: h'),
    status: 431,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: 'its 431 has no Cache-Control',
  },
  {
    why: 'a refusal to an HTTP/1.1 client without Host (RFC 9112 §3.2)',
    send: text('GET /a HTTP/1.1'),
    status: 400,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: 'its 400 has no Cache-Control',
  },
  {
    why: 'two Host fields are refused (RFC 9112 §3.2)',
    send: text('GET /a HTTP/1.1', 'Host: a', 'Host: b'),
    status: 400,
    closes: true,
    notUws: 'it takes the first',
  },
  {
    why: 'two Content-Length fields that differ are refused',
    send: text('POST / HTTP/1.1', 'Host: h', 'Content-Length: 1', 'Content-Length: 2') + 'ab',
    status: 400,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: '20.51 accepts them',
  },
  {
    why: 'Content-Length beside Transfer-Encoding is refused',
    send: text('POST / HTTP/1.1', 'Host: h', 'Content-Length: 3', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
    status: 400,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: 'its 400 has no Cache-Control',
  },
  {
    why: 'a broken chunk is refused',
    send: text('POST / HTTP/1.1', 'Host: h', 'Transfer-Encoding: chunked') + '3\r\nabc\r\nzz\r\n',
    status: 400,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: 'its 400 has no Cache-Control',
  },
  {
    why: 'a length that is no number is refused',
    send: text('POST / HTTP/1.1', 'Host: h', 'Content-Length: 0x3') + 'abc',
    status: 400,
    closes: true,
    notUws: 'its 400 has no Cache-Control',
  },
  {
    why: 'a space before the colon is refused (RFC 9112 §5.1)',
    send: text('GET /a HTTP/1.1', 'Host : h'),
    status: 400,
    closes: true,
    notUws: 'its 400 has no Cache-Control',
  },
  {
    why: 'a bare line feed inside a field is refused',
    send: text('GET /a HTTP/1.1', 'Host: h', 'X: a\nContent-Length: 5'),
    status: 400,
    closes: true,
    notUws: 'it answers in its own way',
  },
  {
    why: 'TLS on the plain port is refused',
    send: Buffer.from('1603010200010001fc0303', 'hex'),
    status: 400,
    closes: true,
    notUws: 'it answers 505',
  },
  {
    why: 'an expectation other than 100-continue is 417',
    send: text('POST / HTTP/1.1', 'Host: h', 'Expect: wonders', 'Content-Length: 0'),
    status: 417,
    closes: true,
    headers: { 'cache-control': 'no-store' },
    notUws: 'it ignores it',
  },
  {
    why: 'HEAD has the length and no body (H-06)',
    send: text('HEAD /fixed HTTP/1.1', 'Host: h'),
    status: 200,
    closes: false,
    headers: { 'content-length': '15', 'content-type': 'application/ocsp-response' },
  },
  {
    why: 'a range and its condition are handed on',
    send: text('GET /a HTTP/1.1', 'Host: h', 'Range: bytes=0-9', 'If-Range: "q"'),
    ...kept,
    echo: { range: 'bytes=0-9', ifRange: '"q"' },
  },
  {
    why: 'likewise from HTTP/1.0',
    send: text('GET /a HTTP/1.0', 'RANGE: bytes=5-'),
    ...old,
    echo: { range: 'bytes=5-', ifRange: null },
  },
  {
    why: 'preconditions are handed on',
    send: text('GET /a HTTP/1.1', 'Host: h', 'If-Match: "a", "b"', 'If-Unmodified-Since: x'),
    ...kept,
    echo: { ifMatch: '"a", "b"', ius: 'x' },
  },
  {
    why: 'one of them alone',
    send: text('GET /a HTTP/1.1', 'Host: h', 'If-Unmodified-Since: x'),
    ...kept,
    echo: { range: null, ifRange: null, ifMatch: null, ius: 'x' },
  },
  {
    why: 'a part of a large file is 206',
    send: text('GET /part HTTP/1.1', 'Host: h'),
    status: 206,
    closes: false,
    headers: { 'content-length': '100000' },
  },
  {
    why: 'HEAD of a large file has its length and no body (H-06)',
    send: text('HEAD /download HTTP/1.1', 'Host: h'),
    status: 200,
    closes: false,
    headers: { 'content-length': '30000000' },
  },
  {
    why: '304 has no content and no Content-Length (H-05)',
    send: text('GET /304 HTTP/1.1', 'Host: h'),
    status: 304,
    closes: false,
    headers: { etag: '"a"', 'content-length': undefined, 'content-type': undefined },
  },
  {
    why: 'other methods reach the answer, with their body dropped',
    send: text('PUT /a HTTP/1.1', 'Host: h', 'Content-Length: 3') + 'abc',
    ...kept,
    echo: { method: 'PUT', body: null },
  },
];

interface Engine {
  readonly name: string;
  readonly open: (answer: Answer) => Promise<Front>;
  /** Why this case is the library's own to decide. */
  readonly decides: (one: Case) => string | undefined;
}

const loaded = loadUws();
const engines: readonly Engine[] = [
  {
    name: 'public',
    open: (answer) => openPublicFront({ host: '127.0.0.1', port: 0, answer }),
    decides: () => undefined,
  },
  {
    name: 'public (sockets)',
    open: (answer) => openPublicFront({ host: '127.0.0.1', port: 0, answer, hold: 'socket' }),
    decides: () => undefined,
  },
  {
    name: 'origin',
    open: (answer) => {
      if (!loaded.ok) throw new Error(loaded.reason);
      return openOriginFront({ uws: loaded.uws, host: '127.0.0.1', port: 0, answer });
    },
    decides: (one) => one.notUws,
  },
];

for (const engine of engines) {
  const missing = engine.name === 'origin' && !loaded.ok ? loaded.reason : false;
  describe(`${engine.name} front`, { skip: missing }, () => {
    let front: Front;
    before(async () => {
      front = await engine.open(echo);
    });
    after(() => front.close(1000));

    for (const one of cases) {
      const reason = engine.decides(one);
      it(reason === undefined ? one.why : `lives on, whatever it does (${reason}): ${one.why}`, async () => {
        const client = new RawClient(front.address.port);
        await client.send(one.send);
        if (reason === undefined) return check(one, client);
        await pause(20);
        client.socket.destroy();
        const next = new RawClient(front.address.port);
        await next.send(text('GET /next HTTP/1.1', 'Host: h', 'Connection: close'));
        assert.equal((await next.reply())?.status, 200);
        next.socket.destroy();
      });
    }

    it('answers the same wherever the network cuts the request', async () => {
      for (const one of cases.filter((one) => one.split && engine.decides(one) === undefined)) {
        const octets = typeof one.send === 'string' ? Buffer.from(one.send, 'latin1') : one.send;
        const positions = Array.from({ length: octets.length - 1 }, (_, i) => i + 1);
        await Promise.all(
          positions.map(async (at) => {
            const client = new RawClient(front.address.port);
            await client.send(octets.subarray(0, at), octets.subarray(at));
            await check(one, client);
          }),
        );
      }
    });

    it('answers a request that comes octet by octet', async () => {
      for (const one of cases.filter((one) => one.split && engine.decides(one) === undefined)) {
        const octets = typeof one.send === 'string' ? Buffer.from(one.send, 'latin1') : one.send;
        const client = new RawClient(front.address.port);
        await client.send(...Array.from(octets, (octet) => Buffer.of(octet)));
        await check(one, client);
      }
    });

    it('asks for the body with 100 (Continue)', async () => {
      const client = new RawClient(front.address.port);
      await client.send(text('POST /x HTTP/1.1', 'Host: h', 'Expect: 100-continue', 'Content-Length: 3'));
      while (!client.rest.toString('latin1').startsWith('HTTP/1.1 100 ')) await pause(5);
      await client.send('abc');
      assert.equal(told(await client.reply()).body, bodyHash(Buffer.from('abc')));
      client.socket.destroy();
    });

    // uWebSockets.js loses the replies of a packet that it refuses: such pipelines are not asked of it (the listener's head comment).
    const itOfOurs = (name: string, test: () => Promise<void>): void => {
      if (engine.name !== 'origin') it(name, test);
    };
    itOfOurs('replies to a request with a body before it refuses what follows', async () => {
      for (const framed of [
        'Content-Length: 3\r\n\r\nabc',
        'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      ]) {
        const client = new RawClient(front.address.port);
        await client.send(`POST /first HTTP/1.1\r\nHost: h\r\n${framed}nonsense\r\n\r\n`);
        assert.equal(told(await client.reply()).target, '/first');
        assert.equal((await client.reply())?.status, 400);
        await client.closed;
      }
    });

    itOfOurs('puts no 100 into the reply to a request in a pipeline', async () => {
      const client = new RawClient(front.address.port);
      const expecting = text('POST /second HTTP/1.1', 'Host: h', 'Expect: 100-continue', 'Content-Length: 3');
      await client.send(`${text('GET /late HTTP/1.1', 'Host: h')}${expecting}abc`);
      assert.equal(told(await client.reply()).target, '/late');
      assert.equal(told(await client.reply()).body, bodyHash(Buffer.from('abc')));
      client.socket.destroy();
    });

    itOfOurs('says nothing to what follows the last request (RFC 9112 §9.6)', async () => {
      const client = new RawClient(front.address.port);
      await client.send(text('HEAD /late HTTP/1.1', 'Host: h', 'Connection: close'), text('GET / HTTP/1.1', 'Host: h'));
      assert.equal((await client.reply('HEAD'))?.status, 200);
      await client.closed;
      assert.equal(client.rest.length, 0);
    });

    itOfOurs('leaves nobody waiting behind a request with Upgrade', async () => {
      for (const framed of ['\r\n', 'Content-Length: 3\r\n\r\nabc']) {
        const client = new RawClient(front.address.port);
        const upgrading = `POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n${framed}`;
        await client.send(`${upgrading}${text('GET /y HTTP/1.1', 'Host: h')}`);
        const reply = await client.reply();
        assert.equal(told(reply).target, '/x');
        assert.equal(reply?.headers.get('connection'), 'close');
        await client.closed;
      }
    });

    itOfOurs('hears a refused client out, so that the refusal reaches it', async () => {
      const client = new RawClient(front.address.port);
      let reset = false;
      client.socket.on('error', () => (reset = true));
      for (let i = 0; i < 4; i++) {
        await client.send('nonsense\r\n\r\n');
        await pause(20);
      }
      assert.equal(reset, false);
      assert.equal((await client.reply())?.status, 400);
      client.socket.destroy();
    });

    it('says the same bytes again on a kept connection, with the Date of then', async () => {
      const client = new RawClient(front.address.port);
      const seen: Seen[] = [];
      for (let i = 0; i < 3; i++) {
        await client.send(text('GET /fixed HTTP/1.1', 'Host: h'));
        const reply = (await client.reply()) as Seen;
        assert.equal(reply.body.toString(), 'always the same');
        assert.ok(Math.abs(Date.parse(reply.headers.get('date') as string) - Date.now()) < 2000);
        seen.push(reply);
        await pause(600);
      }
      assert.notEqual(seen[0]?.headers.get('date'), seen[2]?.headers.get('date'));
      client.socket.destroy();
    });

    it('takes up a port once, and says which it could not', async () => {
      const { port } = front.address;
      const again = engine.name !== 'origin' ? openPublicFront({ host: '127.0.0.1', port, answer: echo }) : undefined;
      const uws = loaded.ok ? loaded.uws : undefined;
      const second =
        again ?? openOriginFront({ uws: uws as NonNullable<typeof uws>, host: '127.0.0.1', port, answer: echo });
      await assert.rejects(second, { name: 'Problem', code: 'config', value: `127.0.0.1:${port}` });
    });
  });
}

async function check(one: Case, client: RawClient): Promise<void> {
  const method = one.send.toString('latin1').split(' ')[0] as string;
  const reply = await client.reply(method);
  assert.ok(reply !== undefined, 'closed without a reply');
  assert.equal(reply.status, one.status);
  for (const [name, expected] of Object.entries(one.headers ?? {})) {
    const value = reply.headers.get(name);
    if (expected instanceof RegExp) assert.match(value as string, expected);
    else assert.equal(value, expected, name);
  }
  assert.ok(reply.headers.has('date'));
  for (const name of reply.headers.keys()) assert.match(name, /^[a-z0-9-]+$/);
  if (one.echo !== undefined) assert.deepEqual({ ...told(reply), ...one.echo }, told(reply));
  if (!one.closes) {
    // Still in step: the next request on this connection is answered as itself.
    await client.send(text('GET /after HTTP/1.1', 'Host: h'));
    assert.equal(told(await client.reply()).target, '/after');
    client.socket.destroy();
  }
  await client.closed;
  assert.equal(client.rest.length, 0, 'octets after the reply');
}

function told(reply: Seen | undefined): Echo {
  return JSON.parse((reply as Seen).body.toString()) as Echo;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
