/**
 * A copy of the embedded store for a backup, made by the process that has it open. Whoever asked takes the directory away; it is the store
 * as of one moment, and the journal that is copied afterwards is ahead of it (a ledger ahead of its journal is refused at start).
 */
import { Problem } from '../../core/problem.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { StoreCopies } from '../../ports/store.ts';
import type { Log } from '../log.ts';
import { Pace } from '../pace.ts';

/** Of the process's time: serving goes first. */
const SHARE = 0.25;

export interface StoreCopy {
  readonly id: number;
  readonly actor: string;
  readonly state: 'running' | 'done' | 'failed';
  /** Where it is, on the machine of the service. */
  readonly directory: string;
  readonly entries: number;
  readonly appliedSeq: number | undefined;
  readonly why: string | undefined;
}

export interface StoreCopyParts {
  readonly copies: StoreCopies;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  /** A directory that is not there yet, for the copy with this number. */
  readonly place: (id: number) => string;
}

export class StoreCopying {
  readonly #parts: StoreCopyParts;
  #last: StoreCopy | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: StoreCopyParts) {
    this.#parts = parts;
  }

  get last(): StoreCopy | undefined {
    return this.#last;
  }

  /** @throws Problem `conflict` while one is under way. */
  begin(actor: string): StoreCopy {
    const { copies, clock, log, place } = this.#parts;
    if (this.#last?.state === 'running')
      throw new Problem('conflict', `${this.#last.actor} is taking a backup`, { field: 'backup' });
    const id = (this.#last?.id ?? 0) + 1;
    const directory = place(id);
    const about = { id, actor, directory, appliedSeq: undefined, why: undefined };
    this.#last = { ...about, state: 'running', entries: 0 };
    const pace = new Pace(clock, SHARE);
    const breathe = async (entries: number): Promise<void> => {
      if (this.#stopped) throw new Problem('unavailable', 'the service stops');
      this.#last = { ...about, state: 'running', entries };
      await pace.breathe();
    };
    this.#running = copies.copyTo(directory, breathe).then(
      (done) => void (this.#last = { ...about, ...done, state: 'done' }),
      (error: unknown) => {
        log.error({ err: error }, 'the store could not be copied for a backup');
        this.#last = { ...about, state: 'failed', entries: 0, why: (error as Error).message };
      },
    );
    return this.#last;
  }

  /** What somebody has done with a backup becomes evidence (CT-5.7.1.1-a, SR-5.4.5). */
  async note(actor: string, type: 'backup.taken' | 'backup.drilled', detail: object): Promise<void> {
    const description = type === 'backup.taken' ? 'a backup was taken' : 'a backup was restored and served, as a drill';
    await this.#parts.journal.append([{ type, actor, description, detail: { ...detail } }]);
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}
