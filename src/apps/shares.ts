/** Shamir's secret sharing over GF(2^8), by the library: a PIN into shares, and shares into what flows/sign/activation.ts checks. */
import { randomBytes } from 'node:crypto';
import { combine, split } from 'shamir-secret-sharing';
import { sealPin } from '../core/pin.ts';
import { Problem } from '../core/problem.ts';
import { formatShare } from '../core/share.ts';

/**
 * `count` shares, of which any `threshold` give the PIN and fewer say nothing about it.
 * @throws Problem `refused` for a PIN that is easily guessed (CT-6.4.1), `invalid` for numbers that cannot be.
 */
export async function splitPin(
  pin: Uint8Array,
  token: string,
  count: number,
  threshold: number,
): Promise<readonly string[]> {
  if (!canSplit(count, threshold)) {
    throw new Problem('invalid', 'needs 2 to 255 shares, and a threshold from 2 to their number', {
      field: '--threshold',
      value: `${threshold} of ${count}`,
      rule: 'SR-6.4.1',
    });
  }
  const sealed = sealPin(pin, token, threshold);
  const set = randomBytes(4).toString('hex');
  const shares = await split(sealed, count, threshold).finally(() => sealed.fill(0));
  return shares.map((octets, i) => {
    const text = formatShare({ token, set, index: i + 1, count, threshold, octets });
    octets.fill(0);
    return text;
  });
}

export function canSplit(count: number, threshold: number): boolean {
  return Number.isInteger(count) && Number.isInteger(threshold) && threshold >= 2 && threshold <= count && count <= 255;
}

/** What the shares make together: rubbish when they do not belong together, which the caller finds out. The library takes no Buffer. */
export async function combineShares(shares: readonly Uint8Array[]): Promise<Uint8Array> {
  const copies = shares.map((octets) => Uint8Array.from(octets));
  try {
    return await combine(copies);
  } finally {
    for (const copy of copies) copy.fill(0);
  }
}
