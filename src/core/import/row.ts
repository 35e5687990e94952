/** One certificate of an existing CA, as read from its records; the same for every file format. */
import type { Problem } from '../problem.ts';
import type { ReasonName } from '../reason.ts';
import type { Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

export interface ImportRow {
  /** Line in the file, or the ordinal of the object (PEM block, CRL entry), from 1. */
  readonly line: number;
  readonly serial: Serial;
  readonly notBefore: EpochMs | undefined;
  readonly notAfter: EpochMs | undefined;
  readonly precertificate: boolean;
  /** Name of a shard or URL of a CRL. */
  readonly crlShard: string | undefined;
  /** What the certificate itself says about its CRL, where it was seen whole: see ShardClues. */
  readonly crlUrls?: readonly string[] | undefined;
  readonly isCa?: boolean | undefined;
  readonly withoutOcsp: boolean;
  readonly spkiHash: string | undefined;
  readonly revocation: { readonly revokedAt: EpochMs; readonly reason: ReasonName | undefined } | undefined;
}

export interface RejectedRow {
  readonly line: number;
  readonly problem: Problem;
}

export type ImportItem = { readonly row: ImportRow } | { readonly rejected: RejectedRow };
