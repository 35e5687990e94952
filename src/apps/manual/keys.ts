/** Lessons: tokens, keys and responder certificates. */
import type { Lessons } from './lesson.ts';

const HSM = 'needs an HSM';
const README = 'README.md, Keys in an HSM';

export const KEY_LESSONS: Lessons = {
  'key list': {
    about:
      'Lists tokens (HSM partitions) with their state, the keys in them, and what each key is used for. The running service answers.',
    when: 'Use it after a start, to see what waits for activation, and after a change of keys.',
    examples: [{ run: 'certstatus key list' }],
    prints: 'one block per token; "no token is configured" when keys are in files',
    more: README,
  },
  'key activate': {
    about:
      'Enters one share of a PIN, or the PIN, into the running service. It asks on the terminal without echo, or reads standard input; the secret is never an argument.',
    when: 'Use it after each start of a signer; each person with a client certificate of their own, within 15 minutes.',
    examples: [{ run: 'certstatus key activate --token ocsp --cert alice.pem --key alice.key', apart: `${HSM}, and further persons` }], // prettier-ignore
    prints: 'whose shares are entered and by when the others must be, or that the token is active',
    more: README,
  },
  'key deactivate': {
    about:
      'Asks for the end of an activation; as many persons must ask as have activated the token. Until then it signs on.',
    when: 'Use it before maintenance of an HSM, and when its keys may be misused.',
    examples: [{ run: 'certstatus key deactivate --token ocsp --cert alice.pem --key alice.key', apart: `${HSM}, and further persons` }], // prettier-ignore
    prints: 'who has asked and how many more must, or the state of the token',
    more: README,
  },
  'key split': {
    about:
      'Makes shares of a PIN, one for each person; any threshold of them activate the token. It needs no service and keeps nothing.',
    when: 'Use it once for each token, with all persons in one room.',
    examples: [
      { run: 'certstatus key split --token ocsp --shares 5 --threshold 3', does: 'asks for the PIN, shows one share at a time', apart: 'asks for a PIN on the terminal' }, // prettier-ignore
      {
        run: 'head -c 12 /dev/urandom | base64 | certstatus key split --token trial --shares 3 --threshold 2 --out shares',
      },
    ],
    prints: 'the shares, or the files that hold one each (mode 600)',
    more: README,
  },
  'key generate': {
    about: 'Makes a key pair in an activated token. The private key never leaves it.',
    when: 'Use it for the next responder key, then key csr.',
    examples: [{ run: 'certstatus key generate --token ocsp --type P-256 --label 2026-b', apart: HSM }],
    prints: 'the reference that stands wherever a key file could',
    more: README,
  },
  'key csr': {
    about:
      'Makes a certification request (PKCS#10) for the next responder certificate, signed by its key. The subject is that of the newest responder certificate unless --subject says otherwise.',
    when: 'Use it when the status page asks for a successor, three weeks ahead.',
    examples: [
      {
        run: 'openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out next.key\ncertstatus key csr --issuer demo --key next.key --out next.csr',
        does: 'with a key in a file; in an HSM --key pkcs11:token=ocsp;object=2026-b',
      },
    ],
    prints: 'the request as PEM, or where it was written',
    more: 'README.md, Changing the responder certificate',
  },
  'key install': {
    about: 'Installs the next responder certificate after checking it against every rule. A running service needs no restart: it signs with it from a day after its notBefore on.', // prettier-ignore
    when: 'Use it when the CA has answered the request of key csr; at each signer.',
    examples: [{ run: 'certstatus key install --issuer demo --cert next.pem --key next.key', apart: 'needs the answer of the CA to the request' }], // prettier-ignore
    prints: 'its id, and from when on it signs',
    more: 'README.md, Changing the responder certificate',
  },
  'key rollover': {
    about:
      'Ends the use of a responder certificate now: all of its answers are signed again with another. With --drop none of its answers is served meanwhile, rather tryLater.',
    when: 'Use it when a responder key may be in other hands, after key install of its successor.',
    examples: [{ run: 'certstatus key rollover --issuer demo --responder 1a2b3c4d --drop', apart: 'needs a second responder certificate' }], // prettier-ignore
    prints: 'how many answers have to be signed again',
    more: 'README.md, Changing the responder certificate',
  },
  'key blocklist': {
    about:
      'Lists the keys of certificates that were revoked for keyCompromise. Whoever issues must not certify them again (CT-6.1.1-g).',
    when: 'Use it to feed the check of the issuing system.',
    examples: [{ run: 'certstatus key blocklist --issuer demo' }],
    prints: 'per line the first 32 hex digits of the SHA-256 of a SubjectPublicKeyInfo; with --json also a serial',
    more: 'deploy/guide/mass-revocation.md',
  },
};
