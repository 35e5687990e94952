/**
 * Large replies, as CRLs of megabytes. The library would keep a copy of what the kernel does not take for each reader; here every reader
 * is given the next piece of the one body in its turn (core/reply.ts), and whoever takes too long is let go.
 */
import type { LargeReply, Transfer } from '../../core/reply.ts';
import { LEAST_OCTETS_PER_SECOND, LONGEST_REPLY_MS } from '../../ports/front.ts';
import type { UwsResponse } from './uws.ts';

export class LargeReplies {
  readonly #pending = new Set<Download>();
  readonly #tooSlow: () => void;
  readonly #stalledMs: number;
  #sweeper: NodeJS.Timeout | undefined;

  /** @param tooSlow told of each reader that is let go. */
  constructor(tooSlow: () => void, stalledMs: number) {
    this.#tooSlow = tooSlow;
    this.#stalledMs = stalledMs;
  }

  /** Status and fields are written. Calls `done` when the reply is out, or will never be. */
  send(response: UwsResponse, reply: LargeReply, close: boolean, done: () => void): void {
    const cut = (): void => {
      this.#tooSlow();
      // Aborts it, which settles it.
      response.close();
    };
    const download = new Download(response, reply.body, close, reply.begin(cut), cut, () => {
      this.#pending.delete(download);
      done();
    });
    this.#pending.add(download);
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    download.start();
  }

  /** Readers that have not everything yet. */
  get size(): number {
    return this.#pending.size;
  }

  #sweep(): void {
    const now = performance.now();
    for (const download of this.#pending) download.look(now, this.#stalledMs);
    if (this.#pending.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

class Download {
  readonly #response: UwsResponse;
  readonly #body: Buffer;
  readonly #close: boolean;
  readonly #transfer: Transfer;
  readonly #cut: () => void;
  readonly #settled: () => void;
  readonly #until: number;
  /** Octets that the kernel has taken, and when it took the last ones. */
  #at = 0;
  #takenAt = performance.now();
  /** The kernel takes nothing more for now. */
  #full = false;
  #open = true;

  constructor(
    response: UwsResponse,
    body: Buffer,
    close: boolean,
    transfer: Transfer,
    cut: () => void,
    settled: () => void,
  ) {
    this.#response = response;
    this.#body = body;
    this.#close = close;
    this.#transfer = transfer;
    this.#cut = cut;
    this.#settled = settled;
    const mayTakeMs = Math.min((body.length / LEAST_OCTETS_PER_SECOND) * 1000, LONGEST_REPLY_MS);
    this.#until = this.#takenAt + WRITE_MS + mayTakeMs;
  }

  start(): void {
    this.#response.onAborted(() => this.#settle());
    this.#response.onWritable((offset) => {
      this.#taken(offset);
      if (this.#full) this.#ask();
      this.#full = false;
      return true;
    });
    this.#ask();
  }

  look(now: number, stalledMs: number): void {
    if (now > this.#until || now > this.#takenAt + stalledMs) this.#cut();
    // 10 s after a piece that did not go out whole the library ends the connection, unless there was another one. A reader that
    // takes some kilobytes a second lets the kernel ask for more less often than that.
    else if (this.#full && now > this.#takenAt + SWEEP_MS) this.#give(ALIVE_OCTETS);
  }

  #ask(): void {
    this.#transfer.turn((octets) => this.#give(octets));
  }

  #give(octets: number): void {
    this.#response.cork(() => {
      const wasFull = this.#full;
      const piece = this.#body.subarray(this.#at, this.#at + octets);
      const [ok, all] = this.#response.tryEnd(piece, this.#body.length, this.#close);
      if (all) return this.#settle();
      this.#taken(this.#response.getWriteOffset());
      this.#full = !ok;
      if (ok || (wasFull && !this.#full)) this.#ask();
    });
  }

  #taken(offset: number): void {
    if (offset > this.#at) this.#takenAt = performance.now();
    this.#at = offset;
  }

  #settle(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#transfer.end();
    this.#settled();
  }
}

/** The same as at the public listener, for a reader that takes nothing from the start. */
const WRITE_MS = 20_000;
const SWEEP_MS = 1000;
/** Enough to be tried, little enough to be given out of turn. */
const ALIVE_OCTETS = 4096;
