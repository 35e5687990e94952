/**
 * The requests of a cell as octets, in a file that wrk's script and the load generator both read. A draw is a file of 32-bit
 * little-endian numbers of requests.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PreparedRequest, writeQuestionFile } from '../../src/adapters/load-generator/question-file.ts';
import { encodeGetPath } from '../../src/core/ocsp/get-path.ts';
import { writeRequest } from '../../src/core/ocsp/request-writer.ts';
import type { Issuer } from '../../src/core/issuer.ts';
import { SERIAL_OCTETS, serialAt, type AnswerSet } from './answers.ts';
import type { Asked, Cell, Connecting } from './cells.ts';

const NEVER_ISSUED = 10_000;
const ZIPF_DRAWS = 2_000_000;

export interface QuestionFile {
  readonly requests: string;
  /** Undefined: each in its turn. */
  readonly draw: string | undefined;
  readonly count: number;
}

/** @param etags of the answers, for If-None-Match; by index of the certificate. */
export function writeQuestions(
  work: string,
  cell: Cell,
  set: AnswerSet,
  issuer: Issuer,
  etags: (index: number) => string,
): QuestionFile {
  const requests = join(work, `${cell.of}-${cell.asked}-${cell.connecting}.requests`);
  const serials = cell.asked === 'unknown' ? neverIssued() : set.serials;
  const count = serials.length / SERIAL_OCTETS;
  const one = function* (): Iterable<PreparedRequest> {
    for (let i = 0; i < count; i++) {
      const der = writeRequest(issuer.hashes, serialAt(serials, i));
      const etag = cell.asked === 'not-modified' ? etags(i) : '';
      const serial = serials.subarray(i * SERIAL_OCTETS, (i + 1) * SERIAL_OCTETS);
      yield { serial, octets: requestOctets(cell.asked, cell.connecting, der, etag) };
    }
  };
  if (!existsSync(requests)) writeQuestionFile(requests, one());
  if (cell.draw === 'turn') return { requests, draw: undefined, count };
  const draw = join(work, `${cell.of}.zipf`);
  if (!existsSync(draw)) writeFileSync(draw, Buffer.from(zipf(count, ZIPF_DRAWS).buffer));
  return { requests, draw, count };
}

/** One request as a direct client sends it: no more fields than it must have. */
export function requestOctets(asked: Asked, connecting: Connecting, der: Buffer, etag: string): Buffer {
  const version = connecting === 'http10' ? '1.0' : '1.1';
  let head = 'Host: 127.0.0.1\r\n';
  if (connecting === 'one') head += 'Connection: close\r\n';
  if (asked === 'post') {
    head += `Content-Type: application/ocsp-request\r\nContent-Length: ${der.length}\r\n`;
    return Buffer.concat([Buffer.from(`POST / HTTP/${version}\r\n${head}\r\n`), der]);
  }
  if (asked === 'not-modified') head += `If-None-Match: ${etag}\r\n`;
  // Base64 of a request that ends in the middle: long enough that a proxy takes it for OCSP.
  const shown = asked === 'malformed' ? der.subarray(0, -1) : der;
  return Buffer.from(`GET /${encodeGetPath(shown)} HTTP/${version}\r\n${head}\r\n`);
}

function neverIssued(): Buffer {
  const serials = randomBytes(NEVER_ISSUED * SERIAL_OCTETS);
  for (let i = 0; i < serials.length; i += SERIAL_OCTETS) serials[i] = ((serials[i] as number) & 0x3f) | 0x40;
  return serials;
}

/** Numbers below `count`; the k-th is drawn with a probability that falls as 1/k. The same for the same arguments. */
function zipf(count: number, draws: number): Uint32Array {
  const cumulated = new Float64Array(count);
  let sum = 0;
  for (let k = 0; k < count; k++) cumulated[k] = sum += 1 / (k + 1);
  const drawn = new Uint32Array(draws);
  let state = 0x9e3779b9;
  for (let i = 0; i < draws; i++) {
    // Xorshift: nobody is to guess these.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const aim = ((state >>> 0) / 0x1_0000_0000) * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulated[middle] as number) > aim) high = middle;
      else low = middle + 1;
    }
    drawn[i] = low;
  }
  return drawn;
}
