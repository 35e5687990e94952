/**
 * What the first process and its responder processes say to each other over the channel of child_process.fork. Certificates and
 * answers go as flat rows of strings and numbers: a tenth of the cost of objects, and most messages are full of them.
 *
 * Bounded: a message carries at most BATCH rows, a row is below 2 kB, and CRLs go by name (crl-archive has the bytes).
 */
import type {
  Certificate,
  CrlRecord,
  CrlScope,
  IssuerTag,
  PublishedResponse,
  Revocation,
} from '../../core/certificate.ts';
import type { LiveQuestion } from '../../core/ocsp/live.ts';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import type { Reason } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import type { ProcessTold } from '../../ports/processes.ts';
import type { Lookup } from '../../ports/store.ts';

/** Rows of one message. */
export const BATCH = 500;

/** Where a listener is opened that several processes share. */
export interface SharedListen {
  readonly host: string;
  readonly port: number;
}

/** To a responder process. */
export type ToChild =
  /** First of all. `settings` is for the program (apps/processes). */
  | { readonly type: 'begin'; readonly settings: unknown }
  /** `handle`: the public listening socket comes with the message; otherwise the process binds the port itself, shared. */
  | {
      readonly type: 'listen';
      readonly public: SharedListen & { readonly handle: boolean };
      readonly origin: SharedListen | undefined;
    }
  /** To be answered with `marked` once everything before it has been applied. */
  | { readonly type: 'mark'; readonly mark: number }
  | { readonly type: 'events'; readonly rows: readonly EventRow[] }
  /** To be answered with `crl-served` when it is. */
  | { readonly type: 'crl'; readonly id: number; readonly record: CrlRecord }
  | { readonly type: 'found'; readonly rows: readonly FoundRow[] }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'unanswered'; readonly id: number; readonly reason: string }
  /** Each reply is the last of its connection from now on. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop'; readonly graceMs: number };

/** From a responder process. */
export type FromChild =
  /** Everything is read that is needed before the first request. */
  | { readonly type: 'ready' }
  /** `noOrigin`: why there is no origin listener, where one was to be. */
  | { readonly type: 'serving'; readonly noOrigin: string | undefined }
  /** It ends, because it cannot start. */
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'marked'; readonly mark: number; readonly told: ProcessTold }
  | { readonly type: 'look-up'; readonly rows: readonly LookUpRow[] }
  | ({ readonly type: 'question'; readonly id: number; readonly about: 'crl' } & CrlScope)
  | {
      readonly type: 'question';
      readonly id: number;
      readonly about: 'scopes' | 'responders';
      readonly issuer: IssuerTag;
    }
  /** Answered with a LiveSignature, or `refused`. */
  | { readonly type: 'sign-live'; readonly id: number; readonly question: LiveQuestion }
  | { readonly type: 'sign'; readonly rows: readonly (readonly [IssuerTag, Serial])[] }
  | { readonly type: 'crl-served'; readonly id: number }
  | { readonly type: 'stopped'; readonly told: ProcessTold };

export type LookUpRow = readonly [id: number, issuer: IssuerTag, serial: Serial];

export type EventRow =
  | readonly ['recorded', ...CertificateRow]
  /** A newer answer is published; what it says is looked up by whoever holds the old one. */
  | readonly ['published', IssuerTag, Serial, revision: number]
  | readonly ['responder', IssuerTag, Uint8Array]
  | readonly ['responder-retired', IssuerTag, string, Exclude<ResponderUse, 'signing'>];

export type FoundRow =
  | readonly [id: number, 'unknown']
  | readonly [id: number, 'failed', reason: string]
  | readonly [id: number, 'pending', ...CertificateRow]
  | readonly [id: number, 'published', ...CertificateRow, ...ResponseRow];

/** Answer to the question about `responders`. */
export interface ResponderList {
  readonly ders: readonly Uint8Array[];
  readonly retired: ReadonlyMap<string, Exclude<ResponderUse, 'signing'>>;
}

export type CertificateRow = readonly [
  issuer: IssuerTag,
  serial: Serial,
  revision: number,
  notBefore: EpochMs | undefined,
  notAfter: EpochMs | undefined,
  precertificate: boolean,
  crlShard: string | undefined,
  withoutOcsp: boolean,
  spkiHash: string | undefined,
  revokedAt: EpochMs | undefined,
  reason: Reason | undefined,
  recordedAt: EpochMs,
  recordedSeq: number,
];
const CERTIFICATE_FIELDS = 13;

/** Of the certificate beside it. The signatures as Latin-1, which costs a third of a Buffer. */
export type ResponseRow = readonly [
  revokedAt: EpochMs | undefined,
  reason: Reason | undefined,
  thisUpdate: EpochMs,
  nextUpdate: EpochMs,
  refreshAt: EpochMs,
  publishedAt: EpochMs,
  responder: string,
  sha1: string,
  sha256: string,
];

export function certificateRow(certificate: Certificate): CertificateRow {
  const { issuer, serial, revision, notBefore, notAfter, precertificate, crlShard, revocation } = certificate;
  const { withoutOcsp, spkiHash } = certificate;
  const { recordedAt, recordedSeq } = certificate;
  return [
    issuer,
    serial,
    revision,
    notBefore,
    notAfter,
    precertificate,
    crlShard,
    withoutOcsp,
    spkiHash,
    revocation?.revokedAt,
    revocation?.reason,
    recordedAt,
    recordedSeq,
  ];
}

export function certificateIn(row: CertificateRow): Certificate {
  const [issuer, serial, revision, notBefore, notAfter, precertificate, crlShard, withoutOcsp, spkiHash] = row;
  const [, , , , , , , , , revokedAt, reason, recordedAt, recordedSeq] = row;
  const revocation = revocationOf(revokedAt, reason);
  return {
    issuer,
    serial,
    revision,
    notBefore,
    notAfter,
    precertificate,
    crlShard,
    withoutOcsp,
    spkiHash,
    revocation,
    recordedAt,
    recordedSeq,
  };
}

export function foundRow(id: number, found: Lookup): FoundRow {
  if (found.kind === 'unknown') return [id, 'unknown'];
  const certificate = certificateRow(found.certificate);
  if (found.kind === 'pending') return [id, 'pending', ...certificate];
  const { revocation, thisUpdate, nextUpdate, refreshAt, publishedAt, responder, signatures } = found.response;
  return [
    id,
    'published',
    ...certificate,
    revocation?.revokedAt,
    revocation?.reason,
    thisUpdate,
    nextUpdate,
    refreshAt,
    publishedAt,
    responder,
    latin1(signatures.sha1),
    latin1(signatures.sha256),
  ];
}

/** The reverse. */
export function lookupIn(row: Exclude<FoundRow, readonly [number, 'failed', string]>): Lookup {
  const [, kind] = row;
  if (kind === 'unknown') return { kind };
  const certificate = certificateIn(row.slice(2, 2 + CERTIFICATE_FIELDS) as unknown as CertificateRow);
  if (kind === 'pending') return { kind, certificate };
  const rest = row.slice(2 + CERTIFICATE_FIELDS) as unknown as ResponseRow;
  const [revokedAt, reason, thisUpdate, nextUpdate, refreshAt, publishedAt, responder, sha1, sha256] = rest;
  const { issuer, serial, revision } = certificate;
  const response: PublishedResponse = {
    issuer,
    serial,
    revision,
    revocation: revocationOf(revokedAt, reason),
    thisUpdate,
    nextUpdate,
    refreshAt,
    publishedAt,
    responder,
    signatures: { sha1: Buffer.from(sha1, 'latin1'), sha256: Buffer.from(sha256, 'latin1') },
  };
  return { kind, certificate, response };
}

function revocationOf(revokedAt: EpochMs | undefined, reason: Reason | undefined): Revocation | undefined {
  return revokedAt === undefined ? undefined : { revokedAt, reason };
}

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
}
