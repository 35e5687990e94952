/**
 * CertificateList, v2 (RFC 5280 §5), the way a CA's profile prints it: authorityKeyIdentifier and cRLNumber, entries with
 * reasonCode when there is one, invalidityDate when the profile wants it. Entries go straight into octets as they come, so
 * that a million of them take the memory of the file and not of a million objects.
 */
import type { RevokedEntry } from '../certificate.ts';
import { extension, header, integer, tlv } from '../der/writer.ts';
import { OID } from '../der/oid.ts';
import { GENERALIZED_TIME_OCTETS, encodeTime, isUtcTime, putGeneralizedTime, putTime } from '../der/time.ts';
import type { Profile } from '../policy/profile.ts';
import { Problem } from '../problem.ts';
import { REASON_CODES } from '../reason.ts';
import type { SignatureAlgorithm } from '../signature-algorithm.ts';
import type { EpochMs } from '../time.ts';

export interface CrlParts {
  /** DER of the Name, as the subject stands in the CA certificate (C-06, T-15). */
  readonly issuerName: Uint8Array;
  /** keyIdentifier: the subjectKeyIdentifier of the CA certificate (C-04). */
  readonly authorityKeyIdentifier: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly number: bigint;
  readonly invalidityDate: Profile['crl']['invalidityDate'];
  /** DER of further crlExtensions, behind the two that every CRL has; an issuingDistributionPoint goes here. */
  readonly extensions?: readonly Uint8Array[];
}

/** RFC 5280 §5.2.3: 20 octets, so below 2^159 (C-03, T-35). */
export const MAX_CRL_NUMBER = (1n << 159n) - 1n;

/** What a CRL says of a revoked certificate. */
export type ListedEntry = Pick<RevokedEntry, 'serial' | 'revokedAt' | 'reason'>;

/** A whole CRL in memory: collects the entries; `tbs` ends it. */
export class CrlBuilder {
  readonly #parts: CrlParts;
  readonly #full: Buffer[] = [];
  #chunk = Buffer.allocUnsafeSlow(FIRST_CHUNK_OCTETS);
  #at = 0;
  #entries = 0;
  #ended = false;

  /** @throws Problem `invalid` for a number outside 0 to 2^159 − 1. */
  constructor(parts: CrlParts) {
    if (parts.number < 0n || parts.number > MAX_CRL_NUMBER) {
      throw new Problem('invalid', 'a CRL number is 0 to 2^159 - 1', {
        field: 'number',
        value: String(parts.number),
        rule: 'C-03',
      });
    }
    this.#parts = parts;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Adds an entry. Order is the caller's; it stays. @throws Problem `invalid` for a time that no CRL can express. */
  add(entry: ListedEntry): void {
    if (this.#ended) throw new Error('this CRL is built already');
    if (this.#at + MAX_ENTRY_OCTETS > this.#chunk.length) this.#nextChunk();
    this.#at = putEntry(this.#chunk, this.#at, entry, this.#parts.invalidityDate);
    this.#entries++;
  }

  /** DER of TBSCertList: the octets to sign. Once; the collected entries are let go while they are copied. */
  tbs(): Buffer {
    if (this.#ended) throw new Error('this CRL is built already');
    this.#ended = true;
    const chunks = this.#full;
    chunks.push(this.#chunk.subarray(0, this.#at));
    this.#chunk = NO_OCTETS;
    const entryOctets = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const { before, after } = tbsAround(this.#parts, entryOctets);
    const tbs = Buffer.allocUnsafeSlow(before.length + entryOctets + after.length);
    let at = before.copy(tbs);
    for (let i = 0; i < chunks.length; i++) {
      at += (chunks[i] as Buffer).copy(tbs, at);
      chunks[i] = NO_OCTETS; // a million entries need not be in memory twice
    }
    after.copy(tbs, at);
    return tbs;
  }

  #nextChunk(): void {
    this.#full.push(this.#chunk.subarray(0, this.#at));
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_OCTETS);
    this.#at = 0;
  }
}

/**
 * Writes one entry.
 * @param target with MAX_ENTRY_OCTETS of room behind `at`.
 * @returns the offset behind it.
 * @throws Problem `invalid` for a time that no CRL can express.
 */
export function putEntry(
  target: Buffer,
  at: number,
  { serial, revokedAt, reason }: ListedEntry,
  invalidityDate: CrlParts['invalidityDate'],
): number {
  const serialOctets = serial.length >> 1;
  const invalidity = invalidityDate === 'revocation-date';
  // T-28, C-23: unspecified is expressed by leaving the reason out.
  const extensions = (invalidity ? INVALIDITY_DATE_OCTETS : 0) + (reason === undefined ? 0 : REASON_OCTETS);
  // Each length below fits one octet.
  target[at] = 0x30;
  target[at + 1] = 2 + serialOctets + (isUtcTime(revokedAt) ? 15 : 17) + (extensions === 0 ? 0 : 2 + extensions);
  target[at + 2] = 0x02;
  target[at + 3] = serialOctets;
  target.write(serial, at + 4, 'hex');
  let next = putTime(target, at + 4 + serialOctets, revokedAt);
  if (extensions > 0) {
    target[next] = 0x30;
    target[next + 1] = extensions;
    next += 2;
    // CT-B-CRL-11, -12: invalidityDate before cRLReason, as the profile prints them.
    if (invalidity) {
      target.set(INVALIDITY_DATE_HEADER, next);
      putGeneralizedTime(target, next + INVALIDITY_DATE_HEADER.length, revokedAt);
      next += INVALIDITY_DATE_OCTETS;
    }
    if (reason !== undefined) {
      target.set(REASON_HEADER, next);
      target[next + REASON_HEADER.length] = REASON_CODES[reason];
      next += REASON_OCTETS;
    }
  }
  return next;
}

/** The octets of TBSCertList on both sides of its entries, once it is known how many octets those have. */
export function tbsAround(
  parts: CrlParts,
  entryOctets: number,
): { readonly before: Buffer; readonly after: Buffer; readonly octets: number } {
  const { issuerName, authorityKeyIdentifier, algorithm, thisUpdate, nextUpdate, number, extensions } = parts;
  const fields = Buffer.concat([
    VERSION_V2, // C-01
    algorithm.identifier, // C-05: the same octets as outside
    issuerName,
    encodeTime(thisUpdate),
    encodeTime(nextUpdate), // C-02
    // RFC 5280 §5.1.2.6: without revoked certificates the list is absent, not empty (C-09).
    entryOctets === 0 ? NO_OCTETS : header(0x30, entryOctets),
  ]);
  const after = tlv(
    0xa0,
    tlv(
      0x30,
      // BR 7.2.2: keyIdentifier only, non-critical (B-27). [0] IMPLICIT in the AuthorityKeyIdentifier SEQUENCE.
      extension(OID.authorityKeyIdentifier, false, tlv(0x30, tlv(0x80, authorityKeyIdentifier))),
      extension(OID.cRLNumber, false, integer(number)),
      ...(extensions ?? []),
    ),
  );
  const before = Buffer.concat([header(0x30, fields.length + entryOctets + after.length), fields]);
  return { before, after, octets: before.length + entryOctets + after.length };
}

/** The octets of the CertificateList on both sides of its TBSCertList. */
export function crlAround(
  tbsOctets: number,
  algorithm: SignatureAlgorithm,
  signature: Uint8Array,
): { readonly before: Buffer; readonly after: Buffer } {
  const after = Buffer.concat([algorithm.identifier, tlv(0x03, Buffer.of(0), signature)]);
  return { before: header(0x30, tbsOctets + after.length), after };
}

/** DER of the CertificateList with this signature (the BIT STRING's octets) over `tbs`. */
export function assembleCrl(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Buffer {
  const { before, after } = crlAround(tbs.length, algorithm, signature);
  return Buffer.concat([before, tbs, after]);
}

/** 30 L, serial of 20 octets, GeneralizedTime, both extensions: 85, and a little. */
export const MAX_ENTRY_OCTETS = 96;

const FIRST_CHUNK_OCTETS = 4096;
const CHUNK_OCTETS = 1 << 20;
const NO_OCTETS = Buffer.alloc(0);
const VERSION_V2 = Buffer.from('020101', 'hex');
/** Extension { 2.5.29.21, OCTET STRING { ENUMERATED of one octet } }, up to that octet. */
const REASON_HEADER = Buffer.from('300a0603551d1504030a01', 'hex');
const REASON_OCTETS = REASON_HEADER.length + 1;
/** Extension { 2.5.29.24, OCTET STRING { GeneralizedTime } }, up to the digits: never UTCTime (C-25). */
const INVALIDITY_DATE_HEADER = Buffer.from('30180603551d180411180f', 'hex');
const INVALIDITY_DATE_OCTETS = INVALIDITY_DATE_HEADER.length + GENERALIZED_TIME_OCTETS;
