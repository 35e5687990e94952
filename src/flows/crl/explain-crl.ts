/** Why the CRL of a scope is the one it is, in words and instants for an operator (`crl show --why`). */
import type { CrlRecord } from '../../core/certificate.ts';
import { rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { CrlState } from './publish-crl.ts';

export interface ExplainedCrl {
  /** Empty for the complete CRL. */
  readonly shard: string;
  readonly url?: string;
  readonly current?: {
    readonly number: string;
    readonly kind: CrlRecord['kind'];
    readonly thisUpdate: string;
    readonly nextUpdate: string;
    readonly entries: number;
    readonly bytes: number;
    readonly ageSeconds: number;
    readonly expired: boolean;
  };
  /** Absent where this process does not sign: the rest is known there alone. */
  readonly signing?: {
    readonly waiting: number;
    readonly oldestWaiting?: string;
    readonly building: boolean;
    readonly scheduled?: string;
    readonly nextTry: string;
    readonly refused: boolean;
    readonly lastFailure?: {
      readonly at: string;
      /** Of the CRL that was signed and refused. */
      readonly number?: string;
      readonly message: string;
      readonly rule?: string;
      /** A serial, mostly. */
      readonly value?: string;
    };
    /** Why the key cannot be used. */
    readonly keyFailure?: string;
    readonly claim: 'here' | 'another signer' | 'not asked yet';
  };
}

export function explainCrl(shard: string, current: CrlRecord | undefined, nowMs: EpochMs): ExplainedCrl {
  return {
    shard,
    ...(current && {
      current: {
        number: current.number.toString(),
        kind: current.kind,
        thisUpdate: rfc3339(current.thisUpdate),
        nextUpdate: rfc3339(current.nextUpdate),
        entries: current.entries,
        bytes: current.bytes,
        ageSeconds: Math.floor((nowMs - current.thisUpdate) / SECOND),
        expired: nowMs > current.nextUpdate,
      },
    }),
  };
}

export function explainState(state: CrlState, nowMs: EpochMs): ExplainedCrl {
  const { lastFailure: failure, claimed } = state;
  return {
    ...explainCrl(state.shard, state.current, nowMs),
    ...(state.url !== undefined && { url: state.url }),
    signing: {
      waiting: state.waiting,
      ...(state.oldestUnlisted !== undefined && { oldestWaiting: rfc3339(state.oldestUnlisted) }),
      building: state.building,
      ...(state.scheduledAt !== undefined && { scheduled: rfc3339(state.scheduledAt) }),
      nextTry: rfc3339(state.nextTryAt),
      refused: failure?.refused === true,
      ...(failure && {
        lastFailure: {
          at: rfc3339(failure.at),
          ...(failure.number !== undefined && { number: failure.number.toString() }),
          message: failure.problem.message,
          ...(failure.problem.rule !== undefined && { rule: failure.problem.rule }),
          ...(failure.problem.value !== undefined && { value: failure.problem.value }),
        },
      }),
      ...(state.keyFailure !== undefined && { keyFailure: state.keyFailure }),
      claim: claimed === undefined ? 'not asked yet' : claimed ? 'here' : 'another signer',
    },
  };
}
