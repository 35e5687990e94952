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
  readonly crlShard: string | undefined;
  readonly withoutOcsp: boolean;
  readonly spkiHash: string | undefined;
  readonly revocation: { readonly revokedAt: EpochMs; readonly reason: ReasonName | undefined } | undefined;
}

export interface RejectedRow {
  readonly line: number;
  readonly problem: Problem;
}

export type ImportItem = { readonly row: ImportRow } | { readonly rejected: RejectedRow };
