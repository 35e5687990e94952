/**
 * How long before the end of what was signed offline somebody must be told. A ceremony with several persons and a safe takes weeks to
 * arrange, where an online key takes seconds.
 */
import { DAY, type EpochMs } from '../time.ts';

/** The longest first. */
const LEAD_TIMES_MS = [90 * DAY, 60 * DAY, 30 * DAY, 14 * DAY, 7 * DAY] as const;

/** Those within the first half of the validity would warn of what was signed yesterday. */
export function leadTimes(validityMs: number): readonly number[] {
  return LEAD_TIMES_MS.filter((leadMs) => leadMs <= validityMs / 2);
}

/** The least lead time that is reached at `nowMs`; undefined while none is. For whatever is valid for a week or two, the last half of it. */
export function reachedLeadTime(
  { endsAt, validityMs }: { readonly endsAt: EpochMs; readonly validityMs: number },
  nowMs: EpochMs,
): number | undefined {
  const own = leadTimes(validityMs);
  return (own.length > 0 ? own : [validityMs / 2]).findLast((leadMs) => endsAt - nowMs <= leadMs);
}
