/**
 * Brings back from the second place what an archive lacks or holds damaged: all of it, on an empty machine. Needs neither ledger nor key.
 * Of issuers that are not configured too (SR-hist-6.03). When the service starts on it, the newest CRL of each scope is current again and
 * numbers go on above it (CrlShelf.restoreCrl).
 */
import {
  CERTIFICATES,
  crlName,
  CRLS,
  droppedName,
  readCertificateName,
  readCrlName,
} from '../../core/archive/copy-name.ts';
import type { CrlRecord } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { DroppedCrl, KeptArchive } from '../../ports/archive-upkeep.ts';
import type { Clock } from '../../ports/clock.ts';
import { bringBack, checkArchived, recordOrCopy, small } from './archive-check.ts';
import { digestOf } from '../sign/check-answer.ts';

export interface RestoreReport {
  readonly crls: number;
  readonly certificates: number;
  readonly octets: number;
  /** Were there, and are what was published. */
  readonly there: number;
  /** Damaged, and set aside under another name. */
  readonly replaced: number;
  readonly problems: readonly string[];
}

/**
 * @param seen is told of each CRL, of how many.
 * @throws Problem `unavailable` when the second place does not answer; what is restored by then stays, and again goes on from there.
 */
export async function restoreArchive(
  archive: KeptArchive,
  copies: ArchiveCopies,
  clock: Clock,
  seen: (done: number, total: number) => void,
): Promise<RestoreReport> {
  const counts = { crls: 0, certificates: 0, octets: 0, there: 0, replaced: 0 };
  const problems: string[] = [];
  let done = 0;
  const attempt = async (name: string, run: () => Promise<void>): Promise<void> => {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof Problem) || error.code === 'unavailable') throw error;
      problems.push(`${name}: ${error.message}`);
    }
  };

  const bringBackUnlessGood = async (record: CrlRecord): Promise<boolean> => {
    const state = (await archive.dropped(record)) === undefined ? await stateOf(archive, record) : 'good';
    // A record that was damaged is written with the octets.
    if (state === 'good') await archive.keepRecord(record);
    if (state === 'good') return false;
    if (state === 'damaged') {
      await archive.setAside(record, 'crl', clock.now());
      counts.replaced += 1;
    }
    await bringBack(archive, copies, record);
    return true;
  };

  const objects = new Set<string>();
  const records: { readonly name: string; readonly told: NonNullable<ReturnType<typeof readCrlName>> }[] = [];
  for await (const { name } of copies.list(CRLS)) {
    objects.add(name);
    const told = readCrlName(name);
    // A CRL without a record was being copied when the machine was lost.
    if (told?.kind === 'json') records.push({ name, told });
  }
  // The newest of each scope comes early: with it the service can go on.
  records.sort(({ told: a }, { told: b }) => (a.number < b.number ? 1 : a.number > b.number ? -1 : 0));
  for (const { name, told } of records) {
    await attempt(name, async () => {
      const record = await recordOrCopy(archive, copies, told);
      if (record.sha256 !== told.sha256)
        throw new Problem('conflict', `another CRL is archived under number ${told.number}`, { rule: 'C-10' });
      if (await damagedRecord(archive, record)) {
        await archive.setAside(record, 'record', clock.now());
        counts.replaced += 1;
      }
      if (objects.has(crlName(record))) {
        if (await bringBackUnlessGood(record)) {
          counts.crls += 1;
          counts.octets += record.bytes;
        } else counts.there += 1;
      } else if (objects.has(droppedName(record))) {
        await archive.keepRecord(record);
        await archive.drop(
          record,
          JSON.parse((await small(copies, droppedName(record))).toString('utf8')) as DroppedCrl,
        );
      } else throw new Problem('not-found', 'its octets are not there, and nobody has dropped them');
    });
    done += 1;
    seen(done, records.length);
  }
  for await (const { name } of copies.list(CERTIFICATES)) {
    const told = readCertificateName(name);
    if (told === undefined) continue;
    const have = (await archive.certificates(told.issuer)).find(({ sha256 }) => sha256 === told.sha256);
    if (have !== undefined && digestOf(have.der) === told.sha256) continue;
    await attempt(name, async () => {
      const der = await small(copies, name);
      if (digestOf(der) !== told.sha256)
        throw new Problem('corrupt', 'its SHA-256 is not that of its name: it was altered');
      if (have !== undefined) await archive.setCertificateAside(told.issuer, told.sha256, clock.now());
      await archive.keepCertificate(told.issuer, der);
      counts.certificates += 1;
    });
  }
  return { ...counts, problems };
}

async function stateOf(archive: KeptArchive, record: CrlRecord): Promise<'good' | 'damaged' | 'missing'> {
  try {
    const file = await archive.open(record);
    await checkArchived(file, record, []).finally(() => file.close());
    return 'good';
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return /ENOENT/.test(error.message) ? 'missing' : 'damaged';
  }
}

async function damagedRecord(archive: KeptArchive, record: CrlRecord): Promise<boolean> {
  if (!(await archive.numbers(record)).includes(record.number)) return false;
  try {
    await archive.record(record, record.number);
    return false;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return true;
  }
}
