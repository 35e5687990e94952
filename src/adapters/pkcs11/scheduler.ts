/**
 * Who signs next. Calls of all keys of a token wait in a queue per priority; sessions take from the urgent one first, in chunks that take
 * a session about 5 ms, so that an urgent signature waits for no more than what the sessions have at that moment: two
 * chunks each, one being signed and one that keeps the session busy meanwhile.
 *
 * A call ends in one of four ways: every item has its result; the token says the key is not there or not ours; the host is
 * gone; it waited too long. Nothing waits for a host that is gone: whoever has another holder tries that one now.
 */
import { Problem } from '../../core/problem.ts';
import { PRIORITIES, type KeyUse, type SignPriority, type SignResult, type SlotMeter } from '../../ports/key-holder.ts';
import { isLost } from './ckr.ts';
import type { Lane, LaneKey } from './host-link.ts';
import { type ChunkAnswer, MAX_ITEMS } from './wire.ts';

/** How many deadlines a call may wait behind others. */
const MAX_WAIT = 6;

export interface ScheduledKey extends LaneKey {
  /** Made of what the token gives; undefined when it is no signature. */
  finish(raw: Buffer): Buffer | undefined;
  readonly use: KeyUse;
  /** Microseconds of one signature; a guess until the first is measured. */
  microseconds: number;
  /** The token has the key and signs with it. */
  proven(): void;
  /** It is not there, or does not belong to the public key. */
  troubled(status: 'key-missing' | 'key-wrong', reason: string): void;
}

interface Job {
  readonly key: ScheduledKey;
  readonly priority: SignPriority;
  /** Packed. */
  readonly inputs: Buffer;
  readonly count: number;
  /** Monotonic: when it was handed over. */
  readonly since: number;
  /** First item that no session has got. */
  next: number;
  /** Items without result. */
  left: number;
  readonly results: SignResult[];
  /** The first reason for which an item found no holder. */
  unavailable: Problem | undefined;
  /** Items that failed for it. */
  unavailableItems: number;
  readonly resolve: (results: readonly SignResult[]) => void;
  readonly reject: (problem: Problem) => void;
  readonly tooLate: NodeJS.Timeout;
}

/** Consecutive items of one job within a chunk. */
interface Part {
  readonly job: Job;
  readonly from: number;
  readonly count: number;
}

interface Place {
  readonly lane: Lane;
  underWay: number;
}

export class Scheduler {
  readonly #deadlineMs: number;
  readonly #lost: (reason: string) => void;
  readonly #meter: SlotMeter | undefined;
  readonly #queues: Record<SignPriority, Job[]> = { urgent: [], live: [], bulk: [] };
  /** Jobs that have not settled. */
  readonly #jobs = new Set<Job>();
  #places: Place[] = [];

  /**
   * @param deadlineMs for each chunk; the host that misses it is reported as lost.
   * @param lost told when the token as a whole does not sign any more.
   */
  constructor(deadlineMs: number, lost: (reason: string) => void, meter?: SlotMeter) {
    this.#meter = meter;
    this.#deadlineMs = deadlineMs;
    this.#lost = lost;
  }

  /** Work may go to these. */
  attach(lanes: readonly Lane[]): void {
    this.#places = lanes.map((lane) => ({ lane, underWay: 0 }));
    this.#countSessions();
    this.#pump();
  }

  /** The host is gone or will be: everything that waits or is under way fails with this. */
  detach(problem: Problem): void {
    this.#places = [];
    this.#countSessions();
    for (const job of [...this.#jobs]) this.#abandon(job, problem);
  }

  /** Ends the work of one key. */
  drop(key: ScheduledKey, problem: Problem): void {
    for (const job of [...this.#jobs]) if (job.key === key) this.#abandon(job, problem);
  }

  /**
   * Only while lanes are attached.
   * @param inputs packed, `count` > 0 of key.inputOctets.
   */
  sign(key: ScheduledKey, inputs: Buffer, count: number, priority: SignPriority): Promise<readonly SignResult[]> {
    return new Promise((resolve, reject) => {
      const waitMs = MAX_WAIT * this.#deadlineMs;
      const tooLate = setTimeout(
        () => this.#abandon(job, new Problem('unavailable', `the token has been busy for ${waitMs} ms`)),
        waitMs,
      );
      const job: Job = {
        key,
        priority,
        inputs,
        count,
        since: performance.now(),
        next: 0,
        left: count,
        results: [],
        unavailable: undefined,
        unavailableItems: 0,
        resolve,
        reject,
        tooLate,
      };
      this.#jobs.add(job);
      this.#queues[priority].push(job);
      this.#pump();
    });
  }

  /** Has the token look for the key and prove it; settles when that is done, or cannot be done. */
  async probe(key: ScheduledKey): Promise<void> {
    const [place] = this.#places;
    if (place !== undefined) await this.#run(place, key, []);
  }

  #pump(): void {
    for (;;) {
      const queue = this.#queues[PRIORITIES.find((priority) => this.#queues[priority].length > 0) ?? 'bulk'];
      const [first] = queue;
      if (first === undefined) return;
      let free: Place | undefined;
      for (const place of this.#places) {
        if (place.underWay < place.lane.depth && place.underWay < (free?.underWay ?? Infinity)) free = place;
      }
      if (free === undefined) return;
      void this.#run(free, first.key, this.#cut(queue, first.key, free.lane.chunkUs));
    }
  }

  /** Takes the next chunk from the head of the queue: items of one key, of several calls if need be. */
  #cut(queue: Job[], key: ScheduledKey, chunkUs: number): Part[] {
    // Everybody gets a share: sixteen signatures are made by two sessions, eight each.
    const waiting = queue.reduce((sum, job) => sum + (job.key === key ? job.count - job.next : 0), 0);
    const share = Math.ceil(Math.max(waiting, queue[0]?.count ?? 0) / this.#places.length);
    let room = Math.min(share, MAX_ITEMS, Math.max(1, Math.round(chunkUs / key.microseconds)));
    const parts: Part[] = [];
    for (let [job] = queue; room > 0 && job !== undefined && job.key === key; [job] = queue) {
      const count = Math.min(room, job.count - job.next);
      if (job.next === 0) this.#meter?.waited(performance.now() - job.since);
      parts.push({ job, from: job.next, count });
      job.next += count;
      room -= count;
      if (job.next === job.count) queue.shift();
    }
    return parts;
  }

  async #run(place: Place, key: ScheduledKey, parts: readonly Part[]): Promise<void> {
    place.underWay++;
    const count = parts.reduce((sum, part) => sum + part.count, 0);
    const inputs = parts.map(({ job, from, count }) =>
      job.inputs.subarray(from * key.inputOctets, (from + count) * key.inputOctets),
    );
    // A thread in a module that hangs cannot be freed: whoever hears of it ends its process.
    const stuck = setTimeout(
      () => this.#lost(`the token did not sign within ${this.#deadlineMs} ms`),
      this.#deadlineMs,
    );
    try {
      const answer = await place.lane.sign(key, inputs, count);
      clearTimeout(stuck);
      if (this.#places.includes(place)) this.#take(answer, key, parts);
    } catch (error) {
      clearTimeout(stuck);
      const problem = error instanceof Problem ? error : new Problem('unavailable', (error as Error).message);
      this.#failParts(parts, problem);
    }
    place.underWay--;
    this.#pump();
  }

  #take(answer: ChunkAnswer, key: ScheduledKey, parts: readonly Part[]): void {
    const { status, failure } = answer;
    if (status !== 'answer') {
      const text = failure?.text ?? '';
      this.#failParts(parts, new Problem('unavailable', text));
      // key.troubled() may find that it is the token that is lost.
      if (status === 'token-failed') this.#lost(`the token does not sign: ${text}`);
      else key.troubled(status, text);
      return;
    }
    let at = 0;
    let signed = 0;
    let gone: string | undefined;
    for (const { job, from, count } of parts) {
      for (let i = from; i < from + count; i++) {
        const item = answer.items[at++];
        if (Buffer.isBuffer(item)) {
          const signature = key.finish(item);
          signed++;
          if (signature !== undefined) this.#settle(job, i, { ok: true, signature });
          else this.#settle(job, i, { ok: false, error: new Problem('refused', 'the token gave no signature') });
        } else if (item === undefined || isLost(item.code)) {
          gone = `the token does not sign: ${item?.text ?? 'answers are missing'}`;
          this.#settle(job, i, { ok: false, error: new Problem('unavailable', gone) });
        } else {
          const error = new Problem('refused', `the token refuses to sign this: ${item.text}`);
          this.#settle(job, i, { ok: false, error });
        }
      }
    }
    this.#meter?.busy(answer.microseconds / 1000);
    this.#meter?.signed(key.use, signed);
    if (signed > 0) key.microseconds += (answer.microseconds / signed - key.microseconds) / 4;
    if (gone === undefined) key.proven();
    else this.#lost(gone);
  }

  #countSessions(): void {
    if (this.#meter !== undefined) this.#meter.sessions = this.#places.length;
  }

  #failParts(parts: readonly Part[], error: Problem): void {
    for (const { job, from, count } of parts) {
      for (let i = from; i < from + count; i++) this.#settle(job, i, { ok: false, error });
    }
  }

  #settle(job: Job, index: number, result: SignResult): void {
    if (!this.#jobs.has(job) || job.results[index] !== undefined) return;
    job.results[index] = result;
    job.left--;
    if (!result.ok) this.#meter?.failed(1);
    if (!result.ok && result.error instanceof Problem && result.error.code === 'unavailable') {
      job.unavailable ??= result.error;
      job.unavailableItems++;
    }
    if (job.left > 0) return;
    this.#jobs.delete(job);
    clearTimeout(job.tooLate);
    // Nothing of it reached the key: that is the holder, not the items.
    if (job.unavailable !== undefined && job.unavailableItems === job.count) job.reject(job.unavailable);
    else job.resolve(job.results);
  }

  #abandon(job: Job, problem: Problem): void {
    const queue = this.#queues[job.priority];
    const at = queue.indexOf(job);
    if (at !== -1) queue.splice(at, 1);
    for (let i = 0; i < job.count; i++) this.#settle(job, i, { ok: false, error: problem });
  }
}
