/**
 * What a scrape costs: `node dist/bench/scrape.js [--answers 10000000]`. Synthetic answers over four days, counted by the classes that
 * count them in the service, and exported as they are there: milliseconds and octets of a scrape, for few issuers and for many.
 */
import { parseArgs } from 'node:util';
import { WorkQueue } from '../src/adapters/embedded/work-queue.ts';
import { Exporter } from '../src/adapters/prometheus/exporter.ts';
import { COMPLETE, type IssuerTag } from '../src/core/certificate.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../src/core/time.ts';
import { FreshnessGauges } from '../src/flows/freshness-gauges.ts';
import { registerGauges } from '../src/flows/gauges.ts';
import { flowMetrics, OUTCOMES } from '../src/flows/metrics.ts';
import type { AnswerTimes } from '../src/ports/store.ts';

const PAGE = 10_000;
const SCRAPES = 50;
const now = Date.now();
const { values } = parseArgs({ options: { answers: { type: 'string', default: '10000000' } } });
const answers = Number(values.answers);

for (const [issuers, shards] of [
  [3, 128],
  [100, 128],
] as const)
  await measure(issuers, shards);

async function measure(issuers: number, shards: number): Promise<void> {
  const tags = Array.from({ length: issuers }, (_, i) => i.toString(16).padStart(32, '0') as IssuerTag);
  const freshness = new FreshnessGauges({
    follow: () => undefined,
    published: () => pages((i) => timesOf(tags[i % issuers] as IssuerTag, i)),
  });
  const idle = process.cpuUsage();
  await freshness.load();
  const counted = process.cpuUsage(idle).user;
  const queue = new WorkQueue(undefined as never);
  await queue.load(pages((i) => ({ lane: 'refresh', dueAt: timesOf(tags[0] as IssuerTag, i).thisUpdate + DAY })));
  const { set, answer } = flowMetrics();
  for (const outcome of OUTCOMES)
    for (const method of ['GET', 'POST', 'HEAD', 'BREW'])
      for (const version of ['1.0', '1.1', '2.0'])
        for (const hash of ['sha1', 'sha256', undefined] as const) answer.count(outcome, method, version, hash);
  // Only what the gauges read is there.
  registerGauges(set, sourcesOf(tags, shards, freshness, queue) as never);
  const exporter = new Exporter(set);
  let octets = 0;
  await exporter.text();
  const before = process.cpuUsage();
  for (let i = 0; i < SCRAPES; i++) {
    octets = (await exporter.text()).length;
  }
  // CPU time, garbage collection included: other work on the machine does not count.
  const { user, system } = process.cpuUsage(before);
  console.log(
    `${answers} answers, ${issuers} issuers with ${shards} shards each: ${((user + system) / SCRAPES / 1000).toFixed(1)} ms of CPU a scrape, ` +
      `${(octets / 1024).toFixed(0)} KiB; ${((counted * 1000) / answers).toFixed(0)} ns of CPU to make and count an answer`,
  );
}

async function* pages<T>(make: (i: number) => T): AsyncGenerator<readonly T[]> {
  for (let from = 0; from < answers; from += PAGE)
    yield await Promise.resolve(Array.from({ length: Math.min(PAGE, answers - from) }, (_, i) => make(from + i)));
}

/** Signed some time in the last day, valid for four. */
function timesOf(issuer: IssuerTag, i: number): AnswerTimes {
  const thisUpdate = now - ((Math.imul(i, 0x9e3779b1) >>> 0) % (4 * DAY));
  return { issuer, thisUpdate, nextUpdate: thisUpdate + 8 * DAY - SECOND };
}

function sourcesOf(tags: readonly IssuerTag[], shards: number, freshness: FreshnessGauges, queue: WorkQueue): object {
  const names = [COMPLETE, ...Array.from({ length: shards }, (_, i) => String(i))];
  const layout = {
    complete: true,
    shards: { count: shards, highest: shards - 1, url: 'http://crl.example/{shard}.crl' },
  };
  const record = (shard: string): object => ({
    shard,
    number: 1n,
    thisUpdate: now - HOUR,
    nextUpdate: now + DAY,
    scheduledAt: now - HOUR,
    entries: 100,
    bytes: 10_000,
  });
  const records = new Map(names.map((name) => [name, record(name)]));
  const responder = { certificate: { id: 'ab12cd34ef56', notBefore: now - DAY, notAfter: now + 90 * DAY } };
  return {
    issuers: tags.map((tag, i) => ({
      id: `issuer-${i}`,
      tag,
      issuer: { notAfter: now + 1000 * DAY },
      profile: { ocsp: { validityMs: 8 * DAY, refreshAfterMs: DAY }, crl: { periodMs: DAY } },
      crls: layout,
      responders: { shown: () => [responder], signing: [responder], list: [responder] },
    })),
    store: {
      failure: undefined,
      silentMs: () => 0,
      backlog: (lane: 'refresh', at: number) => queue.due(lane, at),
      oldestDue: (lane: 'refresh') => queue.oldest(lane),
    },
    freshness,
    files: { crl: ({ shard }: { shard: string }) => records.get(shard), downloads: undefined },
    table: undefined,
    misses: undefined,
    connections: undefined,
    journal: { head: { seq: 1 }, failure: undefined, headAt: now, bytes: 1 },
    publishers: new Map(
      tags.map((tag) => [tag, { publishers: new Map(names.map((name) => [name, { refused: false }])) }]),
    ),
    signers: [],
    signsWith: () => 'ab12cd34ef56',
    tokens: () => [],
    lanes: { waiting: () => 0, rate: () => 1, leftMs: () => MINUTE },
    clock: { now: () => now },
  };
}
