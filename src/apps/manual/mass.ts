/** Lessons: many revocations at once. */
import type { Lessons } from './lesson.ts';

const GUIDE = 'deploy/guide/mass-revocation.md';
const UNDER_WAY = 'needs a run that is under way; a demo CA has done it before anybody can type';

export const MASS_LESSONS: Lessons = {
  'revoke-many': {
    about:
      'Plans the revocation of many certificates: which, for what reason, how long it takes and how large the CRLs become. Nothing is revoked before mass start.',
    when: 'Use it for every certificate of a CA, of a key, of a list, or of a window of time.',
    examples: [
      { run: 'certstatus revoke-many --issuer demo --all --clause 4.9.1.1-12' },
      { run: 'certstatus revoke-many --issuer demo --not-before-from 2026-11-01T00:00:00Z --not-before-to 2026-11-08T00:00:00Z --reason superseded' }, // prettier-ignore
    ],
    prints: 'the plan with its digest, and the command that starts it',
    more: GUIDE,
  },
  'mass list': {
    about:
      'Lists the plans of mass revocations, newest first. It says of each whether it was started and how it ended.',
    when: 'Use it to find the id that the other mass commands want.',
    examples: [{ run: 'certstatus mass list' }],
    prints: 'id, instant, person, number of certificates and state of each',
    more: GUIDE,
  },
  'mass start': {
    about:
      'Does what a plan says; it goes on by itself, also after a crash. The digest shows that somebody has read this plan and no other.',
    when: 'Use it when a second person has compared the digest. Again, it changes nothing.',
    examples: [{ run: 'certstatus mass start mass-20261121-828820b2 --digest 1f0c93ab --wait' }],
    prints: 'how far it is; with --wait, when all are in OCSP and on their CRLs',
    more: GUIDE,
  },
  'mass status': {
    about: 'Says how far a mass revocation is, how fast it goes, and when it will be done. With --wait it returns when all are in OCSP and on their CRLs.', // prettier-ignore
    when: 'Use it after mass start, as often as wanted.',
    examples: [{ run: 'certstatus mass status mass-20261121-828820b2' }],
    prints: 'plan, certificates recorded, in OCSP and on CRLs, rate and time left',
    more: GUIDE,
  },
  'mass pause': {
    about: 'Records nothing more of a mass revocation until it is resumed. What is revoked already stays revoked.',
    when: 'Use it when something looks wrong, before abort.',
    examples: [{ run: 'certstatus mass pause mass-20261121-828820b2', apart: UNDER_WAY }],
    prints: 'how far it is',
    more: GUIDE,
  },
  'mass resume': {
    about: 'Goes on with a mass revocation that was paused. It begins where it stopped.',
    when: 'Use it after mass pause.',
    examples: [{ run: 'certstatus mass resume mass-20261121-828820b2', apart: UNDER_WAY }],
    prints: 'how far it is',
    more: GUIDE,
  },
  'mass abort': {
    about: 'Ends a mass revocation for good. What is revoked already stays revoked, in OCSP and on the CRLs.',
    when: 'Use it when the plan was wrong; what is left needs another plan.',
    examples: [{ run: 'certstatus mass abort mass-20261121-828820b2', apart: UNDER_WAY }],
    prints: 'how far it came',
    more: GUIDE,
  },
  'mass discard': {
    about: 'Removes a plan that was never started. The audit log keeps that it was made, and by whom it was removed.',
    when: 'Use it for plans that nobody will need, so that nobody starts them by mistake.',
    examples: [{ run: 'certstatus mass discard mass-20261121-5c01d7f3' }],
    prints: 'the id of the plan',
    more: GUIDE,
  },
  'mass report': {
    about: 'Writes the nine elements of a mass revocation plan (CT-5.7.1.2-b), with the figures of plan, drill and run. It can be written again at any time.', // prettier-ignore
    when: 'Use it for the auditors, after a drill or a run.',
    examples: [{ run: 'certstatus mass report mass-20261121-828820b2 --out report.md' }],
    prints: 'Markdown, or where it was written',
    more: GUIDE,
  },
  drill: {
    about:
      'Rehearses a mass revocation with the real keys: signing rates, CRLs in their full size, the report. Nothing is published and nothing revoked.',
    when: 'Use it every year, and before the first emergency.',
    examples: [{ run: 'certstatus drill --issuer demo --all --certificates 3 --out drill.md' }],
    prints: 'the report as Markdown, or where it was written',
    more: GUIDE,
  },
  'compromised-key verify': {
    about:
      'Says whether a file proves that a key is compromised: a private key, or a request with the challenge as its common name. The file is neither sent nor kept.',
    when: 'Use it when somebody reports a compromised key (CT-4.9.12).',
    examples: [
      { run: 'certstatus compromised-key verify data/issuers/demo/samples/valid.key --issuer demo', does: 'and how many certificates have that key' }, // prettier-ignore
    ],
    prints: 'the proof, the hash of the key, and the command that revokes its certificates',
    more: GUIDE,
  },
};
