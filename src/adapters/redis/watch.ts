/**
 * What a process knows of one issuer's ledger in Redis, looked at twenty times a second: whether it may be relied on, what its
 * change feed says, and what the gauges show.
 *
 * Relied on is one instance of the ledger (lua/common.lua) and only while every intake has vouched for it. That is known from the
 * last look, so what is read may be as much older than the truth as a look is; a lost connection, or a look that does not come,
 * ends it until the next look. Who finds nothing looks again before saying so (P1, P3).
 *
 * Failure ladder of a look:
 *   no reply, or an error        → not relied on; looked at again after POLL_MS, for ever
 *   another reign or epoch       → not relied on until the intakes have vouched; then `gap`, and the feed goes on from its end
 *   entries missing in the feed  → `gap`, and the feed goes on from its end
 *   a CRL                        → told when it has been fetched, beside the feed (crl-follower.ts)
 */
import { Problem } from '../../core/problem.ts';
import type { CrlRecord, IssuerTag } from '../../core/certificate.ts';
import { SECOND } from '../../core/time.ts';
import type { StoreEvent } from '../../ports/store.ts';
import { decodeEvents } from './feed.ts';
import { Gauges } from './gauges.ts';
import { RoundTrips } from './health.ts';
import { Keys, LAYOUT_VERSION } from './keys.ts';
import { run, scripts, type Connection, type Returned } from './scripts.ts';

const POLL_MS = 40;
/** Entries per look: what is left is read at once. */
const ENTRIES = 64;
/** A look that is not older needs no other before something is read. The loop of a busy process is late now and then. */
const FRESH_MS = 500;
/** Without a look for so long, it is said that Redis does not answer. */
const STALE_MS = 3 * SECOND;
const BEAT_MS = SECOND;
/** An older sign of life proves nothing: three were missed. */
const LIVELY_MS = 3 * SECOND;
const GAUGES_MS = SECOND;
/** After own changes: soon, but a busy process does not spend itself on looking. */
const SOON_MS = 10;
const GAUGES_SOON_MS = 100;

/** What the adapter needs of the process's log. */
export interface Log {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface WatchParts {
  readonly redis: Connection;
  /** Of this process. */
  readonly name: string;
  readonly journals: boolean;
  /** Does it give signs of life? A reader's own would only prove to it that it reaches some server (P2). */
  readonly beats: boolean;
  /** Every one of these must have vouched. */
  readonly intakes: readonly string[];
  readonly log: Log | undefined;
  readonly tell: (event: StoreEvent) => void;
  /** The feed has told of a CRL. */
  readonly published: (record: CrlRecord) => void;
}

/** One look. */
interface Seen {
  /** Of the server (lua/common.lua). */
  readonly reign: string;
  /** Empty: there is no ledger. */
  readonly epoch: string;
  readonly instance: string;
  readonly buckets: number;
  readonly layout: string;
  /** The ledger's count of recorded changes. */
  readonly seq: number;
  /** Number of the last feed entry. */
  readonly feed: number;
  /** The last record of this process's journal that is in. */
  readonly applied: number;
  /** Less is in than this process knows to have brought in: writes were lost. */
  readonly behind: boolean;
  /** Intakes that have not vouched for this instance. */
  readonly missing: readonly string[];
  readonly vouched: boolean;
  readonly beatAgeMs: number;
  readonly entries: readonly Returned[];
}

/** The ledger as it may be relied on now. */
export interface Trusted {
  readonly instance: string;
  readonly buckets: number;
  readonly seq: number;
}

export class IssuerWatch {
  readonly issuer: IssuerTag;
  readonly keys: Keys;
  readonly gauges = new Gauges();
  readonly roundTrips = new RoundTrips();
  /** How much this process's clock is ahead of the server's, give or take half a round trip. */
  aheadMs: number | undefined;
  readonly #parts: WatchParts;
  #seen: Seen | undefined;
  /** Monotonic: when the last look that was answered had been sent. -Infinity: nothing is known. */
  #seenAt = -Infinity;
  /** Looks sent, and the newest of those that were answered. */
  #sent = 0;
  #newest = 0;
  #trouble: string | undefined;
  #confirming: Promise<void> | undefined;
  /** The last journal record of this process that changed this issuer; the watch says when the server has forgotten it. */
  #touched = 0;
  /** Monotonic: the last look at the feed that left nothing to read. */
  #caughtUpAt = performance.now();
  /** Monotonic. */
  #livelyAt = performance.now();
  #beatAt = -Infinity;
  #mayBeat: boolean;
  #gaugesAt = -Infinity;
  /** The instance whose feed is followed, and the last entry that was told. */
  #followed: string | undefined;
  #told = 0;
  #following: Promise<unknown> = Promise.resolve();
  #wake: (() => void) | undefined;
  /** By this process, since the last look of the loop; and since the gauges were read. */
  #changed = false;
  #gaugesChanged = false;
  #closed = false;
  #running: Promise<void> | undefined;

  constructor(issuer: IssuerTag, parts: WatchParts) {
    this.issuer = issuer;
    this.keys = new Keys(issuer);
    this.#parts = parts;
    this.#mayBeat = parts.beats;
  }

  /** Begins to follow. @throws Problem `unavailable` when Redis does not answer. */
  async start(): Promise<void> {
    await this.#look(0);
    if (this.#reliable() !== undefined) {
      this.#followed = this.#seen?.instance;
      this.#told = this.#seen?.feed ?? 0;
    }
    await this.#readGauges();
    this.#running = this.#loop();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#running;
  }

  /** The connection is gone, or another server may be at its end. */
  lost(): void {
    this.#seenAt = -Infinity;
    this.wake();
  }

  /** Looks at once: this process has changed something. */
  wake(): void {
    this.#changed = true;
    this.#wake?.();
  }

  get failure(): string | undefined {
    if (this.#closed) return 'the store is closed';
    if (this.#seen === undefined || performance.now() - this.#seenAt > STALE_MS)
      return `Redis does not answer${this.#trouble === undefined ? '' : `: ${this.#trouble}`}`;
    const { epoch, layout, missing } = this.#seen;
    if (epoch !== '' && layout !== LAYOUT_VERSION)
      return `the ledger has layout ${layout}; this version reads layout ${LAYOUT_VERSION}: start the version that wrote it`;
    if (missing.length > 0) return `waiting for ${missing.join(', ')} to vouch for the ledger`;
    // No intake is named: then nobody could say that the ledger is complete.
    if (epoch === '') return 'there is no ledger yet';
    return undefined;
  }

  get mustVouch(): boolean {
    if (!this.#parts.journals || this.#seen === undefined) return false;
    return this.#seen.epoch === '' || !this.#seen.vouched || this.#seen.behind;
  }

  silentMs(): number {
    return performance.now() - this.#livelyAt;
  }

  /** For how long no look has seen the end of the feed. */
  lagMs(): number {
    return performance.now() - this.#caughtUpAt;
  }

  get touched(): number {
    return this.#touched;
  }

  touch(seq: number): void {
    this.#touched = Math.max(this.#touched, seq);
  }

  /** What the last look saw, relied on or not; for the replay. */
  get seen(): { readonly instance: string; readonly applied: number; readonly buckets: number } {
    const { instance = '', applied = 0, buckets = 0 } = this.#seen ?? {};
    return { instance, applied, buckets };
  }

  /** From memory while the last look is fresh, else after another. @throws Problem `unavailable` */
  async trusted(): Promise<Trusted> {
    if (performance.now() - this.#seenAt > FRESH_MS) await this.confirm();
    return this.#trustedNow();
  }

  /**
   * Looks again. Resolves with the ledger as it is now; then what was read before, from the same instance, was in it.
   * @throws Problem `unavailable`
   */
  async confirmed(): Promise<Trusted> {
    await this.confirm();
    return this.#trustedNow();
  }

  /** A look that is sent after this call; shared by all who ask in one turn. @throws Problem `unavailable` */
  confirm(): Promise<void> {
    this.#confirming ??= Promise.resolve().then(() => {
      this.#confirming = undefined;
      return this.#look(0).then(() => undefined);
    });
    return this.#confirming;
  }

  /** From memory: the instance that is relied on at this moment. */
  get instance(): string | undefined {
    return this.#reliable()?.instance;
  }

  #reliable(): Trusted | undefined {
    return this.failure === undefined ? this.#seen : undefined;
  }

  #trustedNow(): Trusted {
    const seen = this.#reliable();
    if (seen === undefined) throw new Problem('unavailable', this.failure as string, { rule: 'P1' });
    return seen;
  }

  async #look(entries: number): Promise<Seen> {
    const sentAt = performance.now();
    const order = ++this.#sent;
    const touched = this.#touched;
    const { redis, name, intakes, journals } = this.#parts;
    let returned: Returned;
    try {
      if (this.#closed) throw new Error('the store is closed');
      returned = await run(redis, scripts.poll, this.keys.meta, [name, this.#told, entries]);
    } catch (error) {
      this.#trouble = (error as Error).message;
      this.#seenAt = -Infinity;
      throw unavailable(error);
    }
    const [reign, epoch, buckets, layout, seq, feed, applied, serverMs, beat] = (returned as readonly Buffer[])
      .slice(0, 9)
      .map(String) as [string, string, string, string, string, string, string, string, string];
    const trust = pairs((returned as Returned[])[9] as readonly Buffer[]);
    const seen: Seen = {
      reign,
      epoch,
      instance: reign + epoch,
      buckets: Number(buckets),
      layout,
      seq: Number(seq),
      feed: Number(feed),
      applied: Number(applied),
      behind: Number(applied) < touched,
      missing: intakes.filter((intake) => trust.get(intake) !== reign),
      vouched: !journals || trust.get(name) === reign,
      beatAgeMs: beat === '' ? Infinity : Number(serverMs) - Number(beat),
      entries: (returned as Returned[])[10] as readonly Returned[],
    };
    // Replies of two looks may overtake each other in a Cluster; the later question has the later answer.
    if (order < this.#newest) return seen;
    this.#newest = order;
    const tookMs = performance.now() - sentAt;
    this.roundTrips.took(tookMs, sentAt);
    this.aheadMs = Date.now() - tookMs / 2 - Number(serverMs);
    this.#trouble = undefined;
    this.#seenAt = sentAt;
    this.#seen = seen;
    if (seen.beatAgeMs < LIVELY_MS) this.#livelyAt = sentAt;
    return seen;
  }

  /** Never ends before close, whatever fails. */
  async #loop(): Promise<void> {
    while (!this.#closed) {
      let more = false;
      this.#gaugesChanged ||= this.#changed;
      this.#changed = false;
      try {
        await this.#beat();
        more = await this.follow();
        const age = performance.now() - this.#gaugesAt;
        if (age > (this.#gaugesChanged ? GAUGES_SOON_MS : GAUGES_MS)) await this.#readGauges();
      } catch {
        // Said by `failure`, and tried again.
      }
      if (!more) await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (!this.#changed) await this.#sleep(POLL_MS);
    await this.#sleep(SOON_MS);
  }

  #sleep(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (ms === SOON_MS && !this.#closed) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One look, also at the feed; looks do not overtake each other there. True when there is more to read. */
  follow(): Promise<boolean> {
    const followed = this.#following.then(() => this.#follow());
    this.#following = followed.catch(() => undefined);
    return followed;
  }

  async #follow(): Promise<boolean> {
    const sentAt = performance.now();
    const seen = await this.#look(ENTRIES);
    if (this.#reliable()?.instance !== seen.instance) return false;
    // Another instance, or one that could not be relied on before: whatever happened meanwhile was not told.
    if (this.#followed !== seen.instance || seen.feed < this.#told) {
      this.#followed = seen.instance;
      return this.#gap(seen.feed);
    }
    for (const entry of seen.entries) {
      const [id, [, stamp, , payload]] = entry as [Buffer, [Buffer, Buffer, Buffer, Buffer]];
      const number = parseInt(id.toString(), 10);
      if (number <= this.#told) continue;
      if (number !== this.#told + 1) return this.#gap(seen.feed);
      this.#tellEntry(payload, Number(stamp));
      this.#told = number;
    }
    if (seen.entries.length === 0 && this.#told < seen.feed) return this.#gap(seen.feed);
    if (this.#told >= seen.feed) this.#caughtUpAt = sentAt;
    return this.#told < seen.feed;
  }

  #gap(upTo: number): false {
    this.#told = upTo;
    this.#tell({ type: 'gap', issuer: this.issuer });
    return false;
  }

  #tellEntry(payload: Buffer, stamp: number): void {
    const { issuer } = this;
    for (const event of decodeEvents(issuer, payload, stamp)) {
      if (event.type === 'crl') this.#parts.published(event.record);
      else if (event.type === 'recorded') this.#tell(event);
      else this.#tell({ ...event, issuer });
    }
  }

  /** A follower that throws is a bug of the process; it does not keep the others from the event. */
  #tell(event: StoreEvent): void {
    try {
      this.#parts.tell(event);
    } catch (error) {
      this.#parts.log?.error({ err: error }, 'a change of the store could not be followed');
    }
  }

  async #beat(): Promise<void> {
    const now = performance.now();
    if (!this.#mayBeat || now - this.#beatAt < BEAT_MS) return;
    this.#beatAt = now;
    try {
      await run(this.#parts.redis, scripts.beat, this.keys.meta, [this.#parts.name]);
    } catch (error) {
      // A reader's user: somebody else's signs of life are what it looks for.
      if (/NOPERM|permission/i.test((error as Error).message)) this.#mayBeat = false;
    }
  }

  async #readGauges(): Promise<void> {
    this.#gaugesAt = performance.now();
    this.#gaugesChanged = false;
    await this.gauges.read(this.#parts.redis, this.keys.meta);
  }
}

/** What ioredis or Redis says, as a Problem. */
export function unavailable(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const { name, message } = error as Error;
  // An answer after all: no permission, out of memory, too few replicas to write.
  const says = name === 'ReplyError' ? 'Redis refuses' : 'Redis does not answer';
  return new Problem('unavailable', `${says}: ${message}`, { rule: 'P1' });
}

/** Another instance than the one that was planned on. */
export function changing(): Problem {
  return new Problem('unavailable', 'the ledger was founded anew meanwhile; try again', { rule: 'P1' });
}

function pairs(flat: readonly Buffer[]): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) found.set(String(flat[i]), String(flat[i + 1]));
  return found;
}
