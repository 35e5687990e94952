/**
 * Reads a CertificateList (RFC 5280 §5), ours before it is published or another CA's for import: v1 or v2, any extensions.
 * Strict DER throughout. Entries are read one at a time, so that a CRL of a million costs no million objects. Views, no
 * copies: the result lives as long as the octets are unchanged.
 */
import { DerDocument, findExtension, type Deviation, type ExtensionView } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import { DerCursor, equalAt, isMinimalInteger } from '../der/reader.ts';
import { readGeneralizedTime } from '../der/time.ts';
import { Problem } from '../problem.ts';
import { reasonName, type ReasonName } from '../reason.ts';
import { serialFromInteger, type Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

export interface CrlView {
  /** Of the whole file. */
  readonly octets: number;
  readonly der: Uint8Array;
  /** DER of TBSCertList: the octets that were signed. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2;
  /** DER of the AlgorithmIdentifier within, and of the one outside; C-05 wants them equal. */
  readonly signature: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly signatureValue: Uint8Array;
  /** DER of the Name. */
  readonly issuer: Uint8Array;
  /** NaN when its form is irregular, and then `deviations` says so; the same holds for every instant below. */
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs | undefined;
  readonly crlExtensions: readonly ExtensionView[];
  /** cRLNumber; undefined when absent or not an INTEGER. */
  readonly number: bigint | undefined;
  /** keyIdentifier of the authorityKeyIdentifier; undefined when absent. */
  readonly keyIdentifier: Uint8Array | undefined;
  /** Whether revokedCertificates is present, be it empty (C-09). */
  readonly hasRevokedCertificates: boolean;
  /** Deviations of everything but the entries. */
  readonly deviations: readonly Deviation[];
  /** The entries in their order. @throws Problem `corrupt` at the entry that cannot be read. */
  entries(): IterableIterator<CrlEntryView>;
}

export interface CrlEntryView {
  /** Offset of the entry in the file. */
  readonly offset: number;
  /** Undefined when C-28 refuses it; the octets are in `serialOctets`. */
  readonly serial: Serial | undefined;
  readonly serialOctets: Uint8Array;
  readonly revocationDate: EpochMs;
  /** The number as it stands, because a wrong one must be shown; and its name when there is one. */
  readonly reasonCode: number | undefined;
  readonly reason: ReasonName | undefined;
  readonly invalidityDate: EpochMs | undefined;
  /** Extensions other than reasonCode and invalidityDate. */
  readonly otherExtensions: readonly ExtensionView[];
  readonly deviations: readonly Deviation[];
}

/** Five million entries: more than any CA has revoked, and well below what a Buffer holds. */
export const MAX_CRL_OCTETS = 256 * 1024 * 1024;

/**
 * The DER in a file that holds one CRL as DER or PEM (RFC 7468 §6).
 * @throws Problem `invalid` when it holds none, or more than one; `too-large` over MAX_CRL_OCTETS.
 */
export function crlFromFile(file: Uint8Array): Uint8Array {
  if (file.length > 1.5 * MAX_CRL_OCTETS)
    throw new Problem('too-large', `over ${MAX_CRL_OCTETS} octets`, { field: 'CRL' });
  if (file[0] === 0x30) return file;
  const text = Buffer.from(file.buffer, file.byteOffset, file.length).toString('latin1');
  const begin = text.indexOf(PEM_BEGIN);
  const end = text.indexOf(PEM_END, begin);
  if (begin < 0 || end < 0)
    throw new Problem('invalid', 'neither a DER nor a PEM CRL', { field: 'CRL', value: text.slice(0, 40) });
  if (text.indexOf(PEM_BEGIN, end) >= 0)
    throw new Problem('invalid', 'more than one CRL in the file', { field: 'CRL' });
  const base64 = text.slice(begin + PEM_BEGIN.length, end);
  if (!/^[A-Za-z0-9+/\s]*=?\s*=?\s*$/.test(base64))
    throw new Problem('invalid', 'not base64', { field: 'CRL', rule: 'RFC 7468 §2' });
  return Buffer.from(base64, 'base64');
}

/** @throws Problem `corrupt` naming field and offset; `too-large` over MAX_CRL_OCTETS. */
export function readCrl(der: Uint8Array): CrlView {
  if (der.length > MAX_CRL_OCTETS) throw new Problem('too-large', `over ${MAX_CRL_OCTETS} octets`, { field: 'CRL' });
  const document: DerDocument = new DerDocument(der, 'CRL');
  const { cursor } = document;
  const whole = document.enter(0x30, 'CertificateList');
  if (cursor.end !== der.length) document.fail('octets after the CRL', 'CertificateList', 'T-56', cursor.end);
  const tbsEnd = document.enter(0x30, 'tbsCertList');
  const tbs = cursor.element();

  let version: 1 | 2 = 1;
  if (cursor.tag === 0x02) {
    document.next(0x02, 'version');
    if (cursor.length !== 1 || der[cursor.start] !== 1) document.fail('neither v1 (absent) nor v2', 'version', 'C-01');
    version = 2;
  }
  document.next(0x30, 'signature');
  const signature = cursor.element();
  document.next(0x30, 'issuer');
  const issuer = cursor.element();
  const thisUpdate = document.time('thisUpdate');
  const nextUpdate = cursor.tag === 0x17 || cursor.tag === 0x18 ? document.time('nextUpdate') : undefined;
  let entriesStart = 0;
  let entriesStop = 0;
  const hasRevokedCertificates = cursor.tag === 0x30;
  if (hasRevokedCertificates) {
    document.next(0x30, 'revokedCertificates');
    entriesStart = cursor.start;
    entriesStop = cursor.stop;
    if (entriesStart === entriesStop) document.deviation('empty-sequence', 'revokedCertificates');
  }
  let crlExtensions: readonly ExtensionView[] = NO_EXTENSIONS;
  if (cursor.tag === 0xa0) {
    const explicit = document.enter(0xa0, 'crlExtensions');
    crlExtensions = document.extensions('crlExtensions');
    document.leave(explicit, 'crlExtensions');
  }
  document.leave(tbsEnd, 'tbsCertList');
  document.next(0x30, 'signatureAlgorithm');
  const signatureAlgorithm = cursor.element();
  const signatureValue = document.bitString('signatureValue');
  document.leave(whole, 'CertificateList');
  return {
    octets: der.length,
    der,
    tbs,
    version,
    signature,
    signatureAlgorithm,
    signatureValue,
    issuer,
    thisUpdate,
    nextUpdate,
    crlExtensions,
    number: readNumber(crlExtensions),
    keyIdentifier: readKeyIdentifier(crlExtensions),
    hasRevokedCertificates,
    deviations: document.deviations,
    entries: () => readEntries(der, entriesStart, entriesStop),
  };
}

function* readEntries(der: Uint8Array, start: number, stop: number): IterableIterator<CrlEntryView> {
  const document: DerDocument = new DerDocument(der, 'CRL');
  const { cursor } = document;
  cursor.position = start;
  cursor.end = stop;
  while (!cursor.atEnd) yield readEntry(document);
}

/** Reads single entries out of octets that hold some of them. */
export class CrlEntryReader {
  readonly #document: DerDocument;

  constructor(octets: Uint8Array) {
    this.#document = new DerDocument(octets, 'CRL');
  }

  /** The entry at `at`, which ends at `end` at the latest. @throws Problem `corrupt` */
  read(at: number, end: number): CrlEntryView {
    this.#document.cursor.position = at;
    this.#document.cursor.end = end;
    return readEntry(this.#document);
  }
}

function readEntry(document: DerDocument): CrlEntryView {
  const { cursor } = document;
  const { bytes } = cursor;
  const entryEnd = document.enter(0x30, 'revokedCertificates');
  const offset = cursor.header;
  document.next(0x02, 'userCertificate');
  const serialOctets = cursor.content();
  if (!isMinimalInteger(serialOctets)) document.fail('not a minimal INTEGER', 'userCertificate', 'X.690 §8.3.2');
  const revocationDate = document.time('revocationDate');
  let reasonCode: number | undefined;
  let invalidityDate: EpochMs | undefined;
  let otherExtensions = NO_EXTENSIONS;
  if (!cursor.atEnd) {
    // The two extensions of nearly every entry, in their usual octets, need no views of their own.
    const list = document.enter(0x30, 'crlEntryExtensions');
    let usual = !cursor.atEnd;
    while (usual && !cursor.atEnd) {
      const at = cursor.position;
      if (reasonCode === undefined && at + 12 <= cursor.end && equalAt(bytes, at, at + 11, USUAL_REASON)) {
        reasonCode = bytes[at + 11];
        cursor.position = at + 12;
      } else if (
        invalidityDate === undefined &&
        at + 26 <= cursor.end &&
        equalAt(bytes, at, at + 11, USUAL_INVALIDITY)
      ) {
        invalidityDate = readGeneralizedTime(bytes, at + 11, at + 26);
        cursor.position = at + 26;
        usual = invalidityDate !== undefined;
      } else {
        usual = false;
      }
    }
    if (usual) {
      document.leave(list, 'crlEntryExtensions');
    } else {
      cursor.end = list;
      cursor.position = cursor.header;
      ({ reasonCode, invalidityDate, otherExtensions } = readEntryExtensions(document));
    }
  }
  document.leave(entryEnd, 'revokedCertificates');
  return {
    offset,
    serial: serialFromInteger(serialOctets),
    serialOctets,
    revocationDate,
    reasonCode,
    reason: reasonCode === undefined ? undefined : reasonName(reasonCode),
    invalidityDate,
    otherExtensions,
    deviations: document.deviations.length === 0 ? NO_DEVIATIONS : document.deviations.splice(0),
  };
}

type EntryExtensions = Pick<CrlEntryView, 'reasonCode' | 'invalidityDate' | 'otherExtensions'>;

function readEntryExtensions(document: DerDocument): EntryExtensions {
  const field = 'crlEntryExtensions';
  const extensions = document.extensions(field);
  const reason = findExtension(extensions, OID.reasonCode);
  const invalidity = findExtension(extensions, OID.invalidityDate);
  let reasonCode: number | undefined;
  let invalidityDate: EpochMs | undefined;
  if (reason !== undefined) {
    if (reason.critical) document.deviation('critical', 'reasonCode');
    const value = new DerCursor(reason.value);
    if (!value.next(0x0a) || !value.atEnd || value.length !== 1)
      document.fail('no CRLReason', 'reasonCode', 'RFC 5280 §5.3.1');
    reasonCode = reason.value[value.start];
  }
  if (invalidity !== undefined) {
    if (invalidity.critical) document.deviation('critical', 'invalidityDate');
    const value = new DerCursor(invalidity.value);
    if (!value.next(0x18) || !value.atEnd) document.fail('no GeneralizedTime', 'invalidityDate', 'RFC 5280 §5.3.2');
    invalidityDate = readGeneralizedTime(invalidity.value, value.start, value.stop) ?? NaN;
    if (Number.isNaN(invalidityDate)) document.deviation('time-form', 'invalidityDate');
  }
  const otherExtensions = extensions.filter((extension) => extension !== reason && extension !== invalidity);
  return { reasonCode, invalidityDate, otherExtensions };
}

function readNumber(extensions: readonly ExtensionView[]): bigint | undefined {
  const value = findExtension(extensions, OID.cRLNumber)?.value;
  if (value === undefined) return undefined;
  const cursor = new DerCursor(value);
  if (!cursor.next(0x02) || !cursor.atEnd || !isMinimalInteger(cursor.content())) return undefined;
  const content = cursor.content();
  const magnitude = BigInt(`0x${Buffer.from(content).toString('hex')}`);
  return (content[0] as number) & 0x80 ? magnitude - (1n << BigInt(8 * content.length)) : magnitude;
}

function readKeyIdentifier(extensions: readonly ExtensionView[]): Uint8Array | undefined {
  const value = findExtension(extensions, OID.authorityKeyIdentifier)?.value;
  if (value === undefined) return undefined;
  const cursor = new DerCursor(value);
  return cursor.enter(0x30) >= 0 && cursor.tag === 0x80 && cursor.next(0x80) ? cursor.content() : undefined;
}

const PEM_BEGIN = '-----BEGIN X509 CRL-----';
const PEM_END = '-----END X509 CRL-----';
const NO_EXTENSIONS: readonly ExtensionView[] = [];
const NO_DEVIATIONS: readonly Deviation[] = [];
const USUAL_REASON = Buffer.from('300a0603551d1504030a01', 'hex');
const USUAL_INVALIDITY = Buffer.from('30180603551d180411180f', 'hex');
