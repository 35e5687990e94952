/**
 * CRLs of one issuer in Redis: the current one with its bytes, the records of all, the last number reserved. What was published
 * before lies in the archive of whoever signs, as files.
 *
 * Crash table of a publication: after the archive and before Redis → the file is not current, its number is never used again.
 * Redis forgets → the newest archived CRL becomes current again (restore), and its number counts as reserved.
 */
import { createHash } from 'node:crypto';
import { completeCrl, type CrlRecord } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { CrlArchive } from '../../ports/crl-archive.ts';
import { decodeCrlRecord, encodeCrlRecord, encodeEvents } from './feed.ts';
import type { IssuerLedger } from './issuer-ledger.ts';
import { scripts, type Connection } from './scripts.ts';
import { changing, unavailable, type Log } from './watch.ts';

const ATTEMPTS = 100;
/** Records per reply. */
const PAGE = 100;

export class IssuerCrls {
  readonly #ledger: IssuerLedger;
  readonly #redis: Connection;
  readonly #archive: CrlArchive | undefined;
  readonly #holder: string;
  readonly #leaseMs: number;
  readonly #log: Log | undefined;
  /** Proves the claim; empty when this process never had it. */
  #claim = '';
  /** One publication at a time, so that none is archived for nothing. */
  #publishing: Promise<unknown> = Promise.resolve();

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
    this.#archive = archive;
    this.#holder = holder;
    this.#leaseMs = leaseMs;
    this.#log = log;
  }

  async current(): Promise<CrlRecord | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { instance } = await this.#ledger.watch.trusted();
      const record = await this.#field('record');
      // None at all is said only of a ledger that is the same before and after.
      if (record === undefined) await this.#ledger.watch.confirmed();
      if (this.#ledger.watch.instance === instance) return record && decodeCrlRecord(record);
    }
    throw changing();
  }

  /** From Redis while it is the current one, else from the archive. @throws Problem `corrupt` */
  async body(record: CrlRecord): Promise<Buffer> {
    const der = await this.#field('der');
    if (der !== undefined && createHash('sha256').update(der).digest('hex') === record.sha256) return der;
    if (this.#archive !== undefined) return this.#archive.read(record);
    throw new Problem('corrupt', 'Redis does not hold this CRL, and this process has no archive', {
      field: this.#ledger.watch.keys.crl,
      value: `number ${record.number}`,
    });
  }

  /**
   * For the feed: the DER, archived as well; undefined when a newer CRL has taken its place meanwhile, of which the feed will tell.
   */
  async followed(record: CrlRecord): Promise<Buffer | undefined> {
    let der: Buffer;
    try {
      der = await this.body(record);
    } catch (error) {
      if (!(error instanceof Problem) || error.code === 'unavailable') throw error;
      return undefined;
    }
    await this.#archive?.write(record, der).catch((error: unknown) => {
      this.#log?.error({ err: error }, `CRL ${record.number}, published by another process, cannot be archived here`);
    });
    return der;
  }

  async reserve(atLeast: bigint): Promise<bigint> {
    const { meta } = this.#ledger.watch.keys;
    const { instance } = await this.#ledger.watch.trusted();
    let last: string;
    try {
      last = (await this.#redis.hget(meta, 'number')) ?? '';
    } catch (error) {
      throw unavailable(error);
    }
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const next = last === '' ? 1n : BigInt(last) + 1n;
      const number = next > atLeast ? next : atLeast;
      const returned = await this.#ledger.script(scripts.reserve, [instance, last, number.toString()]);
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

  publish(record: CrlRecord, der: Buffer, previous: bigint | undefined): Promise<boolean> {
    const published = this.#publishing.then(() => this.#publish(record, der, previous));
    this.#publishing = published.catch(() => undefined);
    return published;
  }

  async #publish(record: CrlRecord, der: Buffer, previous: bigint | undefined): Promise<boolean> {
    const current = await this.current();
    if (current?.number !== previous) return false;
    // C-10: numbers only grow, whoever asks.
    if (current !== undefined && record.number <= current.number) return false;
    await this.#archive?.write(record, der);
    return this.#makeCurrent(record, der, previous);
  }

  async #makeCurrent(record: CrlRecord, der: Buffer, previous: bigint | undefined): Promise<boolean> {
    const { instance } = await this.#ledger.watch.trusted();
    const outcome = await this.#ledger.script(scripts.publishCrl, [
      instance,
      previous?.toString() ?? '',
      this.#claim,
      record.number.toString(),
      encodeCrlRecord(record),
      der,
      this.#ledger.feedLength,
      encodeEvents([{ type: 'crl', record }]),
    ]);
    if (String(outcome) === 'forgot') throw changing();
    // Sent again after a lost reply, it finds itself.
    if (String(outcome) === 'differ' && (await this.current())?.sha256 !== record.sha256) return false;
    await this.#ledger.replicated();
    this.#ledger.watch.wake();
    return true;
  }

  async *list(): AsyncIterable<CrlRecord> {
    const { crls } = this.#ledger.watch.keys;
    // A CRL that is published meanwhile moves all others one on: what was listed is passed over.
    let last: bigint | undefined;
    for (let from = 0; ; from += PAGE) {
      await this.#ledger.watch.trusted();
      let page: Buffer[];
      try {
        page = await this.#redis.lrangeBuffer(crls, from, from + PAGE - 1);
      } catch (error) {
        throw unavailable(error);
      }
      if (from === 0 && page.length === 0) await this.#ledger.watch.confirmed();
      for (const record of page.map(decodeCrlRecord)) {
        if (last !== undefined && record.number >= last) continue;
        last = record.number;
        yield record;
      }
      if (page.length < PAGE) return;
    }
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

  async restore(): Promise<CrlRecord | undefined> {
    const newest = await this.#archive?.newest(completeCrl(this.#ledger.issuer));
    const current = await this.current();
    if (newest === undefined || this.#archive === undefined) return current;
    if (current !== undefined && current.number >= newest.number) return current;
    // The ledger counts anew: nothing leaves the CRL on the strength of its old counts (ports/store.ts).
    const record: CrlRecord = { ...newest, asOfSeq: 0, scheduledAsOfSeq: 0 };
    const der = await this.#archive.read(newest);
    // Also without the claim: whoever has it may have an older archive, and its next number must be greater than this (C-10).
    await this.reserve(newest.number);
    // Whoever has the claim has restored what it had, and publishes next.
    if (!(await this.claim())) return this.current();
    return (await this.#makeCurrent(record, der, current?.number)) ? record : this.current();
  }

  async #field(name: 'record' | 'der'): Promise<Buffer | undefined> {
    try {
      return (await this.#redis.hgetBuffer(this.#ledger.watch.keys.crl, name)) ?? undefined;
    } catch (error) {
      throw unavailable(error);
    }
  }
}
