/** What the service promises, whatever the documents of a CA ask, and the duties whose verdicts show it. */

export interface Promised {
  readonly id: string;
  readonly text: string;
  /** Ids of duties. */
  readonly shownBy: readonly string[];
}

export const PROMISES: readonly Promised[] = [
  { id: 'P1', text: 'Nothing acknowledged is lost.', shownBy: ['CT-5.4.6', 'CT-4.9.10-e', 'CT-4.9.7-b'] },
  { id: 'P2', text: 'Revoked stays revoked.', shownBy: ['CT-4.9.13', 'CT-4.10.1', 'CT-4.9.6'] },
  { id: 'P3', text: 'Never good for what was not issued.', shownBy: ['CT-4.9.10-f'] },
  {
    id: 'P4',
    text: 'Never stale.',
    shownBy: ['CT-4.9.10-b', 'CT-4.9.10-c', 'CT-4.9.10-d', 'CT-4.10.2-b', 'CT-4.9.7-a', 'CT-4.9.7-c'],
  },
  { id: 'P5', text: 'OCSP and CRL agree; CRL numbers only grow.', shownBy: ['CT-4.9.6', 'SR-2.2-a', 'CT-7.2.1'] },
  { id: 'P6', text: 'Every served byte was checked before it was published.', shownBy: ['CT-AppA-lint'] },
  { id: 'P7', text: 'Keys stay where they belong.', shownBy: ['CT-6.1.7-a', 'CT-6.2.3', 'SJ-1.1-b'] },
  {
    id: 'P8',
    text: 'Every signature is accounted for in an audit log that cannot be altered unseen.',
    shownBy: ['CT-5.4.1-a', 'CT-5.4.1-d'],
  },
];
