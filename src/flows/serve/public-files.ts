/**
 * The files of the public port: the current CRLs of every scope, and the CA certificates, with prebuilt replies. DER, under the
 * very URL that the certificates name, and nothing else ever there (T-43): who has no CRL to give says 503.
 *
 * All of them are in memory, once per process, and every reader shares them (downloads.ts). A CRL is replaced whole, by a greater number.
 */
import { COMPLETE, type CrlRecord, type CrlScope, type IssuerTag } from '../../core/certificate.ts';
import { scopesOf, shardUrl } from '../../core/crl/shards.ts';
import { certificateCaching, crlCaching, notModifiedHeaders, type CachingBlock } from '../../core/policy/caching.ts';
import { LARGE_BODY, LargeReply, Reply } from '../../core/reply.ts';
import { publicUrl, type PublicUrl } from '../../core/route.ts';
import { HOUR, type EpochMs } from '../../core/time.ts';
import type { ResponderStore } from '../../ports/store.ts';
import type { Downloads } from './downloads.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export type PublicFile =
  ({ readonly kind: 'crl' } & CrlScope) | { readonly kind: 'ca-certificate'; readonly issuer: IssuerTag };

export interface Dressed {
  /** When its block was made. */
  readonly at: EpochMs;
  readonly reply: Reply;
  readonly notModified: Reply;
  readonly block: CachingBlock;
}

/** A file and where it is served. */
export type PlacedFile = PublicUrl & { readonly file: PublicFile };

interface Shelved {
  readonly record: CrlRecord;
  /** Undefined in a process that serves nobody. */
  readonly der: Buffer | undefined;
  dressed: Dressed | undefined;
}

/** How long a CA certificate may be kept by a cache: it changes once in years, and then nobody is in a hurry. */
const CA_CERTIFICATE_MAX_AGE_MS = 24 * HOUR;
/** Longest max-age of a CRL: the exposure of a CRL client after a revocation, T-44. */
const CRL_MAX_AGE_MS = HOUR;
/** CRLs that are read at once when many are: enough to keep a disk busy, and a link to the first process. */
const READERS = 8;
const EMPTY = Buffer.alloc(0);

type Source = Pick<ResponderStore, 'current' | 'scopes' | 'body' | 'follow'>;
type Unreadable = (issuer: ServedIssuer, error: unknown) => void;

export class PublicFiles {
  /** Undefined in a process that serves nobody: it knows which CRLs are current, and holds none. */
  readonly downloads: Downloads | undefined;
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #source: Source;
  readonly #unreadable: Unreadable;
  readonly #crls = new Map<string, Shelved>();
  readonly #certificates = new Map<IssuerTag, Dressed>();
  /** Shards that have a URL, by scope. */
  readonly #placed = new Map<string, PlacedFile>();
  #place: (placed: PlacedFile) => void = () => undefined;

  private constructor(
    issuers: readonly ServedIssuer[],
    source: Source,
    nowMs: EpochMs,
    unreadable: Unreadable,
    downloads: Downloads | undefined,
  ) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.tag, issuer]));
    this.#source = source;
    this.#unreadable = unreadable;
    this.downloads = downloads;
    for (const { tag, issuer, crls } of issuers) {
      for (const scope of scopesOf(crls, tag)) this.#know(scope);
      const certificate = issuer.certificates[0];
      if (certificate === undefined) continue;
      // notBefore, so that Last-Modified is the same on every node and after every start.
      const block = certificateCaching(
        {
          body: certificate.der,
          since: certificate.notBefore,
          notAfter: certificate.notAfter,
          maxAgeMs: CA_CERTIFICATE_MAX_AGE_MS,
        },
        nowMs,
      );
      this.#certificates.set(tag, dress(certificate.der, block, nowMs, downloads));
    }
  }

  /** Loads the current CRLs and follows the feed. A CRL that cannot be read is reported and left out, not fatal: OCSP goes on. */
  static async open(
    issuers: readonly ServedIssuer[],
    store: Source,
    nowMs: EpochMs,
    unreadable: Unreadable,
    downloads: Downloads | undefined,
  ): Promise<PublicFiles> {
    const files = new PublicFiles(issuers, store, nowMs, unreadable, downloads);
    store.follow((event) => {
      if (event.type === 'crl') files.#replace(event.record, event.der);
      // A store that forgot tells its newest CRL as an event once somebody has restored it; until then this one stands.
      if (event.type === 'gap') for (const issuer of issuers) if (issuer.tag === event.issuer) void files.#read(issuer);
    });
    for (const issuer of issuers) await files.#read(issuer);
    return files;
  }

  /** Calls `place` with each shard that has a URL, now and whenever another one appears. */
  eachShard(place: (placed: PlacedFile) => void): void {
    this.#place = place;
    for (const placed of this.#placed.values()) place(placed);
  }

  /** The CRL that is being served. */
  crl(scope: CrlScope): CrlRecord | undefined {
    return this.#crls.get(key(scope))?.record;
  }

  /** Undefined when there is none, or it has expired: an expired CRL is never served (P4). */
  get(file: PublicFile, nowMs: EpochMs): Dressed | undefined {
    if (file.kind === 'ca-certificate') return this.#certificates.get(file.issuer);
    const crl = this.#crls.get(key(file));
    if (crl?.der === undefined || nowMs > crl.record.nextUpdate) return undefined;
    // Also when the clock was set back: Last-Modified is never later than Date (H-02), and max-age=0 does not stay behind.
    if (crl.dressed === undefined || nowMs >= crl.dressed.block.goodUntil || nowMs < crl.dressed.at) {
      const { record, der } = crl;
      const periodMs = this.#issuers.get(file.issuer)?.profile.crl.periodMs ?? 0;
      const refreshAt = record.scheduledAt + periodMs;
      // The digest is known: half a gigabyte is not hashed in the middle of a request.
      const etag = `"${record.sha256}"`;
      const cacheable = { body: der, ...record, refreshAt, maxAgeCapMs: CRL_MAX_AGE_MS, etag };
      crl.dressed = dress(der, crlCaching(cacheable, nowMs), nowMs, this.downloads);
    }
    return crl.dressed;
  }

  /** Every scope of the issuer of which something newer is to be had. */
  async #read(issuer: ServedIssuer): Promise<void> {
    const scopes = new Map(scopesOf(issuer.crls, issuer.tag).map((scope) => [key(scope), scope]));
    try {
      // Shards of an earlier layout are served until their last certificate has expired.
      for (const scope of await this.#source.scopes(issuer.tag)) scopes.set(key(scope), scope);
    } catch (error) {
      this.#unreadable(issuer, error);
    }
    const left = [...scopes.values()].values();
    const reader = async (): Promise<void> => {
      for (const scope of left) await this.#readOne(issuer, scope);
    };
    await Promise.all(Array.from({ length: READERS }, reader));
  }

  async #readOne(issuer: ServedIssuer, scope: CrlScope): Promise<void> {
    try {
      const record = await this.#source.current(scope);
      if (record === undefined || !this.#isNews(record)) return;
      this.#replace(record, this.downloads && (await this.#source.body(record)));
    } catch (error) {
      this.#unreadable(issuer, error);
    }
  }

  #isNews(record: CrlRecord): boolean {
    const current = this.#crls.get(key(record));
    return current === undefined || current.record.number < record.number;
  }

  #replace(record: CrlRecord, der: Buffer | undefined): void {
    // Looked at again: reading took its time.
    if (!this.#isNews(record)) return;
    const old = this.#crls.get(key(record));
    this.#crls.set(key(record), { record, der: this.downloads && der, dressed: undefined });
    if (old?.der !== undefined) this.downloads?.supersede(old.der);
    this.#know(record);
  }

  /** From then on the shard has its place, though there be no CRL of it yet. The complete CRL is placed by whoever knows its URLs. */
  #know({ issuer, shard }: CrlScope): void {
    const scope = { issuer, shard };
    const layout = this.#issuers.get(issuer)?.crls;
    if (shard === COMPLETE || layout === undefined || this.#placed.has(key(scope))) return;
    const url = shardUrl(layout, shard);
    const at = url === undefined ? undefined : publicUrl(url);
    if (at === undefined) return;
    const placed: PlacedFile = { ...at, file: { kind: 'crl', ...scope } };
    this.#placed.set(key(scope), placed);
    this.#place(placed);
  }
}

const key = ({ issuer, shard }: CrlScope): string => `${issuer}/${shard}`;

function dress(body: Buffer, block: CachingBlock, at: EpochMs, downloads: Downloads | undefined): Dressed {
  return {
    at,
    block,
    reply:
      downloads !== undefined && body.length > LARGE_BODY
        ? new LargeReply(200, block.headers, body, body, downloads)
        : new Reply(200, block.headers, body),
    notModified: new Reply(304, notModifiedHeaders(block.headers), EMPTY),
  };
}
