/**
 * Writes a signed CRL into a draft, without ever having more than a piece of it in memory.
 *
 * DER wants each length before its content: so how many octets the entries have is known before. An ECDSA signature has no fixed
 * length: so the first octets are written last, and where even their number depends on it, the entries are gone through twice, once
 * for the signature and once for the file. They come from one of two places:
 *
 *   the index       encoded into a draft of their own, from which both passes read. Entries that may leave are left out.
 *   the current CRL with what has changed since: octets are copied, only changed entries are encoded.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CrlRecord, RevokedEntry } from '../../core/certificate.ts';
import { crlAround, MAX_ENTRY_OCTETS, putEntry, tbsAround, type CrlParts } from '../../core/crl/crl.ts';
import { mayLeaveCrl } from '../../core/policy/freshness.ts';
import type { Profile } from '../../core/policy/profile.ts';
import { serialBytes } from '../../core/serial.ts';
import type { CrlDraft, CrlFile, CrlSource } from '../../ports/crl-archive.ts';
import type { KeyHolder } from '../../ports/key-holder.ts';
import type { CrlChange } from './crl-changes.ts';
import { EntryCursor, openedCrl } from './crl-entries.ts';
import { placeBefore, type CrlMark } from './crl-marks.ts';
import { PIECE_OCTETS, ReadAhead } from './read-ahead.ts';

/** More than any: RSA of 8192 bits. */
const MOST_SIGNATURE_OCTETS = 1024;

/** Encoded entries somewhere, from the first to the last. */
export interface EntryOctets {
  readonly count: number;
  readonly octets: number;
  /** Again and again. Each piece is there until the next is asked for. */
  pieces(): AsyncIterable<Uint8Array>;
}

/**
 * Encodes the revoked index.
 * @param pages by serial in ascending order.
 * @param scratch takes the octets; the caller discards it when the CRL is written.
 */
export async function entriesFromIndex(
  pages: AsyncIterable<readonly RevokedEntry[]>,
  scratch: CrlDraft,
  previous: CrlRecord | undefined,
  { invalidityDate, afterExpiryMs }: Pick<Profile['crl'], 'invalidityDate' | 'afterExpiryMs'>,
): Promise<EntryOctets> {
  const piece = Buffer.allocUnsafeSlow(PIECE_OCTETS);
  let at = 0;
  let count = 0;
  for await (const page of pages) {
    for (const entry of page) {
      if (mayLeaveCrl(entry, previous, afterExpiryMs)) continue;
      if (at + MAX_ENTRY_OCTETS > piece.length) {
        await scratch.write(piece.subarray(0, at));
        at = 0;
      }
      at = putEntry(piece, at, entry, invalidityDate);
      count += 1;
    }
  }
  await scratch.write(piece.subarray(0, at));
  return { count, octets: scratch.octets, pieces: () => piecesOf(scratch, [{ from: 0, to: scratch.octets }]) };
}

/**
 * The entries of a CRL, changed.
 * @param changes by serial in ascending order, each serial once.
 * @param marks of this CRL, as the gate found them; none: every entry is looked at.
 * @throws Problem `corrupt` when the file is no CRL.
 */
export async function entriesFromCrl(
  file: CrlFile,
  record: CrlRecord,
  changes: readonly CrlChange[],
  invalidityDate: CrlParts['invalidityDate'],
  marks: readonly CrlMark[] = [],
): Promise<EntryOctets> {
  const { regions } = await openedCrl(file);
  const cursor = new EntryCursor(file, regions, () => undefined);
  const segments: Segment[] = [];
  let count = record.entries;
  let copied = regions.entriesAt;
  for (const { serial, revocation } of changes) {
    await cursor.jump(placeBefore(marks, serial));
    const found = await seek(cursor, serialBytes(serial));
    const { offset } = cursor;
    if (offset > copied) segments.push({ from: copied, to: offset });
    if (found) {
      cursor.skip();
      count -= 1;
    }
    copied = cursor.offset;
    if (revocation === undefined) continue;
    const octets = Buffer.allocUnsafe(MAX_ENTRY_OCTETS);
    segments.push(octets.subarray(0, putEntry(octets, 0, { serial, ...revocation }, invalidityDate)));
    count += 1;
  }
  if (regions.entriesEnd > copied) segments.push({ from: copied, to: regions.entriesEnd });
  const lengthOf = (segment: Segment): number => ('from' in segment ? segment.to - segment.from : segment.length);
  const octets = segments.reduce((sum, segment) => sum + lengthOf(segment), 0);
  return { count, octets, pieces: () => piecesOf(file, segments) };
}

export interface SignedCrl {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Signs, and writes the CRL into the draft.
 * @param account `before` is waited for before the key is used: nothing is signed that cannot be accounted for (P8). `after` is
 *   called as soon as there is a signature.
 * @throws what the key holder says, or Problem `unavailable` for a full disk.
 */
export async function writeCrl(
  entries: EntryOctets,
  parts: CrlParts,
  holder: Pick<KeyHolder, 'begin'>,
  draft: CrlDraft,
  account: { before(): Promise<void>; after(): void },
): Promise<SignedCrl> {
  const tbs = tbsAround(parts, entries.octets);
  const room = roomBefore(tbs.octets, parts.algorithm);
  const signing = holder.begin();
  signing.update(tbs.before);
  if (room !== undefined) await draft.write(Buffer.concat([Buffer.alloc(room), tbs.before]));
  for await (const piece of entries.pieces()) {
    const written = room === undefined ? undefined : draft.write(piece);
    written?.catch(() => undefined);
    signing.update(piece);
    await (written ?? nextTurn());
  }
  signing.update(tbs.after);
  await account.before();
  const signed = await signing.finish('urgent');
  if (!signed.ok) throw signed.error;
  account.after();

  const crl = crlAround(tbs.octets, parts.algorithm, signed.signature);
  if (room === undefined) {
    await draft.write(Buffer.concat([crl.before, tbs.before]));
    for await (const piece of entries.pieces()) await draft.write(piece);
  } else if (crl.before.length === room) await draft.write(crl.before, 0);
  else throw new Error('the signature is larger than any');
  await draft.write(Buffer.concat([tbs.after, crl.after]));
  return { entries: entries.count, bytes: draft.octets };
}

/**
 * How many octets stand before TBSCertList, whatever the signature's length; undefined when that matters. Where it does not, what is
 * signed is written at the same time.
 */
function roomBefore(tbsOctets: number, algorithm: CrlParts['algorithm']): number | undefined {
  const [least, most] = [0, MOST_SIGNATURE_OCTETS].map(
    (octets) => crlAround(tbsOctets, algorithm, Buffer.alloc(octets)).before.length,
  );
  return least === most ? least : undefined;
}

/** Octets of a source, or encoded ones. */
type Segment = { readonly from: number; readonly to: number } | Buffer;

/** Segments of a source ascend: each of its octets is read once. */
async function* piecesOf(source: CrlSource, segments: readonly Segment[]): AsyncGenerator<Uint8Array> {
  const read = segments.filter((segment) => 'from' in segment);
  const pieces = new ReadAhead(source, read[0]?.from ?? 0, read.at(-1)?.to ?? 0);
  let piece: Buffer = Buffer.alloc(0);
  const together = Buffer.allocUnsafeSlow(PIECE_OCTETS);
  let length = 0;
  for (const segment of segments) {
    let at = 'from' in segment ? segment.from : 0;
    const end = 'from' in segment ? segment.to : segment.length;
    while (at < end) {
      let part: Buffer;
      if ('from' in segment) {
        while (at >= pieces.at) {
          piece = await pieces.next();
          pieces.ahead();
        }
        const from = at - (pieces.at - piece.length);
        part = piece.subarray(from, from + Math.min(end - at, PIECE_OCTETS - length));
      } else part = segment.subarray(at, at + PIECE_OCTETS - length);
      at += part.length;
      if (length === 0 && part.length === piece.length) {
        yield part;
        continue;
      }
      length += part.copy(together, length);
      if (length < PIECE_OCTETS) continue;
      yield together;
      length = 0;
    }
  }
  if (length > 0) yield together.subarray(0, length);
}

/** Moves to the first entry whose serial is not less. @returns whether it is that of the serial. */
async function seek(cursor: EntryCursor, serial: Buffer): Promise<boolean> {
  for (;;) {
    if (cursor.short) await cursor.fill();
    if (cursor.done) return false;
    const order = cursor.seek(serial);
    if (order !== undefined) return order === 0;
  }
}
