/**
 * CRLs of one issuer in Redis: of each scope the current one with its octets, the records of the newest, the last number reserved.
 * What was published before lies in the archive of whoever signs, as files.
 *
 * Crash table of a publication, in its order:
 *   archived, no piece in Redis  → the CRL before stays current, until restore finds the newer one in the archive
 *   some or all pieces           → the same; the pieces expire (crl-pieces.ts)
 *   made current, no reply       → it is current; sent again, it finds itself
 * Redis forgets → the newest archived CRL becomes current again (restore), and its number counts as reserved.
 */
import { createHash } from 'node:crypto';
import { completeCrl, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlArchive, CrlDraft, CrlFile } from '../../ports/crl-archive.ts';
import { CrlPieces, GRACE_MS, mustFit, PIECE_OCTETS } from './crl-pieces.ts';
import { decodeCrlRecord, encodeCrlRecord, encodeEvents } from './feed.ts';
import type { IssuerLedger } from './issuer-ledger.ts';
import { scripts, type Connection } from './scripts.ts';
import { changing, unavailable, type Log } from './watch.ts';

const ATTEMPTS = 100;
/** Records per scope that Redis keeps: a thousand shards are forty megabytes. */
const KEPT = 100;

export class IssuerCrls {
  readonly #ledger: IssuerLedger;
  readonly #redis: Connection;
  readonly #pieces: CrlPieces;
  readonly #archive: CrlArchive | undefined;
  readonly #holder: string;
  readonly #leaseMs: number;
  readonly #log: Log | undefined;
  /** Proves the claim; empty when this process never had it. */
  #claim = '';
  /** By shard. One publication at a time, so that none is archived for nothing. */
  readonly #publishing = new Map<string, Promise<unknown>>();

  constructor(
    ledger: IssuerLedger,
    redis: Connection,
    archive: CrlArchive | undefined,
    holder: string,
    leaseMs: number,
    log: Log | undefined,
  ) {
    this.#ledger = ledger;
    this.#redis = redis;
    this.#pieces = new CrlPieces(redis, ledger.watch.keys);
    this.#archive = archive;
    this.#holder = holder;
    this.#leaseMs = leaseMs;
    this.#log = log;
  }

  async current(shard: string): Promise<CrlRecord | undefined> {
    const { crl } = this.#ledger.watch.keys;
    const record = await this.#read(async () => (await this.#redis.hgetBuffer(crl, shard)) ?? undefined);
    return record && decodeCrlRecord(record);
  }

  /** Also those that Redis has forgotten, where this process has archived them: they are to be restored. */
  async scopes(): Promise<readonly CrlScope[]> {
    const { issuer } = this.#ledger;
    const { crl } = this.#ledger.watch.keys;
    const found = await this.#read(async () => {
      const fields = await this.#redis.hkeys(crl);
      return fields.length === 0 ? undefined : fields;
    });
    const shards = new Set(found);
    for (const { shard } of (await this.#archive?.scopes(issuer)) ?? []) shards.add(shard);
    return [...shards].map((shard) => ({ issuer, shard }));
  }

  /** From the archive, else from Redis while it is the current one or was a moment ago. @throws Problem `corrupt` */
  async body(record: CrlRecord): Promise<Buffer> {
    let cause: unknown;
    try {
      if (this.#archive !== undefined) return await this.#archive.read(record);
    } catch (error) {
      cause = error;
    }
    const der = await this.#pieces.read(record, () => Promise.resolve());
    if (der !== undefined) return der;
    if (cause !== undefined) throw cause as Error;
    throw new Problem('corrupt', 'Redis does not hold this CRL, and this process has no archive', {
      field: this.#ledger.watch.keys.piece(record, 0),
      value: `number ${record.number}`,
    });
  }

  /** From the archive; without one a copy in memory, because Redis soon lets go of a CRL that is replaced. @throws Problem `corrupt` */
  async open(record: CrlRecord): Promise<CrlFile> {
    if (this.#archive === undefined) return fileOf(await this.body(record));
    try {
      return await this.#archive.open(record);
    } catch (error) {
      // Published by another process, and not followed yet.
      if ((await this.#fetch(record)) === undefined) throw error;
      return this.#archive.open(record);
    }
  }

  /** @throws Problem `config` in a process without an archive */
  async draft(scope: CrlScope): Promise<CrlDraft> {
    return this.#mustArchive().draft(scope);
  }

  /**
   * For the feed: the DER, archived as well; undefined when a newer CRL has taken its place meanwhile, of which the feed will tell.
   */
  async followed(record: CrlRecord): Promise<Buffer | undefined> {
    const own = await this.#archive?.read(record).catch(() => undefined);
    return own ?? this.#fetch(record);
  }

  /** From Redis, and into the archive. That it cannot be archived here keeps nobody from serving it. */
  async #fetch(record: CrlRecord): Promise<Buffer | undefined> {
    const failed = (error: unknown): undefined => {
      const about = { err: error, shard: record.shard };
      this.#log?.error(about, `CRL ${record.number}, published by another process, cannot be archived here`);
      return undefined;
    };
    let draft = await this.#archive?.draft(record).catch(failed);
    try {
      const der = await this.#pieces.read(record, async (piece) => {
        await draft?.write(piece).catch((error: unknown) => (draft = failed(error)));
      });
      if (der !== undefined && draft !== undefined) await this.#archive?.keep(record, draft).catch(failed);
      return der;
    } finally {
      await draft?.discard();
    }
  }

  async #mayFetch(record: CrlRecord): Promise<void> {
    if (this.#archive !== undefined) await this.#fetch(record).catch(() => undefined);
  }

  async reserve(shard: string, atLeast: bigint): Promise<bigint> {
    const { numbers } = this.#ledger.watch.keys;
    const { instance } = await this.#ledger.watch.trusted();
    let last: string;
    try {
      last = (await this.#redis.hget(numbers, shard)) ?? '';
    } catch (error) {
      throw unavailable(error);
    }
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const next = last === '' ? 1n : BigInt(last) + 1n;
      const number = next > atLeast ? next : atLeast;
      const returned = await this.#ledger.script(scripts.reserve, [instance, shard, last, number.toString()]);
      const [outcome, present] = (returned as readonly Buffer[]).map(String);
      if (outcome === 'done') {
        await this.#ledger.replicated();
        return number;
      }
      if (outcome === 'forgot') break;
      last = present ?? '';
    }
    throw changing();
  }

  /** @throws Problem `too-large` before anything is written */
  publish(record: CrlRecord, draft: CrlDraft, previous: bigint | undefined): Promise<boolean> {
    return this.#alone(record.shard, async () => {
      mustFit(record);
      const current = await this.current(record.shard);
      if (current?.number !== previous) return false;
      // C-10: numbers only grow, whoever asks.
      if (current !== undefined && record.number <= current.number) return false;
      await this.#mustArchive().keep(record, draft);
      return this.#makeCurrent(record, previous);
    });
  }

  /** What is archived. */
  async #makeCurrent(record: CrlRecord, previous: bigint | undefined): Promise<boolean> {
    const { watch } = this.#ledger;
    const { instance } = await watch.trusted();
    const file = await this.#mustArchive().open(record);
    try {
      await this.#pieces.write(record, file, () => this.#ledger.replicated());
    } finally {
      await file.close();
    }
    const outcome = String(
      await this.#ledger.script(scripts.publishCrl, [
        instance,
        previous?.toString() ?? '',
        this.#claim,
        encodeCrlRecord(record),
        PIECE_OCTETS,
        GRACE_MS,
        KEPT,
        this.#ledger.feedLength,
        encodeEvents([{ type: 'crl', record }]),
      ]),
    );
    if (outcome === 'forgot') throw changing();
    if (outcome === 'torn')
      throw new Problem('unavailable', 'Redis has lost pieces of the CRL again; try again', {
        field: watch.keys.crl,
        value: `number ${record.number}`,
      });
    // Sent again after a lost reply, it finds itself.
    if (outcome === 'differ' && (await this.current(record.shard))?.sha256 !== record.sha256) return false;
    await this.#ledger.replicated();
    watch.wake();
    return true;
  }

  /** Redis has the newest; the older ones are told by a process that has archived them. */
  async *list(scope: CrlScope): AsyncIterable<CrlRecord> {
    const key = this.#ledger.watch.keys.crls(scope.shard);
    const newest = await this.#read(async () => {
      const page = await this.#redis.lrangeBuffer(key, 0, -1);
      return page.length === 0 ? undefined : page;
    });
    let last: bigint | undefined;
    for (const record of (newest ?? []).map(decodeCrlRecord)) {
      last = record.number;
      yield record;
    }
    if (this.#archive === undefined) return;
    const older: CrlRecord[] = [];
    for await (const record of this.#archive.list(scope))
      if (last === undefined || record.number < last) older.push(record);
    yield* older.reverse();
  }

  async claim(): Promise<boolean> {
    const { instance } = await this.#ledger.watch.trusted();
    const args = [instance, this.#leaseMs, this.#holder, this.#claim];
    const token = String(await this.#ledger.script(scripts.claim, args));
    if (token === 'forgot') throw changing();
    // Kept even when somebody else has it now: what is published with it must fail (fencing).
    if (token !== '') this.#claim = token;
    return token !== '';
  }

  async release(): Promise<void> {
    await this.#ledger.script(scripts.release, [this.#claim]).catch(() => undefined);
  }

  restore(shard: string): Promise<CrlRecord | undefined> {
    return this.#alone(shard, async () => {
      const newest = await this.#archive?.newest({ ...completeCrl(this.#ledger.issuer), shard });
      const current = await this.current(shard);
      // Published while this process was away: it may be the one that has to restore it.
      if (current !== undefined && current.number > (newest?.number ?? 0n)) await this.#mayFetch(current);
      if (newest === undefined || (current !== undefined && current.number >= newest.number)) return current;
      // Also without the claim: whoever has it may have an older archive, and its next number must be greater than this (C-10).
      await this.reserve(shard, newest.number);
      // Archived with a greater number, and never published: what is current was built later.
      if (current !== undefined && current.thisUpdate >= newest.thisUpdate) return current;
      // Whoever has the claim has restored what it had, and publishes next.
      if (!(await this.claim())) return this.current(shard);
      // The ledger counts anew: nothing leaves the CRL on the strength of its old counts (ports/store.ts).
      const record: CrlRecord = { ...newest, asOfSeq: 0, scheduledAsOfSeq: 0 };
      return (await this.#makeCurrent(record, current?.number)) ? record : this.current(shard);
    });
  }

  /** Of the ledger that is relied on. None at all is said only of a ledger that is the same before and after (P1). */
  async #read<T>(get: () => Promise<T | undefined>): Promise<T | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { instance } = await this.#ledger.watch.trusted();
      let found: T | undefined;
      try {
        found = await get();
      } catch (error) {
        throw unavailable(error);
      }
      if (found === undefined) await this.#ledger.watch.confirmed();
      if (this.#ledger.watch.instance === instance) return found;
    }
    throw changing();
  }

  #mustArchive(): CrlArchive {
    if (this.#archive !== undefined) return this.#archive;
    throw new Problem('config', 'a process without the signer role has no archive of CRLs', { field: 'roles' });
  }

  #alone<T>(shard: string, work: () => Promise<T>): Promise<T> {
    const done = (this.#publishing.get(shard) ?? Promise.resolve()).then(work);
    const settled = done.catch(() => undefined);
    this.#publishing.set(shard, settled);
    void settled.then(() => {
      if (this.#publishing.get(shard) === settled) this.#publishing.delete(shard);
    });
    return done;
  }
}

/** Octets in memory that nobody changes. */
function fileOf(der: Buffer): CrlFile {
  return {
    octets: der.length,
    read: (at, length) =>
      at + length <= der.length
        ? Promise.resolve(der.subarray(at, at + length))
        : Promise.reject(new Problem('corrupt', `ends at ${der.length}`, { field: 'CertificateList' })),
    digest: () => Promise.resolve(createHash('sha256').update(der).digest('hex')),
    close: () => Promise.resolve(),
  };
}
