/** Duties about privacy, the repository, lifetimes, and what was told to root programs. */
import { configured, type Chapter, enforced, evidence, operator, tested } from './duty.ts';

export const PRIVACY: Chapter = {
  title: 'Privacy and confidentiality',
  duties: [
    enforced(
      'CT-9.4.2-a CT-9.4.2-b CT-9.4.2-c',
      '004 §9.4.2',
      'Addresses of relying parties are personal data: no profiles, and deleted after use.',
      'no address of a client, and no request, is written to a log, a metric or the audit log',
      'the log of the service; /metrics',
      ['src/flows/metrics.ts: certstatus_answers_total', 'test/e2e/duty-claims.test.ts: CT-9.4.2'],
    ),
    tested(
      'CT-9.3.1-4 CT-9.3.2-1/2',
      '004 §9.3',
      'Nothing about the security of the CA is published.',
      'public answers name no version and no host; metrics and status page have a port of their own',
      'certstatus probe URL',
      ['test/e2e/duty-claims.test.ts: CT-9.3.1-4'],
    ),
    enforced(
      'SJ-9.3.2',
      '003 §9.3.2',
      'Data about persons and organizations is confidential.',
      'of a certificate the ledger has serial, dates, status and the digest of its key, and no subject',
      'certstatus audit show --serial SERIAL',
      ['src/core/certificate.ts: interface Certificate', 'test/e2e/duty-claims.test.ts: SJ-9.3.2'],
    ),
    operator(
      'CT-9.4.4…9.4.7 SJ-9.4.x',
      '003 and 004 §9.4',
      'Personal information is handled and disclosed by the rules.',
      'names of persons are in the audit log alone: of those who activate keys and ask for revocations',
    ),
  ],
};

export const REPOSITORY: Chapter = {
  title: 'Repository, URLs, documents',
  duties: [
    configured(
      'CT-2.2-3 CT-6.1.4',
      '004 §2.2, §6.1.4',
      'The CA certificate is at the URL that the CP/CPS names.',
      'urls',
      'cybertrust',
    ),
    configured('SR-6.1.4', '001 §6.1.4', 'The CA certificate can be got from the repository.', 'urls', 'secom'),
    operator(
      'CT-2.3-0',
      '004 §2.3',
      'Documents are published in time, maintenance aside.',
      'nothing of the service needs a maintenance window',
    ),
    operator(
      'SR-2.2-b…d SJ-2.2',
      '001 §2.2; 003 §2.2',
      'CP and CPS are in the repository.',
      'the CA certificate is served; documents are not',
    ),
    operator(
      'SR-2.2-f MZ-TW1 MZ-TW2',
      '001 §2.2; 002',
      'There are test pages with a valid, a revoked and an expired certificate.',
      'certstatus probe URL --cert FILE says what the service answers about each',
    ),
    tested(
      'SJ-1.1-b',
      '003 §1.1',
      'What publishes is apart from what signs.',
      'over Redis responders run as processes of their own, without a key, with read-only access to the store',
      'deploy/redis/users.acl; deploy/compose.yaml',
      [
        'test/adapters/redis-deploy.test.ts: may not',
        'test/deploy/compose.test.ts: only signers get key files (P7)',
        'test/e2e/least-privilege.test.ts: listens on the ports of its roles alone',
      ],
      'one process that runs all roles, as on one machine by default, publishes and signs: run the roles apart',
    ),
    operator(
      'CT-1.1-6 SR-1.1 SJ-1.1-a CT-1.2 SR-1.2 SJ-1.2',
      '001, 003 and 004 §1.1, §1.2',
      'The policies of root programs bind, by type of certificate; documents have OIDs.',
      'the preset names whose rules bind, and certstatus check-config holds the values against them',
    ),
    operator(
      'CT-4.4.2',
      '004 §4.4.2',
      'Certificates are in CT logs.',
      'certstatus import certs takes what a log has, and says what is new',
    ),
  ],
};

export const LIFETIMES: Chapter = {
  title: 'Lifetimes of certificates',
  duties: [
    configured(
      'CT-6.3.2-b SR-6.3.2-c SJ-6.3.2-e',
      '001, 003 and 004 §6.3.2',
      'CA certificates are not valid for longer than the document says.',
      'ca-lifetime',
    ),
    evidence(
      'CT-6.3.2-c SJ-6.3.2-c SJ-6.3.2-d',
      '003 and 004 §6.3.2',
      'Subscriber certificates are not valid for longer than the document says for their date.',
      'lifetimes',
    ),
  ],
};

export const MOZILLA: Chapter = {
  title: 'Other statements to root programs',
  duties: [
    operator(
      'MZ-PP1 MZ-PP5 MZ-PP6',
      '002',
      'No certificates of 24 months; no subscriber certificates from roots; no external operators of subordinate CAs.',
      'presets of roots are for CA certificates alone',
    ),
    operator(
      'MZ-NEED',
      '002',
      'Open questions of the case: network security, two factors, revocation tests.',
      'this report, and the table of clients in README.md',
    ),
  ],
};
