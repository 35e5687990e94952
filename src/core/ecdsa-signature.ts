/**
 * The two spellings of an ECDSA signature: ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279 §2.2.3), as it stands
 * in responses and CRLs, and r || s with both padded to the size of the curve's order, as PKCS#11 gives it and as it is short.
 * Both functions are total: undefined for octets that are no such signature, never an exception.
 */

/** Octets of r and of s on P-521, the largest curve here. */
const MAX_OCTETS = 66;

/** @param raw r || s, of the same number of octets each. Undefined when the length is odd, 0 or too long, or r or s is 0. */
export function rawToDer(raw: Uint8Array): Buffer | undefined {
  const size = raw.length >> 1;
  if (raw.length === 0 || (raw.length & 1) === 1 || size > MAX_OCTETS) return undefined;
  const r = firstOctet(raw, 0, size);
  const s = firstOctet(raw, size, raw.length);
  // r and s lie in 1 … n−1 (SEC 1 §4.1.3).
  if (r === size || s === raw.length) return undefined;
  // An INTEGER is signed: a first octet of 80 or more needs 00 before it (X.690 §8.3).
  const rLength = size - r + ((raw[r] as number) >> 7);
  const sLength = raw.length - s + ((raw[s] as number) >> 7);
  const content = 4 + rLength + sLength;
  const der = Buffer.allocUnsafe((content < 0x80 ? 2 : 3) + content);
  let at = 0;
  der[at++] = 0x30;
  if (content >= 0x80) der[at++] = 0x81;
  der[at++] = content;
  at = putInteger(der, at, raw, r, size, rLength);
  putInteger(der, at, raw, s, raw.length, sLength);
  return der;
}

/**
 * @param octets of r and of s: 32 for P-256, 48 for P-384, 66 for P-521.
 * @returns r || s; undefined for anything but the one DER encoding of two positive INTEGERs that fit.
 */
export function derToRaw(der: Uint8Array, octets: number): Buffer | undefined {
  let at = 2;
  let content = der[1];
  if (der[0] !== 0x30 || content === undefined) return undefined;
  if (content === 0x81) {
    content = der[at++] as number;
    if (content === undefined || content < 0x80) return undefined;
  } else if (content >= 0x80) return undefined;
  if (at + content !== der.length) return undefined;
  const raw = Buffer.alloc(2 * octets);
  at = takeInteger(der, at, raw, 0, octets);
  if (at === -1) return undefined;
  at = takeInteger(der, at, raw, octets, octets);
  return at === der.length ? raw : undefined;
}

/** Index of the first octet that is not 0, or `end`. */
function firstOctet(raw: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && raw[at] === 0) at++;
  return at;
}

/** Writes the INTEGER raw[first..end) at `at`; returns where the next element begins. */
function putInteger(der: Buffer, at: number, raw: Uint8Array, first: number, end: number, length: number): number {
  der[at++] = 0x02;
  der[at++] = length;
  if (length > end - first) der[at++] = 0;
  for (let from = first; from < end; from++) der[at++] = raw[from] as number;
  return at;
}

/** Reads one INTEGER into raw[start..start+octets), right-aligned; returns where the next element begins, or -1. */
function takeInteger(der: Uint8Array, at: number, raw: Buffer, start: number, octets: number): number {
  const length = der[at + 1];
  if (der[at] !== 0x02 || length === undefined || length === 0 || length > octets + 1) return -1;
  const end = at + 2 + length;
  if (end > der.length) return -1;
  let from = at + 2;
  const first = der[from] as number;
  if (first >= 0x80) return -1;
  if (first === 0) {
    // 00 stands only before an octet that would make it negative; alone it is the number 0, which no signature has.
    if (length === 1 || (der[from + 1] as number) < 0x80) return -1;
    from++;
  }
  const padding = octets - (end - from);
  if (padding < 0) return -1;
  for (let to = start + padding; from < end; to++, from++) raw[to] = der[from] as number;
  return end;
}
