/**
 * The current CRLs of an issuer against the certificates of its ledger (reconcile.ts): every entry against its certificate, every
 * revoked certificate for an entry, and the octets of each CRL. One CRL is open at a time.
 */
import { COMPLETE, type Certificate, type CrlRecord, type CrlScope } from '../../core/certificate.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import { Problem } from '../../core/problem.ts';
import { judgeListing } from '../../core/reconcile/judgement.ts';
import type { RevokedSerials } from '../../core/reconcile/revoked-serials.ts';
import type { Tally } from '../../core/reconcile/tally.ts';
import type { Serial } from '../../core/serial.ts';
import type { Clock } from '../../ports/clock.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import { ListedEntries } from '../crl/listed-entries.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

/** Certificates that are read once more together. */
const DOUBTFUL_AT_ONCE = 500;
/** A few milliseconds of reading. */
const ENTRIES_PER_STEP = 2000;
/** The CRL is replaced while it is opened: the next one is. */
const ATTEMPTS = 3;

export interface ComparisonParts {
  readonly issuer: ServedIssuer;
  readonly store: Pick<Ledger, 'find'> & Pick<CrlShelf, 'current' | 'openCrl'>;
  readonly clock: Clock;
  readonly tally: Tally;
  readonly breathe: () => Promise<void>;
}

/** Something that a CRL says, or does not say, of one certificate. */
interface Doubt {
  readonly serial: Serial;
  readonly listed: CrlEntryView | undefined;
  readonly record: CrlRecord;
}

export class CrlComparison {
  /** By shard: the CRL that was compared, else the one that was current at the beginning; undefined where there was none. */
  readonly records: ReadonlyMap<string, CrlRecord | undefined>;
  readonly #records: Map<string, CrlRecord | undefined>;
  readonly #parts: ComparisonParts;
  readonly #revoked: RevokedSerials;
  /** Of those that had a CRL at the beginning, by their number for RevokedSerials. */
  readonly #shards: readonly string[];
  readonly #numbers: ReadonlyMap<string, number>;
  /** Of each shard, the CRL whose octets were judged; a later pass reads it for its entries alone. */
  readonly #judged = new Map<string, bigint>();

  private constructor(records: Map<string, CrlRecord | undefined>, revoked: RevokedSerials, parts: ComparisonParts) {
    this.records = this.#records = records;
    this.#parts = parts;
    this.#revoked = revoked;
    this.#shards = [...records.keys()].filter((shard) => records.get(shard) !== undefined);
    this.#numbers = new Map(this.#shards.map((shard, number) => [shard, number]));
  }

  static async of(shards: readonly string[], revoked: RevokedSerials, parts: ComparisonParts): Promise<CrlComparison> {
    const { issuer, store } = parts;
    const records = new Map<string, CrlRecord | undefined>();
    for (const shard of shards) records.set(shard, await store.current({ issuer: issuer.tag, shard }));
    return new CrlComparison(records, revoked, parts);
  }

  /** A page of the ledger, in any order. */
  collect(page: readonly Certificate[]): void {
    const { issuer, clock } = this.#parts;
    for (const certificate of page) {
      const { serial, revocation, crlShard } = certificate;
      if (revocation === undefined) continue;
      for (const shard of crlShard === undefined ? [COMPLETE] : [COMPLETE, crlShard]) {
        const record = this.#records.get(shard);
        const number = this.#numbers.get(shard);
        if (record === undefined || number === undefined) continue;
        // What may have left this CRL may be missing in the next one too.
        if (judgeListing(issuer.profile, certificate, undefined, record, clock.now()).kind === 'agrees') continue;
        this.#revoked.add(number, serial, { revocationDate: revocation.revokedAt, reason: revocation.reason });
      }
    }
  }

  /** What was collected, against every CRL. @throws Problem `unavailable` */
  async compare(): Promise<void> {
    const compared = new Map<number, CrlRecord>();
    for (const [number, shard] of this.#shards.entries()) {
      const record = await this.#compareCrl(shard, number);
      if (record !== undefined) compared.set(number, record);
    }
    const doubtful: Doubt[] = [];
    for (const part of this.#revoked.unlisted()) {
      for (const { scope, serial } of part) {
        const record = compared.get(scope);
        if (record !== undefined) doubtful.push({ serial, listed: undefined, record });
        if (doubtful.length >= DOUBTFUL_AT_ONCE) await this.#confirm(doubtful.splice(0));
      }
      if (this.#revoked.count > ENTRIES_PER_STEP) await this.#parts.breathe();
    }
    await this.#confirm(doubtful);
  }

  /** Undefined when it cannot be read, which is a difference of its own. */
  async #compareCrl(shard: string, number: number): Promise<CrlRecord | undefined> {
    const { issuer, store } = this.#parts;
    const scope: CrlScope = { issuer: issuer.tag, shard };
    for (let attempt = 1; ; attempt++) {
      const record = await store.current(scope);
      this.#records.set(shard, record);
      if (record === undefined) return undefined;
      try {
        await this.#read(record, number);
        this.#judged.set(shard, record.number);
        return record;
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'corrupt') throw error;
        if (attempt < ATTEMPTS && (await store.current(scope))?.number !== record.number) continue;
        if (this.#judged.get(shard) !== record.number)
          this.#differs('archive', `CRL ${record.number}: ${error.line}`, 'P6', shard);
        this.#judged.set(shard, record.number);
        return undefined;
      }
    }
  }

  /** @throws Problem `corrupt`, `unavailable` */
  async #read(record: CrlRecord, number: number): Promise<void> {
    const { store, tally, breathe } = this.#parts;
    const again = this.#judged.get(record.shard) === record.number;
    const file = await store.openCrl(record);
    try {
      const entries = await ListedEntries.open(file);
      let doubtful: Doubt[] = [];
      let ascending = true;
      let before: Uint8Array | undefined;
      for (let { head } = entries; head !== undefined; { head } = entries) {
        const { serial, serialOctets } = head;
        ascending &&= before === undefined || Buffer.compare(before, serialOctets) < 0;
        before = serialOctets;
        if (!again) tally.entries += 1;
        if (serial === undefined) {
          const octets = Buffer.from(serialOctets).toString('hex');
          if (!again)
            this.#differs('crl', `on CRL ${record.number}, and no serial number`, 'C-28', record.shard, octets);
        } else if (!this.#revoked.listed(number, serialOctets, head)) doubtful.push({ serial, listed: head, record });
        if (doubtful.length >= DOUBTFUL_AT_ONCE) {
          await this.#confirm(doubtful);
          doubtful = [];
        }
        if (entries.count % ENTRIES_PER_STEP === 0) await breathe();
        const more = entries.next();
        if (more !== undefined) await more;
      }
      await this.#confirm(doubtful);
      if (!again) this.#judgeOctets(record, entries, ascending);
      await breathe();
    } finally {
      await file.close();
    }
  }

  #judgeOctets(record: CrlRecord, entries: ListedEntries, ascending: boolean): void {
    const wrong: string[] = [];
    const { sha256, signedByIssuer } = entries.octets(this.#parts.issuer.issuer.publicKey);
    if (sha256 !== record.sha256) wrong.push('its octets are not those that were published');
    if (!signedByIssuer) wrong.push('its signature does not verify with the CA certificate');
    if (entries.count !== record.entries) wrong.push(`${entries.count} entries, not ${record.entries}`);
    if (entries.frame.number !== record.number) wrong.push(`its number is ${entries.frame.number}`);
    if (entries.frame.thisUpdate !== record.thisUpdate) wrong.push(`its thisUpdate is not that of the record`);
    if (entries.frame.nextUpdate !== record.nextUpdate) wrong.push(`its nextUpdate is not that of the record`);
    // Whoever signed an imported one had an order of his own.
    if (!ascending && record.kind !== 'imported') wrong.push('its entries do not ascend');
    for (const message of wrong) this.#differs('archive', `CRL ${record.number}: ${message}`, 'P6', record.shard);
  }

  /** The ledger as it is now. */
  async #confirm(doubtful: readonly Doubt[]): Promise<void> {
    if (doubtful.length === 0) return;
    const { issuer, store, clock, tally } = this.#parts;
    const known = await store.find(issuer.tag, doubtful.map(({ serial }) => serial)); // prettier-ignore
    for (const [i, { serial, listed, record }] of doubtful.entries()) {
      const certificate = known[i];
      const { shard } = record;
      if (certificate === undefined) {
        // One that the ledger has and does not find is a difference of its answer.
        if (listed !== undefined)
          this.#differs('crl', `on CRL ${record.number}, and not in the ledger`, 'SR-2.2-a', shard, serial);
      } else if (shard !== COMPLETE && certificate.crlShard !== shard) {
        const own = certificate.crlShard ?? 'none';
        if (listed !== undefined)
          this.#differs('crl', `on CRL ${record.number}, and its shard is ${own}`, 'T-38', shard, serial);
      } else {
        const judgement = judgeListing(issuer.profile, certificate, listed, record, clock.now());
        if (judgement.kind === 'pending') tally.waits('crl', judgement.since);
        if (judgement.kind === 'differs') this.#differs('crl', judgement.message, judgement.rule, shard, serial);
      }
    }
  }

  #differs(channel: 'crl' | 'archive', message: string, rule: string, shard: string, serial?: string): void {
    const issuer = this.#parts.issuer.id;
    this.#parts.tally.differs({ issuer, channel, shard, ...(serial !== undefined && { serial }), message, rule });
  }
}
