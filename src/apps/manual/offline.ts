/** Lessons: a CA whose key is never online. */
import type { Lessons } from './lesson.ts';

const GUIDE = 'deploy/guide/offline-roots.md';

export const OFFLINE_LESSONS: Lessons = {
  'offline export': {
    about:
      'Writes into one file what the offline CA is to sign: CRLs, a responder certificate, or its OCSP answers. Read its digest out to the persons at the other machine.',
    when: 'Use it before each ceremony.',
    examples: [
      {
        run: 'certstatus offline export --issuer demo --responder-csr next.key --responder-validity 90d --out request.json',
        does: 'a responder certificate for the key in next.key; --crl for the next CRLs',
      },
    ],
    prints: 'what will be signed, item by item, and the SHA-256 of the file',
    more: GUIDE,
  },
  'offline sign': {
    about:
      'Signs such a request on the machine with the CA key, after showing everything in it and checking it against the rules. It needs no configuration, no data directory and no network.',
    when: 'Use it in the ceremony, with at least two persons (SR-6.2.8).',
    examples: [
      {
        run: 'certstatus offline sign request.json --ca data/issuers/demo/ca.pem --key data/issuers/demo/ca.key --person Alice --person Bob --yes-digest "$(sha256sum request.json | cut -c57-64)" --out signed.json',
        does: 'without --yes-digest it asks for the last digits of the digest, as they were read out',
      },
    ],
    prints: 'what was signed, and the SHA-256 of the result',
    more: GUIDE,
  },
  'offline import': {
    about: 'Publishes what was signed. Each item is checked again, and taken or refused on its own.',
    when: 'Use it after the ceremony, where the service runs.',
    examples: [{ run: 'certstatus offline import signed.json' }],
    prints: 'each item, and why one was refused',
    exits: '0 all were taken, 1 one was refused, 2 wrong usage',
    more: GUIDE,
  },
};
