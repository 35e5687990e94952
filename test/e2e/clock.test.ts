/** A service whose NTP server lies: it signs nothing beyond the limit, says so everywhere, and goes on when the server tells the truth. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Metrics } from '../support/metrics.ts';
import { Service, until } from '../support/service.ts';

const TO_1970 = 2_208_988_800;

describe('the clock of a real service', () => {
  let service: Service;
  let server: Socket;
  /** What the server adds to its time. */
  let lieMs = 0;
  before(async () => {
    server = createSocket('udp4');
    server.on('message', (question, from) => {
      const answer = Buffer.alloc(48);
      answer[0] = (4 << 3) | 4;
      answer[1] = 1;
      question.copy(answer, 24, 40, 48);
      for (const at of [32, 40]) {
        const now = Date.now() + lieMs;
        answer.writeUInt32BE(Math.floor(now / 1000) + TO_1970, at);
        answer.writeUInt32BE(Math.floor(((now % 1000) / 1000) * 2 ** 32), at + 4);
      }
      server.send(answer, from.port, from.address);
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    const file = join(service.data, 'certstatus.yaml');
    const clock = `clock:\n  ntp: 127.0.0.1:${server.address().port}\n  every: 16s\n  most: 2s\n`;
    const text = readFileSync(file, 'utf8');
    assert.match(text, /^clock:$/m);
    writeFileSync(file, text.replace(/^clock:\n(?: {2}.*\n?)+/m, clock));
    lieMs = -60_000;
    await service.start();
  });
  after(async () => {
    await service.remove();
    server.close();
  });

  const signed = async (): Promise<number> =>
    (await Metrics.of(service.ports.admin)).sum('certstatus_signatures_total');
  /** The problems; what was one is among the recent events. */
  const status = async (): Promise<string> =>
    JSON.stringify(
      (JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as { problems: object[] }).problems,
    );

  it('signs nothing while it is a minute ahead, and says why on the page, in the log and in the metrics', async () => {
    await until('the server was asked', async () => (await status()).includes('ahead of 127.0.0.1'));
    assert.match(await status(), /No answer and no CRL is signed: the clock is (?:1m|59\.\d s|60\.\d s) ahead of 127\.0\.0\.1:\d+, more than 2s/); // prettier-ignore
    const metrics = await Metrics.of(service.ports.admin);
    const offset = metrics.sum('certstatus_clock_offset_seconds', { against: 'ntp' });
    assert.ok(offset > 58 && offset < 62, `${offset} s`);
    assert.equal(metrics.sum('certstatus_key_usable'), 0);
    assert.match(service.log, /"level":"error".*the clock is .* ahead of/);
    const issued = await service.run('issue', '--issuer', 'demo', '--serial', '4a11223344556677', '--not-after', new Date(Date.now() + 86_400_000).toISOString().replace(/\.\d+/, '')); // prettier-ignore
    assert.equal(issued.code, 0, `events are taken: ${issued.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(await signed(), 0, 'and nothing is signed, from the start on');
  });

  it('goes on by itself when the clocks agree, and has all of it in the audit log', async () => {
    const before = await signed();
    lieMs = 0;
    await until('what waited is signed', async () => (await signed()) > before, 40_000, 200);
    assert.doesNotMatch(await status(), /No answer and no CRL is signed/);
    await service.stop();
    const types = [...readFileSync(join(service.data, 'audit', '000000000001.ndjson'), 'utf8').matchAll(/"type":"(clock\.[a-z]+)"/g)].map(([, type]) => type); // prettier-ignore
    assert.deepEqual(types, ['clock.off', 'clock.right']);
  });
});
