/** A proxy that keeps its connections sends one client's request behind another's: what is a body to it must not be a request here. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openOriginFront } from '../../src/adapters/origin-front/listener.ts';
import { loadUws } from '../../src/adapters/origin-front/uws.ts';
import { openPublicFront } from '../../src/adapters/public-front/listener.ts';
import type { Answer, Front } from '../../src/ports/front.ts';
import { echo, RawClient } from './fronts-raw-client.ts';

const loaded = loadUws();
const EVIL = 'GET /evil HTTP/1.1\r\nHost: h\r\n\r\n';
const FRAMINGS = [
  ['Content-Length', `Content-Length: ${EVIL.length}`, EVIL],
  ['chunks', 'Transfer-Encoding: chunked', `${EVIL.length.toString(16)}\r\n${EVIL}\r\n0\r\n\r\n`],
] as const;

for (const [name, open, missing] of [
  ['public', (answer: Answer) => openPublicFront({ host: '127.0.0.1', port: 0, answer }), false],
  [
    'origin',
    (answer: Answer) => {
      if (!loaded.ok) throw new Error(loaded.reason);
      return openOriginFront({ uws: loaded.uws, host: '127.0.0.1', port: 0, answer });
    },
    loaded.ok ? false : loaded.reason,
  ],
] as const) {
  describe(`${name} front: the body of a request that needs none`, { skip: missing }, () => {
    let front: Front;
    const asked: string[] = [];
    before(async () => {
      front = await open((question) => {
        asked.push(question.target);
        return echo(question);
      });
    });
    after(() => front.close(500));

    for (const [framing, field, body] of FRAMINGS) {
      it(`is no request, in ${framing}`, async () => {
        for (const method of ['GET', 'HEAD', 'DELETE']) {
          for (const target of ['/now', '/late']) {
            const head = `${method} ${target} HTTP/1.1\r\nHost: h\r\n${field}\r\n\r\n`;
            for (const pieces of [[head + body], [head, body], [head, ...(body.match(/[^]{1,9}/g) ?? [])]]) {
              asked.length = 0;
              const client = new RawClient(front.address.port);
              await client.send(...pieces);
              assert.equal((await client.reply(method))?.status, 200);
              await client.send('GET /next HTTP/1.1\r\nHost: h\r\n\r\n');
              assert.equal((await client.reply())?.status, 200);
              assert.deepEqual(asked, [target, '/next']);
              client.socket.destroy();
            }
          }
        }
      });
    }
  });
}
