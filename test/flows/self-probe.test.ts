import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { MetricSet } from '../../src/core/metric.ts';
import { Problem } from '../../src/core/problem.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import { SelfProbe } from '../../src/flows/monitor/self-probe.ts';
import { probe, probeUrl } from '../../src/flows/monitor/probe.ts';
import { NOBODY } from '../../src/core/probe/question.ts';
import type { Sent, Wire } from '../../src/ports/wire.ts';
import { TurnedClock } from './clock.ts';

/** Refuses everything while `broken`; else answers as certstatus answers about nobody. */
class Neighbour implements Wire {
  broken = true;
  asked = 0;

  async exchange({ octets }: Sent): Promise<{ octets: Buffer; closed: boolean }> {
    this.asked += 1;
    if (this.broken) throw new Problem('unavailable', 'cannot be asked', { field: 'url' });
    const head = Buffer.from(octets).toString('latin1');
    // What only a decoded path would make a request of.
    const isTale = /GET \/%2F|%2F HTTP|%252525|%25252/.test(head.split('\r\n')[0] as string);
    const body = Buffer.from([0x30, 3, 0x0a, 1, isTale ? 1 : 6]);
    const fields = `HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\n`;
    return {
      octets: Buffer.concat([Buffer.from(fields), head.startsWith('HEAD') ? Buffer.alloc(0) : body]),
      closed: true,
    };
  }
}

describe('a responder that looks at itself', () => {
  it('looks again soon while something is found, slowly when nothing is, and not once it is stopped', async () => {
    const clock = new TurnedClock(Date.UTC(2026, 10, 21));
    const wire = new Neighbour();
    const lines: string[] = [];
    const say = (level: string) => (_about: object, message: string) => void lines.push(`${level}: ${message}`);
    const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
    const metrics = new MetricSet();
    const gauge = (name: string): number | undefined => {
      for (const metric of metrics)
        if (metric.kind === 'gauge' && metric.name === name) return [...metric.read()][0]?.[1];
      return undefined;
    };
    const self = new SelfProbe(['http://ocsp.example.com'], HOUR, wire, clock, log, metrics);
    /** Lets what is under way come to its next timer. */
    const settle = async (): Promise<void> => {
      for (let i = 0; i < 500; i++) await Promise.resolve();
    };

    assert.equal(gauge('certstatus_probe_findings'), undefined);
    self.start();
    await settle();
    assert.deepEqual([lines.length, gauge('certstatus_probe_findings')], [1, 1]);
    assert.match(lines[0] as string, /^error: .*not right for every client: POST: .*cannot be asked/);

    wire.broken = false;
    clock.turn(5 * MINUTE);
    await settle();
    clock.turn(1100); // between the two questions about one refusal
    await settle();
    assert.deepEqual(lines.slice(1), ['info: the public URL answers every kind of request']);
    assert.equal(gauge('certstatus_probe_findings'), 0);

    const { asked } = wire;
    clock.turn(HOUR - 1);
    await settle();
    assert.equal(wire.asked, asked);
    assert.ok(Math.abs((gauge('certstatus_probe_age_seconds') ?? 0) - 3600) < 2);
    clock.turn(1);
    await settle();
    assert.ok(wire.asked > asked);
    clock.turn(1100);
    await settle();
    assert.equal(lines.length, 3);

    self.stop();
    const before = wire.asked;
    clock.turn(2 * HOUR);
    await settle();
    assert.equal(wire.asked, before);
  });
});

describe('a probe', () => {
  it('goes on after a question that nobody answered, and gives up after the third', async () => {
    const clock = {
      now: () => 0,
      after: (_ms: number, run: () => void) => (queueMicrotask(run), { cancel: () => undefined }),
    };
    const look = async (broken: (head: string) => boolean): Promise<readonly [asked: number, unanswered: number]> => {
      const neighbour = new Neighbour();
      const wire: Wire = {
        exchange(sent) {
          neighbour.broken = broken(Buffer.from(sent.octets).toString('latin1'));
          return neighbour.exchange(sent);
        },
      };
      const report = await probe({ url: 'http://a/', subject: NOBODY, ours: true }, wire, clock);
      return [report.asked, report.findings.filter(({ message }) => message.includes('cannot be asked')).length];
    };
    const [all] = await look(() => false);
    assert.ok(all > 15);
    assert.deepEqual(await look((head) => head.startsWith('HEAD')), [all, 1]);
    assert.deepEqual((await look((head) => head.startsWith('GET')))[1], 3);
    assert.deepEqual(await look(() => true), [1, 1]);
  });
});

describe('the URL that is asked at', () => {
  it('is taken apart as it stands', () => {
    assert.deepEqual(probeUrl('http://ocsp.example.com'), {
      host: 'ocsp.example.com',
      port: 80,
      authority: 'ocsp.example.com',
      path: '/',
    });
    assert.deepEqual(probeUrl('HTTP://a:8080//x/%2f/'), {
      host: 'a',
      port: 8080,
      authority: 'a:8080',
      path: '//x/%2f/',
    });
    assert.deepEqual(probeUrl('http://[::1]:81/'), { host: '::1', port: 81, authority: '[::1]:81', path: '/' });
  });

  it('is plain HTTP, without user, query or fragment', () => {
    for (const url of [
      'https://a/',
      'http://',
      'http://a/?x',
      'http://a/#x',
      'http://u@a/',
      'http://a:99999/',
      'http://a/ b',
      'ocsp.example.com',
    ]) {
      assert.throws(
        () => probeUrl(url),
        (error) => error instanceof Problem && error.code === 'invalid',
        url,
      );
    }
  });
});
