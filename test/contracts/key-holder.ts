/** What every holder of keys promises (ports/key-holder.ts), with OpenSSL as the judge of its signatures. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Problem } from '../../src/core/problem.ts';
import { PRIORITIES, type KeyHolder } from '../../src/ports/key-holder.ts';

interface HolderUnderTest {
  readonly holder: KeyHolder;
  readonly publicKey: KeyObject;
}

/** The key to hold, and the hash for RSA. */
interface KeyUnderTest {
  readonly name: string;
  readonly algorithm: string;
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly key: () => { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
}

const rsa = (modulusLength: number) => () => generateKeyPairSync('rsa', { modulusLength });
const ec = (namedCurve: string) => () => generateKeyPairSync('ec', { namedCurve });

const KEYS: readonly KeyUnderTest[] = [
  { name: 'P-256', algorithm: 'ecdsa-with-SHA256', hash: 'sha256', key: ec('P-256') },
  { name: 'P-384', algorithm: 'ecdsa-with-SHA384', hash: 'sha384', key: ec('P-384') },
  { name: 'RSA-2048', algorithm: 'sha256WithRSAEncryption', hash: 'sha256', key: rsa(2048) },
  { name: 'RSA-3072', algorithm: 'sha384WithRSAEncryption', hash: 'sha384', key: rsa(3072) },
  { name: 'RSA-4096', algorithm: 'sha512WithRSAEncryption', hash: 'sha512', key: rsa(4096) },
];

/**
 * @param hold gives a holder that can sign, of a new place for this key.
 * @param options.skip why it cannot run here.
 */
export function keyHolderContract(
  adapter: string,
  hold: (key: KeyObject, hash: KeyUnderTest['hash'], name: string) => Promise<KeyHolder>,
  options: { readonly skip?: string | false } = {},
): void {
  describe(`${adapter}: key holder`, { skip: options.skip ?? false }, () => {
    const open: KeyHolder[] = [];
    after(() => Promise.all(open.map((holder) => holder.close())));
    const fresh = async (key: KeyUnderTest): Promise<HolderUnderTest> => {
      const { privateKey, publicKey } = key.key();
      const holder = await hold(privateKey, key.hash, key.name);
      open.push(holder);
      return { holder, publicKey };
    };
    const items = (count: number, from = 0): Buffer[] =>
      Array.from({ length: count }, (_, i) => Buffer.from(`to be signed ${from + i}`.repeat(1 + ((from + i) % 5))));

    for (const key of KEYS) {
      it(`signs with ${key.name} what OpenSSL verifies`, async () => {
        const { holder, publicKey } = await fresh(key);
        assert.equal(holder.failure, undefined);
        assert.equal(holder.algorithm.name, key.algorithm);
        assert.equal(holder.algorithm.keyType, key.name);
        assert.ok(holder.publicKey.equals(publicKey.export({ type: 'spki', format: 'der' })));
        const [first, second] = items(2) as [Buffer, Buffer];
        const [a, b] = await holder.sign([first, second], 'urgent');
        assert.ok(a?.ok && b?.ok);
        assert.ok(opensslAccepts(holder.publicKey, key.hash, first, a.signature));
        assert.ok(opensslAccepts(holder.publicKey, key.hash, second, b.signature));
        assert.ok(!opensslAccepts(holder.publicKey, key.hash, first, b.signature));
      });
    }

    const [p256] = KEYS as [KeyUnderTest];

    it('keeps the order, in long calls and in calls at the same time, of every priority', async () => {
      const { holder, publicKey } = await fresh(p256);
      const calls = [500, 1, 1, 64, 130, 7, 1].map((count, n) => items(count, n * 1000));
      const answers = await Promise.all(calls.map((call, n) => holder.sign(call, PRIORITIES[n % 3] ?? 'bulk')));
      for (const [n, call] of calls.entries()) {
        assert.equal(answers[n]?.length, call.length);
        for (const [i, tbs] of call.entries()) {
          const result = answers[n]?.[i];
          assert.ok(result?.ok && verify('sha256', tbs, publicKey, result.signature), `item ${i} of call ${n}`);
        }
      }
    });

    it('signs empty and large structures', async () => {
      const { holder, publicKey } = await fresh(p256);
      const large = Buffer.alloc(3_000_001, 7);
      const [empty, big] = await holder.sign([Buffer.alloc(0), large], 'bulk');
      assert.ok(empty?.ok && verify('sha256', Buffer.alloc(0), publicKey, empty.signature));
      assert.ok(big?.ok && verify('sha256', large, publicKey, big.signature));
    });

    it('answers an empty list with an empty list', async () => {
      const { holder } = await fresh(p256);
      assert.deepEqual(await holder.sign([], 'bulk'), []);
    });

    it('settles what is under way when it is closed, and signs nothing afterwards', async () => {
      const { holder, publicKey } = await fresh(p256);
      const call = items(300);
      const underWay = holder.sign(call, 'bulk').then(
        (results) =>
          results.every((result, i) => !result.ok || verify('sha256', call[i] as Buffer, publicKey, result.signature)),
        (error: Problem) => error.code === 'unavailable',
      );
      await holder.close();
      assert.ok(await underWay);
      assert.notEqual(holder.failure, undefined);
      await assert.rejects(holder.sign(call, 'urgent'), (error: Problem) => error.code === 'unavailable');
      await holder.close();
    });
  });
}

/** OpenSSL decides whether the signature holds. */
export function opensslAccepts(spki: Buffer, hash: string, tbs: Buffer, signature: Buffer): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-verify-'));
  const [key, sig, message] = ['spki.pem', 'sig', 'tbs'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  try {
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    writeFileSync(key, publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(sig, signature);
    writeFileSync(message, tbs);
    const args = ['dgst', `-${hash}`, '-verify', key, '-signature', sig, message];
    return /Verified OK/.test(execFileSync('openssl', args, { stdio: 'pipe' }).toString());
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
