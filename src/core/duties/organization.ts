/** Duties about people, networks, incidents, the end of a CA, and those who look at it all. */
import { configured, type Chapter, enforced, evidence, operator, tested } from './duty.ts';

export const ACCESS: Chapter = {
  title: 'Roles and access',
  duties: [
    tested(
      'CT-2.4 SR-2.4 SJ-2.4',
      '001, 003 and 004 §2.4',
      'The public can read the repository and write nothing.',
      'any method but GET, HEAD and POST is refused on the public listener, and over Redis a responder may not write to the store',
      'certstatus probe URL',
      ['test/e2e/http.test.ts: 405 with Allow for other methods', 'test/adapters/redis-deploy.test.ts: may not'],
    ),
    operator(
      'CT-6.5.1-a SR-6.5.1-b SJ-6.5.1 CT-4.3.1-a CT-6.5.1-b SR-6.5.1-a',
      '001, 003 and 004 §4.3.1, §6.5.1',
      'Accounts that can cause issuance, and those of registration authorities, need two factors; logins are managed.',
      'the intake asks each client for a certificate, whose key belongs in a token with a PIN; every change has its client in the audit log',
    ),
    evidence('SR-5-c SJ-5-c', '001 §5; 003 §5', 'Access is filtered, controlled and logged.', 'denials'),
    operator(
      'SR-5.2.1 SJ-5.2.1 CT-5.2.1',
      '001, 003 and 004 §5.2.1',
      'Persons are appointed to the trusted roles.',
      'rights are given one by one to named client certificates: intake.clients in certstatus.yaml',
    ),
    configured('CT-5.2.2', '004 §5.2.2', 'Two or more persons hold the right to activate keys.', 'activators'),
    tested(
      'CT-5.2.3 SR-5.2.3 SJ-5.2.3',
      '001, 003 and 004 §5.2.3',
      'Who works with the system is identified.',
      'the intake knows its clients by their certificates and refuses everybody else',
      'certstatus audit export --type access.denied',
      [
        'test/e2e/intake-tls.test.ts: lets in whom the CA for clients has certified',
        'test/e2e/intake.test.ts: refuses a name that is not listed, and keeps a record of it',
      ],
    ),
    configured(
      'SR-5.2.4 SJ-5.2.4 CT-5.2.4',
      '001, 003 and 004 §5.2.4',
      'One account does not both ask for revocations and activate keys.',
      'separation',
    ),
    operator(
      'CT-4.2.2',
      '004 §4.2.2',
      'EV requests are validated and approved by different persons.',
      'none: the service validates no requests',
    ),
    operator(
      'CT-5.1.2 SR-5.1.2 SJ-5.1.2 SR-5.3.1…5.3.8 SJ-5.3.x CT-5.3.x',
      '001, 003 and 004 §5.1.2, §5.3',
      'Rooms are guarded; staff is checked, trained and supervised.',
      'none',
    ),
    enforced(
      'SJ-6.1.3',
      '003 §6.1.3',
      'What is sent to the CA is sent over TLS.',
      'the intake speaks TLS 1.2 or later with client certificates, and nothing else',
      'deploy/certstatus.example.yaml, intake',
      [
        "src/apps/private-port.ts: minVersion: 'TLSv1.2'",
        'test/e2e/intake-tls.test.ts: speaks TLS 1.2 and 1.3, and nothing older',
      ],
    ),
  ],
};

export const SYSTEMS: Chapter = {
  title: 'Network, systems, vulnerabilities',
  duties: [
    operator(
      'CT-6.7-a',
      '004 §6.7',
      'The network security requirements are kept.',
      'public, origin, intake and admin listeners are apart; roles run on hosts of their own',
    ),
    operator(
      'CT-6.7-b SJ-6.7',
      '004 §6.7; 003 §6.7',
      'Firewalls and intrusion detection stand between the CA and the Internet.',
      'a responder needs its public port and a read-only connection to the store; a signer needs no public port',
    ),
    operator(
      'CT-6.7-c',
      '004 §6.7',
      'Critical vulnerabilities are mended in 96 hours, others judged in 30 days.',
      'dependencies are few and locked, each with a reason in README.md; the version that ran is in the audit log',
    ),
    tested(
      'SR-6.7 MZ-12',
      '001 §6.7; 002, item 12',
      'Root systems are connected to nothing.',
      'CRLs and answers of an offline root are exported, signed elsewhere, verified and imported',
      'deploy/guide/offline-roots.md',
      [
        'test/e2e/secom-roots-offline.test.ts: gets its first CRL and its responder certificate from one request',
        'test/e2e/offline-refusals.test.ts: the machine with the key',
      ],
      'that nothing is connected to the machine of the root is for its operator to see to',
    ),
    operator(
      'CT-5.4.8 SR-5.4.8 SJ-5.4.8',
      '001, 003 and 004 §5.4.8',
      'Risks and vulnerabilities are assessed each year.',
      'README.md says what a thief of each store gains',
    ),
    operator(
      'SR-5-a SR-5-b SR-5-d SJ-5-a SJ-5-b SJ-5-d',
      '001 §5; 003 §5',
      'There is a security programme and plan.',
      'none',
    ),
    operator(
      'SR-6.5.2 SJ-6.5.2 CT-6.5.2 SR-6.6.x SJ-6.6.x CT-6.6.x',
      '001, 003 and 004 §6.5.2, §6.6',
      'Software is tested before use, and changes are controlled and recorded.',
      'npm test runs every test of a release; each start records the version that runs',
    ),
    operator(
      'CT-5.1.1…5.1.9 SR-5.1.1…9 SJ-5.1.1…8',
      '001, 003 and 004 §5.1',
      'Site, power, water, fire and media are looked after.',
      'none',
    ),
  ],
};

export const CONTINUITY: Chapter = {
  title: 'Recovery, incidents, mass revocation',
  duties: [
    operator(
      'CT-5.1.8 SR-5.1.8 SJ-5.1.8',
      '001, 003 and 004 §5.1.8',
      'What is needed for recovery lies at a second site.',
      'the archive copies itself there; audit log and configuration restore the rest (deploy/guide/archive.md)',
    ),
    operator(
      'CT-5.7.1.1-a SR-5.7.1-c SJ-5.7.1-c SR-5.7.1-d SJ-5.7.1-d SR-5.7.1-a SJ-5.7.1-a SR-5.7.4 SJ-5.7.4',
      '001, 003 and 004 §5.7.1, §5.7.4',
      'Plans for incidents and disasters exist and are tested each year.',
      'the least time to nextUpdate is the outage that nobody notices: certstatus_least_time_to_next_update_seconds',
    ),
    tested(
      'CT-5.7.1.1-b',
      '004 §5.7.1.1',
      'After the compromise of a CA key, everything that it signed is revoked.',
      'a mass revocation of all certificates of an issuer runs to its end, with the last CRL',
      'deploy/guide/mass-revocation.md',
      [
        'test/flows/mass-revocation.test.ts: revokes all in OCSP and on the CRL, with one date',
        'test/flows/drill.test.ts: CT-5.7.1.1-b',
      ],
    ),
    tested(
      'CT-5.7.1.1-c CT-5.7.4 CT-5.7.2 SR-5.7.2 SJ-5.7.2',
      '001, 003 and 004 §5.7.2, §5.7.4',
      'Revocation goes on, or comes back soon, when a part fails.',
      'processes, the HSM and Redis are killed under load, and the archive is brought back from its copies',
      'deploy/README.md, what to do when a part fails',
      [
        'test/e2e/failures.test.ts: the Redis is killed and restarted empty',
        'test/e2e/failures-token.test.ts: while it is away events are taken',
        'test/e2e/archive.test.ts: brings everything back onto a machine that has lost archive and ledger',
      ],
    ),
    operator(
      'SR-5.7.3-b SJ-5.7.3-b',
      '001 §5.7.3; 003 §5.7.3',
      'Who depends on the CA is told of an interruption.',
      'this report names starts, stops, crashes and certificates without an answer, with instants',
    ),
    evidence(
      'CT-5.7.1.2-a CT-5.7.1.2-b',
      '004 §5.7.1.2',
      'A mass revocation is planned, and rehearsed each year.',
      'drill',
    ),
  ],
};

export const CHANGEOVER: Chapter = {
  title: 'Key changeover, end of a CA',
  duties: [
    evidence(
      'CT-5.6 SR-5.6 SJ-5.6',
      '001, 003 and 004 §5.6',
      'The CA certificate does not end before the certificates that it issued.',
      'within-ca',
    ),
    operator(
      'SR-5.8 CT-5.8 SJ-5.8',
      '001, 003 and 004 §5.8',
      'The end of a CA is announced, and its certificates are revoked before.',
      'certstatus revoke-many --all revokes them; status is given until the last has expired',
    ),
    enforced(
      'CT-2.3-3',
      '004 §2.3',
      'The CA certificate is published as long as it is valid.',
      'it is served from the registration of the issuer on',
      'the CA certificate URL; certstatus issuer show ID',
      [
        'src/core/route.ts: an OCSP mount, a CRL, a CA certificate, or nothing',
        'test/e2e/http.test.ts: the CA certificate of each issuer, as DER',
      ],
    ),
    tested(
      'SR-hist-6.03',
      '001 history 6.03',
      'What is known of a retired CA is kept.',
      'CRLs and records of an issuer that is no longer configured are listed and verified',
      'certstatus archive verify',
      ['test/e2e/duty-claims.test.ts: SR-hist-6.03'],
    ),
  ],
};

export const REVIEW: Chapter = {
  title: 'Lint, self-audit, audit',
  duties: [
    evidence(
      'CT-AppA-lint MZ-LINT',
      '004 App. A; 002',
      'CRLs and answers are checked against the profiles before they are published.',
      'answers-checked',
    ),
    tested(
      'CT-4.3.1-b',
      '004 §4.3.1',
      'A linter of the industry looks too.',
      'openssl and a second ASN.1 library read what the service makes',
      'certstatus lint FILE',
      ['test/core/lint-crl.test.ts: agrees on every defect that both can read', 'test/core/lint-coverage.ts: zlint'],
      'no release runs zlint or pkilint itself, and precertificates are linted by the issuing system',
    ),
    evidence(
      'CT-8.7 SR-8.7-a SJ-8.7 SR-8.7-b',
      '001, 003 and 004 §8.7',
      'Each quarter a random sample of 3 percent or more is looked at again.',
      'samples',
    ),
    operator(
      'CT-8.1 SR-8.1 SJ-8.1 CT-8.6 SR-8.4 CT-8.4 SJ-8.4',
      '001, 003 and 004 §8.1, §8.4, §8.6',
      'The CA is audited each year, and reports on it.',
      'this report, for any period',
    ),
    evidence(
      'SR-8.6-a SJ-8.6-a SR-8.6-b SJ-8.6-b',
      '001 §8.6; 003 §8.6',
      'Reports name the CA by its fingerprints, and the versions of its rules.',
      'profiles-in-force',
    ),
    operator(
      'CT-9.12.1 SR-9.12.1 CT-9.12.2',
      '001 and 004 §9.12',
      'CP and CPS are reviewed each year, and changes published.',
      'presets name the document that their values come from',
    ),
  ],
};
