/**
 * Public keys that no CA may use: the checks of SR-6.1.6-a (NIST SP 800-89 §5.3.3) and two of the three of SR-6.1.1-w.
 * The third, Debian's weak keys, needs the lists of the Debian project and is not done here. The point of an elliptic curve
 * key is checked where the key is read (issuer.ts, publicKeyOf).
 */
import type { KeyObject } from 'node:crypto';
import type { Finding } from './lint/finding.ts';

/** What is wrong with a public key; nothing for kinds of keys other than RSA. */
export function checkPublicKey(key: KeyObject): readonly Finding[] {
  if (key.asymmetricKeyType !== 'rsa') return [];
  const { n, e } = key.export({ format: 'jwk' });
  return checkRsa(bigint(n as string), bigint(e as string));
}

/** The same for a modulus and a public exponent. */
export function checkRsa(modulus: bigint, exponent: bigint): readonly Finding[] {
  const findings: Finding[] = [];
  const report = (severity: Finding['severity'], rule: string, citation: string, message: string): void => {
    findings.push({ severity, rule, citation, message });
  };
  if (exponent < 3n || exponent % 2n === 0n) {
    report('error', 'SR-6.1.6-a', '001 §6.1.6', `RSA exponent ${exponent}: must be odd and at least 3`);
  } else if (exponent < 65537n || exponent >= 1n << 256n) {
    report('warning', 'SR-6.1.6-a', '001 §6.1.6', `RSA exponent ${exponent}: should lie between 2^16+1 and 2^256-1`);
  }
  const factor = SMALL_PRIMES.find((prime) => modulus % prime === 0n);
  if (factor !== undefined)
    report('error', 'SR-6.1.6-a', '001 §6.1.6', `RSA modulus has the factor ${factor}; none below 752 is allowed`);
  if (hasClosePrimes(modulus)) {
    report(
      'error',
      'SR-6.1.1-w',
      '001 §6.1.1(5)',
      "RSA modulus is factored by Fermat's method within 100 rounds (close primes)",
    );
  }
  if (factor === undefined && looksLikeRoca(modulus)) {
    report('error', 'SR-6.1.1-w', '001 §6.1.1(5)', 'RSA modulus has the fingerprint of ROCA (CVE-2017-15361)');
  }
  return findings;
}

/** Fermat: n = a² − b² with a next to √n. Round 0 also finds a square, the smallest power of a prime. */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  for (let round = 0; round < 100; round += 1, a += 1n) {
    const rest = a * a - modulus;
    const b = squareRoot(rest);
    if (b * b === rest) return true;
  }
  return false;
}

/** ROCA primes are 65537^x modulo a product of small primes, so the modulus is a power of 65537 modulo each of them. */
function looksLikeRoca(modulus: bigint): boolean {
  return ROCA_PRIMES.every((prime) => {
    const wanted = modulus % prime;
    let power = 1n;
    do {
      if (power === wanted) return true;
      power = (power * 65537n) % prime;
    } while (power !== 1n);
    return false;
  });
}

function squareRoot(n: bigint): bigint {
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1); // at least √n, so Newton's steps only fall
  for (;;) {
    const next = (x + n / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}

function bigint(base64url: string): bigint {
  return BigInt(`0x${Buffer.from(base64url, 'base64url').toString('hex')}`);
}

const SMALL_PRIMES = Array.from({ length: 750 }, (_, index) => index + 2)
  .filter((n) => {
    for (let divisor = 2; divisor * divisor <= n; divisor += 1) if (n % divisor === 0) return false;
    return true;
  })
  .map(BigInt);
/** The odd primes up to 167: the 38 that a 512-bit ROCA key is built on; longer keys use these and more. */
const ROCA_PRIMES = SMALL_PRIMES.filter((prime) => prime > 2n && prime <= 167n);
