/** A mass revocation that was started: how far it is, how fast it goes, when it will be done. */
import { SECOND, type EpochMs } from '../time.ts';

export type RunState =
  /** The ledger is being written; signing has begun. */
  | 'recording'
  /** Nothing more is recorded until it is resumed; what is recorded is signed. */
  | 'paused'
  /** All is recorded; answers or CRLs are missing. */
  | 'signing'
  | 'done'
  /** Ended by a person; what was recorded stays revoked (T-29). */
  | 'aborted';

export interface RunCounts {
  /** Lines of the list that are dealt with. */
  readonly lines: number;
  readonly revoked: number;
  readonly already: number;
  readonly expired: number;
  readonly unknown: number;
  readonly refused: number;
}

export const NO_COUNTS: RunCounts = { lines: 0, revoked: 0, already: 0, expired: 0, unknown: 0, refused: 0 };

export interface MassRun {
  readonly plan: string;
  readonly state: RunState;
  readonly startedAt: EpochMs;
  readonly startedBy: string;
  readonly counts: RunCounts;
  /** When the last line was recorded. */
  readonly recordedAt?: EpochMs;
  /** When the last answer of the mass lane was published. */
  readonly ocspAt?: EpochMs;
  /** When every CRL listed what was recorded. */
  readonly crlAt?: EpochMs;
  readonly endedAt?: EpochMs;
  /** Single revocations meanwhile: how many became visible in OCSP, and how long the slowest took. */
  readonly singles: { readonly count: number; readonly worstMs: number };
  /** Of an issuer's refused lines, the first: for people. */
  readonly firstRefused?: string;
}

/** A look at it. */
export interface Sample {
  readonly at: EpochMs;
  readonly lines: number;
  readonly signed: number;
}

export interface Pace {
  /** Certificates a second over the last samples; 0 while nothing moves. */
  readonly recordedPerSecond: number;
  readonly signedPerSecond: number;
  readonly recordingLeftMs: number | undefined;
  readonly signingLeftMs: number | undefined;
}

/** @param samples oldest first. @param total lines of the list. @param waiting certificates that wait for their answer, or will. */
export function paceOf(samples: readonly Sample[], total: number, waiting: number): Pace {
  const [first, last] = [samples[0], samples.at(-1)];
  const seconds = first === undefined || last === undefined ? 0 : (last.at - first.at) / SECOND;
  const rate = (what: 'lines' | 'signed'): number =>
    seconds <= 0 ? 0 : Math.max(0, ((last as Sample)[what] - (first as Sample)[what]) / seconds);
  const [recordedPerSecond, signedPerSecond] = [rate('lines'), rate('signed')];
  const left = (count: number, perSecond: number): number | undefined =>
    count <= 0 ? 0 : perSecond === 0 ? undefined : (count / perSecond) * SECOND;
  return {
    recordedPerSecond,
    signedPerSecond,
    recordingLeftMs: left(total - (last?.lines ?? 0), recordedPerSecond),
    signingLeftMs: left(waiting, signedPerSecond),
  };
}
