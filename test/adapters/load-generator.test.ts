/** The load generator against servers that misbehave in one way each: what a wrong reply, or a stall, must not pass for. */
import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateLoad } from '../../src/adapters/load-generator/generator.ts';
import type { Load, LoadResult } from '../../src/adapters/load-generator/load.ts';
import { writeQuestionFile } from '../../src/adapters/load-generator/question-file.ts';
import { LatencyHistogram } from '../../src/core/latency-histogram.ts';

const BODY = 'fine';
const RIGHT = reply(BODY);

function reply(body: string, line = 'HTTP/1.1 200 OK', fields = `Content-Length: ${body.length}\r\n`): string {
  return `${line}\r\n${fields}\r\n${body}`;
}

describe('load generator', () => {
  const directory = mkdtempSync(join(tmpdir(), 'load-generator-'));
  const requests = join(directory, 'requests');
  const numbers = Array.from({ length: 100 }, (_, i) => i);
  writeQuestionFile(
    requests,
    numbers.map((i) => ({ serial: Buffer.of(i), octets: Buffer.from(`GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`) })),
  );
  const servers: Server[] = [];
  after(() => {
    for (const server of servers) server.close();
    rmSync(directory, { recursive: true });
  });

  /** @param answer called with each request (they come whole) and how many the connection has had before. */
  async function against(
    answer: (socket: Socket, request: string, before: number) => void,
    load: Partial<Load> = {},
    processes = 1,
  ): Promise<LoadResult & { readonly connections: number }> {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      let before = 0;
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => answer(socket, chunk.toString('latin1'), before++));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const result = await generateLoad(
      {
        host: '127.0.0.1',
        port,
        requests,
        draw: undefined,
        first: 0,
        connections: 4,
        keep: true,
        rate: undefined,
        seconds: 60,
        count: 40,
        expected: { status: 200, body: { hex: Buffer.from(BODY).toString('hex') } },
        ...load,
      },
      { processes },
    );
    return { ...result, connections };
  }

  it('asks each question in its turn, on the connections that it has', async () => {
    const asked: string[] = [];
    const { right, failures, connections, octets } = await against(
      (socket, request) => {
        asked.push(/^GET \/(\d+) /.exec(request)?.[1] ?? request);
        socket.write(RIGHT);
      },
      { first: 70, connections: 1 },
    );
    assert.deepEqual(
      asked,
      numbers.slice(0, 40).map((i) => String((70 + i) % 100)),
    );
    assert.deepEqual([right, failures.size, connections, octets], [40, 0, 1, 40 * RIGHT.length]);
  });

  it('shares connections and requests among its processes', async () => {
    const { right, connections, failures } = await against((socket) => socket.write(RIGHT), { connections: 5 }, 2);
    assert.deepEqual([right, connections, failures.size], [40, 5, 0]);
  });

  it('puts a reply together that comes in pieces', async () => {
    const { right, failures } = await against((socket) => {
      socket.write(RIGHT.slice(0, 20));
      setTimeout(() => socket.write(RIGHT.slice(20, -2)), 5);
      setTimeout(() => socket.write(RIGHT.slice(-2)), 10);
    });
    assert.deepEqual([right, failures.size], [40, 0]);
  });

  it('opens a connection for each request when it is told to', async () => {
    const { right, connections } = await against((socket) => socket.end(RIGHT), { keep: false });
    assert.deepEqual([right, connections], [40, 40]);
  });

  it('takes a body without a length to the end of the connection', async () => {
    const { right } = await against((socket) => socket.end(reply(BODY, 'HTTP/1.0 200 OK', '')), { keep: false });
    assert.equal(right, 40);
  });

  it('asks once more when a kept connection was closed before the request came', async () => {
    const { right, failures, connections } = await against(
      (socket, _request, before) => (before === 0 ? socket.write(RIGHT) : socket.destroy()),
      { connections: 1 },
    );
    assert.deepEqual([right, failures.size, connections], [40, 0, 40]);
  });

  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['another body', reply('good'), /another body, of 4 octets/],
    ['another status', reply(BODY, 'HTTP/1.1 503 Busy'), /HTTP status 503/],
    ['a chunked body', reply('4\r\nfine\r\n0\r\n\r\n', undefined, 'Transfer-Encoding: chunked\r\n'), /chunked/],
    ['octets after the body', `${RIGHT}\n`, /1 octets after the reply/],
    ['something that is no HTTP', 'SSH-2.0\r\n\r\n', /no HTTP\/1\.0 or 1\.1 reply/],
    ['half a reply', RIGHT.slice(0, -1), /cut off/],
    ['nothing', '', /closed without a reply/],
  ];
  for (const [what, octets, said] of wrong) {
    it(`counts ${what} as wrong, not as a reply`, async () => {
      const { right, failures } = await against((socket) => socket.end(octets), { keep: false, count: 4 });
      assert.equal(right, 0);
      assert.deepEqual([...failures.values()], [4]);
      assert.match([...failures.keys()].join(), said);
    });
  }

  it('sees the serial that an answer names', async () => {
    // SEQUENCE { ENUMERATED successful }, and in it what stands for the serial.
    const answer = (serial: number): Buffer => Buffer.from([0x30, 4, 0x0a, 1, 0, serial]);
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n';
    const { right, failures } = await against(
      (socket, request) => {
        const asked = Number(/^GET \/(\d+) /.exec(request)?.[1]);
        socket.write(Buffer.concat([Buffer.from(head), answer(asked === 33 ? 99 : asked)]));
      },
      { expected: { status: 200, body: 'answer' }, first: 20 },
    );
    assert.equal(right, 39);
    assert.deepEqual([...failures], [['an answer about another certificate', 1]]);
  });

  it('says what refused it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const { right, failures } = await against(() => undefined, { port, count: 4 });
    assert.equal(right, 0);
    assert.deepEqual([...failures], [['no connection (ECONNREFUSED)', 4]]);
  });

  it('charges a stall for all who would have asked meanwhile', async () => {
    // 20 are due in the 200 ms that the first reply takes: a client that waits for it would see one slow reply.
    let first = true;
    const { right, latency } = await against(
      (socket) => {
        setTimeout(() => socket.write(RIGHT), first ? 200 : 0);
        first = false;
      },
      { connections: 1, rate: 100, seconds: 0.4, count: undefined },
    );
    const late = new LatencyHistogram(latency);
    assert.equal(right, 40);
    // The first ten were due in the first 100 ms, so each waited for 100 ms or more, however slow or fast the rest is.
    assert.ok(late.percentile(1 - 9 / 40) >= 95_000, `${late.percentile(1 - 9 / 40)}`);
  });
});
