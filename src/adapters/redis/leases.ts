/**
 * What this process has taken from the queue and not yet given back. The truth about leases is in Redis; here are the tokens that prove
 * them, and which items must not be handed out again while they are in somebody's hands.
 *
 * Items of the other lanes are leased one by one. The refresh lane is leased by buckets: the items of one that are
 * due are handed out from here, and the bucket is settled when the last of them is done with.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import { serialBytes, type Serial } from '../../core/serial.ts';
import type { QueueItem } from '../../ports/store.ts';
import type { Lease } from './commit.ts';
import { isItemLane, type ItemLane } from './keys.ts';
import type { StoredRecord } from './records.ts';

/** A bucket of the refresh lane, leased. */
export interface BucketLease {
  readonly bucket: number;
  token: string;
  /** Monotonic; a little before the server's, because it is counted from the sending. */
  expiresAt: number;
  /** In somebody's hands. */
  readonly out: Set<Serial>;
  /** Due, and not handed out yet; with the record as it was read. */
  readonly waiting: Map<Serial, QueueItem>;
  /** When something that is not waiting here will be due in it, as far as this process knows (ms since 1900). */
  nextDue: number;
}

interface Held {
  readonly bucket: number;
  /** Of the record when the item was handed out. */
  readonly recordedSeq: number;
  readonly thisUpdate: number | undefined;
}

interface LeasedItem {
  readonly lane: ItemLane;
  readonly serial: Serial;
  readonly token: string;
}

/** The leases of one issuer. */
export class Leases {
  readonly #items = new Map<string, LeasedItem>();
  readonly #held = new Map<Serial, Held>();
  readonly buckets = new Map<number, BucketLease>();
  readonly issuer: IssuerTag;

  constructor(issuer: IssuerTag) {
    this.issuer = issuer;
  }

  /** False when this process holds the item already: then only its token is renewed. */
  take({ lane, serial }: QueueItem & { readonly lane: ItemLane }, token: string): boolean {
    const key = lane + serial;
    const held = this.#items.has(key);
    this.#items.set(key, { lane, serial, token });
    return !held;
  }

  /** The lease under which something may be done with the item; undefined when this process has none. */
  leaseOf(item: QueueItem): Lease | undefined {
    if (isItemLane(item.lane)) {
      const leased = this.#items.get(item.lane + item.serial);
      return leased && { field: leaseField(item), token: leased.token };
    }
    const held = this.#held.get(item.serial);
    const lease = held && this.buckets.get(held.bucket);
    return lease && { field: Buffer.from(`refresh:${lease.bucket}`), token: lease.token };
  }

  handOut(lease: BucketLease, item: QueueItem, { certificate, answer }: StoredRecord): void {
    lease.waiting.delete(item.serial);
    lease.out.add(item.serial);
    this.#held.set(item.serial, {
      bucket: lease.bucket,
      recordedSeq: certificate.recordedSeq,
      thisUpdate: answer?.thisUpdate,
    });
  }

  isOut(serial: Serial): boolean {
    return this.#held.has(serial);
  }

  /**
   * When a certificate is due once its refresh item is ended: never again, unless it was recorded or answered anew while it was
   * in somebody's hands; then that stays. Whether the recording inserted the item again does not show where it was due already
   * (record-changes.ts keeps the earlier instant): so any does, and costs one look too many at worst; the other way round the
   * certificate would never be refreshed again (P4).
   */
  dueAfter(item: QueueItem, { certificate, answer, due }: StoredRecord): number | undefined {
    if (due !== item.dueAt) return due;
    const held = this.#held.get(item.serial);
    const recordedAgain = held?.recordedSeq !== certificate.recordedSeq;
    const answeredAgain = answer !== undefined && held?.thisUpdate !== answer.thisUpdate;
    return recordedAgain || answeredAgain ? due : undefined;
  }

  /** The item is in nobody's hands any more. Returns the bucket that is to be settled, if that was the last of it. */
  end(item: QueueItem): BucketLease | undefined {
    if (item.lane !== 'refresh') {
      this.#items.delete(item.lane + item.serial);
      return undefined;
    }
    const held = this.#held.get(item.serial);
    this.#held.delete(item.serial);
    const lease = held && this.buckets.get(held.bucket);
    lease?.out.delete(item.serial);
    return lease !== undefined && lease.out.size === 0 && lease.waiting.size === 0 ? lease : undefined;
  }

  wrote(bounds: ReadonlyMap<number, number>): void {
    for (const [bucket, due] of bounds) {
      const lease = this.buckets.get(bucket);
      if (lease !== undefined) lease.nextDue = Math.min(lease.nextDue, due);
    }
  }

  /** Every item that is leased one by one. */
  items(): Iterable<LeasedItem> {
    return this.#items.values();
  }
}

function leaseField({ lane, serial }: QueueItem): Buffer {
  return Buffer.concat([Buffer.from(`${lane}:`), serialBytes(serial)]);
}
