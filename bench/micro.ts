/**
 * What one call costs, in one process, without sockets: `node dist/bench/micro.js`. Prints a table; asserts nothing, because
 * a busy machine is not a defect. Best of five rounds, so that other load on the machine counts as little as possible.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { decodeGetPath, encodeGetPath } from '../src/core/ocsp/get-path.ts';
import { parseRequest } from '../src/core/ocsp/request.ts';
import { ResponseTemplate } from '../src/core/ocsp/response.ts';
import { decodeResponse } from '../src/core/ocsp/response-reader.ts';
import { serialFromHex } from '../src/core/serial.ts';
import { algorithmFor } from '../src/core/signature-algorithm.ts';

const ROUNDS = 5;

const request = Buffer.from(
  'MFEwTzBNMEswSTAJBgUrDgMCGgUABBTyDvPjcY8Z0TDZzHotwwMWHLKc0AQUCoWpd2UFmHxAgfgPlyw48QrsPM8CECK5saEtkfGBrXp7bb6zjqc=',
  'base64',
);
const path = `/${encodeGetPath(request)}`;
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const hashes = (octets: number) => ({ name: Buffer.alloc(octets, 1), key: Buffer.alloc(octets, 2) });
const template = new ResponseTemplate({
  issuer: { sha1: hashes(20), sha256: hashes(32) },
  responderKeyHash: Buffer.alloc(20, 3),
  responderCertificate: Buffer.concat([Buffer.from('30820200', 'hex'), Buffer.alloc(512, 4)]),
  algorithm: algorithmFor(key, 'key'),
});
const serial = serialFromHex('22b9b1a12d91f181ad7a7b6dbeb38ea7');
const thisUpdate = Date.UTC(2026, 10, 20, 8);
const good = { revocation: undefined, thisUpdate, nextUpdate: thisUpdate + 345_599_000 };
const revoked = { ...good, revocation: { revokedAt: thisUpdate - 1000, reason: 'keyCompromise' as const } };
const signature = sign('sha256', template.tbs('sha256', serial, revoked), key);
const response = template.assemble('sha256', serial, revoked, signature);

const rows: { what: string; nanoseconds: number; 'per second': number }[] = [];

function measure(what: string, calls: number, call: () => unknown): void {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / calls);
  }
  rows.push({ what, nanoseconds: Math.round(best), 'per second': Math.round(1e9 / best) });
}

measure('GET path to DER', 200_000, () => decodeGetPath(path));
measure('parse request', 200_000, () => parseRequest(request));
measure('tbs, good, SHA-1', 200_000, () => template.tbs('sha1', serial, good));
measure('tbs, revoked, SHA-256', 200_000, () => template.tbs('sha256', serial, revoked));
measure('assemble, good, SHA-1', 200_000, () => template.assemble('sha1', serial, good, signature));
measure('decode response', 100_000, () => decodeResponse(response));
measure('for comparison: sign P-256', 2_000, () => sign('sha256', request, key));

console.log(`node ${process.version}`);
console.table(rows);
