import assert from 'node:assert/strict';
import { generatePrimeSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { checkPublicKey, checkRsa } from '../../src/core/weak-key.ts';
import { ecKey, rsaKey } from './sample-pki.ts';

const prime = (): bigint => generatePrimeSync(256, { bigint: true });
const nextPrimeAfter = (start: bigint): bigint => {
  // Fermat's little theorem with base 2 is enough to find a prime close by.
  for (let n = start + 2n; ; n += 2n) if (power(2n, n - 1n, n) === 1n) return n;
};
function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let b = base % modulus, e = exponent; e > 0n; e >>= 1n, b = (b * b) % modulus)
    if (e & 1n) result = (result * b) % modulus;
  return result;
}
const report = (n: bigint, e = 65537n): string[] =>
  checkRsa(n, e).map(({ severity, rule, message }) => `${severity} ${rule} ${message}`);

describe('checkRsa', () => {
  it('finds nothing in ordinary keys', () => {
    assert.deepEqual(checkPublicKey(rsaKey().publicKey), []);
    assert.deepEqual(checkPublicKey(ecKey().publicKey), []);
    assert.deepEqual(report(prime() * prime()), []);
  });

  it('judges the exponent', () => {
    const n = prime() * prime();
    assert.match(report(n, 1n).join(), /^error SR-6.1.6-a RSA exponent 1:/);
    assert.match(report(n, 65536n).join(), /^error SR-6.1.6-a RSA exponent 65536:/);
    assert.match(report(n, 3n).join(), /^warning SR-6.1.6-a/);
    assert.match(report(n, 65535n).join(), /^warning SR-6.1.6-a/);
    assert.deepEqual(report(n, (1n << 256n) - 1n), []);
    assert.match(report(n, (1n << 256n) + 1n).join(), /^warning SR-6.1.6-a/);
  });

  it('finds factors below 752, evenness included', () => {
    assert.match(report(2n * prime()).join(), /^error SR-6.1.6-a .*factor 2;/);
    assert.match(report(751n * prime()).join(), /^error SR-6.1.6-a .*factor 751;/);
    assert.deepEqual(report(757n * prime() * prime()), []);
  });

  it('finds close primes and squares (SR-6.1.1-w)', () => {
    const p = prime();
    assert.match(report(p * nextPrimeAfter(p)).join(), /^error SR-6.1.1-w .*Fermat/);
    assert.match(report(p * p).join(), /^error SR-6.1.1-w .*Fermat/);
  });

  it('knows the fingerprint of ROCA', () => {
    // Primes of the flawed form k·M + (65537^a mod M), where M is the product of the first 39 primes.
    let m = 1n;
    for (let n = 2n, count = 0; count < 39; n += 1n) {
      let isPrime = true;
      for (let d = 2n; d * d <= n; d += 1n) if (n % d === 0n) isPrime = false;
      if (!isPrime) continue;
      m *= n;
      count += 1;
    }
    const flawed = (k: bigint, a: bigint): bigint => {
      for (let i = k; ; i += 1n) {
        const candidate = i * m + power(65537n, a, m);
        if (power(2n, candidate - 1n, candidate) === 1n) return candidate;
      }
    };
    assert.match(report(flawed(1n << 36n, 1234n) * flawed(3n << 37n, 98765n)).join(), /^error SR-6.1.1-w .*ROCA/);
  });
});
