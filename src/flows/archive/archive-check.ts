/** Whether an archived CRL is still what was published, and still legible (SR-5.5.7, CT-5.5.7); and how it is brought back when it is not. */
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import { crlName, readCrlName, recordName } from '../../core/archive/copy-name.ts';
import { recordFromText } from '../../core/archive/record-text.ts';
import type { CrlRecord, IssuerTag } from '../../core/certificate.ts';
import { loadIssuer } from '../../core/issuer.ts';
import { Problem } from '../../core/problem.ts';
import { algorithmOf, verifierOf } from '../../core/signature-algorithm.ts';
import { rfc3339 } from '../../core/time.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { KeptArchive } from '../../ports/archive-upkeep.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';
import { EntryCursor, openedCrl } from '../crl/crl-entries.ts';

/** A record is a kilobyte; what is larger is none. */
const MAX_RECORD_OCTETS = 64 * 1024;

/**
 * Reads every octet once: digest, strict reader, every entry, signature, and what the record says of it.
 * @param keys of the CA; none: the signature is not looked at.
 * @throws Problem `corrupt` with the first thing that is wrong.
 */
export async function checkArchived(source: CrlSource, record: CrlRecord, keys: readonly KeyObject[]): Promise<void> {
  const wrong = (message: string, rule: string): Problem => new Problem('corrupt', message, { rule });
  const crl = await openedCrl(source);
  const { frame, regions, head, tail } = crl;
  const hash = algorithmOf(frame.signatureAlgorithm)?.hash ?? 'sha256';
  const verifiers = keys.map((key) => ({ key, verify: createVerify(hash).update(head.subarray(regions.tbsAt)) }));
  const digest = createHash('sha256').update(head);
  const cursor = new EntryCursor(source, regions, (octets) => {
    digest.update(octets);
    for (const { verify } of verifiers) verify.update(octets);
  });
  let entries = 0;
  let illegible: Error | undefined;
  try {
    for (; !cursor.done; entries += 1) {
      if (cursor.short) await cursor.fill();
      cursor.peek();
      cursor.skip();
    }
  } catch (error) {
    illegible = error as Error;
  }
  await cursor.drain();
  digest.update(tail);
  // First: octets that are not the published ones mean nothing.
  if (digest.digest('hex') !== record.sha256) throw wrong('its SHA-256 is not that of what was published', 'SR-5.5.7');
  if (illegible !== undefined) throw illegible;
  if (frame.number !== undefined && frame.number !== record.number)
    throw wrong(`it says number ${frame.number}`, 'CT-5.5.1-3');
  if (frame.thisUpdate !== record.thisUpdate)
    throw wrong(`it says thisUpdate ${rfc3339(frame.thisUpdate)}`, 'CT-5.5.1-3');
  if (entries !== record.entries) throw wrong(`it has ${entries} entries, not ${record.entries}`, 'CT-5.5.1-3');
  const behind = tail.subarray(0, regions.tbsEnd - regions.entriesEnd);
  const signed = verifiers.some(({ key, verify }) => {
    const by = verifierOf(frame.signatureAlgorithm, key);
    return by !== undefined && verify.update(behind).verify(by.key, frame.signatureValue);
  });
  if (keys.length > 0 && !signed)
    throw wrong('the signature does not verify with any archived certificate of the CA', 'CT-5.5.7');
}

/** Keys of the CA by the certificates in its archive: also of one that is not configured any more (SR-hist-6.03). */
export async function archivedKeys(archive: KeptArchive, issuer: IssuerTag): Promise<readonly KeyObject[]> {
  const keys: KeyObject[] = [];
  for (const { der } of await archive.certificates(issuer)) {
    try {
      const { tag, publicKey } = loadIssuer([der], 'archive');
      // One name and one key: whatever certificate of the CA it is, the key is this.
      if (tag === issuer) return [publicKey];
    } catch (error) {
      // A responder certificate is no CA's, and a damaged file is told of elsewhere.
      if (!(error instanceof Problem)) throw error;
    }
  }
  return keys;
}

/** @throws Problem `not-found`, `unavailable`; `corrupt` when what is there is not what its name says. */
export async function hashCopy(
  copies: ArchiveCopies,
  name: string,
  sha256: string,
  seen: (octets: number) => void,
): Promise<void> {
  const digest = createHash('sha256');
  for await (const piece of copies.get(name)) {
    digest.update(piece);
    seen(piece.length);
  }
  if (digest.digest('hex') !== sha256)
    throw new Problem('corrupt', 'its SHA-256 is not that of its name: it was altered', { rule: 'SR-5.5.7' });
}

/** The record of a CRL as the second place has it. @throws Problem as `hashCopy`. */
export async function copiedRecord(copies: ArchiveCopies, name: string): Promise<CrlRecord> {
  const record = recordFromText((await small(copies, name)).toString('utf8'), name);
  const told = readCrlName(name);
  if (
    told === undefined ||
    told.issuer !== record.issuer ||
    told.shard !== record.shard ||
    told.number !== record.number ||
    told.sha256 !== record.sha256
  )
    throw new Problem('corrupt', 'the record is not of the CRL that its name says', { field: name });
  return record;
}

/** Puts the octets of a CRL back into the archive; what is damaged there was set aside. @throws Problem as `hashCopy` */
export async function bringBack(
  archive: KeptArchive,
  copies: ArchiveCopies,
  record: CrlRecord,
  seen: (octets: number) => void = () => undefined,
): Promise<void> {
  const draft = await archive.draft(record);
  try {
    for await (const piece of copies.get(crlName(record))) {
      await draft.write(piece);
      seen(piece.length);
    }
    await archive.keep(record, draft);
  } finally {
    await draft.discard();
  }
}

/** The archive's own record; else that of the second place, which then is in the archive too. @throws Problem when neither is there. */
export async function recordOrCopy(
  archive: KeptArchive,
  copies: ArchiveCopies,
  at: Pick<CrlRecord, 'issuer' | 'shard' | 'number' | 'sha256'>,
): Promise<CrlRecord> {
  try {
    return await archive.record(at, at.number);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return copiedRecord(copies, recordName(at));
  }
}

/** @throws Problem `corrupt` for what is larger than any that this program writes. */
export async function small(copies: ArchiveCopies, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let octets = 0;
  for await (const piece of copies.get(name)) {
    octets += piece.length;
    if (octets > MAX_RECORD_OCTETS) throw new Problem('corrupt', 'far too large', { field: name });
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
