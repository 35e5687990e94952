/**
 * The journal's records: what is in them, and the exact octets that the chain covers.
 *
 * One record is one line of JSON that ends in `,"hash":"<64 hex>"}`. The hash is the SHA-256 of the line without that
 * member (so of the text up to it plus `}`), and the text holds the previous record's hash: altering, removing or
 * reordering a record breaks the chain at that record (CT-5.4.1, P8).
 */
import { createHash } from 'node:crypto';
import { LANES, type Certificate, type IssuerTag, type Lane } from './certificate.ts';
import { SHARD_NAME } from './crl/shards.ts';
import type { Reason } from './reason.ts';
import { Problem } from './problem.ts';
import type { Serial } from './serial.ts';
import { rfc3339 } from './time.ts';

/**
 * What a version must know to bring records into a ledger. A version that writes what an earlier one would misread (a type that takes back
 * or alters other records, a member of a change that counts) raises it, and writes the number into those records alone: the
 * earlier version then refuses to replay them, instead of leaving something out in silence. A new type that changes no certificate, or
 * whose changes are as below, needs none: every version keeps, verifies, replays and shows it, whether it knows the type or not.
 */
export const JOURNAL_LAYOUT = 1;

/** A certificate's new state as journalled: the replay at start puts exactly this into the ledger. */
export interface JournalledChange {
  readonly serial: string;
  readonly revision: number;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly precertificate?: true;
  readonly crlShard?: string;
  readonly withoutOcsp?: true;
  readonly spkiHash?: string;
  readonly revokedAt?: string;
  readonly reason?: Reason;
  /** Absent: the published answer stays right. */
  readonly lane?: Lane;
}

/** What a caller hands over; the journal adds seq, at (time of the record), prev and hash. */
export interface JournalEntry {
  /** `certificates.issued`, `certificates.revoked`, `certificates.imported`, `ocsp.signed`, `crl.published`, `service.started`, … */
  readonly type: JournalEntryType;
  /** The JOURNAL_LAYOUT that a replay of this record needs; absent: 1. */
  readonly layout?: number;
  /** The person, client certificate or service role that did it (CT-5.4.1-d). */
  readonly actor: string;
  /** The issuer's id, where there is one, and its tag, by which the ledger knows it. */
  readonly issuer?: string;
  readonly issuerTag?: string;
  /** Time of the event, where it differs from the time of the record (C17). */
  readonly eventAt?: string;
  readonly description: string;
  readonly changes?: readonly JournalledChange[];
  readonly detail?: Readonly<Record<string, unknown>>;
}

export type JournalEntryType =
  | 'service.started'
  | 'service.stopped'
  | 'journal.recovered'
  | 'certificates.issued'
  | 'certificates.revoked'
  | 'certificates.imported'
  /** Records of this journal that did not happen, because another intake was quicker: `detail.records`. */
  | 'certificates.overtaken'
  | 'access.denied'
  | 'ocsp.signed'
  /** Signed, and kept from being published by what the check found: `detail.why` (P8). */
  | 'ocsp.refused'
  | 'crl.published'
  | 'crl.refused'
  /** Recorded before the key signs the request, or what proves that it is the key of a certificate. */
  | 'responder.requested'
  | 'responder.key-proof'
  | 'responder.installed'
  | 'responder.retired'
  /** What becomes of a token's activation, and by whom: `detail.token`, `detail.persons` (CT-6.2.8, CT-6.2.9). */
  | 'token.share-entered'
  | 'token.activating'
  | 'token.activated'
  | 'token.activation-failed'
  | 'token.deactivation-requested'
  | 'token.deactivated'
  | 'token.lost'
  | 'token.recovered'
  | 'token.key-generated'
  /** What the CCADB must be told of the CRL URLs in certificates, and that it was: `detail.url` (core/crl/ccadb.ts). */
  | 'crl.url-added'
  | 'crl.url-removed'
  | 'crl.urls-acknowledged'
  /** To-be-signed octets were handed out for an offline signer, and answers that it has signed were taken in. */
  | 'offline.exported'
  | 'ocsp.imported'
  /** A mass revocation from plan to end: `detail.plan` and its figures; each batch of it is a `certificates.revoked` (CT-5.7.1.2-a). */
  | 'mass.planned'
  | 'mass.started'
  | 'mass.paused'
  | 'mass.resumed'
  | 'mass.aborted'
  | 'mass.recorded'
  | 'mass.finished'
  /** Signatures made to measure the key holder, of what is true and is not published (P8), and what a drill found. */
  | 'drill.signed'
  | 'drill.finished'
  /** Somebody has proved to hold a private key, or says that it may be in other hands (CT-4.9.12); the key itself is nowhere. */
  | 'key.compromised'
  /** Ledger, OCSP and CRLs were compared: `detail` is the report (SR-2.2-a, T-59). */
  | 'status.reconciled'
  /** When revocations were first seen from outside: `detail.observed` (requirements of §4.9.1.1, B-14). */
  | 'revocation.observed'
  /** A random sample of certificates was drawn, to be looked at again: `detail.seed` draws it once more (CT-8.7). */
  | 'sample.drawn'
  /** The archive was read again (SR-5.5.7), lost the octets that its retention let go, or was brought back from its copies. */
  | 'archive.verified'
  | 'archive.pruned'
  | 'archive.restored'
  /** Backups, and what restoring one as a drill has shown (CT-5.7.1.1-a). */
  | 'backup.taken'
  | 'backup.drilled'
  /** The machine's clock was set, is too far off for anything to be signed, and is right again (SJ-5.4.1.2, SJ-5.5.5). */
  | 'clock.stepped'
  | 'clock.off'
  | 'clock.right'
  /** A person signed in on the admin port, and signed out (CT-5.4.1-c: accesses, successful ones too). */
  | 'access.granted'
  | 'access.ended'
  /** Somebody read the audit log: which part of it (CT-5.4.4). */
  | 'audit.read'
  /** A person asks for a CRL beside the schedule; it is `crl.published` when there is one (SR-5.2.1-d). */
  | 'crl.requested'
  /** A plan of a mass revocation that was never started was removed: `detail.plan`, `detail.digest`. */
  | 'mass.discarded'
  /** What was asked for from outside within an hour, and what came of it: `detail` is counts and worst cases (CT-4.10.2-a, CT-9.9.2-2). */
  | 'monitor.probed'
  /** Files or clients that the process uses from then on were renewed while it ran: `detail.clients` may do what they may (CT-5.4.1-d). */
  | 'service.reloaded';

export interface JournalRecord extends JournalEntry {
  readonly seq: number;
  /** Time of the record, RFC 3339 with milliseconds. */
  readonly at: string;
  readonly prev: string;
  readonly hash: string;
}

export function journalChange(certificate: Certificate, lane: Lane | undefined): JournalledChange {
  return {
    serial: certificate.serial,
    revision: certificate.revision,
    ...(certificate.notBefore !== undefined && { notBefore: rfc3339(certificate.notBefore) }),
    ...(certificate.notAfter !== undefined && { notAfter: rfc3339(certificate.notAfter) }),
    ...(certificate.precertificate && { precertificate: true as const }),
    ...(certificate.crlShard !== undefined && { crlShard: certificate.crlShard }),
    ...(certificate.withoutOcsp && { withoutOcsp: true as const }),
    ...(certificate.spkiHash !== undefined && { spkiHash: certificate.spkiHash }),
    ...(certificate.revocation !== undefined && { revokedAt: rfc3339(certificate.revocation.revokedAt) }),
    ...(certificate.revocation?.reason !== undefined && { reason: certificate.revocation.reason }),
    ...(lane !== undefined && { lane }),
  };
}

/** The certificates that a record brings into the ledger: the same now as at any replay. */
export function changesOf(
  record: JournalRecord,
): { readonly certificate: Certificate; readonly lane: Lane | undefined }[] {
  const recordedAt = Date.parse(record.at);
  return (record.changes ?? []).map((change) => ({
    certificate: {
      issuer: record.issuerTag as IssuerTag,
      serial: change.serial as Serial,
      revision: change.revision,
      notBefore: change.notBefore === undefined ? undefined : Date.parse(change.notBefore),
      notAfter: change.notAfter === undefined ? undefined : Date.parse(change.notAfter),
      precertificate: change.precertificate === true,
      crlShard: change.crlShard !== undefined && SHARD_NAME.test(change.crlShard) ? change.crlShard : undefined,
      withoutOcsp: change.withoutOcsp === true,
      spkiHash: change.spkiHash,
      revocation:
        change.revokedAt === undefined ? undefined : { revokedAt: Date.parse(change.revokedAt), reason: change.reason },
      recordedAt,
      recordedSeq: record.seq,
    },
    // One of a newer version's: what is first in line cannot be late.
    lane: change.lane === undefined || LANES.includes(change.lane) ? change.lane : 'revocation',
  }));
}

/** @throws Problem `config` for a record of a newer version, whose meaning this one would miss (P1). */
export function requireReplayable({ layout = 1, type, seq }: JournalRecord): void {
  if (layout <= JOURNAL_LAYOUT) return;
  throw new Problem(
    'config',
    `record ${seq} (${type}) was written by a newer version and needs layout ${layout}; this version reads up to ` +
      `${JOURNAL_LAYOUT}: start the version that wrote it`,
    { field: 'audit log', rule: 'P1' },
  );
}

/** `prev` of the first record. */
export const GENESIS_HASH = '0'.repeat(64);

const HASH_MEMBER_LENGTH = ',"hash":""}'.length + 64;

/** The record that follows `prev`, and its line without the newline. */
export function sealRecord(entry: JournalEntry, seq: number, at: string, prev: string): { line: string; hash: string } {
  const covered = JSON.stringify({ seq, at, prev, ...entry });
  const hash = createHash('sha256').update(covered).digest('hex');
  return { line: `${covered.slice(0, -1)},"hash":"${hash}"}`, hash };
}

/**
 * Reads a line back and checks it against the record before it.
 * @throws Problem `corrupt` saying what is wrong: not a record, altered, missing or reordered.
 */
export function openRecord(line: string, expected: { seq: number; prev: string }, where: string): JournalRecord {
  const covered = `${line.slice(0, -HASH_MEMBER_LENGTH)}}`;
  const record = parseObject(line) as JournalRecord | undefined;
  if (record === undefined) {
    throw new Problem('corrupt', 'not a journal record', { field: where, value: line.slice(0, 40) });
  }
  if (createHash('sha256').update(covered).digest('hex') !== record.hash) {
    throw new Problem('corrupt', 'the record was altered: its hash does not match its text', {
      field: where,
      value: `record ${record.seq}`,
    });
  }
  if (record.seq !== expected.seq) {
    throw new Problem('corrupt', `record ${expected.seq} is missing or out of order`, {
      field: where,
      value: `record ${record.seq}`,
    });
  }
  if (record.prev !== expected.prev) {
    throw new Problem('corrupt', 'the record does not follow the one before it', {
      field: where,
      value: `record ${record.seq}`,
    });
  }
  return record;
}

function parseObject(line: string): object | undefined {
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
