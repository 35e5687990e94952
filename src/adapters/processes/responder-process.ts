/** One responder process, as the first process sees it: from fork to exit. Started again by supervisor.ts, as another of these. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ProcessTold } from '../../ports/processes.ts';
import type { FromChild, ToChild } from './messages.ts';

/** Why it ended: the metric label `reason`. `asked`: it was told to. */
export type EndReason = 'ended' | 'stalled' | 'start' | 'asked';

export interface ProcessEvents {
  /** Everything but `marked`, `failed` and `stopped`, which are dealt with here. */
  readonly onMessage: (message: FromChild) => void;
  readonly onMarked: () => void;
  readonly onTold: (told: ProcessTold) => void;
  /** Once. `why` in words for an operator. */
  readonly onEnd: (reason: EndReason, why: string) => void;
}

export class ResponderProcess {
  readonly #child: ChildProcess;
  readonly #events: ProcessEvents;
  /** From here on it may hold answers, and is waited for. */
  hears = false;
  serving = false;
  /** What it said last. */
  told: ProcessTold | undefined;
  readonly startedAtTick: number;
  /** Marks that it has not answered, with the tick of each. */
  #open: { readonly mark: number; readonly tick: number }[] = [];
  #reason: EndReason = 'ended';
  #why: string | undefined;
  #ended = false;

  constructor(program: URL, env: NodeJS.ProcessEnv, tick: number, events: ProcessEvents) {
    this.#events = events;
    this.startedAtTick = tick;
    this.#child = fork(fileURLToPath(program), [], {
      env,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message) => {
      try {
        this.#take(message as FromChild);
      } catch (error) {
        // Strangers talk to it: whatever has become of it must not take this process along.
        this.kill('ended', `it says what cannot be: ${(error as Error).message}`);
      }
    });
    // A channel that broke is followed by the end; a process that does not start has no other event.
    this.#child.on('error', (error) => {
      if (this.#child.pid === undefined) this.#end(`it does not start: ${error.message}`);
    });
    this.#child.once('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : signal));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The least mark that it has not answered; Infinity when it owes none. */
  get owes(): number {
    return this.hears && !this.#ended ? (this.#open[0]?.mark ?? Infinity) : Infinity;
  }

  /** How many ticks ago the oldest mark that it has not answered was sent; 0 when it owes none. */
  lateTicks(tick: number): number {
    const oldest = this.#open[0];
    return oldest === undefined ? 0 : tick - oldest.tick;
  }

  send(message: ToChild, handle?: object): void {
    if (!this.#child.connected) return;
    // What cannot be sent any more is followed by the end. No documented type fits a bound handle.
    this.#child.send(message, handle as never, () => undefined);
  }

  mark(mark: number, tick: number): void {
    this.#open.push({ mark, tick });
    this.send({ type: 'mark', mark });
  }

  /** SIGKILL: it may be stuck, and holds nothing that would need a farewell. */
  kill(reason: EndReason, why: string): void {
    this.#reason = reason;
    this.#why ??= why;
    this.#child.kill('SIGKILL');
  }

  stop(graceMs: number): void {
    this.#reason = 'asked';
    this.send({ type: 'stop', graceMs });
  }

  #take(message: FromChild): void {
    if (message.type === 'marked') {
      this.told = message.told;
      this.#events.onTold(message.told);
      this.#open = this.#open.filter(({ mark }) => mark > message.mark);
      this.#events.onMarked();
    } else if (message.type === 'stopped') {
      this.told = message.told;
      this.#events.onTold(message.told);
    } else if (message.type === 'failed') {
      this.#reason = 'start';
      this.#why = message.reason;
    } else this.#events.onMessage(message);
  }

  #end(how: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.serving = false;
    this.#events.onEnd(this.#reason, this.#why === undefined ? how : `${this.#why} (${how})`);
  }
}
