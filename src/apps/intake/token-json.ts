/** A token as the intake says it, to commands and pages alike; nothing in it is secret. */
import { rfc3339 } from '../../core/time.ts';
import type { TokenView } from '../../flows/sign/activation.ts';
import type { UsedToken } from '../../flows/sign/signing-gauges.ts';

export interface TokenJson {
  readonly name: string;
  readonly describe: string;
  readonly state: string;
  readonly failure?: string;
  readonly source: string;
  readonly threshold?: number;
  readonly activatedAt?: string;
  readonly activatedBy?: readonly string[];
  readonly shares?: WaitingJson;
  readonly deactivation?: WaitingJson;
  readonly issuers?: readonly string[];
  readonly servedUntil?: string;
}

/** Persons who wait for others, and until when. */
interface WaitingJson {
  readonly persons: readonly string[];
  readonly until: string;
}

/** With what depends on it. */
export function tokenJson({ view, issuers, servedUntil }: UsedToken): TokenJson {
  return {
    ...viewJson(view),
    issuers: issuers.map(({ id }) => id),
    ...(servedUntil !== undefined && { servedUntil: rfc3339(servedUntil) }),
  };
}

export function viewJson(view: TokenView): TokenJson {
  const { name, describe, state, failure, source, threshold, activated, shares, deactivation } = view;
  const waiting = (of: NonNullable<TokenView['shares']>): WaitingJson => ({
    persons: of.persons,
    until: rfc3339(of.until),
  });
  return {
    name,
    describe,
    state,
    ...(failure !== undefined && { failure }),
    source,
    ...(threshold !== undefined && { threshold }),
    ...(activated && { activatedAt: rfc3339(activated.at), activatedBy: activated.persons }),
    ...(shares && { shares: waiting(shares) }),
    ...(deactivation && { deactivation: waiting(deactivation) }),
  };
}
