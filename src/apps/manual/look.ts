/** Lessons: looking at what is going on. */
import type { Lessons } from './lesson.ts';

export const LOOK_LESSONS: Lessons = {
  overview: {
    about: 'Says whether every promise is kept, what is wrong and what to do, and what is due next: the status page, for a terminal. It asks the admin port of the running service.', // prettier-ignore
    when: 'Use it first when you are called at night, and as a check in scripts.',
    examples: [{ run: 'certstatus overview' }, { run: 'certstatus overview --watch', apart: 'runs until Ctrl-C' }],
    prints: 'verdict, problems with what to do, what is next due, lanes, tokens, and a line per issuer',
    exits: '0 ok or only warnings, 1 a promise is broken or no service answers, 2 wrong usage',
    more: 'deploy/README.md',
  },
  status: {
    about:
      'Says what is recorded and published about one certificate: status, revision, the OCSP answer and the CRL. It asks the ledger, not the public port.',
    when: 'Use it when somebody says that a certificate is answered wrongly; then explain.',
    examples: [
      { run: 'certstatus status --issuer demo --cert data/issuers/demo/samples/valid.pem' },
      { run: 'certstatus status --issuer demo --serial 0a1b2c3d4e5f60718293' },
    ],
    prints: 'one line per fact; instants in UTC',
    exits: '0 it is recorded, 1 it was never issued here, 2 wrong usage',
  },
  explain: {
    about:
      'Walks one OCSP request through every decision of the responder and names the rule of each. Nothing is sent to the public port.',
    when: 'Use it when a client gets unauthorized, malformedRequest or tryLater.',
    examples: [
      {
        run: 'openssl ocsp -issuer data/issuers/demo/ca.pem -cert data/issuers/demo/samples/valid.pem -reqout request.der\ncertstatus explain "$(base64 -w0 request.der)"',
        does: 'a request as base64; a whole URL will do too',
      },
    ],
    prints: 'a line per decision, the answer last',
  },
  probe: {
    about:
      'Asks a running service as every kind of client does, and says what a proxy in front of it breaks. With --ca or --issuer signatures are verified.',
    when: 'Use it from outside, after every change of a load balancer, CDN or firewall.',
    examples: [
      { run: 'certstatus probe --issuer demo --cert data/issuers/demo/samples/valid.pem', does: 'the OCSP URL that the certificate names' }, // prettier-ignore
      { run: 'certstatus probe --crl --ca data/issuers/demo/ca.pem --cert data/issuers/demo/samples/valid.pem', does: 'its CRL' }, // prettier-ignore
    ],
    prints: 'the answer, how often it asked, and each finding with its usual cause',
    exits: '0 no client is refused or misled, 1 one is, 2 wrong usage',
    more: 'deploy/edge/README.md',
  },
  bench: {
    about:
      'Puts load on any OCSP responder, checks every reply, and tells rate and latency as clients see them. Only on a responder whose operator knows of it: to others it is an attack.',
    when: 'Use it to size machines and to compare responders.',
    examples: [
      { run: 'printf 0a1b2c3d4e5f60718293 > serials.txt\ncertstatus bench "$(openssl x509 -in data/issuers/demo/samples/valid.pem -noout -ocsp_uri)" --ca data/issuers/demo/ca.pem --serials serials.txt --seconds 1 --connections 4' }, // prettier-ignore
    ],
    prints: 'right replies, rate, latency in ms at p50, p90, p99 and p99.9, and every kind of wrong reply',
    exits: '0 every reply was right, 1 one was wrong, 2 wrong usage',
    more: 'bench/README.md',
  },
  'sign-in': {
    about:
      'Prints a link that signs you in to the status page: good for five minutes, and for one time. It is made from a secret in the data directory, so it must run on the machine of the service, as its user.',
    when: 'Use it for a look at the page; to enter a share of a PIN sign in with a client certificate of your own.',
    examples: [{ run: 'certstatus sign-in' }],
    prints: 'the link; from another machine first: ssh -L 9090:127.0.0.1:9090 <machine>',
  },
};
