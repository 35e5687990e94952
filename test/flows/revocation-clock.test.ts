import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import type { Observation } from '../../src/core/revocation-report.ts';
import { MetricSet } from '../../src/core/metric.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND } from '../../src/core/time.ts';
import { RevocationClock } from '../../src/flows/monitor/revocation-clock.ts';
import { registerRevocationDeadlines } from '../../src/flows/monitor/revocation-deadline.ts';
import type { Wire } from '../../src/ports/wire.ts';
import { Problem } from '../../src/core/problem.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { CRL_PATH, OCSP_PATH, question, serials, TestService } from './support-service.ts';

const { coalesceMs } = PROFILE.crl;
let service: TestService;
let watch: RevocationClock;
/** Request-targets and If-None-Match in the order in which they came. */
let asked: { readonly target: string; readonly ifNoneMatch: string | undefined }[];
let down: boolean;

/** The service's own answers, over a wire without a network. */
const wire: Wire = {
  async exchange({ octets }) {
    if (down) throw new Problem('unavailable', 'nobody listens');
    const text = Buffer.from(octets).toString('latin1');
    const target = text.split(' ')[1] as string;
    const ifNoneMatch = /^If-None-Match: (.*)$/m.exec(text)?.[1]?.trim();
    asked.push({ target, ifNoneMatch });
    const { status, headers, body } = await service.answer(question(target, { ifNoneMatch }));
    const sent = status === 304 ? Buffer.alloc(0) : body;
    return { octets: Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${headers}\r\n`), sent]), closed: true };
  },
};

beforeEach(async () => {
  asked = [];
  down = false;
  service = await TestService.open();
  const at = (path: string) => ({ host: 'x', port: 80, authority: 'x', path });
  watch = new RevocationClock({
    issuers: [{ served: service.served, ocsp: at(OCSP_PATH), crl: () => at(CRL_PATH) }],
    feed: service.store,
    journal: service.journal,
    wire,
    clock: service.clock,
    log: { debug() {}, info() {}, warn() {}, error: (_, message) => void service.errors.push(message) },
    metrics: service.metrics.set,
  });
  service.recorder.told = (record) => watch.noteCases(record);
  await service.issue(serials(600));
  service.signer.start();
  await service.publisher.start();
  await service.clock.advance(SECOND);
});
afterEach(async () => {
  await watch.stop();
  await service.remove();
});

async function records(): Promise<JournalRecord[]> {
  const found = [];
  for await (const record of service.journal.read(0)) if (record.type === 'revocation.observed') found.push(record);
  return found;
}

const seen = (found: readonly JournalRecord[]): readonly Observation[] =>
  found.flatMap(({ detail }) => (detail as { observed: readonly Observation[] }).observed);

/** Seconds left, by limit. */
function deadlines(): Readonly<Record<string, number>> {
  const set = new MetricSet();
  registerRevocationDeadlines(set, { unpublished: () => [], watched: () => watch.deadlines, clock: service.clock });
  const [metric] = set;
  assert.ok(metric?.kind === 'gauge');
  return Object.fromEntries([...metric.read()].map(([{ limit }, value]) => [limit, value]));
}

function gauge(name: string): number {
  for (const metric of service.metrics.set)
    if (metric.kind === 'gauge' && metric.name === name)
      return [...metric.read()].reduce((sum, [, value]) => sum + value, 0);
  return NaN;
}

describe('the clock of a revocation', () => {
  it('records when OCSP and the CRL first said so, seen from outside', async () => {
    const [serial] = serials(1);
    const at = service.clock.now();
    await service.revoke([serial as never]);
    await service.clock.advance(coalesceMs + MINUTE);
    const [one, ...rest] = seen(await records());
    assert.deepEqual(rest, []);
    assert.equal(one?.serial, serial);
    assert.equal(one?.revision, 2);
    assert.ok((one?.ocspSeenAt ?? 0) - at < 2 * SECOND, 'OCSP within seconds');
    const late = (one?.crlSeenAt ?? 0) - at - coalesceMs;
    assert.ok(late >= 0 && late <= 11 * SECOND, `the CRL within a pause after it was published: ${late}`);
    assert.equal(gauge('certstatus_revocation_unseen'), 0);
  });

  it('shares one download among all that wait, and asks only whether it has changed', async () => {
    await service.revoke(serials(40));
    await service.clock.advance(coalesceMs + MINUTE);
    assert.equal(seen(await records()).length, 40);
    const crls = asked.filter(({ target }) => target === CRL_PATH);
    assert.ok(crls.length <= 45, `${crls.length} downloads`);
    assert.ok(crls.slice(1).every(({ ifNoneMatch }) => ifNoneMatch !== undefined));
  });

  it('watches a part of a flood, and says how many it did not', async () => {
    await service.revoke(serials(600));
    assert.equal(gauge('certstatus_revocation_unwatched'), 100);
    await service.clock.stride(coalesceMs + 5 * MINUTE, SECOND);
    const found = await records();
    assert.equal(seen(found).length, 500);
    assert.equal(
      found.reduce((sum, { detail }) => sum + Number(detail?.['unwatched'] ?? 0), 0),
      100,
    );
  });

  it('shows how much of the deadline is left, from awareness where that is earlier', async () => {
    const [serial] = serials(1);
    down = true;
    const deadline = rfc3339(service.clock.now() + HOUR);
    await service.recorder.revoke(
      service.served,
      [{ serial: serial as never, reason: undefined, revokedAt: undefined, about: { clause: '4.9.1.1-1', deadline } }],
      'test',
    );
    await service.clock.advance(10 * MINUTE);
    assert.equal(gauge('certstatus_revocation_least_margin_seconds'), 50 * 60);
    assert.equal(gauge('certstatus_revocation_unseen'), 2);
    assert.deepEqual(deadlines(), { '24h': 50 * 60 });
    down = false;
    await service.clock.advance(MINUTE);
    assert.equal(seen(await records()).length, 1, 'seen when somebody answers again');
  });

  it('shows the open revocation nearest to its limit, by limit, and nothing when none is open', async () => {
    assert.deepEqual(deadlines(), {});
    const [a, b] = serials(2);
    down = true;
    const now = service.clock.now();
    // Aware three days ago: of the five days of clause 6 two are left.
    const about = { clause: '4.9.1.1-6', deadline: rfc3339(now + 2 * DAY) };
    const event = (serial: unknown) => ({ serial: serial as never, reason: undefined, revokedAt: undefined });
    await service.recorder.revoke(service.served, [{ ...event(a), about }, event(b)], 'test');
    await service.clock.advance(HOUR);
    assert.deepEqual(deadlines(), { '24h': 23 * 3600, '5d': 47 * 3600 });
    down = false;
    await service.clock.advance(MINUTE);
    assert.deepEqual(deadlines(), {});
  });

  it('records with the next round what the audit log could not take', async () => {
    service.journal.before = (entries) => {
      service.journal.broken = entries.some(({ type }) => type === 'revocation.observed') ? 'disk full' : undefined;
    };
    await service.revoke(serials(1));
    await service.clock.advance(coalesceMs + MINUTE);
    assert.equal((await records()).length, 0);
    service.journal.before = undefined;
    service.journal.broken = undefined;
    await service.clock.advance(MINUTE);
    assert.equal(seen(await records()).length, 1);
  });
});
