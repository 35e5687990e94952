/**
 * Removes the octets of CRLs that nobody needs any more, as far as the profile permits it (core/policy/retention.ts). What proves the
 * sequence stays: the record of each, with its digest, and a note of who dropped the octets and under which rule. The newest CRL of a
 * scope is never touched, nor are those of an issuer that is not configured here: nobody can say what relied on them.
 *
 *  1. plan     from the ledger: which CRLs, and since when they may go.
 *  2. journal  the list, before anything is removed (CT-5.4.1-b). A crash after it: the next run removes the rest.
 *  3. remove   the copy, then the archive's own: while a copy cannot be removed (an object lock) both stay.
 */
import { crlName, droppedName } from '../../core/archive/copy-name.ts';
import type { CrlRecord } from '../../core/certificate.ts';
import { mayGoFrom, RelianceTable, RETENTION_RULE } from '../../core/policy/retention.ts';
import { Problem } from '../../core/problem.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { ArchiveCopies } from '../../ports/archive-copies.ts';
import type { KeptArchive } from '../../ports/archive-upkeep.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Ledger } from '../../ports/store.ts';
import { inMemory } from './archive-copy.ts';
import { digestOf } from '../sign/check-answer.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

/** Of a plan that is journalled: the rest has records of its own. */
const LISTED_PER_RECORD = 500;

export interface PrunePlan {
  readonly issuer: string;
  readonly retentionMs: number | undefined;
  /** CRLs whose octets are in the archive. */
  readonly kept: number;
  readonly prunable: readonly { readonly record: CrlRecord; readonly since: EpochMs }[];
}

export interface PruneReport {
  readonly issuer: string;
  readonly pruned: number;
  readonly octets: number;
  readonly kept: number;
  /** Of those that permission had, and that are still there. */
  readonly problems: readonly string[];
}

/** Changes nothing. */
export async function planPrune(
  served: ServedIssuer,
  archive: KeptArchive,
  ledger: Pick<Ledger, 'certificates'>,
  nowMs: EpochMs,
): Promise<PrunePlan> {
  const { retentionMs } = served.profile.archive;
  const reliance = new RelianceTable(served.profile.crl.afterExpiryMs);
  if (retentionMs !== undefined)
    for await (const page of ledger.certificates(served.tag)) for (const certificate of page) reliance.add(certificate);
  const prunable: { record: CrlRecord; since: EpochMs }[] = [];
  let kept = 0;
  for (const scope of await archive.scopes(served.tag)) {
    let newest = true;
    for await (const record of archive.recent(scope)) {
      const mayGo = !newest && nowMs > mayGoFrom(record, reliance, retentionMs);
      newest = false;
      if ((await archive.dropped(record)) !== undefined) continue;
      if (mayGo) prunable.push({ record, since: mayGoFrom(record, reliance, retentionMs) });
      else kept += 1;
    }
  }
  return { issuer: served.id, retentionMs, kept, prunable };
}

export async function prune(
  served: ServedIssuer,
  plan: PrunePlan,
  actor: string,
  parts: {
    readonly archive: KeptArchive;
    readonly copies: ArchiveCopies | undefined;
    readonly journal: Journal;
    readonly clock: Clock;
  },
): Promise<PruneReport> {
  const { archive, copies, journal, clock } = parts;
  for (let at = 0; at < plan.prunable.length; at += LISTED_PER_RECORD) {
    const listed = plan.prunable.slice(at, at + LISTED_PER_RECORD);
    await journal.append([
      {
        type: 'archive.pruned',
        actor,
        issuer: served.id,
        issuerTag: served.tag,
        description: `the octets of ${listed.length} CRLs leave the archive; their records stay`,
        detail: {
          rule: RETENTION_RULE,
          crls: listed.map(({ record, since }) => ({
            shard: record.shard,
            number: record.number.toString(),
            sha256: record.sha256,
            since: rfc3339(since),
          })),
        },
      },
    ]);
  }
  let [pruned, octets] = [0, 0];
  const problems: string[] = [];
  for (const { record, since } of plan.prunable) {
    const why = { at: clock.now(), actor, since, rule: RETENTION_RULE };
    try {
      // The reason before the octets, there as here: what is gone without one is lost.
      const text = Buffer.from(JSON.stringify(why));
      await copies?.put(droppedName(record), inMemory(text), digestOf(text));
      await copies?.remove(crlName(record));
    } catch (error) {
      if (!(error instanceof Problem) || error.code === 'unavailable') throw error;
      problems.push(error.line);
      continue;
    }
    await archive.drop(record, why);
    pruned += 1;
    octets += record.bytes;
  }
  return { issuer: served.id, pruned, octets, kept: plan.kept, problems };
}
