/** A key that signs nothing while something else forbids it: the clock (flows/monitor/clock-watch.ts). */
import { Problem } from '../../core/problem.ts';
import type { KeyHolder } from '../../ports/key-holder.ts';

/** @param forbids why nothing may be signed now, in words for an operator; undefined when it may. From memory. */
export function guarded(holder: KeyHolder, forbids: () => string | undefined): KeyHolder {
  const mustBeAllowed = (): void => {
    const why = forbids();
    if (why !== undefined) throw new Problem('unavailable', why, { field: holder.describe, rule: 'SJ-5.5.5' });
  };
  return {
    algorithm: holder.algorithm,
    publicKey: holder.publicKey,
    describe: holder.describe,
    get failure() {
      return forbids() ?? holder.failure;
    },
    async sign(tbs, priority) {
      mustBeAllowed();
      return holder.sign(tbs, priority);
    },
    begin() {
      mustBeAllowed();
      return holder.begin();
    },
    close: () => holder.close(),
  };
}
