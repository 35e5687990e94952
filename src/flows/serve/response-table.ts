/**
 * The answers of this process, ready to send: one entry per (CertID hash, issuer, serial), byte-bounded, filled from the store
 * on the first question and kept right by the change feed.
 *
 * P2 here: when a change of a certificate is recorded, its entries go at once, before the event is acknowledged, so the old
 * answer is not served again by this process; a load that was under way meanwhile is repeated. What replaces an entry is
 * decided by freshness.supersedes, never by arrival.
 *
 * Over a shared store changes come from other processes. When some were missed (`gap`) what is held is doubtful: it is looked up
 * again before it is served, or served on while the store cannot be read. When nothing has proved for `silenceLimitMs` that
 * changes reach this process, `good` is not served at all; `revoked` is, because it is final. Such a store does not tell of
 * refreshed answers either: they are looked for from their refreshAt on.
 */
import { LRUCache } from 'lru-cache';
import type { CertIdHash, Certificate, IssuerTag, PublishedResponse, Revocation } from '../../core/certificate.ts';
import { entityTagIn, notModifiedHeaders, ocspCaching } from '../../core/policy/caching.ts';
import { answerable, servable, supersedes } from '../../core/policy/freshness.ts';
import { sameRevocation } from '../../core/precedence.ts';
import type { Serial } from '../../core/serial.ts';
import { lasting, MAX_IMAGE_BODY, Reply } from '../../core/reply.ts';
import { SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { ChangeFeed, Lookup, Reliance, ResponseSource } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import { Spellings, type Spelled } from './spellings.ts';

/**
 * What an entry weighs beside its body, with what the fronts make of it: measured, 1.2 kB of objects and 0.35 kB of octets (test/flows/
 * response-table-memory.test.ts). The process takes some more, which the collector leaves lying.
 */
const ENTRY_OVERHEAD = 1700;
/** Of an OCSPResponse with its responder certificate, P-256. */
const TYPICAL_BODY = 900;
/** By GET and by POST. */
const SPELLINGS_PER_ENTRY = 2;

/**
 * An answer of the table; it is itself the reply. A million of them are held: what can be told from the octets is not kept beside them,
 * signatures and the text of the fields least of all.
 */
export class Entry extends Reply<200> implements Spelled {
  /** See ResponseTable.spelled. In whole seconds, which are small integers to V8 and stand in the object itself. 0 when it is not in the table any more. */
  readyFromS = 0;
  readyUntilS = 0;
  readonly hash: CertIdHash;
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  readonly revision: number;
  readonly revocation: Revocation | undefined;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly refreshAt: EpochMs;
  /** The responder certificate. */
  readonly responder: string;
  readonly notAfter: EpochMs | undefined;
  readonly maxAgeMs: number;
  /** The issuer's count of gaps when this was loaded. */
  readonly gaps: number;
  /** When to look for its successor. */
  lookAt: EpochMs;
  /** From then on its headers promise too much. */
  goodUntil: EpochMs;
  /** When its headers were made. */
  #dressedAt: EpochMs;
  spelledIn: readonly number[] | undefined = undefined;
  #notModified: NotModified | undefined = undefined;

  /** @param body copied. */
  constructor(
    hash: CertIdHash,
    certificate: Certificate,
    response: PublishedResponse,
    body: Uint8Array,
    maxAgeMs: number,
    gaps: number,
    nowMs: EpochMs,
  ) {
    const { thisUpdate, nextUpdate, refreshAt } = response;
    const { headers, goodUntil } = ocspCaching(
      { body, thisUpdate, nextUpdate, refreshAt, maxAgeCapMs: maxAgeMs },
      nowMs,
    );
    super(200, headers, body.length > MAX_IMAGE_BODY ? Buffer.from(body) : body, lasting);
    this.hash = hash;
    this.issuer = response.issuer;
    this.serial = response.serial;
    this.revision = response.revision;
    this.revocation = response.revocation;
    this.thisUpdate = thisUpdate;
    this.nextUpdate = nextUpdate;
    this.refreshAt = refreshAt;
    this.responder = response.responder;
    this.notAfter = certificate.notAfter;
    this.maxAgeMs = maxAgeMs;
    this.goodUntil = goodUntil;
    this.#dressedAt = nowMs;
    this.gaps = gaps;
    this.lookAt = Math.max(refreshAt, nowMs + LOOK_AGAIN_MS);
  }

  get outcome(): 'good' | 'revoked' {
    return this.revocation === undefined ? 'good' : 'revoked';
  }

  /** What a conditional request is answered from, and with: of an answer that was asked for in this way. */
  get notModified(): NotModified {
    return (this.#notModified ??= new NotModified(this.headers));
  }

  /** As its headers say: not later than the Date of their making (H-02). */
  get lastModifiedMs(): EpochMs {
    return wholeSecond(Math.min(this.thisUpdate, this.#dressedAt));
  }

  /** Is it time to look for its successor? Also when the time for it was set by a clock that was ahead. */
  looksAt(nowMs: EpochMs): boolean {
    const { lookAt } = this;
    return nowMs >= lookAt || (lookAt > this.refreshAt && lookAt - nowMs > LOOK_AGAIN_MS);
  }

  /** Makes the headers anew where max-age has moved on, and when the clock was set back: of a clock that was ahead nothing stays. */
  dress(nowMs: EpochMs): void {
    if (nowMs < this.goodUntil && nowMs >= this.#dressedAt) return;
    const { body, thisUpdate, nextUpdate, refreshAt, maxAgeMs } = this;
    this.#dressedAt = nowMs;
    // For how long these are right is another question, and `nowMs` may be of the time when a slow load began.
    this.readyUntilS = 0;
    const etag = entityTagIn(this.headers);
    const { headers, goodUntil } = ocspCaching(
      { body, thisUpdate, nextUpdate, refreshAt, maxAgeCapMs: maxAgeMs, etag },
      nowMs,
    );
    this.goodUntil = goodUntil;
    this.renew(headers, lasting);
    this.#notModified = undefined;
  }
}

class NotModified extends Reply<304> {
  readonly etag: string;

  /** @param headers of the 200. */
  constructor(headers: string) {
    super(304, notModifiedHeaders(headers), EMPTY);
    this.etag = entityTagIn(headers);
  }
}

export type Loaded =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'pending'; readonly certificate: Certificate }
  | { readonly kind: 'entry'; readonly entry: Entry };

interface Load {
  stale: boolean;
  readers: number;
  readonly loaded: Promise<Lookup>;
}

const EMPTY = Buffer.alloc(0);
/** How long an entry is served without a second look; then its place in the table is renewed, too. */
const READY_MS = 10 * SECOND;
/** Between two looks for the successor of an answer: signing may be late. */
const LOOK_AGAIN_MS = 5 * SECOND;

export interface SharedStore {
  /** How long `good` is served while nothing proves that changes reach this process. */
  readonly silenceLimitMs: number;
}

export class ResponseTable {
  readonly #entries: LRUCache<string, Entry>;
  readonly #spellings: Spellings<Entry>;
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #source: ResponseSource & Reliance;
  readonly #shared: SharedStore | undefined;
  /** By issuer: how often events of it were lost. */
  readonly #gaps = new Map<IssuerTag, number>();
  /**
   * Loads under way; `stale` when the certificate changed since the load began. A load stays here until the last of its readers has used
   * it, so that none of them misses a change.
   */
  readonly #loads: ReadonlyMap<IssuerTag, Map<Serial, Load>>;

  /** Makes a responder certificate known that is on the store's shelf. */
  readonly #meet: (issuer: IssuerTag) => Promise<void>;

  /** @param shared for a store that other processes write to. */
  constructor(
    issuers: readonly ServedIssuer[],
    store: ResponseSource & ChangeFeed & Reliance,
    maxBytes: number,
    meet: (issuer: IssuerTag) => Promise<void> = () => Promise.resolve(),
    shared?: SharedStore,
  ) {
    this.#shared = shared;
    this.#issuers = new Map(issuers.map((issuer) => [issuer.tag, issuer]));
    this.#loads = new Map(issuers.map((issuer) => [issuer.tag, new Map()]));
    this.#source = store;
    this.#meet = meet;
    this.#spellings = new Spellings((maxBytes / (TYPICAL_BODY + ENTRY_OVERHEAD)) * SPELLINGS_PER_ENTRY);
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entry) => entry.bodyLength + ENTRY_OVERHEAD,
      dispose: (entry) => {
        entry.readyUntilS = 0;
        this.#spellings.forget(entry);
      },
    });
    store.follow((event) => {
      if (event.type === 'recorded') {
        const { certificate, lane } = event.change;
        if (lane === undefined) return;
        this.#touch(certificate.issuer, certificate.serial);
        this.#forget(certificate.issuer, certificate.serial, certificate.revision, certificate);
      } else if (event.type === 'answered') {
        this.#touch(event.issuer, event.serial);
        this.#forget(event.issuer, event.serial, event.revision);
      } else if (event.type === 'gap') {
        this.#gaps.set(event.issuer, this.#gapsOf(event.issuer) + 1);
        for (const entry of this.#entries.values()) entry.readyUntilS = 0;
        for (const load of this.#loads.get(event.issuer)?.values() ?? []) load.stale = true;
      } else if (event.type === 'published') {
        const { certificate, response } = event;
        this.#touch(certificate.issuer, certificate.serial);
        for (const hash of HASHES) {
          const key = hash + certificate.issuer + certificate.serial;
          const entry = this.#entries.peek(key);
          // Only what somebody asked for is kept in memory; the rest is loaded when it is.
          if (entry === undefined || !supersedes(response, entry)) continue;
          if (this.#insert(key, hash, certificate, response, response.thisUpdate) === undefined)
            this.#entries.delete(key);
        }
      } else if (event.type === 'responder-retired' && event.use === 'nothing') {
        for (const [key, { issuer, responder }] of this.#entries)
          if (issuer === event.issuer && responder === event.responder) this.#entries.delete(key);
      }
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /**
   * What these very words were answered with, if it may be served as it is. The hot path: two comparisons, which stand for all that
   * get() looks at. An entry that leaves the table, or that a lost event makes doubtful, is not ready from that moment on.
   */
  spelled(spelling: string, nowMs: EpochMs): Entry | undefined {
    const entry = this.#spellings.find(spelling);
    if (entry === undefined) return undefined;
    const nowS = Math.floor(nowMs / SECOND);
    // The lower bound is for a clock that was set back.
    return nowS < entry.readyUntilS && nowS >= entry.readyFromS ? entry : undefined;
  }

  /** From now on these words, of a GET's target or a POST's body, mean this entry. */
  keepSpelling(spelling: string, entry: Entry): void {
    // It may have left the table since it was looked up.
    if (entry.readyUntilS !== 0) this.#spellings.keep(spelling, entry);
  }

  /** The entry, if it is here and may be served; its headers are right for `nowMs`. */
  get(hash: CertIdHash, issuer: IssuerTag, serial: Serial, nowMs: EpochMs): Entry | undefined {
    const key = hash + issuer + serial;
    const entry = this.#entries.get(key);
    if (entry === undefined || !servable(entry, nowMs)) return undefined;
    if (this.#shared !== undefined) {
      if (entry.gaps !== this.#gapsOf(issuer) || this.#mute(entry)) return undefined;
    }
    entry.dress(nowMs);
    const look = this.#shared !== undefined && entry.looksAt(nowMs);
    if (look) entry.lookAt = nowMs + LOOK_AGAIN_MS;
    this.#makeReady(entry, nowMs);
    // Last: what it finds out counts for the entry as it is left here.
    if (look) this.load(hash, issuer, serial, nowMs).catch(() => undefined);
    return entry;
  }

  /** Until the first instant at which get() could say something else. */
  #makeReady(entry: Entry, nowMs: EpochMs): void {
    const { issuer, revocation, nextUpdate, goodUntil, notAfter } = entry;
    const profile = this.#issuers.get(issuer)?.profile;
    if (profile === undefined || !answerable(profile, notAfter, nowMs + READY_MS)) return;
    let until = Math.min(nowMs + READY_MS, nextUpdate + 1, goodUntil);
    if (this.#shared !== undefined) {
      until = Math.min(until, entry.lookAt);
      if (revocation === undefined)
        until = Math.min(until, nowMs + this.#shared.silenceLimitMs - this.#source.silentMs());
    }
    entry.readyFromS = Math.floor(nowMs / SECOND);
    entry.readyUntilS = Math.floor(until / SECOND);
  }

  /**
   * Loads from the store; concurrent questions about one certificate share the load.
   * @throws Problem `unavailable` when the store cannot be relied on now, and there is nothing here that may be served all the same.
   */
  async load(hash: CertIdHash, issuer: IssuerTag, serial: Serial, nowMs: EpochMs): Promise<Loaded> {
    const key = hash + issuer + serial;
    const loads = this.#loads.get(issuer);
    for (;;) {
      let load = loads?.get(serial);
      if (load === undefined || load.stale) {
        load = { stale: false, readers: 0, loaded: this.#source.lookup(issuer, serial) };
        loads?.set(serial, load);
      }
      load.readers += 1;
      let found: Lookup;
      try {
        found = await load.loaded;
        const responders = this.#issuers.get(issuer)?.responders;
        if (found.kind === 'published' && responders?.knows(found.response.responder) === false)
          await this.#meet(issuer);
      } catch (error) {
        const held = this.#entries.get(key);
        if (held === undefined || !servable(held, nowMs) || this.#mute(held)) throw error;
        held.dress(nowMs);
        return { kind: 'entry', entry: held };
      } finally {
        load.readers -= 1;
        if (load.readers === 0 && loads?.get(serial) === load) loads.delete(serial);
      }
      if (load.stale) continue;
      // What events did not say, because they were lost, the store says now.
      if (found.kind === 'unknown') this.#forget(issuer, serial, Infinity);
      else this.#forget(issuer, serial, found.certificate.revision, found.certificate);
      if (found.kind === 'unknown') return found;
      if (found.kind === 'pending' || !servable(found.response, nowMs))
        return { kind: 'pending', certificate: found.certificate };
      const known = this.#entries.get(key);
      if (
        known !== undefined &&
        known.gaps === this.#gapsOf(issuer) &&
        !supersedes(found.response, known) &&
        servable(known, nowMs)
      ) {
        known.dress(nowMs);
        return { kind: 'entry', entry: known };
      }
      const entry = this.#insert(key, hash, found.certificate, found.response, nowMs);
      return entry === undefined ? { kind: 'pending', certificate: found.certificate } : { kind: 'entry', entry };
    }
  }

  /** Undefined when the answer was signed by a responder certificate that is not known, or not served any more. */
  #insert(
    key: string,
    hash: CertIdHash,
    certificate: Certificate,
    response: PublishedResponse,
    nowMs: EpochMs,
  ): Entry | undefined {
    const issuer = this.#issuers.get(certificate.issuer);
    const responder = issuer?.responders.find(response.responder);
    if (issuer === undefined || responder === undefined) return undefined;
    const body = responder.template.draft(hash, certificate.serial, response, response.signatures[hash]);
    const { maxAgeMs } = issuer.profile.ocsp;
    const entry = new Entry(hash, certificate, response, body, maxAgeMs, this.#gapsOf(certificate.issuer), nowMs);
    this.#entries.set(key, entry);
    return entry;
  }

  #gapsOf(issuer: IssuerTag): number {
    return this.#gaps.get(issuer) ?? 0;
  }

  /** Must this be kept back, because a revocation may not have reached this process (P2)? */
  #mute(entry: Entry): boolean {
    return (
      this.#shared !== undefined &&
      entry.revocation === undefined &&
      this.#source.silentMs() > this.#shared.silenceLimitMs
    );
  }

  /** Drops what is older than the revision, or says something else of it: a crash can leave two of one number (core/precedence.ts). */
  #forget(issuer: IssuerTag, serial: Serial, revision: number, state?: Certificate): void {
    for (const hash of HASHES) {
      const key = hash + issuer + serial;
      const entry = this.#entries.peek(key);
      if (entry === undefined) continue;
      const other =
        state !== undefined && entry.revision === revision && !sameRevocation(entry.revocation, state.revocation);
      if (other || entry.revision < revision) this.#entries.delete(key);
    }
  }

  #touch(issuer: IssuerTag, serial: Serial): void {
    const load = this.#loads.get(issuer)?.get(serial);
    if (load !== undefined) load.stale = true;
  }
}

const HASHES = ['sha1', 'sha256'] as const satisfies readonly CertIdHash[];
