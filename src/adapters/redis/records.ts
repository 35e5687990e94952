/**
 * Values of the Redis store. One record holds a certificate's state and, when one of that revision is published, its answer: a
 * new revision takes the old answer with it (P2). Of about 46 octets beside the signatures each counts, a million times.
 *
 *     flags 1 | revision 3 | recordedSeq 5 | due 6 | recordedAt 6 | notBefore? notAfter? revocation? more? | answer?
 *     more: flags 1 | spkiHash 16? | crlShard …
 *     answer: thisUpdate | nextUpdate | publishedAt | refreshAt? | revocation? | responder 4 | forms 1 | signatures
 *
 * The first 15 octets lie fixed, because the scripts stamp recordedSeq and read `due`: when the refresh lane must handle the
 * certificate, all ones when never; it stands for refreshAt as well while the two are the same, as they mostly are. A fixed instant is
 * 48-bit milliseconds since 1900; the other instants are differences, in seconds where they are whole seconds: two to five octets.
 * An ECDSA signature stands as r || s, where its DER is the one encoding of them (core/ecdsa-signature.ts).
 */
import type { Certificate, IssuerTag, PublishedResponse, RevokedEntry, Revocation } from '../../core/certificate.ts';
import { derToRaw, rawToDer } from '../../core/ecdsa-signature.ts';
import { sameRevocation } from '../../core/precedence.ts';
import { REASON_CODES, reasonName, type Reason } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import { SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';

export interface StoredRecord {
  readonly certificate: Certificate;
  /** Of the certificate's revision. */
  readonly answer: PublishedResponse | undefined;
  /** When the refresh lane must handle it. */
  readonly due: EpochMs | undefined;
}

const PRECERTIFICATE = 1;
const REVOKED = 2;
const HAS_NOT_BEFORE = 4;
const HAS_NOT_AFTER = 8;
const HAS_MORE = 16;
const HAS_ANSWER = 32;
/** refreshAt is not `due`. */
const HAS_REFRESH_AT = 64;
/** The answer's revocation is not the certificate's. */
const HAS_OTHER_REVOCATION = 128;

const MORE_CRL_SHARD = 1;
const MORE_SPKI_HASH = 2;
const MORE_WITHOUT_OCSP = 4;
const NO_MORE = Buffer.alloc(0);

const NEVER = 0xffff_ffff_ffff;
const NO_REASON = 0xff;
const DUE_AT = 9;
/** More than everything takes beside `more` and signatures; r || s may be longer than a short DER. */
const MOST_BESIDE = 512;
const NO_SIGNATURES = { sha1: Buffer.alloc(0), sha256: Buffer.alloc(0) };

/** Octets of r and of s by the form of a signature; form 0 is any octets, after their length. */
const FORMS = [0, 32, 48, 66] as const;

export function encodeRecord({ certificate, answer, due }: StoredRecord): Buffer {
  const { notBefore, notAfter, revocation } = certificate;
  const more = encodeMore(certificate);
  const refreshApart = answer !== undefined && answer.refreshAt !== due;
  const otherRevocation = answer !== undefined && !sameRevocation(answer.revocation, revocation);
  const { sha1, sha256 } = answer?.signatures ?? NO_SIGNATURES;
  const to = new Writer(MOST_BESIDE + (more?.length ?? 0) + sha1.length + sha256.length);
  to.octet(
    (certificate.precertificate ? PRECERTIFICATE : 0) |
      (revocation === undefined ? 0 : REVOKED) |
      (notBefore === undefined ? 0 : HAS_NOT_BEFORE) |
      (notAfter === undefined ? 0 : HAS_NOT_AFTER) |
      (more === undefined ? 0 : HAS_MORE) |
      (answer === undefined ? 0 : HAS_ANSWER) |
      (refreshApart ? HAS_REFRESH_AT : 0) |
      (otherRevocation ? HAS_OTHER_REVOCATION : 0),
  );
  to.uint(certificate.revision, 3);
  to.uint(certificate.recordedSeq, 5);
  to.uint(due === undefined ? NEVER : sinceYear1900(due), 6);
  const base = certificate.recordedAt;
  to.uint(sinceYear1900(base), 6);
  if (notBefore !== undefined) to.instant(notBefore, base);
  if (notAfter !== undefined) to.instant(notAfter, notBefore ?? base);
  if (revocation !== undefined) to.revocation(revocation, base);
  if (more !== undefined) to.bytes(more);
  if (answer !== undefined) {
    to.instant(answer.thisUpdate, base);
    to.instant(answer.nextUpdate, answer.thisUpdate);
    to.instant(answer.publishedAt, base);
    if (refreshApart) to.instant(answer.refreshAt, answer.thisUpdate);
    if (otherRevocation) {
      to.octet(answer.revocation === undefined ? 0 : 1);
      if (answer.revocation !== undefined) to.revocation(answer.revocation, base);
    }
    to.hex(answer.responder);
    const signatures = [packSignature(sha1), packSignature(sha256)] as const;
    to.octet((signatures[0].form << 4) | signatures[1].form);
    for (const { form, octets } of signatures) {
      if (form === 0) to.bytes(octets);
      else to.raw(octets);
    }
  }
  return to.finish();
}

/** What few certificates have, and those of a CA that shards its CRLs all have. */
function encodeMore({ crlShard, spkiHash, withoutOcsp }: Certificate): Buffer | undefined {
  if (crlShard === undefined && spkiHash === undefined && !withoutOcsp) return undefined;
  const flags =
    (crlShard === undefined ? 0 : MORE_CRL_SHARD) |
    (spkiHash === undefined ? 0 : MORE_SPKI_HASH) |
    (withoutOcsp ? MORE_WITHOUT_OCSP : 0);
  return Buffer.concat([Buffer.of(flags), Buffer.from(spkiHash ?? '', 'hex'), Buffer.from(crlShard ?? '')]);
}

function decodeMore(bytes: Buffer): Pick<Certificate, 'crlShard' | 'spkiHash' | 'withoutOcsp'> {
  const flags = bytes[0] ?? 0;
  const shardAt = flags & MORE_SPKI_HASH ? 17 : 1;
  return {
    crlShard: flags & MORE_CRL_SHARD ? bytes.toString('utf8', shardAt) : undefined,
    spkiHash: flags & MORE_SPKI_HASH ? bytes.toString('hex', 1, shardAt) : undefined,
    withoutOcsp: (flags & MORE_WITHOUT_OCSP) !== 0,
  };
}

export function decodeRecord(issuer: IssuerTag, serial: Serial, bytes: Buffer): StoredRecord {
  const from = new Reader(bytes);
  const flags = from.octet();
  const revision = from.uint(3);
  const recordedSeq = from.uint(5);
  const dueOctets = from.uint(6);
  const due = dueOctets === NEVER ? undefined : fromYear1900(dueOctets);
  const recordedAt = fromYear1900(from.uint(6));
  const notBefore = flags & HAS_NOT_BEFORE ? from.instant(recordedAt) : undefined;
  const notAfter = flags & HAS_NOT_AFTER ? from.instant(notBefore ?? recordedAt) : undefined;
  const revocation = flags & REVOKED ? from.revocation(recordedAt) : undefined;
  const more = decodeMore(flags & HAS_MORE ? from.bytes() : NO_MORE);
  const certificate: Certificate = {
    issuer,
    serial,
    revision,
    recordedAt,
    recordedSeq,
    notBefore,
    notAfter,
    precertificate: (flags & PRECERTIFICATE) !== 0,
    revocation,
    ...more,
  };
  if (!(flags & HAS_ANSWER)) return { certificate, answer: undefined, due };
  const thisUpdate = from.instant(recordedAt);
  const nextUpdate = from.instant(thisUpdate);
  const publishedAt = from.instant(recordedAt);
  const refreshAt = flags & HAS_REFRESH_AT ? from.instant(thisUpdate) : (due as EpochMs);
  const answered =
    flags & HAS_OTHER_REVOCATION ? (from.octet() === 1 ? from.revocation(recordedAt) : undefined) : revocation;
  const responder = from.hex(4);
  const forms = from.octet();
  const sha1 = unpackSignature(forms >> 4, from);
  const sha256 = unpackSignature(forms & 15, from);
  return {
    certificate,
    due,
    answer: {
      issuer,
      serial,
      revision,
      thisUpdate,
      nextUpdate,
      refreshAt,
      publishedAt,
      responder,
      revocation: answered,
      signatures: { sha1, sha256 },
    },
  };
}

/** What the `due` ZSET counts in: its scores and the octets that the scripts read are one number. */
export function sinceYear1900(instant: EpochMs): number {
  return Math.max(0, instant - YEAR_1900);
}

function fromYear1900(value: number): EpochMs {
  return value + YEAR_1900;
}

/** A member of the revoked index without the five octets of recordedSeq, which stand between the two parts. */
export function revokedMember(certificate: Certificate, revocation: Revocation): { beginning: Buffer; rest: Buffer } {
  const { serial, recordedAt, notAfter } = certificate;
  const to = new Writer(64);
  to.uint(sinceYear1900(recordedAt), 6);
  to.revocation(revocation, recordedAt);
  if (notAfter !== undefined) to.instant(notAfter, recordedAt);
  return { beginning: Buffer.from(`${serial} `), rest: to.finish() };
}

export function revokedMemberStamped(certificate: Certificate, revocation: Revocation): Buffer {
  const { beginning, rest } = revokedMember(certificate, revocation);
  const seq = Buffer.alloc(5);
  seq.writeUIntBE(certificate.recordedSeq, 0, 5);
  return Buffer.concat([beginning, seq, rest]);
}

export function decodeRevokedMember(member: Buffer): RevokedEntry {
  const space = member.indexOf(0x20);
  const from = new Reader(member.subarray(space + 1));
  const recordedSeq = from.uint(5);
  const recordedAt = fromYear1900(from.uint(6));
  const revocation = from.revocation(recordedAt);
  return {
    serial: member.toString('latin1', 0, space) as Serial,
    ...revocation,
    notAfter: from.more ? from.instant(recordedAt) : undefined,
    recordedAt,
    recordedSeq,
  };
}

/** The record as the ledger has stamped it. */
export function withStamp(record: Buffer, seq: number): Buffer {
  const stamped = Buffer.from(record);
  stamped.writeUIntBE(seq, DUE_AT - 5, 5);
  return stamped;
}

function packSignature(signature: Uint8Array): { readonly form: number; readonly octets: Uint8Array } {
  // The octets of r and s follow from the length, but for short ones: the smallest curve that holds them.
  for (let form = 1; form < FORMS.length; form++) {
    const size = FORMS[form] as number;
    if (signature.length > 2 * size + 9) continue;
    const raw = derToRaw(signature, size);
    if (raw !== undefined) return { form, octets: raw };
  }
  return { form: 0, octets: signature };
}

function unpackSignature(form: number, from: Reader): Buffer {
  if (form === 0) return Buffer.from(from.bytes());
  const size = FORMS[form] as number;
  return rawToDer(from.raw(2 * size)) as Buffer;
}

const YEAR_1900 = Date.UTC(1900, 0, 1);

class Writer {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  octet(value: number): void {
    this.#buffer[this.#at++] = value;
  }

  uint(value: number, octets: 3 | 5 | 6): void {
    this.#buffer.writeUIntBE(value, this.#at, octets);
    this.#at += octets;
  }

  /** Seven bits an octet, the last first. Not by shifts: these are longer than 32 bits. */
  number(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.octet((rest % 0x80) | 0x80);
    this.octet(rest);
  }

  /** The difference to the second of `base`; bit 0: in milliseconds; then the sign. */
  instant(instant: EpochMs, base: EpochMs): void {
    const ms = instant - wholeSecond(base);
    const whole = ms % SECOND === 0;
    const amount = whole ? ms / SECOND : ms;
    this.number(2 * (amount < 0 ? -2 * amount - 1 : 2 * amount) + (whole ? 0 : 1));
  }

  revocation({ revokedAt, reason }: Revocation, base: EpochMs): void {
    this.octet(reason === undefined ? NO_REASON : REASON_CODES[reason]);
    this.instant(revokedAt, base);
  }

  hex(digits: string): void {
    this.#at += this.#buffer.write(digits, this.#at, 'hex');
  }

  bytes(octets: Uint8Array): void {
    this.number(octets.length);
    this.raw(octets);
  }

  raw(octets: Uint8Array): void {
    this.#buffer.set(octets, this.#at);
    this.#at += octets.length;
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get more(): boolean {
    return this.#at < this.#buffer.length;
  }

  octet(): number {
    return this.#buffer.readUInt8(this.#at++);
  }

  uint(octets: 3 | 5 | 6): number {
    this.#at += octets;
    return this.#buffer.readUIntBE(this.#at - octets, octets);
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const octet = this.octet();
      value += (octet & 0x7f) * unit;
      if (octet < 0x80) return value;
    }
  }

  instant(base: EpochMs): EpochMs {
    const number = this.number();
    const signed = Math.floor(number / 2);
    const amount = signed % 2 === 0 ? signed / 2 : -(signed + 1) / 2;
    return wholeSecond(base) + amount * (number % 2 === 0 ? SECOND : 1);
  }

  revocation(base: EpochMs): Revocation {
    const code = this.octet();
    const revokedAt = this.instant(base);
    return { revokedAt, reason: code === NO_REASON ? undefined : (reasonName(code) as Reason) };
  }

  hex(octets: number): string {
    this.#at += octets;
    return this.#buffer.toString('hex', this.#at - octets, this.#at);
  }

  bytes(): Buffer {
    return this.raw(this.number());
  }

  raw(octets: number): Buffer {
    this.#at += octets;
    return this.#buffer.subarray(this.#at - octets, this.#at);
  }
}
