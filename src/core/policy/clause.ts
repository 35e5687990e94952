/**
 * The sixteen grounds for revocation of 004 §4.9.1.1 (the same as BR 4.9.1.1), and the CA's own discretion. Each prescribes a reason and a
 * deadline, counted from the moment the CA became aware; an event that contradicts its clause is refused rather than recorded (CT-4.9.1.1-1..16).
 */
import { Problem } from '../problem.ts';
import type { Reason, ReasonName } from '../reason.ts';
import { DAY, type EpochMs, HOUR } from '../time.ts';

export interface Clause {
  /** As the document numbers it, e.g. `4.9.1.1-3`. */
  readonly id: string;
  readonly event: string;
  /** Time from awareness to the **published** revocation (B-05); undefined where none is set. */
  readonly withinMs: number | undefined;
  /** What the CRL entry says; `unspecified` is expressed by absence (CT-7.2-b); `any` leaves it to the caller. */
  readonly reason: ReasonName | 'any';
}

const WITHIN_24_HOURS = 24 * HOUR;
const WITHIN_5_DAYS = 5 * DAY;

const ROWS: readonly (readonly [event: string, withinMs: number, reason: ReasonName])[] = [
  ['subscriber requests it in writing without a reason', WITHIN_24_HOURS, 'unspecified'],
  ['original request was not authorized', WITHIN_24_HOURS, 'privilegeWithdrawn'],
  ['evidence of key compromise', WITHIN_24_HOURS, 'keyCompromise'],
  ['method that easily computes the private key', WITHIN_24_HOURS, 'keyCompromise'],
  ['validation of the domain or IP address cannot be relied on', WITHIN_24_HOURS, 'superseded'],
  ['key no longer complies with BR 6.1.5 and 6.1.6', WITHIN_5_DAYS, 'superseded'],
  ['evidence of misuse', WITHIN_5_DAYS, 'privilegeWithdrawn'],
  ['subscriber broke a material obligation', WITHIN_5_DAYS, 'privilegeWithdrawn'],
  ['use of the name is no longer legally permitted', WITHIN_5_DAYS, 'cessationOfOperation'],
  ['wildcard certified a fraudulent name', WITHIN_5_DAYS, 'privilegeWithdrawn'],
  ['material change in the information', WITHIN_5_DAYS, 'privilegeWithdrawn'],
  ['not issued as the requirements or the CPS say', WITHIN_5_DAYS, 'superseded'],
  ['information is inaccurate', WITHIN_5_DAYS, 'privilegeWithdrawn'],
  ['right of the CA to issue ends', WITHIN_5_DAYS, 'unspecified'],
  ['required by the CPS for another reason', WITHIN_5_DAYS, 'unspecified'],
  ['method that exposes the key, or flawed key generation', WITHIN_5_DAYS, 'keyCompromise'],
];

/** In the order of the document, discretion (`4.9.1.1-z`) last. */
export const CLAUSES: readonly Clause[] = [
  ...ROWS.map(([event, withinMs, reason], index) => ({ id: `4.9.1.1-${index + 1}`, event, withinMs, reason })),
  { id: '4.9.1.1-z', event: "the CA's sole discretion", withinMs: undefined, reason: 'any' },
];

/**
 * The clause that an event names: `4.9.1.1-3`, `CT-4.9.1.1-3`, or `discretion`.
 * @throws Problem `invalid` for any other text.
 */
export function parseClause(text: string, field = 'clause'): Clause {
  const id = text === 'discretion' ? '4.9.1.1-z' : text.replace(/^CT-/, '');
  const clause = CLAUSES.find((candidate) => candidate.id === id);
  if (clause === undefined) {
    throw new Problem('invalid', 'no such clause: 4.9.1.1-1 to 4.9.1.1-16, or discretion', {
      field,
      value: text,
      rule: 'CT-4.9.1.1',
    });
  }
  return clause;
}

/**
 * What the named clause makes of the event: the reason it prescribes, or the one that the caller chose where it leaves the choice.
 * @param text the clause as parseClause reads it.
 * @param awareAt when the CA became aware: the deadline counts from here.
 * @throws Problem `invalid` for an unknown clause, `refused` when the caller's reason contradicts it.
 */
export function applyClause(
  text: string,
  reason: ReasonName | undefined,
  awareAt: EpochMs,
): { readonly reason: Reason | undefined; readonly deadline: EpochMs | undefined } {
  const clause = parseClause(text);
  if (clause.reason !== 'any' && reason !== undefined && reason !== clause.reason) {
    throw new Problem('refused', `clause ${clause.id} (${clause.event}) prescribes ${clause.reason}`, {
      field: 'reason',
      value: reason,
      rule: `CT-${clause.id}`,
    });
  }
  return {
    reason: recordedReason(clause.reason === 'any' ? reason : clause.reason),
    deadline: clause.withinMs === undefined ? undefined : awareAt + clause.withinMs,
  };
}

/** CT-7.2-b: unspecified is no reason at all. `removeFromCRL` ends a hold and is never a ground for revocation. */
function recordedReason(reason: ReasonName | undefined): Reason | undefined {
  if (reason === 'removeFromCRL') {
    throw new Problem('refused', 'removeFromCRL is not a reason to revoke', {
      field: 'reason',
      value: reason,
      rule: 'RFC 5280 §5.3.1',
    });
  }
  return reason === 'unspecified' ? undefined : reason;
}
