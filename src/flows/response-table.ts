/**
 * The answers of this process, ready to send: one entry per (CertID hash, issuer, serial), byte-bounded, filled from the store
 * on the first question and kept right by the change feed.
 *
 * P2 here: when a change of a certificate is recorded, its entries go at once, before the event is acknowledged, so the old
 * answer is not served again by this process; a load that was under way meanwhile is repeated. What replaces an entry is
 * decided by freshness.supersedes, never by arrival.
 */
import { LRUCache } from 'lru-cache';
import type { CertIdHash, Certificate, IssuerTag, PublishedResponse } from '../core/certificate.ts';
import { ocspCaching, type CachingBlock } from '../core/policy/caching.ts';
import { servable, supersedes } from '../core/policy/freshness.ts';
import type { Serial } from '../core/serial.ts';
import type { EpochMs } from '../core/time.ts';
import type { Reply } from '../ports/front.ts';
import type { ChangeFeed, Lookup, ResponseSource } from '../ports/store.ts';
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
}

export type Loaded =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'pending'; readonly certificate: Certificate }
  | { readonly kind: 'entry'; readonly entry: Entry };

const EMPTY = Buffer.alloc(0);

export class ResponseTable {
  readonly #entries: LRUCache<string, Entry>;
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #source: ResponseSource;
  /**
   * Loads under way, by issuer and serial; `stale` when the certificate changed since the load began. A load stays here until
   * the last of its readers has used it, so that none of them misses a change.
   */
  readonly #loads = new Map<string, { stale: boolean; readers: number; readonly loaded: Promise<Lookup> }>();

  constructor(issuers: readonly ServedIssuer[], store: ResponseSource & ChangeFeed, maxBytes: number) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.tag, issuer]));
    this.#source = store;
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entry) => entry.reply.body.length + ENTRY_OVERHEAD,
    });
    store.follow((event) => {
      if (event.type === 'recorded') {
        const { certificate, lane } = event.change;
        if (lane === undefined) return;
        this.#touch(certificate.issuer, certificate.serial);
        for (const hash of HASHES) {
          const key = hash + certificate.issuer + certificate.serial;
          const entry = this.#entries.peek(key);
          if (entry !== undefined && entry.response.revision < certificate.revision) this.#entries.delete(key);
        }
      } else if (event.type === 'published') {
        const { certificate, response } = event;
        this.#touch(certificate.issuer, certificate.serial);
        for (const hash of HASHES) {
          const key = hash + certificate.issuer + certificate.serial;
          const entry = this.#entries.peek(key);
          // Only what somebody asked for is kept in memory; the rest is loaded when it is.
          if (entry !== undefined && supersedes(response, entry.response))
            this.#insert(key, hash, certificate, response, response.thisUpdate);
        }
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
    const entry = this.#entries.get(hash + issuer + serial);
    if (entry === undefined || !servable(entry.response, nowMs)) return undefined;
    if (nowMs >= entry.block.goodUntil || nowMs < entry.block.lastModifiedMs) dress(entry, nowMs);
    return entry;
  }

  /** Loads from the store; concurrent questions about one certificate share the load. */
  async load(hash: CertIdHash, issuer: IssuerTag, serial: Serial, nowMs: EpochMs): Promise<Loaded> {
    const key = issuer + serial;
    for (;;) {
      let load = this.#loads.get(key);
      if (load === undefined || load.stale) {
        load = { stale: false, readers: 0, loaded: this.#source.lookup(issuer, serial) };
        this.#loads.set(key, load);
      }
      load.readers += 1;
      let found: Lookup;
      try {
        found = await load.loaded;
      } finally {
        load.readers -= 1;
        if (load.readers === 0 && this.#loads.get(key) === load) this.#loads.delete(key);
      }
      if (load.stale) continue;
      if (found.kind === 'unknown') return found;
      if (found.kind === 'pending' || !servable(found.response, nowMs))
        return { kind: 'pending', certificate: found.certificate };
      const known = this.#entries.get(hash + key);
      if (known !== undefined && !supersedes(found.response, known.response) && servable(known.response, nowMs))
        return { kind: 'entry', entry: known };
      const entry = this.#insert(hash + key, hash, found.certificate, found.response, nowMs);
      return entry === undefined ? { kind: 'pending', certificate: found.certificate } : { kind: 'entry', entry };
    }
  }

  /** Undefined when the answer was signed by a responder certificate that is not configured any more. */
  #insert(
    key: string,
    hash: CertIdHash,
    certificate: Certificate,
    response: PublishedResponse,
    nowMs: EpochMs,
  ): Entry | undefined {
    const issuer = this.#issuers.get(certificate.issuer);
    const responder = issuer?.responders.find((served) => served.certificate.id === response.responder);
    if (issuer === undefined || responder === undefined) return undefined;
    const body = responder.template.assemble(hash, certificate.serial, response, response.signatures[hash]);
    const maxAgeMs = issuer.profile.ocsp.maxAgeMs;
    const block = ocspCaching({ body, ...response, maxAgeCapMs: maxAgeMs }, nowMs);
    const entry: Entry = { response, notAfter: certificate.notAfter, maxAgeMs, block, ...replies(body, block) };
    this.#entries.set(key, entry);
    return entry;
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
