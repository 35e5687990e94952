/**
 * Looks at the status every ten seconds, though nobody opens the page: so that it can say since when something is wrong, what changed,
 * and how the figures went. What it knows is in memory and begins with the process.
 */
import type { MetricSet } from '../../core/metric.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { ArchiveView } from '../../flows/archive/archive-upkeep.ts';
import type { FollowedJournal } from '../../flows/followed-journal.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { Log } from '../../flows/log.ts';
import type { Timer } from '../../ports/clock.ts';
import { Figures } from './figures.ts';
import { History, STEP_MS } from './history.ts';
import { Recent } from './recent.ts';
import { ageLimitMs } from './status-issuer.ts';
import { statusOf, type ServiceStatus, type Status } from './status.ts';
import { Trend } from './trend.ts';

export interface WatchParts {
  readonly sources: GaugeSources;
  readonly metrics: MetricSet;
  readonly service: ServiceStatus;
  readonly archive: () => ArchiveView | undefined;
  /** Resolves when what other processes have counted is in the metrics. */
  readonly counted: () => Promise<void>;
  readonly log: Log;
}

export class StatusWatch {
  readonly history: History;
  readonly #parts: WatchParts;
  readonly #recent = new Recent();
  readonly #trend = new Trend();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.history = new History(
      new Map(parts.sources.issuers.map((issuer) => [issuer.id, ageLimitMs(issuer) / SECOND])),
      parts.sources.clock.now(),
    );
  }

  /** What is written from now on is among the recent events. */
  follow(journal: Pick<FollowedJournal, 'follow'>): void {
    journal.follow((records) => this.#recent.records(records));
  }

  start(): void {
    void this.#look(true);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** As of now. */
  status(): Status {
    const { sources, metrics } = this.#parts;
    return this.#statusOf(Figures.of(metrics), sources.clock.now());
  }

  async #look(first = false): Promise<void> {
    const { sources, metrics, counted, log } = this.#parts;
    try {
      await counted();
      if (this.#stopped) return;
      const figures = Figures.of(metrics);
      this.history.add(sources.clock.now(), figures);
      this.#trend.add(sources.clock.now(), figures, sources.store);
      // At the very start nothing is signed yet, and no problem.
      if (!first) this.#statusOf(figures, sources.clock.now());
    } catch (error) {
      log.error({ err: error }, 'the status could not be looked at');
    }
    if (!this.#stopped) this.#timer = sources.clock.after(STEP_MS, () => void this.#look());
  }

  #statusOf(figures: Figures, now: EpochMs): Status {
    const { sources, service, archive } = this.#parts;
    const lately = this.#trend.upTo(now, figures, sources.store);
    const context = { figures, lately, service, archive: archive(), since: (key: string) => this.#recent.since(key) };
    const first = statusOf(sources, context);
    this.#recent.problems(first.problems, now);
    // Again where something was seen for the first time: now it is known since when.
    const isNew = first.problems.some(({ since }) => since === undefined);
    return { ...(isNew ? statusOf(sources, context) : first), events: this.#recent.list };
  }
}
