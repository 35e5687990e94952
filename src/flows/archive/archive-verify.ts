/**
 * Reads the whole archive again, and its second place (SR-5.5.7, CT-5.5.7): every CRL is hashed, parsed by the strict reader, its signature
 * verified and its place in the sequence proved; every certificate is hashed; every copy is fetched and hashed. What is damaged in one
 * place is mended from the other, where that is wanted: the damaged file stays, under another name.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { certificateName, crlName, readCrlName, recordName, scopeName } from '../../core/archive/copy-name.ts';
import { recordText } from '../../core/archive/record-text.ts';
import { judgeSequence } from '../../core/archive/sequence.ts';
import type { CrlRecord, CrlScope, IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { ArchiveProblem, ArchiveReport, KeptArchive } from '../../ports/archive-upkeep.ts';
import type { Clock } from '../../ports/clock.ts';
import { archivedKeys, bringBack, checkArchived, copiedRecord, hashCopy } from './archive-check.ts';
import { inMemory } from './archive-copy.ts';
import { digestOf } from '../sign/check-answer.ts';

/** A verification that finds everything damaged is told of by the first of it. */
const MAX_PROBLEMS = 1000;

export interface VerifyProgress {
  /** CRLs looked at. */
  items: number;
  /** Octets hashed, and to hash. */
  done: number;
  total: number;
}

export interface VerifyOptions {
  readonly actor: string;
  readonly repair: boolean;
  readonly progress: VerifyProgress;
  /** True: the verification ends with Problem `unavailable`. */
  readonly stopped: () => boolean;
}

/** @throws Problem `unavailable` when the second place does not answer: then nothing is known, and nothing is reported. */
export async function verifyArchive(
  archive: KeptArchive,
  copies: ArchiveCopies | undefined,
  clock: Clock,
  options: VerifyOptions,
): Promise<ArchiveReport> {
  return new Verification(archive, copies, clock, options).run();
}

class Verification {
  readonly #archive: KeptArchive;
  readonly #copies: ArchiveCopies | undefined;
  readonly #clock: Clock;
  readonly #options: VerifyOptions;
  readonly #problems: ArchiveProblem[] = [];
  readonly #counts = { scopes: 0, crls: 0, certificates: 0, dropped: 0, copies: 0, repaired: 0 };

  constructor(archive: KeptArchive, copies: ArchiveCopies | undefined, clock: Clock, options: VerifyOptions) {
    this.#archive = archive;
    this.#copies = copies;
    this.#clock = clock;
    this.#options = options;
  }

  async run(): Promise<ArchiveReport> {
    const startedAt = this.#clock.now();
    const lines: { readonly scope: CrlScope; readonly records: readonly CrlRecord[] }[] = [];
    for (const issuer of await this.#archive.issuers()) {
      await this.#certificates(issuer);
      for (const scope of await this.#archive.scopes(issuer))
        lines.push({ scope, records: await this.#records(scope) });
    }
    const places = this.#copies === undefined ? 1 : 2;
    for (const { records } of lines)
      this.#options.progress.total += places * records.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { scope, records } of lines) await this.#scope(scope, records);
    const { copies, ...counts } = this.#counts;
    return {
      startedAt,
      finishedAt: this.#clock.now(),
      actor: this.#options.actor,
      ...counts,
      octets: this.#options.progress.done,
      copies: this.#copies === undefined ? undefined : copies,
      problems: this.#problems,
    };
  }

  /** Those that can be read; the others are problems, or mended. */
  async #records(scope: CrlScope): Promise<readonly CrlRecord[]> {
    const records: CrlRecord[] = [];
    let copied: ReadonlyMap<bigint, string> | undefined;
    for (const number of await this.#archive.numbers(scope)) {
      try {
        records.push(await this.#archive.record(scope, number));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        copied ??= await this.#copiedRecords(scope);
        const name = copied.get(number);
        const mended = await this.#mend(name !== undefined, async () => {
          const record = await copiedRecord(this.#copies as ArchiveCopies, name as string);
          await this.#archive.setAside(record, 'record', this.#clock.now());
          await this.#archive.keepRecord(record);
          records.push(record);
        });
        this.#found('archive', error.field ?? `number ${number}`, error.message, 'CT-5.5.7', mended);
      }
    }
    return records;
  }

  async #copiedRecords(scope: CrlScope): Promise<ReadonlyMap<bigint, string>> {
    const names = new Map<bigint, string>();
    if (this.#copies === undefined) return names;
    for await (const { name } of this.#copies.list(scopeName(scope))) {
      const told = readCrlName(name);
      if (told?.kind === 'json') names.set(told.number, name);
    }
    return names;
  }

  async #scope(scope: CrlScope, records: readonly CrlRecord[]): Promise<void> {
    this.#counts.scopes += 1;
    for (const message of judgeSequence(records, []).missing)
      this.#found('archive', scopeName(scope), message, 'CT-5.5.1-3', false);
    const keys = await archivedKeys(this.#archive, scope.issuer);
    const copied = new Map<string, number>();
    let newestCopied = -1n;
    if (this.#copies !== undefined) {
      for await (const { name, octets } of this.#copies.list(scopeName(scope))) {
        copied.set(name, octets);
        const told = readCrlName(name);
        if (told?.kind === 'json' && told.number > newestCopied) newestCopied = told.number;
      }
    }
    for (const record of records) {
      this.#mustGoOn();
      const dropped = (await this.#archive.dropped(record)) !== undefined;
      if (dropped) this.#counts.dropped += 1;
      const good = dropped || (await this.#local(record, keys, copied.has(crlName(record))));
      // What is newer is on its way; how late it is has a gauge of its own.
      if (this.#copies !== undefined && record.number <= newestCopied)
        await this.#copy(this.#copies, record, copied, { good, dropped });
      this.#counts.crls += 1;
      this.#options.progress.items += 1;
    }
  }

  /** @returns whether it is what was published, be it after mending. */
  async #local(record: CrlRecord, keys: readonly KeyObject[], copied: boolean): Promise<boolean> {
    try {
      const file = await this.#archive.open(record);
      await checkArchived(file, record, keys).finally(() => file.close());
      this.#options.progress.done += record.bytes;
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const mended = await this.#mend(copied, async () => {
        await this.#archive.setAside(record, 'crl', this.#clock.now());
        await bringBack(this.#archive, this.#copies as ArchiveCopies, record);
        const file = await this.#archive.open(record);
        await checkArchived(file, record, keys).finally(() => file.close());
      });
      this.#found(
        'archive',
        `${scopeName(record)}${record.number}.crl`,
        error.message,
        error.rule ?? 'CT-5.5.7',
        mended,
      );
      return mended;
    }
  }

  async #copy(
    copies: ArchiveCopies,
    record: CrlRecord,
    copied: ReadonlyMap<string, number>,
    local: { readonly good: boolean; readonly dropped: boolean },
  ): Promise<void> {
    const text = Buffer.from(recordText(record));
    if (!copied.has(recordName(record))) {
      const mended = await this.#mend(true, () => copies.put(recordName(record), inMemory(text), digestOf(text)));
      this.#found('copy', recordName(record), 'the record of the CRL is not there', 'SR-5.5.4', mended);
    }
    if (local.dropped) return;
    const name = crlName(record);
    const again = async (): Promise<void> => {
      const file = await this.#archive.open(record);
      await copies.put(name, file, record.sha256).finally(() => file.close());
    };
    if (!copied.has(name)) {
      this.#found('copy', name, 'it is not there', 'SR-5.5.4', await this.#mend(local.good, again));
      return;
    }
    try {
      await hashCopy(copies, name, record.sha256, (octets) => (this.#options.progress.done += octets));
      this.#counts.copies += 1;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // A server that finds damage itself breaks off; one that is away does not answer this question either, and that ends it all.
      if (error.code === 'unavailable') await copies.size(name);
      const mended = await this.#mend(local.good, async () => {
        await copies.remove(name);
        await again();
      });
      this.#found('copy', name, error.message, error.rule ?? 'SR-5.5.7', mended);
    }
  }

  async #certificates(issuer: IssuerTag): Promise<void> {
    for (const { sha256, der } of await this.#archive.certificates(issuer)) {
      this.#mustGoOn();
      const name = certificateName(issuer, sha256);
      this.#counts.certificates += 1;
      if (createHash('sha256').update(der).digest('hex') !== sha256)
        this.#found('archive', name, 'its SHA-256 is not that of its name: it was altered', 'CT-5.5.1-1', false);
      else if (this.#copies !== undefined && (await this.#copies.size(name)) === undefined) {
        const copies = this.#copies;
        const mended = await this.#mend(true, () => copies.put(name, inMemory(der), sha256));
        this.#found('copy', name, 'it is not there', 'CT-5.5.1-1', mended);
      }
    }
  }

  /** False where nothing is to be mended, or that did not succeed. */
  async #mend(possible: boolean, run: () => Promise<void>): Promise<boolean> {
    if (!this.#options.repair || !possible || this.#copies === undefined) return false;
    try {
      await run();
    } catch (error) {
      if (error instanceof Problem && error.code !== 'unavailable') return false;
      throw error;
    }
    this.#counts.repaired += 1;
    return true;
  }

  #found(where: ArchiveProblem['where'], name: string, message: string, rule: string, repaired: boolean): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push({ where, name, message, rule, repaired });
  }

  #mustGoOn(): void {
    if (this.#options.stopped()) throw new Problem('unavailable', 'the verification was stopped');
  }
}
