/**
 * Intake's watch over a shared ledger: whenever the store is new, was restarted, failed over or emptied, everything that this
 * process's journal holds is brought in again, and then this process vouches for it. Until every intake has, nothing of the store
 * is relied on by anybody (ports/store.ts, Reliance): a forgetful store makes answers late, never wrong (P1, P2, P3).
 *
 * Also once after each start, whatever the store says of itself: the process may have died between journal and ledger.
 *
 *  1. replay   the journal from the last record that the store knows of. A crash: begun again at the next look.
 *  2. vouch    only after the whole replay. Whatever is acknowledged meanwhile waits for it, because the recorder replays
 *              between two groups.
 */
import { SECOND } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Ledger, Reliance } from '../ports/store.ts';
import type { Log } from './log.ts';
import type { Recorder } from './record.ts';

/** From losing its memory to being repaired: this and the replay. */
const LOOK_MS = SECOND / 4;

export class LedgerKeeper {
  readonly #recorder: Recorder;
  readonly #store: Ledger & Reliance;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;
  #replayed = false;
  /** Said once per outage. */
  #complained = false;

  constructor(recorder: Recorder, store: Ledger & Reliance, clock: Clock, log: Log) {
    this.#recorder = recorder;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    this.#looking = this.#look().finally(() => {
      if (!this.#stopped) this.#timer = this.#clock.after(LOOK_MS, () => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { mustVouch } = this.#store;
    if (this.#replayed && !mustVouch) return;
    try {
      const records = await this.#recorder.recover();
      if (mustVouch) await this.#store.vouch();
      this.#replayed = true;
      this.#complained = false;
      if (mustVouch || records > 0)
        this.#log.warn(
          { records },
          'the ledger was behind this journal, or its server is another one: brought up to date',
        );
    } catch (error) {
      if (!this.#complained) this.#log.error({ err: error }, 'the ledger cannot be brought up to date; trying again');
      this.#complained = true;
    }
  }
}
