/**
 * Several responder processes behind one public and one origin port, kept running by the first process.
 *
 * P2 here: a change is told to every process and followed by a mark; `relay` resolves when each process that may hold an answer has
 * answered the mark, or has ended. A process that does not answer in time is killed: it must neither go on serving what has
 * changed nor hold up the change. A process that has not been given the ports yet needs no waiting for: what it is told comes
 * before the ports.
 *
 *   begin → (reads what it needs) → ready → listen → serving → marks, for ever → stop → stopped
 */
import type { CrlRecord } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { Slot } from '../../core/metric.ts';
import type { ProcessTold, ProcessView } from '../../ports/processes.ts';
import type { StoreEvent } from '../../ports/store.ts';
import { eventRow, type Desk } from './desk.ts';
import { BATCH, type EventRow, type FromChild, type ToChild } from './messages.ts';
import type { SharedPort } from './port-share.ts';
import { ResponderProcess, type EndReason } from './responder-process.ts';

export interface Log {
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
  error(about: object, message: string): void;
}

export interface SupervisorOptions {
  /** The program of a responder process. */
  readonly program: URL;
  readonly env: NodeJS.ProcessEnv;
  readonly count: number;
  /** What process number `index`, from 1, is given with `begin`. */
  readonly settings: (index: number) => unknown;
  readonly ports: { readonly public: SharedPort; readonly origin: SharedPort | undefined };
  /** Undefined where each process opens a shared store itself. */
  readonly desk: Desk | undefined;
  /** What a process has counted since it last told. */
  readonly onTold: (told: ProcessTold) => void;
  /** Counts those that ended. */
  readonly ends: Readonly<Record<Exclude<EndReason, 'asked'>, Slot>>;
  readonly log: Log;
}

/** Marks, lateness and start are counted in these: where this process stood still, nobody is late. */
const TICK_MS = 500;
/** 5 s: far beyond any pause of a process that works, short enough for a revocation that waits. */
const LATE_TICKS = 10;
/** 60 s: large CRLs are read from a slow disk. */
const START_TICKS = 120;
/** A CRL of tens of MB, read and hashed in every process; then its publication is acknowledged all the same. */
const CRL_MS = 20_000;
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** Served so long, a process that ends is started again at once. */
const STEADY_TICKS = 120;

interface Place {
  readonly index: number;
  process: ResponderProcess | undefined;
  restarts: number;
  failures: number;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #places: readonly Place[];
  readonly #ticker: NodeJS.Timeout;
  #tick = 0;
  #mark = 0;
  #waiting: { readonly mark: number; readonly resolve: () => void }[] = [];
  readonly #crls = new Map<number, { readonly by: Set<ResponderProcess>; readonly resolve: () => void }>();
  #crl = 0;
  #stopping = false;
  /** Until all have served once: then one that ends fails the start. */
  #starting: { readonly resolve: () => void; readonly reject: (error: Problem) => void } | undefined;
  /** Why there is no origin listener, where one was to be. */
  noOrigin: string | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#places = Array.from({ length: options.count }, (_, i) => ({
      index: i + 1,
      process: undefined,
      restarts: 0,
      failures: 0,
    }));
    this.#ticker = setInterval(() => this.#look(), TICK_MS).unref();
  }

  /** Resolves when all of them serve. @throws Problem `config` in the words of the first that cannot; then none is left. */
  async start(): Promise<void> {
    const all = new Promise<void>((resolve, reject) => (this.#starting = { resolve, reject }));
    for (const place of this.#places) this.#fork(place);
    try {
      await all;
    } catch (error) {
      await this.stop(0);
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  get views(): readonly ProcessView[] {
    return this.#places.map(({ index, process, restarts }) => {
      const alive = process !== undefined && !process.ended;
      return {
        index,
        state: !alive ? 'waiting' : process.serving ? 'serving' : 'starting',
        pid: alive ? process.pid : undefined,
        restarts,
        told: alive ? process.told : undefined,
      };
    });
  }

  /** For Relay of the store (ports/store.ts). Never rejects. Undefined where nothing is changed that anybody may hold. */
  relay(events: readonly StoreEvent[]): Promise<void> | undefined {
    const rows: EventRow[] = [];
    const crls: Promise<void>[] = [];
    let urgent = false;
    for (const event of events) {
      if (event.type === 'crl') crls.push(this.#publishCrl(event));
      const row = eventRow(event);
      if (row !== undefined) rows.push(row);
      // What is published without a change before is a successor: it may come to be served a moment later.
      if (row !== undefined && event.type !== 'published') urgent = true;
    }
    for (let i = 0; i < rows.length; i += BATCH) this.#tellAll({ type: 'events', rows: rows.slice(i, i + BATCH) });
    if (urgent) crls.push(this.heard());
    return crls.length === 0 ? undefined : Promise.all(crls).then(() => undefined);
  }

  /** Resolves when everything that was said so far has been heard, and what was counted so far has been told. */
  heard(): Promise<void> {
    const mark = ++this.#mark;
    for (const process of this.#alive()) if (process.hears) process.mark(mark, this.#tick);
    return new Promise((resolve) => {
      this.#waiting.push({ mark, resolve });
      this.#settle();
    });
  }

  /** They say on each connection that its next reply is the last. One that is started meanwhile does not: it ends soon. */
  drain(): void {
    this.#tellAll({ type: 'drain' });
  }

  /** They answer what has arrived, within `graceMs`. Resolves when none is left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#ticker);
    // The last process that closes the port resets who is still waiting at it: that is not to be this one.
    this.#options.ports.public.release();
    const alive = [...this.#alive()];
    for (const process of alive) process.stop(graceMs);
    const until = performance.now() + graceMs + FAREWELL_MS;
    while (alive.some((process) => !process.ended)) {
      if (performance.now() > until)
        for (const process of alive) if (!process.ended) process.kill('asked', 'it does not stop');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.#settle();
  }

  *#alive(): Iterable<ResponderProcess> {
    for (const { process } of this.#places) if (process !== undefined && !process.ended) yield process;
  }

  #tellAll(message: ToChild): void {
    for (const process of this.#alive()) process.send(message);
  }

  #fork(place: Place): void {
    const { program, env, settings, onTold } = this.#options;
    const process: ResponderProcess = new ResponderProcess(program, env, this.#tick, {
      onMessage: (message) => this.#take(place, process, message),
      onMarked: () => this.#settle(),
      onTold,
      onEnd: (reason, why) => this.#ended(place, process, reason, why),
    });
    place.process = process;
    process.send({ type: 'begin', settings: settings(place.index) });
  }

  #take(place: Place, process: ResponderProcess, message: FromChild): void {
    const { ports, desk, log } = this.#options;
    if (message.type === 'ready') {
      if (this.#stopping) return;
      process.hears = true;
      const { handle, host, port } = ports.public;
      const origin = ports.origin && { host: ports.origin.host, port: ports.origin.port };
      process.send({ type: 'listen', public: { host, port, handle: handle !== undefined }, origin }, handle);
    } else if (message.type === 'serving') {
      process.serving = true;
      this.noOrigin ??= message.noOrigin;
      if (this.#starting === undefined)
        log.info({ process: place.index, pid: process.pid }, 'a responder process serves');
      else if (this.#places.every((one) => one.process?.serving === true)) this.#starting.resolve();
    } else if (message.type === 'crl-served') {
      this.#crls.get(message.id)?.by.delete(process);
      this.#settle();
    } else desk?.take(message, (reply) => process.send(reply));
  }

  #ended(place: Place, process: ResponderProcess, reason: EndReason, why: string): void {
    for (const { by } of this.#crls.values()) by.delete(process);
    this.#settle();
    if (this.#stopping || reason === 'asked') return;
    this.#options.ends[reason].value += 1;
    if (this.#starting !== undefined) {
      this.#starting.reject(new Problem('config', `a responder process cannot start: ${why}`));
      return;
    }
    place.failures = this.#tick - process.startedAtTick > STEADY_TICKS ? 1 : place.failures + 1;
    const againInMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (place.failures - 1));
    this.#options.log.error(
      { process: place.index, pid: process.pid, reason, why, againInMs },
      'a responder process has ended; it is started again',
    );
    setTimeout(() => {
      if (this.#stopping) return;
      place.restarts += 1;
      this.#fork(place);
    }, againInMs).unref();
  }

  #look(): void {
    this.#tick += 1;
    for (const process of this.#alive()) {
      if (process.hears) {
        if (process.lateTicks(this.#tick) > LATE_TICKS)
          process.kill('stalled', `it has not answered for ${(LATE_TICKS * TICK_MS) / 1000} s`);
        // Also when there is nothing to say: one that stands still is found, and its counts come in.
        else if (process.owes === Infinity) process.mark(++this.#mark, this.#tick);
      }
      if (!process.serving && this.#tick - process.startedAtTick > START_TICKS)
        process.kill('start', `it does not serve ${(START_TICKS * TICK_MS) / 1000} s after its start`);
    }
  }

  /** By name: each process reads it from the archive. */
  #publishCrl({ record }: Extract<StoreEvent, { type: 'crl' }>): Promise<void> {
    const id = ++this.#crl;
    const by = new Set([...this.#alive()].filter(({ hears }) => hears));
    this.#tellAll({ type: 'crl', id, record });
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        by.clear();
        this.#sayLate(record);
        this.#settle();
      }, CRL_MS);
      this.#crls.set(id, { by, resolve: () => (clearTimeout(late), resolve()) });
      this.#settle();
    });
  }

  #sayLate({ issuer, shard, number }: CrlRecord): void {
    this.#options.log.error(
      { issuer, shard, number: String(number) },
      `a published CRL is not served by every responder process after ${CRL_MS / 1000} s`,
    );
  }

  #settle(): void {
    let owed = Infinity;
    for (const process of this.#alive()) owed = Math.min(owed, process.owes);
    const settled = this.#waiting.filter(({ mark }) => mark < owed);
    if (settled.length > 0) this.#waiting = this.#waiting.filter(({ mark }) => mark >= owed);
    for (const { resolve } of settled) resolve();
    for (const [id, { by, resolve }] of this.#crls) {
      if (by.size > 0) continue;
      this.#crls.delete(id);
      resolve();
    }
  }
}

/** After the grace: what closing and exiting take. */
const FAREWELL_MS = 3000;
