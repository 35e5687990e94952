/**
 * Serial numbers → 0, 1, 2, …: what a report keeps of millions of certificates lies in typed arrays under that index, at a quarter of
 * what a Map of objects takes. Serials are compared octet for octet, so no two share a place.
 */

/** RFC 5280 §4.1.2.2: at most 20 octets; one more for the sign octet of those that ignore that, and one for the length. */
const WIDTH = 22;

export class SerialTable {
  #slots = new Int32Array(1024).fill(-1);
  #keys = Buffer.alloc(WIDTH * 512);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** -1 when it is not there. @param serial hex. */
  find(serial: string): number {
    return this.#slots[this.#place(keyOf(serial))] as number;
  }

  /** The same index again for a serial that is there. */
  add(serial: string): number {
    const key = keyOf(serial);
    let place = this.#place(key);
    const known = this.#slots[place] as number;
    if (known !== -1) return known;
    if (2 * (this.#size + 1) > this.#slots.length) {
      this.#grow();
      place = this.#place(key);
    }
    key.copy(this.#keys, WIDTH * this.#size);
    this.#slots[place] = this.#size;
    return this.#size++;
  }

  serial(index: number): string {
    const at = WIDTH * index;
    return this.#keys.toString('hex', at + 1, at + 1 + (this.#keys[at] as number));
  }

  #place(key: Buffer): number {
    const mask = this.#slots.length - 1;
    for (let place = hashOf(key) & mask; ; place = (place + 1) & mask) {
      const index = this.#slots[place] as number;
      if (index === -1 || this.#keys.compare(key, 0, WIDTH, WIDTH * index, WIDTH * (index + 1)) === 0) return place;
    }
  }

  #grow(): void {
    const keys = Buffer.alloc(2 * this.#keys.length);
    this.#keys.copy(keys);
    this.#keys = keys;
    this.#slots = new Int32Array(2 * this.#slots.length).fill(-1);
    for (let index = 0; index < this.#size; index++) {
      this.#slots[this.#place(keys.subarray(WIDTH * index, WIDTH * (index + 1)))] = index;
    }
  }
}

/** Which of `count` parts a serial belongs to: so that a log of any size is read part by part, in bounded memory. */
export function partOf(serial: string, count: number): number {
  // Of other bits than the place in the table, which would be crowded otherwise.
  return count === 1 ? 0 : (hashOf(keyOf(serial)) >>> 8) % count;
}

function keyOf(serial: string): Buffer {
  const key = Buffer.alloc(WIDTH);
  key[0] = Math.min(serial.length >> 1, WIDTH - 1);
  key.write(serial, 1, 'hex');
  return key;
}

/** FNV-1a with a final mix: serials are random, or count upwards. */
function hashOf(key: Buffer): number {
  let hash = 0x811c9dc5;
  for (const octet of key) hash = Math.imul(hash ^ octet, 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 0;
}
