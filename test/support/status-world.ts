/** What a status is made of, by hand: one issuer for which all is well, whatever a test changes of it, and figures by name. */
import { Figures } from '../../src/apps/admin/figures.ts';
import { statusOf, type Status, type StatusContext } from '../../src/apps/admin/status.ts';
import { Trend } from '../../src/apps/admin/trend.ts';
import type { CrlRecord } from '../../src/core/certificate.ts';
import { type Labels, MetricSet } from '../../src/core/metric.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import type { GaugeSources } from '../../src/flows/gauges.ts';
import { makeIssuer, START } from '../flows/support-service.ts';

type Changeable<T> = { -readonly [Name in keyof T]: T[Name] };
/** How long ago a look is, in seconds. */
type Ago = number;
type Gauge = readonly [name: string, labels: Labels, value: (ago: Ago) => number];

export const NOW = START;
const AT = makeIssuer({ id: 'calm' });

export class World {
  readonly at = AT;
  readonly sources: Changeable<GaugeSources>;
  readonly context: Changeable<Partial<StatusContext>> = {
    service: { name: 'one', version: '0', roles: ['signer'], startedAt: '2026-01-01T00:00:00Z' },
  };
  /** Of the one CRL. */
  readonly crl = { number: 7n, shard: '', thisUpdate: NOW - HOUR, scheduledAt: NOW - HOUR, nextUpdate: NOW + 6 * DAY, entries: 3, bytes: 640 }; // prettier-ignore
  /** Of the answers. */
  oldestThisUpdate = NOW - HOUR;
  leastNextUpdate = NOW + 3 * DAY;
  complete = true;
  /** Of the store. */
  failure: string | undefined;
  readonly oldest = new Map<string, (ago: Ago) => number>();
  readonly waiting = new Map<string, (ago: Ago) => number>();
  /** From which the looks go back, and how far they lie apart. */
  looks = { from: 0, step: 10 };
  readonly #gauges: Gauge[] = [];
  readonly #counters: Gauge[] = [];
  readonly #probes: ((ago: Ago) => readonly number[])[] = [];
  #ago: Ago = 0;

  constructor() {
    const store = {
      silentMs: () => 0,
      mustVouch: false,
      propagationMs: 0,
      oldestDue: (lane: string) => this.oldest.get(lane)?.(this.#ago),
      backlog: (lane: string) => this.waiting.get(lane)?.(this.#ago) ?? 0,
    };
    Object.defineProperty(store, 'failure', { get: () => this.failure });
    const publisher = { oldestUnlisted: undefined, publishers: new Map() };
    this.sources = {
      issuers: [AT.served],
      store: store as unknown as GaugeSources['store'],
      freshness: {
        complete: true,
        of: () => ({ count: 5, oldestThisUpdate: this.oldestThisUpdate, leastNextUpdate: this.leastNextUpdate }),
        spread: () => undefined,
      },
      files: { crl: () => this.crl as unknown as CrlRecord } as unknown as GaugeSources['files'],
      table: undefined,
      misses: undefined,
      connections: undefined,
      journal: undefined,
      publishers: new Map([[AT.served.tag, publisher]]) as unknown as GaugeSources['publishers'],
      signsWith: () => AT.served.responders.signing[0]?.certificate.id,
      signers: [{ ...AT, keys: AT.keys }],
      tokens: () => [],
      clock: { now: () => NOW - this.#ago * SECOND } as GaugeSources['clock'],
    };
  }

  gauge(name: string, labels: Labels, value: number | ((ago: Ago) => number)): void {
    this.#gauges.push([name, labels, typeof value === 'number' ? () => value : value]);
  }

  /** @param value of so many seconds ago. */
  counter(name: string, labels: Labels, value: (ago: Ago) => number): void {
    this.#counters.push([name, labels, value]);
  }

  /** @param waits of clients of OCSP, in seconds, all that there were so many seconds ago. */
  probed(waits: (ago: Ago) => readonly number[]): void {
    this.#probes.push(waits);
  }

  /** Everything as it was from `looks.from` seconds ago until now. */
  status(): Status {
    const trend = new Trend();
    for (let ago = this.looks.from; ago > 0; ago -= this.looks.step) {
      const figures = this.#figures(ago);
      trend.add(this.sources.clock.now(), figures, this.sources.store);
    }
    const figures = this.#figures(0);
    const lately = trend.upTo(NOW, figures, this.sources.store);
    return statusOf(this.sources, { ...this.context, figures, lately });
  }

  #figures(ago: Ago): Figures {
    this.#ago = ago;
    const set = new MetricSet();
    const names = new Set(this.#gauges.map(([name]) => name));
    for (const lane of this.waiting.keys()) this.#lane(set, lane);
    for (const name of names)
      set.gauge(name, '', () => this.#gauges.filter(([own]) => own === name).map(([, labels, value]) => [labels, value(ago)] as const)); // prettier-ignore
    for (const [name, labels, value] of this.#counters) set.counter(name, '', labels).value = value(ago);
    for (const waits of this.#probes) {
      const histogram = set.histogram('certstatus_probe_seconds', '', [1, 2.5, 5, 10, 30], { channel: 'ocsp' });
      for (const seconds of waits(ago)) histogram.observe(seconds);
    }
    return Figures.of(set);
  }

  #lane(set: MetricSet, lane: string): void {
    set.gauge('certstatus_backlog', '', () => [[{ lane }, this.waiting.get(lane)?.(this.#ago) ?? 0]]);
  }
}

/** A counter that stood at 1000, and grew by `by` so many seconds ago. */
export function grewBy(by: number, at: Ago): (ago: Ago) => number {
  return (ago) => 1000 + (ago <= at ? by : 0);
}

export const HALF_MINUTE = MINUTE / 2 / SECOND;
