/** CRLReason: the names and numbers of RFC 5280 §5.3.1. The value 7 is not used. */
export const REASON_CODES = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export type ReasonName = keyof typeof REASON_CODES;
/** A reason as it stands in a CRL entry or RevokedInfo: never `unspecified`, which is expressed by absence (C-23, T-28). */
export type Reason = Exclude<ReasonName, 'unspecified' | 'removeFromCRL'>;

const NAMES = new Map<number, ReasonName>(
  Object.entries(REASON_CODES).map(([name, code]) => [code, name as ReasonName]),
);

export function reasonName(code: number): ReasonName | undefined {
  return NAMES.get(code);
}

export function isReasonName(text: string): text is ReasonName {
  return Object.hasOwn(REASON_CODES, text);
}
