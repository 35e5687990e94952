/** Requests for responder certificates on their way to an offline CA: what a person is shown, and what is refused. */
import { sign } from 'node:crypto';
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { writeName } from '../../src/core/certificate-writer.ts';
import { assembleRequest, requestToBeSigned } from '../../src/core/csr.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { describeRequest } from '../../src/core/offline/describe.ts';
import { judgeItem } from '../../src/core/offline/judge.ts';
import type { RequestItem } from '../../src/core/offline/offline-file.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY } from '../../src/core/time.ts';
import { caCertificate, ecKey, type KeyPair, NOW, PROFILE } from './sample-pki.ts';

const CA = ecKey();
const ISSUER = loadIssuer([caCertificate(CA)], 'ca');
const given = { rules: PROFILE, nowMs: NOW };

function request(key: KeyPair, { name = 'Responder', by = key, validityMs = 90 * DAY } = {}): RequestItem {
  const subject = writeName([
    ['C', 'JP'],
    ['O', 'Example'],
    ['CN', name],
  ]);
  const algorithm = algorithmFor(key.publicKey, 'key');
  const tbs = requestToBeSigned(subject, key.publicKey);
  const signature = sign(algorithm.hash, tbs, { key: by.privateKey, dsaEncoding: 'der' });
  return { kind: 'responder', csr: assembleRequest(tbs, algorithm, signature), validityMs, key: ['responder.key'] };
}

describe('a request for a responder certificate', () => {
  it('is shown on one line each, whatever its name does to a terminal', () => {
    const name = 'Responder\u001b[2J\nitem 2 of 2: CRL\u202eliated';
    const lines = describeRequest(ISSUER, [request(ecKey(), { name })]);
    assert.ok(
      lines.every((line) => !/[\p{Cc}\p{Cf}]/u.test(line)),
      JSON.stringify(lines),
    );
    assert.equal(lines.filter((line) => line.includes('item 2 of 2')).length, 1);
    assert.ok(lines.some((line) => line.startsWith('  subject: ') && line.includes('item 2 of 2')));
  });

  it('is judged by its own signature, its key and its validity', () => {
    const key = ecKey();
    judgeItem(request(key), ISSUER, given);
    judgeItem(request(key, { validityMs: 125 * DAY }), ISSUER, given);
    const refuses = (item: RequestItem, why: RegExp): void =>
      assert.throws(() => judgeItem(item, ISSUER, given), (error: Error) => why.test((error as Error & { line: string }).line)); // prettier-ignore
    refuses(request(key, { by: ecKey() }), /RFC 2986/);
    refuses(request(CA), /is the key of the CA.*CT-6.1.7-a/);
    refuses(request(ecKey('P-521')), /key P-521.*CT-6.1.5-b/);
    // SR-6.3.2-b: a second more is another day.
    refuses(request(key, { validityMs: 125 * DAY + 1000 }), /SR-6.3.2-a/);
  });
});
