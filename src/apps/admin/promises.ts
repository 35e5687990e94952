/** The eight promises, as the status page and its problems name them. */
export const PROMISES = {
  P1: 'Nothing acknowledged is lost',
  P2: 'Revoked stays revoked',
  P3: 'Never good for what was not issued',
  P4: 'Never stale',
  P5: 'OCSP and CRL agree',
  P6: 'Every served byte was checked',
  P7: 'Keys stay where they belong',
  P8: 'Every signature is accounted for',
} as const;
export type PromiseId = keyof typeof PROMISES;
