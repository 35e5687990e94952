/**
 * Reads a CRL that is not in memory whole: first where its entries lie, then everything around them, and the entries piece by
 * piece. As strict as readCrl, which is given all but the entries.
 */
import { tlv } from '../der/writer.ts';
import { DerDocument } from '../der/document.ts';
import { readCrl, type CrlView } from './crl-reader.ts';

/** Octets that `locateEntries` wants of the beginning, and the most that may stand behind the entries. */
export const CRL_EDGE_OCTETS = 64 * 1024;

/** Offsets in the file. */
export interface CrlRegions {
  readonly octets: number;
  readonly tbsAt: number;
  readonly tbsEnd: number;
  /** First octet of the revokedCertificates element; entriesAt when there is none. */
  readonly listAt: number;
  readonly entriesAt: number;
  readonly entriesEnd: number;
}

/**
 * @param head the first CRL_EDGE_OCTETS, or all when it has fewer.
 * @param octets of the whole file.
 * @throws Problem `corrupt` for what is no CRL, or of another length.
 */
export function locateEntries(head: Uint8Array, octets: number): CrlRegions {
  const document: DerDocument = new DerDocument(head, 'CRL');
  const { cursor } = document;
  // Elements end where their headers say; what is read here is in the head.
  cursor.end = octets;
  document.enter(0x30, 'CertificateList');
  if (cursor.end !== octets) document.fail('octets after the CRL', 'CertificateList', 'T-56', cursor.end);
  document.enter(0x30, 'tbsCertList');
  const { header: tbsAt, stop: tbsEnd } = cursor;
  if (cursor.tag === 0x02) document.next(0x02, 'version');
  for (const field of ['signature', 'issuer']) {
    document.next(0x30, field);
    // Two times and the header of the list stand behind them.
    if (head.length < octets && cursor.position + 48 > head.length)
      document.fail('its first fields take too much', field, 'RFC 5280 §5.1', cursor.position);
  }
  document.any('thisUpdate');
  if (cursor.tag === 0x17 || cursor.tag === 0x18) document.any('nextUpdate');
  const listAt = cursor.position;
  // An empty list is left where it is: readCrl says what is wrong with it.
  if (cursor.tag !== 0x30) return { octets, tbsAt, tbsEnd, listAt, entriesAt: listAt, entriesEnd: listAt };
  document.next(0x30, 'revokedCertificates');
  if (octets - cursor.stop > CRL_EDGE_OCTETS)
    document.fail('its last fields take too much', 'crlExtensions', 'RFC 5280 §5.1', cursor.stop);
  return { octets, tbsAt, tbsEnd, listAt, entriesAt: cursor.start, entriesEnd: cursor.stop };
}

/** All of a CRL but its entries. */
export type CrlFrame = Omit<CrlView, 'der' | 'tbs' | 'entries'>;

/**
 * @param head as for `locateEntries`. @param tail the octets from entriesEnd on.
 * @throws Problem `corrupt` as readCrl does.
 */
export function readFrame(head: Uint8Array, regions: CrlRegions, tail: Uint8Array): CrlFrame {
  const { tbsAt, tbsEnd, listAt, entriesAt, entriesEnd, octets } = regions;
  const fields = head.subarray(contentOf(head, tbsAt), entriesEnd > entriesAt ? listAt : entriesAt);
  const behind = tbsEnd - entriesEnd;
  const tbs = tlv(0x30, fields, tail.subarray(0, behind));
  const { hasRevokedCertificates, ...view } = readCrl(tlv(0x30, tbs, tail.subarray(behind)));
  return { ...view, octets, hasRevokedCertificates: hasRevokedCertificates || entriesEnd > entriesAt };
}

/** Where the element at `at` ends; NaN when its length is not all in `bytes` or has more than three octets. */
export function endOfElement(bytes: Uint8Array, at: number): number {
  const length = bytes[at + 1] as number;
  if (length < 0x80) return at + 2 + length;
  const octets = length & 0x7f;
  if (octets === 0 || octets > 3) return NaN;
  let sum = 0;
  for (let i = 0; i < octets; i++) sum = sum * 256 + (bytes[at + 2 + i] ?? NaN);
  return at + 2 + octets + sum;
}

function contentOf(bytes: Uint8Array, at: number): number {
  const length = bytes[at + 1] as number;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}
