/**
 * The store, as each flow sees it. Small interfaces; one adapter may implement all of them. Every method may be called
 * concurrently. "Durable" means: survives kill -9 and power loss, given the journal (ports/journal.ts), which is written
 * first and replayed at start.
 */
import type { Certificate, CrlRecord, IssuerTag, Lane, PublishedResponse, RevokedEntry } from '../core/certificate.ts';
import type { Serial } from '../core/serial.ts';
import type { EpochMs } from '../core/time.ts';

/** A certificate's new state, and the lane that must sign it. */
export interface Change {
  readonly certificate: Certificate;
  /** Undefined when the answer need not change (a final certificate after its precertificate). */
  readonly lane: Lane | undefined;
}

export interface Ledger {
  /** Sequence number of the last journal record applied; 0 for a new store. Never falls. */
  appliedSeq(): Promise<number>;
  /** Same order as asked; undefined for what this issuer never issued. */
  find(issuer: IssuerTag, serials: readonly Serial[]): Promise<readonly (Certificate | undefined)[]>;
  /**
   * Applies the changes of journal record `seq` in one atomic write: certificates, revoked index, queue, appliedSeq.
   * Idempotent: a change whose recordedSeq is not greater than the recorded one's is skipped, so a replay does no harm.
   * A lost write is repaired by the replay of the journal at the next start.
   */
  apply(changes: readonly Change[], seq: number): Promise<void>;
  /** Revoked entries in ascending order of serial octets, in pages, as of one instant; `asOfSeq` is that instant. */
  revokedEntries(issuer: IssuerTag): {
    readonly asOfSeq: Promise<number>;
    readonly pages: AsyncIterable<readonly RevokedEntry[]>;
  };
  /** Every certificate of an issuer in ascending order, in pages, as of one instant. */
  certificates(issuer: IssuerTag): AsyncIterable<readonly Certificate[]>;
}

export type Lookup =
  /** Never issued, as far as this store knows: `unauthorized`, never `good` (P3). */
  | { readonly kind: 'unknown' }
  /** Issued, but no answer of the recorded revision is published yet. */
  | { readonly kind: 'pending'; readonly certificate: Certificate }
  | { readonly kind: 'published'; readonly certificate: Certificate; readonly response: PublishedResponse };

export interface ResponseSource {
  /** Never returns a response of an older revision than the certificate's (P2). Freshness is for the caller to judge. */
  lookup(issuer: IssuerTag, serial: Serial): Promise<Lookup>;
}

export interface QueueItem {
  readonly issuer: IssuerTag;
  readonly serial: Serial;
  readonly lane: Lane;
  readonly dueAt: EpochMs;
}

export type PublishOutcome =
  | 'published'
  /** The certificate's revision has moved on: the answer is dropped, the queue holds newer work. */
  | 'superseded'
  /** The published answer is of the same revision and not older (the clock stepped, or it was asked for meanwhile): it stays, and the item stays leased. */
  | 'older';

export interface RefreshQueue {
  /** Takes up to `limit` items due at `nowMs`, oldest first, and leases them to the caller: at least once, not twice at once. */
  takeDue(lane: Lane, nowMs: EpochMs, limit: number): Promise<readonly QueueItem[]>;
  /** Gives leased items back, to be due again at `dueAt`. */
  postpone(items: readonly QueueItem[], dueAt: EpochMs): Promise<void>;
  /** Drops leased items for which there is nothing to do. An item that was inserted again meanwhile is due once more. */
  drop(items: readonly QueueItem[]): Promise<void>;
  /** Drops leased items and the published answers of their certificates, which have expired (RFC 9919 §3.2.3). Told once each. */
  retire(items: readonly QueueItem[]): Promise<void>;
  /**
   * Compare-and-swap on the certificate's revision, per item; moves the item to the refresh lane at `refreshAt`.
   * Not synced: an answer lost with the power is still queued and will be signed again.
   */
  publish(
    responses: readonly { readonly response: PublishedResponse; readonly item: QueueItem }[],
  ): Promise<readonly PublishOutcome[]>;
  /**
   * Items of the lane that are due at `nowMs`, leased ones included; whole seconds, for `refresh` minutes. From memory: cheap
   * enough for every scrape.
   */
  backlog(lane: Lane, nowMs: EpochMs): number;
  /** When the oldest item of the lane was or will be due; seconds, for `refresh` minutes. From memory. */
  oldestDue(lane: Lane): EpochMs | undefined;
  /** Every published answer, in pages: for the freshness gauges at start. */
  published(): AsyncIterable<readonly PublishedResponse[]>;
}

export interface CrlShelf {
  current(issuer: IssuerTag): Promise<CrlRecord | undefined>;
  /** The DER of a published CRL. @throws Problem `corrupt` when the archive does not hold what was published. */
  body(record: CrlRecord): Promise<Buffer>;
  /**
   * Reserves a CRL number greater than every one reserved before and at least `atLeast`. Durable when it resolves, so a
   * number is never used twice, whatever happens next (C-10, T-34).
   */
  reserveNumber(issuer: IssuerTag, atLeast: bigint): Promise<bigint>;
  /**
   * Archives the bytes, then makes the record current if `previous` is still the current number and the new number is
   * greater (C-10). Durable when it resolves. False: somebody else published meanwhile, or the number does not grow;
   * nothing changed. @throws Problem `conflict` when the archive holds another CRL under this number.
   */
  publishCrl(record: CrlRecord, der: Buffer, previous: bigint | undefined): Promise<boolean>;
  /** Newest first. */
  list(issuer: IssuerTag): AsyncIterable<CrlRecord>;
}

/** What followers are told. Delivery is in order and in process; a follower that throws is the process's bug. */
export type StoreEvent =
  | { readonly type: 'recorded'; readonly change: Change }
  | {
      readonly type: 'published';
      readonly certificate: Certificate;
      readonly response: PublishedResponse;
      readonly previous: PublishedResponse | undefined;
    }
  | { readonly type: 'retired'; readonly previous: PublishedResponse }
  | { readonly type: 'crl'; readonly record: CrlRecord; readonly der: Buffer };

export interface ChangeFeed {
  follow(follower: (event: StoreEvent) => void): void;
}

export interface Store extends Ledger, ResponseSource, RefreshQueue, CrlShelf, ChangeFeed {
  close(): Promise<void>;
}
