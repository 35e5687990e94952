/** Duties about revocation: grounds, deadlines, who may ask. */
import { type Chapter, clause, enforced, evidence, operator, tested } from './duty.ts';

const BY_CLAUSE = 'certstatus report revocations --totals';

export const REVOCATION: Chapter = {
  title: 'Revocation: grounds, deadlines, intake',
  duties: [
    clause(1, 'Asked for by the subscriber without a reason: revoked within 24 hours.'),
    clause(2, 'Original request not authorized: revoked within 24 hours.'),
    clause(3, 'Key compromised: revoked within 24 hours.'),
    clause(4, 'Key easily computed from the public key: revoked within 24 hours.'),
    clause(5, 'Validation of a name cannot be relied on: revoked within 24 hours.'),
    clause(6, 'Key no longer as the requirements ask: revoked within 5 days.'),
    clause(7, 'Misused: revoked within 5 days.'),
    clause(8, 'Subscriber broke a material obligation: revoked within 5 days.'),
    clause(9, 'Use of the name no longer permitted: revoked within 5 days.'),
    clause(10, 'Wildcard certified a fraudulent name: revoked within 5 days.'),
    clause(11, 'Material change of the information: revoked within 5 days.'),
    clause(12, 'Not issued as required: revoked within 5 days.'),
    clause(13, 'Information inaccurate: revoked within 5 days.'),
    clause(14, 'Right to issue ended: revoked within 5 days, unless status goes on.'),
    clause(15, 'Required by the CP/CPS for another reason: revoked within 5 days.'),
    clause(16, 'Method that exposes the key, or flawed generation: revoked within 5 days.'),
    enforced(
      'CT-4.9.1.1-z',
      '004 §4.9.1.1',
      'The CA may revoke at its own discretion.',
      'the clause "discretion" is accepted and has no deadline',
      BY_CLAUSE,
    ),
    evidence(
      'CT-4.9.5-b SR-5.7.3-a SJ-5.7.3-a MZ-5',
      '004 §4.9.5; 001 §5.7.3; 003 §5.7.3; 002 5)',
      'What is to be revoked is revoked promptly.',
      'revoked-to-ocsp',
    ),
    evidence(
      'CT-4.9.3-a CT-4.9.2 CT-3.4',
      '004 §3.4, §4.9.2, §4.9.3',
      'Who asked for a revocation, and on what ground, is on record.',
      'requesters',
    ),
    enforced(
      'CT-4.9.3-b',
      '004 §4.9.3',
      'The subscriber is not notified after the revocation.',
      'the program sends no messages to anybody',
      'the configuration has no place for it: deploy/certstatus.example.yaml',
    ),
    operator(
      'CT-4.9.4 CT-4.8.1 CT-4.11 CT-9.6.3-5/6',
      '004 §4.8.1, §4.9.4, §4.11, §9.6.3',
      'The subscriber asks for revocation without delay when there is a ground.',
      'requests are taken at any time, and their clauses and instants of awareness are recorded',
    ),
    evidence(
      'CT-4.9.12-a',
      '004 §4.9.12',
      'Who reports a compromised key proves it with the key or a signed request.',
      'key-proofs',
    ),
    enforced(
      'CT-4.9.12-b',
      '004 §4.9.12',
      'A suspected compromise runs on the same clock as a proven one.',
      'clause 4.9.1.1-3 has one deadline, 24 hours from awareness, whatever the evidence',
      BY_CLAUSE,
    ),
    enforced(
      'CT-4.9.13',
      '004 §4.9.13–16',
      'Certificates are not suspended, and no revocation is taken back.',
      'holds are refused unless the profile of an S/MIME CA permits them; publication compares revisions, so good never replaces revoked',
      'certstatus audit show --serial SERIAL',
    ),
    operator(
      'CT-9.1.1',
      '004 §9.1.1',
      'The certificate that a free reissue replaces is revoked.',
      'certstatus revoke and the intake take such a revocation at any time; the CA chooses the moment',
    ),
    operator(
      'CT-1.5.2 SR-1.5.2 SJ-1.5.2',
      '001, 003 and 004 §1.5.2',
      'Problem reports are taken at a published address around the clock.',
      'the intake takes the revocations that come of them at any time',
    ),
    tested(
      'SR-6.2.6-b',
      '001 §6.2.6',
      'Every certificate with a key that got into other hands is revoked.',
      'a mass revocation by public key finds and revokes them all',
      'certstatus revoke-many --help; deploy/guide/mass-revocation.md',
    ),
    tested(
      'CT-4.2.1 CT-6.1.1-g SR-6.1.1-g SJ-6.1.1-g',
      '004 §4.2.1, §6.1.1',
      'Past revocations and compromised keys are known when a new request is judged.',
      'the keys of certificates that were revoked for keyCompromise are listed for the registration authority',
      'certstatus keys blocklist; certstatus audit export --type certificates.revoked',
    ),
  ],
};
