/** The files of the public port: each issuer's current CRL and its CA certificate, with prebuilt replies. */
import { COMPLETE, completeCrl, type CrlRecord, type IssuerTag } from '../core/certificate.ts';
import { certificateCaching, crlCaching, notModifiedHeaders, type CachingBlock } from '../core/policy/caching.ts';
import { Reply } from '../core/reply.ts';
import { HOUR, type EpochMs } from '../core/time.ts';
import type { ResponderStore } from '../ports/store.ts';
import type { ServedIssuer } from './issuer-setup.ts';

export type PublicFile = { readonly kind: 'crl' | 'ca-certificate'; readonly issuer: IssuerTag };

export interface Dressed {
  /** When its block was made. */
  readonly at: EpochMs;
  readonly reply: Reply;
  readonly notModified: Reply;
  readonly block: CachingBlock;
}

/** How long a CA certificate may be kept by a cache: it changes once in years, and then nobody is in a hurry. */
const CA_CERTIFICATE_MAX_AGE_MS = 24 * HOUR;
/** Longest max-age of a CRL: the exposure of a CRL client after a revocation, T-44. */
const CRL_MAX_AGE_MS = HOUR;
const EMPTY = Buffer.alloc(0);

export class PublicFiles {
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #crls = new Map<IssuerTag, { record: CrlRecord; der: Buffer; dressed: Dressed | undefined }>();
  readonly #certificates = new Map<IssuerTag, Dressed>();

  private constructor(issuers: readonly ServedIssuer[], nowMs: EpochMs) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.tag, issuer]));
    for (const { tag, issuer } of issuers) {
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
      this.#certificates.set(tag, dress(certificate.der, block, nowMs));
    }
  }

  /** Loads the current CRLs and follows the feed. A CRL that cannot be read is reported and left out, not fatal: OCSP goes on. */
  static async open(
    issuers: readonly ServedIssuer[],
    store: Pick<ResponderStore, 'current' | 'body' | 'follow'>,
    nowMs: EpochMs,
    unreadable: (issuer: ServedIssuer, error: unknown) => void,
  ): Promise<PublicFiles> {
    const files = new PublicFiles(issuers, nowMs);
    const read = async (issuer: ServedIssuer): Promise<void> => {
      try {
        const record = await store.current(completeCrl(issuer.tag));
        if (record !== undefined) files.#replace(record, await store.body(record));
      } catch (error) {
        unreadable(issuer, error);
      }
    };
    store.follow((event) => {
      if (event.type === 'crl' && event.record.shard === COMPLETE) files.#replace(event.record, event.der);
      // A store that forgot tells its newest CRL as an event once somebody has restored it; until then this one stands.
      if (event.type === 'gap') for (const issuer of issuers) if (issuer.tag === event.issuer) void read(issuer);
    });
    for (const issuer of issuers) await read(issuer);
    return files;
  }

  /** The CRL that is being served. */
  crl(issuer: IssuerTag): CrlRecord | undefined {
    return this.#crls.get(issuer)?.record;
  }

  /** Undefined when there is none, or it has expired: an expired CRL is never served (P4). */
  get(file: PublicFile, nowMs: EpochMs): Dressed | undefined {
    if (file.kind === 'ca-certificate') return this.#certificates.get(file.issuer);
    const crl = this.#crls.get(file.issuer);
    if (crl === undefined || nowMs > crl.record.nextUpdate) return undefined;
    // Also when the clock was set back: Last-Modified is never later than Date (H-02), and max-age=0 does not stay behind.
    if (crl.dressed === undefined || nowMs >= crl.dressed.block.goodUntil || nowMs < crl.dressed.at) {
      const { record, der } = crl;
      const periodMs = this.#issuers.get(file.issuer)?.profile.crl.periodMs ?? 0;
      const refreshAt = record.scheduledAt + periodMs;
      const cacheable = { body: der, ...record, refreshAt, maxAgeCapMs: CRL_MAX_AGE_MS };
      crl.dressed = dress(der, crlCaching(cacheable, nowMs), nowMs);
    }
    return crl.dressed;
  }

  #replace(record: CrlRecord, der: Buffer): void {
    const current = this.#crls.get(record.issuer);
    if (current !== undefined && current.record.number >= record.number) return;
    this.#crls.set(record.issuer, { record, der, dressed: undefined });
  }
}

function dress(body: Buffer, block: CachingBlock, at: EpochMs): Dressed {
  return {
    at,
    block,
    reply: new Reply(200, block.headers, body),
    notModified: new Reply(304, notModifiedHeaders(block), EMPTY),
  };
}
