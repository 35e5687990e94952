/** One prepared reply, many connections: the Date in it is that of the moment when it is sent, and nobody's changes under way (H-01). */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { openPublicFront } from '../../src/adapters/public-front/listener.ts';
import { okReply, RawClient } from './fronts-raw-client.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

for (const hold of ['bare', 'socket'] as const) {
  describe(`public front (${hold}): a reply that the kernel does not take at once`, () => {
    it('keeps its Date while others are sent the same reply later', async (context: TestContext) => {
      let now = Date.parse('2026-11-21T10:00:00Z');
      context.mock.method(Date, 'now', () => now);
      const reply = okReply(Buffer.alloc(3000, 'a'));
      let asked = 0;
      const front = await openPublicFront({
        host: '127.0.0.1',
        port: 0,
        hold,
        answer: () => {
          asked += 1;
          return reply;
        },
      });
      const { port } = front.address;
      // The first connection shows the front how this Node holds one.
      await dateOf(port);
      asked = 0;

      const reader = connect({ port, host: '127.0.0.1', noDelay: true });
      reader.pause();
      await new Promise((resolve) => reader.once('connect', resolve));
      // It asks and takes nothing, until it is not answered any more.
      let sent = 0;
      do {
        reader.write(GET);
        sent += 1;
        for (let i = 0; i < 200 && asked < sent; i++) await turn();
      } while (asked === sent);

      const first = new Date(now).toUTCString();
      now += 5000;
      const second = new Date(now).toUTCString();
      assert.equal(await dateOf(port), second);

      const seen = await datesOf(reader, sent);
      assert.equal(seen.length, sent);
      // The last question was read only after the clock had moved on.
      assert.deepEqual([...new Set(seen.slice(0, -1))], [first]);
      assert.equal(seen.at(-1), second);
      reader.destroy();
      await front.close(100);
    });
  });
}

async function dateOf(port: number): Promise<string | undefined> {
  const client = new RawClient(port);
  await client.send(GET);
  const reply = await client.reply();
  client.socket.destroy();
  return reply?.headers.get('date');
}

/** Reads replies, all of the same length, until there are `count`; each must be whole and right. */
async function datesOf(socket: Socket, count: number): Promise<string[]> {
  const chunks: Buffer[] = [];
  let length = 0;
  let one = Infinity;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    if (one === Infinity) one = Buffer.concat(chunks).indexOf('\r\n\r\n') + 4 + 3000;
    if (length >= one * count) socket.emit('all');
  });
  await new Promise((resolve) => socket.once('all', resolve).resume());
  const octets = Buffer.concat(chunks);
  return Array.from({ length: octets.length / one }, (_, i) => {
    const [head = '', body = ''] = octets.toString('latin1', i * one, (i + 1) * one).split('\r\n\r\n');
    assert.equal(body, 'a'.repeat(3000));
    const [status, date = ''] = head.split('\r\n');
    assert.equal(status, 'HTTP/1.1 200 OK');
    return date.replace('Date: ', '');
  });
}
