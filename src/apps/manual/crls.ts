/** Lessons: CRLs and their archive. */
import type { Lessons } from './lesson.ts';

const CRLS = 'deploy/guide/crls.md';
const ARCHIVE = 'deploy/guide/archive.md';

export const CRL_LESSONS: Lessons = {
  'crl list': {
    about: 'Lists the CRLs of an issuer that were published, newest first. Without --shard it is the complete CRL.',
    when: 'Use it to see what was published when, and how it grows.',
    examples: [{ run: 'certstatus crl list --issuer demo --limit 5' }],
    prints: 'number, kind, thisUpdate, nextUpdate (UTC), entries, octets and SHA-256 of each',
    more: CRLS,
  },
  'crl publish': {
    about:
      'Makes, signs and publishes a CRL now, on top of the schedule. The running service does it, which has the key; every check that a scheduled CRL passes is made.',
    when: 'Use it when a CRL must be new at once; revocations get onto CRLs by themselves.',
    examples: [{ run: 'certstatus crl publish --issuer demo' }],
    prints: 'number, thisUpdate and entries of the new CRL',
    more: CRLS,
  },
  'crl show': {
    about:
      'Says what a CRL file says, or, without a file, which CRLs are published and until when. With --why it adds what waits, when the next is due, and which rule refused one.',
    when: 'Use it first when a CRL is late or a revocation is not on it.',
    examples: [
      { run: 'certstatus crl show', does: 'of every issuer' },
      { run: 'certstatus crl show --why --issuer demo' },
      { run: 'certstatus crl show current.crl --entries', does: 'a file' },
    ],
    prints: 'one line per fact',
    more: CRLS,
  },
  'crl import': {
    about:
      'Publishes a CRL that was signed elsewhere, e.g. by an offline root with openssl ca -gencrl. It passes the same checks as one that is signed here; revocations on it that are not recorded are recorded first.',
    when: 'Use it for a CA whose CRL key is not here. To only take what a CRL lists use import crl.',
    examples: [{ run: 'certstatus crl import root.crl --issuer root', apart: 'the CRLs of a demo CA are signed here' }],
    prints: 'number, dates and entries of what is published now',
    more: 'deploy/guide/offline-roots.md',
  },
  'crl forecast': {
    about: 'Says how large each CRL would be if every certificate were revoked, and how many shards would keep each below 10 MB. It reads the ledger and publishes nothing.', // prettier-ignore
    when: 'Use it every quarter, and before a CA grows.',
    examples: [{ run: 'certstatus crl forecast --issuer demo' }],
    prints: 'octets now and if all were revoked, for each shard',
    exits: '0 all would stay below 10 MB, 1 one would not, 2 wrong usage',
    more: CRLS,
  },
  'crl urls': {
    about:
      'Prints the CRL URLs that unexpired certificates name, as the CCADB wants them, and what has changed since somebody acknowledged. With --acknowledge it notes that the CCADB has them.',
    when: 'Use it when the status page says that URLs are not acknowledged.',
    examples: [
      { run: 'certstatus crl urls --issuer demo' },
      { run: 'certstatus crl urls --issuer demo --acknowledge' },
    ],
    prints: 'the two JSON arrays to paste, and each open change with its date',
    more: CRLS,
  },
  'archive list': {
    about:
      'Lists every CRL that was ever published for an issuer as one unbroken sequence, or says what is missing. It reads the files, and the audit log for the numbers between.',
    when: 'Use it for the auditors, and after a restore.',
    examples: [{ run: 'certstatus archive list --issuer demo' }],
    prints: 'number, thisUpdate, entries, octets and SHA-256 of each, and a verdict',
    exits: '0 unbroken, 1 something is missing, 2 wrong usage',
    more: ARCHIVE,
  },
  'archive verify': {
    about:
      'Reads the whole archive again, its copies included: digests, strict parsing, signatures, sequence. With --repair it mends what is damaged in one place from the other.',
    when: 'Use it when the status page says that the last verification found something; the service verifies by itself every week.',
    examples: [{ run: 'certstatus archive verify' }],
    prints: 'each problem with its rule, and totals; progress on standard error',
    exits: '0 all is right or mended, 1 something is wrong, 2 wrong usage',
    more: ARCHIVE,
  },
  'archive prune': {
    about:
      'Says which CRLs the retention of the profile lets go. With --remove their octets go; records and digests stay for ever.',
    when: 'Use it when disk space matters more than CRLs from before the retention.',
    examples: [{ run: 'certstatus archive prune --issuer demo' }],
    prints: 'what may go and since when; with --remove what went',
    more: ARCHIVE,
  },
  'archive restore': {
    about:
      'Brings back from the copies in S3 what is missing or damaged here. It needs no running service, no ledger and no key; again, it brings only what is missing.',
    when: 'Use it after a machine is lost, before the first start.',
    examples: [
      { run: 'certstatus archive restore', apart: 'needs copies in S3' },
      { run: 'certstatus archive restore --out /mnt/elsewhere', does: 'an archive of its own, beside a running service', apart: 'needs copies in S3' }, // prettier-ignore
    ],
    prints: 'what was brought back; progress on standard error',
    more: ARCHIVE,
  },
};
