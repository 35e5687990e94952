/**
 * The GET form of a request (RFC 6960 App. A.1, RFC 9919 §6): base64 of the DER, percent-encoded, behind the AIA URL's path.
 *
 * One spelling is right and a dozen arrive: unescaped `+ / =`, lower-case escapes, base64url, no padding, a `//` in front,
 * a `/` or a query behind, `+` turned into a space by a form decoder, wrapped lines, everything escaped twice. All of them
 * mean one request, so all of them are read; which answer that is, is decided by the DER alone (L-16, T-49).
 */

/** Why a path holds no request. */
export type GetPathProblem =
  | 'empty' // nothing but slashes or a query
  | 'too-long'
  | 'not-base64';

/** As many characters as a request head may have in all; an escaped request of 2 kB still fits (L-15). */
export const MAX_GET_CHARACTERS = 16_384;

/**
 * Decodes the part of the raw request-target behind the mount path: never decoded, never normalised by anybody before.
 * The octets returned may be anything; whether they are a request is parseRequest's question.
 */
export function decodeGetPath(rest: string): Buffer | GetPathProblem {
  let start = 0;
  let end = rest.length;
  if (end > MAX_GET_CHARACTERS) return 'too-long';
  // An AIA URL that ends in `/` makes clients send `//`. A request never begins with one: its first octet is 30, so `M`.
  while (start < end && rest.charCodeAt(start) === SLASH) start++;
  const query = rest.indexOf('?');
  if (query >= 0) end = query;
  const fragment = rest.indexOf('#');
  if (fragment >= 0 && fragment < end) end = fragment;
  if (start >= end) return 'empty';
  const once = decodeText(rest.slice(start, end));
  if (once !== ESCAPED_TWICE) return once;
  // `%252B`: escaped by a client and again by a proxy. Only here, so that one reading is tried first.
  const twice = decodeText(rest.slice(start, end).replace(/%25/g, '%'));
  return twice === ESCAPED_TWICE ? 'not-base64' : twice;
}

/** The path segment that clients should send for this request, without a leading slash (RFC 9919 §6). */
export function encodeGetPath(der: Uint8Array): string {
  return encodeURIComponent(Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64'));
}

/** By way of octets: of a part of a longer string, each character that is looked at costs several times as much. */
function decodeText(text: string): Buffer | 'not-base64' | typeof ESCAPED_TWICE {
  return decodeBase64(characters, characters.write(text, 'utf8'));
}

/** Scratch of one call at a time. In UTF-8, so that what is no ASCII is never taken for it. */
const characters = Buffer.allocUnsafeSlow(3 * MAX_GET_CHARACTERS);

/** Base64 or base64url, percent-escaped or not, in one pass; `ESCAPED_TWICE` when an escape yields a percent sign. */
function decodeBase64(text: Uint8Array, end: number): Buffer | 'not-base64' | typeof ESCAPED_TWICE {
  const octets = Buffer.allocUnsafe(((end * 3) >> 2) + 3);
  let length = 0;
  let bits = 0;
  let count = 0;
  let padding = 0;
  for (let i = 0; i < end; i++) {
    // Four plain characters at a time, which is nearly all of any path; everything else goes through below.
    while ((count & 3) === 0 && padding === 0 && i + 3 < end) {
      const c0 = text[i] as number;
      const c1 = text[i + 1] as number;
      const c2 = text[i + 2] as number;
      const c3 = text[i + 3] as number;
      if ((c0 | c1 | c2 | c3) > 127) return 'not-base64';
      const v0 = VALUES[c0] as number;
      const v1 = VALUES[c1] as number;
      const v2 = VALUES[c2] as number;
      const v3 = VALUES[c3] as number;
      if ((v0 | v1 | v2 | v3) > 63) break;
      octets[length] = (v0 << 2) | (v1 >> 4);
      octets[length + 1] = ((v1 & 15) << 4) | (v2 >> 2);
      octets[length + 2] = ((v2 & 3) << 6) | v3;
      length += 3;
      count += 4;
      i += 4;
    }
    if (i >= end) break;
    let code = text[i] as number;
    let escaped = false;
    if (code === PERCENT) {
      const high = i + 2 < end ? hexDigit(text[i + 1] as number) : -1;
      const low = high < 0 ? -1 : hexDigit(text[i + 2] as number);
      if (low < 0) return 'not-base64';
      code = high * 16 + low;
      if (code === PERCENT) return ESCAPED_TWICE;
      escaped = true;
      i += 2;
    }
    const value = code < 128 ? (VALUES[code] as number) : INVALID;
    if (value < 64) {
      if (padding > 0) {
        // Nothing follows the padding, except one trailing slash of a monitor or link checker.
        if (code === SLASH && i === end - 1 && !escaped) break;
        return 'not-base64';
      }
      bits = (bits << 6) | value;
      if ((++count & 3) === 0) {
        octets[length] = (bits >> 16) & 0xff;
        octets[length + 1] = (bits >> 8) & 0xff;
        octets[length + 2] = bits & 0xff;
        length += 3;
        bits = 0;
      }
    } else if (value === PADDING) {
      if (++padding > 2) return 'not-base64';
    } else if (value !== LINE_BREAK) {
      return 'not-base64';
    }
  }
  const lastIsSlash = (text[end - 1] as number) === SLASH;
  // One character of a group holds no octet: only a trailing slash behind unpadded base64 leaves one.
  const left = count & 3;
  if (left === 1 && !lastIsSlash) return 'not-base64';
  if (left >= 2) octets[length++] = (bits >> (left === 2 ? 4 : 10)) & 0xff;
  if (left === 3) octets[length++] = (bits >> 2) & 0xff;
  if (length === 0) return 'not-base64';
  // Behind base64 that lost its `=`, a trailing slash reads as six more bits and can make one octet. The DER's own length tells.
  if (lastIsSlash && padding === 0 && declaredLength(octets) === length - 1) length--;
  return octets.subarray(0, length);
}

/** The length of the element that the octets begin with, header included; -1 when there is no such header. */
function declaredLength(octets: Uint8Array): number {
  const first = octets[1] ?? 0;
  if (first < 0x80) return 2 + first;
  if (first === 0x81) return 3 + (octets[2] ?? 0);
  if (first === 0x82) return 4 + (octets[2] ?? 0) * 256 + (octets[3] ?? 0);
  return -1;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const ESCAPED_TWICE = 'escaped-twice';
const SLASH = 0x2f;
const PERCENT = 0x25;
const PADDING = 64;
const LINE_BREAK = 65;
const INVALID = 66;

const VALUES = makeValues();

function makeValues(): Uint8Array {
  const values = new Uint8Array(128).fill(INVALID);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  for (let i = 0; i < 64; i++) values[alphabet.charCodeAt(i)] = i;
  values['-'.charCodeAt(0)] = 62; // base64url, RFC 4648 §5
  values['_'.charCodeAt(0)] = 63;
  values[' '.charCodeAt(0)] = 62; // a form decoder's `+`
  values['='.charCodeAt(0)] = PADDING;
  values['\r'.charCodeAt(0)] = LINE_BREAK;
  values['\n'.charCodeAt(0)] = LINE_BREAK;
  return values;
}
