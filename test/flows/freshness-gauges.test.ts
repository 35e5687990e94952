import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import fc from 'fast-check';
import { refreshDeadline, refreshLateAt } from '../../src/core/policy/freshness.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { FreshnessGauges } from '../../src/flows/freshness-gauges.ts';
import type { AnswerTimes } from '../../src/ports/store.ts';
import { settled } from './support-clock.ts';
import { makeIssuer, serials, START, TestService } from './support-service.ts';

const SEED = 4_9_10;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

/** Counted anew, one by one, from the store. */
async function counted(service: TestService): Promise<object[]> {
  const all: AnswerTimes[] = [];
  for await (const page of service.store.published()) all.push(...page);
  return service.issuers.map(({ served: { tag } }) => {
    const own = all.filter(({ issuer }) => issuer === tag);
    const least = (instants: readonly number[]): number | undefined =>
      instants.length === 0 ? undefined : Math.floor(Math.min(...instants) / MINUTE) * MINUTE;
    return {
      count: own.length,
      oldestThisUpdate: least(own.map(({ thisUpdate }) => thisUpdate)),
      leastNextUpdate: least(own.map(({ nextUpdate }) => nextUpdate)),
    };
  });
}

it(`equals a count of the whole store after any sequence of events, restarts included (seed ${SEED})`, async () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('issue' as const),
      issuer: fc.nat(1),
      count: fc.integer({ min: 1, max: 9 }),
      days: fc.integer({ min: 1, max: 6 }),
    }),
    fc.record({ kind: fc.constant('revoke' as const), which: fc.nat(99) }),
    fc.record({ kind: fc.constant('ask' as const), which: fc.nat(99) }),
    fc.record({ kind: fc.constant('pass' as const), hours: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ kind: fc.constant('reload' as const) }),
    fc.record({ kind: fc.constant('fail' as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 25 }), async (events) => {
      const service = await TestService.open([makeIssuer(), makeIssuer({ id: 'other', name: 'Other CA' })]);
      services.push(service);
      service.signer.start();
      let issued = 0;
      for (const one of events) {
        const { clock, issuers } = service;
        if (one.kind === 'issue') {
          const at = issuers[one.issuer];
          await service.issue(serials(one.count, issued), START + one.days * DAY, at?.served).catch(() => undefined);
          issued += one.count;
        } else if (one.kind === 'revoke') {
          await service.revoke(serials(1, one.which % (issued + 1))).catch(() => undefined);
        } else if (one.kind === 'ask') {
          void service.signer.ask(
            service.served.tag,
            serials(1, one.which % (issued + 1))[0] as ReturnType<typeof serials>[0],
          );
        } else if (one.kind === 'pass') {
          await clock.stride(one.hours * HOUR, 2 * HOUR);
        } else if (one.kind === 'fail') {
          for (const at of issuers) for (const holder of at.holders.values()) holder.behave = () => 'fail';
          await clock.stride(HOUR, HOUR);
          for (const at of issuers) for (const holder of at.holders.values()) holder.behave = () => 'sign';
        } else {
          await service.close();
          await service.open();
          service.signer.start();
        }
        await settled();
        assert.equal(service.freshness.complete, true);
        const gauges = issuers.map(({ served: { tag } }) => service.freshness.of(tag));
        assert.deepEqual(gauges, await counted(service), `after ${one.kind}`);
      }
      await service.remove();
      services = [];
    }),
    { numRuns: 12, seed: SEED },
  );
});

it('is not complete before the scan has ended, and right when answers change during it', async () => {
  const service = await TestService.open();
  services.push(service);
  service.signer.start();
  const issued = serials(30);
  await service.issue(issued);
  await settled();
  const gauges = new FreshnessGauges(service.store);
  const loading = gauges.load();
  assert.equal(gauges.complete, false);
  await service.revoke(issued.slice(0, 10));
  await service.issue(serials(5, 100));
  await settled();
  await loading;
  assert.equal(gauges.complete, true);
  assert.deepEqual([gauges.of(service.served.tag)], await counted(service));
});

it('shows percentiles, and counts answers as late and as stale when they are, and not before', async () => {
  const service = await TestService.open();
  services.push(service);
  const { clock, served } = service;
  const { profile } = served;
  registerGauges(service.metrics.set, service.sources);
  service.signer.start();
  await service.issue(serials(20));
  await settled();
  await service.signer.stop();
  const signedAt = clock.now();
  const read = (name: string): readonly number[] => {
    const metric = [...service.metrics.set].find((one) => one.name === name);
    assert.ok(metric !== undefined && 'read' in metric);
    return [...metric.read()].map(([, value]) => value);
  };
  const late = refreshLateAt(profile, signedAt);
  const stale = refreshDeadline(signedAt, signedAt + profile.ocsp.validityMs - SECOND);
  for (const [instant, expected] of [
    [late - MINUTE, [0, 0]],
    [late + 2 * MINUTE, [20, 0]],
    [stale - MINUTE, [20, 0]],
    [stale + 2 * MINUTE, [20, 20]],
  ] as const) {
    await clock.stride(instant - clock.now(), HOUR);
    assert.deepEqual([...read('certstatus_answers_late'), ...read('certstatus_answers_stale')], expected);
    const age = (clock.now() - signedAt) / SECOND;
    const ages = read('certstatus_this_update_age_seconds');
    assert.equal(ages.length, 4);
    for (const one of ages) assert.ok(one >= age && one <= age + 60, `${one} s, to the minute, of ${age} s`);
  }
  assert.equal(read('certstatus_time_to_next_update_seconds').length, 4);
});

it('ends a scan that is under way when it is stopped, and is then not complete', async () => {
  let pages = 0;
  const population = {
    async *published(): AsyncGenerator<readonly AnswerTimes[]> {
      for (;;) {
        pages += 1;
        yield [];
        await Promise.resolve();
      }
    },
    follow: () => undefined,
  };
  const gauges = new FreshnessGauges(population);
  const loading = gauges.load();
  gauges.stop();
  await loading;
  assert.equal(gauges.complete, false);
  assert.ok(pages <= 2, `${pages} pages were read`);
});
