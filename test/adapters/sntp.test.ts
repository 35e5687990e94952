/** The client against servers that tell the truth, lie, refuse and stay silent, with packets made by hand from RFC 4330 §4. */
import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { sntpSource } from '../../src/adapters/sntp/client.ts';
import { steadyClock, systemClock } from '../../src/adapters/system/clock.ts';
import type { TimeSource } from '../../src/ports/host.ts';

const TO_1970 = 2_208_988_800;
let sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets) socket.close();
  sockets = [];
});

/** RFC 4330 §3: 32 bits of seconds since 1900, modulo 2^32, and 32 bits of fraction. */
function timestamp(ms: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt32BE((Math.floor(ms / 1000) + TO_1970) % 2 ** 32, 0);
  buffer.writeUInt32BE(Math.floor(((ms % 1000) / 1000) * 2 ** 32), 4);
  return buffer;
}

function answerTo(question: Buffer, nowMs: number): Buffer {
  const answer = Buffer.alloc(48);
  answer[0] = (4 << 3) | 4;
  answer[1] = 2;
  question.copy(answer, 24, 40, 48);
  timestamp(nowMs).copy(answer, 32);
  timestamp(nowMs).copy(answer, 40);
  return answer;
}

/** A server; what it sends is decided by `reply`. */
async function server(
  reply: (question: Buffer, send: (octets: Buffer) => void, from: RemoteInfo) => void,
  clock = systemClock,
): Promise<TimeSource> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.on('message', (question, from) =>
    reply(question, (octets) => socket.send(octets, from.port, from.address), from),
  );
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  return sntpSource({ host: '127.0.0.1', port, clock, steady: steadyClock, patienceMs: 300 });
}

describe('the SNTP client', () => {
  for (const lie of [0, -3_600_000, 12_345, 86_400_000]) {
    it(`finds that a server's clock is ${lie} ms ahead`, async () => {
      const source = await server((question, send) => send(answerTo(question, Date.now() + lie)));
      const ahead = await source.aheadMs();
      assert.ok(Math.abs(ahead + lie) < 200, `${ahead} ms ahead`);
    });
  }

  it('asks as RFC 4330 §5 says, and tells nobody what time it has', async () => {
    const questions: Buffer[] = [];
    const source = await server((question, send) => {
      questions.push(question);
      send(answerTo(question, Date.now()));
    });
    await source.aheadMs();
    assert.ok(questions.length > 1, 'more than one question, of which the best counts');
    for (const question of questions) {
      assert.equal(question.length, 48);
      assert.equal(question[0], 0x23, 'version 4, client');
      assert.ok(question.subarray(1, 40).every((octet) => octet === 0));
    }
    assert.equal(new Set(questions.map((question) => question.toString('hex', 40))).size, questions.length, 'random');
  });

  it('is not moved by a late answer: the delay is measured, and the quickest answer counts', async () => {
    let count = 0;
    const source = await server((question, send) => {
      const at = Date.now();
      setTimeout(() => send(answerTo(question, at)), count++ === 0 ? 200 : 0);
    });
    assert.ok(Math.abs(await source.aheadMs()) < 60);
  });

  it('reads a time after the end of the era in 2036', async () => {
    const late = Date.UTC(2040, 0, 1);
    const offset = late - Date.now();
    const clock = { ...systemClock, now: () => Date.now() + offset };
    const source = await server((question, send) => send(answerTo(question, Date.now() + offset)), clock);
    assert.ok(Math.abs(await source.aheadMs()) < 200);
  });

  it('does not take an answer to another question, nor one from a stranger', async () => {
    const stranger = createSocket('udp4');
    sockets.push(stranger);
    const source = await server((question, send, from) => {
      const forged = answerTo(question, Date.now() + 1_000_000);
      stranger.send(forged, from.port, from.address);
      const blind = Buffer.from(forged);
      blind.fill(7, 24, 32);
      send(blind);
      setTimeout(() => send(answerTo(question, Date.now())), 20);
    });
    assert.ok(Math.abs(await source.aheadMs()) < 200);
  });

  const refusals: readonly (readonly [string, (answer: Buffer) => void, RegExp])[] = [
    ['a kiss of death', (answer) => { answer[1] = 0; answer.write('RATE', 12, 'latin1'); }, /the server refuses: RATE/], // prettier-ignore
    ['a server without time', (answer) => { answer[0] = 0xc0 | (4 << 3) | 4; }, /has no time itself/], // prettier-ignore
    ['stratum 16', (answer) => { answer[1] = 16; }, /has no time itself/], // prettier-ignore
    ['a broadcast', (answer) => { answer[0] = (4 << 3) | 5; }, /mode 5/], // prettier-ignore
    ['an empty timestamp', (answer) => { answer.fill(0, 40); }, /sent no time/], // prettier-ignore
  ];
  for (const [name, spoil, message] of refusals) {
    it(`learns nothing from ${name}`, async () => {
      const source = await server((question, send) => {
        const answer = answerTo(question, Date.now());
        spoil(answer);
        send(answer);
      });
      await assert.rejects(source.aheadMs(), message);
    });
  }

  it('gives up on silence, and on a port where nobody listens', async () => {
    const silent = await server(() => undefined);
    await assert.rejects(silent.aheadMs(), /no answer|ECONNREFUSED/);
    const source = sntpSource({ host: '127.0.0.1', port: 9, clock: systemClock, steady: steadyClock, patienceMs: 200 });
    await assert.rejects(source.aheadMs(), { code: 'unavailable' });
  });
});
