/**
 * What was asked for from outside, in the audit log: once an hour, in counts and worst cases, so that it can be shown long after the
 * gauges are gone that the public URLs answered, and how fast (CT-4.10.2-a, CT-9.6.1-6, CT-9.9.2-2).
 */
import type { JournalEntry } from '../../core/journal-record.ts';
import { HOUR, rfc3339, type EpochMs } from '../../core/time.ts';
import type { Clock, SteadyClock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Wire } from '../../ports/wire.ts';
import type { Log } from '../log.ts';

const EVERY_MS = HOUR;

/** `detail` of `monitor.probed`. */
export interface Probed {
  readonly since: string;
  /** Questions, and those that nobody answered. */
  readonly asked: number;
  readonly unanswered: number;
  readonly slowestMs: number;
  readonly slowestAt: string;
  readonly slowest: string;
  /** Public URLs that were looked at in every spelling, and what was found. */
  readonly urls: readonly { readonly url: string; readonly looks: number; readonly findings: number }[];
  /** Certificates whose answer and CRL were looked at, and those that were wrong twice. */
  readonly samples: readonly { readonly issuer: string; readonly certificates: number; readonly wrong: number }[];
}

export class ProbeBook {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  #since: EpochMs;
  #asked = 0;
  #unanswered = 0;
  #slowest = { ms: 0, at: 0, what: '' };
  #urls = new Map<string, { looks: number; findings: number }>();
  #samples = new Map<string, { certificates: number; wrong: number }>();
  #timer: Timer | undefined;

  constructor(journal: Journal, clock: Clock, log: Log) {
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#since = clock.now();
  }

  /** The same wire; what goes over it is counted. */
  wire(wire: Wire, steady: SteadyClock): Wire {
    return {
      exchange: async (sent) => {
        const began = steady.steadyMs();
        this.#asked += 1;
        try {
          return await wire.exchange(sent);
        } catch (error) {
          this.#unanswered += 1;
          throw error;
        } finally {
          const ms = Math.round(steady.steadyMs() - began);
          const line = Buffer.from(sent.octets.subarray(0, 120)).toString('latin1').split('\r\n', 1)[0] ?? '';
          if (ms >= this.#slowest.ms) this.#slowest = { ms, at: this.#clock.now(), what: line };
        }
      },
    };
  }

  lookedAt(url: string, findings: number): void {
    const { looks = 0, findings: before = 0 } = this.#urls.get(url) ?? {};
    this.#urls.set(url, { looks: looks + 1, findings: before + findings });
  }

  sampled(issuer: string, certificates: number, wrong: number): void {
    const { certificates: before = 0, wrong: wrongBefore = 0 } = this.#samples.get(issuer) ?? {};
    this.#samples.set(issuer, { certificates: before + certificates, wrong: wrongBefore + wrong });
  }

  start(): void {
    this.#timer = this.#clock.after(EVERY_MS, () => void this.#write().then(() => this.start()));
  }

  /** Writes what is left. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#write();
  }

  async #write(): Promise<void> {
    if (this.#asked === 0 && this.#urls.size === 0) return;
    const detail: Probed = {
      since: rfc3339(this.#since),
      asked: this.#asked,
      unanswered: this.#unanswered,
      slowestMs: this.#slowest.ms,
      slowestAt: rfc3339(this.#slowest.at),
      slowest: this.#slowest.what,
      urls: [...this.#urls].map(([url, counts]) => ({ url, ...counts })),
      samples: [...this.#samples].map(([issuer, counts]) => ({ issuer, ...counts })),
    };
    try {
      await this.#journal.append([entryOf(detail)]);
    } catch (error) {
      // It goes on counting; the next record has it all.
      this.#log.error({ err: error }, 'what was asked for from outside could not be recorded');
      return;
    }
    this.#since = this.#clock.now();
    this.#asked = 0;
    this.#unanswered = 0;
    this.#slowest = { ms: 0, at: 0, what: '' };
    this.#urls = new Map();
    this.#samples = new Map();
  }
}

function entryOf(detail: Probed): JournalEntry {
  const findings = detail.urls.reduce((sum, { findings: of }) => sum + of, 0);
  const wrong = detail.samples.reduce((sum, { wrong: of }) => sum + of, 0);
  return {
    type: 'monitor.probed',
    actor: 'monitor',
    description: `${detail.asked} questions from outside, ${detail.unanswered} without an answer; ${findings} findings at URLs, ${wrong} wrong certificates`,
    detail: { ...detail },
  };
}
