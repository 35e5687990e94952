/** Slow, vanished and greedy clients; pipelines in random pieces; closing under load. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { openOriginFront } from '../../src/adapters/origin-front/listener.ts';
import { loadUws, whyNot } from '../../src/adapters/origin-front/uws.ts';
import { openPublicFront, type PublicFrontOptions } from '../../src/adapters/public-front/listener.ts';
import type { Answer, Front, Shed } from '../../src/ports/front.ts';
import { bodyHash, downloads, echo, RawClient, type Echo, type Seen } from './fronts-raw-client.ts';

const loaded = loadUws();
const openPublic = (more: Partial<PublicFrontOptions> = {}): Promise<Front> =>
  openPublicFront({ host: '127.0.0.1', port: 0, answer: echo, ...more });
const openOrigin = (): Promise<Front> => {
  if (!loaded.ok) throw new Error(loaded.reason);
  return openOriginFront({ uws: loaded.uws, host: '127.0.0.1', port: 0, answer: echo });
};
const get = (target: string, ...fields: readonly string[]): string =>
  [`GET ${target} HTTP/1.1`, 'Host: h', ...fields, '', ''].join('\r\n');

describe('public front: clients that take their time', () => {
  let front: Front;
  let shed: Shed[] = [];
  before(async () => {
    const limits = { idleMs: 200, requestMs: 200, writeMs: 300, stalledMs: 300 };
    front = await openPublic({ ...limits, shed: (reason) => shed.push(reason) });
  });
  after(() => front.close(500));

  it('closes a connection on which nothing comes', async () => {
    const started = Date.now();
    const client = new RawClient(front.address.port);
    await client.closed;
    assert.ok(Date.now() - started < 1500);
    assert.equal(client.rest.length, 0);
  });

  it('closes a kept connection that stays idle, but not one that is used', async () => {
    const client = new RawClient(front.address.port);
    for (let i = 0; i < 5; i++) {
      await client.send(get(`/${i}`));
      assert.equal(told(await client.reply()).target, `/${i}`);
      await pause(100);
    }
    await within(1500, client.closed);
  });

  for (const [why, first, more] of [
    ['a head that stops', 'GET /a HTTP/1.1\r\nHost:', []],
    ['a head that drips', 'GET /a HTTP/1.1\r\nX: ', Array.from({ length: 60 }, () => 'y')],
    ['a body that stops', 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc', []],
    [
      'a body that drips',
      'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n',
      Array.from({ length: 60 }, () => 'y'),
    ],
  ] as const) {
    it(`answers 408 to ${why}`, async () => {
      const client = new RawClient(front.address.port);
      await client.send(first);
      const reply = client.reply('GET', 3000);
      for (const piece of more) {
        if (client.socket.destroyed) break;
        await client.send(piece);
        await pause(25);
      }
      const seen = (await reply) as Seen;
      assert.equal(seen.status, 408);
      assert.equal(seen.headers.get('cache-control'), 'no-store');
      await within(2500, client.closed);
    });
  }

  for (const [target, how] of [
    ['/big', ''],
    ['/big', 'close'],
    ['/download', ''],
    ['/download', 'close'],
    ['/download', 'by way of node:http'],
  ] as const) {
    it(`gives up on a reader that takes nothing of ${target} ${how}`, async () => {
      shed = [];
      const client = new RawClient(front.address.port);
      client.socket.pause();
      await client.send(
        get(target, ...(how === 'close' ? ['Connection: close'] : how === '' ? [] : ['Range: bytes=0-'])),
      );
      await pause(1200);
      client.socket.resume();
      await within(3000, client.closed);
      assert.ok(client.rest.length > 0 && client.rest.length < 30_000_000, `${client.rest.length} octets`);
      assert.equal(downloads.count, 0);
      assert.deepEqual(shed, ['slow-reader']);
    });
  }

  for (const target of ['/big', '/download']) {
    it(`sends 30 MB to a reader that reads, and goes on with its next request (${target})`, async () => {
      const client = new RawClient(front.address.port);
      client.socket.removeAllListeners('data');
      let octets = 0;
      let tail = '';
      client.socket.on('data', (chunk) => {
        octets += chunk.length;
        tail = chunk.toString('latin1').slice(-200);
      });
      await client.send(get(target), get('/next'));
      const deadline = Date.now() + 4000;
      while (!tail.includes('"target":"/next"') && Date.now() < deadline) await pause(10);
      assert.match(tail, /"target":"\/next"/);
      assert.ok(octets > 30_000_000);
      client.socket.destroy();
    });
  }
});

describe('public front: clients that do not play along', () => {
  it('survives clients that vanish, and serves the next', async () => {
    const front = await openPublic();
    for (let i = 0; i < 200; i++) {
      const client = new RawClient(front.address.port);
      await client.send(i % 2 ? get('/late') : get('/late').slice(0, 20));
      if (i % 3) client.socket.resetAndDestroy();
      else client.socket.destroy();
    }
    const client = new RawClient(front.address.port);
    await client.send(get('/late'));
    assert.equal(told(await client.reply()).target, '/late');
    client.socket.destroy();
    await front.close(1000);
  });

  it('replies to a client that has closed its sending side', async () => {
    const front = await openPublic();
    // The second form of each is for node:http to read.
    for (const target of ['/a', '/late', 'http://h/a', 'http://h/late']) {
      const client = new RawClient(front.address.port);
      client.socket.end(get(target));
      assert.equal(told(await within(1000, client.reply())).target, target);
      await within(1000, client.closed);
    }
    const client = new RawClient(front.address.port);
    const targets = ['/a', '/late', '/b', '/late2', '/c'];
    client.socket.end(targets.map((target) => get(target)).join(''));
    for (const target of targets) assert.equal(told(await within(1000, client.reply())).target, target);
    await within(1000, client.closed);
    await front.close(1000);
  });

  it('takes no more connections than it is told: who has been idle for longest makes room', async () => {
    const shed: Shed[] = [];
    const front = await openPublic({ maxConnections: 2, shed: (reason) => shed.push(reason) });
    const clients: RawClient[] = [];
    try {
      for (let i = 0; i < 3; i++) {
        const client = new RawClient(front.address.port);
        clients.push(client);
        await client.send(get('/a'));
        assert.equal(told(await client.reply()).target, '/a');
        assert.ok(front.connections <= 2);
        // It is newer than the one before.
        await pause(1100);
      }
      const [first, second] = clients as [RawClient, RawClient];
      await within(1000, first.closed);
      assert.deepEqual(shed, ['room']);
      await second.send(get('/b'));
      assert.equal(told(await second.reply()).target, '/b');
    } finally {
      for (const client of clients) client.socket.destroy();
      await front.close(1000);
    }
  });

  it('turns a newcomer away when everybody is being answered, and nobody else', async () => {
    const shed: Shed[] = [];
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const front = await openPublic({
      maxConnections: 2,
      shed: (reason) => shed.push(reason),
      answer: (question) => released.then(() => echo(question)),
    });
    const [first, second] = [new RawClient(front.address.port), new RawClient(front.address.port)];
    let third: RawClient | undefined;
    try {
      await first.send(get('/a'));
      // In two pieces: for node:http.
      await second.send(get('/b').slice(0, 9));
      await pause(50);
      await second.send(get('/b').slice(9));
      await pause(50);
      third = new RawClient(front.address.port);
      await third.send(get('/c'));
      assert.equal(await third.reply(), undefined);
      assert.deepEqual(shed, ['full']);
      release();
      assert.equal(told(await first.reply()).target, '/a');
      assert.equal(told(await second.reply()).target, '/b');
    } finally {
      for (const client of [first, second, third]) client?.socket.destroy();
      await front.close(1000);
    }
  });

  it('makes room at the expense of requests that drip and of readers that dawdle', async () => {
    const shed: Shed[] = [];
    const front = await openPublic({ maxConnections: 3, writeMs: 2000, shed: (reason) => shed.push(reason) });
    const clients: RawClient[] = [];
    const open = (): RawClient => {
      const client = new RawClient(front.address.port);
      clients.push(client);
      return client;
    };
    try {
      const reader = open();
      reader.socket.pause();
      await reader.send(get('/big'));
      const dripping = [open(), open()];
      for (const client of dripping) await client.send('GET /a HTTP/1.1\r\nHost: h\r\nX: y');
      // Before the reader is given up on by itself.
      await pause(1200);
      for (const [target, room] of [
        ['/1', 1],
        ['/2', 2],
      ] as const) {
        // prettier-ignore
        const client = open();
        await client.send(get(target) + 'GET /unfinished HTTP/1.1');
        assert.equal(told(await client.reply()).target, target);
        assert.deepEqual(shed, Array(room).fill('room'));
      }
      for (const client of dripping) await within(1000, client.closed);
      assert.ok(!reader.socket.destroyed);
    } finally {
      for (const client of clients) client.socket.destroy();
      await front.close(1000);
    }
  });

  it('puts a refusal behind the replies that are due before it', async () => {
    const front = await openPublic();
    const client = new RawClient(front.address.port);
    await client.send(get('/late') + 'nonsense\r\n\r\n');
    assert.equal(told(await client.reply()).target, '/late');
    assert.equal((await client.reply())?.status, 400);
    await within(2500, client.closed);
    await front.close(1000);
  });

  it('says nothing behind a reply that is the last of its connection (RFC 9112 §9.6)', async () => {
    const front = await openPublic();
    const client = new RawClient(front.address.port);
    await client.send('GET /late HTTP/1.0\r\nHost: h\r\n\r\nnonsense\r\n\r\n');
    assert.equal(told(await client.reply()).target, '/late');
    assert.equal(await client.reply(), undefined);
    assert.equal(client.rest.length, 0);
    await front.close(1000);
  });

  it('gives it to a client that has ended its sending meanwhile', async () => {
    const front = await openPublic();
    for (const waitMs of [0, 1, 2, 3]) {
      const client = new RawClient(front.address.port);
      await client.send(get('/late') + 'nonsense\r\n\r\n');
      await sleep(waitMs);
      client.socket.end();
      assert.equal(told(await client.reply()).target, '/late');
      assert.equal((await client.reply())?.status, 400, `ended after ${waitMs} ms`);
      await within(2500, client.closed);
    }
    await front.close(1000);
  });

  it('lets a client that sends far too much read why', async () => {
    const front = await openPublic();
    const client = new RawClient(front.address.port);
    await client.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n');
    for (let i = 0; i < 20; i++) await client.send(Buffer.alloc(5000));
    assert.equal((await client.reply())?.status, 413);
    await within(2500, client.closed);
    await front.close(1000);
  });
});

interface Ask {
  readonly octets: Buffer;
  readonly method: string;
  readonly expected: Partial<Echo> | undefined;
}

/** Requests of every kind, numbered, so that a reply to another question shows. */
function ask(kind: number, id: number, late: boolean): Ask {
  const target = `/${late ? 'late' : 'now'}-${id}${'x'.repeat(id % 5)}`;
  const body = Buffer.from(`body ${id}`);
  const withBody = (fields: string, framed: string): Buffer =>
    Buffer.from(`POST ${target} HTTP/1.1\r\nHost: h${id}\r\n${fields}\r\n\r\n${framed}`);
  const said = { target, host: `h${id}`, body: bodyHash(body), method: 'POST' };
  switch (kind) {
    case 0:
      return { octets: withBody(`Content-Length: ${body.length}`, body.toString()), method: 'POST', expected: said };
    case 1: {
      const framed = `${body.length.toString(16)}\r\n${body.toString()}\r\n0\r\n\r\n`;
      return { octets: withBody('Transfer-Encoding: chunked', framed), method: 'POST', expected: said };
    }
    case 2:
      return { octets: Buffer.from(`HEAD ${target} HTTP/1.1\r\nHost: h\r\n\r\n`), method: 'HEAD', expected: undefined };
    case 3:
      return {
        octets: Buffer.from(get(target, `If-None-Match: "${id}"`)),
        method: 'GET',
        expected: { target, inm: `"${id}"` },
      };
    default:
      return { octets: Buffer.from(get(target)), method: 'GET', expected: { target, method: 'GET', body: null } };
  }
}

const SEED = 20261121;

for (const [name, open, missing] of [
  ['public', () => openPublic(), false],
  ['public (sockets)', () => openPublic({ hold: 'socket' }), false],
  ['origin', openOrigin, loaded.ok ? false : loaded.reason],
] as const) {
  describe(`${name} front: every reply fits its own question`, { skip: missing }, () => {
    let front: Front;
    before(async () => {
      front = await open();
    });
    after(() => front.close(1000));

    it(`in pipelines cut at random (seed ${SEED})`, async () => {
      const request = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.nat(1000), fc.boolean());
      await fc.assert(
        fc.asyncProperty(
          fc.array(request, { minLength: 1, maxLength: 8 }),
          fc.array(fc.nat(2000), { maxLength: 8 }),
          fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 9, maxLength: 9 }),
          async (kinds, cuts, waits) => {
            // uWebSockets.js ends a connection whose next request comes while a reply is awaited.
            const asks = kinds.map(([kind, id, late]) => ask(kind, id, late && name !== 'origin'));
            const octets = Buffer.concat(asks.map((one) => one.octets));
            const at = [...new Set(cuts.map((cut) => cut % octets.length))].sort((a, b) => a - b);
            const client = new RawClient(front.address.port);
            let from = 0;
            for (const [i, to] of [...at, octets.length].entries()) {
              await client.send(octets.subarray(from, to));
              from = to;
              if (waits[i] !== 0) await pause(waits[i] as number);
            }
            for (const one of asks) {
              const reply = await client.reply(one.method);
              assert.equal(reply?.status, 200);
              if (one.expected !== undefined) assert.deepEqual({ ...told(reply), ...one.expected }, told(reply));
            }
            assert.equal(client.rest.length, 0);
            client.socket.destroy();
          },
        ),
        { seed: SEED, numRuns: 150 },
      );
    });
  });

  // The origin listener ends a connection whose next request comes while a reply is awaited.
  if (name !== 'origin') {
    for (const [how, later] of [
      ['one by one', [get('/b'), get('/c')]],
      ['in one packet', [get('/b') + get('/c')]],
      ['cut within', [get('/b').slice(0, 9), get('/b').slice(9) + get('/c')]],
    ] as const) {
      it(`${name} front: a client that ends its sending is answered all that it asked meanwhile, ${how}`, async () => {
        let asked = (): void => undefined;
        let release = (): void => undefined;
        const isAsked = new Promise<void>((resolve) => (asked = resolve));
        const released = new Promise<void>((resolve) => (release = resolve));
        const answer: Answer = (question) => {
          if (question.target !== '/a') return echo(question);
          asked();
          return released.then(() => echo(question));
        };
        const front = await openPublic({ answer, ...(name === 'public' ? {} : { hold: 'socket' as const }) });
        try {
          // So that the listener holds the next connection as it holds them all.
          const first = new RawClient(front.address.port);
          await first.send(get('/first', 'Connection: close'));
          await first.reply();
          const client = new RawClient(front.address.port);
          await client.send(get('/a'));
          await isAsked;
          for (const piece of later) {
            await client.send(piece);
            await pause(10);
          }
          client.socket.end();
          // Time for the end to arrive, which nothing outside tells.
          await pause(50);
          release();
          for (const target of ['/a', '/b', '/c']) assert.equal(told(await client.reply()).target, target);
          await client.closed;
          assert.equal(client.rest.length, 0);
        } finally {
          await front.close(100);
        }
      });
    }
  }

  describe(`${name} front: closing`, { skip: missing }, () => {
    it('answers every request whose octets it has, under load', async () => {
      const front = await open();
      const { port } = front.address;
      let closing = false;
      let answered = 0;
      let dropped = 0;
      const keeper = async (id: number): Promise<void> => {
        const client = new RawClient(port);
        for (let i = 0; !client.socket.destroyed; i++) {
          const target = `/${i % 4 === 0 ? 'late' : 'now'}-${id}-${i}`;
          await client.send(get(target));
          const reply = await client.reply();
          if (reply === undefined) {
            dropped++;
            break;
          }
          assert.equal(told(reply).target, target);
          answered++;
          if (reply.headers.get('connection') === 'close') break;
        }
        client.socket.destroy();
      };
      const closer = async (id: number): Promise<void> => {
        for (let i = 0; !closing; i++) {
          const client = new RawClient(port);
          await client.send(get(`/now-${id}-${i}`, 'Connection: close'));
          if ((await client.reply()) === undefined) dropped++;
          else answered++;
          await client.closed;
        }
      };
      const clients = Array.from({ length: 30 }, (_, id) => (id % 3 === 0 ? closer(id) : keeper(id)));
      await pause(250);
      closing = true;
      const started = Date.now();
      await front.close(3000);
      assert.ok(Date.now() - started < 2000, 'waited for nobody');
      await Promise.all(clients);
      assert.equal(dropped, 0, `${dropped} dropped, ${answered} answered`);
      assert.ok(answered > 30, `${answered} answered`);
      assert.equal(await refused(port), true);
    });

    it('drains: takes newcomers as before, and says of each reply that it is the last', async () => {
      const front = await open();
      const { port } = front.address;
      const kept = new RawClient(port);
      await kept.send(get('/before'));
      assert.notEqual((await kept.reply())?.headers.get('connection'), 'close');
      front.drain();
      for (const [client, target] of [
        [kept, '/kept'],
        [new RawClient(port), '/new'],
      ] as const) {
        await client.send(get(target));
        const reply = await client.reply();
        assert.equal(told(reply).target, target);
        assert.equal(reply?.headers.get('connection'), 'close');
        await within(1500, client.closed);
      }
      await within(1500, front.close(1000));
    });

    it('takes in the connections that the kernel has set up', async () => {
      const front = await open();
      const clients = Array.from({ length: 50 }, () => new RawClient(front.address.port));
      const sent = clients.map(async (client) => {
        await new Promise((resolve) => client.socket.once('connect', resolve));
        await client.send(get('/late', 'Connection: close'));
      });
      await Promise.all(sent);
      const closed = front.close(3000);
      for (const client of clients) assert.equal(told(await client.reply()).target, '/late');
      await closed;
    });

    // uWebSockets.js does not show a part of a head, so the origin front cannot know of it.
    if (name !== 'origin') {
      it('finishes a request that has come in part', async () => {
        const front = await open();
        const client = new RawClient(front.address.port);
        await client.send(get('/a').slice(0, 20));
        await pause(50);
        const closed = front.close(3000);
        await pause(300);
        await client.send(get('/a').slice(20));
        const reply = await client.reply();
        assert.equal(told(reply).target, '/a');
        assert.equal(reply?.headers.get('connection'), 'close');
        await within(1000, closed);
      });
    }

    it('ends the rest when the grace is over', async () => {
      const front = await open();
      const client = new RawClient(front.address.port);
      await client.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n');
      await pause(50);
      await within(1500, front.close(300));
      await within(500, client.closed);
    });
  });
}

describe('loadUws', () => {
  it('says in one line why there is no origin listener', () => {
    const missing = Object.assign(new Error("Cannot find module 'x'\nRequire stack:\n- y"), {
      code: 'MODULE_NOT_FOUND',
    });
    assert.match(whyNot(missing, 'linux-arm64', '22'), /^no uWebSockets\.js for linux-arm64, Node 22: [^\n]*$/);
    const glibc = Object.assign(new Error("/lib/libc.so.6: version `GLIBC_2.38' not found (required by x)"), {
      code: 'ERR_DLOPEN_FAILED',
    });
    assert.match(
      whyNot(glibc, 'linux-x64', '24'),
      /^uWebSockets\.js for Node 24 needs glibc 2\.38, this system has [^\n]+$/,
    );
    const other = Object.assign(new Error('bad ELF\nmore'), { code: 'ERR_DLOPEN_FAILED' });
    assert.equal(whyNot(other, 'linux-x64', '20'), 'uWebSockets.js for linux-x64, Node 20 does not load: bad ELF');
  });
});

function told(reply: Seen | undefined): Echo {
  assert.ok(reply !== undefined, 'closed without a reply');
  return JSON.parse(reply.body.toString()) as Echo;
}

function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}

async function within<T>(ms: number, done: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
  });
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
