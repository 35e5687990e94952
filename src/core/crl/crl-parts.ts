/**
 * A CRL that is read in pieces, because it may be larger than memory: what stands before its entries, the entries, what stands
 * behind them. The two ends are small and are read as a CRL of their own, without entries.
 */
import { tlv } from '../der/writer.ts';
import { Problem } from '../problem.ts';
import { readCrl, type CrlView } from './crl-reader.ts';

/** So many octets from the start hold everything before the entries: a Name of an ordinary size, two times, headers. */
export const CRL_HEAD_OCTETS = 64 << 10;
/** What stands behind the entries is not larger: extensions, algorithm, signature. */
const MAX_TAIL_OCTETS = 64 << 10;

/** Offsets in the file. */
export interface CrlParts {
  readonly octets: number;
  /** TBSCertList, header included: what is signed. */
  readonly tbsFrom: number;
  readonly tbsTo: number;
  /** The content of revokedCertificates; empty where the CRL has none. */
  readonly entriesFrom: number;
  readonly entriesTo: number;
  /** Of TBSCertList's content, up to revokedCertificates. */
  readonly beforeFrom: number;
  readonly beforeTo: number;
}

/**
 * @param head the first octets of the file: all of them, or CRL_HEAD_OCTETS.
 * @param octets how many the file has.
 * @throws Problem `corrupt` when this is no CRL.
 */
export function crlParts(head: Uint8Array, octets: number): CrlParts {
  const whole = header(head, 0, 0x30, octets);
  if (whole.to !== octets) throw corrupt('octets behind the CRL', whole.to);
  const tbs = header(head, whole.from, 0x30, whole.to);
  let at = tbs.from;
  // version, which a v1 CRL has not; signature; issuer; thisUpdate; nextUpdate, which is optional.
  if (head[at] === 0x02) at = header(head, at, 0x02, tbs.to).to;
  at = header(head, at, 0x30, tbs.to).to;
  at = header(head, at, 0x30, tbs.to).to;
  for (let times = 0; times < 2 && (head[at] === 0x17 || head[at] === 0x18); times += 1) {
    at = header(head, at, head[at] as number, tbs.to).to;
  }
  const list = at < tbs.to && head[at] === 0x30 ? header(head, at, 0x30, tbs.to) : { from: at, to: at };
  if (octets - list.to > MAX_TAIL_OCTETS)
    throw corrupt(`more than ${MAX_TAIL_OCTETS} octets behind the entries`, list.to);
  return {
    octets,
    tbsFrom: whole.from,
    tbsTo: tbs.to,
    beforeFrom: tbs.from,
    beforeTo: at,
    entriesFrom: list.from,
    entriesTo: list.to,
  };
}

/**
 * Everything that the CRL says but its entries; `tbs` and `der` of the view are not those of the file.
 * @param tail the file from `entriesTo` on. @throws Problem `corrupt`
 */
export function crlWithoutEntries(head: Uint8Array, tail: Uint8Array, parts: CrlParts): CrlView {
  const behind = parts.tbsTo - parts.entriesTo;
  const before = head.subarray(parts.beforeFrom, parts.beforeTo);
  return readCrl(tlv(0x30, tlv(0x30, before, tail.subarray(0, behind)), tail.subarray(behind)));
}

/** Where the last entry ends that is whole in these octets, which begin with one. */
export function wholeEntries(octets: Uint8Array): number {
  let at = 0;
  for (;;) {
    const next = elementEnd(octets, at);
    if (next === undefined || next > octets.length) return at;
    at = next;
  }
}

/** Undefined when its header is not all there. */
function elementEnd(octets: Uint8Array, at: number): number | undefined {
  const first = octets[at + 1];
  if (first === undefined) return undefined;
  if (first < 0x80) return at + 2 + first;
  const count = first & 0x7f;
  // Indefinite, or longer than anything: the reader says what is wrong with it.
  if (count === 0 || count > 4) return octets.length;
  if (at + 2 + count > octets.length) return undefined;
  let length = 0;
  for (let i = 0; i < count; i += 1) length = length * 256 + (octets[at + 2 + i] as number);
  return at + 2 + count + length;
}

function header(
  head: Uint8Array,
  at: number,
  tag: number,
  limit: number,
): { readonly from: number; readonly to: number } {
  const to = head[at] === tag ? elementEnd(head, at) : undefined;
  if (to === undefined || to > limit) throw corrupt('no CRL', at);
  const first = head[at + 1] as number;
  return { from: at + 2 + (first < 0x80 ? 0 : first & 0x7f), to };
}

function corrupt(message: string, at: number): Problem {
  return new Problem('corrupt', `${message} at offset ${at}`, { field: 'CRL', rule: 'C-29' });
}
