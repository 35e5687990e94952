/**
 * Who may be looked up in the store. A certificate that is not in the table costs a read; a flood of serials that nobody issued
 * would turn into a flood of reads, and no answer of it could ever be kept. So look-ups that find nothing have a budget:
 *
 *     probably issued (SerialFilter)         looked up at once
 *     found unissued a moment ago            `unauthorized` from memory, once half of the budget is spent
 *     anything else                          looked up while there is budget; then tryLater, which no cache keeps
 *     more under way than the store answers  tryLater
 *
 * Only what finds nothing is paid for: certificates that exist cost nothing, however many are asked for. What the filter takes for
 * issued and is not, a few in a hundred, may overdraw the budget by one second of it.
 * The filter is filled from the ledger after the start, and after every gap in the feed; what is recorded meanwhile the feed tells
 * at once, so a certificate that was just issued is never behind a flood (CT-4.9.10-e). It decides who comes first, never what is
 * answered: P3 rests on the look-up alone.
 */
import { SerialFilter } from '../../core/serial-filter.ts';
import type { IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ChangeFeed, IssuedSerials } from '../../ports/store.ts';
import type { Log } from '../log.ts';
import type { LookupMetrics } from '../metrics.ts';

export interface MissBudgetParts {
  readonly issuers: readonly IssuerTag[];
  readonly store: ChangeFeed & IssuedSerials;
  /** Look-ups a second that may find nothing; as many at once after a quiet second. */
  readonly perSecond: number;
  /** For the filter; 32 bits at random. */
  readonly seed: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: LookupMetrics;
}

/** A look-up that may be made. To be settled exactly once. */
export interface Admitted {
  settle(result: 'found' | 'never-issued' | 'failed'): void;
}

/** Bounds what waits for the store: beyond it a client gets tryLater at once, not after the store's time-out. */
const MAX_UNDER_WAY = 4096;
/** Serials found unissued that are remembered: about 2 MB. */
const MAX_REMEMBERED = 16_384;
/** How long, should the feed be late in telling that one was issued after all. */
const REMEMBERED_MS = SECOND;
/** Between two pages of the ledger: reading it takes a small part of the process. */
const PAUSE_MS = 5;
/** Between two readings of the whole ledger, and after one that failed. */
const READ_AGAIN_MS = 30 * SECOND;

export class MissBudget {
  readonly #parts: MissBudgetParts;
  readonly #issued: SerialFilter;
  /** Until when each may be answered from memory, the oldest first. */
  readonly #unissued = new Map<string, EpochMs>();
  #tokens: number;
  #filledAt: EpochMs;
  #underWay = 0;
  /** Of these, those that are not probably issued. */
  #unsure = 0;
  /** Counts what the feed told: a look-up that it overtook is not remembered. */
  #recorded = 0;
  #reading = false;
  #mustRead = false;
  #stopped = false;

  constructor(parts: MissBudgetParts) {
    const { store, perSecond, clock, seed } = parts;
    this.#parts = parts;
    this.#issued = new SerialFilter(seed);
    this.#tokens = perSecond;
    this.#filledAt = clock.now();
    store.follow((event) => {
      if (event.type === 'recorded') this.#isIssued(event.change.certificate.issuer, event.change.certificate.serial);
      else if (event.type === 'answered') this.#isIssued(event.issuer, event.serial);
      else if (event.type === 'gap') {
        this.#recorded += 1;
        this.#unissued.clear();
        this.#readLedger();
      }
    });
  }

  /** Begins to learn what was issued. Until it knows, everybody shares the budget. */
  start(): void {
    this.#readLedger();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Serials that are known to be issued, and the memory they take, in octets. */
  get known(): { readonly count: number; readonly bytes: number } {
    return this.#issued;
  }

  /** `never-issued`: it was looked up a moment ago. `try-later`: it may not be looked up now. */
  admit(issuer: IssuerTag, serial: Serial): Admitted | 'never-issued' | 'try-later' {
    const { metrics, perSecond } = this.#parts;
    if (this.#underWay >= MAX_UNDER_WAY) {
      metrics.count('crowded');
      return 'try-later';
    }
    this.#fill();
    const probable = this.#issued.has(issuer, serial);
    const left = probable ? this.#tokens + perSecond : this.#tokens - this.#unsure;
    if (!probable && left < perSecond / 2 && this.#remembers(issuer + serial)) {
      metrics.count('remembered');
      return 'never-issued';
    }
    if (left < 1) {
      metrics.count('refused');
      return 'try-later';
    }
    return this.#admitted(issuer, serial, probable ? 0 : 1);
  }

  /** @param unsure 1 for one that will probably have to be paid for. */
  #admitted(issuer: IssuerTag, serial: Serial, unsure: 0 | 1): Admitted {
    const recorded = this.#recorded;
    this.#unsure += unsure;
    this.#underWay += 1;
    return {
      settle: (result) => {
        this.#unsure -= unsure;
        this.#underWay -= 1;
        this.#parts.metrics.count(result);
        if (result === 'found') this.#issued.add(issuer, serial);
        else if (result === 'never-issued') {
          this.#tokens -= 1;
          if (recorded === this.#recorded) this.#remember(issuer + serial);
        }
      },
    };
  }

  #fill(): void {
    const { perSecond, clock } = this.#parts;
    const now = clock.now();
    // A clock that was set back fills nothing; one that was set forward fills it once.
    const filled = Math.max(0, now - this.#filledAt) * (perSecond / SECOND);
    this.#filledAt = now;
    this.#tokens = Math.min(perSecond, this.#tokens + filled);
  }

  #remembers(key: string): boolean {
    const until = this.#unissued.get(key);
    const now = this.#parts.clock.now();
    return until !== undefined && now < until && now >= until - REMEMBERED_MS;
  }

  #remember(key: string): void {
    this.#unissued.delete(key);
    this.#unissued.set(key, this.#parts.clock.now() + REMEMBERED_MS);
    if (this.#unissued.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#unissued.keys()) {
      this.#unissued.delete(oldest);
      break;
    }
  }

  #isIssued(issuer: IssuerTag, serial: Serial): void {
    this.#recorded += 1;
    this.#issued.add(issuer, serial);
    this.#unissued.delete(issuer + serial);
  }

  #readLedger(): void {
    this.#mustRead = true;
    if (this.#reading || this.#stopped) return;
    this.#reading = true;
    void this.#readAll().finally(() => {
      this.#parts.clock.after(READ_AGAIN_MS, () => {
        this.#reading = false;
        if (this.#mustRead) this.#readLedger();
      });
    });
  }

  async #readAll(): Promise<void> {
    const { issuers, store, clock, log } = this.#parts;
    this.#mustRead = false;
    try {
      for (const issuer of issuers) {
        for await (const serials of store.serials(issuer)) {
          for (const serial of serials) this.#issued.add(issuer, serial);
          if (this.#stopped) return;
          await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
        }
      }
    } catch (error) {
      // A store that cannot be relied on is said by the gauges; when it is back it tells a gap.
      log.debug({ err: error }, 'what was issued could not be read: look-ups share their budget until it can');
      this.#mustRead = true;
    }
  }
}
