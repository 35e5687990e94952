/**
 * How fast each lane is being emptied, and when it will be: from samples of the last minute, taken every few seconds. What is signed
 * is this process's own; what waits is everybody's.
 */
import { LANES, type Lane } from '../../core/certificate.ts';
import { MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { RefreshQueue } from '../../ports/store.ts';

const EVERY_MS = 5 * SECOND;
const SPAN_MS = MINUTE;

interface Figures {
  /** Certificates since the start. */
  readonly signed: number;
  readonly waiting: number;
}

interface Taken {
  readonly at: EpochMs;
  readonly lanes: ReadonlyMap<Lane, Figures>;
}

export interface LaneCounts {
  /** Certificates of the lane that this process has published answers of, since the start. */
  signed(lane: Lane): number;
  /** Certificates for which a client waits now. */
  readonly asked: number;
}

export class LaneRates {
  readonly #counts: LaneCounts;
  readonly #store: Pick<RefreshQueue, 'backlog'>;
  readonly #clock: Clock;
  /** Oldest first; the first is about a minute old. */
  #samples: readonly Taken[] = [];
  #timer: Timer | undefined;

  constructor(counts: LaneCounts, store: Pick<RefreshQueue, 'backlog'>, clock: Clock) {
    this.#counts = counts;
    this.#store = store;
    this.#clock = clock;
  }

  start(): void {
    const now = this.#clock.now();
    // A clock that was set makes the samples before it worthless.
    const kept = this.#samples.filter(({ at }) => at < now && now - at <= SPAN_MS);
    this.#samples = [...kept, { at: now, lanes: new Map(LANES.map((lane) => [lane, this.#figures(lane)])) }];
    this.#timer = this.#clock.after(EVERY_MS, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  waiting(lane: Lane): number {
    return lane === 'asked' ? this.#counts.asked : this.#store.backlog(lane, this.#clock.now());
  }

  /** Certificates per second. */
  rate(lane: Lane): number {
    const { seconds, from, to } = this.#lastMinute(lane);
    return seconds === 0 ? 0 : Math.max(0, to.signed - from.signed) / seconds;
  }

  /**
   * Until the lane is empty, should it go on like this. By how much less waits than a minute ago, whoever signs it; of a trickle that is
   * signed as fast as it comes, by what is signed. Undefined while it does not drain.
   */
  leftMs(lane: Lane): number | undefined {
    const { seconds, from, to } = this.#lastMinute(lane);
    if (to.waiting === 0) return 0;
    const drained = from.waiting - to.waiting;
    if (seconds > 0 && drained > 0) return ((to.waiting / drained) * seconds) * SECOND; // prettier-ignore
    const left = (to.waiting / this.rate(lane)) * SECOND;
    return left <= SPAN_MS ? left : undefined;
  }

  #lastMinute(lane: Lane): { readonly seconds: number; readonly from: Figures; readonly to: Figures } {
    const to = this.#figures(lane);
    const first = this.#samples[0];
    const from = first?.lanes.get(lane);
    if (first === undefined || from === undefined) return { seconds: 0, from: to, to };
    return { seconds: Math.max(0, this.#clock.now() - first.at) / SECOND, from, to };
  }

  #figures(lane: Lane): Figures {
    return { signed: this.#counts.signed(lane), waiting: this.waiting(lane) };
  }
}
