/**
 * Requests prepared beforehand, in a file that every process of the generator (and wrk's script in bench/) reads. A record each:
 *
 *     length of the serial (1) | serial | length of the request (2, big-endian) | request, as it goes onto the connection
 *
 * The serial is what the reply must name; empty where no answer about a certificate is expected.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export interface PreparedRequest {
  readonly serial: Uint8Array;
  readonly octets: Uint8Array;
}

/** Octets gathered before they are written. */
const PAGE = 1 << 20;

/** Written as it is made, so that a million requests are never in memory here. */
export function writeQuestionFile(file: string, requests: Iterable<PreparedRequest>): void {
  const out = openSync(file, 'wx', 0o600);
  try {
    let parts: Uint8Array[] = [];
    let gathered = 0;
    const flush = (): void => {
      writeSync(out, Buffer.concat(parts));
      parts = [];
      gathered = 0;
    };
    for (const { serial, octets } of requests) {
      parts.push(Buffer.of(serial.length), serial, Buffer.of(octets.length >> 8, octets.length & 0xff), octets);
      gathered += octets.length;
      if (gathered > PAGE) flush();
    }
    flush();
  } finally {
    closeSync(out);
  }
}

/** The file as one buffer, and where each record begins: no object per request. */
export class Questions {
  readonly #octets: Buffer;
  readonly #starts: Uint32Array;

  constructor(file: string) {
    this.#octets = readFileSync(file);
    const starts: number[] = [];
    for (let at = 0; at < this.#octets.length;) {
      starts.push(at);
      const request = at + 1 + (this.#octets[at] as number);
      at = request + 2 + this.#octets.readUInt16BE(request);
    }
    this.#starts = Uint32Array.from(starts);
  }

  get count(): number {
    return this.#starts.length;
  }

  serial(index: number): Buffer {
    const at = this.#starts[index] as number;
    return this.#octets.subarray(at + 1, at + 1 + (this.#octets[at] as number));
  }

  request(index: number): Buffer {
    const at = this.#starts[index] as number;
    const length = at + 1 + (this.#octets[at] as number);
    return this.#octets.subarray(length + 2, length + 2 + this.#octets.readUInt16BE(length));
  }
}
