/** What a drill of a plan has found (CT-5.7.1.1-b). */
import type { EpochMs } from '../time.ts';

/** What one key has signed, and how fast. */
export interface DrilledKey {
  readonly issuer: string;
  /** Where the key is, for people. */
  readonly key: string;
  readonly certificates: number;
  readonly signatures: number;
  readonly failed: number;
  readonly seconds: number;
  readonly certificatesPerSecond: number;
}

/** A CRL as it would be, built and hashed; signed with a key made for the drill. */
export interface DrilledCrl {
  readonly issuer: string;
  readonly shard: string;
  readonly entries: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface DrillResult {
  readonly plan: string;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly by: string;
  readonly keys: readonly DrilledKey[];
  readonly crls: readonly DrilledCrl[];
}
