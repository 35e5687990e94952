/** Lessons: proving what was done. */
import type { Lessons } from './lesson.ts';

const GUIDE = 'deploy/guide/proof.md';

export const PROOF_LESSONS: Lessons = {
  'audit verify': {
    about:
      'Checks every record of the audit log and the chain of their hashes. It names the first record that was altered, removed or reordered, and notices when the end was cut off.',
    when: 'Use it for the auditors, on a backup (--offline), and after a restore; beside a running service too.',
    examples: [{ run: 'certstatus audit verify' }],
    prints: 'number of records, the last hash, and who activated which token; progress on standard error',
    exits: '0 whole, 1 not, 2 wrong usage',
  },
  'audit export': {
    about: 'Writes audit records as JSON lines, chain included. It reads the files and works beside a running service.',
    when: 'Use it to hand records over, or to search them.',
    examples: [
      { run: 'certstatus audit export --type crl.published | head -1' },
      { run: 'certstatus audit export --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --out november.ndjson' },
    ],
    prints: 'one JSON object per record; with --out how many were written',
  },
  'audit show': {
    about:
      'Shows everything that was recorded, signed and published about one certificate. With --at it ends at an instant: what was said then.',
    when: 'Use it when somebody asks what the service said about a certificate.',
    examples: [
      { run: 'certstatus audit show --issuer demo --serial 0a1b2c3d4e5f60718293' },
      { run: 'certstatus audit show --cert data/issuers/demo/samples/revoked.pem --at 2036-01-01T00:00:00Z' },
    ],
    prints: 'instant, record number, issuer, what happened, and who did it',
  },
  'report revocations': {
    about:
      'Shows the clock of each revocation: aware, recorded, seen by OCSP and on the CRL, against the limit of its clause. It reads the audit log and works beside a running service.',
    when: 'Use it for the auditors, and every month.',
    examples: [{ run: 'certstatus report revocations --issuer demo --from 2026-11-01T00:00:00Z' }],
    prints: 'a line per revocation, totals per clause, the worst case',
    exits: '0 all in time, 1 one was late, 2 wrong usage',
    more: GUIDE,
  },
  reconcile: {
    about: 'Holds the ledger, the OCSP answers and the CRLs against each other: same serials, dates and reasons. It reads only, and leaves the service half of its time.', // prettier-ignore
    when: 'Use it after a restore or an incident; the service does it by itself as configured.',
    examples: [{ run: 'certstatus reconcile --issuer demo' }],
    prints: '"difference 0", or the list of differences with their rules; progress on standard error',
    exits: '0 no difference, 1 there are differences, 2 wrong usage',
    more: GUIDE,
  },
  sample: {
    about:
      "Draws a random sample of a quarter's certificates and checks what is really served about each. The draw is in the audit log before anybody sees it, and its seed draws the same again.",
    when: 'Use it every quarter (CT-8.7).',
    examples: [{ run: 'certstatus sample --issuer demo --quarter 2026Q4 --percent 3 --minimum 1' }],
    prints: 'one JSON object per line: the terms, each certificate, and a sum; progress on standard error',
    exits: '0 all are right, 1 one is not, 2 wrong usage',
    more: GUIDE,
  },
  lint: {
    about:
      'Checks CRLs, OCSP responses and responder certificates, DER or PEM, against every rule that their octets can show. It asks nobody.',
    when: "Use it on anybody's files; what is published here is linted by itself.",
    examples: [
      { run: 'certstatus lint current.crl --ca data/issuers/demo/ca.pem' },
      { run: 'certstatus lint --rules --authorities mozilla' },
    ],
    prints: 'each finding with its rule and where it stands; "no finding" when there is none',
    exits: '0 no error (there may be warnings), 1 a rule is broken, 2 wrong usage',
    more: 'deploy/guide/lint.md',
  },
};
