/** What a journal record changes in the embedded store, decided on what is there. */
import type { Certificate } from '../../core/certificate.ts';
import type { Change, QueueItem, StoreEvent } from '../../ports/store.ts';
import { entryKey, scopesOfEntry } from './keys.ts';
import { decodeCertificate, encodeCertificate, encodeEntry } from './records.ts';
import type { Operation } from './work-queue.ts';

export interface RecordedChanges {
  /** Of certificates and revoked entries, in the order of the changes. */
  readonly operations: Operation[];
  readonly events: readonly StoreEvent[];
  /** Work for the signer: of certificates that were there before, and of those that were not. */
  readonly queued: readonly QueueItem[];
  readonly first: readonly QueueItem[];
}

/**
 * What is in already, from this record or a later one, is left as it is.
 * @param keys of the changes' certificates, in their order; `recorded` is what the store holds under them.
 */
export function recordChanges(
  changes: readonly Change[],
  keys: readonly Buffer[],
  recorded: readonly (Buffer | undefined)[],
): RecordedChanges {
  const operations: Operation[] = [];
  const events: StoreEvent[] = [];
  const queued: QueueItem[] = [];
  const first: QueueItem[] = [];
  /** State after the changes so far: several changes of one certificate may come in one call. */
  const state = new Map<string, Certificate>();
  changes.forEach((change, i) => {
    const { certificate, lane } = change;
    const { issuer, serial } = certificate;
    const value = recorded[i];
    const current = state.get(issuer + serial) ?? (value && decodeCertificate(issuer, serial, value));
    // A replay: this change, or a later one, is already in.
    if (current !== undefined && current.recordedSeq >= certificate.recordedSeq) return;
    state.set(issuer + serial, certificate);
    operations.push({ type: 'put', key: keys[i] as Buffer, value: encodeCertificate(certificate) });
    const { revocation } = certificate;
    if (current?.revocation !== undefined)
      for (const scope of scopesOfEntry(current)) operations.push({ type: 'del', key: entryKey(scope, serial) });
    if (revocation !== undefined)
      for (const scope of scopesOfEntry(certificate))
        operations.push({ type: 'put', key: entryKey(scope, serial), value: encodeEntry(certificate, revocation) });
    const work = current === undefined ? first : queued;
    if (lane !== undefined) work.push({ issuer, serial, lane, dueAt: certificate.recordedAt });
    events.push({ type: 'recorded', change });
  });
  return { operations, events, queued, first };
}
