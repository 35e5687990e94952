/** From changes of the ledger to one commit: what each certificate's record becomes, and what follows for index, queue and feed. */
import { COMPLETE, type Certificate } from '../../core/certificate.ts';
import { certificateKey, outranks, sameRevocation } from '../../core/precedence.ts';
import { serialBytes, type Serial } from '../../core/serial.ts';
import type { Change } from '../../ports/store.ts';
import { Counts, NOTHING, type Commit, type QueueOperation } from './commit.ts';
import type { FeedEvent } from './feed.ts';
import { bucketOf, isItemLane } from './keys.ts';
import { decodeRecord, encodeRecord, revokedMember, revokedMemberStamped, type StoredRecord } from './records.ts';

/**
 * @param records what was read, by serial: of every certificate in `changes`, all of one issuer.
 * @param decidedOn the state that the changes were decided on; undefined for a replay, which keeps what outranks.
 * @returns undefined when something else was read than was decided on.
 */
export function recordChanges(
  changes: readonly Change[],
  records: ReadonlyMap<Serial, Buffer | undefined>,
  buckets: number,
  decidedOn: ReadonlyMap<string, Certificate | undefined> | undefined,
): Commit | undefined {
  const states = new Map<Serial, { before: StoredRecord | undefined; now: StoredRecord | undefined }>();
  const queue: QueueOperation[] = [];
  const events: FeedEvent[] = [];
  for (const change of changes) {
    const { certificate, lane } = change;
    const { issuer, serial } = certificate;
    let state = states.get(serial);
    if (state === undefined) {
      const raw = records.get(serial);
      const before = raw && decodeRecord(issuer, serial, raw);
      if (decidedOn !== undefined && !same(before?.certificate, decidedOn.get(certificateKey(certificate))))
        return undefined;
      states.set(serial, (state = { before, now: before }));
    }
    if (decidedOn === undefined && state.now !== undefined && !outranks(certificate, state.now.certificate)) continue;
    const known = state.now !== undefined;
    state.now = recorded(state.now, change);
    if (isItemLane(lane))
      queue.push({
        operation: 'insert',
        lane,
        serial: serialBytes(serial),
        token: '',
        dueAt: certificate.recordedAt,
      });
    // Nobody waits for, or holds an answer of, what an import brings in for the first time.
    if (known || lane !== 'refresh' || certificate.revocation !== undefined) events.push({ type: 'recorded', change });
  }
  const counts = new Counts();
  const commit = { ...NOTHING, writes: [] as Commit['writes'][number][], queue, counts, events };
  const removed: Commit['removed'][number][] = [];
  const added: Commit['added'][number][] = [];
  for (const [serial, { before, now }] of states) {
    if (now === undefined || now === before) continue;
    const octets = serialBytes(serial);
    const bucket = bucketOf(octets, buckets);
    const next = encodeRecord({ ...now, certificate: { ...now.certificate, recordedSeq: 0 } });
    commit.writes.push({ bucket, serial: octets, expected: records.get(serial), next, stamped: true });
    counts.replace(before, now, bucket);
    const [was, is] = [before?.certificate.revocation, now.certificate.revocation];
    if (before !== undefined && was !== undefined)
      removed.push({ ...shardOf(before.certificate), member: revokedMemberStamped(before.certificate, was) });
    if (is !== undefined) added.push({ ...shardOf(now.certificate), ...revokedMember(now.certificate, is) });
  }
  return { ...commit, removed, added };
}

/**
 * The record after one change. A new revision takes the old answer with it (P2), and so does one that was replayed over another of
 * the same number; when it was due for a refresh it stays so.
 */
function recorded(current: StoredRecord | undefined, { certificate, lane }: Change): StoredRecord {
  const said = current?.answer;
  const holds = said?.revision === certificate.revision && sameRevocation(said.revocation, certificate.revocation);
  const answer = holds ? said : undefined;
  const due = current?.due;
  if (lane !== 'refresh' || (answer !== undefined && due !== undefined)) return { certificate, answer, due };
  return { certificate, answer, due: Math.min(due ?? Infinity, certificate.recordedAt) };
}

/** Beside COMPLETE, under which every entry stands. */
function shardOf({ crlShard }: Certificate): { readonly shard: string } {
  return { shard: crlShard ?? COMPLETE };
}

function same(a: Certificate | undefined, b: Certificate | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.revision === b.revision &&
    a.notBefore === b.notBefore &&
    a.notAfter === b.notAfter &&
    a.precertificate === b.precertificate &&
    a.crlShard === b.crlShard &&
    a.withoutOcsp === b.withoutOcsp &&
    a.spkiHash === b.spkiHash &&
    sameRevocation(a.revocation, b.revocation) &&
    a.recordedAt === b.recordedAt &&
    a.recordedSeq === b.recordedSeq
  );
}
