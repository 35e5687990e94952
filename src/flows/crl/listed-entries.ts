/**
 * The entries of a published CRL in ascending order, and at the end whether its octets are the ones that were published. Of a CRL of
 * ten million entries no more is in memory than of one of ten thousand.
 */
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import type { CrlFrame } from '../../core/crl/crl-frame.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import { Problem } from '../../core/problem.ts';
import { algorithmOf } from '../../core/signature-algorithm.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import { EntryCursor, openedCrl, type OpenedCrl } from './crl-entries.ts';

/** Entries in no order are in memory; each costs some hundred octets. */
const MOST_SORTED = 500_000;

export interface CrlOctets {
  readonly sha256: string;
  readonly signedByIssuer: boolean;
}

export class ListedEntries {
  readonly frame: CrlFrame;
  readonly #opened: OpenedCrl;
  readonly #hash = createHash('sha256');
  readonly #verify: ReturnType<typeof createVerify> | undefined;
  readonly #cursor: EntryCursor;
  #sorted: readonly CrlEntryView[] | undefined;
  #head: CrlEntryView | undefined;
  #count = 0;

  private constructor(opened: OpenedCrl) {
    const { source, regions, frame, head } = opened;
    this.frame = frame;
    this.#opened = opened;
    const algorithm = algorithmOf(frame.signatureAlgorithm);
    this.#verify = algorithm && createVerify(algorithm.hash);
    this.#hash.update(head);
    this.#verify?.update(head.subarray(regions.tbsAt));
    const seen = (octets: Buffer): void => {
      this.#hash.update(octets);
      this.#verify?.update(octets);
    };
    // An entry may be looked at for longer than its piece, and those that are sorted all are.
    this.#cursor = new EntryCursor(source, regions, seen, 'kept');
  }

  /**
   * @param sort whatever order the file has: then it may have no more than MOST_SORTED entries.
   * @throws Problem `corrupt`, `too-large`
   */
  static async open(source: CrlSource, sort: boolean): Promise<ListedEntries> {
    const entries = new ListedEntries(await openedCrl(source));
    if (sort) await entries.#sort();
    else await entries.next();
    return entries;
  }

  /** The entry that is looked at; undefined behind the last one. */
  get head(): CrlEntryView | undefined {
    return this.#head;
  }

  /** Entries so far, the one that is looked at included. */
  get count(): number {
    return this.#count;
  }

  /** To the next entry; a promise only where it must be read first. @throws Problem `corrupt` at one that cannot be read. */
  next(): Promise<void> | undefined {
    if (this.#sorted === undefined && this.#cursor.short) return this.#cursor.fill().then(() => this.#step());
    this.#step();
    return undefined;
  }

  #step(): void {
    if (this.#sorted !== undefined) this.#head = this.#sorted[this.#count];
    else if (this.#cursor.done) this.#head = undefined;
    else {
      this.#head = this.#cursor.peek();
      this.#cursor.skip();
    }
    if (this.#head !== undefined) this.#count += 1;
  }

  async #sort(): Promise<void> {
    const all: CrlEntryView[] = [];
    for (await this.next(); this.#head !== undefined; await this.next()) {
      if (all.push(this.#head) > MOST_SORTED)
        throw new Problem('too-large', `over ${MOST_SORTED} entries in no order`, { field: 'revokedCertificates' });
    }
    this.#sorted = all.sort((a, b) => Buffer.compare(a.serialOctets, b.serialOctets));
    this.#count = 0;
    this.#step();
  }

  /** Once, behind the last entry. */
  octets(issuerKey: KeyObject): CrlOctets {
    const { tail, regions } = this.#opened;
    this.#hash.update(tail);
    this.#verify?.update(tail.subarray(0, regions.tbsEnd - regions.entriesEnd));
    const algorithm = algorithmOf(this.frame.signatureAlgorithm);
    const fits = algorithm !== undefined && (algorithm.kind === 'rsa') === (issuerKey.asymmetricKeyType === 'rsa');
    return {
      sha256: this.#hash.digest('hex'),
      signedByIssuer: fits && this.#verify?.verify(issuerKey, this.frame.signatureValue) === true,
    };
  }
}
