/**
 * How counters grew and figures moved of late, from looks every ten seconds: for the problems that no single look shows. What PromQL's
 * increase() and min_over_time() say of the same metrics, without a Prometheus. In memory, begins with the process.
 */
import { ALERT_LIMITS } from '../../core/alerts.ts';
import { HOUR, MINUTE, SECOND, type EpochMs } from '../../core/time.ts';
import type { RefreshQueue } from '../../ports/store.ts';
import type { Figures } from './figures.ts';

/** What is kept of each look: by name, and by subject where there are several. */
const WATCHED = {
  answers: (figures) => one(figures.sum('certstatus_answers_total')),
  failed: (figures) => one(sumOf(figures, 'certstatus_answers_total', 'outcome', ['try-later', 'internal-error'])),
  unissued: (figures) => one(figures.sum('certstatus_lookups_total', { result: 'refused' })),
  shed: (figures) =>
    by(
      figures,
      'certstatus_connections_shed_total',
      'listener',
      ({ reason }) => reason === 'full' || reason === 'room',
    ),
  signatures: (figures) => by(figures, 'certstatus_signatures_total', 'slot'),
  signatureFailures: (figures) => by(figures, 'certstatus_signature_failures_total', 'slot'),
  // What the key holder refuses, SigningFails, TokenUnusable and KeyUnusable say.
  refused: (figures) =>
    by(figures, 'certstatus_signing_refused_total', 'reason', ({ reason }) => reason !== 'key-holder'),
  signed: (figures) => by(figures, 'certstatus_signed_certificates_total', 'lane'),
  backlog: (figures) => by(figures, 'certstatus_backlog', 'lane'),
  clockSteps: (figures) => one(figures.sum('certstatus_clock_steps_total')),
} as const satisfies Readonly<Record<string, (figures: Figures) => Values>>;
/** Looked at less often, and for longer. */
const DISK = 'certstatus_disk_free_bytes';
/** Its buckets. */
const PROBE = 'certstatus_probe_seconds';
export const PROBE_CHANNELS = ['ocsp', 'crl'] as const;

export type Watched = keyof typeof WATCHED;
type Values = ReadonlyMap<string, number>;

interface Look {
  readonly at: EpochMs;
  readonly values: Readonly<Record<Watched, Values>>;
  readonly probe: Readonly<Record<string, readonly number[]>>;
  /** When the oldest certificate began to wait for its first answer. */
  readonly oldestIssue: EpochMs | undefined;
}

const FINE_MS = HOUR;
const COARSE_MS = ALERT_LIMITS.DiskFills.within * SECOND;
const COARSE_STEP_MS = 5 * MINUTE;
/** Between two looks lie seconds: a longer gap is the clock that was set, or a process that was stopped. */
const MOST_GAP_MS = 2 * MINUTE;

export class Trend {
  #looks: Look[] = [];
  #disks: { readonly at: EpochMs; readonly free: Values }[] = [];

  /** One look. */
  add(now: EpochMs, figures: Figures, queue: Pick<RefreshQueue, 'oldestDue'>): void {
    this.#settle(now);
    this.#looks.push(lookAt(now, figures, queue));
    while ((this.#looks[0]?.at ?? now) < now - FINE_MS - MINUTE) this.#looks.shift();
    if (now - (this.#disks.at(-1)?.at ?? -Infinity) < COARSE_STEP_MS) return;
    this.#disks.push({ at: now, free: by(figures, DISK, 'directory') });
    while ((this.#disks[0]?.at ?? now) < now - COARSE_MS) this.#disks.shift();
  }

  /** With a look of this moment, which is not kept. */
  upTo(now: EpochMs, figures: Figures, queue: Pick<RefreshQueue, 'oldestDue'>): Lately {
    return new Lately([...this.#looks.filter(({ at }) => at < now), lookAt(now, figures, queue)], this.#disks);
  }

  /** When the clock is set, what was seen before moves along with it: how long ago it was has not changed. */
  #settle(now: EpochMs): void {
    const last = this.#looks.at(-1);
    if (last === undefined || (now > last.at && now - last.at < MOST_GAP_MS)) return;
    const moved = now - 10 * SECOND - last.at;
    this.#looks = this.#looks.map((look) => ({ ...look, at: look.at + moved }));
    this.#disks = this.#disks.map((look) => ({ ...look, at: look.at + moved }));
  }
}

/** Windows are in seconds, and end now. */
export class Lately {
  readonly #looks: readonly Look[];
  readonly #now: Look;
  readonly #disks: readonly { readonly at: EpochMs; readonly free: Values }[];

  constructor(looks: readonly Look[], disks: readonly { readonly at: EpochMs; readonly free: Values }[]) {
    this.#looks = looks;
    this.#now = looks.at(-1) as Look;
    this.#disks = disks;
  }

  /** By how much the counter grew. Of a process that is younger than the window: since its start. */
  increase(name: Watched, subject: string, seconds: number): number {
    const value = (look: Look): number => look.values[name].get(subject) ?? 0;
    return Math.max(0, value(this.#now) - value(this.#before(seconds)));
  }

  /** The subjects that there are now. */
  subjects(name: Watched): readonly string[] {
    return [...this.#now.values[name].keys()];
  }

  /**
   * Whether certificates have waited in the lane all the time, and nothing shows that anybody signs any: this process has signed none,
   * and the backlog has never fallen, as it does where another signer works. False before the window was seen as a whole.
   */
  stuck(lane: 'issue' | 'refresh', seconds: number): boolean {
    const looks = this.#covering(seconds);
    if (looks === undefined || this.increase('signed', lane, seconds) > 0) return false;
    // While a CA issues in bulk the first lane may grow faster than it is signed: then the oldest one changes.
    if (lane === 'issue' && looks.some(({ oldestIssue }) => oldestIssue !== this.#now.oldestIssue)) return false;
    const waiting = looks.map(({ values }) => values.backlog.get(lane) ?? 0);
    return waiting.every((count, i) => count > 0 && count >= (waiting[i - 1] ?? 0));
  }

  /** How long this share of what was asked from outside took, as histogram_quantile() has it; undefined when nothing was asked. */
  probeSeconds(channel: string, bounds: readonly number[], share: number, seconds: number): number | undefined {
    const before = this.#before(seconds).probe[channel];
    const grown = (this.#now.probe[channel] ?? []).map((count, i) => count - (before?.[i] ?? 0));
    return quantile(bounds, grown, share);
  }

  /** How many octets the disk will have at the end of `foretold`, by the straight line through what was seen; undefined before `after`. */
  foretoldFree(directory: string, { foretold, after }: { foretold: number; after: number }): number | undefined {
    const { at: now } = this.#now;
    const points = this.#disks.flatMap(({ at, free }) => {
      const octets = free.get(directory);
      return octets === undefined ? [] : [[(at - now) / SECOND, octets] as const];
    });
    if (!points.some(([at]) => at <= -after)) return undefined;
    const mean = (of: (point: readonly [number, number]) => number): number =>
      points.reduce((sum, point) => sum + of(point), 0) / points.length;
    const [at, free] = [mean(([x]) => x), mean(([, y]) => y)];
    const spread = mean(([x]) => (x - at) ** 2);
    return free + (mean(([x, y]) => (x - at) * (y - free)) / spread) * (foretold - at);
  }

  /** The last look that is as old as the window; the first of all where none is. */
  #before(seconds: number): Look {
    const from = this.#now.at - seconds * SECOND;
    return this.#looks.findLast(({ at }) => at <= from) ?? (this.#looks[0] as Look);
  }

  /** All looks of the window; undefined while not all of it was seen. */
  #covering(seconds: number): readonly Look[] | undefined {
    const from = this.#now.at - seconds * SECOND;
    const first = this.#looks.findLastIndex(({ at }) => at <= from);
    return first === -1 ? undefined : this.#looks.slice(first);
  }
}

function lookAt(at: EpochMs, figures: Figures, queue: Pick<RefreshQueue, 'oldestDue'>): Look {
  const values = Object.fromEntries(Object.entries(WATCHED).map(([name, read]) => [name, read(figures)]));
  const probe = PROBE_CHANNELS.map((channel) => [channel, figures.buckets(PROBE, { channel })?.counts ?? []]);
  return {
    at,
    values: values as Record<Watched, Values>,
    probe: Object.fromEntries(probe) as Record<string, readonly number[]>,
    oldestIssue: queue.oldestDue('issue'),
  };
}

/** Linear within a bucket, as Prometheus reads one; what is beyond the last bound counts as that bound. */
function quantile(bounds: readonly number[], counts: readonly number[], share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return undefined;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    const upper = bounds[i];
    if (upper === undefined) break;
    if (count > 0 && below + count >= share * total) {
      const lower = bounds[i - 1] ?? 0;
      return lower + ((share * total - below) / count) * (upper - lower);
    }
    below += count;
  }
  return bounds.at(-1);
}

function one(value: number | undefined): Values {
  return new Map(value === undefined ? [] : [['', value]]);
}

function by(
  figures: Figures,
  metric: string,
  label: string,
  wanted: (labels: Readonly<Record<string, string>>) => boolean = () => true,
): Values {
  const sums = new Map<string, number>();
  for (const { labels, value } of figures.all(metric)) {
    const subject = labels[label];
    if (subject !== undefined && wanted(labels)) sums.set(subject, (sums.get(subject) ?? 0) + value);
  }
  return sums;
}

function sumOf(figures: Figures, metric: string, label: string, values: readonly string[]): number | undefined {
  const sums = values.flatMap((value) => figures.sum(metric, { [label]: value }) ?? []);
  return sums.length === 0 ? undefined : sums.reduce((sum, value) => sum + value, 0);
}
