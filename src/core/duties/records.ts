/** Duties about the audit log, the archive and the time that stands in them. */
import { configured, type Chapter, enforced, evidence, operator } from './duty.ts';

export const AUDIT_LOG: Chapter = {
  title: 'Audit log',
  duties: [
    evidence(
      'CT-5.4.1-a CT-5.4.1-b SJ-5.4.1-a SJ-5.4.1-b',
      '003 and 004 §5.4.1',
      'CRLs, signatures of answers, key events and changes of profiles are recorded.',
      'log-signing',
    ),
    evidence(
      'SR-5.4.1-a SR-5.4.1-b',
      '001 §5.4.1',
      'Each entry of a status, and each change of one, is recorded.',
      'log-entries',
    ),
    evidence(
      'CT-5.4.1-c SR-5.4.1-c SJ-5.4.1-c SR-5.4.1-e SR-5.4.1.2 SJ-5.4.1.2',
      '001, 003 and 004 §5.4.1',
      'Security events are recorded: access, actions, software, crashes, failures of devices, the clock.',
      'log-security',
    ),
    evidence(
      'CT-5.4.1-d SR-5.4.1-d SJ-5.4.1-d CT-5.4.6 SR-5.4.6 SJ-5.4.6',
      '001, 003 and 004 §5.4.1, §5.4.6',
      'Records are kept by the system itself, each with instant, person and description, and none can be altered unseen.',
      'log-chain',
    ),
    operator(
      'SR-5.4.1.1 SJ-5.4.1.1 CT-5.4.1.1',
      '001, 003 and 004 §5.4.1.1',
      'Routers and firewalls log logins, changes of rules and restarts.',
      'none: they are not part of the service',
    ),
    operator(
      'SR-5.4.2 SJ-5.4.2 CT-5.4.2',
      '001, 003 and 004 §5.4.2',
      'Logs are inspected regularly.',
      'this report is such an inspection: keep it with the name of who read it; certstatus audit verify and audit show go on from there',
    ),
    evidence(
      'CT-5.4.3-a SR-5.4.3-1 SJ-5.4.3-1 CT-5.4.3-b SR-5.4.3-2 SJ-5.4.3-2 CT-5.4.3-c SR-5.4.3-3 SJ-5.4.3-3 SR-5.4.3-4 SJ-5.4.3-4 CT-5.5.2-a SR-5.5.2-a SJ-5.5.2-a',
      '001, 003 and 004 §5.4.3, §5.5.2',
      'Records are kept for two years after the key or certificate that they are about has ended.',
      'log-age',
    ),
    operator(
      'CT-5.4.3-d',
      '004 §5.4.3',
      'Records that are no longer needed are erased completely.',
      'the service erases no record; who removes files erases their media',
    ),
    operator(
      'CT-5.4.4 SR-5.4.4 SJ-5.4.4 CT-5.5.3 SR-5.5.3 SJ-5.5.3',
      '001, 003 and 004 §5.4.4, §5.5.3',
      'Only authorized persons read logs and archive.',
      'files of the audit log are readable by the account of the service and its group alone (mode 0640)',
    ),
    operator(
      'SR-5.4.5 SJ-5.4.5 CT-5.4.5',
      '001, 003 and 004 §5.4.5',
      'Logs are copied to another place and to offline media.',
      'files of the audit log only grow: any tool copies them; certstatus audit export writes a period, and the head in this report proves a copy',
    ),
    enforced(
      'CT-5.4.7 SR-5.4.7 SJ-5.4.7',
      '001, 003 and 004 §5.4.7',
      'Who causes a record is not told of it.',
      'no answer to a client of the listeners, and no receipt of the intake, says that something was logged',
      '/openapi.json of the intake',
      ['src/apps/intake/openapi.ts: /v1/audit/head', 'test/e2e/intake.test.ts: its OpenAPI document names every route'],
      'the CA’s own systems can read in the API document that there is an audit log, and its head',
    ),
  ],
};

export const ARCHIVE: Chapter = {
  title: 'Archive',
  duties: [
    evidence(
      'CT-5.5.1 SR-5.5.1 SJ-5.5.1 CT-5.5.6 SR-5.5.6 SJ-5.5.6',
      '001, 003 and 004 §5.5.1, §5.5.6',
      'CRLs, certificates of the CA and its responders, and the records of revocations are archived by the system.',
      'crl-archive',
    ),
    configured(
      'CT-5.5.2-b SR-5.5.2-b SJ-5.5.2-b CT-5.5.2-c',
      '001, 003 and 004 §5.5.2',
      'What documents a revocation is kept for two years after it was last relied on.',
      'crl-retention',
    ),
    evidence(
      'SR-5.5.4 SJ-5.5.4 CT-5.5.4',
      '001, 003 and 004 §5.5.4',
      'The archive is copied soon after each CRL.',
      'archive-copied',
    ),
    evidence(
      'SR-5.5.7 SJ-5.5.7 CT-5.5.7',
      '001, 003 and 004 §5.5.7',
      'The archive is read again from time to time.',
      'archive-verified',
    ),
  ],
};

export const TIME: Chapter = {
  title: 'Time',
  duties: [
    evidence(
      'SJ-5.5.5 SR-5.5.5 SR-6.8 CT-5.5.5 CT-6.8 SJ-6.8',
      '001, 003 and 004 §5.5.5, §6.8',
      'The clock is right, and what is important has its date and time.',
      'clock',
    ),
  ],
};
