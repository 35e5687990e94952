/**
 * How fresh the whole population of published answers is, not only what is asked for (peers.md Part 1 §5.11): counts per issuer
 * and minute of thisUpdate and nextUpdate, loaded by one scan at start and kept by the change feed.
 */
import type { IssuerTag } from '../core/certificate.ts';
import type { MetricSet, Sample } from '../core/metric.ts';
import { MinuteCounts, type Spread } from '../core/minute-counts.ts';
import { latestStale, latestLate } from '../core/policy/freshness.ts';
import { SECOND, type EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { AnswerTimes, ChangeFeed, Freshness, Population, PublishedSpread } from '../ports/store.ts';
import { issuerGauge } from './issuer-gauge.ts';
import type { ServedIssuer } from './issuer-setup.ts';

interface Counts {
  readonly thisUpdate: MinuteCounts;
  readonly nextUpdate: MinuteCounts;
}

export class FreshnessGauges implements Freshness {
  readonly #populations = new Map<IssuerTag, Counts>();
  readonly #store: Population & ChangeFeed;
  #complete = false;
  #stopped = false;

  constructor(store: Population & ChangeFeed) {
    this.#store = store;
    store.follow((event) => {
      if (event.type === 'published') {
        if (event.previous !== undefined) this.#add(event.previous, -1);
        this.#add(event.response, 1);
      } else if (event.type === 'retired') this.#add(event.previous, -1);
    });
  }

  /** One scan of a snapshot of this moment; call it before anything publishes. Until it ends, `complete` is false. */
  async load(): Promise<void> {
    for await (const page of this.#store.published()) {
      if (this.#stopped) return;
      for (const response of page) this.#add(response, 1);
    }
    this.#complete = true;
  }

  /** Ends a scan that is under way: a stop does not wait for ten million answers to be counted. */
  stop(): void {
    this.#stopped = true;
  }

  get complete(): boolean {
    return this.#complete;
  }

  of(issuer: IssuerTag): ReturnType<Freshness['of']> {
    const population = this.#populations.get(issuer);
    return {
      count: population?.thisUpdate.total ?? 0,
      oldestThisUpdate: population?.thisUpdate.at(0),
      leastNextUpdate: population?.nextUpdate.at(0),
    };
  }

  spread(issuer: IssuerTag): PublishedSpread | undefined {
    return this.#populations.get(issuer);
  }

  #add(response: AnswerTimes, count: 1 | -1): void {
    let population = this.#populations.get(response.issuer);
    if (population === undefined) {
      population = { thisUpdate: new MinuteCounts(), nextUpdate: new MinuteCounts() };
      this.#populations.set(response.issuer, population);
    }
    population.thisUpdate.add(response.thisUpdate, count);
    population.nextUpdate.add(response.nextUpdate, count);
  }
}

/** Shares of the answers; of the time that is left the lower ones count. */
const AGES = [0.5, 0.9, 0.99, 1];
const LEFT = [0, 0.01, 0.1, 0.5];

export function registerFreshnessGauges(
  set: MetricSet,
  issuers: readonly ServedIssuer[],
  freshness: Freshness,
  clock: Clock,
): void {
  const age = (instant: EpochMs): number => (clock.now() - instant) / SECOND;
  const perIssuer = (name: string, help: string, read: (issuer: ServedIssuer) => number | undefined): void =>
    issuerGauge(set, issuers, name, help, read);
  const quantiles = (
    name: string,
    help: string,
    shares: readonly number[],
    read: (of: PublishedSpread, share: number) => number | undefined,
  ): void =>
    set.summary(name, help, function* (): Iterable<Sample> {
      for (const { id, tag } of issuers) {
        const spread = freshness.spread(tag);
        if (spread === undefined) continue;
        for (const share of shares) {
          const value = read(spread, share);
          if (value !== undefined) yield [{ issuer: id, quantile: String(share) }, value];
        }
      }
    });
  /** Answers that a CA signs offline keep to another schedule, with a watch of its own (offline-watch.ts). */
  const online = (read: (thisUpdate: Spread, issuer: ServedIssuer) => number) => (issuer: ServedIssuer) => {
    const spread = issuer.offline?.ocsp === true ? undefined : freshness.spread(issuer.tag);
    return spread === undefined ? undefined : read(spread.thisUpdate, issuer);
  };

  perIssuer(
    'certstatus_published_certificates',
    'Certificates with a published OCSP answer.',
    ({ tag }) => freshness.of(tag).count,
  );
  perIssuer(
    'certstatus_oldest_this_update_age_seconds',
    'Age of the oldest published OCSP answer, over all of them and not only those asked for. Limit: half the validity and 4 days (BR 4.9.9).',
    ({ tag }) => map(freshness.of(tag).oldestThisUpdate, age),
  );
  perIssuer(
    'certstatus_least_time_to_next_update_seconds',
    'Time until the first published OCSP answer runs out. Below 8 h a limit is broken (BR 4.9.9); at 0 clients get tryLater.',
    ({ tag }) => map(freshness.of(tag).leastNextUpdate, (instant) => -age(instant)),
  );
  quantiles(
    'certstatus_this_update_age_seconds',
    'Age of the published OCSP answers, over all of them: this share of them is not older. To the minute.',
    AGES,
    // The oldest have the earliest thisUpdate.
    ({ thisUpdate }, share) => map(thisUpdate.at(1 - share), age),
  );
  quantiles(
    'certstatus_time_to_next_update_seconds',
    'Time until the published OCSP answers run out, over all of them: this share of them has no more left. To the minute.',
    LEFT,
    ({ nextUpdate }, share) => map(nextUpdate.at(share), (instant) => -age(instant)),
  );
  perIssuer(
    'certstatus_answers_late',
    'Number of published OCSP answers that should have been signed anew by now; no limit is broken yet.',
    online((thisUpdate, { profile }) => thisUpdate.before(latestLate(profile, clock.now()))),
  );
  perIssuer(
    'certstatus_answers_stale',
    'Number of published OCSP answers that are older than half of their validity or 4 days: a limit is broken (BR 4.9.9, CT-4.9.10-c).',
    online((thisUpdate, { profile }) => thisUpdate.before(latestStale(profile, clock.now()))),
  );
  set.gauge(
    'certstatus_freshness_complete',
    '1 once every published answer has been counted after the start, else 0.',
    () => [[{}, freshness.complete ? 1 : 0]],
  );
}

function map(instant: EpochMs | undefined, read: (instant: EpochMs) => number): number | undefined {
  return instant === undefined ? undefined : read(instant);
}
