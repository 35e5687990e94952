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
import type { CertIdHash, Certificate, IssuerTag, PublishedResponse } from '../core/certificate.ts';
import { ocspCaching, type CachingBlock } from '../core/policy/caching.ts';
import { servable, supersedes } from '../core/policy/freshness.ts';
import { sameRevocation } from '../core/precedence.ts';
import type { Serial } from '../core/serial.ts';
import { SECOND, type EpochMs } from '../core/time.ts';
import type { Reply } from '../ports/front.ts';
import type { ChangeFeed, Lookup, Reliance, ResponseSource } from '../ports/store.ts';
import type { ServedIssuer } from './issuer-setup.ts';

/** What an entry weighs beside its body: headers, keys and objects (measured at about 1.4 kB). */
const ENTRY_OVERHEAD = 1400;

export interface Entry {
  readonly response: PublishedResponse;
  readonly notAfter: EpochMs | undefined;
  reply: Reply;
  notModified: Reply;
  block: CachingBlock;
  readonly maxAgeMs: number;
  /** The issuer's count of gaps when this was loaded. */
  readonly gaps: number;
  /** When to look for its successor. */
  lookAt: EpochMs;
}

export type Loaded =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'pending'; readonly certificate: Certificate }
  | { readonly kind: 'entry'; readonly entry: Entry };

const EMPTY = Buffer.alloc(0);
/** Between two looks for the successor of an answer: signing may be late. */
const LOOK_AGAIN_MS = 5 * SECOND;

export interface SharedStore {
  /** How long `good` is served while nothing proves that changes reach this process. */
  readonly silenceLimitMs: number;
}

export class ResponseTable {
  readonly #entries: LRUCache<string, Entry>;
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #source: ResponseSource & Reliance;
  readonly #shared: SharedStore | undefined;
  /** By issuer: how often events of it were lost. */
  readonly #gaps = new Map<IssuerTag, number>();
  /**
   * Loads under way, by issuer and serial; `stale` when the certificate changed since the load began. A load stays here until
   * the last of its readers has used it, so that none of them misses a change.
   */
  readonly #loads = new Map<string, { stale: boolean; readers: number; readonly loaded: Promise<Lookup> }>();

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
    this.#source = store;
    this.#meet = meet;
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entry) => entry.reply.body.length + ENTRY_OVERHEAD,
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
        for (const [key, load] of this.#loads) if (key.startsWith(event.issuer)) load.stale = true;
      } else if (event.type === 'published') {
        const { certificate, response } = event;
        this.#touch(certificate.issuer, certificate.serial);
        for (const hash of HASHES) {
          const key = hash + certificate.issuer + certificate.serial;
          const entry = this.#entries.peek(key);
          // Only what somebody asked for is kept in memory; the rest is loaded when it is.
          if (entry === undefined || !supersedes(response, entry.response)) continue;
          if (this.#insert(key, hash, certificate, response, response.thisUpdate) === undefined)
            this.#entries.delete(key);
        }
      } else if (event.type === 'responder-retired' && event.use === 'nothing') {
        for (const [key, { response }] of this.#entries)
          if (response.issuer === event.issuer && response.responder === event.responder) this.#entries.delete(key);
      }
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** The entry, if it is here and may be served; its headers are right for `nowMs`. The hot path: one look-up. */
  get(hash: CertIdHash, issuer: IssuerTag, serial: Serial, nowMs: EpochMs): Entry | undefined {
    const key = hash + issuer + serial;
    const entry = this.#entries.get(key);
    if (entry === undefined || !servable(entry.response, nowMs)) return undefined;
    if (this.#shared !== undefined) {
      if (entry.gaps !== this.#gapsOf(issuer) || this.#mute(entry)) return undefined;
      if (nowMs >= entry.lookAt) this.#lookForSuccessor(hash, issuer, serial, entry, nowMs);
    }
    if (nowMs >= entry.block.goodUntil || nowMs < entry.block.lastModifiedMs) dress(entry, nowMs);
    return entry;
  }

  /**
   * Loads from the store; concurrent questions about one certificate share the load.
   * @throws Problem `unavailable` when the store cannot be relied on now, and there is nothing here that may be served all the same.
   */
  async load(hash: CertIdHash, issuer: IssuerTag, serial: Serial, nowMs: EpochMs): Promise<Loaded> {
    const certificateKey = issuer + serial;
    const key = hash + certificateKey;
    for (;;) {
      let load = this.#loads.get(certificateKey);
      if (load === undefined || load.stale) {
        load = { stale: false, readers: 0, loaded: this.#source.lookup(issuer, serial) };
        this.#loads.set(certificateKey, load);
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
        if (held === undefined || !servable(held.response, nowMs) || this.#mute(held)) throw error;
        if (nowMs >= held.block.goodUntil) dress(held, nowMs);
        return { kind: 'entry', entry: held };
      } finally {
        load.readers -= 1;
        if (load.readers === 0 && this.#loads.get(certificateKey) === load) this.#loads.delete(certificateKey);
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
        !supersedes(found.response, known.response) &&
        servable(known.response, nowMs)
      )
        return { kind: 'entry', entry: known };
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
    const body = responder.template.assemble(hash, certificate.serial, response, response.signatures[hash]);
    const maxAgeMs = issuer.profile.ocsp.maxAgeMs;
    const block = ocspCaching({ body, ...response, maxAgeCapMs: maxAgeMs }, nowMs);
    const entry: Entry = {
      response,
      notAfter: certificate.notAfter,
      maxAgeMs,
      block,
      ...replies(body, block),
      gaps: this.#gapsOf(certificate.issuer),
      lookAt: Math.max(response.refreshAt, nowMs + LOOK_AGAIN_MS),
    };
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
      entry.response.revocation === undefined &&
      this.#source.silentMs() > this.#shared.silenceLimitMs
    );
  }

  #lookForSuccessor(hash: CertIdHash, issuer: IssuerTag, serial: Serial, entry: Entry, nowMs: EpochMs): void {
    entry.lookAt = nowMs + LOOK_AGAIN_MS;
    this.load(hash, issuer, serial, nowMs).catch(() => undefined);
  }

  /** Drops what is older than the revision, or says something else of it: a crash can leave two of one number (core/precedence.ts). */
  #forget(issuer: IssuerTag, serial: Serial, revision: number, state?: Certificate): void {
    for (const hash of HASHES) {
      const key = hash + issuer + serial;
      const entry = this.#entries.peek(key);
      if (entry === undefined) continue;
      const { response } = entry;
      const other =
        state !== undefined && response.revision === revision && !sameRevocation(response.revocation, state.revocation);
      if (other || response.revision < revision) this.#entries.delete(key);
    }
  }

  #touch(issuer: IssuerTag, serial: Serial): void {
    const load = this.#loads.get(issuer + serial);
    if (load !== undefined) load.stale = true;
  }
}

/** Makes the headers anew: max-age has moved on. */
function dress(entry: Entry, nowMs: EpochMs): void {
  const { body } = entry.reply;
  entry.block = ocspCaching({ body, ...entry.response, maxAgeCapMs: entry.maxAgeMs, etag: entry.block.etag }, nowMs);
  Object.assign(entry, replies(body, entry.block));
}

function replies(body: Buffer, block: CachingBlock): { reply: Reply; notModified: Reply } {
  return {
    reply: { status: 200, headers: block.headers, body },
    notModified: { status: 304, headers: block.notModifiedHeaders, body: EMPTY },
  };
}

const HASHES = ['sha1', 'sha256'] as const satisfies readonly CertIdHash[];
