/**
 * The CRLs of the embedded store: which one of each scope is current, and which numbers are used up. Their octets are in the archive.
 *
 * Numbers and publications are synced, because the journal does not give them back. Each scope has a turn of its own, apart from
 * that of the certificates: a revocation does not wait while a large CRL reaches the disk.
 */
import type { CrlRecord, CrlScope, IssuerTag } from '../../core/certificate.ts';
import type { CrlArchive, CrlDraft } from '../../ports/crl-archive.ts';
import type { Database } from './database.ts';
import { crlKey, crlNumberKey, range, scopeOf, scopeRange } from './keys.ts';
import { decodeCrlRecord, encodeCrlRecord } from './records.ts';

/** Of a CRL, read at once. */
const CRL_PIECE = 1 << 20;

/** `heard`: when those who serve have heard; in an object so that an async function does not wait for it. */
export interface Told {
  readonly heard: Promise<void> | undefined;
}

export class Crls {
  readonly #db: Database;
  readonly #archive: CrlArchive;
  readonly #tell: (record: CrlRecord, der: Buffer) => Told;
  /** By scope: serialises what reads and then writes. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** CRLs that are current here, and of which those who serve have not all heard; by key. */
  readonly #relaying = new Set<string>();

  constructor(db: Database, archive: CrlArchive, tell: (record: CrlRecord, der: Buffer) => Told) {
    this.#db = db;
    this.#archive = archive;
    this.#tell = tell;
  }

  async current(scope: CrlScope): Promise<CrlRecord | undefined> {
    for await (const record of this.list(scope)) return record;
    return undefined;
  }

  /** Newest first. */
  async *list(scope: CrlScope): AsyncIterable<CrlRecord> {
    for await (const value of this.#db.values({ ...scopeRange('l', scope), reverse: true }))
      yield decodeCrlRecord(value);
  }

  /** Also those that the archive has and the store has not: it was restored from a backup, or made anew from the journal. */
  async scopes(issuer: IssuerTag): Promise<readonly CrlScope[]> {
    const shards = new Set<string>();
    for (let rest = range('l', issuer); ;) {
      const [first] = await this.#db.keys({ ...rest, limit: 1 }).all();
      if (first === undefined) break;
      const scope = scopeOf(first);
      shards.add(scope.shard);
      rest = { ...rest, gte: scopeRange('l', scope).lt };
    }
    for (const { shard } of await this.#archive.scopes(issuer)) shards.add(shard);
    return [...shards].map((shard) => ({ issuer, shard }));
  }

  reserve(scope: CrlScope, atLeast: bigint): Promise<bigint> {
    return this.#inTurn(scope, () => this.#reserve(scope, atLeast));
  }

  async publish(record: CrlRecord, draft: CrlDraft, previous: bigint | undefined): Promise<boolean> {
    const told = await this.#inTurn(record, async () => {
      const current = await this.current(record);
      if (current?.number !== previous) return undefined;
      // C-10: numbers only grow, whoever asks.
      if (current !== undefined && record.number <= current.number) return undefined;
      // While it reaches the disk; `keep` compares its digest with the record's.
      const der = await octetsOf(draft);
      await this.#archive.keep(record, draft);
      return this.#makeCurrent(record, der);
    });
    await told?.heard;
    return told !== undefined;
  }

  async restore(scope: CrlScope): Promise<CrlRecord | undefined> {
    const told = await this.#inTurn(scope, async () => {
      const newest = await this.#archive.newest(scope);
      const current = await this.current(scope);
      if (newest === undefined || (current !== undefined && current.number >= newest.number)) return undefined;
      // The store is older than the archive: it was restored from a backup, or made anew from the journal.
      await this.#reserve(scope, newest.number);
      // Archived with a greater number, and never published: what is current was built later.
      if (current !== undefined && current.thisUpdate >= newest.thisUpdate) return undefined;
      return this.#makeCurrent({ ...newest, asOfSeq: 0, scheduledAsOfSeq: 0 }, await this.#archive.read(newest));
    });
    await told?.heard;
    return this.current(scope);
  }

  isRelayed(record: CrlRecord): boolean {
    return !this.#relaying.has(crlKey(record, record.number).toString('latin1'));
  }

  /** Resolves when nothing that was asked for before is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#turns.values());
  }

  async #reserve(scope: CrlScope, atLeast: bigint): Promise<bigint> {
    const value = await this.#db.get(crlNumberKey(scope));
    const next = value === undefined ? 1n : BigInt(value.toString()) + 1n;
    const number = next > atLeast ? next : atLeast;
    await this.#db.put(crlNumberKey(scope), Buffer.from(number.toString()), { sync: true });
    return number;
  }

  async #makeCurrent(record: CrlRecord, der: Buffer): Promise<Told> {
    const key = crlKey(record, record.number);
    // Before the record: from then on it is read.
    const relaying = key.toString('latin1');
    this.#relaying.add(relaying);
    const heard = (): void => void this.#relaying.delete(relaying);
    try {
      await this.#db.put(key, encodeCrlRecord(record), { sync: true });
    } catch (error) {
      heard();
      throw error;
    }
    const told = this.#tell(record, der);
    if (told.heard === undefined) heard();
    else void told.heard.then(heard, heard);
    return told;
  }

  #inTurn<T>({ issuer, shard }: CrlScope, run: () => Promise<T>): Promise<T> {
    const scope = `${issuer} ${shard}`;
    const result = (this.#turns.get(scope) ?? Promise.resolve()).then(run);
    const settled = result.catch(() => undefined);
    this.#turns.set(scope, settled);
    void settled.then(() => {
      if (this.#turns.get(scope) === settled) this.#turns.delete(scope);
    });
    return result;
  }
}

async function octetsOf(draft: CrlDraft): Promise<Buffer> {
  const der = Buffer.allocUnsafeSlow(draft.octets);
  for (let at = 0; at < der.length; at += CRL_PIECE) {
    const into = der.subarray(at, at + CRL_PIECE);
    const octets = await draft.read(at, into.length, into);
    if (octets.buffer !== der.buffer) octets.copy(into);
  }
  return der;
}
