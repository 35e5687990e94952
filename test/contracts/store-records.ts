/** What the store contracts share: stores to be tested, and certificates and answers to put into them. */
import { createHash } from 'node:crypto';
import { after } from 'node:test';
import {
  LANES,
  type Certificate,
  type CrlRecord,
  type CrlScope,
  type IssuerTag,
  type PublishedResponse,
} from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import type { CrlArchive } from '../../src/ports/crl-archive.ts';
import type { Change, CrlShelf, Lookup, QueueItem, Store } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';

/** Publishes octets that are in memory. */
export async function publishCrl(
  store: Pick<CrlShelf, 'draftCrl' | 'publishCrl'>,
  record: CrlRecord,
  der: Uint8Array,
  previous: bigint | undefined,
): Promise<boolean> {
  const draft = await store.draftCrl(record);
  try {
    await draft.write(der);
    return await store.publishCrl(record, draft, previous);
  } finally {
    await draft.discard();
  }
}

/** A CRL as the publisher records it: with times that grow with the number. */
export function crlRecord(scope: CrlScope, number: bigint, der: Uint8Array): CrlRecord {
  const thisUpdate = NOW + Number(number % 1000n) * SECOND;
  return {
    ...scope,
    number,
    thisUpdate,
    nextUpdate: thisUpdate + 7 * DAY,
    publishedAt: thisUpdate + 5,
    kind: 'scheduled',
    scheduledAt: thisUpdate,
    scheduledAsOfSeq: 3,
    entries: 0,
    bytes: der.length,
    sha256: createHash('sha256').update(der).digest('hex'),
    asOfSeq: 3,
  };
}

/** One store that can be closed and opened again with what it holds. */
export interface StoreUnderTest {
  /** @param disturbed what stands in the way of the archive of its CRLs. */
  open(disturbed?: (archive: CrlArchive) => CrlArchive): Promise<Store>;
  /** Changes the bytes of a CRL behind the store's back, wherever they lie. */
  tamper(record: CrlRecord): Promise<void>;
  /**
   * The store is one of many processes: it counts its records itself (only their order is promised), tells events and gauges soon
   * after and not before a method resolves, does not tell `published` and `retired`, has one piece of work per certificate and
   * lane, and reads its index and its certificates as of more than one instant.
   */
  readonly shared?: boolean;
}

/** The check passes: at once, or soon where the store is shared. */
export async function soon(under: StoreUnderTest, check: () => void): Promise<void> {
  for (let tries = 0; under.shared === true && tries < 250; tries++) {
    try {
      return check();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  check();
}

/** Without what a shared store counts itself. */
export function counted<T extends { readonly recordedSeq: number }>(under: StoreUnderTest, record: T): T {
  return under.shared === true ? { ...record, recordedSeq: 0 } : record;
}

/** A look-up, without what a shared store counts itself. */
export function found(under: StoreUnderTest, lookup: Lookup): Lookup {
  return lookup.kind === 'unknown' ? lookup : { ...lookup, certificate: counted(under, lookup.certificate) };
}

export const TAG = 'a1b2c3d4' as IssuerTag;
export const OTHER = 'ffffffff' as IssuerTag;
export const serialOf = (n: number): Serial => `4f${n.toString(16).padStart(6, '0')}` as Serial;

export function certificate(n: number, seq: number, change: Partial<Certificate> = {}): Certificate {
  return {
    issuer: TAG,
    serial: serialOf(n),
    revision: 1,
    notBefore: NOW - DAY,
    notAfter: NOW + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: undefined,
    recordedAt: NOW,
    recordedSeq: seq,
    ...change,
  };
}

export function response(
  of: Certificate,
  thisUpdate: number,
  change: Partial<PublishedResponse> = {},
): PublishedResponse {
  return {
    issuer: of.issuer,
    serial: of.serial,
    revision: of.revision,
    revocation: of.revocation,
    thisUpdate,
    nextUpdate: thisUpdate + 4 * DAY - SECOND,
    refreshAt: thisUpdate + DAY,
    publishedAt: thisUpdate + 5,
    responder: 'c0ffee00',
    signatures: { sha1: Buffer.alloc(71, of.revision), sha256: Buffer.alloc(70, thisUpdate % 251) },
    ...change,
  };
}

export async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

/** In ascending order, where any order is promised. */
export async function inOrder<T extends { readonly serial: Serial }>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  return (await all(pages)).sort((a, b) => (a.serial < b.serial ? -1 : 1));
}

export const issued = (n: number, seq: number, change: Partial<Certificate> = {}): Change => ({
  certificate: certificate(n, seq, change),
  lane: 'issue',
});
export const revoked = (n: number, seq: number, change: Partial<Certificate> = {}): Change => ({
  certificate: certificate(n, seq, { revision: 2, revocation: { revokedAt: NOW, reason: 'superseded' }, ...change }),
  lane: 'revocation',
});
export const refresh = (n: number, dueAt: number): QueueItem => ({
  issuer: TAG,
  serial: serialOf(n),
  lane: 'refresh',
  dueAt,
});
export const serials = (items: readonly { readonly serial: Serial }[]): Serial[] => items.map(({ serial }) => serial);

export interface Fresh {
  readonly store: Store;
  readonly under: StoreUnderTest;
  /** Closes the store and opens it again with what it holds. */
  readonly reopen: (disturbed?: (archive: CrlArchive) => CrlArchive) => Promise<Store>;
}

/** A new store for each test; all are closed in the end. */
export function freshStores(begin: () => Promise<StoreUnderTest>): () => Promise<Fresh> {
  const opened: Store[] = [];
  after(() => Promise.all(opened.map((store) => store.close().catch(() => undefined))));
  return async () => {
    const under = await begin();
    const open = async (...how: Parameters<StoreUnderTest['open']>): Promise<Store> => {
      const store = await under.open(...how);
      opened.push(store);
      return store;
    };
    let store = await open();
    const reopen = async (...how: Parameters<StoreUnderTest['open']>): Promise<Store> => {
      await store.close();
      return (store = await open(...how));
    };
    return { store, reopen, under };
  };
}

/** Counting what a store held when it was opened, or what a shared one holds, goes on in the background. */
export async function settled(store: Store, times = 1): Promise<void> {
  for (let last = '', equal = 0; ;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = JSON.stringify(LANES.map((lane) => [store.backlog(lane, Infinity), store.oldestDue(lane)]));
    equal = now === last ? equal + 1 : 0;
    if (equal === times) return;
    last = now;
  }
}
