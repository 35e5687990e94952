/**
 * What one call costs, in one process, without sockets: `node dist/bench/micro.js`. Prints a table; asserts nothing, because
 * a busy machine is not a defect. Best of five rounds, so that other load on the machine counts as little as possible.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { assembleCrl, CrlBuilder } from '../src/core/crl/crl.ts';
import { readCrl } from '../src/core/crl/crl-reader.ts';
import { lintCrl, lintResponse } from '../src/core/lint/lint.ts';
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
const certificate = Buffer.concat([Buffer.from('30820200', 'hex'), Buffer.alloc(512, 4)]);
const template = new ResponseTemplate({
  issuer: { sha1: hashes(20), sha256: hashes(32) },
  responderKeyHash: Buffer.alloc(20, 3),
  responderCertificate: certificate,
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
const context = {
  issuer: { sha1: hashes(20), sha256: hashes(32) },
  responder: { keyHash: Buffer.alloc(20, 3), certificate, notBefore: 0, notAfter: thisUpdate + 10 * 345_599_000 },
  nowMs: thisUpdate,
  expected: { hash: 'sha256' as const, serial, answer: revoked },
};
measure('decode and lint response', 50_000, () => lintResponse(response, context));
measure('for comparison: sign P-256', 2_000, () => sign('sha256', request, key));

const CRL_ENTRIES = 1_000_000;
const crlEntries = Array.from({ length: CRL_ENTRIES }, (_, i) => ({
  serial: serialFromHex(`7f${i.toString(16).padStart(30, '0')}`),
  revokedAt: thisUpdate - (i % 100_000) * 1000,
  reason: 'keyCompromise' as const,
}));
const algorithm = algorithmFor(key, 'key');

function buildCrl(): Buffer {
  const builder = new CrlBuilder({
    issuerName: Buffer.from('3000', 'hex'),
    authorityKeyIdentifier: Buffer.alloc(20),
    algorithm,
    thisUpdate,
    nextUpdate: thisUpdate + 604_799_000,
    number: 1n,
    invalidityDate: 'omit',
  });
  for (const entry of crlEntries) builder.add(entry);
  return builder.tbs();
}

const crl = assembleCrl(buildCrl(), algorithm, signature);
measure(`CRL of ${CRL_ENTRIES} entries: build`, 1, buildCrl);
measure('for comparison: SHA-256 of it', 1, () => createHash('sha256').update(crl).digest());
measure('CRL: read every entry', 1, () => {
  let count = 0;
  for (const entry of readCrl(crl).entries()) if (entry.serial !== undefined) count++;
  return count;
});
measure('CRL: lint', 1, () => lintCrl(crl, { nowMs: thisUpdate }));
console.log(`lint of these: ${lintResponse(response, context).length} and ${lintCrl(crl).length} findings`);

console.log(`node ${process.version}`);
console.table(rows);
console.log(
  `CRL ${(crl.length / 1e6).toFixed(1)} MB, peak resident set ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`,
);
