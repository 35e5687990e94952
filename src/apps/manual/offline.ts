/** Lessons: a CA whose key is never online. */
import type { Lessons } from './lesson.ts';

const GUIDE = 'deploy/guide/offline-roots.md';
const CEREMONY = 'needs an issuer whose key is offline';

export const OFFLINE_LESSONS: Lessons = {
  'offline export': {
    about:
      'Writes into one file what the offline CA is to sign: CRLs, a responder certificate, or its OCSP answers. Read its digest out to the persons at the other machine.',
    when: 'Use it before each ceremony.',
    examples: [{ run: 'certstatus offline export --issuer demo --crl --out request.json' }],
    prints: 'what will be signed, item by item, and the SHA-256 of the file',
    more: GUIDE,
  },
  'offline sign': {
    about:
      'Signs such a request on the machine with the CA key, after showing everything in it and checking it against the rules. It needs no configuration, no data directory and no network.',
    when: 'Use it in the ceremony, with at least two persons (SR-6.2.8).',
    examples: [
      { run: 'certstatus offline sign request.json --ca root.pem --key root.key --person Alice --person Bob --out signed.json', apart: CEREMONY }, // prettier-ignore
    ],
    prints: 'what was signed, and the SHA-256 of the result',
    more: GUIDE,
  },
  'offline import': {
    about: 'Publishes what was signed. Each item is checked again, and taken or refused on its own.',
    when: 'Use it after the ceremony, where the service runs.',
    examples: [{ run: 'certstatus offline import signed.json', apart: CEREMONY }],
    prints: 'each item, and why one was refused',
    exits: '0 all were taken, 1 one was refused, 2 wrong usage',
    more: GUIDE,
  },
};
