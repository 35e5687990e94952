/**
 * What every server of the load bench serves: 10,000 different answers of the size of a P-256 responder's, under GET
 * paths of the form that nginx and Java send, made from a fixed seed so that each process makes the same ones.
 */
import { createHash } from 'node:crypto';
import { ocspCaching } from '../../src/core/policy/caching.ts';
import type { Reply } from '../../src/ports/front.ts';
import { DAY, HOUR } from '../../src/core/time.ts';

export const COUNT = 10_000;

export interface Sample {
  readonly target: string;
  /** Name of the file from which nginx serves it: its decoded path. */
  readonly file: string;
  /** DER of the request, for POST. */
  readonly request: Buffer;
  readonly reply: Reply;
}

export function samples(nowMs: number): readonly Sample[] {
  const made: Sample[] = [];
  for (let i = 0; made.length < COUNT; i++) {
    const request = octets(`request ${i}`, 83);
    const file = request.toString('base64');
    // A file server cannot serve a name with a slash in it (peers.md Part 2 §4.3); 3 in 10 have none.
    if (file.includes('/')) continue;
    const body = octets(`response ${i}`, 500);
    const times = { thisUpdate: nowMs - HOUR, nextUpdate: nowMs + 4 * DAY, refreshAt: nowMs + DAY, maxAgeCapMs: HOUR };
    const { headers } = ocspCaching({ body, ...times }, nowMs);
    made.push({ target: `/${encodeURIComponent(file)}`, file, request, reply: { status: 200, headers, body } });
  }
  return made;
}

function octets(label: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${label} ${i}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}
