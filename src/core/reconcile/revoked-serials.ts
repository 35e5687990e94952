/**
 * The revoked certificates of a ledger that goes by in any order, to be found again entry by entry of the CRLs: what each says of
 * itself, in octets, and whether an entry said the same. A million take some 70 MB, and never more are held: the serials fall into
 * 256 parts, and when there are too many, half of the parts are left to a later pass over the ledger.
 */
import { REASON_CODES, type ReasonName } from '../reason.ts';
import { MAX_SERIAL_OCTETS, type Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

export interface RevokedSerial {
  /** A number of the caller's, for the scope of the CRL that is to list it. */
  readonly scope: number;
  readonly serial: Serial;
}

interface Said {
  readonly revocationDate: EpochMs;
  readonly reason: ReasonName | undefined;
}

const PARTS = 256;
const MOST = 1 << 20;

export class RevokedSerials {
  readonly #most: number;
  readonly #parts: (Part | undefined)[] = [];
  /** The parts of this pass: from, and before. */
  #from = 0;
  #to = PARTS;
  #count = 0;
  readonly #scratch = Buffer.alloc(SLOT);

  /** @param most serials held at a time; for tests. */
  constructor(most = MOST) {
    this.#most = most;
  }

  /** Serials held now. */
  get count(): number {
    return this.#count;
  }

  /** Lets go of this pass and begins the next; false: every part had its pass. */
  next(): boolean {
    this.#parts.length = 0;
    this.#count = 0;
    this.#from = this.#to;
    this.#to = PARTS;
    return this.#from < PARTS;
  }

  /** Left to a later pass where its part is. Each certificate of a scope once in a pass. @param scope less than 2^24. */
  add(scope: number, serial: Serial, said: Said): void {
    const hash = this.#load(scope, Buffer.from(serial, 'hex'), said);
    const at = hash >>> 24;
    if (at < this.#from || at >= this.#to) return;
    (this.#parts[at] ??= new Part()).add(hash, this.#scratch);
    this.#count += 1;
    while (this.#count > this.#most && this.#to - this.#from > 1) this.#leaveHalf();
  }

  /**
   * Marks the certificate as listed. True: the entry says what the ledger says, or is for another pass; false: somebody must look.
   * @param octets of a Serial.
   */
  listed(scope: number, octets: Uint8Array, said: Said): boolean {
    const hash = this.#load(scope, octets, said);
    const at = hash >>> 24;
    if (at < this.#from || at >= this.#to) return true;
    return this.#parts[at]?.mark(hash, this.#scratch) ?? false;
  }

  /** Those that no entry was for, a part at a time; of most parts none. */
  *unlisted(): IterableIterator<readonly RevokedSerial[]> {
    for (const part of this.#parts) if (part !== undefined) yield part.unmarked();
  }

  #leaveHalf(): void {
    const to = this.#from + ((this.#to - this.#from) >> 1);
    for (let at = to; at < this.#to; at++) {
      this.#count -= this.#parts[at]?.count ?? 0;
      this.#parts[at] = undefined;
    }
    this.#to = to;
  }

  /** Puts a slot's octets into the scratch; returns the hash of its key. */
  #load(scope: number, serial: Uint8Array, { revocationDate, reason }: Said): number {
    const slot = this.#scratch.fill(0);
    slot[0] = serial.length;
    slot.writeUIntBE(scope, 1, 3);
    slot.set(serial, SERIAL);
    slot.writeDoubleBE(revocationDate, KEY);
    slot[REASON] = reason === undefined ? 0 : REASON_CODES[reason] + 1;
    return hashOf(slot);
  }
}

/** A slot: length of the serial, 0 in an empty one | scope 3 | serial 20 | revocationDate 8 | reason + 1 | marked. */
const SERIAL = 4;
const KEY = SERIAL + MAX_SERIAL_OCTETS;
const REASON = KEY + 8;
const MARKED = REASON + 1;
const SLOT = MARKED + 1;

/** Open addressing with linear probing; never more than half full. A part of a million in all grows within a millisecond. */
class Part {
  count = 0;
  #slots = Buffer.alloc(8 * SLOT);

  get #mask(): number {
    return this.#slots.length / SLOT - 1;
  }

  add(hash: number, slot: Buffer): void {
    if (2 * (this.count + 1) > this.#mask) this.#grow();
    this.#slots.set(slot, this.#find(hash, slot));
    this.count += 1;
  }

  mark(hash: number, slot: Buffer): boolean {
    const at = this.#find(hash, slot);
    if (this.#slots[at] === 0) return false;
    this.#slots[at + MARKED] = 1;
    return this.#slots.compare(slot, KEY, MARKED, at + KEY, at + MARKED) === 0;
  }

  unmarked(): readonly RevokedSerial[] {
    const slots = this.#slots;
    const found: RevokedSerial[] = [];
    for (let at = 0; at < slots.length; at += SLOT) {
      const length = slots[at] as number;
      if (length === 0 || slots[at + MARKED] === 1) continue;
      const serial = slots.toString('hex', at + SERIAL, at + SERIAL + length) as Serial;
      found.push({ scope: slots.readUIntBE(at + 1, 3), serial });
    }
    return found;
  }

  /** Offset of the slot with this key, or of the empty one where it belongs. */
  #find(hash: number, slot: Buffer): number {
    for (let i = hash & this.#mask; ; i = (i + 1) & this.#mask) {
      const at = i * SLOT;
      if (this.#slots[at] === 0 || this.#slots.compare(slot, 0, KEY, at, at + KEY) === 0) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = Buffer.alloc(2 * old.length);
    for (let at = 0; at < old.length; at += SLOT) {
      if (old[at] === 0) continue;
      const slot = old.subarray(at, at + SLOT);
      this.#slots.set(slot, this.#find(hashOf(slot), slot));
    }
  }
}

/** FNV-1a over the key and the finaliser of MurmurHash3, which spreads every bit. */
function hashOf(slot: Buffer): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < SERIAL + (slot[0] as number); i++) h = Math.imul(h ^ (slot[i] as number), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
