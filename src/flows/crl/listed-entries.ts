/**
 * The entries of a published CRL in their order, and at the end whether its octets are the ones that were published. Of a CRL of
 * ten million entries no more is in memory than of one of ten thousand.
 */
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import type { CrlFrame } from '../../core/crl/crl-frame.ts';
import type { CrlEntryView } from '../../core/crl/crl-reader.ts';
import { algorithmOf, verifierOf } from '../../core/signature-algorithm.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import { EntryCursor, openedCrl, type OpenedCrl } from './crl-entries.ts';

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
    // An entry may be looked at for longer than its piece.
    this.#cursor = new EntryCursor(source, regions, seen, 'kept');
  }

  /** @throws Problem `corrupt` */
  static async open(source: CrlSource): Promise<ListedEntries> {
    const entries = new ListedEntries(await openedCrl(source));
    await entries.next();
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
    if (this.#cursor.short) return this.#cursor.fill().then(() => this.#step());
    this.#step();
    return undefined;
  }

  #step(): void {
    if (this.#cursor.done) this.#head = undefined;
    else {
      this.#head = this.#cursor.peek();
      this.#cursor.skip();
    }
    if (this.#head !== undefined) this.#count += 1;
  }

  /** Once, behind the last entry. */
  octets(issuerKey: KeyObject): CrlOctets {
    const { tail, regions } = this.#opened;
    this.#hash.update(tail);
    this.#verify?.update(tail.subarray(0, regions.tbsEnd - regions.entriesEnd));
    const by = verifierOf(this.frame.signatureAlgorithm, issuerKey);
    return {
      sha256: this.#hash.digest('hex'),
      signedByIssuer: by !== undefined && this.#verify?.verify(by.key, this.frame.signatureValue) === true,
    };
  }
}
