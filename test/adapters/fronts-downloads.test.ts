/**
 * Downloads of CRLs over real sockets, from both fronts, while new ones are published: what a client has got is one CRL, whole, whatever it
 * did: read slowly, broke off, resumed with If-Range. Each body is known by its SHA-256, which is its ETag.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openOriginFront } from '../../src/adapters/origin-front/listener.ts';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { openPublicFront } from '../../src/adapters/public-front/listener.ts';
import type { CrlRecord, CrlScope } from '../../src/core/certificate.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { makeAnswer } from '../../src/flows/serve/answer.ts';
import { DOWNLOAD_BOUNDS, Downloads, type DownloadBounds } from '../../src/flows/serve/downloads.ts';
import { flowMetrics } from '../../src/flows/metrics.ts';
import { PublicFiles } from '../../src/flows/serve/public-files.ts';
import { ResponseTable } from '../../src/flows/serve/response-table.ts';
import type { Answer, Front } from '../../src/ports/front.ts';
import type { StoreEvent } from '../../src/ports/store.ts';
import { makeIssuer } from '../flows/support-service.ts';
import { getUntilEnd, type Got } from '../support/download.ts';

const loaded = loadUws();
const engines = [
  { name: 'public', open: (answer: Answer) => openPublicFront({ host: '127.0.0.1', port: 0, answer }) },
  {
    name: 'origin',
    open: (answer: Answer) => {
      if (!loaded.ok) throw new Error(loaded.reason);
      return openOriginFront({ uws: loaded.uws, host: '127.0.0.1', port: 0, answer });
    },
  },
];
const PATH = '/crls/1.crl';
const OCTETS = 150_000;

/** The store of a responder that is asked for nothing but files. */
const NOTHING = {
  lookup: () => Promise.reject(new Error('nothing is looked up')),
  follow: () => undefined,
  failure: undefined,
  failureOf: () => undefined,
  mustVouch: false,
  propagationMs: 0,
  silentMs: () => 0,
};

/** A responder with one shard, of which random octets are published. */
class Publishing {
  readonly bodies = new Map<string, Buffer>();
  readonly downloads: Downloads;
  answer!: Answer;
  #follower: (event: StoreEvent) => void = () => undefined;
  #number = 0n;
  readonly #scope: CrlScope;
  readonly #issuer = makeIssuer().served;

  constructor(bounds: DownloadBounds = DOWNLOAD_BOUNDS) {
    this.downloads = new Downloads({ now: () => Date.now() }, setImmediate, bounds);
    this.#scope = { issuer: this.#issuer.tag, shard: '1' };
  }

  async open(): Promise<void> {
    const crls = {
      complete: false,
      completeUrls: [],
      caUrl: undefined,
      shards: { count: 1, highest: 1, url: 'http://crl.example/crls/{shard}.crl' },
    };
    const issuers = [{ ...this.#issuer, crls }];
    const files = await PublicFiles.open(
      issuers,
      {
        current: () => Promise.resolve(undefined),
        scopes: () => Promise.resolve([]),
        body: NOTHING.lookup,
        follow: (follower) => (this.#follower = follower),
      },
      Date.now(),
      (_, error) => assert.fail(error as Error),
      this.downloads,
    );
    this.answer = makeAnswer({
      issuers,
      ocspUrls: [{ path: '/ocsp' }],
      files: [],
      publicFiles: files,
      table: new ResponseTable(issuers, NOTHING, 1 << 20, () => Promise.resolve()),
      ask: undefined,
      clock: { now: () => Date.now(), after: () => ({ cancel: () => undefined }) },
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      metrics: flowMetrics().answer,
    });
  }

  publish(octets = OCTETS + Math.floor(Math.random() * OCTETS)): string {
    const der = randomBytes(octets);
    const sha256 = createHash('sha256').update(der).digest('hex');
    const now = Math.floor(Date.now() / 1000) * 1000;
    const record: CrlRecord = {
      ...this.#scope,
      number: ++this.#number,
      thisUpdate: now,
      nextUpdate: now + 7 * DAY,
      publishedAt: now,
      kind: 'revocation',
      scheduledAt: now - HOUR,
      scheduledAsOfSeq: 0,
      entries: 0,
      bytes: octets,
      sha256,
      asOfSeq: 0,
    };
    this.bodies.set(`"${sha256}"`, der);
    this.#follower({ type: 'crl', record, der });
    return `"${sha256}"`;
  }

  /** Whole, and one of those that were published. */
  check(got: Got): void {
    const { status, headers, body } = got;
    assert.equal(status, 200);
    assert.equal(body.length, Number(headers['content-length']));
    assert.equal(`"${createHash('sha256').update(body).digest('hex')}"`, headers['etag']);
    assert.ok(this.bodies.has(headers['etag'] ?? ''));
    assert.equal(headers['content-type'], 'application/pkix-crl');
    assert.equal(headers['accept-ranges'], 'bytes');
    assert.equal(headers['content-encoding'], undefined);
  }
}

for (const engine of engines) {
  const missing = engine.name === 'origin' && !loaded.ok ? loaded.reason : false;
  describe(`${engine.name} front: downloads`, { skip: missing }, () => {
    const service = new Publishing();
    let front: Front;
    let port: number;
    before(async () => {
      await service.open();
      front = await engine.open(service.answer);
      ({ port } = front.address);
    });
    after(() => front.close(1000));

    it('says 503 with Retry-After of a shard that has no CRL yet, and 404 of one that is none', async () => {
      const { status, headers } = await getUntilEnd(port, PATH);
      assert.deepEqual([status, headers['retry-after'], headers['cache-control']], [503, '5', 'no-store']);
      assert.equal((await getUntilEnd(port, '/crls/2.crl')).status, 404);
    });

    it('tears no body while CRLs are published, nor mixes two that are resumed (RFC 9110 §13.1.5)', async () => {
      service.publish();
      let publishing = true;
      const publisher = (async () => {
        for (; publishing; await sleep(Math.random() * 100)) service.publish();
      })();
      let whole = 0;
      let resumed = 0;
      let begunAnew = 0;
      const client = async (id: number): Promise<void> => {
        for (let i = 0; i < 80; i++) {
          if ((id + i) % 3 !== 0) {
            service.check(await getUntilEnd(port, PATH, [], id % 5 === 0 ? { pauseMs: 1 } : {}));
            whole++;
            continue;
          }
          const broken = await getUntilEnd(port, PATH, [], { breakOffAt: 100_000 });
          const etag = broken.headers['etag'] as string;
          const rest = await getUntilEnd(port, PATH, [`Range: bytes=${broken.body.length}-`, `If-Range: ${etag}`]);
          if (rest.status === 200) {
            begunAnew++;
            service.check(rest);
            continue;
          }
          resumed++;
          assert.equal(rest.status, 206);
          const body = Buffer.concat([broken.body, rest.body]);
          const [from, length] = [broken.body.length, Number(broken.headers['content-length'])];
          assert.equal(rest.headers['content-range'], `bytes ${from}-${length - 1}/${length}`);
          service.check({ status: 200, headers: broken.headers, body });
        }
      };
      await Promise.all(Array.from({ length: 16 }, (_, id) => client(id)));
      publishing = false;
      await publisher;
      assert.ok(whole > 800 && resumed > 0 && begunAnew > 0, `${whole} whole, ${resumed} resumed, ${begunAnew} anew`);
      assert.deepEqual([service.downloads.count, service.downloads.heldOctets], [0, 0]);
    });

    it('has ranges with the fields of the whole, in the order of RFC 9110 §13.2.2', async () => {
      const etag = service.publish(200_000);
      const der = service.bodies.get(etag) as Buffer;
      const whole = await getUntilEnd(port, PATH);
      const part = await getUntilEnd(port, PATH, ['Range: bytes=-100']);
      assert.deepEqual([part.status, part.body], [206, der.subarray(-100)]);
      for (const field of ['content-type', 'etag', 'cache-control', 'expires', 'last-modified'])
        assert.equal(part.headers[field], whole.headers[field]);
      for (const [fields, status] of [
        [['Range: bytes=200000-'], 416],
        [['Range: bytes=0-9', 'If-Match: "x"'], 412],
        [['Range: bytes=0-9', `If-Match: "x", ${etag}`], 206],
        [['If-Match: *'], 200],
        [[`If-Match: W/${etag}`], 412],
        [['If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT'], 412],
        [[`If-Unmodified-Since: ${whole.headers['last-modified']}`], 200],
        [['Range: bytes=0-9', `If-None-Match: ${etag}`], 304],
        [['Range: bytes=0-9', 'If-None-Match: "x"', 'If-Range: "x"'], 200],
        [['Range: bytes=0-9,20-29'], 200],
      ] as const) {
        const got = await getUntilEnd(port, PATH, fields);
        assert.equal(got.status, status, fields.join());
        if (status === 416) assert.equal(got.headers['content-range'], 'bytes */200000');
        if (status > 400) assert.equal(got.headers['cache-control'], 'no-store');
      }
    });

    it('gives HEAD the fields of GET, whatever range it names (§9.3.2, §14.2)', async () => {
      const get = await getUntilEnd(port, PATH);
      const head = await getUntilEnd(port, PATH, ['Range: bytes=0-9'], { method: 'HEAD' });
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      for (const [name, value] of Object.entries(get.headers))
        if (name !== 'date' && name !== 'connection') assert.equal(head.headers[name], value, name);
    });

    it('keeps a replaced CRL for who reads it, and no longer', async () => {
      const etag = service.publish(8_000_000);
      const slow = connect(port, '127.0.0.1').pause();
      slow.write(`GET ${PATH} HTTP/1.1\r\nHost: h\r\n\r\n`);
      while (service.downloads.count === 0) await sleep(5);
      service.publish();
      assert.equal(service.downloads.heldOctets, 8_000_000);
      const der = service.bodies.get(etag) as Buffer;
      let got = 0;
      let tail = Buffer.alloc(0);
      slow.on('data', (chunk: Buffer) => {
        got += chunk.length;
        tail = Buffer.concat([tail, chunk]).subarray(-1000);
      });
      slow.resume();
      while (got < der.length || service.downloads.count > 0) await sleep(5);
      assert.deepEqual(tail, der.subarray(-1000));
      assert.equal(service.downloads.heldOctets, 0);
      slow.destroy();
    });
  });

  describe(`${engine.name} front: too many downloads`, { skip: missing }, () => {
    it('says 503 to one more, 206 of a few octets and HEAD all the same', async () => {
      const service = new Publishing({ places: 3, heldOctets: 1 << 30 });
      await service.open();
      const front = await engine.open(service.answer);
      const { port } = front.address;
      const readers: Socket[] = [];
      try {
        service.publish(8_000_000);
        for (let i = 0; i < 3; i++) {
          const reader = connect(port, '127.0.0.1').pause();
          reader.write(`GET ${PATH} HTTP/1.1\r\nHost: h\r\n\r\n`);
          readers.push(reader);
        }
        while (service.downloads.count < 3) await sleep(5);
        const refused = await getUntilEnd(port, PATH);
        assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '30']);
        assert.equal((await getUntilEnd(port, PATH, ['Range: bytes=0-9'])).status, 206);
        assert.equal((await getUntilEnd(port, PATH, [], { method: 'HEAD' })).status, 200);
        readers[0]?.destroy();
        while (service.downloads.count === 3) await sleep(5);
        service.check(await getUntilEnd(port, PATH));
      } finally {
        for (const reader of readers) reader.destroy();
        await front.close(1000);
      }
    });

    it('cuts off who reads what was replaced long ago, when that takes too much memory', async () => {
      const service = new Publishing({ places: 10, heldOctets: 20_000_000 });
      await service.open();
      const front = await engine.open(service.answer);
      const readers: Socket[] = [];
      try {
        for (let i = 0; i < 3; i++) {
          service.publish(9_000_000);
          const reader = connect(front.address.port, '127.0.0.1').pause();
          reader.write(`GET ${PATH} HTTP/1.1\r\nHost: h\r\n\r\n`);
          readers.push(reader.on('error', () => undefined));
          while (service.downloads.count < i + 1) await sleep(5);
        }
        service.publish();
        assert.equal(service.downloads.count, 2);
        assert.equal(service.downloads.heldOctets, 18_000_000);
        // The first to go is the one that has read the oldest.
        readers[0]?.resume();
        await once(readers[0] as Socket, 'close');
      } finally {
        for (const reader of readers) reader.destroy();
        await front.close(1000);
      }
    });
  });
}
