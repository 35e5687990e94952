import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { UrlChange } from '../../src/core/crl/ccadb.ts';
import type { CrlLayout } from '../../src/core/crl/shards.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR } from '../../src/core/time.ts';
import { CrlCensus } from '../../src/flows/crl/crl-census.ts';
import { CrlUrls } from '../../src/flows/crl/crl-urls.ts';
import { forecastOf } from '../../src/flows/crl/crl-forecast.ts';
import type { UrlFeed } from '../../src/ports/url-feed.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { settled } from './support-clock.ts';
import { makeIssuer, serials, START, TestService } from './support-service.ts';

const url = (shard: string): string => `http://crl.example.test/${shard}.crl`;
const LAYOUT: CrlLayout = {
  complete: true,
  completeUrls: [],
  shards: { count: 4, highest: 4, url: url('{shard}') },
  caUrl: undefined,
};
const WEEKLY = { ...PROFILE, crl: { ...PROFILE.crl, periodMs: 7 * DAY, validityMs: 10 * DAY } };

class MemoryFeed implements UrlFeed {
  readonly changes: UrlChange[] = [];
  read(): Promise<readonly UrlChange[]> {
    return Promise.resolve([...this.changes]);
  }
  append(_: string, changes: readonly UrlChange[]): Promise<void> {
    this.changes.push(...changes);
    return Promise.resolve();
  }
}

describe('CrlCensus', () => {
  const services: TestService[] = [];
  const started: CrlCensus[] = [];
  const warnings: string[] = [];
  afterEach(async () => {
    for (const census of started.splice(0)) census.stop();
    for (const service of services.splice(0)) await service.remove();
    warnings.splice(0);
  });

  async function open(): Promise<TestService> {
    const at = makeIssuer({ profile: WEEKLY });
    at.served.crls = LAYOUT;
    const service = await TestService.open([at]);
    services.push(service);
    return service;
  }

  function books(
    service: TestService,
    feed = new MemoryFeed(),
  ): { census: CrlCensus; urls: CrlUrls; feed: MemoryFeed } {
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (_: object, message: string) => void warnings.push(message),
      error: () => undefined,
    };
    const census = new CrlCensus([service.served], service.store, service.clock, log);
    started.push(census);
    return { census, urls: new CrlUrls(census, feed, service.journal, service.clock, log), feed };
  }

  const named = (serial: string, change: { crlShard?: string; withoutOcsp?: boolean; notAfter?: number } = {}) => ({
    serial: serial as Serial,
    notBefore: START - DAY,
    notAfter: START + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    ...change,
  });

  it('counts what is in the ledger, and what comes', async () => {
    const service = await open();
    await service.issue(serials(20));
    const { census } = books(service);
    census.start();
    await service.clock.advance(0);
    const count = (): number | undefined =>
      forecastOf(service.served, census, service.clock.now())?.scopes.find(({ shard }) => shard === '')?.certificates;
    assert.equal(count(), 20);
    await service.issue(serials(5, 100));
    assert.equal(count(), 25);
    await service.revoke(serials(5, 100));
    await service.issue(serials(5, 100));
    assert.equal(count(), 25, 'a revocation, or an event sent again, is no new certificate');
  });

  it('counts again soon after what may have been new, and at once when asked', async () => {
    const service = await open();
    const { census } = books(service);
    census.start();
    await service.clock.advance(0);
    const row = { ...named('4f0099'), line: 1, revocation: undefined };
    await service.recorder.import(service.served, [row], 'test', 'csv');
    const all = (): number | undefined => census.of(service.served.tag)?.of('').unexpired(START);
    assert.equal(all(), 0);
    assert.equal((await census.exact(service.served)).census.of('').unexpired(START), 1);
    await service.recorder.import(service.served, [{ ...row, serial: '4f009a' as Serial }], 'test', 'csv');
    await service.clock.advance(HOUR);
    assert.equal(all(), 2);
  });

  it('tells nothing of a scan that a stop cut short', async () => {
    const service = await open();
    await service.recorder.issue(service.served, [named('4f01', { crlShard: '2' })], 'test');
    const { census, urls, feed } = books(service);
    await urls.view(service.served);
    assert.deepEqual(
      feed.changes.map(({ change }) => change),
      ['added'],
    );
    const next = books(service, feed);
    next.urls.follow();
    next.census.start();
    next.census.stop();
    await service.clock.advance(0);
    await settled();
    assert.equal(next.census.of(service.served.tag), undefined);
    assert.deepEqual(feed.changes.length, 1);
    assert.ok(census.of(service.served.tag) !== undefined);
  });

  it('has CRLs be due every 4 days as long as a certificate without OCSP lasts, across restarts (B-13, T-42)', async () => {
    const service = await open();
    const first = books(service).census;
    assert.equal(first.periodMs(service.served), 4 * DAY, 'not before everything is counted');
    first.start();
    await service.clock.advance(0);
    assert.equal(first.periodMs(service.served), 7 * DAY);
    await service.recorder.issue(
      service.served,
      [named('4f01', { withoutOcsp: true, notAfter: START + 30 * DAY })],
      'test',
    );
    assert.equal(first.periodMs(service.served), 4 * DAY);
    assert.equal(first.everyCertificateNamesOcsp(service.served.tag), false);
    assert.match(warnings.join(), /due every 4d instead of 7d/);
    const again = books(service).census;
    again.start();
    await service.clock.advance(0);
    assert.equal(again.periodMs(service.served), 4 * DAY);
    service.clock.step(30 * DAY + 1);
    assert.equal(again.periodMs(service.served), 7 * DAY);
  });

  it('journals each URL when the first certificate names it and when the last has expired, and acknowledgements', async () => {
    const service = await open();
    const { census, urls, feed } = books(service);
    urls.follow();
    census.start();
    await service.clock.advance(0);
    const said = (): unknown[] => feed.changes.map(({ change, url: about }) => [change, about]);
    await service.recorder.issue(service.served, [named('4f01', { crlShard: '2', notAfter: START + DAY })], 'test');
    await service.recorder.issue(
      service.served,
      [named('4f02', { crlShard: url('2'), notAfter: START + DAY })],
      'test',
    );
    await settled();
    assert.deepEqual(said(), [['added', url('2')]]);
    assert.deepEqual(urls.openOf(service.served), { count: 1, dueBy: START + 7 * DAY });
    await service.clock.advance(HOUR);
    await service.revoke(['4f01' as Serial]);
    assert.equal(urls.openOf(service.served)?.dueBy, START + 5 * HOUR);
    assert.equal(await urls.acknowledge(service.served, undefined, 'ra'), 1);
    assert.deepEqual(urls.openOf(service.served), { count: 0, dueBy: undefined });
    await service.clock.advance(DAY);
    await settled();
    assert.deepEqual(said(), [
      ['added', url('2')],
      ['acknowledged', undefined],
      ['removed', url('2')],
    ]);
    const types: string[] = [];
    for await (const { type } of service.journal.read(0)) if (type.startsWith('crl.url')) types.push(type);
    assert.deepEqual(types, ['crl.url-added', 'crl.urls-acknowledged', 'crl.url-removed']);
    // A process that starts with the same feed has nothing to add.
    const later = books(service, feed);
    later.urls.follow();
    assert.deepEqual(
      (await later.urls.view(service.served)).open.map(({ change }) => change),
      ['removed'],
    );
    assert.equal(feed.changes.length, 3);
  });
});
