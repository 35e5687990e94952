/**
 * Notices that files were put in place by somebody else: an ACME client, a secret that Kubernetes swaps. By looking, because what
 * announces changes (inotify) sees neither a link that leads elsewhere nor a network file system.
 */
import { statSync } from 'node:fs';
import { SECOND } from '../core/time.ts';
import type { Clock, Timer } from '../ports/clock.ts';

/** Between two looks. What was changed is used after two at most. */
export const LOOK_MS = 20 * SECOND;

export class FileWatch {
  readonly #clock: Clock;
  readonly #files: () => readonly string[];
  readonly #changed: () => void;
  /** As the files were when they were last read. */
  #read: string;
  #last: string;
  #timer: Timer | undefined;

  /** @param changed called once for each change, when it is over: certificate and key are rarely written in one instant. */
  constructor(clock: Clock, files: () => readonly string[], changed: () => void) {
    this.#clock = clock;
    this.#files = files;
    this.#changed = changed;
    this.#read = this.#last = this.#seen();
  }

  start(): void {
    this.#timer = this.#clock.after(LOOK_MS, () => {
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** To be called before they are read for another reason. */
  note(): void {
    this.#read = this.#last = this.#seen();
  }

  #look(): void {
    const seen = this.#seen();
    const settled = seen === this.#last;
    this.#last = seen;
    if (!settled || seen === this.#read) return;
    this.#read = seen;
    this.#changed();
  }

  #seen(): string {
    return JSON.stringify(this.#files().map(stateOf));
  }
}

/** Links are followed. */
function stateOf(file: string): readonly (string | number)[] {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file);
    return [file, dev, ino, size, mtimeMs, ctimeMs];
  } catch (error) {
    return [file, (error as NodeJS.ErrnoException).code ?? ''];
  }
}
