/** What the audit log says of one certificate. */
import type { JournalRecord } from './journal-record.ts';

/** What a record says about one serial, in words: a line for each thing. */
export function* recordsAbout(record: JournalRecord, serial: string): Generator<string> {
  for (const change of record.changes ?? []) {
    if (change.serial !== serial) continue;
    const status =
      change.revokedAt === undefined ? 'good' : `revoked ${change.revokedAt} ${change.reason ?? 'without reason'}`;
    yield `${record.type}: ${status}, revision ${change.revision}`;
  }
  const { responses, live, removed } = (record.detail ?? {}) as {
    responses?: readonly (readonly [string, number, string, string, string, string, string])[];
    live?: readonly (readonly [string, number, string, string, string, string, string])[];
    removed?: readonly string[];
  };
  for (const [signed, revision, status, thisUpdate, nextUpdate, sha1, sha256] of responses ?? []) {
    if (signed === serial)
      yield `ocsp.signed: ${status}, revision ${revision}, ${thisUpdate} to ${nextUpdate}, SHA-256 of responses ${sha1} (SHA-1 CertID) ${sha256} (SHA-256 CertID)`;
  }
  for (const [signed, revision, status, thisUpdate, nextUpdate, hash, digest] of live ?? []) {
    if (signed === serial)
      yield `ocsp.signed: ${status}, revision ${revision}, ${thisUpdate} to ${nextUpdate}, for one request with a nonce and a ${hash} CertID, SHA-256 of the response ${digest}`;
  }
  if (removed?.includes(serial)) yield `crl.published: entry removed after the certificate expired`;
}

/** Of a revocation, what the ledger does not keep: who asked for it, why, and until when it had to be visible. */
export interface RevocationCaseView {
  readonly seq: number;
  readonly recordedAt: string;
  /** Who recorded it, as the audit log names them. */
  readonly actor: string;
  readonly clause: string | undefined;
  readonly requestedBy: string | undefined;
  readonly awareAt: string | undefined;
  /** Of the clause (CT-4.9.1.1). */
  readonly deadline: string | undefined;
  /** Plan of the mass revocation that it was a part of. */
  readonly mass: string | undefined;
}

/** The case of this certificate's revocation, if this record is its record. */
export function revocationCaseIn(record: JournalRecord, serial: string): RevocationCaseView | undefined {
  const change = record.changes?.find((one) => one.serial === serial);
  if (change?.revokedAt === undefined) return undefined;
  const { cases = [], mass } = (record.detail ?? {}) as { cases?: readonly Stated[]; mass?: string };
  const { clause, requestedBy, awareAt, deadline } = cases.find((one) => one.serial === serial) ?? {};
  const { seq, at: recordedAt, actor } = record;
  return { seq, recordedAt, actor, clause, requestedBy, awareAt, deadline, mass };
}

interface Stated {
  readonly serial: string;
  readonly clause?: string;
  readonly requestedBy?: string;
  readonly awareAt?: string;
  readonly deadline?: string;
}
