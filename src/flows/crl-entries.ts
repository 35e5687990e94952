/**
 * The entries of a published CRL one after the other, and at the end whether its octets are the ones that were published: read in
 * windows, so that a CRL of ten million entries costs no more memory than one of ten.
 */
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import { readEntries, type CrlEntryView, type CrlView } from '../core/crl/crl-reader.ts';
import { CRL_HEAD_OCTETS, crlParts, crlWithoutEntries, wholeEntries, type CrlParts } from '../core/crl/crl-parts.ts';
import { Problem } from '../core/problem.ts';
import { algorithmOf } from '../core/signature-algorithm.ts';
import type { CrlFile } from '../ports/crl-archive.ts';

const WINDOW_OCTETS = 64 << 10;
/** Each costs some hundred octets of memory. */
const MOST_SORTED = 500_000;
const EMPTY = Buffer.alloc(0);

export interface CrlOctets {
  readonly sha256: string;
  readonly signedByIssuer: boolean;
}

export class CrlEntries {
  /** Everything but the entries. */
  readonly view: CrlView;
  readonly #file: CrlFile;
  readonly #parts: CrlParts;
  readonly #tail: Buffer;
  readonly #hash = createHash('sha256');
  readonly #verify: ReturnType<typeof createVerify> | undefined;
  /** Of the file: where the next window begins. */
  #at: number;
  /** The beginning of an entry that ends in the next window. */
  #rest: Buffer = EMPTY;
  #window: Iterator<CrlEntryView> | undefined;
  #head: CrlEntryView | undefined;
  #count = 0;

  private constructor(file: CrlFile, head: Buffer, tail: Buffer, parts: CrlParts) {
    this.#file = file;
    this.#parts = parts;
    this.#tail = tail;
    this.#at = parts.entriesFrom;
    this.view = crlWithoutEntries(head, tail, parts);
    const algorithm = algorithmOf(this.view.signatureAlgorithm);
    this.#verify = algorithm && createVerify(algorithm.hash);
    this.#hash.update(head.subarray(0, parts.entriesFrom));
    this.#verify?.update(head.subarray(parts.tbsFrom, parts.entriesFrom));
  }

  /**
   * @param sorted in ascending order of serials, whatever order the file has: then all of them are in memory, and no more than
   *   MOST_SORTED. @throws Problem `corrupt`, `too-large`; the file is the caller's to close, whatever happens.
   */
  static async open(file: CrlFile, sorted = false): Promise<CrlEntries> {
    const head = await file.read(0, Math.min(file.octets, CRL_HEAD_OCTETS));
    const parts = crlParts(head, file.octets);
    const tail = await file.read(parts.entriesTo, file.octets - parts.entriesTo);
    const entries = new CrlEntries(file, head, tail, parts);
    await entries.fill();
    if (sorted) await entries.#sort();
    return entries;
  }

  /** The entry that is looked at; undefined behind the last one, or while `starved`. */
  get head(): CrlEntryView | undefined {
    return this.#head;
  }

  /** The next entry is not in memory: `fill` before anything else. */
  get starved(): boolean {
    return this.#head === undefined && this.#at < this.#parts.entriesTo;
  }

  /** Entries so far, the one that is looked at included. */
  get count(): number {
    return this.#count;
  }

  /** @throws Problem `corrupt` at an entry that cannot be read. */
  async fill(): Promise<void> {
    while (this.starved) {
      const octets = await this.#file.read(this.#at, Math.min(WINDOW_OCTETS, this.#parts.entriesTo - this.#at));
      this.#at += octets.length;
      this.#hash.update(octets);
      this.#verify?.update(octets);
      const window = this.#rest.length === 0 ? octets : Buffer.concat([this.#rest, octets]);
      const whole = wholeEntries(window);
      if (whole < window.length && this.#at === this.#parts.entriesTo)
        throw new Problem('corrupt', 'the last entry runs past the list', {
          field: 'revokedCertificates',
          rule: 'X.690 §10',
        });
      this.#rest = window.subarray(whole);
      this.#window = readEntries(window, 0, whole);
      this.next();
    }
  }

  async #sort(): Promise<void> {
    const all: CrlEntryView[] = [];
    for (; this.#head !== undefined; this.next(), await this.fill()) {
      if (all.push(this.#head) > MOST_SORTED)
        throw new Problem('too-large', `over ${MOST_SORTED} entries in no order`, { field: 'revokedCertificates' });
    }
    all.sort((a, b) => Buffer.compare(a.serialOctets, b.serialOctets));
    this.#count = 0;
    this.#window = all[Symbol.iterator]();
    this.next();
  }

  /** To the next entry. */
  next(): void {
    const step = this.#window?.next();
    this.#head = step === undefined || step.done === true ? undefined : step.value;
    if (this.#head !== undefined) this.#count += 1;
  }

  /** Once, behind the last entry. */
  octets(issuerKey: KeyObject): CrlOctets {
    const { tbsTo, entriesTo } = this.#parts;
    this.#hash.update(this.#tail);
    this.#verify?.update(this.#tail.subarray(0, tbsTo - entriesTo));
    const algorithm = algorithmOf(this.view.signatureAlgorithm);
    const fits = algorithm !== undefined && (algorithm.kind === 'rsa') === (issuerKey.asymmetricKeyType === 'rsa');
    return {
      sha256: this.#hash.digest('hex'),
      signedByIssuer: fits && this.#verify?.verify(issuerKey, this.view.signatureValue) === true,
    };
  }
}
