import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Fastify from 'fastify';
import { addCrlBookRoutes } from '../../src/apps/intake/crl-books-routes.ts';
import type { UrlChange } from '../../src/core/crl/ccadb.ts';

describe('the feed of CRL URLs over HTTP', () => {
  const change = (seq: number): UrlChange => ({
    seq,
    at: '2026-11-21T00:00:00Z',
    change: 'added',
    url: `http://a.test/${seq}`,
    why: 'x',
  });

  it('is one object per line, and 304 until something is added', async () => {
    const app = Fastify();
    const changes = [change(1)];
    const urls = { changes: () => Promise.resolve(changes) };
    const issuerOf = (): never => ({ issuer: {}, client: {} }) as never;
    addCrlBookRoutes(app, {} as never, { urls } as never, issuerOf);
    const get = (etag?: string) =>
      app.inject({
        url: '/v1/issuers/one/crl-urls/changes',
        headers: etag === undefined ? {} : { 'if-none-match': etag },
      });
    const first = await get();
    assert.deepEqual([first.statusCode, first.headers['content-type']], [200, 'application/x-ndjson']);
    assert.deepEqual(
      first.body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
      [change(1)],
    );
    const etag = first.headers.etag as string;
    for (const known of [etag, `"other", ${etag}`, '*']) {
      const { statusCode, body } = await get(known);
      assert.deepEqual([statusCode, body], [304, '']);
    }
    changes.push(change(2));
    const second = await get(etag);
    assert.equal(second.statusCode, 200);
    assert.notEqual(second.headers.etag, etag);
    await app.close();
  });
});
