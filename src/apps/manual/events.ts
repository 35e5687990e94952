/** Lessons: what the CA does, one certificate or a file of them at a time. */
import type { Lessons } from './lesson.ts';

const RECEIPT = 'one line per event with its receipt; with --wait since when OCSP and CRL say so';

export const EVENT_LESSONS: Lessons = {
  issue: {
    about:
      'Records that a certificate or precertificate was issued, so that OCSP answers good for it. The event is durable when the command returns; sending it again changes nothing.',
    when: 'Use it by hand or in a small CA; a large one posts to the intake (README.md, Events).',
    examples: [
      { run: 'certstatus issue --issuer demo --serial 0a1b2c3d4e5f60718293 --not-after 2036-01-01T00:00:00Z --wait' },
      { run: 'certstatus issue --issuer demo --cert data/issuers/demo/samples/valid.pem', does: 'dates, shard and key are taken from the certificate' }, // prettier-ignore
    ],
    prints: RECEIPT,
    exits: '0 recorded (with --wait: live), 1 refused or not live within 60 s, 2 wrong usage',
  },
  revoke: {
    about:
      'Revokes one certificate: OCSP and its CRL say so within seconds. It cannot be taken back; afterwards only the reason may become keyCompromise, and the date earlier (BR 7.2.2).',
    when: 'Use it for single certificates; for many at once revoke-many.',
    examples: [
      { run: 'certstatus revoke --issuer demo --serial 0a1b2c3d4e5f60718293 --reason keyCompromise --wait' },
      { run: 'certstatus revoke --issuer demo --cert data/issuers/demo/samples/valid.pem --clause 4.9.1.1-12', does: 'a clause of the CP/CPS fixes the reason, and the deadline of 24 h or 5 days' }, // prettier-ignore
    ],
    prints: RECEIPT,
    exits: '0 recorded (with --wait: live), 1 refused or not live within 60 s, 2 wrong usage',
    more: 'certstatus report revocations',
  },
  wait: {
    about:
      'Returns when an event that was acknowledged is visible everywhere: in OCSP, and a revocation on its CRL. It asks ten times a second and changes nothing.',
    when: 'Use it in scripts after issue, revoke or a POST to the intake.',
    examples: [{ run: 'certstatus wait demo.0a1b2c3d4e5f60718293.2 --timeout 30s' }],
    prints: 'the receipt with the instants since when OCSP and CRL say so',
    exits: '0 visible, 1 not in time (it is recorded all the same), 2 wrong usage',
  },
  'import index': {
    about:
      'Loads the records of a CA from the index.txt of OpenSSL: V, R and E rows. Good rows go in, bad ones are reported with line and reason; run again, it skips what is known.',
    when: 'Use it to take over a CA that openssl ca keeps; with the service running or stopped.',
    examples: [{ run: 'certstatus import index --issuer demo index.txt' }],
    prints: 'rows accepted, known already and rejected; progress on standard error',
    exits: '0 all rows went in, 1 some were rejected, 2 wrong usage',
  },
  'import csv': {
    about:
      'Loads the records of a CA from a CSV file whose header names the columns. Good rows go in, bad ones are reported with line and reason; run again, it skips what is known.',
    when: 'Use it to take over a CA from its database.',
    examples: [{ run: "printf 'serial,notAfter\\n0b1b2c3d4e5f60718293,2036-01-01T00:00:00Z\\n' > all.csv\ncertstatus import csv --issuer demo all.csv" }], // prettier-ignore
    prints: 'rows accepted, known already and rejected; progress on standard error',
    exits: '0 all rows went in, 1 some were rejected, 2 wrong usage',
  },
  'import certs': {
    about:
      'Loads certificates and precertificates from PEM bundles, DER files and directories. Each must be signed by this CA; run again, it skips what is known.',
    when: 'Use it where the certificates themselves are at hand: dates, shard, OCSP URL and key come from them.',
    examples: [{ run: 'certstatus import certs --issuer demo data/issuers/demo/samples/valid.pem data/issuers/demo/samples/revoked.pem' }], // prettier-ignore
    prints: 'certificates accepted, known already and rejected; progress on standard error',
    exits: '0 all went in, 1 some were rejected, 2 wrong usage',
  },
  'import crl': {
    about:
      'Takes what a CRL of this CA lists as revoked, with its dates and reasons. The CRL must be signed by this CA; it is not published.',
    when: 'Use it after import index, csv or certs, when the CRL knows of revocations that those did not. To publish a CRL use crl import.', // prettier-ignore
    examples: [{ run: 'certstatus import crl --issuer demo current.crl' }],
    prints: 'entries accepted, known already and rejected; progress on standard error',
    exits: '0 all went in, 1 some were rejected, 2 wrong usage',
  },
};
