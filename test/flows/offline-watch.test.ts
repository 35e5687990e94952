/** What was signed offline and imported ends: the log says so once per lead time, the status page and the gauges all the time. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { completeCrl, type CrlRecord } from '../../src/core/certificate.ts';
import { MetricSet } from '../../src/core/metric.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { OfflineWatch, registerOfflineGauges } from '../../src/flows/offline/offline-watch.ts';
import type { StoreEvent } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import { FakeClock } from './support-clock.ts';
import { makeIssuer } from './support-service.ts';

const { served: online } = makeIssuer({ responders: [] });
const issuer = { ...online, offline: { crl: true, ocsp: false } };

const crl = (number: bigint, thisUpdate: number, asOfSeq: number): CrlRecord => ({
  ...completeCrl(issuer.tag),
  number,
  thisUpdate,
  nextUpdate: thisUpdate + 180 * DAY - SECOND,
  publishedAt: thisUpdate,
  kind: 'imported',
  scheduledAt: thisUpdate,
  scheduledAsOfSeq: asOfSeq,
  entries: 0,
  bytes: 300,
  sha256: '',
  asOfSeq,
});

/** The store as far as the watch looks at it. */
class Shelf {
  record: CrlRecord | undefined = crl(1n, NOW, 0);
  revoked: { readonly recordedSeq: number; readonly recordedAt: number }[] = [];
  tell: (event: StoreEvent) => void = () => undefined;
  readonly failure = undefined;

  follow(follower: (event: StoreEvent) => void): void {
    this.tell = follower;
  }

  current(): Promise<CrlRecord | undefined> {
    return Promise.resolve(this.record);
  }

  revokedEntries(): { readonly asOfSeq: Promise<number>; readonly pages: AsyncIterable<unknown> } {
    const { revoked } = this;
    return {
      asOfSeq: Promise.resolve(0),
      pages: (async function* () {
        yield revoked;
      })(),
    };
  }

  publish(record: CrlRecord): void {
    this.record = record;
    this.tell({ type: 'crl', record } as unknown as StoreEvent);
  }
}

function watched(): { clock: FakeClock; shelf: Shelf; said: string[]; watch: OfflineWatch; gauges: () => string[] } {
  const clock = new FakeClock(NOW);
  const shelf = new Shelf();
  const said: string[] = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    error: () => undefined,
    warn: (_: object, message: string) => void said.push(message),
  };
  const freshness = {
    complete: true,
    of: () => ({ count: 0, oldestThisUpdate: undefined, leastNextUpdate: undefined }),
  };
  const store = shelf as unknown as ConstructorParameters<typeof OfflineWatch>[1];
  const watch = new OfflineWatch([issuer], store, freshness, clock, log);
  const set = new MetricSet();
  registerOfflineGauges(set, watch, clock);
  /** Name and value of each gauge. */
  const gauges = (): string[] =>
    [...set].flatMap((metric) =>
      metric.kind === 'gauge' ? [...metric.read()].map(([, value]) => `${metric.name} ${value}`) : [],
    );
  return { clock, shelf, said, watch, gauges };
}

describe('the watch over what was signed offline', () => {
  it('warns once for each lead time, and of the next CRL anew', async () => {
    const { clock, shelf, said, watch } = watched();
    watch.start();
    await clock.stride(89 * DAY, DAY);
    assert.deepEqual([said, watch.notices(clock.now())], [[], []]);
    await clock.stride(91 * DAY, DAY / 2);
    assert.deepEqual(
      said.map((text) => Number(/ends in (-?\d+) d/.exec(text)?.[1])),
      [89, 59, 29, 13, 6],
    );
    const [notice] = watch.notices(clock.now());
    assert.equal(notice?.alert, 'OfflineMaterialEnds');
    assert.match(notice?.advice ?? '', /offline export --issuer test --crl/);
    shelf.publish(crl(2n, clock.now(), 0));
    await clock.advance(SECOND);
    assert.deepEqual(watch.notices(clock.now()), []);
    await clock.stride(91 * DAY, DAY);
    assert.equal(said.length, 6);
    watch.stop();
    assert.equal(clock.timers, 0);
  });

  it('shows the 24 hours of a revocation until a CRL with its record is published (B-15)', async () => {
    const { clock, shelf, watch, gauges } = watched();
    watch.start();
    await clock.advance(SECOND);
    const entry = { recordedSeq: 7, recordedAt: clock.now() };
    shelf.revoked = [entry];
    const certificate = { issuer: issuer.tag, revocation: { revokedAt: NOW, reason: undefined }, ...entry };
    shelf.tell({ type: 'recorded', change: { certificate, lane: 'revocation' } } as unknown as StoreEvent);
    const noted = (): unknown => watch.notices(clock.now()).map(({ alert, milder }) => [alert, milder]);
    assert.deepEqual(noted(), [['RevocationNotOnCrl', true]]);
    await clock.advance(5 * MINUTE);
    assert.deepEqual(noted(), [['RevocationNotOnCrl', true]]);
    await clock.advance(SECOND);
    assert.deepEqual(noted(), [['RevocationNotOnCrl', false]]);
    await clock.advance(HOUR - 5 * MINUTE - SECOND);
    assert.deepEqual(gauges(), [
      `certstatus_offline_remaining_seconds ${(180 * DAY - HOUR) / SECOND - 2}`,
      `certstatus_offline_validity_seconds ${(180 * DAY) / SECOND}`,
      'certstatus_offline_unlisted_revocation_seconds 3600',
    ]);
    await clock.stride(23 * HOUR + SECOND, HOUR);
    assert.deepEqual(noted(), [['RevocationNotOnCrl', false]]);
    // Of data from before the revocation.
    shelf.publish(crl(2n, clock.now(), 6));
    await clock.advance(SECOND);
    assert.equal(watch.unlisted.get('test'), entry.recordedAt);
    shelf.publish(crl(3n, clock.now(), 7));
    await clock.advance(SECOND);
    assert.deepEqual(watch.notices(clock.now()), []);
    watch.stop();
  });
});
